//! `tsdb list`: the blocks of a data folder.

use std::sync::Arc;

use golang::time::{Time, format_duration};
use service::flags::Call;
use tsdb::block::Block;

use super::open_blocks;
use crate::output::columns;

/// `tsdb list`.
///
/// # Errors
/// A folder that cannot be read.
pub fn run(call: &Call) -> Result<(), String> {
    let db = open_blocks(call.word("db path"))?;
    print!(
        "{}",
        table(db.blocks(), true, call.flags.bool("human-readable"))
    );
    Ok(())
}

/// Blocks as a table.
pub fn table(blocks: &[Arc<Block>], header: bool, human: bool) -> String {
    let mut rows: Vec<Vec<String>> = Vec::new();
    if header {
        let names = [
            "BLOCK ULID",
            "MIN TIME",
            "MAX TIME",
            "DURATION",
            "NUM SAMPLES",
            "NUM CHUNKS",
            "NUM SERIES",
            "SIZE",
        ];
        rows.push(names.map(str::to_owned).to_vec());
    }
    for block in blocks {
        let meta = block.meta();
        let time = |t_ms: i64| match human {
            true => {
                Time::from_unix(t_ms.div_euclid(1000), 0).format("2006-01-02 15:04:05 -0700 MST")
            }
            false => t_ms.to_string(),
        };
        let span_ms = meta.max_time.saturating_sub(meta.min_time);
        rows.push(vec![
            meta.ulid.to_string(),
            time(meta.min_time),
            time(meta.max_time),
            format_duration(span_ms.saturating_mul(1_000_000)),
            meta.stats.num_samples.to_string(),
            meta.stats.num_chunks.to_string(),
            meta.stats.num_series.to_string(),
            match human {
                true => size(block.size_bytes()),
                false => block.size_bytes().to_string(),
            },
        ]);
    }
    columns(&rows, 13, 2)
}

/// Bytes as Go's `units.Base2Bytes` prints them: `1MiB20KiB3B`.
fn size(bytes: u64) -> String {
    if bytes == 0 {
        return "0B".to_owned();
    }
    let mut out = String::new();
    let mut rest = bytes;
    for (unit, shift) in [
        ("EiB", 60),
        ("PiB", 50),
        ("TiB", 40),
        ("GiB", 30),
        ("MiB", 20),
        ("KiB", 10),
        ("B", 0),
    ] {
        let count = rest >> shift;
        if count > 0 {
            out.push_str(&format!("{count}{unit}"));
            rest -= count << shift;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn sizes() {
        assert_eq!(super::size(884), "884B");
        assert_eq!(super::size((3 << 20) + 1029), "3MiB1KiB5B");
    }
}
