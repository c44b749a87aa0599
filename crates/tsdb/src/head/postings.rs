//! Sorted lists of series, and matchers turned into them.

use model::Matcher;

use super::index::LabelIndex;

/// The series of a pair: sorted, one of them without an allocation.
#[derive(Debug)]
pub enum Postings {
    One(u32),
    Many(Vec<u32>),
}

impl Default for Postings {
    fn default() -> Postings {
        Postings::Many(Vec::new())
    }
}

impl Postings {
    /// The series.
    #[inline]
    pub fn as_slice(&self) -> &[u32] {
        match self {
            Postings::One(id) => std::slice::from_ref(id),
            Postings::Many(ids) => ids,
        }
    }

    /// Bytes beside the list itself.
    pub fn bytes(&self) -> usize {
        match self {
            Postings::One(_) => 0,
            Postings::Many(ids) => ids.capacity() * 4,
        }
    }

    /// Enters a series; mostly it is the newest.
    pub fn insert(&mut self, id: u32) {
        match self {
            Postings::One(one) if *one == id => {}
            Postings::One(one) => {
                let pair = [(*one).min(id), (*one).max(id)];
                let mut many = Vec::with_capacity(4);
                many.extend_from_slice(&pair);
                *self = Postings::Many(many);
            }
            Postings::Many(ids) if ids.is_empty() => *self = Postings::One(id),
            Postings::Many(ids) => {
                if ids.last().is_some_and(|last| *last < id) {
                    if ids.len() == ids.capacity() {
                        // A third more, not twice: there are many lists.
                        ids.reserve_exact((ids.len() / 3).max(4));
                    }
                    ids.push(id);
                } else if let Err(at) = ids.binary_search(&id) {
                    ids.insert(at, id);
                }
            }
        }
    }

    /// Keeps the series for which `keep` says so.
    pub fn retain(&mut self, mut keep: impl FnMut(u32) -> bool) {
        match self {
            Postings::One(id) => {
                if !keep(*id) {
                    *self = Postings::default();
                }
            }
            Postings::Many(ids) => {
                ids.retain(|id| keep(*id));
                match ids[..] {
                    [id] => *self = Postings::One(id),
                    _ if ids.capacity() > ids.len() * 2 => ids.shrink_to_fit(),
                    _ => {}
                }
            }
        }
    }
}

/// The first index from `from` on whose element is at least `id`, found by doubling steps.
fn gallop(ids: &[u32], from: usize, id: u32) -> usize {
    let mut step = 1;
    let mut low = from;
    let mut high = from;
    while high < ids.len() && ids[high] < id {
        low = high + 1;
        high += step;
        step *= 2;
    }
    low + ids[low..high.min(ids.len())].partition_point(|other| *other < id)
}

/// What is in both lists.
pub fn intersect(a: &[u32], b: &[u32]) -> Vec<u32> {
    let (short, long) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    let mut out = Vec::with_capacity(short.len());
    let mut at = 0;
    for id in short {
        at = gallop(long, at, *id);
        match long.get(at) {
            None => break,
            Some(found) if found == id => out.push(*id),
            Some(_) => {}
        }
    }
    out
}

/// Whether the lists have anything in common.
pub fn intersects(a: &[u32], b: &[u32]) -> bool {
    let (short, long) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    let mut at = 0;
    for id in short {
        at = gallop(long, at, *id);
        match long.get(at) {
            None => return false,
            Some(found) if found == id => return true,
            Some(_) => {}
        }
    }
    false
}

/// What of `a` is not in `b`.
pub fn subtract(a: &mut Vec<u32>, b: &[u32]) {
    let mut at = 0;
    a.retain(|id| {
        at = gallop(b, at, *id);
        b.get(at) != Some(id)
    });
}

/// What is in any of the lists, which have nothing in common.
pub fn union(lists: &[&[u32]]) -> Vec<u32> {
    match lists {
        [] => return Vec::new(),
        [one] => return one.to_vec(),
        _ => {}
    }
    let total: usize = lists.iter().map(|list| list.len()).sum();
    let low = lists.iter().filter_map(|list| list.first()).min();
    let high = lists.iter().filter_map(|list| list.last()).max();
    let (Some(low), Some(high)) = (low.copied(), high.copied()) else {
        return Vec::new();
    };
    let mut out = Vec::with_capacity(total);
    let span = (high - low) as usize + 1;
    // A bit a series beats sorting unless the series are few and far between.
    if total > 1024 && span / 64 < total * 2 {
        let mut bits = vec![0u64; span.div_ceil(64)];
        for id in lists.iter().copied().flatten() {
            let at = (id - low) as usize;
            bits[at / 64] |= 1 << (at % 64);
        }
        for (i, mut word) in bits.into_iter().enumerate() {
            while word != 0 {
                out.push(low + (i * 64) as u32 + word.trailing_zeros());
                word &= word - 1;
            }
        }
    } else {
        lists.iter().for_each(|list| out.extend_from_slice(list));
        out.sort_unstable();
    }
    out
}

