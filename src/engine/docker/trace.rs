//! Traces: what stands in a data root of containers, layers, images and volumes, owned or not, each with its own times.
//! `schema/trace.sql` names the kinds. Who belongs to nobody is the queries' to say.

use super::documents;
use super::drivers;
use crate::engine::driver::Driver;
use crate::engine::{LISTING_LIMIT, METADATA_LIMIT, Survey};
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
    t.folder(&Below::of("containers", "container", true), |_, name, _| {
        of(name.into())
    });
    t.folder(&Below::of("volumes", "volume", true), |_, name, meta| {
        // Of the engine's own files beside them their times are told.
        Some(Told {
            belongs: meta.is_dir().then(|| name.into()),
            ..Told::default()
        })
    });
    for driver in drivers {
        t.store(driver);
    }
    let (in_use, problems) = build_records(t.survey.evidence, root);
    t.survey.problems.extend(problems);
    for driver in drivers::DRIVERS {
        t.layers(driver, &in_use);
    }
    t.folder(&Below::of("tmp", "unfinished", false), |_, name, _| {
        unfinished(name)
    });
    let tasks = "containerd/daemon/io.containerd.runtime.v2.task/moby";
    t.folder(&Below::of(tasks, "task", false), |_, n, _| of(n.into()));
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

/// A folder below the data root whose entries are traces.
struct Below<'a> {
    path: &'a str,
    /// The kind of its entries.
    holds: &'static str,
    /// The storage driver whose layers or images it holds.
    driver: Option<&'a str>,
    /// Whether its time of modification tells of a removal.
    removal: bool,
}

impl<'a> Below<'a> {
    fn of(path: &'a str, holds: &'static str, removal: bool) -> Self {
        Below {
            path,
            holds,
            driver: None,
            removal,
        }
    }
}

/// What an entry says.
#[derive(Default)]
struct Told {
    belongs: Option<String>,
    detail: Option<Value>,
    made_by: Option<&'static str>,
}

/// Belongs to this, and says no more.
#[allow(clippy::unnecessary_wraps)] // what the callers return
fn of(whom: String) -> Option<Told> {
    Some(Told {
        belongs: Some(whom),
        ..Told::default()
    })
}

/// Belongs to nobody.
#[allow(clippy::unnecessary_wraps)] // what the callers return
fn unfinished(name: &str) -> Option<Told> {
    Some(Told {
        made_by: trial(name),
        ..Told::default()
    })
}

/// Folders in which the engine tries its storage at each start (moby daemon/graphdriver, containerd's overlayutils).
const TRIALS: [&str; 5] = [
    "moby-detect-",
    "check-overlayfs-",
    "opaque-bug-check",
    "metacopy-check",
    "userxattr-check",
];

fn trial(name: &str) -> Option<&'static str> {
    TRIALS
        .iter()
        .any(|t| name.starts_with(t))
        .then_some("trial")
}

/// Kinds of traces that belong to containers.
const OF_CONTAINERS: [&str; 5] = [
    "container",
    "mount-record",
    "task",
    "sandbox",
    "sandbox-freed",
];

struct Tracing<'a, 'e> {
    survey: &'a mut Survey<'e>,
    engine: i64,
    root: &'a EvidencePath,
}

