//! Where a container's mounts stand: the rows of `mount_place`, but for trees within mounted trees.

use super::entries::{Entries, Fault, Part, View};
use super::stacks::{Made, Stacks};
use crate::overlay::compare::{LINK, TYPE};
use crate::overlay::lookup::{Node, find};
use crate::overlay::place::{Stop, follow};
use crate::text::lossless;
use rusqlite::Connection;

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
        let written = || mount.destination.trim_end_matches('/').to_owned();
        let place = place(&view, &mount.destination)?.unwrap_or_else(written);
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

/// Where a path leads in a view, symbolic links followed: without a trailing slash, and empty for /. `None` where links lead
/// in a circle.
pub fn place(view: &View<'_, '_>, path: &str) -> Result<Option<String>, Fault> {
    let look = |dir: &Vec<Part>, name: &[u8], _: &[u8]| {
        Ok::<_, Fault>(match find(view, dir, name)? {
            Some(Node::Dir(merged)) => Stop::Dir(merged.parts),
            Some(Node::Leaf(leaf, _)) if leaf.entry.mode & TYPE == LINK => {
                Stop::Link(view.entries.link(leaf.entry.id)?)
            }
            _ => Stop::End,
        })
    };
    let place = follow(&view.roots, path.as_bytes(), look)?;
    Ok(place.map(|place| match lossless(&place) {
        root if root.is_empty() => String::new(),
        place => format!("/{place}"),
    }))
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
