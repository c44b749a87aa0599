//! When a record was written: from the bytes of a log, as Fetch answers them.
//!
//! ```text
//! batch   base offset 8 | length 4 | leader epoch 4 | magic 1 = 2 | crc 4 | attributes 2
//!         | last offset delta 4 | first time 8 | newest time 8 | producer 8+2+4 | count 4 | records
//! record  length v | attributes 1 | time delta v | offset delta v | ...      (v: zigzag varint)
//! before  offset 8 | length 4 | crc 4 | magic 1 = 0, 1 | attributes 1 | time 8 (magic 1) | ...
//! ```
//!
//! Records of compressed batches are not unpacked: what a batch holds was written within the
//! producer's linger time, so in proportion between its first and newest time is near enough.

use bytes::Buf;

/// Where the fixed part of a batch ends, and of a message of the format before.
const BATCH_HEADER: usize = 61;
const MESSAGE_HEADER: usize = 26;

const COMPRESSION: i16 = 0b111;
/// Times are the broker's: all records of a batch have its newest time.
const APPEND_TIME: i16 = 0b1000;

/// The time of the first record at or after `offset` in milliseconds since 1970; `None` if the bytes
/// hold no such record or it has no time.
pub fn written_ms(mut log: &[u8], offset: i64) -> Option<i64> {
    loop {
        // Offset and length; the length counts what comes after it. The last one may be cut off.
        let mut header = log.get(..17)?;
        let base = header.get_i64();
        let length = usize::try_from(header.get_i32()).ok()?;
        let magic = header[4];
        let end = length.checked_add(12)?.min(log.len());
        let (entry, rest) = log.split_at(end);
        let found = match magic {
            2 => batch(entry, base, offset),
            // Of packed messages this is the last one's offset and time.
            _ if base < offset => None,
            1 => message(entry),
            _ => return None,
        };
        match found {
            Some(time) => return (time >= 0).then_some(time),
            None => log = rest,
        }
    }
}

fn message(entry: &[u8]) -> Option<i64> {
    let mut at = entry.get(18..MESSAGE_HEADER)?;
    Some(at.get_i64())
}

/// The time inside of one batch; `None` if it ends before `offset`.
fn batch(entry: &[u8], base: i64, offset: i64) -> Option<i64> {
    let mut fixed = entry.get(21..BATCH_HEADER)?;
    let attributes = fixed.get_i16();
    let last = base.checked_add(i64::from(fixed.get_i32()))?;
    let first_ms = fixed.get_i64();
    let newest_ms = fixed.get_i64();
    if last < offset {
        return None;
    }
    if attributes & APPEND_TIME != 0 {
        return Some(newest_ms);
    }
    if attributes & COMPRESSION != 0 {
        let (into, span) = (offset.saturating_sub(base), last.saturating_sub(base));
        let share = (into.max(0) as f64 / span.max(1) as f64).clamp(0.0, 1.0);
        let passed = newest_ms.saturating_sub(first_ms).max(0) as f64 * share;
        return Some(first_ms.saturating_add(passed as i64));
    }
    let mut records = &entry[BATCH_HEADER..];
    let exact = std::iter::from_fn(|| record(&mut records))
        .find(|(_, offset_delta)| base.saturating_add(*offset_delta) >= offset);
    // A batch that was cut off begins with records before the one wanted.
    Some(exact.map_or(first_ms, |(time_delta, _)| {
        first_ms.saturating_add(time_delta)
    }))
}

/// Time and offset of a record relative to its batch; moves on to the next one.
fn record(records: &mut &[u8]) -> Option<(i64, i64)> {
    let length = usize::try_from(varint(records)?).ok()?;
    let (mut body, rest) = match records.split_at_checked(length) {
        Some(split) => split,
        // The last of a batch that was cut off: its head may be there.
        None => (*records, &[][..]),
    };
    *records = rest;
    body = body.get(1..)?;
    Some((varint(&mut body)?, varint(&mut body)?))
}

