//! The series of the log as an endpoint shall see them: relabelled, with external labels, packed.

use foldhash::fast::FixedState;
use hashbrown::{HashMap, HashSet};
use model::Labels;
use relabel::Rule;
use tsdb_format::wal::record::{RefMetadata, RefSeries};

use super::batch::pair_bytes;
use super::strings::Strings;

/// What is sent of a series.
pub(crate) struct Known {
    /// Numbers of names and values in turn; none where the rules drop the series.
    pub pairs: Box<[u32]>,
    /// Length of the labels as version 1.0 has them.
    pub label_bytes: u32,
    /// The last segment that has the labels.
    segment: u32,
    pub metadata: Option<Box<Described>>,
}

/// Metadata of a series: the type as on the wire, which is that of the log, and texts.
pub(crate) struct Described {
    pub kind: u8,
    pub unit: u32,
    pub help: u32,
}

/// All series of the log by their reference.
pub(crate) struct SeriesTable {
    pub strings: Strings,
    series: HashMap<u64, Known, FixedState>,
    external: Labels,
    rules: Vec<Rule>,
}

impl SeriesTable {
    /// A table that adds `external` labels, then applies `rules`.
    pub fn new(external: Labels, rules: Vec<Rule>) -> SeriesTable {
        SeriesTable {
            strings: Strings::default(),
            series: HashMap::default(),
            external,
            rules,
        }
    }

    /// Notes a series' labels, found in `segment`.
    pub fn put(&mut self, series: &RefSeries, segment: u64) {
        let labels = self.shown(&series.labels);
        let mut label_bytes = 0;
        let mut pairs = Vec::with_capacity(2 * labels.len());
        for (name, value) in &labels {
            label_bytes += pair_bytes(name, value);
            pairs.push(self.strings.intern(name));
            pairs.push(self.strings.intern(value));
        }
        let known = Known {
            pairs: pairs.into(),
            label_bytes: label_bytes as u32,
            segment: u32::try_from(segment).unwrap_or(u32::MAX),
            metadata: None,
        };
        if let Some(mut old) = self.series.insert(series.reference, known) {
            let metadata = old.metadata.take();
            self.release(old);
            // The same series once more, as far as anybody can tell.
            if let Some(known) = self.series.get_mut(&series.reference) {
                known.metadata = metadata;
            }
        }
    }

    /// Notes a series' metadata.
    pub fn describe(&mut self, metadata: &RefMetadata) {
        let Some(known) = self.series.get_mut(&metadata.reference) else {
            return;
        };
        if known.pairs.is_empty() {
            return;
        }
        let described = Described {
            kind: metadata.type_byte,
            unit: self.strings.intern(&metadata.unit),
            help: self.strings.intern(&metadata.help),
        };
        if let Some(old) = known.metadata.replace(Box::new(described)) {
            self.strings.release(old.unit);
            self.strings.release(old.help);
        }
    }

    /// What is known of a reference.
    #[inline]
    pub fn get(&self, reference: u64) -> Option<&Known> {
        self.series.get(&reference)
    }

    /// How many series are known.
    pub fn len(&self) -> usize {
        self.series.len()
    }

    /// Forgets the series whose labels no segment after `segment` and no checkpoint has; `keep` are
    /// those of the checkpoint that stands for everything up to `segment`.
    ///
    /// No request in the making may know a string's number when this is called.
    pub fn collect(&mut self, keep: &HashSet<u64, FixedState>, segment: u64) {
        let gone: Vec<u64> = self
            .series
            .iter()
            .filter(|(reference, known)| {
                u64::from(known.segment) <= segment && !keep.contains(*reference)
            })
            .map(|(reference, _)| *reference)
            .collect();
        for reference in gone {
            if let Some(known) = self.series.remove(&reference) {
                self.release(known);
            }
        }
        if self.series.capacity() > 4 * self.series.len() {
            self.series.shrink_to(2 * self.series.len());
        }
        self.strings.recycle();
    }

    fn release(&mut self, known: Known) {
        for id in known.pairs {
            self.strings.release(id);
        }
        if let Some(metadata) = known.metadata {
            self.strings.release(metadata.unit);
            self.strings.release(metadata.help);
        }
    }

    /// A series' labels as the endpoint sees them; empty where it does not.
    fn shown(&self, labels: &Labels) -> Labels {
        if self.external.is_empty() && self.rules.is_empty() {
            return labels.clone();
        }
        let mut builder = labels.builder();
        for (name, value) in &self.external {
            if !labels.has(name) {
                builder.set(name, value);
            }
        }
        match relabel::apply(&self.rules, &mut builder) {
            true => builder.build(),
            false => Labels::empty(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(reference: u64, name: &str) -> RefSeries {
        RefSeries {
            reference,
            labels: Labels::from([("__name__", name), ("a", "own")]),
        }
    }

    fn text(table: &SeriesTable, reference: u64) -> Vec<&str> {
        let known = table.get(reference).unwrap();
        (known.pairs.iter())
            .map(|id| table.strings.get(*id))
            .collect()
    }

    #[test]
    fn external_labels_do_not_win_and_rules_see_them() {
        let rule: relabel::Config = yaml_config::from_str(
            "{source_labels: [__name__, b], regex: 'gone;ext', action: drop}",
        )
        .unwrap();
        let rules = relabel::compile_all(&[rule], model::names::ValidationScheme::Utf8).unwrap();
        let external = Labels::from([("a", "ext"), ("b", "ext")]);
        let mut table = SeriesTable::new(external, rules);
        table.put(&series(1, "up"), 0);
        table.put(&series(2, "gone"), 0);
        assert_eq!(text(&table, 1), ["__name__", "up", "a", "own", "b", "ext"]);
        assert_eq!(text(&table, 2), [""; 0]);
    }

    #[test]
    fn what_no_file_names_any_more_is_forgotten() {
        let mut table = SeriesTable::new(Labels::empty(), Vec::new());
        for reference in 0..10 {
            table.put(&series(reference, &format!("n{reference}")), reference);
        }
        let metadata = RefMetadata {
            reference: 3,
            type_byte: 1,
            unit: String::new(),
            help: "help".into(),
        };
        table.describe(&metadata);
        // The same again, later: it stays what it is.
        table.put(&series(3, "n3"), 9);
        assert_eq!(table.get(3).unwrap().metadata.as_ref().unwrap().kind, 1);
        table.collect(&HashSet::from_iter([1]), 5);
        let mut left: Vec<u64> = (0..10).filter(|r| table.get(*r).is_some()).collect();
        left.sort_unstable();
        assert_eq!(left, [1, 3, 6, 7, 8, 9]);
        assert_eq!(table.len(), 6);
        table.put(&series(20, "new"), 9);
        assert_eq!(text(&table, 20), ["__name__", "new", "a", "own"]);
        assert_eq!(text(&table, 7), ["__name__", "n7", "a", "own"]);
    }
}
