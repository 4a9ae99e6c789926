//! `dof show-container-log`: a container's log as Docker writes it, one JSON object a line, or as text.

use super::source::{SourceArgs, open};
use super::{Failure, Output};
use crate::ingest::Options;
use crate::parse::{json_log, time};
use crate::query::{self, reference};
use crate::render::{Ahead, Render, plain, unhex};
use crate::stderr;
use crate::text::printable;
use clap::{Args, ValueEnum};
use regex::Regex;
use rusqlite::types::ValueRef;
use std::collections::VecDeque;
use std::io::{self, Write};

/// Arguments of `dof show-container-log`.
#[derive(Debug, Args)]
#[command(after_help = "\
An unfiltered json-file log comes out byte for byte, its rotated files joined in order.

Example:
  dof show-container-log --container apache /mnt/host | jq -r .log
  dof show-container-log --container apache --grep 'POST .*\\.php' --format text case.db")]
pub struct ShowContainerLog {
    #[command(flatten)]
    source: SourceArgs,
    /// Name, id or unique prefix of the id
    #[arg(long)]
    container: String,
    /// Only entries from this time on (ISO 8601, UTC)
    #[arg(long)]
    since: Option<String>,
    /// Only entries before this time (ISO 8601, UTC)
    #[arg(long)]
    until: Option<String>,
    /// Only this stream
    #[arg(long, value_parser = ["stdout", "stderr"])]
    stream: Option<String>,
    /// Only the last N entries of what is left
    #[arg(long, value_name = "N")]
    tail: Option<usize>,
    /// Only entries that match a regular expression; Docker splits lines over 16 KiB into several
    #[arg(long, value_name = "RE")]
    grep: Option<Regex>,
    /// Whether to read the rotated files too, oldest first; off reads the newest alone
    #[arg(
        long,
        value_enum,
        default_value = "on",
        value_name = "on|off",
        hide_possible_values = true
    )]
    follow_rotated: Switch,
    /// json: one object a line, as Docker writes it; text: time, stream and line
    #[arg(long, value_enum, default_value = "json")]
    format: LogFormat,
    #[command(flatten)]
    output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    Json,
    Text,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Switch {
    On,
    Off,
}

/// Where to look when a log driver keeps nothing of its own on the host.
fn elsewhere(driver: &str) -> &'static str {
    match driver {
        "none" => "it keeps nothing anywhere",
        "journald" => {
            "look into the host's journal: journalctl -D MOUNT/var/log/journal CONTAINER_NAME=..."
        }
        "syslog" => "look into the host's or the remote syslog: /var/log/syslog, /var/log/messages",
        _ => "it sends to a remote service; the container's log options name it",
    }
}

impl ShowContainerLog {
    /// Runs it.
    pub fn run(self) -> Result<u8, Failure> {
        let options = Options {
            logs: true,
            only: Some(self.container.clone()),
            docker_homes: self.source.homes(),
            ..Options::default()
        };
        let opened = open(&self.source.path(), options, self.source.trust())?;
        let db = opened.case.db();
        let id = reference::container(db, &self.container).map_err(query::Error::from)?;
        let mut arguments = vec![("container".to_owned(), id.clone())];
        for (name, value) in [
            ("since", &self.since),
            ("until", &self.until),
            ("stream", &self.stream),
        ] {
            arguments.extend(value.iter().map(|v| (name.to_owned(), v.clone())));
        }
        if self.follow_rotated == Switch::Off {
            arguments.push(("rotated".into(), "no".into()));
        }
        // All of it, as it stands on the disk.
        let whole = self.format == LogFormat::Json
            && self.grep.is_none()
            && self.tail.is_none()
            && [&self.since, &self.until, &self.stream]
                .iter()
                .all(|f| f.is_none());
        let render = DockerLog {
            out: self.output.open(&self.source.path(), Some(&opened.case))?,
            format: self.format,
            grep: self.grep,
            tail: self.tail.map(|n| (n, VecDeque::new())),
            place: whole.then_some(Place::default()),
        };
        let mut render = Ahead::new(Box::new(render));
        if query::find("show-container-log")?.run(db, &arguments, &mut render)? == 0 {
            let mut driver = Driver(None);
            query::find("containers")?.run(db, &[("container".into(), id)], &mut driver)?;
            if let Some(driver) = driver
                .0
                .filter(|d| !matches!(d.as_str(), "json-file" | "local"))
            {
                stderr::line(format_args!(
                    "dof: the log driver {} leaves no log on this host: {}",
                    printable(&driver),
                    elsewhere(&driver)
                ));
            }
        }
        Ok(opened.code)
    }
}

/// Picks the log driver out of the rows of `containers`.
struct Driver(Option<String>);

impl Render for Driver {
    fn begin(&mut self, columns: &[String]) -> io::Result<()> {
        self.0 = columns
            .iter()
            .position(|c| c == "log_driver")
            .map(|i| i.to_string());
        Ok(())
    }

