//! overlay2's `lower` files: the layers the engine mounts below one, topmost first, as names of links or, rarely, of folders
//! (moby daemon/graphdriver/overlay2). The engine goes by these files, not by the records in `layerdb`.

use crate::evidence::{Error, Evidence, EvidencePath};

/// One entry of a `lower` file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// As it stands there: `l/NAME`.
    pub name: String,
    /// Where it leads; `None` when nothing is there.
    pub target: Option<EvidencePath>,
}

impl Entry {
    /// The cache ID of the layer of this folder of layers that it leads to.
    pub fn cache_id(&self, layers: &EvidencePath) -> Option<String> {
        let target = self.target.as_ref()?;
        let home = target.parent();
        let is_layer = target.file_name() == b"diff" && home.parent() == *layers;
        is_layer.then(|| crate::text::lossless(home.file_name()).into_owned())
    }

    /// For a message: the layer or the path it leads to, its own name when nothing is there.
    pub fn shown(&self, layers: &EvidencePath) -> String {
        self.cache_id(layers).unwrap_or_else(|| match &self.target {
            Some(target) => target.host(),
            None => self.name.clone(),
        })
    }
}

/// The entries of a `lower` file. `layers` is the folder of layers it stands in a layer of.
pub fn entries(evidence: &Evidence, layers: &EvidencePath, lower: &str) -> Vec<Entry> {
    let entry = |name: &str| Entry {
        name: name.into(),
        target: leads(evidence, &below(layers, name.as_bytes())),
    };
    names(lower).map(entry).collect()
}

/// The names in a `lower` file.
pub fn names(lower: &str) -> impl Iterator<Item = &str> {
    lower.split(':').filter(|name| !name.is_empty())
}

/// Where a link leads, which need not be there; what is no link, to itself.
pub fn leads(evidence: &Evidence, path: &EvidencePath) -> Option<EvidencePath> {
    match evidence.read_link(path) {
        Ok(target) if target.starts_with(b"/") => Some(below(&EvidencePath::root(), &target)),
        Ok(target) => Some(below(&path.parent(), &target)),
        Err(Error::Missing) => None,
        Err(_) => evidence.exists(path).then(|| path.clone()),
    }
}

/// A path as its text alone has it: each `..` takes the component before it away.
fn below(dir: &EvidencePath, path: &[u8]) -> EvidencePath {
    let mut at = dir.clone();
    for part in path.split(|&b| b == b'/') {
        at = if part == b".." {
            at.parent()
        } else {
            at.join(part)
        };
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn where_entries_lead() {
        let dir = tempfile::tempdir().unwrap();
        let links = dir.path().join("docker/overlay2/l");
        std::fs::create_dir_all(&links).unwrap();
        std::fs::create_dir_all(dir.path().join("docker/overlay2/c/diff")).unwrap();
        for (name, to) in [
            ("A", "../a/diff"),
            ("B", "/srv/evil"),
            ("C", "../../../../srv/evil"),
            ("D", "../a"),
        ] {
            symlink(to, links.join(name)).unwrap();
        }
        let evidence = Evidence::open(dir.path()).unwrap();
        let layers = EvidencePath::new("docker/overlay2");
        let all = entries(
            &evidence,
            &layers,
            "l/A:l/B:l/C:l/D:c/diff:l/../c/diff:l/X:",
        );
        let shown: Vec<String> = all.iter().map(|e| e.shown(&layers)).collect();
        assert_eq!(
            shown,
            [
                "a",
                "/srv/evil",
                "/srv/evil",
                "/docker/overlay2/a",
                "c",
                "c",
                "l/X"
            ]
        );
        assert_eq!(all[0].cache_id(&layers).as_deref(), Some("a"));
        assert_eq!((all[3].cache_id(&layers), &all[6].target), (None, &None));
    }
}
