//! Reading an index.

use model::Labels;

use super::postings::Postings;
use super::series::{self, SeriesEntry};
use super::symbols::Symbols;
use super::table::Table;
use super::toc::Toc;
use super::{SERIES_ALIGN, version};
use crate::error::Result;

/// An opened index over bytes that it owns or borrows: a memory map, a vector, a slice.
#[derive(Debug)]
pub struct IndexReader<D> {
    data: D,
    version: u8,
    toc: Toc,
    symbols: Symbols,
    table: Table,
}

/// Symbols of one index that were looked up lately.
#[derive(Debug)]
pub struct SymbolCache<'a> {
    slots: Box<[(u32, &'a str)]>,
}

impl<'a> SymbolCache<'a> {
    /// An empty cache, of 16 KiB.
    pub fn new() -> SymbolCache<'a> {
        SymbolCache::with_slots(1024)
    }

    /// A cache of one symbol, for a single series.
    pub fn tiny() -> SymbolCache<'a> {
        SymbolCache::with_slots(1)
    }

    fn with_slots(slots: usize) -> SymbolCache<'a> {
        SymbolCache {
            slots: vec![(u32::MAX, ""); slots].into(),
        }
    }

    #[inline]
    fn text(&mut self, symbol: u32, find: impl FnOnce(u32) -> Result<&'a str>) -> Result<&'a str> {
        let i = symbol as usize % self.slots.len();
        let slot = &mut self.slots[i];
        // An index with 2^32 symbols would need more than its 4 GiB for them.
        if slot.0 != symbol || symbol == u32::MAX {
            *slot = (symbol, find(symbol)?);
        }
        Ok(slot.1)
    }
}

impl Default for SymbolCache<'_> {
    fn default() -> Self {
        SymbolCache::new()
    }
}

impl<D: AsRef<[u8]>> IndexReader<D> {
    /// Opens an index: reads the table of contents, scans symbols and the postings offset table.
    ///
    /// # Errors
    /// Another kind of file, an unknown version, or damage in one of these three.
    pub fn open(data: D) -> Result<IndexReader<D>> {
        let bytes = data.as_ref();
        let version = version(bytes)?;
        let toc = Toc::decode(bytes)?;
        let symbols = Symbols::open(bytes, toc.symbols, version)?;
        let table = Table::open(bytes, toc.postings_table, version)?;
        Ok(IndexReader {
            data,
            version,
            toc,
            symbols,
            table,
        })
    }

    fn bytes(&self) -> &[u8] {
        self.data.as_ref()
    }

    /// The version of the format: 1 or 2.
    pub fn version(&self) -> u8 {
        self.version
    }

    /// Where the sections are.
    pub fn toc(&self) -> &Toc {
        &self.toc
    }

    /// Bytes of the file.
    pub fn size_bytes(&self) -> u64 {
        self.bytes().len() as u64
    }

    /// How many symbols there are.
    pub fn symbol_count(&self) -> u32 {
        self.symbols.count()
    }

    /// All symbols in order.
    pub fn symbols(&self) -> impl Iterator<Item = Result<&str>> {
        self.symbols.all(self.bytes())
    }

    /// The text of a symbol reference.
    ///
    /// # Errors
    /// A reference that there is no symbol for.
    pub fn symbol(&self, reference: u32) -> Result<&str> {
        self.symbols.text(self.bytes(), reference)
    }

    /// The label names in order.
    pub fn label_names(&self) -> impl Iterator<Item = &str> {
        self.table.names().filter(|name| !name.is_empty())
    }

    /// How many values a label has.
    pub fn value_count(&self, name: &str) -> usize {
        self.table.value_count(name)
    }

    /// Calls `take` with the values of label `name` that are not below `from`, in order, each with
    /// the place of its posting list for [`IndexReader::postings_at`], until it returns false.
    ///
    /// # Errors
    /// Damage.
    pub fn values_from<'a>(
        &'a self,
        name: &str,
        from: &str,
        take: impl FnMut(&'a str, u64) -> bool,
    ) -> Result<()> {
        self.table.values_from(self.bytes(), name, from, take)
    }

    /// The posting list at a place that [`IndexReader::values_from`] named.
    ///
    /// # Errors
    /// Damage.
    pub fn postings_at(&self, place: u64) -> Result<Postings<'_>> {
        Postings::open(self.bytes(), place)
    }

    /// The series with label `name` of `value`; an empty list where there are none.
    ///
    /// # Errors
    /// Damage.
    pub fn postings(&self, name: &str, value: &str) -> Result<Postings<'_>> {
        match self.table.place(self.bytes(), name, value)? {
            Some(place) => self.postings_at(place),
            None => Ok(Postings::default()),
        }
    }

    /// All series.
    ///
    /// # Errors
    /// Damage.
    pub fn all_postings(&self) -> Result<Postings<'_>> {
        self.postings("", "")
    }

    fn series_offset(&self, reference: u32) -> u64 {
        match self.version {
            1 => u64::from(reference),
            _ => u64::from(reference) * SERIES_ALIGN,
        }
    }

    /// Reads the series of a posting into `entry`, whose memory is reused.
    ///
    /// # Errors
    /// Damage.
    pub fn series(&self, reference: u32, entry: &mut SeriesEntry) -> Result<()> {
        series::decode(self.bytes(), self.series_offset(reference), entry, true)
    }

    /// As [`IndexReader::series`], without the chunks.
    ///
    /// # Errors
    /// Damage.
    pub fn series_labels(&self, reference: u32, entry: &mut SeriesEntry) -> Result<()> {
        series::decode(self.bytes(), self.series_offset(reference), entry, false)
    }

    /// The label set of an entry.
    ///
    /// # Errors
    /// A symbol that is not there.
    pub fn labels(&self, entry: &SeriesEntry) -> Result<Labels> {
        self.labels_cached(entry, &mut SymbolCache::tiny())
    }

    /// As [`IndexReader::labels`], for many series in a row: most of their symbols are found in
    /// `cache`.
    ///
    /// # Errors
    /// A symbol that is not there.
    pub fn labels_cached<'a>(
        &'a self,
        entry: &SeriesEntry,
        cache: &mut SymbolCache<'a>,
    ) -> Result<Labels> {
        let mut pairs = Vec::with_capacity(entry.labels.len());
        for (name, value) in &entry.labels {
            let name = cache.text(*name, |symbol| self.symbol(symbol))?;
            let value = cache.text(*value, |symbol| self.symbol(symbol))?;
            pairs.push((name, value));
        }
        let sorted = pairs.windows(2).all(|pair| pair[0].0 < pair[1].0);
        Ok(if sorted && pairs.iter().all(|pair| !pair.1.is_empty()) {
            Labels::from_sorted(pairs)
        } else {
            // Blocks of old versions, or of others.
            Labels::from_pairs(pairs)
        })
    }

    /// The value of one label of an entry.
    ///
    /// # Errors
    /// A symbol that is not there.
    pub fn label_value(&self, entry: &SeriesEntry, name: &str) -> Result<Option<&str>> {
        for (n, value) in &entry.labels {
            if self.symbol(*n)? == name {
                return self.symbol(*value).map(Some);
            }
        }
        Ok(None)
    }
}
