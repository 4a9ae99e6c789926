//! Whether image layers are as they were shipped: the record Docker keeps of each layer's archive (tar-split) against the
//! layer's directory, the ids of layers and images against what they are the digests of. And whether the layers of an
//! engine's own files, below containers' own, have only what it makes.
//!
//! Layers are compared in parallel and each once, however many images have it; results come in the order of the plan.
//! Nothing here is written to the evidence, and what cannot be verified is said to be so, never passed over.

mod compare;
mod init;
mod owners;
mod shipped;

use crate::engine::driver::Driver;
use crate::engine::sha256_hex;
use crate::engine::{self, lower};
use crate::evidence::walk::Top;
use crate::evidence::{self, Evidence, EvidencePath};
use crate::overlay::Stacking;
use crate::problem::{Defect, Problem, Severity};
use compare::How;
use owners::Owners;
use rayon::iter::{IntoParallelRefIterator, ParallelIterator};
use shipped::{Rules, Shipped};
use std::collections::{HashMap, HashSet};

/// The kind of engine whose layer stores are verified: no other keeps such records.
const ENGINE: &str = "docker";

/// A layer to verify, or one below such a layer.
#[derive(Clone, Debug, Default)]
pub struct Layer {
    /// Whether it is asked for.
    pub wanted: bool,
    /// The engine's data root.
    pub data_root: EvidencePath,
    /// Whether that is an engine of a user's own.
    pub rootless: bool,
    /// Its storage driver.
    pub driver: String,
    /// Its chain ID, which is the name of its folder in the store.
    pub chain_id: String,
    /// Digest of its archive, as the store has it.
    pub diff_id: Option<String>,
    /// Chain ID of the layer below, as the store has it.
    pub parent: Option<String>,
    /// The driver's name for it.
    pub cache_id: Option<String>,
    /// Root of its files; `None` when they are gone.
    pub files: Option<EvidencePath>,
    /// Whether no image and no container has it: the engine takes such layers away with their image.
    pub stray: bool,
}

/// The layer of an engine's own files below a container's.
#[derive(Clone, Debug, Default)]
pub struct Init {
    /// The engine's data root.
    pub data_root: EvidencePath,
    /// Whether that is an engine of a user's own.
    pub rootless: bool,
    /// Its storage driver.
    pub driver: String,
    /// The driver's name for it.
    pub cache_id: String,
    /// Root of its files; `None` when they are gone.
    pub files: Option<EvidencePath>,
}

/// An image to verify.
#[derive(Clone, Debug, Default)]
pub struct Image {
    /// The engine's data root.
    pub data_root: EvidencePath,
    /// Its id, which is the digest of its config.
    pub full_id: String,
    /// SHA-256 of its config, where that could be read.
    pub config_sha256: Option<String>,
    /// Chain IDs of layers it is made of and the store does not have.
    pub lacking: Vec<String>,
    /// Chain IDs of those it has.
    pub layers: Vec<String>,
    /// For an image that is gone, who says that it was here.
    pub gone: Option<Gone>,
}

/// Who says that an image was here whose config is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gone {
    /// `repositories.json` names it: an engine that removes an image takes its names away first.
    Named(String),
    /// A container was made from it: an engine forced to removes such an image, too.
    UsedBy(String),
}

/// What to verify.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Layers, those below them included.
    pub layers: Vec<Layer>,
    /// Images.
    pub images: Vec<Image>,
    /// Layers of engines' own files.
    pub inits: Vec<Init>,
    /// Whether to put each archive together again for its digest.
    pub full: bool,
}

/// How something differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Another value than shipped.
    Changed,
    /// There and not shipped.
    Added,
    /// Shipped and not there.
    Missing,
    /// There, but it cannot be read.
    Unreadable,
}

impl Change {
    /// The word for it in the case.
    pub fn word(self) -> &'static str {
        match self {
            Change::Changed => "changed",
            Change::Added => "added",
            Change::Missing => "missing",
            Change::Unreadable => "unreadable",
        }
    }
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What kind of difference.
    pub change: Change,
    /// Where in the layer, relative to its root; `None` for the layer or image itself.
    pub path: Option<Vec<u8>>,
    /// What of it.
    pub attribute: Option<String>,
    /// As shipped.
    pub shipped: Option<String>,
    /// As found.
    pub found: Option<String>,
}

/// What a verification comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing differs.
    AsShipped,
    /// Something does.
    Changed,
    /// It cannot be told, or not of all of it.
    Unverifiable,
}

