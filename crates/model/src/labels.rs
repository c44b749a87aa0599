//! Label sets: sorted, immutable, one allocation, cheap to clone.

use std::cell::RefCell;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// The label that holds the metric name.
pub const METRIC_NAME: &str = "__name__";
/// The label that holds the alert name.
pub const ALERT_NAME: &str = "alertname";
/// Upper bound of a classic histogram bucket.
pub const BUCKET_LABEL: &str = "le";
/// Quantile of a summary.
pub const QUANTILE_LABEL: &str = "quantile";
/// The instance (by default the scraped address) of a target.
pub const INSTANCE_NAME: &str = "instance";
/// The job of a target.
pub const JOB_NAME: &str = "job";

/// An immutable label set, sorted by name, without empty values.
///
/// Stored as one shared run of bytes: for each pair `len(name) name len(value) value` with LEB128
/// lengths, so that a clone is a counter, equality is a comparison of bytes and a hash is one pass.
#[derive(Clone, PartialEq, Eq)]
pub struct Labels(Arc<[u8]>);

impl Labels {
    /// The label set without labels.
    pub fn empty() -> Labels {
        thread_local! { static EMPTY: Labels = Labels(Arc::from(&[][..])); }
        EMPTY.with(Labels::clone)
    }

    /// Builds a label set from pairs in any order. Of a name given twice the last one wins; labels
    /// with an empty value do not exist and are left out.
    pub fn from_pairs<N: AsRef<str>, V: AsRef<str>>(
        pairs: impl IntoIterator<Item = (N, V)>,
    ) -> Labels {
        let mut pairs: Vec<(N, V)> = pairs.into_iter().collect();
        pairs.sort_by(|a, b| a.0.as_ref().cmp(b.0.as_ref()));
        let mut bytes = Vec::with_capacity(pairs.len() * 24);
        for (i, (name, value)) in pairs.iter().enumerate() {
            let shadowed = pairs
                .get(i + 1)
                .is_some_and(|next| next.0.as_ref() == name.as_ref());
            if !shadowed && !value.as_ref().is_empty() {
                push_pair(&mut bytes, name.as_ref(), value.as_ref());
            }
        }
        Labels::from_bytes(&bytes)
    }

    /// Builds a label set from pairs that are sorted by name, distinct, and not empty: the fast way
    /// for decoders that have checked this.
    pub fn from_sorted<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Labels {
        // Collected in memory that is kept, so that a label set takes one allocation.
        thread_local! { static BYTES: RefCell<Vec<u8>> = RefCell::new(Vec::with_capacity(512)); }
        let collect = |bytes: &mut Vec<u8>| {
            bytes.clear();
            for (name, value) in pairs {
                push_pair(bytes, name, value);
            }
            Labels::from_bytes(bytes)
        };
        BYTES.with(|bytes| match bytes.try_borrow_mut() {
            Ok(mut bytes) => collect(&mut bytes),
            // The pairs come from a label set that is being collected.
            Err(_) => collect(&mut Vec::new()),
        })
    }

    fn from_bytes(bytes: &[u8]) -> Labels {
        if bytes.is_empty() {
            Labels::empty()
        } else {
            Labels(Arc::from(bytes))
        }
    }

    /// The value of `name`, or the empty string where there is no such label.
    pub fn get(&self, name: &str) -> &str {
        self.find(name).unwrap_or("")
    }

    /// The value of `name`, if there is such a label.
    pub fn find(&self, name: &str) -> Option<&str> {
        for (n, v) in self {
            match n.cmp(name) {
                Ordering::Less => {}
                Ordering::Equal => return Some(v),
                Ordering::Greater => return None,
            }
        }
        None
    }

    /// Whether there is a label of this name.
    pub fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// The metric name, or the empty string.
    pub fn metric_name(&self) -> &str {
        self.get(METRIC_NAME)
    }

