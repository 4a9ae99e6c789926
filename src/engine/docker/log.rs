//! The log files of a container: where they lie, which of them are rotated, and which are missing (moby
//! daemon/logger/loggerutils/logfile.go, daemon/logger/loggerutils/cache).

use crate::engine::{LogFormat, LogPlan, Survey};
use crate::evidence::EvidencePath;
use crate::problem::Severity;
use crate::record;
use crate::text::lossless;
use std::collections::HashSet;

/// `NAME`, `NAME.3`, `NAME.3.gz`: how often it was rotated, and whether it is compressed.
fn rotation(name: &[u8], base: &[u8]) -> Option<(u64, bool)> {
    let rest = name.strip_prefix(base)?;
    if rest.is_empty() {
        return Some((0, false));
    }
    let rest = rest.strip_prefix(b".")?;
    let (digits, gz) = rest
        .strip_suffix(b".gz")
        .map_or((rest, false), |d| (d, true));
    let n = std::str::from_utf8(digits).ok()?.parse().ok()?;
    Some((n, gz))
}

/// Whether a log driver keeps the log in files beside the container. (Others may keep a copy there.)
pub fn in_files(driver: &str) -> bool {
    matches!(driver, "json-file" | "local")
}

/// Where a container's json-file log is (moby container/container.go, StartLogger).
pub fn own(dir: &EvidencePath) -> EvidencePath {
    dir.join([dir.file_name(), b"-json.log"].concat())
}

/// Says that a container's `LogPath` names another file than its own log. The engine works the path out anew when it
/// opens the log, and never reads what the file says.
pub fn elsewhere(survey: &mut Survey<'_>, dir: &EvidencePath, config: &EvidencePath, path: &str) {
    let (own, path) = (own(dir), EvidencePath::new(path));
    let identity = |path| survey.evidence.stat(path).ok().map(|meta| meta.identity());
    let there = identity(&path);
    if path == own || there.is_some() && there == identity(&own) {
        return;
    }
    // A data root that was moved or is mounted elsewhere: its containers name their old place.
    let moved = path.file_name() == own.file_name()
        && path.parent().file_name() == own.parent().file_name();
    if moved && there.is_none() {
        return;
    }
    let severity = if moved {
        Severity::Note
    } else {
        Severity::Warning
    };
    let what = format!(
        "LogPath names {}: the engine ignores that and reads the container's own log",
        path.host()
    );
    survey.problem(severity, config, what, "the container's own log");
}

/// The container's log files, oldest first.
pub fn survey(survey: &mut Survey<'_>, container_id: i64, dir: &EvidencePath) {
    let sets = [
        (
            dir.clone(),
            own(dir).file_name().to_vec(),
            LogFormat::JsonFile,
            false,
        ),
        (
            dir.join("local-logs"),
            b"container.log".to_vec(),
            LogFormat::Local,
            false,
        ),
        (
            dir.clone(),
            b"container-cached.log".to_vec(),
            LogFormat::Local,
            true,
        ),
    ];
    let mut position = 0;
    let mut seen = HashSet::new();
    for (folder, base, format, cached) in sets {
        let mut files: Vec<_> = survey
            .names(&folder)
            .into_iter()
            .filter_map(|n| rotation(&n, &base).map(|(k, gz)| (k, gz, n)))
            .collect();
        files.sort_by(|a, b| b.cmp(a));
        let oldest = files.first().map_or(0, |f| f.0);
        let there: HashSet<u64> = files.iter().map(|f| f.0).collect();
        for n in (0..oldest).filter(|n| !there.contains(n)).take(100) {
            let mut name = lossless(&base).into_owned();
            if n > 0 {
                name.push_str(&format!(".{n}"));
            }
            survey.problem(
                Severity::Warning,
                &folder.join(name),
                "this log file is not there, though an older one is",
                "the other files of this log",
            );
        }
        let mut follows = false;
        for (_, compressed, name) in files {
            let path = folder.join(&name);
            let meta = match survey.evidence.open_file(&path) {
                Ok(file) => file.meta,
                Err(e) => {
                    survey.problem(
                        Severity::Error,
                        &path,
                        format!("log cannot be opened: {e}"),
                        "the container's other logs",
                    );
                    continue;
                }
            };
            if !seen.insert(meta.identity()) {
                continue;
            }
            position += 1;
            let id = survey.next_id("log_file");
            survey.put(record::LogFile {
                id,
                container_id,
                path: path.host(),
                format: format.word().into(),
                position,
                compressed: i64::from(compressed),
                size: meta.size as i64,
                mtime: meta.mtime,
                cached: i64::from(cached),
                // The writer's to tell, when the entries are there.
                first_entry: None,
                last_entry: None,
            });
            survey.logs.push(LogPlan {
                id,
                path,
                format,
                compressed,
                follows,
                mtime: meta.mtime,
            });
            follows = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rotations_are_told_apart() {
        assert_eq!(rotation(b"x-json.log", b"x-json.log"), Some((0, false)));
        assert_eq!(
            rotation(b"x-json.log.12.gz", b"x-json.log"),
            Some((12, true))
        );
        assert_eq!(rotation(b"x-json.log.2", b"x-json.log"), Some((2, false)));
        for other in [
            &b"x-json.log.bak"[..],
            b"x-json.logs",
            b"x-json.log.",
            b"y-json.log",
            b"x-json.log.1.gz.gz",
        ] {
            assert_eq!(rotation(other, b"x-json.log"), None);
        }
    }
}