fn varint(bytes: &mut &[u8]) -> Option<i64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if *byte < 0x80 {
            return Some((value >> 1) as i64 ^ -((value & 1) as i64));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::BufMut;
    use proptest::prelude::*;

    fn zigzag(out: &mut Vec<u8>, value: i64) {
        let mut value = ((value << 1) ^ (value >> 63)) as u64;
        while value >= 0x80 {
            out.push(value as u8 | 0x80);
            value >>= 7;
        }
        out.push(value as u8);
    }

    /// A batch of records with these (offset, time) pairs.
    fn batch(attributes: i16, records: &[(i64, i64)]) -> Vec<u8> {
        let (base, first_ms) = records[0];
        let newest = records.iter().map(|(_, time)| *time).max().unwrap();
        let mut body = Vec::new();
        body.put_i32(0);
        body.put_u8(2);
        body.put_u32(0);
        body.put_i16(attributes);
        body.put_i32((records.last().unwrap().0 - base) as i32);
        body.put_i64(first_ms);
        body.put_i64(newest);
        body.put_bytes(0, 14);
        body.put_i32(records.len() as i32);
        for (offset, time) in records {
            let mut record = vec![0];
            zigzag(&mut record, time - first_ms);
            zigzag(&mut record, offset - base);
            record.put_bytes(7, 5);
            zigzag(&mut body, record.len() as i64);
            body.extend(record);
        }
        let mut out = Vec::new();
        out.put_i64(base);
        out.put_i32(body.len() as i32);
        out.extend(body);
        out
    }

    fn old(magic: u8, offset: i64, time: i64) -> Vec<u8> {
        let mut out = Vec::new();
        out.put_i64(offset);
        out.put_i32(22);
        out.put_u32(0);
        out.put_u8(magic);
        out.put_u8(0);
        out.put_i64(time);
        out.put_bytes(0xff, 8);
        out
    }

    #[test]
    fn each_format() {
        let plain = batch(0, &[(10, 1000), (11, 1500), (14, 1200)]);
        let two = [plain.clone(), batch(0, &[(20, 9000)])].concat();
        let packed = batch(2, &[(10, 1000), (20, 2000)]);
        let appended = batch(APPEND_TIME, &[(10, 1000), (11, 5000)]);
        let messages = [old(1, 5, 700), old(1, 6, 800)].concat();
        for (log, offset, expected) in [
            (&plain, 10, Some(1000)),
            (&plain, 11, Some(1500)),
            // 12 and 13 were compacted away.
            (&plain, 12, Some(1200)),
            (&plain, 15, None),
            // Fetch begins with the batch that holds the offset, but never after it.
            (&plain, 3, Some(1000)),
            (&two, 15, Some(9000)),
            (&packed, 10, Some(1000)),
            (&packed, 15, Some(1500)),
            (&packed, 20, Some(2000)),
            (&packed, 21, None),
            (&appended, 10, Some(5000)),
            (&messages, 5, Some(700)),
            (&messages, 6, Some(800)),
            (&messages, 7, None),
            (&old(0, 5, 700), 5, None),
            (&batch(0, &[(10, -1)]), 10, None),
            (&Vec::new(), 0, None),
        ] {
            assert_eq!(written_ms(log, offset), expected, "{offset} in {log:?}");
        }
    }

    #[test]
    fn cut_off_anywhere() {
        let log = batch(0, &[(10, 1000), (11, 1500), (14, 1200)]);
        for end in 0..log.len() {
            let found = written_ms(&log[..end], 14);
            assert!(
                [None, Some(1000), Some(1200)].contains(&found),
                "{end}: {found:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn anything(log in proptest::collection::vec(any::<u8>(), 0..300), offset in any::<i64>()) {
            let _ = written_ms(&log, offset);
        }

        #[test]
        fn damaged(at in 0_usize..200, value in any::<u8>(), offset in 0_i64..30) {
            let mut log = [batch(0, &[(10, 1000), (11, 1500)]), batch(1, &[(12, 0), (20, 5)])].concat();
            let at = at % log.len();
            log[at] = value;
            let _ = written_ms(&log, offset);
        }
    }
}
