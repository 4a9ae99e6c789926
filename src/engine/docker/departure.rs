//! What overlay2 mounts below each layer, as its `lower` says (`lower.rs`), held against the records of the layer store.

use super::driver::Driver;
use super::layer::{Adding, MountedLayers, Recorded};
use super::lower::{self, Entry};
use super::trace;
use crate::engine::Walked;
use crate::evidence::EvidencePath;
use crate::problem::Severity;
use crate::record;
use std::collections::BTreeMap;

/// How the layers that overlay2 mounts below one depart from those of the records.
#[derive(Clone, Debug, Default)]
pub struct Departure {
    /// The file that says so.
    pub lower: EvidencePath,
    /// Each in words.
    pub says: Vec<String>,
    /// Whether BuildKit's cache knows all that are in others' places: it builds layers of the same content twice, of which
    /// the store keeps one.
    pub buildkit: bool,
}

impl Departure {
    /// Those that differ, the first few in full.
    pub fn words(&self) -> String {
        let mut words = self.says.iter().take(3).cloned().collect::<Vec<_>>();
        if self.says.len() > words.len() {
            words.push(format!("{} more", self.says.len() - words.len()));
        }
        words.join(", ")
    }

    /// How grave that is.
    pub fn severity(&self) -> Severity {
        if self.buildkit {
            Severity::Note
        } else {
            Severity::Warning
        }
    }
}

