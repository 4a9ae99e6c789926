//! Volumes: `volumes/NAME/_data`, and what `volumes/metadata.db` says of them (moby volume/service/db.go, bolt, bucket
//! `volumes`; volume/local/local.go).

use super::documents;
use crate::engine::{Marks, Survey, Walked};
use crate::evidence::EvidencePath;
use crate::parse::bolt::{Bolt, Item};
use crate::parse::json::{self, Fields};
use crate::problem::Severity;
use crate::record;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};

/// A volume as containers refer to it.
#[derive(Clone, Debug)]
pub struct Volume {
    /// Its row id.
    pub id: i64,
    /// Its files' tree.
    pub tree: Option<i64>,
    /// Where its files are on the host.
    pub mount_point: Option<String>,
}

/// Volumes by name.
pub type Volumes = HashMap<String, Volume>;

/// Label of volumes that Docker named.
const ANONYMOUS: &str = "com.docker.volume.anonymous";

/// Reads the volumes of a data root: those of the database and those of the disk.
pub fn survey(survey: &mut Survey<'_>, engine: i64, root: &EvidencePath) -> Volumes {
    let folder = root.join("volumes");
    let mut known: BTreeMap<String, Option<(Value, i64)>> = BTreeMap::new();
    for name in survey.names(&folder) {
        if survey.is_dir(&folder.join(&name)) {
            known.insert(crate::text::lossless(&name).into_owned(), None);
        }
    }
    for (name, value, source) in metadata(survey, &folder.join("metadata.db")) {
        known.insert(name, Some((value, source)));
    }
    let mut volumes = Volumes::new();
    for (name, meta) in known {
        let volume = volume(survey, engine, &folder, &name, meta);
        volumes.insert(name, volume);
    }
    volumes
}

fn volume(
    survey: &mut Survey<'_>,
    engine: i64,
    folder: &EvidencePath,
    name: &str,
    meta: Option<(Value, i64)>,
) -> Volume {
    let null = Value::Null;
    let (value, source_id) = meta.as_ref().map_or((&null, None), |(v, s)| (v, Some(*s)));
    let mut f = Fields::new(value);
    let id = survey.next_id("volume");
    let dir = folder.join(name.replace('/', "_"));
    let driver = f.text("Driver").unwrap_or_else(|| "local".into());
    let mut row = record::Volume {
        id,
        engine_id: engine,
        name: name.into(),
        source_id,
        in_metadata: i64::from(meta.is_some()),
        ..record::Volume::default()
    };
    row.labels = f.json("Labels");
    row.options = f.json("Options");
    // A label since 23.0; before that Docker's own names are all there is to tell by.
    let named_by_docker = name.len() == 64 && name.bytes().all(|b| b.is_ascii_hexdigit());
    row.anonymous =
        i64::from(named_by_docker || f.members("Labels").iter().any(|(k, _)| *k == ANONYMOUS));
    let mut data = dir.join("_data");
    let mut walked = Walked::Volume;
    if driver == "local" {
        row.created_at = survey.evidence.stat(&dir).ok().map(|m| m.ctime);
        if row.options.is_none() && survey.evidence.exists(&dir.join("opts.json")) {
            // What the local driver keeps: MountType, MountOpts, MountDevice.
            row.options = survey
                .read_json(&dir.join("opts.json"), &documents::VOLUME_OPTIONS)
                .map(|file| file.value.to_string());
        }
        row.mount_point = survey.evidence.exists(&data).then(|| data.host());
        if !survey.evidence.exists(&dir) {
            let what = "the volume's directory is gone: someone removed it";
            survey.problem(Severity::Warning, &dir, what, "what metadata.db says of it");
        } else if row.mount_point.is_none() {
            let what = "the volume's files are gone: someone removed them";
            survey.problem(Severity::Warning, &data, what, "its record");
        }
        // A volume that is a bind of a place of the host: its files are there, and _data is empty on a dead disk.
        if let Some(device) = bound_device(&mut f) {
            (data, walked) = (EvidencePath::new(device), Walked::Device);
        }
        row.tree_id = survey.tree(walked, &data, Marks::None);
    }
    row.driver = driver;
    let (tree, mount_point) = (row.tree_id, row.mount_point.clone());
    survey.put(row);
    survey.defects(Severity::Warning, &folder.join("metadata.db"), f.defects);
    Volume {
        id,
        tree,
        mount_point,
    }
}

/// The device of `--opt type=none --opt o=bind --opt device=/place`.
fn bound_device(f: &mut Fields<'_>) -> Option<String> {
    let options = f.text("Options.o")?;
    let bind = options
        .split(',')
        .any(|o| matches!(o.trim(), "bind" | "rbind"));
    f.text("Options.device")
        .filter(|d| bind && d.starts_with('/'))
}

fn metadata(survey: &mut Survey<'_>, path: &EvidencePath) -> Vec<(String, Value, i64)> {
    let Some((bytes, source)) = survey.read(path) else {
        return Vec::new();
    };
    let bolt = match Bolt::open(&bytes) {
        Ok(bolt) => bolt,
        Err(defect) => {
            survey.defects(Severity::Error, path, vec![defect]);
            return Vec::new();
        }
    };
    let Some(bucket) = bolt.bucket(&[b"volumes"]) else {
        return Vec::new();
    };
    let entries = bucket.entries();
    survey.defects(Severity::Warning, path, entries.defects);
    let mut rows = Vec::new();
    for (key, item) in entries.value {
        let Item::Value(bytes) = item else { continue };
        let parsed = json::read(bytes, &documents::VOLUME);
        survey.defects(Severity::Warning, path, parsed.defects);
        rows.push((
            crate::text::lossless(key).into_owned(),
            parsed.value,
            source,
        ));
    }
    rows
}