impl Outcome {
    /// The word for it in the case.
    pub fn word(self) -> &'static str {
        match self {
            Outcome::AsShipped => "as shipped",
            Outcome::Changed => "changed",
            Outcome::Unverifiable => "cannot be verified",
        }
    }
}

/// The result for one layer or image.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// What it comes to.
    pub outcome: Outcome,
    /// Entries of the layer's archive.
    pub entries: Option<u64>,
    /// Bytes of content read.
    pub bytes: u64,
    /// Why it cannot be verified, or what was not compared.
    pub note: Option<String>,
    /// What differs, by path.
    pub findings: Vec<Finding>,
    /// What could not be read.
    pub problems: Vec<Problem>,
}

/// Results in the order of the plan.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Of each image.
    pub images: Vec<(Image, Verdict)>,
    /// Of each layer asked for.
    pub layers: Vec<(Layer, Verdict)>,
    /// Of each layer of an engine's own files that has them alone.
    pub inits: Vec<(Init, Verdict)>,
    /// How many have copies of others' files, too, and were not compared.
    pub copies: usize,
}

/// Verifies what the plan asks for. `done` is called after each layer, by any thread.
pub fn verify(evidence: &Evidence, plan: &Plan, done: impl Fn(&Layer, &Verdict) + Sync) -> Report {
    let stores: HashMap<(&EvidencePath, &str, &str), &Layer> = plan
        .layers
        .iter()
        .map(|l| ((&l.data_root, l.driver.as_str(), l.chain_id.as_str()), l))
        .collect();
    let mut owners: HashMap<&EvidencePath, Owners> = HashMap::new();
    for l in &plan.layers {
        owners
            .entry(&l.data_root)
            .or_insert_with(|| Owners::of(evidence, &l.data_root, l.rootless));
    }
    let one = |l: &&Layer| {
        // The layers below, base first; a circle ends at the first seen twice.
        let mut stack = vec![*l];
        let mut seen = HashSet::from([l.chain_id.as_str()]);
        let mut complete = true;
        while let Some(parent) = stack.last().and_then(|top| top.parent.as_deref()) {
            match stores.get(&(&l.data_root, l.driver.as_str(), parent)) {
                Some(below) if seen.insert(parent) => stack.push(below),
                _ => {
                    complete = false;
                    break;
                }
            }
        }
        stack.reverse();
        let verdict = layer(evidence, &stack, complete, &owners[&l.data_root], plan.full);
        done(l, &verdict);
        verdict
    };
    let wanted: Vec<&Layer> = plan.layers.iter().filter(|l| l.wanted).collect();
    let verdicts: Vec<Verdict> = wanted.par_iter().map(one).collect();
    let mut outcomes: HashMap<(&EvidencePath, &str), Vec<Outcome>> = HashMap::new();
    for (l, v) in wanted.iter().zip(&verdicts) {
        let key = (&l.data_root, l.chain_id.as_str());
        outcomes.entry(key).or_default().push(v.outcome);
    }
    let any = |i: &Image, chain_id: &str, outcome: Outcome| {
        let all = outcomes.get(&(&i.data_root, chain_id));
        all.is_some_and(|all| all.contains(&outcome))
    };
    let images = plan.images.iter();
    let images = images.map(|i| (i.clone(), image(i, |c, o| any(i, c, o))));
    let compared = |i: &Init| {
        let driver = engine::driver(ENGINE, &i.driver);
        let driver = driver.filter(|driver| driver.stacking == Stacking::Each)?;
        let verdict = init::init(evidence, i, driver.marks(i.rootless));
        Some((i.clone(), verdict))
    };
    let inits: Vec<_> = plan.inits.par_iter().filter_map(compared).collect();
    Report {
        images: images.collect(),
        layers: wanted.into_iter().cloned().zip(verdicts).collect(),
        copies: plan.inits.len() - inits.len(),
        inits,
    }
}

fn of_itself(
    change: Change,
    attribute: &str,
    shipped: Option<String>,
    found: Option<String>,
) -> Finding {
    Finding {
        change,
        path: None,
        attribute: Some(attribute.into()),
        shipped,
        found,
    }
}

