//! The postings offset table: for each label name and value the place of its posting list.

use std::collections::BTreeMap;

use super::{STRIDE, WHAT, section};
use crate::bytes::Reader;
use crate::error::Result;

/// Where posting lists are.
#[derive(Clone, Debug)]
pub(super) struct Table {
    /// The place of the section's content in the file.
    start: u64,
    end: u64,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    /// Version 2: sorted by name and value.
    Sorted(BTreeMap<Box<str>, Name>),
    /// Version 1: in no order, so everything is in memory.
    Loaded(BTreeMap<Box<str>, Vec<(Box<str>, u64)>>),
}

/// The values of a name.
#[derive(Clone, Debug)]
struct Name {
    count: u32,
    /// Place of every [`STRIDE`]th entry, from the table's start on.
    places: Vec<u32>,
}

struct Entry<'a> {
    name: &'a str,
    value: &'a str,
    place: u64,
}

fn entry<'a>(reader: &mut Reader<'a>) -> Result<Entry<'a>> {
    let keys = reader.uvarint()?;
    if keys != 2 {
        return Err(reader.invalid(format!("unexpected key length for posting table {keys}")));
    }
    Ok(Entry {
        name: reader.uvarint_str()?,
        value: reader.uvarint_str()?,
        place: reader.uvarint()?,
    })
}

impl Table {
    pub(super) fn open(data: &[u8], offset: u64, version: u8) -> Result<Table> {
        let content = section(data, offset)?;
        let start = offset + 4;
        let mut reader = Reader::at(WHAT, content, start);
        let count = reader.be32()?;
        let kind = if version == 1 {
            Kind::Loaded(load(&mut reader, count)?)
        } else {
            Kind::Sorted(sparse(&mut reader, count)?)
        };
        Ok(Table {
            start,
            end: start + content.len() as u64,
            kind,
        })
    }

    /// All names in order, the empty one of all series included.
    pub(super) fn names(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        match &self.kind {
            Kind::Sorted(names) => Box::new(names.keys().map(|name| &**name)),
            Kind::Loaded(names) => Box::new(names.keys().map(|name| &**name)),
        }
    }

    /// How many values a name has.
    pub(super) fn value_count(&self, name: &str) -> usize {
        match &self.kind {
            Kind::Sorted(names) => names.get(name).map_or(0, |name| name.count as usize),
            Kind::Loaded(names) => names.get(name).map_or(0, Vec::len),
        }
    }

    /// Calls `take` with the values of `name` that are not below `from`, in order, and the places of
    /// their lists, until it returns false.
    pub(super) fn values_from<'a>(
        &'a self,
        data: &'a [u8],
        name: &str,
        from: &str,
        mut take: impl FnMut(&'a str, u64) -> bool,
    ) -> Result<()> {
        match &self.kind {
            Kind::Loaded(names) => {
                let values = names.get(name).map_or(&[][..], Vec::as_slice);
                let first = values.partition_point(|(value, _)| &**value < from);
                for (value, place) in &values[first..] {
                    if !take(value, *place) {
                        break;
                    }
                }
                Ok(())
            }
            Kind::Sorted(names) => {
                let Some(name) = names.get(name) else {
                    return Ok(());
                };
                let mut walk = self.walk(data, name, from)?;
                while let Some((value, place)) = walk.next_entry()? {
                    if value >= from && !take(value, place) {
                        break;
                    }
                }
                Ok(())
            }
        }
    }

    /// Starts at the last entry in memory that is not above `from`.
    fn walk<'a>(&self, data: &'a [u8], name: &Name, from: &str) -> Result<Walk<'a>> {
        let (mut low, mut high) = (0, name.places.len());
        // The first entry above `from`; what is wanted starts one before.
        while low < high {
            let middle = (low + high) / 2;
            if self.entry_at(data, name.places[middle])?.value <= from {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        let i = low.saturating_sub(1);
        Ok(Walk {
            reader: self.reader(data, name.places.get(i).copied().unwrap_or(0)),
            left: (name.count as usize).saturating_sub(i * STRIDE),
        })
    }

    fn reader<'a>(&self, data: &'a [u8], place: u32) -> Reader<'a> {
        let at = self.start + u64::from(place);
        let bytes = data.get(at as usize..self.end as usize).unwrap_or_default();
        Reader::at(WHAT, bytes, at)
    }

    fn entry_at<'a>(&self, data: &'a [u8], place: u32) -> Result<Entry<'a>> {
        entry(&mut self.reader(data, place))
    }

    /// The place of the list of a name and value.
    pub(super) fn place(&self, data: &[u8], name: &str, value: &str) -> Result<Option<u64>> {
        let mut found = None;
        self.values_from(data, name, value, |v, place| {
            if v == value {
                found = Some(place);
            }
            false
        })?;
        Ok(found)
    }
}

struct Walk<'a> {
    reader: Reader<'a>,
    left: usize,
}

impl<'a> Walk<'a> {
    fn next_entry(&mut self) -> Result<Option<(&'a str, u64)>> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        let entry = entry(&mut self.reader)?;
        Ok(Some((entry.value, entry.place)))
    }
}

fn sparse(reader: &mut Reader<'_>, count: u32) -> Result<BTreeMap<Box<str>, Name>> {
    let mut names: BTreeMap<Box<str>, Name> = BTreeMap::new();
    let mut current: Option<(&str, Name)> = None;
    for _ in 0..count {
        let place = reader.position() as u32;
        let entry = entry(reader)?;
        match &mut current {
            Some((name, values)) if *name == entry.name => {
                if (values.count as usize).is_multiple_of(STRIDE) {
                    values.places.push(place);
                }
                values.count += 1;
            }
            _ => {
                if names.contains_key(entry.name) {
                    return Err(reader.invalid("postings offset table is not sorted"));
                }
                let next = Name {
                    count: 1,
                    places: vec![place],
                };
                if let Some((name, values)) = current.replace((entry.name, next)) {
                    names.insert(name.into(), values);
                }
            }
        }
    }
    names.extend(current.map(|(name, values)| (Box::from(name), values)));
    names
        .values_mut()
        .for_each(|name| name.places.shrink_to_fit());
    Ok(names)
}

type Values = Vec<(Box<str>, u64)>;

fn load(reader: &mut Reader<'_>, count: u32) -> Result<BTreeMap<Box<str>, Values>> {
    let mut names: BTreeMap<Box<str>, Values> = BTreeMap::new();
    for _ in 0..count {
        let entry = entry(reader)?;
        let value = (Box::from(entry.value), entry.place);
        match names.get_mut(entry.name) {
            Some(values) => values.push(value),
            None => {
                names.insert(Box::from(entry.name), vec![value]);
            }
        }
    }
    for values in names.values_mut() {
        values.sort();
        values.dedup_by(|a, b| a.0 == b.0);
    }
    Ok(names)
}
