//! Every decoder of the crate, for bytes of any kind.

use tsdb_format::chunk::histogram;
use tsdb_format::chunk::xor2::Xor2Chunk;
use tsdb_format::chunk::{self, Encoding, HistogramChunk, XorChunk};
use tsdb_format::index::postings::SortedList as _;
use tsdb_format::index::{IndexReader, SeriesEntry};
use tsdb_format::tombstones::Tombstones;
use tsdb_format::wal::page::SegmentReader;
use tsdb_format::wal::record;
use tsdb_format::{head_chunks, meta, segment, snapshot};

/// Nothing of this may panic, nor take long.
pub fn read_whole_index(data: &[u8]) {
    let Ok(index) = IndexReader::open(data) else {
        return;
    };
    let mut entry = SeriesEntry::default();
    let all = index.all_postings().map(|all| all.to_vec());
    for reference in all.unwrap_or_default() {
        if index.series(reference, &mut entry).is_ok() {
            let _ = index.labels(&entry);
        }
    }
    let names: Vec<String> = index.label_names().map(str::to_owned).collect();
    for name in names {
        let mut places = Vec::new();
        let _ = index.values_from(&name, "b", |_, place| {
            places.push(place);
            true
        });
        for place in places {
            let _ = index.postings_at(place).map(|list| list.to_vec());
        }
    }
    let _ = index.symbols().count();
}

/// Nothing of this may panic.
pub fn all_decoders(bytes: &[u8]) {
    let (mut a, mut b, mut c) = (vec![], vec![], vec![]);
    for encoding in [Encoding::Xor, Encoding::Xor2] {
        let all = (i64::MIN, i64::MAX);
        let _ = chunk::decode_floats(encoding, bytes, all.0, all.1, &mut a, &mut b, &mut c);
    }
    let _ = XorChunk::resume(bytes);
    let _ = Xor2Chunk::resume(bytes);
    for starts in [false, true] {
        let _ = histogram::decode_integer(bytes, starts, i64::MIN, i64::MAX, |_, _, _| {});
        let _ = histogram::decode_float(bytes, true, starts, i64::MIN, i64::MAX, |_, _, _| {});
        let _ = HistogramChunk::resume(bytes, starts);
    }
    for kind in 0..16 {
        let mut record = bytes.to_vec();
        if let Some(first) = record.first_mut() {
            *first = kind;
        }
        let _ = record::decode_series(&record, &mut vec![]);
        let _ = record::decode_samples(&record, &mut vec![]);
        let _ = record::decode_tombstones(&record, &mut vec![]);
        let _ = record::decode_exemplars(&record, &mut vec![]);
        let _ = record::decode_mmap_markers(&record, &mut vec![]);
        let _ = record::decode_metadata(&record, &mut vec![]);
        let _ = record::decode_histograms(&record, &mut vec![]);
        let _ = record::decode_float_histograms(&record, &mut vec![]);
        let _ = record::decode_min_valid_time(&record);
        let _ = snapshot::decode(&record);
    }
    let mut reader = SegmentReader::new(bytes);
    while let Ok(Some(_)) = reader.next_record() {}
    let _ = Tombstones::decode(bytes);
    let _ = meta::BlockMeta::decode(bytes);
    let _ = segment::chunk(bytes, 0);
    let _ = head_chunks::chunks(bytes).count();
    if let Ok(index) = IndexReader::open(bytes) {
        let _ = index.series(1, &mut SeriesEntry::default());
    }
    for wanted in [1, 3] {
        let mut reader = SegmentReader::new(bytes);
        while let Ok(Some(_)) = reader.next_of_types(&[wanted]) {}
    }
}
