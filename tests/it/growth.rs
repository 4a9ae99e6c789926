//! No query's cost grows faster than what a host has many of: with twice as many containers, images, layers, volumes and
//! networks it takes at most twice the instructions. Counted by SQLite, not timed.

use crate::support::plans::cost;
use crate::support::{ingest, one, sample};
use regex::Regex;
use rusqlite::Connection;
use rusqlite::functions::FunctionFlags;
use std::path::Path;

/// Tables of which each copy of the host has its own rows.
const TABLES: [&str; 13] = [
    "container",
    "container_layer",
    "container_mount",
    "container_network",
    "image",
    "image_layer",
    "image_reference",
    "layer",
    "log_file",
    "network",
    "trace",
    "tree",
    "volume",
];

/// Names that are no ids, and have to differ all the same.
const NAMES: [&str; 8] = [
    "container.name",
    "container_mount.name",
    "image_reference.reference",
    "layer.link",
    "network.name",
    "trace.host_path",
    "trace.name",
    "volume.name",
];

/// Columns of copies that lead to rows of the same copy, and the tables of these.
const LEADS: [(&str, &str); 5] = [
    ("container_id", "container"),
    ("image_id", "image"),
    ("layer_id", "layer"),
    ("tree_id", "tree"),
    ("volume_id", "volume"),
];

/// Adds copies of a case's one host to it, as if it had so many times as many of everything, with ids of their own.
fn multiply(case: &Path, times: i64) -> Connection {
    let db = Connection::open(case).unwrap();
    crate::support::know_regexp(&db);
    let id = Regex::new("[0-9a-f]{64}").unwrap();
    let other = move |column: &str, text: &str, n: i64| {
        let ids = id.replace_all(text, |c: &regex::Captures<'_>| {
            format!("{n:06x}{}", &c[0][6..])
        });
        match NAMES.contains(&column) && ids == text {
            true => format!("{text}.{n}"),
            false => ids.into_owned(),
        }
    };
    db.create_scalar_function("other", 3, FunctionFlags::SQLITE_UTF8, move |a| {
        let text: Option<String> = a.get(1)?;
        Ok(text.map(|text| other(&a.get::<String>(0).unwrap(), &text, a.get(2).unwrap())))
    })
    .unwrap();
    let most = |table: &str| one::<i64>(&db, &format!("SELECT max(id) FROM {table}"));
    let mut sql = "PRAGMA foreign_keys = OFF; BEGIN;".to_owned();
    for table in TABLES {
        let mut stmt = db
            .prepare("SELECT name, type FROM pragma_table_info(?)")
            .unwrap();
        let columns = stmt.query_map([table], |r| Ok((r.get(0)?, r.get(1)?)));
        let columns: Vec<(String, String)> = columns.unwrap().collect::<Result<_, _>>().unwrap();
        let value = |(name, kind): &(String, String)| {
            let to = LEADS.iter().find(|(column, _)| column == name);
            match (name.as_str(), to) {
                ("id", _) => format!("id + n * {}", most(table)),
                (_, Some((_, to))) => format!("{name} + n * {}", most(to)),
                _ if kind == "TEXT" => format!("other('{table}.{name}', {name}, n)"),
                _ => name.clone(),
            }
        };
        let values: Vec<String> = columns.iter().map(value).collect();
        let which = if table == "trace" {
            "kind <> 'folder'"
        } else {
            "1"
        };
        sql += &format!(
            "CREATE TEMP TABLE own AS SELECT * FROM {table} WHERE {which};
             INSERT INTO {table} WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {times} - 1)
             SELECT {} FROM n, own;
             DROP TABLE own;",
            values.join(", ")
        );
    }
    db.execute_batch(&(sql + "COMMIT;")).unwrap();
    db
}

/// The sample host so many times, and what was done to it.
fn hosts(case: &Path, damage: &str) -> [Connection; 3] {
    [6, 12, 24].map(|times| {
        let dir = crate::support::folder();
        let copy = dir.path().join("case.db");
        std::fs::copy(case, &copy).unwrap();
        let db = multiply(&copy, times);
        db.execute_batch(damage).unwrap();
        db // its file is open, and needs no name
    })
}

