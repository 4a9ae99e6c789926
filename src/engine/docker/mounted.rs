//! What overlay2 mounts below each layer, as its `lower` says, held against the records of the layer store: containers get
//! the layers that are mounted.

use super::departure::{Departure, Place, Recorded as Told};
use super::layer::{Layers, MountedLayers, Recorded};
use super::{drivers, trace};
use crate::engine::driver::Driver;
use crate::engine::lower::{self, Entry};
use crate::engine::{Install, Survey, Walked};
use crate::evidence::EvidencePath;
use crate::problem::Severity;
use crate::record;
use std::cell::OnceCell;
use std::collections::BTreeMap;

/// Holds what overlay2 says is below each layer against the records, and gives containers the layers it leads to, which
/// are those the engine mounts. Comes last, for a layer that no record knows may be among them.
pub fn survey(survey: &mut Survey<'_>, engine: i64, install: &Install, layers: &mut Layers) {
    let Some(driver) = drivers::named("overlay2") else {
        return;
    };
    let mut mounted = Mounted {
        survey,
        engine,
        root: &install.root,
        rootless: install.rootless,
        driver,
        folder: driver.layers(&install.root),
        layers,
        built: OnceCell::new(),
    };
    mounted.images();
    mounted.containers();
}

struct Mounted<'a, 'e> {
    survey: &'a mut Survey<'e>,
    engine: i64,
    root: &'a EvidencePath,
    rootless: bool,
    driver: Driver,
    /// The folder of layers.
    folder: EvidencePath,
    layers: &'a mut Layers,
    /// What BuildKit's records hold, once it was asked for.
    built: OnceCell<Vec<u8>>,
}

impl Mounted<'_, '_> {
    /// What the `lower` of image and init layers says, which is what a container made from them gets.
    fn images(&mut self) {
        let mut all = self.layers.inits.clone();
        let chains: BTreeMap<&String, &i64> = self.layers.by_chain.iter().collect();
        for (chain, row) in chains {
            let below = self.layers.recorded(self.layers.parent.get(chain).cloned());
            all.push((*row, below));
        }
        for (row, recorded) in all {
            let Some(entries) = self.lower(row, &recorded) else {
                continue;
            };
            if let Some(departs) = self.departure(row, &recorded, &entries)
                && let Some(own) = self.layers.overlay.get(&row)
            {
                let what = format!(
                    "{} layer {} stands on other layers than the records say: {}; a container made from it has those",
                    own.role,
                    own.cache_id,
                    departs.words()
                );
                let kept = "the layers of the records, as the image's";
                self.survey
                    .problem(departs.severity(), &departs.lower, what, kept);
            }
        }
    }

    /// What the `lower` of containers' own layers says, which is what is mounted.
    fn containers(&mut self) {
        let containers: Vec<String> = self.layers.mounts.keys().cloned().collect();
        for container in containers {
            let Some(mounted) = self.layers.mounts.get(&container).cloned() else {
                continue;
            };
            let Some(own) = mounted.own else {
                continue;
            };
            let Some(entries) = self.lower(own, &mounted.recorded) else {
                continue;
            };
            // An init layer that the records do not name, but the folder of the container's own.
            let unnamed = self.layers.overlay.get(&own).is_some_and(|own| {
                let init = entries.first().and_then(|e| e.cache_id(&self.folder));
                mounted.init.is_none() && init == Some(format!("{}-init", own.cache_id))
            });
            let (init, entries) = entries.split_at(usize::from(unnamed));
            let mut departs = None;
            if mounted.told.is_none() {
                departs = self.departure(own, &mounted.recorded, entries);
            }
            let mut stack = self.resolved(entries, &mounted.recorded.rows);
            stack.extend(self.resolved(init, &[]));
            let begun = self.begun_on(&mounted);
            let before = begun.filter(|b| *b != stack).unwrap_or_default();
            stack.push(own);
            if let Some(mounted) = self.layers.mounts.get_mut(&container) {
                mounted.below = Some(init.len() + entries.len());
                mounted.departs = departs;
                mounted.stack = stack;
                mounted.before = before;
            }
        }
    }

    /// The layers that entries lead to, base first; `recorded` has those of the records, topmost first.
    fn resolved(&mut self, entries: &[Entry], recorded: &[i64]) -> Vec<i64> {
        let as_long = entries.len() == recorded.len();
        let mut stack = Vec::new();
        for (i, entry) in entries.iter().enumerate() {
            let recorded = recorded.get(i).copied();
            let row = match recorded.filter(|r| self.is(*r, entry)) {
                Some(row) => Some(row),
                None => self.leads_to(entry),
            };
            stack.extend(row.or(recorded.filter(|_| as_long)));
        }
        stack.reverse();
        stack
    }

