//! `dof verify`: image layers and images against what they were shipped as; the results as rows of a case, and printed.

use super::source::{self, SourceArgs, Writing};
use super::{Failure, ListFormat, exit};
use crate::case::{self, Case, Target};
use crate::evidence::{Evidence, EvidencePath};
use crate::ingest::{self, Options, Progress};
use crate::query;
use crate::record;
use crate::render::{Render, plain};
use crate::stderr;
use crate::text::{is_plain, lossless, printable};
use crate::verify::{self, Finding, Gone, Image, Init, Layer, Plan, Report, Verdict};
use clap::Args;
use rusqlite::types::ValueRef;
use std::collections::HashMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

/// Arguments of `dof verify`.
#[derive(Debug, Args)]
#[command(after_help = "\
Each image layer's directory is compared with the record Docker keeps of what was pulled or built (tar-split): every file's \
type, size, permissions, owner, modification time, links, extended attributes and content (CRC-64), what was added and what \
is missing. Ids of layers and images are computed anew. An image is as shipped when its config and all its layers are; \
one that is named or used and has no config any more is said. An init layer, which the engine puts between an image and a \
container, must have only the empty places for mounts that it makes. With --full each layer's archive is put together again, and its \
SHA-256 must be the diff ID. A case prints the results that were stored in it.

Exit codes: 0 all as shipped; 1 something is not, or cannot be verified, or there is a problem; 2 and 3 as elsewhere.

Example:
  dof verify --full /mnt/host
  dof verify --image httpd:2.4 --format jsonl /mnt/host
  dof verify --case case.db /mnt/host && dof query verify --outcome changed")]
pub struct Verify {
    #[command(flatten)]
    source: SourceArgs,
    /// This image and its layers only: repository:tag, digest, id or a unique prefix of the id
    #[arg(long)]
    image: Option<String>,
    /// Put each layer's archive together again and hold its SHA-256 against the diff ID
    #[arg(long)]
    full: bool,
    /// Keep the results in this case, which must hold the host; those of an earlier verification are replaced, with --image those of the image alone
    #[arg(long, value_name = "FILE")]
    case: Option<PathBuf>,
    #[command(flatten)]
    writing: Writing,
    #[command(flatten)]
    format: ListFormat,
}

impl Verify {
    /// Runs it.
    pub fn run(self) -> Result<u8, Failure> {
        let path = self.source.path();
        if path.is_dir() {
            return self.mount(&path);
        }
        if self.full || self.case.is_some() {
            return Err(Failure::usage(format!(
                "{} is no directory: --full and --case need the mounted host itself",
                path.display()
            )));
        }
        let case = self.source.trust().open(&path)?;
        let tally = self.print(&case, self.output(&case)?)?;
        if tally.subjects == 0 {
            return Err(Failure::usage(format!(
                "{}: {}; `dof verify --case {} MOUNT` does it",
                path.display(),
                if self.image.is_some() {
                    "that image was not verified"
                } else {
                    "never verified"
                },
                path.display()
            )));
        }
        if self.image.is_none() {
            let (layers, images) = never(&case)?;
            if layers + images > 0 {
                stderr::line(format_args!(
                    "dof: not verified: {layers} layers, {images} images"
                ));
            }
        }
        Ok(tally.code())
    }