/// The pairs of the matcher's label whose values satisfy it.
fn matching_pairs(index: &LabelIndex, matcher: &Matcher) -> Vec<u32> {
    let Some(name_id) = index.name_id(&matcher.name) else {
        return Vec::new();
    };
    let name = index.name(name_id);
    match matcher.kind {
        model::MatchKind::Equal => {
            return index.pair_id(name_id, &matcher.value).into_iter().collect();
        }
        model::MatchKind::Regexp => {
            if let Some(set) = matcher.regexp().and_then(|regexp| regexp.set_matches()) {
                return set
                    .iter()
                    .filter_map(|value| index.pair_id(name_id, value))
                    .collect();
            }
        }
        model::MatchKind::NotEqual | model::MatchKind::NotRegexp => {}
    }
    let prefix = match matcher.kind {
        model::MatchKind::Regexp => matcher.regexp().and_then(|regexp| regexp.prefix()),
        _ => None,
    };
    if matcher.kind == model::MatchKind::Regexp
        && matcher
            .regexp()
            .is_some_and(|regexp| regexp.matches_everything())
    {
        return name.pairs.clone();
    }
    let mut pairs: Vec<u32> = match prefix {
        Some(prefix) => {
            let sorted = index.sorted(name);
            let from = sorted.partition_point(|id| *index.pair(*id).value < *prefix);
            let len =
                sorted[from..].partition_point(|id| index.pair(*id).value.starts_with(prefix));
            sorted[from..from + len].to_vec()
        }
        None => name.pairs.clone(),
    };
    pairs.retain(|id| matcher.matches(&index.pair(*id).value));
    pairs
}

