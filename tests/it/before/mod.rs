//! The views that worked out at each question what layers hide, beside the tables that say it now: the same files, changes and
//! answers. The files here are the schema and queries as they were; they run as temporary views over a case of today.
//! To be deleted with them, once that has held.

use crate::support::made::Host;
use crate::support::mounts::{STORY, story};
use crate::support::oracle::{recorded_btrfs, recorded_disk};
use crate::support::stacks::{host_of, stacks};
use crate::support::{
    Need, dof, evidence, folder, has, hashed, one, open, rows, run, sample, text,
};
use fallible_iterator::FallibleIterator;
use proptest::prelude::*;
use rusqlite::types::ValueRef;
use rusqlite::{Batch, Connection};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// The tables that the old views have beside those of today, and what they take from tables that have changed.
const TABLES: &str = "
    CREATE TEMP TABLE mount_place (id INTEGER PRIMARY KEY, container_id, place, kind, source, tree_id);
    CREATE TEMP TABLE merged_root (what, id, container_id, image_id, views, kind_bits, renames, PRIMARY KEY (what, id)) WITHOUT ROWID;
    CREATE TEMP VIEW tree AS
    SELECT *, (SELECT v.id FROM main.volume v WHERE v.tree_id = t.id) AS volume_id FROM main.tree t;";

const VIEWS: [&str; 2] = [include_str!("merged.sql"), include_str!("changes.sql")];

/// What fills the tables, as an ingest did for each host.
const DERIVED: &str = include_str!("derived.sql");

/// What is compared: a name, the old rows and the new ones. (`temp` has the old views under their own names.) The content of a metacopy was not found below renamed directories.
const PAIRS: [(&str, &str, &str); 5] = [
    (
        "files of containers",
        "SELECT container_id, path, file_id FROM temp.container_file",
        "SELECT container_id, path, file_id FROM main.container_file",
    ),
    (
        "what mounts hide",
        "SELECT container_id, path, file_id, hidden_by FROM temp.container_file",
        "SELECT container_id, path, file_id, hidden_by FROM main.container_file",
    ),
    (
        "files of images",
        "SELECT image_id, path, file_id FROM temp.image_file",
        "SELECT image_id, path, file_id FROM main.image_file",
    ),
    (
        "changes",
        "SELECT container_id, path, change, file_id, below_id, iif(EXISTS (SELECT 1 FROM main.file f WHERE f.id IN (file_id, below_id) AND f.overlay LIKE '%metacopy%'), NULL, same_content) AS same_content FROM temp.container_change",
        "SELECT container_id, path, change, file_id, before_id AS below_id, iif(EXISTS (SELECT 1 FROM main.file f WHERE f.id IN (file_id, before_id) AND f.overlay LIKE '%metacopy%'), NULL, same_content) AS same_content FROM main.container_change WHERE made_in = 'own'",
    ),
    (
        "places of mounts",
        "SELECT container_id, place, kind, source, tree_id FROM temp.mount_place",
        "SELECT container_id, place, kind, source, tree_id FROM main.mount_place",
    ),
];

/// Queries whose rows are compared in the columns that both have, and the old texts.
const QUERIES: [(&str, &str); 4] = [
    ("container-files", include_str!("container-files.sql")),
    ("image-files", include_str!("image-files.sql")),
    ("drift", include_str!("drift.sql")),
    ("whose", include_str!("whose.sql")),
];

/// Columns that say more or the same in other words: how an image is called; the layer of a metacopy's content, which was not
/// found below renamed directories.
const OTHERWISE: [&str; 2] = ["image", "data_layer"];

/// A case with the old views.
fn old(case: &Path) -> Connection {
    let db = open(case);
    db.execute_batch(TABLES).unwrap();
    for views in VIEWS {
        db.execute_batch(&views.replace("\nCREATE VIEW", "\nCREATE TEMP VIEW"))
            .unwrap();
    }
    let hosts: i64 = one(&db, "SELECT max(id) FROM host");
    for host in 1..=hosts {
        let values = [(":host", host), (":levels", 16), (":nested", 1_000_000)];
        let mut batch = Batch::new(&db, DERIVED);
        while let Some(mut stmt) = batch.next().unwrap() {
            for (name, value) in values {
                if let Some(at) = stmt.parameter_index(name).unwrap() {
                    stmt.raw_bind_parameter(at, value).unwrap();
                }
            }
            stmt.raw_execute().unwrap();
        }
    }
    db
}