    fn mount(&self, mount: &Path) -> Result<u8, Failure> {
        let progress = Progress::on_stderr();
        let options = Options {
            docker_homes: self.source.homes(),
            ..Options::default()
        };
        let (memory, summary) = ingest::ingest(mount, Target::temporary()?, &options, &progress)?;
        let (plan, _) = plan(&memory, self.image.as_deref(), self.full)?;
        let identity = memory.identities()?.into_iter().next().unwrap_or_default();
        let case = match &self.case {
            None => memory,
            Some(path) => {
                if !path.exists() {
                    return Err(case::Error::Missing(path.clone()).into());
                }
                drop(self.writing.target(path)?); // what keeps dof from writing is said before the work
                Case::open(path)?
            }
        };
        let lacking = |what: &str| {
            Failure::usage(format!(
                "{}: {what}; `dof ingest {} {}` puts it there",
                case.path().display(),
                mount.display(),
                case.path().display()
            ))
        };
        let host = case
            .host(&identity)?
            .ok_or_else(|| lacking("this host is not in the case"))?;
        let rows = plan_rows(&case, host)?;
        let known = |key: &Key| rows.get(key).copied();
        if plan
            .layers
            .iter()
            .any(|l| l.wanted && known(&key_of_layer(l)).is_none())
            || plan
                .images
                .iter()
                .any(|i| i.gone.is_none() && known(&key_of_image(i)).is_none())
            || plan.inits.iter().any(|i| known(&key_of_init(i)).is_none())
        {
            return Err(lacking("the case holds an earlier state of this host"));
        }

        let evidence =
            Evidence::open(mount).map_err(|e| Failure::io(format!("{}: {e}", mount.display())))?;
        let out = self.output(&case)?;
        progress.phase("verifying layers");
        let all = plan.layers.iter().filter(|l| l.wanted).count();
        let (done, bytes) = (AtomicUsize::new(0), AtomicU64::new(0));
        let report = verify::verify(&evidence, &plan, |_, verdict| {
            let n = done.fetch_add(1, Relaxed) + 1;
            let bytes = bytes.fetch_add(verdict.bytes, Relaxed) + verdict.bytes;
            progress.message(format!("{n} of {all}, {} MiB compared", bytes >> 20));
        });
        progress.finish();
        let target = case.reopen(self.writing.how(&mut source::tell))?;
        let partly = self.image.is_some();
        let case = store(target, host, &rows, &report, self.full, partly)?;
        let tally = self.print(&case, out)?;
        let verdicts = report.layers.iter().map(|(_, v)| v);
        let verdicts = verdicts.chain(report.inits.iter().map(|(_, v)| v));
        for problem in verdicts.flat_map(|v| &v.problems) {
            stderr::line(format_args!("dof: {problem}"));
        }
        if report.copies > 0 {
            stderr::line(format_args!(
                "dof: not compared: {} init layers, which are full copies; in a case of `dof ingest`, drift says what was put there",
                report.copies
            ));
        }
        if tally.subjects == 0 {
            stderr::line(format_args!(
                "dof: nothing was verified: no image store that dof reads"
            ));
        } else {
            stderr::line(format_args!("{}", summarise(&report)));
        }
        let [_, warnings, errors] = summary.counted.problems;
        Ok(if warnings + errors > 0 {
            exit::PROBLEMS
        } else {
            tally.code()
        })
    }

    fn output(&self, case: &Case) -> Result<Box<dyn Write + Send>, Failure> {
        self.format.output.open(&self.source.path(), Some(case))
    }

    fn print(&self, case: &Case, out: Box<dyn Write + Send>) -> Result<Tally, Failure> {
        let inner: Box<dyn Render> = match self.format.format {
            Some(format) => format.renderer(out),
            None => Box::new(Plain {
                out,
                columns: Vec::new(),
                subject: None,
            }),
        };
        let mut tally = Tally {
            inner,
            columns: Vec::new(),
            subject: None,
            subjects: 0,
            faults: 0,
        };
        let asked: Vec<_> = self
            .image
            .iter()
            .map(|i| ("image".into(), i.clone()))
            .collect();
        query::find("verify")?.run(case.db(), &asked, &mut tally)?;
        Ok(tally)
    }
}

/// What tells layers and images of one host apart: data root, driver, id.
type Key = (String, String, String);
/// Row ids by host and what they are of.
type Rows = HashMap<(i64, Key), i64>;

fn key_of_layer(l: &Layer) -> Key {
    (l.data_root.host(), l.driver.clone(), l.chain_id.clone())
}

fn key_of_init(i: &Init) -> Key {
    (i.data_root.host(), i.driver.clone(), i.cache_id.clone())
}

fn key_of_image(i: &Image) -> Key {
    (i.data_root.host(), String::new(), i.full_id.clone())
}

/// The rows of the query `verify-plan`: what is to be verified, and the row id of each.
#[derive(Default)]
struct Gathering {
    plan: Plan,
    rows: Rows,
}

impl Render for Gathering {
    fn begin(&mut self, _columns: &[String]) -> io::Result<()> {
        Ok(())
    }

