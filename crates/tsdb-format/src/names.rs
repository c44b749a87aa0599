//! Names of files and folders in a data directory: segments, checkpoints, snapshots.

/// The name of WAL segment `number`.
pub fn wal_segment(number: u32) -> String {
    format!("{number:08}")
}

/// The number in the name of a segment: digits only.
pub fn parse_number(name: &str) -> Option<u32> {
    (!name.is_empty() && name.bytes().all(|b| b.is_ascii_digit()))
        .then(|| name.parse().ok())
        .flatten()
}

/// The folder of the checkpoint that replaces all segments up to `segment`.
pub fn checkpoint(segment: u32) -> String {
    format!("checkpoint.{segment:08}")
}

/// The segment in the name of a checkpoint's folder; `None` for unfinished ones (`.tmp`).
pub fn parse_checkpoint(name: &str) -> Option<u32> {
    parse_number(name.strip_prefix("checkpoint.")?)
}

/// The folder of a snapshot of the head that has everything up to `offset` of WAL segment `segment`.
pub fn chunk_snapshot(segment: u32, offset: u64) -> String {
    format!("chunk_snapshot.{segment:06}.{offset:010}")
}

/// Segment and offset in the name of a snapshot's folder; `None` for unfinished ones.
pub fn parse_chunk_snapshot(name: &str) -> Option<(u32, u64)> {
    let (segment, offset) = name.strip_prefix("chunk_snapshot.")?.split_once('.')?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !digits(segment) || !digits(offset) {
        return None;
    }
    Some((segment.parse().ok()?, offset.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        assert_eq!(parse_number(&wal_segment(17)), Some(17));
        assert_eq!(checkpoint(3), "checkpoint.00000003");
        assert_eq!(parse_checkpoint("checkpoint.00000003"), Some(3));
        assert_eq!(parse_checkpoint("checkpoint.00000003.tmp"), None);
        assert_eq!(chunk_snapshot(12, 34), "chunk_snapshot.000012.0000000034");
        assert_eq!(
            parse_chunk_snapshot("chunk_snapshot.000012.0000000034"),
            Some((12, 34))
        );
        for name in ["", "1a", "-1", "chunk_snapshot.1", "chunk_snapshot.1.2.tmp"] {
            assert_eq!(
                (parse_number(name), parse_chunk_snapshot(name)),
                (None, None)
            );
        }
    }
}