/// What deletions and faults leave, of which `gaps` and `orphans` tell.
const DAMAGE: [(&str, &str); 9] = [
    (
        "no records of containers' layers",
        "DELETE FROM trace WHERE kind = 'mount-record'; UPDATE container SET layer_id = NULL; UPDATE layer SET role = 'unowned', looks_like = role WHERE role IN ('container', 'init');",
    ),
    (
        "no layers' files",
        "UPDATE layer SET host_path = NULL; DELETE FROM trace WHERE kind = 'layer';",
    ),
    (
        "no links and logs",
        "DELETE FROM trace WHERE kind = 'link'; DELETE FROM log_file;",
    ),
    (
        "no containers",
        "DELETE FROM container; DELETE FROM container_layer; DELETE FROM container_mount; DELETE FROM container_network; DELETE FROM trace WHERE kind = 'container';",
    ),
    (
        "no config.v2.json",
        "UPDATE container SET source_id = NULL;",
    ),
    (
        "no images",
        "DELETE FROM image; DELETE FROM image_layer; DELETE FROM trace WHERE kind = 'image'; UPDATE container SET image_id = NULL; UPDATE image_reference SET image_id = NULL;",
    ),
    (
        "no layers' records",
        "DELETE FROM trace WHERE kind = 'layer-record'; UPDATE layer SET chain_id = NULL, diff_id = NULL; DELETE FROM network;",
    ),
    (
        "as many image stores as containers",
        "INSERT INTO trace (engine_id, kind, name, driver, holds, removal, host_path, mtime, crtime)
         SELECT engine_id, 'folder', 'image/of' || id || '/layerdb/mounts', 'of' || id, 'mount-record', 1, '/image/of' || id || '/layerdb/mounts', 2000000000, 1 FROM container;
         INSERT INTO image_store SELECT engine_id, 'of' || id FROM container;
         UPDATE container SET driver = 'of' || id; DELETE FROM trace WHERE kind = 'mount-record';",
    ),
    (
        "no volumes",
        "DELETE FROM trace WHERE kind = 'volume'; UPDATE volume SET mount_point = NULL; DELETE FROM container_mount WHERE container_id % 2;",
    ),
];

/// Whether twice as much costs twice as much: what the larger half of the largest adds against the smaller's.
#[track_caller]
fn is_linear(hosts: &[Connection; 3], query: &str, what: &str) -> usize {
    let costs = hosts.each_ref().map(|db| cost(db, query, &[], usize::MAX));
    let [a, b, c] = costs.map(|(steps, _)| i64::from(steps));
    let (half, whole) = (b - a, c - b);
    assert!(
        whole * 10 <= half * 22 + 10_000,
        "{query}, {what}: {a}, {b}, {c} instructions"
    );
    costs[2].1
}

#[test]
fn twice_as_much_costs_twice_as_much() {
    let (_host, mount) = sample();
    let (_dir, case) = ingest(&mount, 0);
    let whole = hosts(&case, "");
    let containers: i64 = one(&whole[2], "SELECT count(*) FROM container");
    assert!(containers > 700, "{containers}");
    let mut rows = 0;
    for query in dof::query::catalogue() {
        rows += is_linear(&whole, &query.name, "as it was");
    }
    assert!(rows > 10_000, "{rows}");
    for (what, damage) in DAMAGE {
        let damaged = hosts(&case, damage);
        let rows = ["gaps", "orphans"].map(|query| is_linear(&damaged, query, what));
        assert!(rows[0] + rows[1] > 1_000, "{what}: {rows:?}");
    }
}

/// Of many containers that may own a layer twenty are named: each row would otherwise name them all.
#[test]
fn few_of_many_containers_are_named() {
    let (_host, mount) = sample();
    let (_dir, case) = ingest(&mount, 0);
    let damage = DAMAGE[0].1;
    let [few, ..] = hosts(&case, damage);
    let names = "SELECT coalesce(name, full_id) FROM container ORDER BY 1 LIMIT 20";
    let mut stmt = few.prepare(names).unwrap();
    let names = stmt.query_map([], |r| r.get(0)).unwrap();
    let names: Vec<String> = names.collect::<Result<_, _>>().unwrap();
    let total: i64 = one(&few, "SELECT count(*) FROM container");
    let want = format!("{} or one of {} more", names.join(" or "), total - 20);
    let sql = dof::query::find("gaps").unwrap().sql;
    let mut stmt = few.prepare(&sql).unwrap();
    let mut rows = stmt.raw_query();
    let mut named = 0;
    while let Some(row) = rows.next().unwrap() {
        let detail: Option<String> = row.get("detail").unwrap();
        if let Some(detail) = detail.filter(|d| d.contains("may_be")) {
            let detail: serde_json::Value = serde_json::from_str(&detail).unwrap();
            assert_eq!(detail["may_be"], want);
            named += 1;
        }
    }
    assert!(named > 50, "{named}");
}