    /// The pairs in order of their names.
    pub fn iter(&self) -> Iter<'_> {
        Iter(&self.0)
    }

    /// How many labels there are.
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Whether there are no labels.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The packed form (see the type), the key that equal label sets share.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The label set of a packed form (see the type) from outside: `None` where it is none, names are
    /// not in order or given twice, or a value is empty.
    pub fn from_packed(bytes: &[u8]) -> Option<Labels> {
        let mut rest = bytes;
        let mut last = None;
        while !rest.is_empty() {
            let name = checked_str(&mut rest)?;
            let value = checked_str(&mut rest)?;
            if value.is_empty() || last.is_some_and(|last| last >= name) {
                return None;
            }
            last = Some(name);
        }
        Some(Labels::from_bytes(bytes))
    }

    /// A hash of the whole set. Stable within a process; not for storage or the wire.
    pub fn hash64(&self) -> u64 {
        xxhash_rust::xxh3::xxh3_64(&self.0)
    }

    /// The set without the labels for which `drop` says so.
    pub fn without(&self, mut drop: impl FnMut(&str) -> bool) -> Labels {
        if !self.iter().any(|(n, _)| drop(n)) {
            return self.clone();
        }
        Labels::from_sorted(self.iter().filter(|(n, _)| !drop(n)))
    }

    /// The set with only the labels named in `names` (sorted or not).
    pub fn only<S: AsRef<str>>(&self, names: &[S]) -> Labels {
        Labels::from_sorted(
            self.iter()
                .filter(|(n, _)| names.iter().any(|k| k.as_ref() == *n)),
        )
    }

    /// The set without its metric name.
    pub fn without_metric_name(&self) -> Labels {
        self.without(|n| n == METRIC_NAME)
    }

    /// A builder that starts from this set.
    pub fn builder(&self) -> LabelsBuilder {
        LabelsBuilder::new(self.clone())
    }

    /// xxHash64 over `name 0xFF value 0xFF` of every pair: the hash that Thanos shards by.
    pub fn xxh64(&self) -> u64 {
        let mut bytes = Vec::with_capacity(self.0.len() + 16);
        for (n, v) in self {
            bytes.extend_from_slice(n.as_bytes());
            bytes.push(0xff);
            bytes.extend_from_slice(v.as_bytes());
            bytes.push(0xff);
        }
        xxhash_rust::xxh64::xxh64(&bytes, 0)
    }

    /// 64-bit FNV-1a over `name 0xFF value 0xFF` of every pair (prometheus/common
    /// `model/signature.go`): the fingerprint of alerts.
    pub fn fingerprint(&self) -> u64 {
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        let mut add =
            |byte: u8| hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        for (n, v) in self {
            n.bytes().for_each(&mut add);
            add(0xff);
            v.bytes().for_each(&mut add);
            add(0xff);
        }
        hash
    }
}

fn push_pair(bytes: &mut Vec<u8>, name: &str, value: &str) {
    push_str(bytes, name);
    push_str(bytes, value);
}

fn push_str(bytes: &mut Vec<u8>, s: &str) {
    let mut len = s.len();
    while len >= 0x80 {
        bytes.push(len as u8 | 0x80);
        len >>= 7;
    }
    bytes.push(len as u8);
    bytes.extend_from_slice(s.as_bytes());
}

/// A string in packed form from outside, which is taken off `bytes`. A length that is longer than it
/// need be is refused, so that equal label sets stay equal bytes.
fn checked_str<'a>(bytes: &mut &'a [u8]) -> Option<&'a str> {
    let mut len = 0usize;
    let mut used = 0;
    loop {
        let byte = *bytes.get(used)?;
        len |= usize::from(byte & 0x7f) << (7 * used);
        used += 1;
        if byte < 0x80 {
            if byte == 0 && used > 1 {
                return None;
            }
            break;
        }
        if used == 4 {
            return None;
        }
    }
    let text = bytes.get(used..used.checked_add(len)?)?;
    *bytes = &bytes[used + len..];
    std::str::from_utf8(text).ok()
}

/// How many bytes the two begin with in common.
fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    let words = a.as_chunks::<8>().0.iter().zip(b.as_chunks::<8>().0);
    let same = 8 * words.take_while(|(a, b)| a == b).count();
    let rest = a[same..].iter().zip(&b[same..]);
    same + rest.take_while(|(a, b)| a == b).count()
}

/// The pairs of a label set in order.
#[derive(Clone)]
pub struct Iter<'a>(&'a [u8]);

