//! Owners as an engine with a user namespace of its own writes them: ids of the archive shifted by the subordinate ids of
//! its user (subuid(5), moby pkg/idtools).

use crate::evidence::{Evidence, EvidencePath};

/// Ids of the archive to ids on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owners {
    /// The same.
    Same,
    /// Ranges of (first in the archive, first on disk, how many): users, groups.
    Mapped([Vec<(u32, u32, u32)>; 2]),
    /// Shifted by what is not known: what most files say.
    Unknown,
}

impl Owners {
    /// Those of a data root: one of userns-remap is called `UID.GID`, one of a user's own engine lies in a home.
    pub fn of(evidence: &Evidence, data_root: &EvidencePath, rootless: bool) -> Owners {
        let text = |path: &str| -> String {
            let read = evidence.read(&EvidencePath::new(path), 1 << 20);
            read.map(|(b, _)| String::from_utf8_lossy(&b).into_owned())
                .unwrap_or_default()
        };
        let root = if rootless {
            match evidence.stat(data_root) {
                Ok(meta) => [meta.uid, meta.gid],
                Err(_) => return Owners::Unknown,
            }
        } else {
            match remapped(data_root.file_name()) {
                Some(root) => root,
                None => return Owners::Same,
            }
        };
        let passwd = text("etc/passwd");
        let name = passwd.lines().find_map(|l| {
            let mut parts = l.split(':');
            let name = parts.next()?;
            (parts.nth(1)?.parse() == Ok(root[0])).then(|| name.to_owned())
        });
        let mut maps = [Vec::new(), Vec::new()];
        for (i, file) in ["etc/subuid", "etc/subgid"].into_iter().enumerate() {
            let file = text(file);
            let user = if rootless {
                name.clone()
            } else {
                owner_of(&file, root[i])
            };
            let mut next = 0u32;
            if rootless {
                maps[i].push((0, root[i], 1));
                next = 1;
            }
            let id = root[0].to_string();
            for (who, first, count) in ranges(&file) {
                if Some(who) == user.as_deref() || rootless && who == id {
                    maps[i].push((next, first, count));
                    next = next.saturating_add(count);
                }
            }
            if next < 2 {
                return Owners::Unknown;
            }
        }
        Owners::Mapped(maps)
    }

    /// The id on disk of one in the archive; `None` when no range has it.
    pub fn on_disk(&self, which: usize, id: u32) -> Option<u32> {
        let Owners::Mapped(maps) = self else {
            return Some(id);
        };
        maps[which].iter().find_map(|(from, to, count)| {
            let at = id.checked_sub(*from)?;
            (at < *count).then(|| to.checked_add(at)).flatten()
        })
    }
}

fn remapped(name: &[u8]) -> Option<[u32; 2]> {
    let (uid, gid) = std::str::from_utf8(name).ok()?.split_once('.')?;
    Some([uid.parse().ok()?, gid.parse().ok()?])
}

/// Who has the range that begins at an id.
fn owner_of(file: &str, first: u32) -> Option<String> {
    ranges(file)
        .find(|(_, f, _)| *f == first)
        .map(|(who, ..)| who.to_owned())
}

/// The lines of a subuid file: name or id, first, count.
fn ranges(file: &str) -> impl Iterator<Item = (&str, u32, u32)> {
    file.lines().filter_map(|l| {
        let mut parts = l.trim().split(':');
        Some((
            parts.next()?,
            parts.next()?.parse().ok()?,
            parts.next()?.parse().ok()?,
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(passwd: &str, subuid: &str, data_root: &str) -> (tempfile::TempDir, EvidencePath) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("etc")).unwrap();
        std::fs::create_dir_all(dir.path().join(data_root)).unwrap();
        for (file, text) in [("passwd", passwd), ("subuid", subuid), ("subgid", subuid)] {
            std::fs::write(dir.path().join("etc").join(file), text).unwrap();
        }
        (dir, EvidencePath::new(data_root))
    }

    #[test]
    fn a_remapped_root() {
        let (dir, root) = host(
            "",
            "x:5:9\ndockremap:100000:10\ndockremap:300000:10\n",
            "docker/100000.100000",
        );
        let owners = Owners::of(&Evidence::open(dir.path()).unwrap(), &root, false);
        let at = |id| owners.on_disk(0, id);
        assert_eq!(
            (at(0), at(9), at(10), at(20)),
            (Some(100_000), Some(100_009), Some(300_000), None)
        );
    }

    #[test]
    fn a_user_s_own() {
        use std::os::unix::fs::MetadataExt;
        let uid = tempfile::tempdir()
            .unwrap()
            .path()
            .metadata()
            .unwrap()
            .uid();
        let passwd = format!("ana:x:{uid}:{uid}::/:/bin/sh\n");
        let (dir, root) = host(&passwd, "ana:100000:65536\n", "docker");
        let evidence = Evidence::open(dir.path()).unwrap();
        let owners = Owners::of(&evidence, &root, true);
        let at = |id| owners.on_disk(0, id);
        assert_eq!((at(0), at(1), at(65_537)), (Some(uid), Some(100_000), None));
        assert_eq!(Owners::of(&evidence, &root, false), Owners::Same);
        let (dir, root) = host("", "", "docker");
        let evidence = Evidence::open(dir.path()).unwrap();
        assert_eq!(Owners::of(&evidence, &root, true), Owners::Unknown);
    }
}