impl Adding<'_, '_> {
    /// What the `lower` of image and init layers says, which is what a container made from them gets.
    pub(super) fn images_lower(&mut self, driver: Driver) {
        let mut all = self.layers.inits.clone();
        let chains: BTreeMap<&String, &i64> = self.layers.by_chain.iter().collect();
        for (chain, row) in chains {
            let below = self.layers.recorded(self.layers.parent.get(chain).cloned());
            all.push((*row, below));
        }
        for (row, recorded) in all {
            let Some(entries) = self.lower(driver, row, &recorded) else {
                continue;
            };
            if let Some(departs) = self.departure(driver, row, &recorded, &entries)
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
    pub(super) fn containers_lower(&mut self, driver: Driver) {
        let containers: Vec<String> = self.layers.mounts.keys().cloned().collect();
        for container in containers {
            let Some(mounted) = self.layers.mounts.get(&container).cloned() else {
                continue;
            };
            let Some(own) = mounted.own else {
                continue;
            };
            let Some(entries) = self.lower(driver, own, &mounted.recorded) else {
                continue;
            };
            // An init layer that the records do not name, but the folder of the container's own.
            let unnamed = self.layers.overlay.get(&own).is_some_and(|own| {
                let init = entries
                    .first()
                    .and_then(|e| e.cache_id(&driver.layers(self.root)));
                mounted.init.is_none() && init == Some(format!("{}-init", own.cache_id))
            });
            let (init, entries) = entries.split_at(usize::from(unnamed));
            let mut departs = None;
            if mounted.told.is_none() {
                departs = self.departure(driver, own, &mounted.recorded, entries);
            }
            let mut stack = self.resolved(driver, entries, &mounted.recorded.rows);
            stack.extend(self.resolved(driver, init, &[]));
            let begun = self.begun_on(driver, &mounted);
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
    fn resolved(&mut self, driver: Driver, entries: &[Entry], recorded: &[i64]) -> Vec<i64> {
        let as_long = entries.len() == recorded.len();
        let mut stack = Vec::new();
        for (i, entry) in entries.iter().enumerate() {
            let recorded = recorded.get(i).copied();
            let row = match recorded.filter(|r| self.is(driver, *r, entry)) {
                Some(row) => Some(row),
                None => self.leads_to(driver, entry),
            };
            stack.extend(row.or(recorded.filter(|_| as_long)));
        }
        stack.reverse();
        stack
    }

    /// What a container's own layer was begun on: its init layer, and what that says is below it.
    fn begun_on(&mut self, driver: Driver, mounted: &MountedLayers) -> Option<Vec<i64>> {
        let init = mounted.init?;
        let lower = self.layers.overlay.get(&init)?.lower.clone()?;
        let folder = driver.layers(self.root);
        let entries = lower::entries(self.survey.evidence, &folder, &lower);
        let recorded = mounted.recorded.rows.get(1..).unwrap_or_default();
        let mut stack = self.resolved(driver, &entries, recorded);
        stack.push(init);
        Some(stack)
    }

    /// The entries of a layer's `lower`. A layer that has layers below it and no such file is told of; `None` then.
    fn lower(&mut self, driver: Driver, row: i64, recorded: &Recorded) -> Option<Vec<Entry>> {
        let folder = driver.layers(self.root);
        let own = self.layers.overlay.get(&row)?;
        if let Some(lower) = &own.lower {
            return Some(lower::entries(self.survey.evidence, &folder, lower));
        }
        if own.linked && !recorded.rows.is_empty() {
            let what = format!(
                "not there: the engine would mount {} layer {} without the {} below it",
                own.role,
                own.cache_id,
                recorded.rows.len()
            );
            let at = driver.home(self.root, &own.cache_id).join("lower");
            let kept = "the layers of the records";
            self.survey.problem(Severity::Warning, &at, what, kept);
        }
        None
    }

    /// Whether an entry leads to the layer of this row. Where its link is gone, as the layer's own file says.
    fn is(&self, driver: Driver, row: i64, entry: &Entry) -> bool {
        let Some(layer) = self.layers.overlay.get(&row) else {
            return false;
        };
        match &entry.target {
            Some(_) => {
                entry.cache_id(&driver.layers(self.root)).as_deref() == Some(&layer.cache_id)
            }
            None => self.linked(entry) == Some(row),
        }
    }

    /// The layer that has this short name.
    fn linked(&self, entry: &Entry) -> Option<i64> {
        let link = entry.name.strip_prefix("l/")?;
        self.layers.by_link.get(link).copied()
    }

    /// The layer an entry leads to, if its files are there. A folder that is no layer's is made one that no record knows.
    fn leads_to(&mut self, driver: Driver, entry: &Entry) -> Option<i64> {
        let Some(target) = &entry.target else {
            return self.linked(entry);
        };
        if let Some(cache_id) = entry.cache_id(&driver.layers(self.root)) {
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
        self.survey.put(record::Layer {
            id,
            engine_id: self.engine,
            role: "unowned".into(),
            driver: driver.name.into(),
            stacking: Some(driver.stacking.word().into()),
            marks: Some(driver.marks(self.rootless).word().into()),
            host_path: Some(target.host()),
            ..record::Layer::default()
        });
        let marks = driver.marks(self.rootless);
        self.survey.tree(Walked::Layer(id), target, marks);
        self.layers.by_cache.insert(key, id);
        Some(id)
    }

    /// How the entries of a layer's `lower` depart from the records. What no record says, and what no link leads to, departs
    /// from nothing: that is told of elsewhere.
    fn departure(
        &self,
        driver: Driver,
        row: i64,
        recorded: &Recorded,
        entries: &[Entry],
    ) -> Option<Departure> {
        let folder = driver.layers(self.root);
        let mut says = Vec::new();
        let mut others = Vec::new();
        for i in 0..entries.len().max(recorded.rows.len()) {
            let row = recorded.rows.get(i);
            let told = row.and_then(|r| self.layers.overlay.get(r));
            match (entries.get(i), row, told) {
                (Some(entry), Some(row), Some(told)) => {
                    let unknown = entry.target.is_none() && self.linked(entry).is_none();
                    if unknown || self.is(driver, *row, entry) {
                        continue;
                    }
                    says.push(format!(
                        "{} in place of {}",
                        entry.shown(&folder),
                        told.cache_id
                    ));
                    others.push(entry);
                }
                (Some(entry), None, _) if recorded.complete => {
                    says.push(format!("{} besides", entry.shown(&folder)));
                    others.push(entry);
                }
                (None, _, Some(told)) => says.push(format!("{} left out", told.cache_id)),
                _ => {}
            }
        }
        let own = self.layers.overlay.get(&row).filter(|_| !says.is_empty())?;
        let read = || trace::build_records(self.survey.evidence, self.root).0;
        let built = self.layers.built.get_or_init(read);
        let knows = |entry: &&Entry| {
            entry
                .cache_id(&folder)
                .is_some_and(|id| memchr::memmem::find(built, id.as_bytes()).is_some())
        };
        Some(Departure {
            lower: driver.home(self.root, &own.cache_id).join("lower"),
            buildkit: others.len() == says.len() && others.iter().all(knows),
            says,
        })
    }
}
