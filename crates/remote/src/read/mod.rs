//! Remote read, both sides: answering queries for samples ([`Answerer`]) and asking other stores
//! ([`RemoteStore`]). The framing is that of prometheus/prometheus `storage/remote/chunked.go`:
//! `uvarint length | CRC-32C of the message, big-endian | message`.

mod ask;
mod serve;

pub use ask::{AskMetrics, LocalStart, RemoteStore, RemoteStoreConfig, ask_metrics};
pub use serve::{Answerer, Asked, ReadError, ResponseType};

use model::{Labels, Matcher};
use proto::prometheus::LabelMatcher;
use storage::ChunkEncoding;
use tsdb_format::chunk::Encoding;

/// The content type of an answer in one piece.
pub const SAMPLES_TYPE: &str = "application/x-protobuf";
/// The content type of an answer in frames.
pub const CHUNKS_TYPE: &str =
    "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse";

/// The matchers of a query.
///
/// # Errors
/// A kind that does not exist, a pattern that is none.
fn matchers_from(list: &[LabelMatcher]) -> Result<Vec<Matcher>, String> {
    let one = |m: &LabelMatcher| {
        let kind = proto::convert::match_kind(m.r#type).ok_or("invalid matcher type")?;
        Matcher::new(kind, &*m.name, &*m.value).map_err(|e| e.to_string())
    };
    list.iter().map(one).collect()
}

/// The format's name of an encoding.
fn format_encoding(encoding: ChunkEncoding) -> Encoding {
    match encoding {
        ChunkEncoding::Xor => Encoding::Xor,
        ChunkEncoding::Histogram => Encoding::Histogram,
        ChunkEncoding::FloatHistogram => Encoding::FloatHistogram,
        ChunkEncoding::Xor2 => Encoding::Xor2,
    }
}

/// Labels with more of them, whose names do not occur yet.
fn with_labels(labels: &Labels, more: &Labels) -> Labels {
    if more.is_empty() {
        return labels.clone();
    }
    let mut builder = labels.builder();
    for (name, value) in more {
        if !labels.has(name) {
            builder.set(name, value);
        }
    }
    builder.build()
}

/// Appends a frame around a message.
fn put_frame(out: &mut Vec<u8>, message: &[u8]) {
    prost::encoding::encode_varint(message.len() as u64, out);
    out.extend_from_slice(&crc32c::crc32c(message).to_be_bytes());
    out.extend_from_slice(message);
}

/// The first frame of `bytes` and the length of all of it; `None` while it is not complete.
///
/// # Errors
/// A frame of more than `limit` bytes, a length that is none, a checksum that is another.
fn take_frame(bytes: &[u8], limit: u64) -> Result<Option<(&[u8], usize)>, String> {
    let mut length = 0u64;
    let mut at = 0;
    loop {
        let Some(byte) = bytes.get(at) else {
            return Ok(None);
        };
        if at == 9 && *byte > 1 {
            return Err("a frame's length is no number".to_owned());
        }
        length |= u64::from(byte & 0x7f) << (7 * at);
        at += 1;
        if *byte < 0x80 {
            break;
        }
        if at > 9 {
            return Err("a frame's length is no number".to_owned());
        }
    }
    if length > limit {
        return Err(format!(
            "chunkedReader: message size exceeded the limit {limit} bytes; got: {length} bytes"
        ));
    }
    let (start, end) = (at + 4, at + 4 + length as usize);
    let (Some(sum), Some(message)) = (bytes.get(at..start), bytes.get(start..end)) else {
        return Ok(None);
    };
    if sum != crc32c::crc32c(message).to_be_bytes() {
        return Err("chunkedReader: corrupted frame; checksum mismatch".to_owned());
    }
    Ok(Some((message, end)))
}

#[cfg(test)]
mod tests;
