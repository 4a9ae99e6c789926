//! Where Docker's data root is: what the analyst says, else what the host's configuration says, else the usual places.

use super::documents;
use crate::engine::{Install, METADATA_LIMIT, Survey};
use crate::evidence::{self, EvidencePath};
use crate::parse::json::Fields;
use crate::parse::unit;
use crate::problem::Severity;

/// Units and option files that may name a data root. Later ones override earlier ones.
const OPTION_FILES: &[&str] = &[
    "lib/systemd/system/docker.service",
    "usr/lib/systemd/system/docker.service",
    "etc/systemd/system/docker.service",
    "etc/default/docker",
    "etc/sysconfig/docker",
    "etc/conf.d/docker",
];
/// Folders of drop-ins.
const DROP_INS: &[&str] = &[
    "usr/lib/systemd/system/docker.service.d",
    "etc/systemd/system/docker.service.d",
    "run/systemd/system/docker.service.d",
];
/// Data roots nobody needs to configure: packages, and the snap.
pub const DEFAULTS: &[&str] = &["var/lib/docker", "var/snap/docker/common/var-lib-docker"];
/// Folders of homes with a rootless engine perhaps.
const HOMES: &[&str] = &["home", "root"];

/// The data roots of this host, each once.
pub fn find(survey: &mut Survey<'_>, homes: &[EvidencePath]) -> Vec<Install> {
    let mut found = Found {
        installs: Vec::new(),
        seen: Vec::new(),
    };
    let system = configured(survey, &EvidencePath::new("etc/docker/daemon.json"));
    let config = system.as_ref().map(|(_, source)| *source);
    if !homes.is_empty() {
        for home in homes {
            if !found.add(survey, home, "--docker-home", config, false) {
                survey.problem(
                    Severity::Error,
                    home,
                    "named by --docker-home, but no Docker data root",
                    "nothing",
                );
            }
        }
        return found.installs;
    }
    let mut named: Vec<(String, String)> = Vec::new();
    for file in OPTION_FILES {
        options(survey, &EvidencePath::new(file), &mut named);
    }
    for folder in DROP_INS {
        let folder = EvidencePath::new(folder);
        for name in survey.names(&folder) {
            if name.ends_with(b".conf") {
                options(survey, &folder.join(name), &mut named);
            }
        }
    }
    if let Some((Some(root), _)) = &system {
        named.push((root.clone(), "/etc/docker/daemon.json".into()));
    }
    for (root, by) in named.iter().rev() {
        let root = EvidencePath::new(root);
        if !found.add(survey, &root, by, config, false) {
            survey.problem(
                Severity::Warning,
                &root,
                format!("named as data root by {by}, but no Docker data root"),
                "other data roots",
            );
        }
    }
    for root in DEFAULTS {
        found.add(survey, &EvidencePath::new(root), "default", config, false);
    }
    for folder in HOMES {
        let folder = EvidencePath::new(folder);
        let homes = if folder.as_bytes() == b"root" {
            vec![folder]
        } else {
            survey
                .names(&folder)
                .into_iter()
                .map(|n| folder.join(n))
                .collect()
        };
        for home in homes {
            let user = configured(survey, &home.join(".config/docker/daemon.json"));
            let config = user.as_ref().map(|(_, source)| *source);
            if let Some((Some(root), _)) = &user {
                found.add(
                    survey,
                    &EvidencePath::new(root),
                    &home.join(".config/docker/daemon.json").host(),
                    config,
                    true,
                );
            }
            found.add(
                survey,
                &home.join(".local/share/docker"),
                "rootless default",
                config,
                true,
            );
        }
    }
    found.installs
}

struct Found {
    installs: Vec<Install>,
    seen: Vec<(u64, u64)>,
}

impl Found {
    /// Adds a data root and those of user-namespace remapping below it; whether there was one.
    fn add(
        &mut self,
        survey: &mut Survey<'_>,
        root: &EvidencePath,
        by: &str,
        config: Option<i64>,
        rootless: bool,
    ) -> bool {
        // Docker lets nobody but root into its data root.
        let looked = survey.evidence.stat(root).and_then(|meta| {
            match survey.evidence.stat(&root.join("containers")) {
                Err(e @ evidence::Error::Io(_)) => Err(e),
                _ => Ok(meta),
            }
        });
        let meta = match looked {
            Ok(meta) => meta,
            Err(evidence::Error::Missing) => return false,
            Err(e) => {
                let what = format!("cannot be looked into: {e}");
                survey.problem(Severity::Error, root, what, "nothing");
                return false;
            }
        };
        if self.seen.contains(&meta.identity()) {
            return true;
        }
        let itself = is_data_root(survey, root);
        if itself {
            self.seen.push(meta.identity());
            self.installs.push(Install {
                root: root.clone(),
                found_by: by.into(),
                config,
                rootless,
            });
        }
        let mut remapped = false;
        for name in survey.names(root) {
            let below = root.join(&name);
            if is_uid_gid(&name) && is_data_root(survey, &below) {
                remapped = true;
                match survey.evidence.stat(&below) {
                    Ok(meta) if self.seen.contains(&meta.identity()) => continue,
                    Ok(meta) => self.seen.push(meta.identity()),
                    Err(_) => {}
                }
                self.installs.push(Install {
                    root: below,
                    found_by: format!("{by}, userns-remap"),
                    config,
                    rootless,
                });
            }
        }
        itself || remapped
    }
}

/// Whether a directory looks like a data root: it has folders only Docker makes.
fn is_data_root(survey: &Survey<'_>, root: &EvidencePath) -> bool {
    let has = |name: &str| {
        survey
            .evidence
            .stat(&root.join(name))
            .is_ok_and(|m| m.is_dir())
    };
    has("containers")
        || has("image") && (has("overlay2") || has("volumes"))
        || has("overlay2") && has("volumes")
}

/// `<uid>.<gid>`, as userns-remap names its data roots.
fn is_uid_gid(name: &[u8]) -> bool {
    let digits = |s: &[u8]| !s.is_empty() && s.iter().all(u8::is_ascii_digit);
    let mut parts = name.splitn(2, |&b| b == b'.');
    parts.next().is_some_and(digits) && parts.next().is_some_and(digits)
}

/// The data root a daemon.json names, if any, and its source.
fn configured(survey: &mut Survey<'_>, path: &EvidencePath) -> Option<(Option<String>, i64)> {
    let file = survey.read_json(path, &documents::DAEMON)?;
    let mut fields = Fields::new(&file.value);
    let root = fields.text("data-root").or_else(|| fields.text("graph"));
    survey.defects(Severity::Warning, path, fields.defects);
    if let Some(why) = file.refused {
        let what = format!("the engine does not start with this file: {why}");
        survey.problem(Severity::Warning, path, what, "the data root it names");
    }
    Some((root, file.source))
}

fn options(survey: &mut Survey<'_>, path: &EvidencePath, named: &mut Vec<(String, String)>) {
    match survey.evidence.read(path, METADATA_LIMIT) {
        Ok((bytes, meta)) => {
            if let Some(root) = unit::data_root(&String::from_utf8_lossy(&bytes)) {
                survey.source(path, &meta, Some(&bytes), false);
                named.push((root, path.host()));
            }
        }
        Err(evidence::Error::Missing) => {}
        Err(e) => {
            let what = format!("cannot be read: {e}");
            let kept = "data roots that other files name";
            survey.problem(Severity::Warning, path, what, kept);
        }
    }
}
