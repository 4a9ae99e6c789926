//! The question whose a file is, however its path was come by: which spellings of it are asked for, and which of the
//! queries `whose`, `whose-pattern` and `whose-record` answer.

use super::Error;
use crate::case::follow_links;
use crate::render::Render;
use rusqlite::Connection;
use rusqlite::types::ValueRef;
use serde_json::json;
use std::collections::BTreeSet;
use std::io;

/// Where a path is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Side {
    Host,
    Container,
    /// In a container, without what is mounted there.
    Layers,
}

/// A spelling of what is asked for. Without a side it may be either.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Spelling {
    path: String,
    side: Option<Side>,
    container: Option<i64>,
}

impl Spelling {
    fn host(path: String) -> Self {
        Spelling {
            path,
            side: Some(Side::Host),
            container: None,
        }
    }

    /// What follows a place it lies at or below.
    fn below<'p>(&'p self, place: &str) -> Option<&'p str> {
        let rest = self.path.strip_prefix(place)?;
        (rest.is_empty() || rest.starts_with('/')).then_some(rest)
    }
}

/// Runs the query `whose` with these arguments into a renderer. Returns the number of rows.
///
/// # Errors
/// Those of [`Query::run`].
pub fn run(
    db: &Connection,
    arguments: &[(String, String)],
    out: &mut dyn Render,
) -> Result<u64, Error> {
    let path = arguments.iter().find(|(name, _)| name == "path");
    let typed = path.map(|(_, path)| cleaned(path));
    let others = arguments.iter().filter(|(name, _)| name != "path");
    let mut given: Vec<(String, String)> = others.cloned().collect();
    let queries: &[&str] = match &typed {
        None => &["whose-pattern"],
        Some(path) if is_pattern(path) => &["whose-pattern", "whose-record"],
        Some(_) => &["whose", "whose-record"],
    };
    if let Some(path) = typed.filter(|_| !given.iter().any(|(name, _)| name == "asked")) {
        let asked: Vec<_> = spellings(db, &path)?.iter().map(as_json).collect();
        given.push(("asked".into(), json!(asked).to_string()));
    }
    let mut one = One { out, begun: false };
    let mut n = 0;
    for name in queries {
        n += super::find(name)?.run_itself(db, &given, &mut one)?;
    }
    out.end()?;
    Ok(n)
}

fn as_json(spelling: &Spelling) -> serde_json::Value {
    let side = spelling.side.map(|side| match side {
        Side::Host => "host",
        Side::Container => "container",
        Side::Layers => "layers",
    });
    json!({"path": spelling.path, "side": side, "container": spelling.container})
}

/// Without a slash at the end, or several in a row.
fn cleaned(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for c in path.chars() {
        if c != '/' || !out.ends_with('/') {
            out.push(c);
        }
    }
    match out.strip_suffix('/') {
        Some(rest) if !rest.is_empty() => rest.to_owned(),
        _ => out,
    }
}

/// Whether it is no whole path: a fragment, or a GLOB.
fn is_pattern(path: &str) -> bool {
    !path.starts_with('/') || path.contains(['*', '?', '['])
}

/// Everything that a path may mean.
fn spellings(db: &Connection, typed: &str) -> Result<BTreeSet<Spelling>, Error> {
    let mut all = BTreeSet::new();
    if typed.is_empty() {
        return Ok(all);
    }
    all.insert(Spelling {
        path: typed.to_owned(),
        side: None,
        container: None,
    });
    all.extend(on_the_host(db, typed)?.into_iter().map(Spelling::host));
    let pattern = is_pattern(typed);
    let as_typed: Vec<Spelling> = all.iter().cloned().collect();
    for spelling in &as_typed {
        all.extend(folders(db, spelling)?);
        for lead in leads(db, spelling)? {
            match lead.container {
                _ if pattern => drop(all.insert(lead)),
                Some(_) => all.extend(links(db, &lead.path, lead.container)?),
                None => {}
            }
        }
    }
    if !pattern {
        all.extend(links(db, typed, None)?);
    }
    Ok(all)
}

/// Where symbolic links lead on the way of a path in containers, or in one alone.
fn links(db: &Connection, path: &str, only: Option<i64>) -> Result<Vec<Spelling>, Error> {
    let mut led = follow_links(db, path)?;
    led.retain(|(container, _)| only.is_none_or(|only| only == *container));
    let spelling = |(container, path)| Spelling {
        path,
        side: Some(Side::Container),
        container: Some(container),
    };
    Ok(led.into_iter().map(spelling).collect())
}

