//! How the layers that overlay2 mounts below one (its `lower`) depart from those of the records.

use crate::engine::lower::Entry;
use crate::evidence::EvidencePath;
use crate::problem::Severity;

/// One place below a layer, counted from the topmost.
pub struct Place<'a> {
    /// What the `lower` file has there; `None` where it has ended.
    pub entry: Option<&'a Entry>,
    /// What the records have there.
    pub recorded: Recorded<'a>,
    /// Whether the entry leads to that layer, or to nothing that is known.
    pub agrees: bool,
}

/// A layer below another, as the records have it.
#[derive(Clone, Copy, Debug)]
pub enum Recorded<'a> {
    /// The layer of this cache ID.
    CacheId(&'a str),
    /// One whose cache ID is not known.
    Unknown,
    /// No more layers: the one above was the base.
    Ended,
    /// The records break off before this one.
    BrokenOff,
}

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
    /// How these places of the file `lower`, in a layer of the folder `layers`, depart from the records. `built` says which
    /// cache IDs BuildKit's cache knows.
    ///
    /// `None` where they do not. Entries without a record or with a broken link depart from nothing: the query
    /// `missing-layers` reports those.
    pub fn of(
        lower: EvidencePath,
        layers: &EvidencePath,
        places: &[Place<'_>],
        built: impl Fn(&str) -> bool,
    ) -> Option<Departure> {
        let mut says = Vec::new();
        let mut others = Vec::new();
        for place in places {
            match (place.entry, place.recorded) {
                (Some(entry), Recorded::CacheId(told)) if !place.agrees => {
                    says.push(format!("{} in place of {told}", entry.shown(layers)));
                    others.push(entry);
                }
                (Some(entry), Recorded::Ended) => {
                    says.push(format!("{} besides", entry.shown(layers)));
                    others.push(entry);
                }
                (None, Recorded::CacheId(told)) => says.push(format!("{told} left out")),
                _ => {}
            }
        }
        let knows = |entry: &&Entry| entry.cache_id(layers).is_some_and(|id| built(&id));
        (!says.is_empty()).then(|| Departure {
            lower,
            buildkit: others.len() == says.len() && others.iter().all(knows),
            says,
        })
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, target: Option<&str>) -> Entry {
        Entry {
            name: name.into(),
            target: target.map(EvidencePath::new),
        }
    }

    fn of(places: &[(Option<&Entry>, Recorded<'_>, bool)], built: &str) -> Option<Departure> {
        let places: Vec<Place<'_>> = places
            .iter()
            .map(|&(entry, recorded, agrees)| Place {
                entry,
                recorded,
                agrees,
            })
            .collect();
        let lower = EvidencePath::new("o/x/lower");
        Departure::of(lower, &EvidencePath::new("o"), &places, |id| id == built)
    }

    #[test]
    fn what_departs_and_what_does_not() {
        let (a, b) = (
            entry("l/A", Some("o/a/diff")),
            entry("l/B", Some("o/b/diff")),
        );
        let gone = entry("l/G", None);
        let told = Recorded::CacheId("a");
        // As recorded; led nowhere; of no known record; beyond records that break off.
        for same in [
            (Some(&a), told, true),
            (Some(&gone), told, true),
            (Some(&b), Recorded::Unknown, false),
            (Some(&b), Recorded::BrokenOff, false),
            (None, Recorded::Unknown, false),
        ] {
            assert!(of(&[same], "").is_none(), "{same:?}");
        }
        let all = [
            (Some(&b), told, false),
            (None, Recorded::CacheId("c"), false),
            (Some(&gone), Recorded::Ended, false),
        ];
        let departs = of(&all, "b").unwrap();
        assert_eq!(departs.words(), "b in place of a, c left out, l/G besides");
        assert_eq!(departs.severity(), Severity::Warning);
        // One that BuildKit built in another's place is ordinary, one left out is not.
        assert_eq!(of(&all[..1], "b").unwrap().severity(), Severity::Note);
        assert_eq!(of(&all[..1], "z").unwrap().severity(), Severity::Warning);
        assert_eq!(of(&all[..2], "b").unwrap().severity(), Severity::Warning);
    }
}