/// An image: its id is the digest of its config, and all its layers are there and as shipped. `any` tells whether a layer of
/// this chain ID came to this.
fn image(image: &Image, any: impl Fn(&str, Outcome) -> bool) -> Verdict {
    let mut findings = Vec::new();
    if let Some(gone) = &image.gone {
        let id = Some(image.full_id.clone());
        findings.push(of_itself(Change::Missing, "config", id, None));
        let (outcome, note) = match gone {
            Gone::Named(name) => {
                let note = format!("its config is gone; repositories.json names it {name}");
                (Outcome::Changed, note)
            }
            Gone::UsedBy(container) => {
                let note = format!(
                    "its config is gone; container {container} was made from it: `docker rmi -f`, or someone by hand, removed it"
                );
                (Outcome::Unverifiable, note)
            }
        };
        return Verdict {
            outcome,
            ..verdict(findings, false, Some(note), Vec::new())
        };
    }
    let mut note = None;
    match &image.config_sha256 {
        Some(sum) => {
            let found = format!("sha256:{sum}");
            if found != image.full_id {
                let shipped = Some(image.full_id.clone());
                findings.push(of_itself(Change::Changed, "config", shipped, Some(found)));
            }
        }
        None => note = Some("its config cannot be read".into()),
    }
    for chain_id in &image.lacking {
        findings.push(of_itself(
            Change::Missing,
            "layer",
            Some(chain_id.clone()),
            None,
        ));
    }
    let mut unsure = 0;
    for chain_id in &image.layers {
        if any(chain_id, Outcome::Changed) {
            let id = Some(chain_id.clone());
            findings.push(of_itself(Change::Changed, "layer", id, None));
        } else if any(chain_id, Outcome::Unverifiable) {
            unsure += 1;
        }
    }
    if unsure > 0 {
        let layers = format!("{unsure} of its layers cannot be verified");
        note = Some(note.map_or(layers.clone(), |n| format!("{n}; {layers}")));
    }
    verdict(findings, note.is_some(), note, Vec::new())
}

fn verdict(
    findings: Vec<Finding>,
    unsure: bool,
    note: Option<String>,
    problems: Vec<Problem>,
) -> Verdict {
    let differs = findings.iter().any(|f| f.change != Change::Unreadable);
    let outcome = match (differs, unsure || !findings.is_empty()) {
        (true, _) => Outcome::Changed,
        (false, true) => Outcome::Unverifiable,
        (false, false) => Outcome::AsShipped,
    };
    Verdict {
        outcome,
        entries: None,
        bytes: 0,
        note,
        findings,
        problems,
    }
}

/// Where the record of a layer's archive lies.
fn record_of(layer: &Layer) -> EvidencePath {
    store_of(layer).join("tar-split.json.gz")
}

fn store_of(layer: &Layer) -> EvidencePath {
    let name = layer
        .chain_id
        .strip_prefix("sha256:")
        .unwrap_or(&layer.chain_id);
    layer
        .data_root
        .join("image")
        .join(&layer.driver)
        .join("layerdb/sha256")
        .join(name)
}