    fn row(&mut self, values: &[ValueRef<'_>]) -> io::Result<()> {
        let text = |i: usize| plain(&values[i]).into_owned();
        let some = |s: &String| Some(s.clone()).filter(|s| !s.is_empty());
        // The columns of the query, in its order.
        let [
            subject,
            wanted,
            data_root,
            rootless,
            driver,
            id,
            digest,
            parent,
            cache_id,
            host_path,
            lacking,
            layers,
            named,
            used_by,
            row_id,
            host_id,
            stray,
        ] = std::array::from_fn(text);
        let wanted = wanted == "1";
        let data_root = EvidencePath::new(&data_root);
        let key = if subject == "image" {
            let image = Image {
                data_root,
                full_id: id,
                config_sha256: some(&digest),
                lacking: serde_json::from_str(&lacking).unwrap_or_default(),
                layers: serde_json::from_str(&layers).unwrap_or_default(),
                gone: some(&named)
                    .map(Gone::Named)
                    .or_else(|| some(&used_by).map(Gone::UsedBy)),
            };
            let key = key_of_image(&image);
            let gone = image.gone.is_some();
            self.plan.images.extend(wanted.then_some(image));
            if gone {
                return Ok(()); // it has no row
            }
            key
        } else if subject == "init layer" {
            let init = Init {
                data_root,
                rootless: rootless == "1",
                driver,
                cache_id,
                files: some(&host_path).map(EvidencePath::new),
            };
            let key = key_of_init(&init);
            self.plan.inits.extend(wanted.then_some(init));
            key
        } else {
            let layer = Layer {
                wanted,
                data_root,
                rootless: rootless == "1",
                driver,
                chain_id: id,
                diff_id: some(&digest),
                parent: some(&parent),
                cache_id: some(&cache_id),
                files: some(&host_path).map(EvidencePath::new),
                stray: stray == "1",
            };
            let key = key_of_layer(&layer);
            self.plan.layers.push(layer);
            key
        };
        let number = |s: &str| s.parse().unwrap_or_default();
        self.rows.insert((number(&host_id), key), number(&row_id));
        Ok(())
    }

    fn end(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn plan(case: &Case, image: Option<&str>, full: bool) -> Result<(Plan, Rows), Failure> {
    let mut all = Gathering::default();
    let asked: Vec<_> = image
        .iter()
        .map(|i| ("image".into(), (*i).to_owned()))
        .collect();
    query::find("verify-plan")?.run(case.db(), &asked, &mut all)?;
    all.plan.full = full;
    Ok((all.plan, all.rows))
}

/// Row ids of a host's layers and images in the case the results go to.
fn plan_rows(case: &Case, host: i64) -> Result<HashMap<Key, i64>, Failure> {
    let (_, rows) = plan(case, None, false)?;
    let of_host = |((h, key), id)| (h == host).then_some((key, id));
    Ok(rows.into_iter().filter_map(of_host).collect())
}

/// How many image layers and images of a case's hosts were never verified, though others were.
fn never(case: &Case) -> Result<(i64, i64), Failure> {
    let sql = "SELECT (SELECT count(*) FROM layer l WHERE l.role = 'image' AND NOT EXISTS (SELECT 1 FROM verification v WHERE v.layer_id = l.id)),
                      (SELECT count(*) FROM image i WHERE NOT EXISTS (SELECT 1 FROM verification v WHERE v.image_id = i.id))";
    let counts = case.db().query_row(sql, [], |r| Ok((r.get(0)?, r.get(1)?)));
    counts.map_err(|e| Failure::io(e.to_string()))
}

/// Writes the results in one transaction. Those of an earlier verification go, but for what this one was not asked for.
fn store(
    mut target: Target,
    host: i64,
    rows: &HashMap<Key, i64>,
    report: &Report,
    full: bool,
    partly: bool,
) -> Result<Case, Failure> {
    let mut writer = target.writer()?;
    writer.go_on(host);
    if !partly {
        writer.forget_verification()?;
    }
    let first = writer.first_free("verification")?;
    let mut finding_id = writer.first_free("verification_finding")?;
    let layers = report
        .layers
        .iter()
        .map(|(l, v)| (key_of_layer(l), true, full, v));
    let images = report
        .images
        .iter()
        .map(|(i, v)| (key_of_image(i), false, false, v));
    let inits = report
        .inits
        .iter()
        .map(|(i, v)| (key_of_init(i), true, false, v));
    for (id, (key, is_layer, full, verdict)) in (first..).zip(layers.chain(images).chain(inits)) {
        let row = rows.get(&key).copied();
        if partly && let Some(row) = row {
            writer.forget_verified(row, is_layer)?;
        }
        writer.record(&verification(id, host, row, is_layer, verdict, full).into())?;
        for finding in &verdict.findings {
            writer.record(&row_of(finding_id, id, finding).into())?;
            finding_id += 1;
        }
        for problem in &verdict.problems {
            writer.problem_once(problem)?;
        }
    }
    drop(writer);
    Ok(target.seal()?)
}

fn verification(
    id: i64,
    host_id: i64,
    row: Option<i64>,
    is_layer: bool,
    v: &Verdict,
    full: bool,
) -> record::Verification {
    record::Verification {
        id,
        host_id,
        layer_id: row.filter(|_| is_layer),
        image_id: row.filter(|_| !is_layer),
        outcome: v.outcome.word().into(),
        full: i64::from(full),
        entries: v.entries.and_then(|n| i64::try_from(n).ok()),
        bytes: i64::try_from(v.bytes).unwrap_or(i64::MAX),
        note: v.note.clone(),
    }
}

fn row_of(id: i64, verification_id: i64, f: &Finding) -> record::VerificationFinding {
    record::VerificationFinding {
        id,
        verification_id,
        change: f.change.word().into(),
        path: f.path.as_ref().map(|p| lossless(p).into_owned()),
        path_raw: f.path.as_ref().filter(|p| !is_plain(p)).cloned(),
        attribute: f.attribute.clone(),
        shipped: f.shipped.clone(),
        found: f.found.clone(),
    }
}

fn summarise(report: &Report) -> String {
    let count = |all: Vec<&Verdict>| {
        let of = |o| all.iter().filter(|v| v.outcome == o).count();
        use verify::Outcome as O;
        format!(
            "{} as shipped, {} changed, {} cannot be verified",
            of(O::AsShipped),
            of(O::Changed),
            of(O::Unverifiable)
        )
    };
    let inits = match report.inits.len() {
        0 => String::new(),
        _ => {
            let inits = report.inits.iter().map(|(_, v)| v);
            format!(". Init layers: {}", count(inits.collect()))
        }
    };
    let bytes: u64 = report.layers.iter().map(|(_, v)| v.bytes).sum();
    format!(
        "Layers: {}; {} bytes compared. Images: {}{inits}",
        count(report.layers.iter().map(|(_, v)| v).collect()),
        bytes,
        count(report.images.iter().map(|(_, v)| v).collect()),
    )
}

/// Hands rows on and counts what they are about.
struct Tally {
    inner: Box<dyn Render>,
    columns: Vec<String>,
    subject: Option<[String; 4]>,
    subjects: u64,
    faults: u64,
}

impl Tally {
    fn code(&self) -> u8 {
        if self.faults > 0 {
            exit::PROBLEMS
        } else {
            exit::OK
        }
    }
}

/// A value of a row by its column's name.
fn get(columns: &[String], values: &[ValueRef<'_>], column: &str) -> Option<String> {
    let at = columns.iter().position(|c| c == column)?;
    (values[at] != ValueRef::Null).then(|| plain(&values[at]).into_owned())
}

/// What a row is about.
fn subject(columns: &[String], values: &[ValueRef<'_>]) -> [String; 4] {
    ["subject", "id", "host_path", "host"].map(|c| get(columns, values, c).unwrap_or_default())
}

impl Render for Tally {
    fn begin(&mut self, columns: &[String]) -> io::Result<()> {
        self.columns = columns.to_vec();
        self.inner.begin(columns)
    }

    fn row(&mut self, values: &[ValueRef<'_>]) -> io::Result<()> {
        let now = Some(subject(&self.columns, values));
        if now != self.subject {
            self.subject = now;
            self.subjects += 1;
        }
        if get(&self.columns, values, "outcome").as_deref()
            != Some(verify::Outcome::AsShipped.word())
        {
            self.faults += 1;
        }
        self.inner.row(values)
    }

    fn end(&mut self) -> io::Result<()> {
        self.inner.end()
    }
}

/// A line for each layer and image, and below it a line for each difference.
struct Plain<W: Write> {
    out: W,
    columns: Vec<String>,
    subject: Option<[String; 4]>,
}

impl<W: Write> Render for Plain<W> {
    fn begin(&mut self, columns: &[String]) -> io::Result<()> {
        self.columns = columns.to_vec();
        Ok(())
    }

    fn row(&mut self, values: &[ValueRef<'_>]) -> io::Result<()> {
        let get =
            |column: &str| get(&self.columns, values, column).map(|v| printable(&v).into_owned());
        let now = Some(subject(&self.columns, values));
        if now != self.subject {
            let [kind, id, outcome] =
                ["subject", "id", "outcome"].map(|c| get(c).unwrap_or_default());
            let of = get("images").or_else(|| get("container"));
            let images = of.map_or_else(String::new, |of| format!(" ({of})"));
            writeln!(self.out, "{kind} {id}{images}: {outcome}")?;
            if let Some(note) = get("note") {
                writeln!(self.out, "    note: {note}")?;
            }
            self.subject = now;
        }
        let Some(change) = get("change") else {
            return Ok(());
        };
        let place = get("path").unwrap_or_else(|| "itself".into());
        let attribute = get("attribute").map_or_else(String::new, |a| format!(", {a}"));
        let text = match (get("shipped"), get("found")) {
            (Some(shipped), Some(found)) => format!(": shipped {shipped}, found {found}"),
            (Some(shipped), None) => format!(": shipped {shipped}"),
            (None, Some(found)) => format!(": found {found}"),
            (None, None) => String::new(),
        };
        writeln!(self.out, "    {change} {place}{attribute}{text}")
    }

    fn end(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
