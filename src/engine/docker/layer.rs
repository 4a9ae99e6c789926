//! The layer store: `image/DRIVER/layerdb` (moby layer/filestore.go) and the driver's folders.

use super::departure::Departure;
use super::documents;
use super::drivers;
use crate::engine::driver::Driver;
use crate::engine::{Install, Survey, Walked, lower};
use crate::evidence::EvidencePath;
use crate::parse::bolt::Bolt;
use crate::problem::Severity;
use crate::record;
use std::collections::{BTreeMap, HashMap, HashSet};

/// What the layer stores of one data root hold.
#[derive(Default)]
pub struct Layers {
    /// Row ids of image layers by chain ID.
    pub(super) by_chain: HashMap<String, i64>,
    pub(super) parent: HashMap<String, String>,
    /// Row ids by driver and cache ID.
    pub(super) by_cache: HashMap<(String, String), i64>,
    /// Layers of overlay2 by short name.
    pub(super) by_link: HashMap<String, i64>,
    /// What overlay2 keeps beside a layer's files, by row id.
    pub(super) overlay: BTreeMap<i64, Overlay>,
    /// Row ids of init layers, and the image layers below each as the records have them, topmost first.
    pub(super) inits: Vec<(i64, Recorded)>,
    /// Containers' own layers by container id.
    pub mounts: BTreeMap<String, MountedLayers>,
}

/// What overlay2 keeps beside a layer's files.
pub(super) struct Overlay {
    pub(super) role: &'static str,
    pub(super) cache_id: String,
    /// Whether its files are there.
    pub(super) there: bool,
    /// Whether it has a short name, as the engine gives each.
    pub(super) linked: bool,
    pub(super) lower: Option<String>,
}

/// Layers one below the other as the records have them, topmost first.
#[derive(Clone, Debug, Default)]
pub(super) struct Recorded {
    pub(super) rows: Vec<i64>,
    /// Whether the records lead to the base.
    pub(super) complete: bool,
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
    /// How many the records name.
    pub named: usize,
    /// What its own layer was begun on, base first, where that is not what it stands on now: the engine compares with it.
    pub before: Vec<i64>,
    pub(super) init: Option<i64>,
    /// How what is mounted departs from the records.
    pub departs: Option<Departure>,
    pub(super) recorded: Recorded,
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
        let driver = drivers::named(driver_name);
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
        for driver in drivers::DRIVERS {
            let folder = driver.layers(root);
            let known: HashSet<Vec<u8>> = self
                .by_cache
                .keys()
                .filter(|(d, _)| d == driver.name)
                .map(|(_, id)| id.clone().into_bytes())
                .collect();
            let names = survey.names(&folder);
            let there: HashSet<&[u8]> = names.iter().map(Vec::as_slice).collect();
            for name in &names {
                if known.contains(name)
                    || !driver.is_layer(name)
                    || !survey.is_dir(&folder.join(name))
                {
                    continue;
                }
                let cache_id = crate::text::lossless(name).into_owned();
                let looks_like = match () {
                    () if cache_id.ends_with("-init") => Some("init".into()),
                    () if there.contains([&name[..], b"-init"].concat().as_slice()) => {
                        Some("container".into())
                    }
                    () => None,
                };
                let mut adding = Adding {
                    survey,
                    engine,
                    root,
                    rootless: install.rootless,
                    driver: Some(*driver),
                    driver_name: driver.name,
                    layers: self,
                };
                let row = record::Layer {
                    looks_like,
                    ..record::Layer::default()
                };
                adding.layer("unowned", &cache_id, row);
            }
        }
    }

    /// The layers from this chain ID down.
    pub(super) fn recorded(&self, top: Option<String>) -> Recorded {
        let mut recorded = Recorded::default();
        let mut seen = HashSet::new();
        let mut chain = top;
        while let Some(id) = chain {
            let deep = recorded.rows.len() == DEEPEST;
            let row = self.chain(&id).filter(|_| !deep && seen.insert(id.clone()));
            let Some(row) = row else {
                return recorded;
            };
            recorded.rows.push(row);
            chain = self.parent.get(&id).cloned();
        }
        recorded.complete = true;
        recorded
    }
}