    /// What a container's own layer was begun on: its init layer, and what that says is below it.
    fn begun_on(&mut self, mounted: &MountedLayers) -> Option<Vec<i64>> {
        let init = mounted.init?;
        let lower = self.layers.overlay.get(&init)?.lower.clone()?;
        let entries = lower::entries(self.survey.evidence, &self.folder, &lower);
        let recorded = mounted.recorded.rows.get(1..).unwrap_or_default();
        let mut stack = self.resolved(&entries, recorded);
        stack.push(init);
        Some(stack)
    }

    /// The entries of a layer's `lower`. Returns `None` without such a file, with a problem if the layer has layers below it.
    fn lower(&mut self, row: i64, recorded: &Recorded) -> Option<Vec<Entry>> {
        let own = self.layers.overlay.get(&row)?;
        if let Some(lower) = &own.lower {
            return Some(lower::entries(self.survey.evidence, &self.folder, lower));
        }
        if own.linked && !recorded.rows.is_empty() {
            let what = format!(
                "not there: the engine would mount {} layer {} without the {} below it",
                own.role,
                own.cache_id,
                recorded.rows.len()
            );
            let at = self.file(&own.cache_id);
            let kept = "the layers of the records";
            self.survey.problem(Severity::Warning, &at, what, kept);
        }
        None
    }

    /// Where a layer's `lower` file is.
    fn file(&self, cache_id: &str) -> EvidencePath {
        self.driver.home(self.root, cache_id).join("lower")
    }

    /// Whether an entry leads to the layer of this row. Where its link is gone, as the layer's own file says.
    fn is(&self, row: i64, entry: &Entry) -> bool {
        let Some(layer) = self.layers.overlay.get(&row) else {
            return false;
        };
        match &entry.target {
            Some(_) => entry.cache_id(&self.folder).as_deref() == Some(&layer.cache_id),
            None => self.linked(entry) == Some(row),
        }
    }

    /// The layer that has this short name.
    fn linked(&self, entry: &Entry) -> Option<i64> {
        let link = entry.name.strip_prefix("l/")?;
        self.layers.by_link.get(link).copied()
    }

    /// The layer an entry leads to, if its files are there. A folder that is no layer's is made one that no record knows.
    fn leads_to(&mut self, entry: &Entry) -> Option<i64> {
        let Some(target) = &entry.target else {
            return self.linked(entry);
        };
        let driver = self.driver;
        if let Some(cache_id) = entry.cache_id(&self.folder) {
            let row = *self.layers.by_cache.get(&(driver.name.into(), cache_id))?;
            return self.layers.overlay.get(&row)?.there.then_some(row);
        }
        let key = (driver.name.to_owned(), target.host());
        if let Some(row) = self.layers.by_cache.get(&key) {
            return Some(*row);
        }
        if !self.survey.evidence.stat(target).is_ok_and(|m| m.is_dir()) {
            return None;
        }
        let id = self.survey.next_id("layer");
        let marks = driver.marks(self.rootless);
        self.survey.put(record::Layer {
            id,
            engine_id: self.engine,
            role: "unowned".into(),
            driver: driver.name.into(),
            stacking: Some(driver.stacking.word().into()),
            marks: Some(marks.word().into()),
            host_path: Some(target.host()),
            ..record::Layer::default()
        });
        self.survey.tree(Walked::Layer(id), target, marks);
        self.layers.by_cache.insert(key, id);
        Some(id)
    }

    /// How the entries of a layer's `lower` depart from the records.
    fn departure(&self, row: i64, recorded: &Recorded, entries: &[Entry]) -> Option<Departure> {
        let own = self.layers.overlay.get(&row)?;
        let place = |i: usize| {
            let (entry, row) = (entries.get(i), recorded.rows.get(i));
            let told = row.map(|r| self.layers.overlay.get(r));
            Place {
                entry,
                recorded: match told {
                    Some(Some(layer)) => Told::CacheId(&layer.cache_id),
                    Some(None) => Told::Unknown,
                    None if recorded.complete => Told::Ended,
                    None => Told::BrokenOff,
                },
                agrees: entry.zip(row).is_some_and(|(entry, row)| {
                    let unknown = entry.target.is_none() && self.linked(entry).is_none();
                    unknown || self.is(*row, entry)
                }),
            }
        };
        let length = entries.len().max(recorded.rows.len());
        let places: Vec<Place<'_>> = (0..length).map(place).collect();
        let read = || trace::build_records(self.survey.evidence, self.root).0;
        Departure::of(self.file(&own.cache_id), &self.folder, &places, |id| {
            memchr::memmem::find(self.built.get_or_init(read), id.as_bytes()).is_some()
        })
    }
}
