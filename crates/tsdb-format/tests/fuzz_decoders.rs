//! Bytes of real files, mutated, through every decoder: refused or read, without a panic and within
//! reasonable time. `FUZZ_CASES` says how many mutations of each file there are (8).

mod decoders;

use std::path::{Path, PathBuf};

use model::Labels;
use tsdb_format::chunk::XorChunk;
use tsdb_format::wal::page::{Compression, Compressor, PageWriter, SegmentReader};
use tsdb_format::wal::record::{self, RefSample};

/// Files beyond this are cut: what is in them is in their beginnings, too.
const MOST_BYTES: usize = 16 * 1024;

/// A small generator of numbers (xorshift), the same on every machine.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, most: usize) -> usize {
        (self.next() % most.max(1) as u64) as usize
    }
}

fn mutate(bytes: &mut Vec<u8>, numbers: &mut Numbers) {
    for _ in 0..1 + numbers.below(4) {
        let at = numbers.below(bytes.len());
        match numbers.below(7) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, numbers.next() as u8),
            2 if !bytes.is_empty() => drop(bytes.remove(at)),
            3 => {
                // A length or a count that is far too large.
                let extreme = [0xff, 0xff, 0xff, 0xff, 0x0f];
                for (byte, extreme) in bytes.iter_mut().skip(at).zip(extreme) {
                    *byte = extreme;
                }
            }
            4 => {
                let from = numbers.below(bytes.len());
                let len = numbers.below(64).min(bytes.len() - from);
                let copy = bytes[from..from + len].to_vec();
                bytes.splice(at..at, copy);
            }
            _ => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << numbers.below(8);
                }
            }
        }
    }
}

fn files(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        match path.is_dir() {
            true => files(&path, found),
            false => found.push(path),
        }
    }
}

/// What there is without the conformance set, so that the test never tests nothing.
fn own() -> Vec<Vec<u8>> {
    let mut chunk = XorChunk::new();
    let mut samples = Vec::new();
    for i in 0..100 {
        chunk.append(1000 * i, i as f64 / 3.0);
        samples.push(RefSample {
            reference: i as u64,
            start_ms: 0,
            t_ms: 1000 * i,
            value: 0.5,
        });
    }
    let mut record = Vec::new();
    record::encode_samples(&samples, &mut record);
    let labels = Labels::from([("__name__", "a"), ("b", "c")]);
    let mut series = Vec::new();
    record::encode_series([(1, &labels), (2, &labels)], &mut series);
    let mut segment = Vec::new();
    let mut pages = PageWriter::new(0);
    for compression in [Compression::None, Compression::Snappy, Compression::Zstd] {
        let mut compressor = Compressor::new(compression);
        for record in [&record, &series] {
            let (stored, compression) = compressor.compress(record);
            pages.write(stored, compression, &mut segment);
        }
    }
    vec![chunk.bytes().to_vec(), record, series, segment]
}

#[test]
fn mutated_files_are_refused_or_read() {
    let mut corpus = own();
    let mut paths = Vec::new();
    if let Some(dir) = conformance::directory("tsdb") {
        files(&dir, &mut paths);
    }
    paths.sort();
    for path in paths {
        let Ok(mut bytes) = std::fs::read(&path) else {
            continue;
        };
        bytes.truncate(MOST_BYTES);
        // The records of a log as well: most mutations of a segment end at a checksum.
        let mut reader = SegmentReader::new(&bytes);
        let mut records = Vec::new();
        while let Ok(Some(record)) = reader.next_record() {
            if records.len() < 5 {
                records.push(record.to_vec());
            }
        }
        corpus.extend(records);
        corpus.push(bytes);
    }
    let cases = std::env::var("FUZZ_CASES").ok();
    let cases: usize = cases.and_then(|n| n.parse().ok()).unwrap_or(8);
    let mut numbers = Numbers(0x2026_1121);
    for seed in &corpus {
        decoders::all_decoders(seed);
        for _ in 0..cases {
            let mut bytes = seed.clone();
            mutate(&mut bytes, &mut numbers);
            decoders::all_decoders(&bytes);
            decoders::read_whole_index(&bytes);
        }
    }
}