/// The engine makes no more than some 128 layers; no more than this many are followed.
const DEEPEST: usize = 1024;

/// Where containerd keeps what it knows of containers, below its own root.
const CONTAINERD: &str = "io.containerd.metadata.v1.bolt/meta.db";

/// Where a container's file system was mounted, by its OCI specification as containerd keeps it: JSON in a protobuf `Any`.
fn mounted_at(spec: &[u8]) -> Option<EvidencePath> {
    let at = memchr::memchr(b'{', spec)?;
    let spec = crate::parse::json::read(&spec[at..], &documents::SPECIFICATION).value;
    let path = spec.get("root")?.get("path")?.as_str()?;
    Some(EvidencePath::new(path))
}

/// A layer store of one driver, on its way into the survey.
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
            let parent = self.survey.line(&dir.join("parent"));
            let mut chain = parent.clone();
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
            let mut recorded = self.layers.recorded(parent);
            let init = self.survey.line(&dir.join("init-id"));
            let init = init.map(|id| self.layer("init", &id, record::Layer::default()));
            if let Some(row) = init {
                self.layers.inits.push((row, recorded.clone()));
                recorded.rows.insert(0, row);
                stack.push(row);
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
            let named = stack.len();
            stack.extend(own);
            let container = crate::text::lossless(&name).into_owned();
            self.layers.mounts.insert(
                container,
                MountedLayers {
                    stack,
                    own,
                    named,
                    init,
                    recorded,
                    ..MountedLayers::default()
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

    /// A container's own layer, found by another's word: what is below it says itself.
    fn rebuilt(&mut self, container: &str, own_id: &str, source: i64) {
        let row = record::Layer {
            source_id: Some(source),
            ..record::Layer::default()
        };
        let own = self.layer("container", own_id, row);
        let lower = self.layers.overlay.get(&own).map(|o| o.lower.is_some());
        // The first below it is the -init layer.
        let init = lower.unwrap_or_default().then(|| format!("{own_id}-init"));
        let init = init.map(|id| self.layer("init", &id, record::Layer::default()));
        let stack = init.into_iter().chain([own]).collect();
        self.layers.mounts.insert(
            container.to_owned(),
            MountedLayers {
                stack,
                own: Some(own),
                init,
                told: Some(own_id.to_owned()),
                ..MountedLayers::default()
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
    fn layer(&mut self, role: &'static str, cache_id: &str, row: record::Layer) -> i64 {
        let id = self.survey.next_id("layer");
        let mut row = record::Layer {
            id,
            engine_id: self.engine,
            role: role.into(),
            driver: self.driver_name.into(),
            stacking: self.driver.map(|d| d.stacking.word().into()),
            marks: self.driver.map(|d| d.marks(self.rootless).word().into()),
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
                    row.below = row.lower.as_deref().map(|l| lower::names(l).count() as i64);
                    if let Some(link) = row.link.clone() {
                        let links = driver.links(self.root);
                        row.link_path = links.map(|l| l.join(&link).host());
                        self.layers.by_link.entry(link).or_insert(id);
                    }
                    self.link_leads_here(role, cache_id, row.link.as_deref());
                }
                driver
                    .candidates(self.root, cache_id)
                    .find(|p| self.survey.evidence.exists(p))
                    .map(|p| (p, driver.marks(self.rootless)))
            });
        row.host_path = tree.as_ref().map(|(p, _)| p.host());
        if role == "container"
            && let Some(driver) = self.driver.filter(|_| !cache_id.is_empty())
        {
            row.mount_point = driver.mounted(self.root, cache_id).map(|p| p.host());
        }
        if self.driver_name == "overlay2" && !cache_id.is_empty() {
            let overlay = Overlay {
                role,
                cache_id: cache_id.into(),
                there: tree.is_some(),
                linked: row.link.is_some(),
                lower: row.lower.clone(),
            };
            self.layers.overlay.insert(id, overlay);
        }
        let missing = tree.is_none() && self.driver.is_some() && !cache_id.is_empty();
        self.survey.put(row);
        match tree {
            Some((path, marks)) => {
                self.survey.tree(Walked::Layer(id), &path, marks);
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
