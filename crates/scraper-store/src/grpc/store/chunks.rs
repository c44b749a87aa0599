//! Chunks as Thanos knows them: three encodings, of which XOR2 is none.

use proto::thanos::chunk::Encoding;
use proto::thanos::{AggrChunk, Chunk};
use storage::{ChunkEncoding, EncodedChunk, StorageError};
use tsdb_format::chunk::xor::XorChunk;

/// A stored chunk on the wire; one that Thanos cannot read is encoded anew.
///
/// # Errors
/// Bytes that do not decode, where that is necessary.
pub(super) fn to_wire(chunk: EncodedChunk) -> Result<AggrChunk, StorageError> {
    let (encoding, data) = match chunk.encoding {
        ChunkEncoding::Xor => (Encoding::Xor, chunk.data),
        ChunkEncoding::Histogram => (Encoding::Histogram, chunk.data),
        ChunkEncoding::FloatHistogram => (Encoding::FloatHistogram, chunk.data),
        ChunkEncoding::Xor2 => (Encoding::Xor, from_xor2(&chunk.data)?),
    };
    Ok(AggrChunk {
        min_time: chunk.min_ms,
        max_time: chunk.max_ms,
        raw: Some(Chunk {
            r#type: encoding as i32,
            data,
            hash: 0,
        }),
        ..AggrChunk::default()
    })
}

fn from_xor2(data: &[u8]) -> Result<Vec<u8>, StorageError> {
    let (mut times, mut values, mut starts) = (Vec::new(), Vec::new(), Vec::new());
    let encoding = tsdb_format::chunk::Encoding::Xor2;
    let (all, columns) = ((i64::MIN, i64::MAX), (&mut times, &mut values, &mut starts));
    tsdb_format::chunk::decode_floats(
        encoding, data, all.0, all.1, columns.0, columns.1, columns.2,
    )
    .map_err(|e| StorageError::Corrupt(e.to_string()))?;
    let mut chunk = XorChunk::new();
    for (t_ms, value) in times.into_iter().zip(values) {
        chunk.append(t_ms, value);
    }
    Ok(chunk.take())
}

#[cfg(test)]
mod tests {
    use tsdb_format::chunk::xor2::Xor2Chunk;

    use super::*;

    #[test]
    fn xor2_is_encoded_anew() {
        let (mut newer, mut older) = (Xor2Chunk::new(), XorChunk::new());
        for i in 0..100_i64 {
            newer.append(0, 1_000 * i, i as f64 / 3.0);
            older.append(1_000 * i, i as f64 / 3.0);
        }
        let wire = to_wire(EncodedChunk {
            encoding: ChunkEncoding::Xor2,
            min_ms: 0,
            max_ms: 99_000,
            data: newer.bytes().to_vec(),
        });
        let raw = wire.unwrap().raw.unwrap();
        assert_eq!(raw.r#type, Encoding::Xor as i32);
        assert_eq!(raw.data, older.bytes());
    }
}
