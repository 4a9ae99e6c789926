//! What a storage driver is: where it keeps a layer's files, and how it marks deletions. Which drivers there are, each engine
//! says (`docker/drivers.rs`).

use crate::evidence::EvidencePath;
use crate::overlay::{Marks, Stacking};

/// How a storage driver lays layers out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Driver {
    /// Its name, which is also its folder's.
    pub name: &'static str,
    /// Folder of layers below the data root.
    pub folder: &'static str,
    /// The files within a layer's folder; candidates in order.
    pub within: &'static [&'static str],
    /// How it marks deletions, rootful.
    pub marks: Marks,
    /// What of a stack of layers makes the file system.
    pub stacking: Stacking,
    /// Where the whole file system of a container is mounted, below its own layer's folder or, where it begins with a
    /// slash, in that folder below the data root.
    pub mounted: Option<&'static str>,
    /// Folders among the layers that are none.
    pub not_layers: &'static [&'static str],
}

impl Driver {
    /// How it marks deletions in an engine of root's or of a user's.
    pub fn marks(&self, rootless: bool) -> Marks {
        match self.marks {
            Marks::Overlay if rootless => Marks::RootlessOverlay,
            marks => marks,
        }
    }

    /// The folder that holds a folder a layer.
    pub fn layers(&self, root: &EvidencePath) -> EvidencePath {
        root.join(self.folder)
    }

    /// A layer's own folder.
    pub fn home(&self, root: &EvidencePath, cache_id: &str) -> EvidencePath {
        self.layers(root).join(one_component(cache_id))
    }

    /// Where the whole file system of a container whose own layer this is was mounted. `None` where that is the layer itself.
    pub fn mounted(&self, root: &EvidencePath, cache_id: &str) -> Option<EvidencePath> {
        let place = self.mounted?;
        Some(match place.strip_prefix('/') {
            Some(folder) => root.join(folder).join(one_component(cache_id)),
            None => self.home(root, cache_id).join(place),
        })
    }

    /// The folder of the layers' short names, where it has one.
    pub fn links(&self, root: &EvidencePath) -> Option<EvidencePath> {
        let has = !self.is_layer(b"l");
        has.then(|| self.layers(root).join("l"))
    }

    /// Where a layer's files may stand, most likely first.
    pub fn candidates(
        &self,
        root: &EvidencePath,
        cache_id: &str,
    ) -> impl Iterator<Item = EvidencePath> {
        let home = self.home(root, cache_id);
        self.within.iter().map(move |w| home.join(w))
    }

    /// Whether an entry of the layers' folder is a layer.
    pub fn is_layer(&self, name: &[u8]) -> bool {
        !self.not_layers.iter().any(|n| n.as_bytes() == name)
    }
}

/// A cache ID is a name and no path: what a hostile one says after a slash is no folder of ours.
fn one_component(cache_id: &str) -> String {
    cache_id
        .chars()
        .map(|c| if c == '/' || c == '\0' { '_' } else { c })
        .collect::<String>()
        .replace("..", "__")
}
