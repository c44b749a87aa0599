//! Byte-wise reading and writing: big-endian integers, Go's varints, checksums.

use crate::error::{Cause, FormatError, Result};

/// Reads fields off a run of bytes and remembers where it is.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    what: &'static str,
    data: &'a [u8],
    pos: usize,
    base: u64,
}

impl<'a> Reader<'a> {
    /// A reader of `data`; `what` names it in errors.
    pub fn new(what: &'static str, data: &'a [u8]) -> Reader<'a> {
        Reader::at(what, data, 0)
    }

    /// A reader of `data` that lies `base` bytes into its file.
    pub fn at(what: &'static str, data: &'a [u8], base: u64) -> Reader<'a> {
        Reader {
            what,
            data,
            pos: 0,
            base,
        }
    }

    /// The place in the file of the next byte.
    #[inline]
    pub fn offset(&self) -> u64 {
        self.base + self.pos as u64
    }

    /// How many bytes are consumed.
    #[inline]
    pub fn position(&self) -> usize {
        self.pos
    }

    /// How many bytes are left.
    #[inline]
    pub fn remaining(&self) -> usize {
        self.data.len() - self.pos
    }

    /// Whether all bytes are consumed.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.pos == self.data.len()
    }

    /// The bytes that are left.
    #[inline]
    pub fn rest(&self) -> &'a [u8] {
        &self.data[self.pos..]
    }

    /// An error at the next byte.
    pub fn error(&self, cause: Cause) -> FormatError {
        FormatError::new(self.what, self.offset(), cause)
    }

    /// An error at the next byte with a free text.
    pub fn invalid(&self, text: impl Into<String>) -> FormatError {
        self.error(Cause::Invalid(text.into()))
    }

    /// The next `n` bytes.
    #[inline]
    pub fn take(&mut self, n: usize) -> Result<&'a [u8]> {
        match self.data[self.pos..].get(..n) {
            Some(bytes) => {
                self.pos += n;
                Ok(bytes)
            }
            None => Err(self.error(Cause::UnexpectedEnd {
                needed: n as u64,
                left: self.remaining() as u64,
            })),
        }
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let bytes = self.take(N)?;
        Ok(bytes.try_into().expect("take returned N bytes"))
    }

    /// One byte.
    #[inline]
    pub fn u8(&mut self) -> Result<u8> {
        Ok(self.array::<1>()?[0])
    }

    /// A big-endian 16-bit integer.
    pub fn be16(&mut self) -> Result<u16> {
        Ok(u16::from_be_bytes(self.array()?))
    }

    /// A big-endian 32-bit integer.
    #[inline]
    pub fn be32(&mut self) -> Result<u32> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    /// A big-endian 64-bit integer.
    #[inline]
    pub fn be64(&mut self) -> Result<u64> {
        Ok(u64::from_be_bytes(self.array()?))
    }

    /// A big-endian 64-bit float.
    #[inline]
    pub fn be_f64(&mut self) -> Result<f64> {
        Ok(f64::from_bits(self.be64()?))
    }

    /// An unsigned LEB128 integer of at most 64 bits.
    #[inline]
    pub fn uvarint(&mut self) -> Result<u64> {
        // Up to three bytes are by far the most frequent.
        match self.data.get(self.pos..) {
            Some(&[byte, ..]) if byte < 0x80 => {
                self.pos += 1;
                Ok(u64::from(byte))
            }
            Some(&[low, high, ..]) if high < 0x80 => {
                self.pos += 2;
                Ok(u64::from(low & 0x7f) | u64::from(high) << 7)
            }
            // Half a minute to a quarter of an hour in milliseconds.
            Some(&[low, middle, high, ..]) if high < 0x80 => {
                self.pos += 3;
                let low = u64::from(low & 0x7f) | u64::from(middle & 0x7f) << 7;
                Ok(low | u64::from(high) << 14)
            }
            _ => self.long_uvarint(),
        }
    }

    fn long_uvarint(&mut self) -> Result<u64> {
        let mut value = 0u64;
        for (i, &byte) in self.rest().iter().take(10).enumerate() {
            if i == 9 && byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << (7 * i);
            if byte < 0x80 {
                self.pos += i + 1;
                return Ok(value);
            }
        }
        Err(if self.remaining() < 10 {
            let left = self.remaining() as u64;
            self.error(Cause::UnexpectedEnd {
                needed: left + 1,
                left,
            })
        } else {
            self.error(Cause::Varint)
        })
    }

    /// A zigzag LEB128 integer.
    #[inline]
    pub fn varint(&mut self) -> Result<i64> {
        self.uvarint().map(unzigzag)
    }

    /// A count of things that take at least `least_bytes` bytes each: refused where the bytes that
    /// are left cannot hold them, so that a hostile count allocates nothing.
    pub fn count(&mut self, least_bytes: usize) -> Result<usize> {
        let start = self.clone();
        let count = self.uvarint()?;
        let most = self.remaining() / least_bytes.max(1);
        if count > most as u64 {
            return Err(start.error(Cause::UnexpectedEnd {
                needed: count.saturating_mul(least_bytes as u64),
                left: self.remaining() as u64,
            }));
        }
        Ok(count as usize)
    }

    /// Bytes behind their LEB128 length.
    #[inline]
    pub fn uvarint_bytes(&mut self) -> Result<&'a [u8]> {
        let len = self.uvarint()?;
        match usize::try_from(len) {
            Ok(len) => self.take(len),
            Err(_) => Err(self.error(Cause::UnexpectedEnd {
                needed: len,
                left: self.remaining() as u64,
            })),
        }
    }

    /// Text behind its LEB128 length.
    #[inline]
    pub fn uvarint_str(&mut self) -> Result<&'a str> {
        let offset = self.offset();
        std::str::from_utf8(self.uvarint_bytes()?)
            .map_err(|_| FormatError::new(self.what, offset, Cause::Utf8))
    }

    /// A checksum that must be `actual`.
    pub fn expect_crc(&mut self, actual: u32) -> Result<()> {
        let start = self.clone();
        let expected = self.be32()?;
        if expected == actual {
            Ok(())
        } else {
            Err(start.error(Cause::Checksum { expected, actual }))
        }
    }

    /// Whether everything is consumed, else an error in upstream's words.
    pub fn finish(&self) -> Result<()> {
        if self.is_empty() {
            Ok(())
        } else {
            Err(self.invalid(format!(
                "unexpected {} bytes left in entry",
                self.remaining()
            )))
        }
    }
}