    fn row(&mut self, values: &[ValueRef<'_>]) -> io::Result<()> {
        let at = self.0.take().and_then(|i| i.parse::<usize>().ok());
        self.0 = at
            .and_then(|i| values.get(i))
            .map(|v| plain(v).into_owned());
        Ok(())
    }

    fn end(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Entries as Docker's json-file driver writes them, or as text. Columns are those of the query, in its order.
struct DockerLog<W: Write> {
    out: W,
    format: LogFormat,
    grep: Option<Regex>,
    tail: Option<(usize, VecDeque<Vec<u8>>)>,
    /// Where in the files the output is, when all of a log is asked for.
    place: Option<Place>,
}

/// A place in a json-file log.
#[derive(Default)]
struct Place {
    file: i64,
    /// Behind the last entry, without its newline.
    at: u64,
    /// The file's size, where it is known.
    size: Option<u64>,
}

/// Most NULs that are written where a power cut left some.
const MOST_NULS: u64 = 64 << 20;

impl Place {
    /// What stands between the last entry and the next one, which begins at `next`, or the end: its newline, and lines of
    /// NULs, which are no entries.
    fn between(&self, next: Option<u64>) -> Vec<u8> {
        let end = match next.or(self.size) {
            Some(end) => end,
            None => self.at + 1, // of a compressed file, which ends with a line
        };
        let gap = end.saturating_sub(self.at);
        if gap > MOST_NULS {
            stderr::line(format_args!(
                "dof: {gap} bytes that hold nothing are left out at byte {}",
                self.at
            ));
            return b"\n".to_vec();
        }
        let mut out = vec![0; usize::try_from(gap).unwrap_or(0)];
        if let Some(first) = out.first_mut() {
            *first = b'\n';
        }
        if let (Some(_), Some(last)) = (next, out.last_mut()) {
            *last = b'\n';
        }
        out
    }
}

impl<W: Write> DockerLog<W> {
    /// An entry, without its newline.
    fn entry(&self, values: &[ValueRef<'_>]) -> Vec<u8> {
        let [_, ts, stream, line, partial, attrs, raw_hex, format, ..] = values else {
            return Vec::new();
        };
        let (stream, line) = (plain(stream), plain(line));
        let partial = matches!(partial, ValueRef::Integer(1));
        let time = if let ValueRef::Integer(ns) = ts {
            Some(*ns)
        } else {
            None
        };
        let raw = unhex(&plain(raw_hex));
        let mut out = Vec::new();
        if self.format == LogFormat::Text {
            let time = time.map_or_else(|| "-".into(), time::rfc3339_nano);
            let stream = if stream.is_empty() { "-" } else { &stream };
            out.extend_from_slice(
                format!("{time} {} {}", printable(stream), printable(&line)).as_bytes(),
            );
        } else if !raw.is_empty() && plain(format) == "json-file" {
            out.extend_from_slice(&raw);
        } else {
            // What of a local log is not UTF-8 becomes what Docker's own JSON has for it.
            let text = if raw.is_empty() {
                line
            } else {
                String::from_utf8_lossy(&raw)
            };
            let line = if partial {
                text.into_owned()
            } else {
                format!("{text}\n")
            };
            let attrs = if let ValueRef::Null = attrs {
                None
            } else {
                Some(plain(attrs))
            };
            json_log::write(&mut out, &line, &stream, attrs.as_deref(), time);
        }
        out
    }

    /// Goes on to an entry of a json-file log, with all that stands before it.
    fn go_on(&mut self, values: &[ValueRef<'_>], length: usize) -> io::Result<bool> {
        let number = |i: usize| match values.get(i) {
            Some(ValueRef::Integer(n)) => Some(*n),
            _ => None,
        };
        let (Some(place), Some(file), Some(offset)) = (&mut self.place, number(8), number(9))
        else {
            return Ok(false);
        };
        if values.get(7).is_none_or(|f| plain(f) != "json-file") {
            return Ok(false);
        }
        let offset = offset.unsigned_abs();
        if place.file != file {
            if place.file != 0 {
                self.out.write_all(&place.between(None))?;
            }
            *place = Place {
                file,
                at: offset,
                size: number(10).map(i64::unsigned_abs),
            };
        } else {
            self.out.write_all(&place.between(Some(offset)))?;
        }
        place.at = offset + length as u64;
        Ok(true)
    }
}

impl<W: Write> Render for DockerLog<W> {
    fn begin(&mut self, _columns: &[String]) -> io::Result<()> {
        Ok(())
    }

    fn row(&mut self, values: &[ValueRef<'_>]) -> io::Result<()> {
        if self
            .grep
            .as_ref()
            .is_some_and(|re| !values.get(3).is_some_and(|line| re.is_match(&plain(line))))
        {
            return Ok(());
        }
        let mut entry = self.entry(values);
        if self.go_on(values, entry.len())? {
            return self.out.write_all(&entry);
        }
        entry.push(b'\n');
        match &mut self.tail {
            None => self.out.write_all(&entry),
            Some((n, last)) => {
                last.push_back(entry);
                if last.len() > *n {
                    last.pop_front();
                }
                Ok(())
            }
        }
    }

    fn end(&mut self) -> io::Result<()> {
        if let Some((_, last)) = &self.tail {
            last.iter()
                .try_for_each(|entry| self.out.write_all(entry))?;
        }
        if let Some(place) = self.place.as_ref().filter(|p| p.file != 0) {
            self.out.write_all(&place.between(None))?;
        }
        self.out.flush()
    }
}
