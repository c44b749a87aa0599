//! The symbol table: sorted distinct texts, referenced by number (version 2) or by their offset in
//! the file (version 1).

use super::{STRIDE, WHAT, section};
use crate::bytes::Reader;
use crate::error::{FormatError, Result};

/// Where symbols are.
#[derive(Clone, Debug)]
pub(super) struct Symbols {
    version: u8,
    /// The place of the section's content in the file.
    start: u64,
    end: u64,
    count: u32,
    /// Place of every [`STRIDE`]th symbol, from `start` on.
    places: Vec<u32>,
}

impl Symbols {
    pub(super) fn open(data: &[u8], offset: u64, version: u8) -> Result<Symbols> {
        let content = section(data, offset)?;
        let start = offset + 4;
        let mut reader = Reader::at(WHAT, content, start);
        let count = reader.be32()?;
        let most = reader.remaining();
        if count as usize > most {
            return Err(reader.invalid(format!("{count} symbols in {most} bytes")));
        }
        let mut places = Vec::with_capacity(count as usize / STRIDE + 1);
        for i in 0..count as usize {
            if i % STRIDE == 0 {
                places.push(reader.position() as u32);
            }
            reader.uvarint_bytes()?;
        }
        Ok(Symbols {
            version,
            start,
            end: start + content.len() as u64,
            count,
            places,
        })
    }

    pub(super) fn count(&self) -> u32 {
        self.count
    }

    fn reader<'a>(&self, data: &'a [u8], place: u64) -> Reader<'a> {
        // `open` has read the whole section from these bytes.
        let content = data
            .get(place as usize..self.end as usize)
            .unwrap_or_default();
        Reader::at(WHAT, content, place)
    }

    /// The text of a symbol reference.
    pub(super) fn text<'a>(&self, data: &'a [u8], reference: u32) -> Result<&'a str> {
        if self.version == 1 {
            return self.reader(data, u64::from(reference)).uvarint_str();
        }
        let i = reference as usize;
        let place = match self.places.get(i / STRIDE) {
            Some(place) if reference < self.count => u64::from(*place),
            _ => {
                return Err(FormatError::invalid(
                    WHAT,
                    self.start,
                    format!("unknown symbol {reference}"),
                ));
            }
        };
        let mut reader = self.reader(data, self.start + place);
        for _ in 0..i % STRIDE {
            reader.uvarint_bytes()?;
        }
        reader.uvarint_str()
    }

    /// All texts in order.
    pub(super) fn all<'a>(&self, data: &'a [u8]) -> impl Iterator<Item = Result<&'a str>> {
        let mut reader = self.reader(data, self.start + 4);
        (0..self.count).map(move |_| reader.uvarint_str())
    }
}
