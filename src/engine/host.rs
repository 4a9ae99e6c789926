//! Who the host is: its name, machine id, operating system and time zone.

use super::Survey;
use crate::evidence::{Error, EvidencePath};
use crate::problem::Severity;
use crate::record;
use std::path::Path;

/// Reads the host's own files.
pub fn survey(survey: &mut Survey<'_>, mount: &Path) -> record::Host {
    let id = survey.host;
    let mut host = record::Host {
        id,
        mount: std::path::absolute(mount)
            .unwrap_or_else(|_| mount.to_path_buf())
            .display()
            .to_string(),
        ..record::Host::default()
    };
    host.name = first_line(survey, "etc/hostname");
    host.machine_id = first_line(survey, "etc/machine-id");
    for path in ["etc/os-release", "usr/lib/os-release"] {
        if let Some((text, _)) = survey.read_text(&EvidencePath::new(path)) {
            for (key, value) in os_release(&text) {
                match key {
                    "PRETTY_NAME" => host.os = Some(value),
                    "ID" => host.os_id = Some(value),
                    "VERSION_ID" => host.os_version = Some(value),
                    _ => {}
                }
            }
            break;
        }
    }
    host.timezone = timezone(survey);
    host
}

fn first_line(survey: &mut Survey<'_>, path: &str) -> Option<String> {
    let (text, _) = survey.read_text(&EvidencePath::new(path))?;
    text.lines()
        .map(str::trim)
        .find(|l| !l.is_empty() && !l.starts_with('#'))
        .map(str::to_owned)
}

/// `KEY=value` lines of os-release(5), quotes taken off.
fn os_release(text: &str) -> impl Iterator<Item = (&str, String)> {
    text.lines().filter_map(|line| {
        let (key, value) = line.trim().split_once('=')?;
        let quoted = value
            .strip_prefix('"')
            .and_then(|v| v.strip_suffix('"'))
            .or_else(|| value.strip_prefix('\'').and_then(|v| v.strip_suffix('\'')));
        Some((
            key,
            quoted.map_or_else(
                || value.to_owned(),
                |v| {
                    v.replace("\\\"", "\"")
                        .replace("\\$", "$")
                        .replace("\\\\", "\\")
                },
            ),
        ))
    })
}

/// The zone's IANA name: the target of /etc/localtime below a zoneinfo directory, else Debian's /etc/timezone, else
/// Red Hat's /etc/sysconfig/clock.
fn timezone(survey: &mut Survey<'_>) -> Option<String> {
    let at = EvidencePath::new("etc/localtime");
    let link = match survey.evidence.read_link(&at) {
        Ok(target) => Some(target),
        Err(Error::Missing | Error::WrongKind(..)) => None,
        Err(e) => {
            let what = format!("link cannot be read: {e}");
            survey.problem(
                Severity::Warning,
                &at,
                what,
                "other words for the time zone",
            );
            None
        }
    };
    let name = link.and_then(|target| {
        let target = crate::text::lossless(&target).into_owned();
        target.split_once("zoneinfo/").map(|(_, zone)| {
            zone.trim_start_matches("posix/")
                .trim_start_matches("right/")
                .to_owned()
        })
    });
    name.filter(|n| !n.is_empty())
        .or_else(|| first_line(survey, "etc/timezone"))
        .or_else(|| {
            let (text, _) = survey.read_text(&EvidencePath::new("etc/sysconfig/clock"))?;
            os_release(&text)
                .find(|(k, _)| *k == "ZONE")
                .map(|(_, v)| v)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn os_release_quotes() {
        let got: Vec<_> =
            os_release("PRETTY_NAME=\"Debian \\\"x\\\"\"\nID=debian\n# c\nV='1'\n").collect();
        assert_eq!(
            got,
            [
                ("PRETTY_NAME", "Debian \"x\"".into()),
                ("ID", "debian".into()),
                ("V", "1".into())
            ]
        );
    }
}
