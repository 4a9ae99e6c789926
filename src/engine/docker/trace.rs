//! Traces: what stands in a data root of containers, layers, images and volumes, owned or not, each with its own times.
//! `schema/trace.sql` names the kinds. Who belongs to nobody is the queries' to say.

use super::documents;
use super::driver::Driver;
use crate::engine::{METADATA_LIMIT, Survey};
use crate::evidence::walk::{Buffer, OpenDir, Top};
use crate::evidence::{Error, Evidence, EvidencePath, Meta};
use crate::parse::bolt::Bolt;
use crate::parse::carve;
use crate::parse::json;
use crate::problem::{Defect, Problem, Severity};
use crate::record;
use crate::text::lossless;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::CString;

/// Reads the traces of a data root with image stores of these drivers.
pub fn survey(survey: &mut Survey<'_>, engine: i64, root: &EvidencePath, drivers: &[String]) {
    let mut t = Tracing {
        survey,
        engine,
        root,
    };
    t.folder("containers", "container", |_, name, _| of(name.into()));
    t.folder("volumes", "volume", |_, name, meta| {
        // Of the engine's own files beside them their times are told.
        Some((meta.is_dir().then(|| name.into()), None))
    });
    for driver in drivers {
        t.store(&format!("image/{driver}"));
    }
    let (in_use, problems) = build_records(t.survey.evidence, root);
    t.survey.problems.extend(problems);
    for driver in Driver::all() {
        t.layers(driver, &in_use);
    }
    t.folder("tmp", "unfinished", |_, _, _| Some((None, None)));
    let tasks = "io.containerd.runtime.v2.task/moby";
    t.folder(&format!("containerd/daemon/{tasks}"), "task", |_, n, _| {
        of(n.into())
    });
    t.networks();
}

/// Where BuildKit keeps which layers are its own, as raw bytes: their names stand in them as they are. And what of it could
/// not be read.
pub fn build_records(evidence: &Evidence, root: &EvidencePath) -> (Vec<u8>, Vec<Problem>) {
    let (mut all, mut problems) = (Vec::new(), Vec::new());
    for name in ["snapshots.db", "metadata_v2.db", "metadata.db", "cache.db"] {
        let path = root.join("buildkit").join(name);
        let (what, kept) = match evidence.read_on(&path, METADATA_LIMIT) {
            Ok((bytes, _, failed)) => {
                all.extend(bytes);
                let Some(e) = failed else {
                    continue;
                };
                (format!("cannot be read on: {e}"), "what stands before")
            }
            Err(Error::Missing) => continue,
            Err(e) => (
                format!("cannot be read: {e}"),
                "not which layers are BuildKit's own",
            ),
        };
        problems.push(Defect::new(what, kept).in_file(Severity::Warning, path.host()));
    }
    (all, problems)
}

/// What a trace belongs to, and what else it says; `None` for an entry that is no trace.
type Told = Option<(Option<String>, Option<Value>)>;

/// Belongs to this, and says no more.
#[allow(clippy::unnecessary_wraps)] // what the callers return
fn of(whom: String) -> Told {
    Some((Some(whom), None))
}

struct Tracing<'a, 'e> {
    survey: &'a mut Survey<'e>,
    engine: i64,
    root: &'a EvidencePath,
}

