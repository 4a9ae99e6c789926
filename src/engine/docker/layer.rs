//! The layer store: `image/DRIVER/layerdb` (moby layer/filestore.go) and the driver's folders.

use super::driver::Driver;
use crate::engine::{Install, Survey};
use crate::evidence::EvidencePath;
use crate::problem::Severity;
use crate::record;
use std::collections::{BTreeMap, HashMap, HashSet};

/// What the layer stores of one data root hold.
#[derive(Default)]
pub struct Layers {
    /// Row ids of image layers by chain ID.
    by_chain: HashMap<String, i64>,
    parent: HashMap<String, String>,
    /// Row ids of container and init layers by driver and cache ID.
    by_cache: HashMap<(String, String), i64>,
    /// Containers' own layers by container id.
    pub mounts: BTreeMap<String, MountedLayers>,
}

/// The layers of one container.
#[derive(Clone, Debug, Default)]
pub struct MountedLayers {
    /// Base first; its own last.
    pub stack: Vec<i64>,
    /// Its own.
    pub own: Option<i64>,
}

impl Layers {
    /// The row id of the image layer with this chain ID.
    pub fn chain(&self, chain_id: &str) -> Option<i64> {
        self.by_chain.get(chain_id).copied()
    }

    /// Reads one driver's layer store and folders.
    pub fn survey(
        &mut self,
        survey: &mut Survey<'_>,
        engine: i64,
        install: &Install,
        driver_name: &str,
    ) {
        let root = &install.root;
        let driver = Driver::named(driver_name);
        let store = root.join("image").join(driver_name).join("layerdb");
        let mut adding = Adding {
            survey,
            engine,
            root,
            rootless: install.rootless,
            driver,
            driver_name,
            layers: self,
        };
        adding.image_layers(&store.join("sha256"));
        adding.mounts(&store.join("mounts"));
    }

    /// Adds the layers on disk that no store knows, for every driver with a folder.
    pub fn unowned(&mut self, survey: &mut Survey<'_>, engine: i64, install: &Install) {
        let root = &install.root;
        for driver in Driver::all() {
            let folder = driver.layers(root);
            let known: HashSet<Vec<u8>> = self
                .by_cache
                .keys()
                .filter(|(d, _)| d == driver.name)
                .map(|(_, id)| id.clone().into_bytes())
                .collect();
            for name in survey.names(&folder) {
                if known.contains(&name)
                    || !driver.is_layer(&name)
                    || !survey.is_dir(&folder.join(&name))
                {
                    continue;
                }
                let cache_id = crate::text::lossless(&name).into_owned();
                let mut adding = Adding {
                    survey,
                    engine,
                    root,
                    rootless: install.rootless,
                    driver: Some(*driver),
                    driver_name: driver.name,
                    layers: self,
                };
                adding.layer("unowned", &cache_id, record::Layer::default());
            }
        }
    }
}

struct Adding<'a, 'e> {
    survey: &'a mut Survey<'e>,
    engine: i64,
    root: &'a EvidencePath,
    rootless: bool,
    driver: Option<Driver>,
    driver_name: &'a str,
    layers: &'a mut Layers,
}

impl Adding<'_, '_> {
    fn image_layers(&mut self, folder: &EvidencePath) {
        for name in self.survey.names(folder) {
            let dir = folder.join(&name);
            let chain_id = format!("sha256:{}", crate::text::lossless(&name));
            let parent = self.survey.line(&dir.join("parent"));
            let size = self.survey.line(&dir.join("size"));
            let row = record::Layer {
                chain_id: Some(chain_id.clone()),
                diff_id: self.survey.line(&dir.join("diff")),
                parent_chain_id: parent.clone(),
                size: size.as_deref().and_then(|s| s.parse().ok()),
                ..record::Layer::default()
            };
            if size.is_some() && row.size.is_none() {
                self.survey.problem(
                    Severity::Warning,
                    &dir.join("size"),
                    "not a number",
                    "the rest of the layer",
                );
            }
            let path = dir.join("cache-id");
            let (cache_id, source) = match self.survey.read_text(&path) {
                Some((id, source)) if !id.is_empty() => (id, Some(source)),
                _ => {
                    self.survey.problem(
                        Severity::Error,
                        &path,
                        "layer without a cache ID: its files cannot be found",
                        "its record",
                    );
                    (String::new(), None)
                }
            };
            let id = self.layer(
                "image",
                &cache_id,
                record::Layer {
                    source_id: source,
                    ..row
                },
            );
            self.layers.by_chain.insert(chain_id.clone(), id);
            if let Some(parent) = parent {
                self.layers.parent.insert(chain_id, parent);
            }
        }
    }

