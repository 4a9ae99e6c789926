//! Where a container's mounts stand: the rows of `mount_place`, but for trees within mounted trees.

use super::entries::{Entries, Fault, Part};
use super::stacks::{Made, Stacks};
use crate::overlay::lookup::{Node, find};
use crate::overlay::place::{Stop, follow};
use crate::text::lossless;
use rusqlite::Connection;

/// A file's bits that say that it is a symbolic link.
const LINK: u32 = 0o120_000;

/// A mount of a container, as its record has it.
struct Mount {
    kind: String,
    source: Option<String>,
    destination: String,
    writable: Option<bool>,
    tree: Option<i64>,
}

/// Writes the places of a container's mounts: symbolic links of its layers followed. What is not there is taken as it is
/// written, and so is a place behind links that lead in a circle. Links within what is mounted are not followed.
pub fn container(
    db: &Connection,
    entries: &Entries<'_>,
    stacks: &Stacks,
    container: &Made,
) -> Result<(), Fault> {
    let mounts = mounts(db, container.id)?;
    if mounts.is_empty() {
        return Ok(());
    }
    let view = stacks.view(entries, container.now)?;
    let mut placed = Vec::new();
    for mount in mounts {
        let place = match follow(&view.roots, mount.destination.as_bytes(), |dir, name, _| {
            look(entries, &view, dir, name)
        })? {
            Some(place) if place.is_empty() => String::new(),
            Some(place) => format!("/{}", lossless(&place)),
            None => mount.destination.trim_end_matches('/').to_owned(),
        };
        placed.push((place, mount));
    }
    placed.sort_by(|(a, m), (b, n)| (a, m.tree, &m.source).cmp(&(b, n.tree, &n.source)));
    let mut put = db.prepare_cached(
        "INSERT INTO mount_place (container_id, place, dir, name, kind, source, writable, tree_id)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    )?;
    for (place, m) in placed {
        let (dir, name) = place.rsplit_once('/').unwrap_or_default();
        put.execute((
            container.id,
            &place,
            dir,
            name,
            m.kind,
            m.source,
            m.writable,
            m.tree,
        ))?;
    }
    Ok(())
}

/// What a merged directory has under a name, for who follows a path.
pub fn look(
    entries: &Entries<'_>,
    view: &super::entries::View<'_, '_>,
    dir: &[Part],
    name: &[u8],
) -> Result<Stop<Vec<Part>>, Fault> {
    Ok(match find(view, dir, name)? {
        Some(Node::Dir(merged)) => Stop::Dir(merged.parts),
        Some(Node::Leaf(leaf, _)) if leaf.entry.mode & crate::overlay::compare::TYPE == LINK => {
            Stop::Link(entries.link(leaf.entry.id)?)
        }
        _ => Stop::End,
    })
}

fn mounts(db: &Connection, container: i64) -> rusqlite::Result<Vec<Mount>> {
    let mut stmt = db.prepare_cached(
        "SELECT m.kind, coalesce(m.name, m.source), m.destination, m.rw, m.tree_id
           FROM container_mount m WHERE m.container_id = ?1
          UNION ALL
         SELECT 'tmpfs', NULL, j.key, instr(',' || j.value || ',', ',ro,') = 0, NULL
           FROM container c, json_each(iif(json_valid(c.tmpfs), c.tmpfs, '{}')) j WHERE c.id = ?1",
    )?;
    let rows = stmt.query_map([container], |r| {
        Ok(Mount {
            kind: r.get(0)?,
            source: r.get(1)?,
            destination: r.get(2)?,
            writable: r.get(3)?,
            tree: r.get(4)?,
        })
    })?;
    rows.collect()
}