impl Tracing<'_, '_> {
    /// Each entry of a folder below the data root, which is a trace itself. `tell` is given the folder, the name and
    /// the metadata of each.
    fn folder(&mut self, below: &str, kind: &str, tell: impl Fn(&Folder<'_>, &str, &Meta) -> Told) {
        let path = self.root.join(below);
        let Ok(Top::Dir(dir, own)) = self.survey.evidence.open_tree(&path) else {
            return; // not there, or no folder: the survey of its subject says so where it matters
        };
        self.put("folder", below, None, None, &path, Some(&own));
        let folder = Folder {
            survey: self.survey,
            path: &path,
            dir: &dir,
        };
        let (mut rows, mut failed) = (Vec::new(), Vec::new());
        let mut names: Vec<CString> = Vec::new();
        let read = dir.read(
            &mut Buffer::default(),
            crate::engine::LISTING_LIMIT,
            |name| {
                names.push(name.to_owned());
            },
        );
        names.sort();
        for name in names {
            let meta = match dir.stat(&name) {
                Ok(meta) => meta,
                Err(e) => {
                    failed.push((name, e));
                    continue;
                }
            };
            let text = lossless(name.to_bytes());
            if let Some((belongs, detail)) = tell(&folder, &text, &meta) {
                rows.push((name, belongs, detail, meta));
            }
        }
        if let Err(e) = read {
            let what = format!("cannot be listed: {e}");
            let kept = format!("{} entries", rows.len());
            self.survey.problem(Severity::Error, &path, what, kept);
        }
        for (name, e) in failed {
            let what = format!("cannot be looked at: {e}");
            let at = path.join(name.to_bytes());
            self.survey
                .problem(Severity::Warning, &at, what, "its name");
        }
        for (name, belongs, detail, meta) in rows {
            let at = path.join(name.to_bytes());
            let text = lossless(name.to_bytes());
            self.put(kind, &text, belongs, detail, &at, Some(&meta));
        }
    }

    fn put(
        &mut self,
        kind: &str,
        name: &str,
        belongs: Option<String>,
        detail: Option<Value>,
        path: &EvidencePath,
        meta: Option<&Meta>,
    ) {
        let id = self.survey.next_id("trace");
        self.survey.put(record::Trace {
            id,
            engine_id: self.engine,
            kind: kind.into(),
            name: name.into(),
            belongs,
            detail: detail.map(|d| d.to_string()),
            host_path: path.host(),
            atime: meta.map(|m| m.atime),
            mtime: meta.map(|m| m.mtime),
            ctime: meta.map(|m| m.ctime),
            crtime: meta.and_then(|m| m.crtime),
        });
    }

    /// The image store of one driver.
    fn store(&mut self, store: &str) {
        let digest = |_: &Folder<'_>, name: &str, _: &Meta| of(format!("sha256:{name}"));
        self.folder(
            &format!("{store}/layerdb/mounts"),
            "mount-record",
            |folder, name, _| {
                let line = |file: &str| Value::from(folder.line(&format!("{name}/{file}")));
                let detail = serde_json::json!({"mount_id": line("mount-id"), "init_id": line("init-id"), "parent": line("parent")});
                Some((Some(name.into()), Some(detail)))
            },
        );
        self.folder(&format!("{store}/layerdb/sha256"), "layer-record", digest);
        self.folder(&format!("{store}/imagedb/content/sha256"), "image", digest);
        let metadata = format!("{store}/imagedb/metadata/sha256");
        self.folder(&metadata, "image-metadata", digest);
        let pulled = format!("{store}/distribution/v2metadata-by-diffid/sha256");
        self.folder(&pulled, "pulled", |folder, name, _| {
            let text = folder.line(name).unwrap_or_default();
            let list = json::read(text.as_bytes(), &documents::PULLED).value;
            let from: BTreeSet<&str> = list
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|v| v.get("SourceRepository")?.as_str())
                .collect();
            let detail = serde_json::json!({"repositories": from});
            Some((Some(format!("sha256:{name}")), Some(detail)))
        });
        let tmp = format!("{store}/layerdb/tmp");
        self.folder(&tmp, "unfinished", |_, _, _| Some((None, None)));
    }

