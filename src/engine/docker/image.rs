//! Images: `image/DRIVER/imagedb` (moby image/fs.go, image/image.go) and `repositories.json` (moby reference/store.go).

use super::documents;
use super::layer::Layers;
use crate::engine::{Survey, sha256_hex};
use crate::evidence::EvidencePath;
use crate::parse::json::Fields;
use crate::problem::Severity;
use crate::record;
use serde_json::Value;
use std::collections::HashMap;

/// Row ids of images by full id.
pub type Images = HashMap<String, i64>;

/// Reads the images of one driver's store. An image that two stores hold is one image.
pub fn survey(
    survey: &mut Survey<'_>,
    engine: i64,
    store: &EvidencePath,
    layers: &Layers,
    images: &mut Images,
) {
    let content = store.join("imagedb/content/sha256");
    for name in survey.names(&content) {
        let full_id = format!("sha256:{}", crate::text::lossless(&name));
        if images.contains_key(&full_id) {
            continue;
        }
        let path = content.join(&name);
        let id = survey.next_id("image");
        images.insert(full_id.clone(), id);
        let mut row = record::Image {
            id,
            engine_id: engine,
            full_id: full_id.clone(),
            hex: crate::text::lossless(&name).into_owned(),
            ..record::Image::default()
        };
        let metadata = store.join("imagedb/metadata/sha256").join(&name);
        row.parent_full_id = survey.line(&metadata.join("parent"));
        row.last_tagged_at = survey
            .line(&metadata.join("lastUpdated"))
            .and_then(|t| crate::parse::time::rfc3339(t.as_bytes()));
        row.built_locally = i64::from(survey.evidence.exists(&metadata.join("builtLocally")));
        let Some(file) = survey.read_json(&path, &documents::IMAGE) else {
            survey.put(row);
            continue;
        };
        let no_root = file.value.get("rootfs").is_none_or(Value::is_null);
        let why = match &file.refused {
            Some(why) => Some(format!("it cannot decode its config: {why}")),
            None => no_root.then(|| "its config has no rootfs".into()),
        };
        if let Some(why) = why {
            let what = format!("the engine does not load this image: {why}");
            survey.problem(Severity::Warning, &path, what, "what could be read of it");
        }
        row.source_id = Some(file.source);
        let mut f = Fields::new(&file.value);
        row.created_at = f.time("created");
        row.os = f.text("os");
        row.os_version = f.text_named("os.version");
        row.architecture = f.text("architecture");
        row.variant = f.text("variant");
        row.author = f.text("author");
        row.comment = f.text("comment");
        row.docker_version = f.text("docker_version");
        row.container = f.text("container");
        row.entrypoint = f.array("config.Entrypoint");
        row.cmd = f.array("config.Cmd");
        row.env = f.array("config.Env");
        row.user = f.text("config.User");
        row.working_dir = f.text("config.WorkingDir");
        row.exposed_ports = f.json("config.ExposedPorts");
        row.volumes = f.json("config.Volumes");
        row.labels = f.json("config.Labels");
        row.stop_signal = f.text("config.StopSignal");
        row.healthcheck = f.json("config.Healthcheck");
        row.config = f.json("config");
        survey.put(row);
        let made = stack(survey, id, f.items("rootfs.diff_ids"), layers);
        history(survey, id, &mut f, &made);
        survey.defects(Severity::Warning, &path, f.defects);
    }
}

/// The image's layers, base first: their row ids. Chain IDs are computed as the OCI image specification says.
fn stack(
    survey: &mut Survey<'_>,
    image: i64,
    diff_ids: &[Value],
    layers: &Layers,
) -> Vec<Option<i64>> {
    let mut chain_id = String::new();
    let mut made = Vec::new();
    for (i, diff_id) in diff_ids.iter().filter_map(Value::as_str).enumerate() {
        chain_id = if i == 0 {
            diff_id.to_owned()
        } else {
            format!(
                "sha256:{}",
                sha256_hex(format!("{chain_id} {diff_id}").as_bytes())
            )
        };
        let layer = layers.chain(&chain_id);
        survey.put(record::ImageLayer {
            image_id: image,
            position: i as i64 + 1,
            diff_id: diff_id.into(),
            chain_id: chain_id.clone(),
            layer_id: layer,
        });
        made.push(layer);
    }
    made
}

/// The build history; the n-th step that made a layer made the n-th layer.
fn history(survey: &mut Survey<'_>, image: i64, f: &mut Fields<'_>, made: &[Option<i64>]) {
    let mut made = made.iter();
    for (i, step) in f.items("history").iter().enumerate() {
        let mut s = Fields::new(step);
        let empty = s.is("empty_layer");
        let layer_id = if empty == 0 {
            made.next().copied().flatten()
        } else {
            None
        };
        survey.put(record::ImageHistory {
            image_id: image,
            position: i as i64 + 1,
            created_at: s.time("created"),
            created_by: s.text("created_by"),
            author: s.text("author"),
            comment: s.text("comment"),
            empty_layer: empty,
            layer_id,
            step: step.to_string(),
        });
        f.defects.append(&mut s.defects);
    }
}

/// Reads `repositories.json`: every name of every image.
pub fn references(survey: &mut Survey<'_>, engine: i64, path: &EvidencePath, images: &Images) {
    let Some(file) = survey.read_json(path, &documents::REPOSITORIES) else {
        // Every engine writes it when it starts.
        if !images.is_empty() && !survey.evidence.exists(path) {
            let what = "not there, though there are images: someone removed it";
            survey.problem(Severity::Warning, path, what, "the images, without names");
        }
        return;
    };
    if let Some(why) = &file.refused {
        let what = format!("the engine does not start with this file: it cannot decode it: {why}");
        survey.problem(Severity::Warning, path, what, "what could be read of it");
    }
    let mut named = 0;
    let mut f = Fields::new(&file.value);
    for (repository, names) in f.members("Repositories") {
        let Some(names) = names.as_object() else {
            survey.problem(
                Severity::Warning,
                path,
                format!("repository {repository} is no object"),
                "the other repositories",
            );
            continue;
        };
        for (reference, image) in names {
            let Some(image) = image.as_str() else {
                survey.problem(
                    Severity::Warning,
                    path,
                    format!("reference {reference} names no image"),
                    "the other references",
                );
                continue;
            };
            let (tag, digest) = match reference.split_once('@') {
                Some((_, digest)) => (None, Some(digest.to_owned())),
                None => (
                    reference
                        .rsplit_once(':')
                        .map(|(_, t)| t.to_owned())
                        .or_else(|| Some("latest".into())),
                    None,
                ),
            };
            named += 1;
            let id = survey.next_id("image_reference");
            survey.put(record::ImageReference {
                id,
                engine_id: engine,
                repository: repository.clone(),
                reference: reference.clone(),
                tag,
                digest,
                image_full_id: image.into(),
                image_id: images.get(image).copied(),
                source_id: Some(file.source),
            });
        }
    }
    survey.defects(Severity::Warning, path, f.defects);
    if named == 0 && !images.is_empty() {
        let what = format!("names none of the {} images here", images.len());
        survey.problem(Severity::Note, path, what, "the images, without names");
    }
}
