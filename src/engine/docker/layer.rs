//! The layer store: `image/DRIVER/layerdb` (moby layer/filestore.go) and the driver's folders.

use super::driver::Driver;
use crate::engine::{Install, Survey};
use crate::evidence::EvidencePath;
use crate::parse::bolt::Bolt;
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
    /// Image layers of overlay2 by short name.
    by_link: HashMap<String, i64>,
    /// What overlay2 says is below a container's own layer, by row id.
    lower: HashMap<i64, String>,
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
    /// The cache ID of its own where not its record says so, which is gone, but containerd's.
    pub told: Option<String>,
    /// How many layers are below its own as that says itself (overlay2's `lower`).
    pub below: Option<usize>,
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
        adding.told_by_containerd();
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

/// Where containerd keeps what it knows of containers, below its own root.
const CONTAINERD: &str = "io.containerd.metadata.v1.bolt/meta.db";

/// Where a container's file system was mounted, by its OCI specification as containerd keeps it: JSON in a protobuf `Any`.
fn mounted_at(spec: &[u8]) -> Option<EvidencePath> {
    let at = memchr::memchr(b'{', spec)?;
    let spec = crate::parse::json::read(&spec[at..]).value;
    let path = spec.get("root")?.get("path")?.as_str()?;
    Some(EvidencePath::new(path))
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
            let init = self.survey.line(&dir.join("init-id"));
            if let Some(init) = &init {
                stack.push(self.layer("init", init, record::Layer::default()));
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
            let lower = own.and_then(|id| self.layers.lower.get(&id));
            let below = lower.map(|lower| lower.split(':').count());
            let container = crate::text::lossless(&name).into_owned();
            self.layers.mounts.insert(
                container,
                MountedLayers {
                    stack,
                    own,
                    told: None,
                    below,
                },
            );
        }
    }

    /// Containers whose record is gone: of one that ran, containerd knows where its file system was mounted, which is a folder
    /// in that of its own layer. What is below that it says itself.
    fn told_by_containerd(&mut self) {
        let Some(driver) = self.driver.filter(|d| d.name == "overlay2") else {
            return;
        };
        let mut lost = self.survey.names(&self.root.join("containers"));
        lost.retain(|name| {
            let id = crate::text::lossless(name);
            !self.layers.mounts.contains_key(id.as_ref())
        });
        if lost.is_empty() {
            return;
        }
        for path in [
            self.root.join("containerd/daemon").join(CONTAINERD),
            EvidencePath::new("var/lib/containerd").join(CONTAINERD),
        ] {
            let Some((bytes, source)) = self.survey.read(&path) else {
                continue;
            };
            let Ok(bolt) = Bolt::open(&bytes) else {
                continue;
            };
            for name in &lost {
                let container = crate::text::lossless(name).into_owned();
                let Some(own) = bolt
                    .bucket(&[b"v1", b"moby", b"containers", name])
                    .and_then(|bucket| mounted_at(bucket.value(b"spec")?))
                    .filter(|at| at.file_name() == b"merged")
                    .map(|at| at.parent())
                    .filter(|home| home.parent().file_name() == driver.name.as_bytes())
                    .map(|home| crate::text::lossless(home.file_name()).into_owned())
                else {
                    continue;
                };
                let key = (driver.name.to_owned(), own.clone());
                let there = self.survey.evidence.exists(&driver.home(self.root, &own));
                if there && !self.layers.by_cache.contains_key(&key) {
                    self.rebuilt(&container, &own, source);
                }
            }
        }
    }

    /// The layers of a container by its own one's word.
    fn rebuilt(&mut self, container: &str, own_id: &str, source: i64) {
        let row = record::Layer {
            source_id: Some(source),
            ..record::Layer::default()
        };
        let own = self.layer("container", own_id, row);
        let lower = self.layers.lower.get(&own).cloned().unwrap_or_default();
        let mut links = lower.split(':').filter_map(|l| l.strip_prefix("l/"));
        // The first is the -init layer's.
        let init = links.next().is_some().then(|| format!("{own_id}-init"));
        let mut stack: Vec<i64> = links
            .filter_map(|l| self.layers.by_link.get(l).copied())
            .collect();
        stack.reverse();
        if let Some(init) = &init {
            stack.push(self.layer("init", init, record::Layer::default()));
        }
        stack.push(own);
        self.layers.mounts.insert(
            container.to_owned(),
            MountedLayers {
                stack,
                own: Some(own),
                told: Some(own_id.to_owned()),
                below: Some(lower.split(':').count()),
            },
        );
    }

    /// A layer that is mounted through `overlay2/l/LINK`: that must be there, and lead to it.
    fn link_leads_here(&mut self, role: &str, cache_id: &str, link: Option<&str>) {
        let Some((link, driver)) = link.zip(self.driver).filter(|_| role != "unowned") else {
            return;
        };
        let path = driver.layers(self.root).join("l").join(link);
        let want = format!("../{cache_id}/diff").into_bytes();
        let what = match self.survey.evidence.read_link(&path) {
            Ok(target) if target == want => return,
            Ok(target) => format!(
                "does not lead to {role} layer {cache_id}, whose link it is, but to {}",
                crate::text::lossless(&target)
            ),
            Err(crate::evidence::Error::Missing) => {
                format!("the link of {role} layer {cache_id} is gone: someone removed it")
            }
            Err(e) => format!("the link of {role} layer {cache_id} cannot be read: {e}"),
        };
        self.survey
            .problem(Severity::Warning, &path, what, "the layer and its files");
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
                    if let Some(lower) = row.lower.clone().filter(|_| role == "container") {
                        self.layers.lower.insert(id, lower);
                    }
                    if let Some(link) = row.link.clone().filter(|_| role == "image") {
                        self.layers.by_link.insert(link, id);
                    }
                    self.link_leads_here(role, cache_id, row.link.as_deref());
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