/// A path on the host without what stands before it on the analyst's machine: the mount, or what is before the data root, or
/// before the engine's folders where the data root is another (a link, a disk of its own).
fn on_the_host(db: &Connection, typed: &str) -> Result<Vec<String>, Error> {
    let mut all = Vec::new();
    let mut stmt = db.prepare("SELECT rtrim(mount, '/') FROM host WHERE mount <> '/'")?;
    let mounts = stmt.query_map([], |r| r.get::<_, String>(0))?;
    for mount in mounts {
        let rest = typed.strip_prefix(&mount?[..]);
        all.extend(rest.filter(|r| r.starts_with('/')).map(str::to_owned));
    }
    let mut stmt = db.prepare("SELECT data_root, folders FROM engine")?;
    let mut rows = stmt.query([])?;
    while let Some(row) = rows.next()? {
        let (root, folders): (String, String) = (row.get(0)?, row.get(1)?);
        if let Some(at) = typed.find(&format!("{root}/")).filter(|at| *at > 0) {
            all.push(typed[at..].to_owned());
        }
        let rooted = match typed.starts_with('/') {
            true => typed.to_owned(),
            false => format!("/{typed}"),
        };
        if !typed.starts_with('/') {
            all.push(format!("{root}{rooted}"));
        }
        let folders: Vec<String> = serde_json::from_str(&folders).unwrap_or_default();
        for folder in folders {
            if let Some(at) = rooted.find(&format!("/{folder}/")) {
                all.push(format!("{root}{}", &rooted[at..]));
            }
        }
    }
    Ok(all)
}

/// Where a path leads: through a layer's short name, the folder of a volume that lies elsewhere, the place of a container's
/// whole file system. Whole paths the query leads there itself, but for links on the way.
fn leads(db: &Connection, spelling: &Spelling) -> Result<Vec<Spelling>, Error> {
    let sql = "SELECT DISTINCT r.root, iif(r.container_id IS NULL, rtrim(t.host_path, '/'), ''), r.container_id
                 FROM tree_root r JOIN tree t ON t.id = r.tree_id
                WHERE r.side = 'host' AND r.inner = '' AND r.root <> rtrim(t.host_path, '/')";
    let mut stmt = db.prepare_cached(sql)?;
    let mut rows = stmt.query([])?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        let (place, to): (String, String) = (row.get(0)?, row.get(1)?);
        let container: Option<i64> = row.get(2)?;
        let Some(rest) = spelling.below(&place) else {
            continue;
        };
        let path = match format!("{to}{rest}") {
            path if path.is_empty() => "/".to_owned(),
            path => path,
        };
        all.push(Spelling {
            path,
            side: Some(container.map_or(Side::Host, |_| Side::Layers)),
            container,
        });
    }
    Ok(all)
}

/// The files of a layer or volume, where a path is that of its own folder or of the engine's own files there.
fn folders(db: &Connection, spelling: &Spelling) -> Result<Vec<Spelling>, Error> {
    let sql = "SELECT r.host_path, t.host_path, coalesce(v.mount_point, t.host_path), l.mount_point
                 FROM trace r CROSS JOIN engine g ON g.id = r.engine_id
                      CROSS JOIN tree t ON t.host_id = g.host_id
                      LEFT JOIN layer l ON l.id = t.layer_id
                      LEFT JOIN volume v ON v.tree_id = t.id
                WHERE r.kind IN ('layer', 'layer-record', 'pulled', 'volume')
                  AND substr(?1 || '/', 1, length(r.host_path) + 1) = r.host_path || '/'
                  AND r.belongs = CASE r.kind WHEN 'layer' THEN l.cache_id WHEN 'layer-record' THEN l.chain_id
                                       WHEN 'pulled' THEN l.diff_id ELSE v.name END";
    let mut stmt = db.prepare_cached(sql)?;
    let mut rows = stmt.query([&spelling.path])?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        let tree: String = row.get(1)?;
        let inside: [Option<String>; 3] = [row.get(1)?, row.get(2)?, row.get(3)?];
        let is_inside = |place: String| spelling.below(&place).is_some();
        if !inside.into_iter().flatten().any(is_inside) {
            all.push(Spelling::host(tree));
        }
    }
    Ok(all)
}

/// Several queries of the same columns as one answer.
struct One<'o> {
    out: &'o mut dyn Render,
    begun: bool,
}

impl Render for One<'_> {
    fn begin(&mut self, columns: &[String]) -> io::Result<()> {
        match std::mem::replace(&mut self.begun, true) {
            true => Ok(()),
            false => self.out.begin(columns),
        }
    }

    fn row(&mut self, values: &[ValueRef<'_>]) -> io::Result<()> {
        self.out.row(values)
    }

    fn end(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_whole_path() {
        for (typed, path) in [("/a//b/", "/a/b"), ("/", "/"), ("//", "/"), ("a/", "a")] {
            assert_eq!(cleaned(typed), path);
        }
        assert!(is_pattern("a") && is_pattern("/a*") && !is_pattern("/a"));
    }
}
