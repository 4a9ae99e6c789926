//! What people call containers and images, to exactly one of them: name, full id or unique prefix; tag, digest, id.

use rusqlite::Connection;

/// Why a reference names nothing, or too much.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing of that name.
    #[error("no {kind} {asked}; there are:\n{candidates}")]
    Unknown {
        /// container or image.
        kind: &'static str,
        /// What was asked for.
        asked: String,
        /// What there is, a line each.
        candidates: String,
    },
    /// Several of that name.
    #[error("{asked} may be any of these {kind}s:\n{candidates}")]
    Ambiguous {
        /// container or image.
        kind: &'static str,
        /// What was asked for.
        asked: String,
        /// What it may be, a line each.
        candidates: String,
    },
    /// SQLite said no.
    #[error("{0}")]
    Sqlite(#[from] rusqlite::Error),
}

/// The full id of the one container that `asked` names.
///
/// # Errors
/// [`Error`] lists the candidates.
pub fn container(db: &Connection, asked: &str) -> Result<String, Error> {
    one(
        db,
        "container",
        asked,
        "SELECT c.full_id, coalesce(c.name, '<no name>') || '  on ' || coalesce(h.name, '<no name>') || ' (' || h.mount || ')',
                2 * (c.full_id = ?1) + (c.name = ltrim(?1, '/')) AS exact,
                c.name = ltrim(?1, '/') OR (?1 <> '' AND substr(c.full_id, 1, length(?1)) = ?1)
           FROM container c JOIN engine e ON e.id = c.engine_id JOIN host h ON h.id = e.host_id ORDER BY c.name, c.full_id, h.id",
    )
}

/// The full id (`sha256:...`) of the one image that `asked` names.
///
/// # Errors
/// [`Error`] lists the candidates.
pub fn image(db: &Connection, asked: &str) -> Result<String, Error> {
    let familiar = familiar(asked);
    let asked = familiar.as_str();
    one(
        db,
        "image",
        asked,
        "SELECT i.full_id, coalesce((SELECT group_concat(reference, ', ') FROM image_reference r WHERE r.image_id = i.id), '<none>') || '  on ' || coalesce(h.name, '<no name>') || ' (' || h.mount || ')',
                2 * (i.full_id = ?1 OR substr(i.full_id, 8) = ?1) + EXISTS (SELECT 1 FROM image_reference r WHERE r.image_id = i.id AND r.reference IN (?1, ?1 || ':latest')),
                EXISTS (SELECT 1 FROM image_reference r WHERE r.image_id = i.id AND (r.reference IN (?1, ?1 || ':latest') OR r.digest = ?1))
                OR (?1 <> '' AND (substr(i.full_id, 1, length(?1)) = ?1 AND length(?1) > 7 OR substr(i.full_id, 8, length(?1)) = ?1))
           FROM image i JOIN engine e ON e.id = i.engine_id JOIN host h ON h.id = e.host_id
          ORDER BY NOT EXISTS (SELECT 1 FROM image_reference r WHERE r.image_id = i.id), i.full_id, h.id",
    )
}

/// An image's name as Docker keeps it: without the registry that is meant anyway, and without a tag beside a digest
/// (github.com/distribution/reference, `FamiliarString`).
fn familiar(asked: &str) -> String {
    let name = ["docker.io/", "index.docker.io/"]
        .iter()
        .find_map(|registry| asked.strip_prefix(registry))
        .map_or(asked, |rest| rest.strip_prefix("library/").unwrap_or(rest));
    match name.split_once('@') {
        Some((before, digest)) => {
            let slash = before.rfind('/').map_or(0, |i| i + 1);
            let end = before[slash..]
                .find(':')
                .map_or(before.len(), |i| slash + i);
            format!("{}@{digest}", &before[..end])
        }
        None => name.to_owned(),
    }
}

fn one(db: &Connection, kind: &'static str, asked: &str, sql: &str) -> Result<String, Error> {
    let mut stmt = db.prepare(sql)?;
    let rows = stmt.query_map([asked], |r| {
        Ok((
            r.get::<_, String>(0)?,
            r.get::<_, String>(1)?,
            r.get::<_, Option<i64>>(2)?.unwrap_or(0),
            r.get::<_, Option<bool>>(3)?.unwrap_or(false),
        ))
    })?;
    let all: Vec<_> = rows.collect::<rusqlite::Result<_>>()?;
    let list = |rows: &[&(String, String, i64, bool)]| {
        let line = |r: &&(String, String, i64, bool)| {
            format!(
                "  {}  {}",
                crate::text::printable(&r.0),
                crate::text::printable(&r.1)
            )
        };
        let mut lines: Vec<String> = rows.iter().take(20).map(line).collect();
        if rows.len() > 20 {
            lines.push(format!("  and {} more", rows.len() - 20));
        }
        lines.join("\n")
    };
    let hits: Vec<_> = all.iter().filter(|r| r.3).collect();
    let best = hits.iter().map(|r| r.2).max().unwrap_or(0);
    let exact: Vec<_> = hits.iter().filter(|r| r.2 == best).copied().collect();
    match exact.as_slice() {
        [row] => Ok(row.0.clone()),
        // The same id on two hosts (a clone, a backup) names them both, and is as far as a name goes.
        [first, rest @ ..] if first.2 >= 2 && rest.iter().all(|r| r.0 == first.0) => {
            Ok(first.0.clone())
        }
        [] => Err(Error::Unknown {
            kind,
            asked: asked.into(),
            candidates: list(&all.iter().collect::<Vec<_>>()),
        }),
        several => Err(Error::Ambiguous {
            kind,
            asked: asked.into(),
            candidates: list(several),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::familiar;

    #[test]
    fn names_as_docker_keeps_them() {
        for (asked, kept) in [
            ("httpd:2.4", "httpd:2.4"),
            ("docker.io/library/httpd:2.4", "httpd:2.4"),
            ("docker.io/shop/web:1.0", "shop/web:1.0"),
            (
                "localhost:5000/a/b:1@sha256:12",
                "localhost:5000/a/b@sha256:12",
            ),
            ("shop/web@sha256:12", "shop/web@sha256:12"),
        ] {
            assert_eq!(familiar(asked), kept);
        }
    }
}
