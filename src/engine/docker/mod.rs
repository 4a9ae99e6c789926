//! Docker with its classic image store: where it is, and everything its metadata says.
//!
//! The storage driver is a parameter (`drivers.rs`); a data root whose driver is unknown still gives its containers,
//! images and logs.

mod container;
mod departure;
pub mod documents;
mod drivers;
mod image;
mod init;
mod layer;
mod log;
mod mounted;
mod network;
mod roots;
mod swarm;
mod trace;
mod version;
mod volume;

use super::driver::Driver;
use super::prepared::Prepared;
use super::{Engine, Install, Survey};
use crate::evidence::EvidencePath;
use crate::overlay::compare::Comparison;
use crate::parse::json::{self, Document};
use crate::problem::Severity;
use crate::record;

/// Docker.
pub struct Docker;

impl Engine for Docker {
    fn kind(&self) -> &'static str {
        "docker"
    }

    fn prepares(&self, path: &str) -> Option<Prepared> {
        init::prepares(path)
    }

    fn name(&self) -> &'static str {
        "Docker"
    }

    fn places(&self, homes: &[EvidencePath]) -> String {
        let join = |places: Vec<String>| places.join(", ");
        if homes.is_empty() {
            let defaults = roots::DEFAULTS.iter().map(|d| format!("/{d}")).collect();
            return format!(
                "{}, in daemon.json, unit files or users' homes",
                join(defaults)
            );
        }
        join(homes.iter().map(EvidencePath::host).collect())
    }

    fn drivers(&self) -> &'static [Driver] {
        drivers::DRIVERS
    }

    fn comparison(&self, daemon_version: Option<&str>) -> Comparison {
        // Docker before 28, and any where the version is not known, goes by the bit.
        let digits = |v: &str| v.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok();
        let major: Option<u32> = daemon_version.and_then(digits);
        match major {
            Some(28..) => Comparison::FileType,
            _ => Comparison::DirectoryBit,
        }
    }

    fn find(&self, survey: &mut Survey<'_>, homes: &[EvidencePath]) -> Vec<Install> {
        roots::find(survey, homes)
    }

    fn survey(&self, survey: &mut Survey<'_>, install: &Install, versions: bool) {
        let root = &install.root;
        let id = survey.next_id("engine");
        let drivers = stores(survey, root);
        let mut row = record::Engine {
            id,
            host_id: survey.host,
            kind: self.kind().into(),
            data_root: root.host(),
            found_by: install.found_by.clone(),
            rootless: i64::from(install.rootless),
            daemon_config_source_id: install.config,
            ..record::Engine::default()
        };
        row.engine_id = engine_id(survey, root);
        if versions {
            version::survey(survey, &mut row);
        }
        survey.engine_ids.extend(row.engine_id.clone());
        swarm::survey(survey, id, root);

        let mut layers = layer::Layers::default();
        for name in &drivers {
            layers.survey(survey, id, install, name);
        }
        layers.unowned(survey, id, install);
        mounted::survey(survey, id, install, &mut layers);
        let mut images = image::Images::new();
        for name in &drivers {
            image::survey(
                survey,
                id,
                &root.join("image").join(name),
                &layers,
                &mut images,
            );
        }
        for name in &drivers {
            image::references(
                survey,
                id,
                &root.join("image").join(name).join("repositories.json"),
                &images,
            );
        }
        let volumes = volume::survey(survey, id, root);
        network::survey(survey, id, root);
        let used = container::survey(
            survey,
            &container::Context {
                engine: id,
                root,
                layers: &layers,
                images: &images,
                volumes: &volumes,
                drivers: &drivers,
            },
        );
        trace::survey(survey, id, root, &drivers);
        for name in used.iter().filter(|name| !drivers.contains(name)) {
            let what = format!(
                "containers use the storage driver {name}, of which there is no image store here; the containerd image store is not read yet"
            );
            survey.problem(Severity::Warning, root, what, "containers, logs, volumes and networks; not their images, nor the files in their layers");
        }
        // The driver in use: what the containers say, else the store there is.
        row.driver = used.into_iter().next().or_else(|| drivers.first().cloned());
        row.comparison = self.comparison(row.daemon_version.as_deref()).word().into();
        let store = |driver: &String| [driver.clone(), format!("image/{driver}")];
        let mut folders: Vec<String> = row.driver.iter().flat_map(store).collect();
        folders.push("containers".into());
        row.folders = serde_json::json!(folders).to_string();
        survey.put(row);
    }
}

/// Drivers with an image store: the folders of `image/`.
fn stores(survey: &mut Survey<'_>, root: &EvidencePath) -> Vec<String> {
    let folder = root.join("image");
    let names = survey.names(&folder);
    names
        .into_iter()
        .filter(|n| survey.is_dir(&folder.join(n)))
        .map(|n| crate::text::lossless(&n).into_owned())
        .collect()
}

/// The daemon's id: a file of its own since 23.0, before that the key id of `/etc/docker/key.json`.
fn engine_id(survey: &mut Survey<'_>, root: &EvidencePath) -> Option<String> {
    if let Some((text, _)) = survey.read_text(&root.join("engine-id")) {
        return Some(text).filter(|t| !t.is_empty());
    }
    let path = EvidencePath::new("etc/docker/key.json");
    // Not kept: the file holds a private key.
    let (bytes, _) = survey.read(&path)?;
    let value = json::read(&bytes, &Document::ANY).value;
    value
        .get("kid")
        .and_then(serde_json::Value::as_str)
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_that_compare_by_file_type() {
        for (version, want) in [
            (None, Comparison::DirectoryBit),
            (Some(""), Comparison::DirectoryBit),
            (Some("dev"), Comparison::DirectoryBit),
            (Some("20.10.24+dfsg1"), Comparison::DirectoryBit),
            (Some("27.5.1"), Comparison::DirectoryBit),
            (Some("28.0.0-rc.1"), Comparison::FileType),
            (Some("28-dev"), Comparison::FileType),
            (Some("29.1.0"), Comparison::FileType),
        ] {
            assert_eq!(Docker.comparison(version), want, "{version:?}");
        }
    }
}
