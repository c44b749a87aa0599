//! Block folders: read, repaired, written anew.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use model::{Labels, Matcher};
use storage::{Querier as _, SelectHints};
use tsdb::block::{
    Block, BlockChunk, BlockQuerier, block_folders, repair::repair_index_versions, write_block,
};
use tsdb::fs::RealFs;
use tsdb_format::Ulid;
use tsdb_format::chunk::XorChunk;
use tsdb_format::meta::{BlockMeta, Compaction};

use crate::expected::{self, Samples};

/// Opens all blocks of a copy and compares their content, joined, and their statistics.
pub fn read(from: &Path, expected: &Path, ulid: Option<&str>) -> Result<(), String> {
    let dir = tempfile::tempdir().expect("a folder");
    match ulid {
        // The folder itself is the block.
        Some(ulid) => super::copy(from, &dir.path().join(ulid)),
        None => super::copy(from, dir.path()),
    }
    let (want, json) = expected::load(expected);
    let mut all: BTreeMap<Labels, Samples> = BTreeMap::new();
    let mut found = BTreeSet::new();
    for ulid in block_folders(&RealFs, dir.path()).map_err(|e| e.to_string())? {
        let block = open(&dir.path().join(ulid.to_string()))?;
        let meta = block.meta();
        check_stats(&json, &meta)?;
        found.insert(ulid.to_string());
        let querier = BlockQuerier::new(block, i64::MIN, i64::MAX);
        for (labels, samples) in expected::read_all(&querier)? {
            all.entry(labels).or_default().extend(samples);
        }
    }
    for samples in all.values_mut() {
        samples.sort_by_key(|s| s.split(' ').next().and_then(|t| t.parse::<i64>().ok()));
    }
    if found.is_empty() {
        return Err("no block found".to_owned());
    }
    expected::compare(&all, &want)
}

fn open(dir: &Path) -> Result<Arc<Block>, String> {
    Block::open(Arc::new(RealFs), dir)
        .map(Arc::new)
        .map_err(|e| e.to_string())
}

fn check_stats(expected: &serde_json::Value, meta: &BlockMeta) -> Result<(), String> {
    let Some(blocks) = expected["blocks"].as_array() else {
        return Ok(());
    };
    let name = meta.ulid.to_string();
    let block = blocks
        .iter()
        .find(|block| block["ulid"] == name.as_str())
        .ok_or_else(|| format!("block {name} is not expected"))?;
    let stats = serde_json::to_value(meta.stats).expect("numbers");
    let times = (block["minTime"].as_i64(), block["maxTime"].as_i64());
    if block["stats"] != stats || times != (Some(meta.min_time), Some(meta.max_time)) {
        return Err(format!("meta.json has {stats}, not {block}"));
    }
    Ok(())
}

/// The repair that upstream makes at start-up.
pub fn repair(from: &Path) -> Result<(), String> {
    let dir = tempfile::tempdir().expect("a folder");
    super::copy(from, dir.path());
    let blocks = block_folders(&RealFs, dir.path()).map_err(|e| e.to_string())?;
    let [ulid] = blocks[..] else {
        return Err(format!("blocks {blocks:?}"));
    };
    let path = dir.path().join(ulid.to_string());
    std::fs::create_dir(path.join("chunks")).expect("a folder");
    if Block::open(Arc::new(RealFs), &path).is_ok() {
        return Err("opened without repair".to_owned());
    }
    let repaired = repair_index_versions(&RealFs, dir.path()).map_err(|e| e.to_string())?;
    if repaired != [ulid] {
        return Err(format!("repaired {repaired:?}"));
    }
    let block = open(&path)?;
    if block.meta().version != 1 {
        return Err(format!("version {}", block.meta().version));
    }
    // The series have no chunks: ask the index, not for samples.
    let mut entry = tsdb_format::index::SeriesEntry::default();
    let mut got = Vec::new();
    let matchers = [Matcher::equal("b", "1")];
    for reference in block.postings(&matchers).map_err(|e| e.to_string())? {
        let series = block.series(reference, &mut entry);
        got.push(series.map_err(|e| e.to_string())?.labels.to_string());
    }
    let want = [r#"{a="1", b="1"}"#, r#"{a="2", b="1"}"#];
    if got != want {
        return Err(format!("b=\"1\" finds {got:?}"));
    }
    let again = repair_index_versions(&RealFs, dir.path()).map_err(|e| e.to_string())?;
    match again[..] {
        [] => Ok(()),
        _ => Err("repaired twice".to_owned()),
    }
}

/// Writes the samples of an expectation to a new block, and compares statistics and content.
pub fn write(databases: &Path, name: &str) -> Result<(), String> {
    let (want, json) = expected::load(&databases.join(format!("{name}.expected.json")));
    let dir = tempfile::tempdir().expect("a folder");
    let original = block_folders(&RealFs, &databases.join(name)).map_err(|e| e.to_string())?[0];
    let meta = open(&databases.join(name).join(original.to_string()))?.meta();
    let mut series = Vec::new();
    for series_json in json["series"].as_array().expect("series") {
        let labels: Labels = serde_json::from_value(series_json["labels"].clone()).expect("labels");
        let mut chunks: Vec<BlockChunk<'static>> = Vec::new();
        // As the head cuts them: 120 samples a chunk.
        for samples in series_json["samples"]
            .as_array()
            .expect("samples")
            .chunks(120)
        {
            let mut chunk = XorChunk::new();
            let time = |i: usize| samples[i][0].as_i64().expect("a time");
            for (i, sample) in samples.iter().enumerate() {
                chunk.append(time(i), expected::number(&sample[1]));
            }
            chunks.push(BlockChunk {
                encoding: tsdb_format::chunk::Encoding::Xor,
                min_ms: time(0),
                max_ms: time(samples.len() - 1),
                data: chunk.take().into(),
            });
        }
        series.push((labels, chunks));
    }
    series.sort_by(|a, b| a.0.cmp(&b.0));
    let symbols: BTreeSet<&str> = want
        .keys()
        .flat_map(|labels| labels.iter().flat_map(|(n, v)| [n, v]))
        .collect();
    let ulid = Ulid::new(1_700_000_000_000, 1);
    let new = BlockMeta {
        ulid,
        min_time: meta.min_time,
        max_time: meta.max_time,
        compaction: Compaction {
            level: 1,
            sources: vec![ulid],
            ..Compaction::default()
        },
        ..BlockMeta::default()
    };
    let series = series.clone().into_iter().map(Ok);
    let written = write_block(&RealFs, dir.path(), new, symbols, series)
        .map_err(|e| e.to_string())?
        .ok_or("nothing written")?;
    if (written.stats.num_samples, written.stats.num_series)
        != (meta.stats.num_samples, meta.stats.num_series)
    {
        return Err(format!("{:?}, not {:?}", written.stats, meta.stats));
    }
    let block = open(&dir.path().join(ulid.to_string()))?;
    let querier = BlockQuerier::new(block, i64::MIN, i64::MAX);
    let set = querier
        .select(true, &SelectHints::default(), &[])
        .map_err(|e| e.to_string())?;
    if set.series.len() != want.len() {
        return Err(format!("{} series", set.series.len()));
    }
    expected::compare(&expected::read_all(&querier)?, &want)
}