impl Tracing<'_, '_> {
    /// Each entry of a folder below the data root, which is a trace itself. `tell` is given the folder, the name and
    /// the metadata of each. Whether the folder is there.
    fn folder(
        &mut self,
        below: &Below<'_>,
        tell: impl Fn(&Folder<'_>, &str, &Meta) -> Option<Told>,
    ) -> bool {
        let path = self.root.join(below.path);
        let Ok(Top::Dir(dir, own)) = self.survey.evidence.open_tree(&path) else {
            return false; // not there, or no folder: the survey of its subject says so where it matters
        };
        let driver = below.driver.map(str::to_owned);
        let of_folder = record::Trace {
            kind: "folder".into(),
            name: below.path.into(),
            driver: driver.clone(),
            holds: Some(below.holds.into()),
            removal: Some(i64::from(below.removal)),
            ..record::Trace::default()
        };
        let folder_id = self.put(of_folder, &path, Some(&own));
        let folder = Folder {
            survey: self.survey,
            path: &path,
            dir: &dir,
        };
        let (mut rows, mut failed) = (Vec::new(), Vec::new());
        let (names, stopped) = dir.names(&mut Buffer::default(), LISTING_LIMIT);
        for name in names {
            let meta = match dir.stat(&name) {
                Ok(meta) => meta,
                Err(e) => {
                    failed.push((name, e));
                    continue;
                }
            };
            let text = lossless(name.to_bytes());
            if let Some(told) = tell(&folder, &text, &meta) {
                rows.push((name, told, meta));
            }
        }
        if let Some(e) = stopped {
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
        for (name, told, meta) in rows {
            let at = path.join(name.to_bytes());
            let row = record::Trace {
                kind: below.holds.into(),
                name: lossless(name.to_bytes()).into_owned(),
                folder_id: Some(folder_id),
                driver: driver.clone(),
                belongs: told.belongs,
                detail: told.detail.map(|d| d.to_string()),
                made_by: told.made_by.map(str::to_owned),
                ..record::Trace::default()
            };
            self.put(row, &at, Some(&meta));
        }
        true
    }

    /// Adds a trace: what its row lacks is its ids, where it is and its times.
    fn put(&mut self, row: record::Trace, path: &EvidencePath, meta: Option<&Meta>) -> i64 {
        let id = self.survey.next_id("trace");
        self.survey.put(record::Trace {
            id,
            engine_id: self.engine,
            is_id: OF_CONTAINERS
                .contains(&row.kind.as_str())
                .then(|| i64::from(row.belongs.as_deref().map(str::len) == Some(64))),
            host_path: path.host(),
            atime: meta.map(|m| m.atime),
            mtime: meta.map(|m| m.mtime),
            ctime: meta.map(|m| m.ctime),
            crtime: meta.and_then(|m| m.crtime),
            ..row
        });
        id
    }

    /// The image store of one driver.
    fn store(&mut self, driver: &str) {
        let digest = |_: &Folder<'_>, name: &str, _: &Meta| of(format!("sha256:{name}"));
        let paths = [
            ("layerdb/mounts", "mount-record", true),
            ("layerdb/sha256", "layer-record", true),
            ("imagedb/content/sha256", "image", true),
            ("imagedb/metadata/sha256", "image-metadata", false),
            ("distribution/v2metadata-by-diffid/sha256", "pulled", false),
            ("layerdb/tmp", "unfinished", false),
        ]
        .map(|(path, holds, removal)| (format!("image/{driver}/{path}"), holds, removal));
        let [mounts, layers, images, metadata, pulled, tmp] =
            paths.each_ref().map(|(path, holds, removal)| Below {
                driver: Some(driver),
                ..Below::of(path, holds, *removal)
            });
        let mut there = self.folder(&mounts, |folder, name, _| {
            let line = |file: &str| Value::from(folder.line(&format!("{name}/{file}")));
            let detail = serde_json::json!({"mount_id": line("mount-id"), "init_id": line("init-id"), "parent": line("parent")});
            Some(Told {
                belongs: Some(name.into()),
                detail: Some(detail),
                ..Told::default()
            })
        });
        there |= self.folder(&layers, digest);
        there |= self.folder(&images, digest);
        there |= self.folder(&metadata, digest);
        there |= self.folder(&pulled, |folder, name, _| {
            let text = folder.line(name).unwrap_or_default();
            let list = json::read(text.as_bytes(), &documents::PULLED).value;
            let from: BTreeSet<&str> = list
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|v| v.get("SourceRepository")?.as_str())
                .collect();
            let detail = serde_json::json!({"repositories": from});
            Some(Told {
                belongs: Some(format!("sha256:{name}")),
                detail: Some(detail),
                ..Told::default()
            })
        });
        there |= self.folder(&tmp, |_, name, _| unfinished(name));
        if there {
            self.survey.put(record::ImageStore {
                engine_id: self.engine,
                driver: driver.into(),
            });
        }
    }

    fn layers(&mut self, driver: &Driver, in_use: &[u8]) {
        let folder = Below {
            driver: Some(driver.name),
            ..Below::of(driver.folder, "layer", false)
        };
        self.folder(&folder, |_, name, meta| {
            if !meta.is_dir() || !driver.is_layer(name.as_bytes()) {
                return None;
            }
            let built = memchr::memmem::find(in_use, name.as_bytes()).is_some();
            Some(Told {
                belongs: Some(name.into()),
                made_by: trial(name).or(built.then_some("buildkit")),
                ..Told::default()
            })
        });
        if driver.links(self.root).is_some() {
            let links = Below {
                path: &format!("{}/l", driver.folder),
                holds: "link",
                removal: true,
                ..folder
            };
            self.folder(&links, |folder, name, _| {
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
            let row = record::Trace {
                kind: kind.into(),
                belongs: Some(container),
                detail: endpoints.remove(&id).map(detail),
                name: id,
                ..record::Trace::default()
            };
            self.put(row, &path, None);
        }
        for (_, told) in endpoints {
            let row = record::Trace {
                kind: "endpoint-freed".into(),
                name: told[0].first().cloned().unwrap_or_default(),
                detail: Some(detail(told)),
                ..record::Trace::default()
            };
            self.put(row, &path, None);
        }
    }
}

fn detail([names, addresses]: [BTreeSet<String>; 2]) -> String {
    let mut map = Map::new();
    map.insert("names".into(), names.into_iter().collect());
    map.insert("addresses".into(), addresses.into_iter().collect());
    Value::Object(map).to_string()
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