/// The series that satisfy all matchers, sorted.
pub fn select(index: &LabelIndex, matchers: &[Matcher]) -> Vec<u32> {
    let mut wanted: Vec<(usize, Vec<u32>)> = Vec::new();
    let mut unwanted: Vec<Vec<u32>> = Vec::new();
    for matcher in matchers {
        if matcher.matches_empty() {
            // Satisfied by series without the label, too: take away those that have a wrong value.
            let everything = matcher.regexp().is_some_and(|r| r.matches_everything())
                && matcher.kind == model::MatchKind::Regexp;
            if !everything {
                unwanted.push(matching_pairs(index, &matcher.inverse()));
            }
            continue;
        }
        let pairs = matching_pairs(index, matcher);
        let total = pairs
            .iter()
            .map(|id| index.pair(*id).series.as_slice().len())
            .sum();
        if total == 0 {
            return Vec::new();
        }
        wanted.push((total, pairs));
    }
    wanted.sort_by_key(|(total, _)| *total);
    let lists = |pairs: &[u32]| -> Vec<&[u32]> {
        pairs
            .iter()
            .map(|id| index.pair(*id).series.as_slice())
            .collect()
    };
    let mut wanted = wanted.into_iter();
    let mut found = match wanted.next() {
        Some((_, pairs)) => union(&lists(&pairs)),
        None => index.all().to_vec(),
    };
    for (total, pairs) in wanted {
        if found.is_empty() {
            return found;
        }
        found = match &pairs[..] {
            [pair] => intersect(&found, index.pair(*pair).series.as_slice()),
            // Rather look the few up in every list than join the lists.
            pairs if total > found.len() * 8 => {
                let parts: Vec<Vec<u32>> = pairs
                    .iter()
                    .map(|id| intersect(&found, index.pair(*id).series.as_slice()))
                    .collect();
                let parts: Vec<&[u32]> = parts.iter().map(Vec::as_slice).collect();
                union(&parts)
            }
            pairs => intersect(&found, &union(&lists(pairs))),
        };
    }
    for pairs in unwanted {
        for list in lists(&pairs) {
            if found.is_empty() {
                return found;
            }
            subtract(&mut found, list);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use model::{Labels, MatchKind};

    use super::*;

    fn index() -> (LabelIndex, Vec<Labels>) {
        let mut index = LabelIndex::default();
        let mut sets = Vec::new();
        let mut pairs = Vec::new();
        // Out of order on purpose: a replayed log may be.
        for i in (0..2000u32).rev().step_by(2).chain((0..2000).step_by(2)) {
            let mut set = vec![
                ("__name__".to_owned(), format!("m{}", i % 7)),
                ("i".to_owned(), i.to_string()),
            ];
            if i % 3 == 0 {
                set.push(("opt".to_owned(), format!("x{}", i % 5)));
            }
            sets.push((i, Labels::from_pairs(set)));
            index.insert(i, &sets[sets.len() - 1].1, &mut pairs);
        }
        sets.sort_by_key(|(i, _)| *i);
        (index, sets.into_iter().map(|(_, labels)| labels).collect())
    }

    fn cases() -> Vec<Vec<Matcher>> {
        let m = |kind, name: &str, value: &str| Matcher::new(kind, name, value).unwrap();
        use MatchKind::{Equal, NotEqual, NotRegexp, Regexp};
        vec![
            vec![],
            vec![m(Equal, "__name__", "m3")],
            vec![m(Equal, "__name__", "m3"), m(Equal, "opt", "")],
            vec![m(Equal, "__name__", "m3"), m(NotEqual, "opt", "")],
            vec![m(NotEqual, "__name__", "m3"), m(NotEqual, "opt", "x1")],
            vec![m(Regexp, "__name__", "m1|m2|nope")],
            vec![m(Regexp, "__name__", "m.*"), m(Regexp, "i", "1.*5")],
            vec![m(Regexp, "i", "12.*")],
            vec![m(Regexp, "opt", ".*"), m(Equal, "__name__", "m0")],
            vec![m(Regexp, "opt", ".+"), m(NotRegexp, "opt", "x[12]")],
            vec![m(NotRegexp, "opt", ".*")],
            vec![m(NotRegexp, "opt", ".+"), m(NotRegexp, "i", ".*7")],
            vec![m(Equal, "nope", "x")],
            vec![m(NotEqual, "nope", "x"), m(Equal, "i", "77")],
            vec![m(Regexp, "opt", "x1|"), m(Regexp, "__name__", "m(1|4)")],
        ]
    }

    #[test]
    fn matchers_select_what_they_match() {
        let (index, sets) = index();
        for matchers in cases() {
            let expected: Vec<u32> = (0..sets.len() as u32)
                .filter(|i| {
                    matchers
                        .iter()
                        .all(|m| m.matches_labels(&sets[*i as usize]))
                })
                .collect();
            assert!(select(&index, &matchers) == expected, "{matchers:?}");
        }
    }

    #[test]
    fn removed_series_and_values_are_gone() {
        let (mut index, sets) = index();
        let dead: Vec<u32> = (0..2000).filter(|i| i % 7 == 3 || i % 2 == 0).collect();
        let mut pairs = Vec::new();
        for id in &dead {
            for (name, value) in &sets[*id as usize] {
                pairs.push(index.pair_id(index.name_id(name).unwrap(), value).unwrap());
            }
        }
        pairs.sort_unstable();
        pairs.dedup();
        index.remove(&dead, &pairs);
        for matchers in cases() {
            let expected: Vec<u32> = (0..sets.len() as u32)
                .filter(|i| dead.binary_search(i).is_err())
                .filter(|i| {
                    matchers
                        .iter()
                        .all(|m| m.matches_labels(&sets[*i as usize]))
                })
                .collect();
            assert!(select(&index, &matchers) == expected, "{matchers:?}");
        }
        let name = index.name(index.name_id("__name__").unwrap());
        let values: Vec<&str> = index
            .sorted(name)
            .iter()
            .map(|id| &*index.pair(*id).value)
            .collect();
        assert_eq!(values, ["m0", "m1", "m2", "m4", "m5", "m6"]);
    }

    #[test]
    fn set_operations() {
        let a: Vec<u32> = (0..10_000).step_by(3).collect();
        let b: Vec<u32> = (0..10_000).step_by(5).collect();
        let both: Vec<u32> = (0..10_000).step_by(15).collect();
        assert!(intersect(&a, &b) == both && intersect(&b, &a) == both);
        assert!(intersects(&a, &b) && !intersects(&[1, 4], &b));
        let mut rest = a.clone();
        subtract(&mut rest, &b);
        assert!(rest == a.iter().copied().filter(|x| x % 5 != 0).collect::<Vec<_>>());
        let odd: Vec<u32> = (1..5000).step_by(2).collect();
        let even: Vec<u32> = (0..5000).step_by(2).collect();
        assert!(union(&[&odd, &even]) == (0..5000).collect::<Vec<_>>());
        assert_eq!(union(&[&[9][..], &[1, 1_000_000][..]]), [1, 9, 1_000_000]);
    }
}