    fn mounts(&mut self, folder: &EvidencePath) {
        for name in self.survey.names(folder) {
            let dir = folder.join(&name);
            let mut stack = Vec::new();
            let mut seen = HashSet::new();
            let mut chain = self.survey.line(&dir.join("parent"));
            while let Some(id) = chain {
                if seen.contains(&id) {
                    self.survey.problem(
                        Severity::Warning,
                        &dir.join("parent"),
                        "layers refer to each other in a circle",
                        format!("each of the {} once", stack.len()),
                    );
                    break;
                }
                match self.layers.chain(&id) {
                    Some(row) => stack.push(row),
                    None => self.survey.problem(
                        Severity::Warning,
                        &dir.join("parent"),
                        format!("no layer {id} in the store"),
                        "the other layers",
                    ),
                }
                chain = self.layers.parent.get(&id).cloned();
                seen.insert(id);
            }
            stack.reverse();
            if let Some(init) = self.survey.line(&dir.join("init-id")) {
                stack.push(self.layer("init", &init, record::Layer::default()));
            }
            let mount_id = dir.join("mount-id");
            let own = match self.survey.read_text(&mount_id) {
                Some((id, source)) if !id.is_empty() => Some(self.layer(
                    "container",
                    &id,
                    record::Layer {
                        source_id: Some(source),
                        ..record::Layer::default()
                    },
                )),
                _ => {
                    self.survey.problem(
                        Severity::Warning,
                        &mount_id,
                        "container without a mount ID: its own layer cannot be found",
                        "its image's layers",
                    );
                    None
                }
            };
            stack.extend(own);
            let container = crate::text::lossless(&name).into_owned();
            self.layers
                .mounts
                .insert(container, MountedLayers { stack, own });
        }
    }

    /// Adds a layer's row and its file tree.
    fn layer(&mut self, role: &str, cache_id: &str, row: record::Layer) -> i64 {
        let id = self.survey.next_id("layer");
        let mut row = record::Layer {
            id,
            engine_id: self.engine,
            role: role.into(),
            driver: self.driver_name.into(),
            ..row
        };
        if !cache_id.is_empty() {
            row.cache_id = Some(cache_id.into());
            self.layers
                .by_cache
                .insert((self.driver_name.into(), cache_id.into()), id);
        }
        let tree = self
            .driver
            .filter(|_| !cache_id.is_empty())
            .and_then(|driver| {
                let home = driver.home(self.root, cache_id);
                if driver.name == "overlay2" {
                    row.link = self.survey.line(&home.join("link"));
                    row.lower = self.survey.line(&home.join("lower"));
                }
                driver
                    .candidates(self.root, cache_id)
                    .find(|p| self.survey.evidence.exists(p))
                    .map(|p| (p, driver.marks(self.rootless)))
            });
        row.host_path = tree.as_ref().map(|(p, _)| p.host());
        let missing = tree.is_none() && self.driver.is_some() && !cache_id.is_empty();
        self.survey.put(row);
        match tree {
            Some((path, marks)) => {
                self.survey.tree("layer", &path, marks, Some(id), None);
            }
            None if missing && role != "unowned" => {
                if let Some(home) = self.driver.map(|d| d.home(self.root, cache_id)) {
                    self.survey.problem(
                        Severity::Warning,
                        &home,
                        format!("the files of this {role} layer are gone"),
                        "its record",
                    );
                }
            }
            None => {}
        }
        id
    }
}