impl<'a> Iter<'a> {
    #[inline]
    fn take_bytes(&mut self) -> &'a [u8] {
        let mut len = 0usize;
        let mut shift = 0;
        let mut used = 0;
        for &byte in self.0 {
            used += 1;
            len |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 {
                break;
            }
        }
        let (head, rest) = self.0[used..].split_at(len);
        self.0 = rest;
        head
    }

    fn skip_pair(&mut self) {
        self.take_bytes();
        self.take_bytes();
    }

    #[inline]
    fn take_str(&mut self) -> &'a str {
        let head = self.take_bytes();
        debug_assert!(std::str::from_utf8(head).is_ok());
        // SAFETY: the bytes come from `push_str`, which copies a `str` behind its own length, and
        // `Labels` never exposes its bytes for writing.
        unsafe { std::str::from_utf8_unchecked(head) }
    }
}

impl<'a> Iterator for Iter<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let name = self.take_str();
        Some((name, self.take_str()))
    }
}

impl<'a> IntoIterator for &'a Labels {
    type Item = (&'a str, &'a str);
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

impl Default for Labels {
    fn default() -> Labels {
        Labels::empty()
    }
}

impl Hash for Labels {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl PartialOrd for Labels {
    fn partial_cmp(&self, other: &Labels) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// By pairs: names first, then values; a set that is a prefix of the other comes first.
impl Ord for Labels {
    fn cmp(&self, other: &Labels) -> Ordering {
        if Arc::ptr_eq(&self.0, &other.0) {
            return Ordering::Equal;
        }
        // What sorts label sets compares many that begin alike: those pairs are skipped.
        let same = common_prefix(&self.0, &other.0);
        let (mut mine, mut others) = (self.iter(), other.iter());
        loop {
            let at = (mine.clone(), others.clone());
            mine.skip_pair();
            others.skip_pair();
            let read = self.0.len() - mine.0.len();
            if read > same || mine.0.is_empty() || others.0.is_empty() {
                return at.0.cmp(at.1);
            }
        }
    }
}

/// As upstream prints label sets: `{__name__="up", job="node"}`, UTF-8 names quoted.
impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (i, (name, value)) in self.iter().enumerate() {
            if i > 0 {
                f.write_str(", ")?;
            }
            if crate::names::is_legacy_label_name(name) {
                f.write_str(name)?;
            } else {
                f.write_str(&golang::strconv::quote(name))?;
            }
            f.write_str("=")?;
            f.write_str(&golang::strconv::quote(value))?;
        }
        f.write_str("}")
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<N: AsRef<str>, V: AsRef<str>> FromIterator<(N, V)> for Labels {
    fn from_iter<T: IntoIterator<Item = (N, V)>>(pairs: T) -> Labels {
        Labels::from_pairs(pairs)
    }
}

impl<N: AsRef<str>, V: AsRef<str>, const K: usize> From<[(N, V); K]> for Labels {
    fn from(pairs: [(N, V); K]) -> Labels {
        Labels::from_pairs(pairs)
    }
}

impl serde::Serialize for Labels {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self)
    }
}

impl<'de> serde::Deserialize<'de> for Labels {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Labels, D::Error> {
        deserializer.deserialize_map(Pairs)
    }
}

/// Reads an object of strings; of a name given twice the last value counts, as in Go.
struct Pairs;

/// A string that is copied only where it holds escapes.
#[derive(serde::Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] std::borrow::Cow<'a, str>);

impl AsRef<str> for Text<'_> {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl<'de> serde::de::Visitor<'de> for Pairs {
    type Value = Labels;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map")
    }

    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Labels, A::Error> {
        let mut pairs: Vec<(Text<'de>, Text<'de>)> = Vec::with_capacity(16);
        while let Some(pair) = map.next_entry()? {
            pairs.push(pair);
        }
        Ok(Labels::from_pairs(pairs))
    }
}

/// Changes to a label set, applied at [`LabelsBuilder::build`].
#[derive(Clone, Debug, Default)]
pub struct LabelsBuilder {
    base: Labels,
    changes: Vec<(String, String)>,
}

impl LabelsBuilder {
    /// A builder that starts from `base`.
    pub fn new(base: Labels) -> LabelsBuilder {
        LabelsBuilder {
            base,
            changes: Vec::new(),
        }
    }

    /// Sets a label; an empty value removes it.
    pub fn set(&mut self, name: &str, value: &str) -> &mut Self {
        match self.changes.iter_mut().find(|(n, _)| n == name) {
            Some(change) => change.1 = value.to_owned(),
            None => self.changes.push((name.to_owned(), value.to_owned())),
        }
        self
    }

    /// Removes a label.
    pub fn del(&mut self, name: &str) -> &mut Self {
        self.set(name, "")
    }