    fn layers(&mut self, driver: &Driver, in_use: &[u8]) {
        let layers = driver.layers(self.root);
        let below = layers.as_bytes().to_vec();
        let root = self.root.as_bytes();
        let Some(below) = below.strip_prefix(root).map(|b| lossless(b).into_owned()) else {
            return;
        };
        let below = below.trim_start_matches('/').to_owned();
        self.folder(&below, "layer", |_, name, meta| {
            if !meta.is_dir() || !driver.is_layer(name.as_bytes()) {
                return None;
            }
            let built = memchr::memmem::find(in_use, name.as_bytes()).is_some();
            let detail = serde_json::json!({"driver": driver.name, "buildkit": built});
            Some((Some(name.into()), Some(detail)))
        });
        if !driver.is_layer(b"l") {
            self.folder(&format!("{below}/l"), "link", |folder, name, _| {
                // ../CACHE-ID/diff
                let target = folder.link(name)?;
                let cache_id = target.trim_start_matches("../").split('/').next()?;
                of(cache_id.to_owned())
            });
        }
    }

    /// Containers' networks, those in pages the database has freed too.
    fn networks(&mut self) {
        let path = self.root.join("network/files/local-kv.db");
        let Ok((bytes, _)) = self.survey.evidence.read(&path, METADATA_LIMIT) else {
            return; // reading the networks said so
        };
        let mut living = BTreeSet::new();
        if let Ok(bolt) = Bolt::open(&bytes)
            && let Some(bucket) = bolt.bucket(&[b"libnetwork"])
        {
            let keys = bucket.entries().value;
            living.extend(keys.into_iter().map(|(key, _)| lossless(key).into_owned()));
        }
        let is_living = |id: &str| living.contains(&format!("docker/network/v1.0/sandbox/{id}/"));
        let text = |v: &Value, key: &str| v.get(key).and_then(Value::as_str).map(str::to_owned);
        // Sandbox to its container; and to the names and addresses of its endpoints.
        let mut sandboxes: BTreeMap<String, String> = BTreeMap::new();
        for sandbox in carve::objects(&bytes, "Cid") {
            if let (Some(id), Some(container)) = (text(&sandbox, "ID"), text(&sandbox, "Cid")) {
                sandboxes.insert(id, container);
            }
        }
        let mut endpoints: BTreeMap<String, [BTreeSet<String>; 2]> = BTreeMap::new();
        for endpoint in carve::objects(&bytes, "ep_iface") {
            let Some(sandbox) = text(&endpoint, "sandbox") else {
                continue;
            };
            let [names, addresses] = endpoints.entry(sandbox).or_default();
            names.extend(text(&endpoint, "name").filter(|n| !n.is_empty()));
            addresses.extend(endpoint.get("ep_iface").and_then(|i| text(i, "addr")));
        }
        for (id, container) in sandboxes {
            let kind = if is_living(&id) {
                "sandbox"
            } else {
                "sandbox-freed"
            };
            let detail = endpoints.remove(&id).map(detail);
            self.put(kind, &id, Some(container), detail, &path, None);
        }
        for (_, told) in endpoints {
            let name = told[0].first().cloned().unwrap_or_default();
            let kind = "endpoint-freed";
            self.put(kind, &name, None, Some(detail(told)), &path, None);
        }
    }
}

fn detail([names, addresses]: [BTreeSet<String>; 2]) -> Value {
    let mut map = Map::new();
    map.insert("names".into(), names.into_iter().collect());
    map.insert("addresses".into(), addresses.into_iter().collect());
    Value::Object(map)
}

/// A folder whose entries are told of.
struct Folder<'a> {
    survey: &'a Survey<'a>,
    path: &'a EvidencePath,
    dir: &'a OpenDir,
}

impl Folder<'_> {
    /// The text of a small file below, if there is one.
    fn line(&self, file: &str) -> Option<String> {
        let (bytes, _) = self
            .survey
            .evidence
            .read(&self.path.join(file), 1 << 20)
            .ok()?;
        Some(lossless(bytes.trim_ascii()).into_owned())
    }

    /// The target of a link.
    fn link(&self, name: &str) -> Option<String> {
        let mut target = Vec::new();
        let name = CString::new(name).ok()?;
        self.dir.read_link(&name, &mut target).ok()?;
        Some(lossless(&target).into_owned())
    }
}