/// How often there is each row.
type Bag = BTreeMap<String, i64>;

/// The rows of a query with these parameters.
fn ask(db: &Connection, sql: &str, bind: &[(&str, &str)]) -> Vec<Map<String, Value>> {
    let mut stmt = db.prepare(sql).unwrap();
    for (name, value) in bind {
        let at = stmt.parameter_index(&format!(":{name}")).unwrap().unwrap();
        stmt.raw_bind_parameter(at, value).unwrap();
    }
    let names: Vec<String> = stmt.column_names().iter().map(|n| n.to_string()).collect();
    let mut rows = stmt.raw_query();
    let mut all = Vec::new();
    while let Some(row) = rows.next().unwrap() {
        let value = |i| match row.get_ref(i).unwrap() {
            ValueRef::Null => Value::Null,
            ValueRef::Integer(n) => n.into(),
            ValueRef::Real(n) => n.into(),
            ValueRef::Text(t) => String::from_utf8_lossy(t).into(),
            ValueRef::Blob(_) => panic!("no query answers in bytes"),
        };
        let named = names.iter().enumerate();
        all.push(named.map(|(i, n)| (n.clone(), value(i))).collect());
    }
    all
}

fn bag(rows: impl IntoIterator<Item = String>) -> Bag {
    let mut bag = Bag::new();
    for row in rows {
        *bag.entry(row).or_default() += 1;
    }
    bag
}

/// What one has and the other has not; the number of rows compared.
#[track_caller]
fn same(what: &str, before: &Bag, now: &Bag) -> i64 {
    let gone = |from: &Bag, other: &Bag, sign: &str| -> Vec<String> {
        from.iter()
            .filter(|(row, n)| other.get(*row) != Some(n))
            .map(|(row, n)| format!("{sign} {n} times {row}"))
            .collect()
    };
    let mut differ = gone(before, now, "before");
    let lost = differ.len();
    differ.extend(gone(now, before, "now"));
    let (all, more) = (differ.len(), differ.len() - lost);
    differ.sort_by_key(|line| line.split_once(" times ").unwrap().1.to_owned());
    differ.truncate(20);
    assert!(
        all == 0,
        "{what}: {lost} before, {more} now:\n{}",
        differ.join("\n")
    );
    before.values().sum()
}

/// Holds a case against what the old views say of it; the number of rows compared.
#[track_caller]
fn as_before(what: &str, case: &Path) -> i64 {
    let db = old(case);
    let mut compared = 0;
    for (name, before, now) in PAIRS {
        let [before, now] = [before, now].map(|sql| {
            bag(ask(&db, sql, &[])
                .into_iter()
                .map(|row| Value::from(row).to_string()))
        });
        compared += same(&format!("{what}: {name}"), &before, &now);
    }
    compared
}

/// Holds the answers of queries against those of the old texts.
#[track_caller]
fn answers_as_before(what: &str, case: &Path) -> i64 {
    let db = old(case);
    let nested = "SELECT host_path FROM main.tree WHERE id IN (SELECT inner_id FROM tree_nesting)";
    let nested = ask(&db, nested, &[]);
    let nested: Vec<&Value> = nested.iter().map(|row| &row["host_path"]).collect();
    let mut compared = 0;
    for (name, sql) in QUERIES {
        let mut asked = vec![Vec::new()];
        if name == "whose" {
            let paths = "SELECT host_path FROM file_text WHERE file_id % 97 = 0
                UNION SELECT path FROM container_file WHERE file_id % 89 = 0";
            let paths = ask(&db, paths, &[]).into_iter();
            asked = paths
                .map(|row| row.values().next().unwrap().as_str().unwrap().to_owned())
                // A GLOB, or a name that is printed like another's bytes, is asked for otherwise.
                .filter(|path| !path.contains(['*', '?', '[', '\\']))
                .take(40)
                .map(|path| vec![("path", path)])
                .collect();
            for pattern in ["/etc/*", "*/tmp/*", "passwd", "/var/log*"] {
                asked.push(vec![("path", pattern.to_owned())]);
            }
        }
        for bind in asked {
            let bind: Vec<(&str, &str)> = bind.iter().map(|(n, v)| (*n, v.as_str())).collect();
            let mut words = vec![name.to_owned()];
            for (name, value) in &bind {
                words.extend([format!("--{name}"), (*value).to_owned()]);
            }
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let mut now = rows(case, &words);
            now.retain(|row| row["made_in"] != "init");
            let mut before = ask(&db, sql, &bind);
            // The root of a tree within a mounted one is an entry of that, as `container-files` has it, and no file of its own.
            if name == "whose" {
                now.retain(|row| !nested.contains(&&row["host_path"]));
                before.retain(|row| !nested.contains(&&row["host_path"]));
            }
            let both = |row: &Map<String, Value>, other: Option<&Map<String, Value>>| {
                let mut row = row.clone();
                row.retain(|column, _| {
                    other.is_none_or(|other| other.contains_key(column))
                        && !OTHERWISE.contains(&column.as_str())
                });
                // Of `whose` the topmost entry that hides, or the lowest, is named.
                if name == "whose" && row["hidden_by"].is_string() {
                    row["hidden_by"] = "hidden".into();
                }
                Value::from(row).to_string()
            };
            let of = |rows: &[Value]| rows.first().and_then(|row| row.as_object().cloned());
            let first = of(&now);
            let ours = bag(now
                .iter()
                .map(|row| both(row.as_object().unwrap(), before.first())));
            let theirs = bag(before.iter().map(|row| both(row, first.as_ref())));
            compared += same(&format!("{what}: {words:?}"), &theirs, &ours);
        }
    }
    compared
}