/// The signed number that a zigzag number stands for.
#[inline]
pub fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// CRC-32 with the Castagnoli polynomial, as every file of the database uses it.
pub fn crc32(data: &[u8]) -> u32 {
    crc32c::crc32c(data)
}

/// [`crc32`] of two runs of bytes in a row.
pub fn crc32_append(crc: u32, data: &[u8]) -> u32 {
    crc32c::crc32c_append(crc, data)
}

/// Appends a big-endian 32-bit integer.
pub fn put_be32(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_be_bytes());
}

/// Appends a big-endian 64-bit integer.
pub fn put_be64(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(&value.to_be_bytes());
}

/// Appends a big-endian float.
pub fn put_f64(out: &mut Vec<u8>, value: f64) {
    put_be64(out, value.to_bits());
}

/// Appends an unsigned LEB128 integer.
#[inline]
pub fn put_uvarint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a zigzag LEB128 integer.
#[inline]
pub fn put_varint(out: &mut Vec<u8>, value: i64) {
    put_uvarint(out, (value << 1) as u64 ^ (value >> 63) as u64);
}

/// Appends text behind its LEB128 length.
pub fn put_str(out: &mut Vec<u8>, text: &str) {
    put_uvarint(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_round_trip() {
        for value in [0, 1, -1, 63, 64, -64, -65, 300, i64::MAX, i64::MIN] {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            put_uvarint(&mut out, value as u64);
            let mut reader = Reader::new("test", &out);
            assert_eq!(reader.varint(), Ok(value));
            assert_eq!(reader.uvarint(), Ok(value as u64));
            assert!(reader.is_empty());
        }
    }

    #[test]
    fn broken_varints_are_refused_with_their_place() {
        let mut reader = Reader::at("test", &[0x80, 0x80], 7);
        let error = reader.uvarint().unwrap_err();
        assert_eq!(
            error.to_string(),
            "test at offset 7: unexpected end: 3 bytes needed, 2 left"
        );
        assert_eq!(
            Reader::new("test", &[0xff; 11])
                .uvarint()
                .unwrap_err()
                .cause,
            Cause::Varint
        );
    }

    #[test]
    fn counts_are_bounded_by_what_is_left() {
        let mut out = Vec::new();
        put_uvarint(&mut out, 1 << 40);
        assert!(Reader::new("test", &out).count(2).is_err());
    }
}
