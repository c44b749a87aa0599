//! Label sets of which a reader looks at some labels only.

use hashbrown::HashMap;
use model::{Labels, MatchKind, Matcher};

use super::index::LabelIndex;

/// The wanted labels of one series after the other. Series that agree in them share one label set, and
/// of the others not even the texts are read.
pub struct Narrow<'a> {
    index: &'a LabelIndex,
    wanted: Wanted,
    /// The pairs of the series at hand.
    key: Vec<u32>,
    known: HashMap<Box<[u32]>, Labels>,
}

/// What tells wanted pairs from others.
enum Wanted {
    /// Their numbers, sorted.
    Pairs(Vec<u32>),
    /// The numbers of their names, where there are too many pairs for a list.
    Names(Vec<u32>),
}

impl<'a> Narrow<'a> {
    /// For series that satisfy `matchers`, of which only the labels `names` are looked at.
    pub fn new(index: &'a LabelIndex, names: &[String], matchers: &[Matcher]) -> Narrow<'a> {
        /// Lists up to this length are searched faster than a pair is read.
        const SHORT: usize = 64;
        let ids: Vec<u32> = names.iter().filter_map(|n| index.name_id(n)).collect();
        let mut pairs = Vec::new();
        for id in &ids {
            let name = index.name(*id);
            let equal = matchers.iter().find(|matcher| {
                matcher.kind == MatchKind::Equal
                    && !matcher.value.is_empty()
                    && *matcher.name == *name.text
            });
            match equal {
                // The only value that the series can have.
                Some(matcher) => pairs.extend(index.pair_id(*id, &matcher.value)),
                None if pairs.len() + name.pairs.len() > SHORT => {
                    return Narrow::of(index, Wanted::Names(ids));
                }
                None => pairs.extend_from_slice(&name.pairs),
            }
        }
        pairs.sort_unstable();
        Narrow::of(index, Wanted::Pairs(pairs))
    }

    fn of(index: &'a LabelIndex, wanted: Wanted) -> Narrow<'a> {
        Narrow {
            index,
            wanted,
            key: Vec::new(),
            known: HashMap::new(),
        }
    }

    /// The wanted labels among the pairs of a series.
    pub fn labels(&mut self, pairs: impl Iterator<Item = u32>) -> Labels {
        /// Beyond so many label sets they are hardly shared.
        const MOST_KNOWN: usize = 4096;
        let index = self.index;
        self.key.clear();
        match &self.wanted {
            Wanted::Pairs(wanted) => {
                let is_wanted = |pair: &u32| wanted.binary_search(pair).is_ok();
                self.key.extend(pairs.filter(is_wanted));
            }
            Wanted::Names(names) => {
                let is_wanted = |pair: &u32| names.contains(&index.pair(*pair).name);
                self.key.extend(pairs.filter(is_wanted));
            }
        }
        if let Some(labels) = self.known.get(&self.key[..]) {
            return labels.clone();
        }
        let labels = Labels::from_sorted(self.key.iter().map(|pair| index.text(*pair)));
        if self.known.len() < MOST_KNOWN {
            self.known
                .insert(self.key.as_slice().into(), labels.clone());
        }
        labels
    }
}