#[test]
fn the_sample() {
    let (_host, mount) = sample();
    let (_dir, case) = hashed(&mount, &[], 0);
    let compared = as_before("sample", &case);
    assert!(compared > 4_000, "{compared}");
}

#[test]
fn answers_about_the_sample() {
    let (_host, mount) = sample();
    let (_dir, case) = hashed(&mount, &[], 0);
    let compared = answers_as_before("sample", &case);
    assert!(compared > 2_000, "{compared}");
}

#[test]
fn recorded_hosts() {
    if !has(&[Need::Evidence]) {
        return;
    }
    let evidence = evidence().unwrap();
    let mut compared = Vec::new();
    for entry in fs::read_dir(&evidence).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        let Some(name) = name.strip_suffix(".tar.zst") else {
            continue;
        };
        let (host, to) = (folder(), folder());
        let script = evidence.join("extract.sh");
        let unpacked = run("bash", &[text(&script), text(&path), text(host.path())]);
        unpacked.unwrap().with(0);
        let case = to.path().join("case.db");
        let ran = dof(["ingest", text(host.path()), text(&case)]);
        // Other engines' hosts are none to dof.
        if ran.code <= 1 {
            compared.push((name.to_owned(), as_before(name, &case)));
        }
    }
    eprintln!("{compared:?}");
    assert!(compared.len() >= 6, "{compared:?}");
}

#[test]
fn recorded_disks() {
    let needs = [
        Need::Evidence,
        Need::Loop,
        Need::Mounts("ext4"),
        Need::Mounts("xfs"),
    ];
    if !has(&needs) || !has(&[Need::Mounts("btrfs"), Need::Program("sfdisk")]) {
        return;
    }
    for (name, partition) in [
        ("disk-image-docker26", 3),
        ("disk-image-gpt-docker26", 4),
        ("disk-image-dirty-docker26", 3),
    ] {
        let (_dir, mounted) = recorded_disk(name, partition);
        let to = folder();
        let case = to.path().join("case.db");
        assert!(dof(["ingest", text(&mounted.0), text(&case)]).code <= 1);
        assert!(as_before(name, &case) > 100, "{name}");
    }
    let (dir, _mounted) = recorded_btrfs();
    let to = folder();
    let case = to.path().join("case.db");
    assert!(dof(["ingest", text(&dir.path().join("host")), text(&case)]).code <= 1);
    assert!(as_before("btrfs", &case) > 100);
}

/// Redirects, chains of them, metacopies, as the kernel writes them.
#[test]
fn renamed_directories() {
    if !has(&[Need::Mounts("overlay"), Need::Program("setfattr")]) {
        return;
    }
    let host = Host::of("overlay2");
    let (_, names) = story(&host);
    for i in 0..STORY.len() {
        for records in ["image", "containers"] {
            let _ = fs::remove_dir_all(host.root().join(records));
        }
        host.stack("c", &names[..=i]);
        let (_dir, case) = hashed(host.dir.path(), &[], 0);
        assert!(as_before(&format!("story {i}"), &case) > 50);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, max_shrink_iters: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_stacks(stacks in stacks()) {
        let host = host_of(&stacks, true);
        let (_dir, case) = hashed(host.dir.path(), &[], 0);
        as_before("random", &case);
        answers_as_before("random", &case);
    }
}