/// The last layer of a stack.
fn layer(
    evidence: &Evidence,
    stack: &[&Layer],
    complete: bool,
    owners: &Owners,
    full: bool,
) -> Verdict {
    let Some((top, below)) = stack.split_last() else {
        return verdict(Vec::new(), true, None, Vec::new());
    };
    let mut findings = ids(top);
    let unverifiable = |findings: Vec<Finding>, path: &EvidencePath, why: String| {
        let problem = Defect::new(why.clone(), "nothing: this image layer is not verified");
        let problem = problem.in_file(Severity::Warning, path.host());
        verdict(
            findings,
            true,
            Some(format!("{}: {why}", path.host())),
            vec![problem],
        )
    };
    let Some(driver) = engine::driver(ENGINE, &top.driver) else {
        let why = format!(
            "layers of the storage driver {} are not known to dof",
            top.driver
        );
        return unverifiable(findings, &store_of(top), why);
    };
    // These keep a layer in a file system of its own, which on a dead disk nobody has mounted.
    let apart = matches!(driver.name, "zfs" | "devicemapper");
    let not_mounted = || {
        format!(
            "the {} file system with its files is not mounted here",
            driver.name
        )
    };
    let Some(files) = &top.files else {
        if apart {
            return unverifiable(findings, &store_of(top), not_mounted());
        }
        let at = top
            .cache_id
            .as_deref()
            .map(|id| driver.home(&top.data_root, id).host());
        findings.push(of_itself(Change::Missing, "directory", at, None));
        return verdict(
            findings,
            false,
            Some("its files are gone".into()),
            Vec::new(),
        );
    };
    let copies = driver.stacking != Stacking::Each;
    let mut notes = Vec::new();
    let mut unsure = false;
    if driver.name == "overlay2" {
        let standing = Standing::of(evidence, driver, stack, complete, owners, full);
        findings.extend(standing.findings);
        notes.extend(standing.notes);
        unsure = standing.unsure;
    }
    let rules = Rules {
        marks: driver.marks(top.rootless),
        copies,
        no_devices: top.rootless,
    };
    let mut shipped = Shipped::default();
    for l in below.iter().filter(|_| copies).chain([top]) {
        let path = record_of(l);
        if let Err(why) = shipped.apply(evidence, &path, rules) {
            return unverifiable(findings, &path, why);
        }
    }
    if copies && !complete {
        return unverifiable(
            findings,
            &store_of(top),
            "a layer below it, whose files are part of its copy, is not in the store".into(),
        );
    }
    // A link within the data root, where the engine made directories, would show the files of another place.
    if let Some(link) = linked(evidence, &top.data_root, files) {
        let found = Some(format!("symbolic link at {}", link.host()));
        findings.push(of_itself(
            Change::Changed,
            "type",
            Some("directory".into()),
            found,
        ));
        return verdict(
            findings,
            false,
            Some("its directory is a link, which was not followed".into()),
            Vec::new(),
        );
    }
    let root = match evidence.open_tree(files) {
        Ok(Top::Dir(root, _)) => root,
        Ok(Top::Other(_)) => {
            findings.push(of_itself(
                Change::Changed,
                "type",
                Some("directory".into()),
                Some("something else".into()),
            ));
            return verdict(findings, false, None, Vec::new());
        }
        Err(evidence::Error::Missing) => {
            findings.push(of_itself(
                Change::Missing,
                "directory",
                Some(files.host()),
                None,
            ));
            return verdict(findings, false, None, Vec::new());
        }
        Err(e) => return unverifiable(findings, files, format!("cannot be opened: {e}")),
    };
    if apart
        && evidence
            .list(files, 1)
            .is_ok_and(|(names, _)| names.is_empty())
    {
        return unverifiable(findings, files, not_mounted());
    }
    let in_place = !copies && built_in_place(top);
    let how = How {
        marks: rules.marks,
        copies,
        in_place,
        owners,
    };
    let record = record_of(top);
    let mut compared =
        compare::compare(evidence, &root, &mut shipped, how, full.then_some(&record));
    if full {
        match (compared.sha256, &top.diff_id) {
            (Some(sum), Some(id)) if *id == format!("sha256:{sum}") => {}
            (Some(sum), id) => {
                let found = Some(format!("sha256:{sum}"));
                findings.push(of_itself(Change::Changed, "archive", id.clone(), found));
            }
            (None, _) => unsure = true,
        }
    }
    if top.stray {
        unsure = true;
        notes.push("no image and no container has it: its image was removed by hand".into());
    }
    if let Some(odd) = shipped.odd {
        unsure = true;
        notes.push(format!("its record lists what no engine unpacks: {odd}"));
    }
    if shipped.devices > 0 {
        notes.push(format!(
            "{} devices not compared: an engine without root makes none",
            shipped.devices
        ));
    }
    notes.append(&mut compared.notes);
    let problems = unreadable(&compared.findings, files);
    findings.append(&mut compared.findings);
    let note = (!notes.is_empty()).then(|| notes.join("; "));
    Verdict {
        entries: Some(shipped.entries),
        bytes: compared.bytes,
        ..verdict(findings, unsure, note, problems)
    }
}

/// What could not be read of a layer's files.
fn unreadable(findings: &[Finding], files: &EvidencePath) -> Vec<Problem> {
    let unreadable = findings.iter().filter(|f| f.change == Change::Unreadable);
    let problem = |f: &Finding| {
        let path = files.join(f.path.as_deref().unwrap_or_default());
        let what = format!("cannot be read: {}", f.found.as_deref().unwrap_or_default());
        Defect::new(what, "nothing: not verified").in_file(Severity::Warning, path.host())
    };
    unreadable.map(problem).collect()
}

/// What overlay2 mounts for a layer and below it, by its link and its `lower`, against the records.
#[derive(Default)]
struct Standing {
    findings: Vec<Finding>,
    notes: Vec<String>,
    unsure: bool,
}