    /// Keeps only labels that are named in `names`.
    pub fn keep<S: AsRef<str>>(&mut self, names: &[S]) -> &mut Self {
        let dropped: Vec<String> = self
            .iter()
            .map(|(n, _)| n.to_owned())
            .filter(|n| !names.iter().any(|k| k.as_ref() == n))
            .collect();
        for name in dropped {
            self.del(&name);
        }
        self
    }

    /// The current value of `name`, or the empty string.
    pub fn get(&self, name: &str) -> &str {
        match self.changes.iter().find(|(n, _)| n == name) {
            Some((_, value)) => value,
            None => self.base.get(name),
        }
    }

    /// The current pairs: unchanged ones in order, then changed ones in the order of the changes.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let changed = |name: &str| self.changes.iter().any(|(n, _)| n == name);
        let kept = self.base.iter().filter(move |(n, _)| !changed(n));
        kept.chain(
            self.changes
                .iter()
                .filter(|(_, v)| !v.is_empty())
                .map(|(n, v)| (n.as_str(), v.as_str())),
        )
    }

    /// The label set with the changes applied.
    pub fn build(&self) -> Labels {
        if self.changes.is_empty() {
            self.base.clone()
        } else {
            Labels::from_pairs(self.iter())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        Labels::from_pairs(pairs.iter().copied())
    }

    #[test]
    fn sorted_distinct_and_without_empty_values() {
        let set = labels(&[("b", "2"), ("a", "0"), ("c", ""), ("a", "1")]);
        assert_eq!(set.iter().collect::<Vec<_>>(), [("a", "1"), ("b", "2")]);
        assert_eq!(set.len(), 2);
        assert_eq!(set.get("c"), "");
        assert!(!set.has("c"));
        assert!(labels(&[]).is_empty());
    }

    #[test]
    fn long_values_keep_their_length() {
        for n in [0, 1, 127, 128, 300, 70_000] {
            let long = "x".repeat(n);
            assert_eq!(labels(&[("a", &long), ("b", "1")]).get("a"), long);
        }
    }

    #[test]
    fn packed_from_outside() {
        let long = "x".repeat(300);
        for set in [
            labels(&[]),
            labels(&[("a", "1")]),
            labels(&[("a", &long), ("b", "ü")]),
        ] {
            assert_eq!(Labels::from_packed(set.as_bytes()), Some(set));
        }
        let refused: [(&str, &[u8]); 9] = [
            ("cut in a length", b"\x81"),
            ("cut in a name", b"\x02a"),
            ("no value", b"\x01a"),
            ("empty value", b"\x01a\x00"),
            ("not in order", b"\x01b\x011\x01a\x011"),
            ("twice", b"\x01a\x011\x01a\x012"),
            ("no UTF-8", b"\x01a\x01\xff"),
            ("a longer length than need be", b"\x81\x00a\x011"),
            ("a length beyond all bounds", b"\xff\xff\xff\xff\xff\x01"),
        ];
        for (what, bytes) in refused {
            assert_eq!(Labels::from_packed(bytes), None, "{what}");
        }
    }

    #[test]
    fn ordered_by_pairs() {
        let mut sets = [
            labels(&[("a", "b")]),
            labels(&[("a", "a"), ("b", "1")]),
            labels(&[("a", "a")]),
            labels(&[]),
        ];
        sets.sort();
        assert_eq!(
            sets.map(|s| s.to_string()),
            ["{}", r#"{a="a"}"#, r#"{a="a", b="1"}"#, r#"{a="b"}"#]
        );
    }

    #[test]
    fn builder_sets_deletes_and_keeps() {
        let mut builder = labels(&[("a", "1"), ("b", "2")]).builder();
        builder.set("c", "3").del("a").set("b", "4");
        assert_eq!((builder.get("a"), builder.get("b")), ("", "4"));
        assert_eq!(builder.build(), labels(&[("b", "4"), ("c", "3")]));
        builder.keep(&["c"]);
        assert_eq!(builder.build(), labels(&[("c", "3")]));
    }

    #[test]
    fn projections() {
        let set = labels(&[("__name__", "m"), ("a", "1"), ("b", "2")]);
        assert_eq!(set.without_metric_name(), labels(&[("a", "1"), ("b", "2")]));
        assert_eq!(set.only(&["b", "x"]), labels(&[("b", "2")]));
    }
}