impl Standing {
    fn of(
        evidence: &Evidence,
        driver: Driver,
        stack: &[&Layer],
        complete: bool,
        owners: &Owners,
        full: bool,
    ) -> Standing {
        let mut standing = Standing::default();
        let Some((top, below)) = stack.split_last() else {
            return standing;
        };
        let Some(home) = home_of(driver, top) else {
            return standing;
        };
        let folder = driver.layers(&top.data_root);
        let link = standing.line(evidence, &home.join("link"));
        if let Some(link) = &link {
            let want = home.join("diff");
            // One that is gone shows no other's files.
            let found = lower::leads(evidence, &folder.join("l").join(link));
            if let Some(found) = found.filter(|f| *f != want) {
                let [want, found] = [want, found].map(|p| Some(p.host()));
                let finding = of_itself(Change::Changed, "link", want, found);
                standing.findings.push(finding);
            }
        }
        let Some(lower) = standing.line(evidence, &home.join("lower")) else {
            if link.is_some() && !below.is_empty() {
                let ids: Vec<&str> = below
                    .iter()
                    .rev()
                    .filter_map(|l| l.cache_id.as_deref())
                    .collect();
                let finding = of_itself(Change::Missing, "lower", Some(ids.join(", ")), None);
                standing.findings.push(finding);
            }
            return standing;
        };
        let entries = lower::entries(evidence, &folder, &lower);
        let mut recorded = below.iter().rev();
        for entry in &entries {
            let Some(recorded) = recorded.next() else {
                if complete {
                    let found = Some(entry.shown(&folder));
                    standing
                        .findings
                        .push(of_itself(Change::Added, "lower", None, found));
                }
                continue;
            };
            let found = entry.cache_id(&folder);
            let known = recorded.cache_id.is_some();
            if !known || found.is_some() && found == recorded.cache_id {
                continue;
            }
            if entry.target.is_none()
                && let Some(home) = home_of(driver, recorded)
                && standing.line(evidence, &home.join("link")).as_deref()
                    == entry.name.strip_prefix("l/")
            {
                continue; // its link is gone
            }
            // BuildKit may have built one of the same content, of which the store keeps the other.
            let other = found.map(|id| Layer {
                files: Some(driver.home(&top.data_root, &id).join("diff")),
                cache_id: Some(id),
                ..(*recorded).clone()
            });
            let same = other.is_some_and(|other| {
                let verdict = layer(evidence, &[&other], false, owners, full);
                verdict.outcome == Outcome::AsShipped
            });
            let (shipped, found) = (recorded.cache_id.clone(), entry.shown(&folder));
            if same {
                let shipped = shipped.unwrap_or_default();
                let note = format!("it stands on {found}, whose content is that of {shipped}");
                standing.notes.push(note);
            } else {
                let finding = of_itself(Change::Changed, "lower", shipped, Some(found));
                standing.findings.push(finding);
            }
        }
        for recorded in recorded {
            let id = recorded.cache_id.clone();
            standing
                .findings
                .push(of_itself(Change::Missing, "lower", id, None));
        }
        standing
    }

    /// A file of one line; `None` when it is not there, or nothing.
    fn line(&mut self, evidence: &Evidence, path: &EvidencePath) -> Option<String> {
        match evidence.read(path, 4096) {
            Ok((bytes, _)) => Some(crate::text::lossless(bytes.trim_ascii()).into_owned())
                .filter(|s| !s.is_empty()),
            Err(evidence::Error::Missing) => None,
            Err(e) => {
                self.unsure = true;
                self.notes
                    .push(format!("{}: cannot be read: {e}", path.host()));
                None
            }
        }
    }
}

/// A layer's own folder.
fn home_of(driver: Driver, layer: &Layer) -> Option<EvidencePath> {
    let id = layer.cache_id.as_deref()?;
    Some(driver.home(&layer.data_root, id))
}

/// The ids a layer's folder in the store has: its name follows from the diff ID and the layer below.
fn ids(layer: &Layer) -> Vec<Finding> {
    let Some(diff_id) = &layer.diff_id else {
        return vec![of_itself(Change::Missing, "diff ID", None, None)];
    };
    let chain_id = match &layer.parent {
        Some(parent) => format!(
            "sha256:{}",
            sha256_hex(format!("{parent} {diff_id}").as_bytes())
        ),
        None => diff_id.clone(),
    };
    if chain_id == layer.chain_id {
        return Vec::new();
    }
    vec![of_itself(
        Change::Changed,
        "chain ID",
        Some(layer.chain_id.clone()),
        Some(chain_id),
    )]
}

/// Whether the directory is the one that a BuildKit step wrote to: such layers have BuildKit's short names, while those
/// unpacked from an archive have names of 64 hexadecimal digits (moby builder/builder-next/adapters/snapshot).
fn built_in_place(layer: &Layer) -> bool {
    layer.cache_id.as_deref().is_some_and(|id| id.len() != 64)
}

/// The first component of a path, below the data root, that is a symbolic link.
fn linked(
    evidence: &Evidence,
    data_root: &EvidencePath,
    files: &EvidencePath,
) -> Option<EvidencePath> {
    let mut at = files.clone();
    let mut links = None;
    while at != *data_root && !at.as_bytes().is_empty() {
        if evidence.read_link(&at).is_ok() {
            links = Some(at.clone());
        }
        at = at.parent();
    }
    links
}
