//! XOR2 chunks: floats with optional start timestamps (prometheus/prometheus
//! `tsdb/chunkenc/xor2.go`).
//!
//! Behind the count stands the header of the start timestamps. From the third sample on one prefix
//! tells of time and value together:
//!
//! ```text
//! 0                        no change in the delta, same value
//! 10     value             no change in the delta, another value: 0 same window | 1 new window
//! 110    13 bits value     the delta's change; value: 0 same | 10 same window | 110 new | 111 stale
//! 1110   20 bits value
//! 11110  64 bits value
//! 11111                    no change in the delta, stale marker
//! ```
//!
//! A stale marker leaves alone the value that the next difference counts from.

use super::bits::{BitReader, BitVec};
use super::start::Starts;
use crate::error::{Cause, FormatError, Result};

const WHAT: &str = "XOR2 chunk";
const HEADER: usize = 3;
const NO_WINDOW: u8 = 0xff;

/// An XOR2 chunk that is being written.
#[derive(Clone, Debug)]
pub struct Xor2Chunk {
    bits: BitVec,
    starts: Starts,
    t_ms: i64,
    delta: u64,
    value_bits: u64,
    count: u16,
    leading: u8,
    trailing: u8,
}

impl Default for Xor2Chunk {
    fn default() -> Xor2Chunk {
        Xor2Chunk::new()
    }
}

impl Xor2Chunk {
    /// A chunk without samples.
    pub fn new() -> Xor2Chunk {
        Xor2Chunk {
            bits: BitVec::new(HEADER),
            starts: Starts::default(),
            t_ms: 0,
            delta: 0,
            value_bits: 0,
            count: 0,
            leading: NO_WINDOW,
            trailing: 0,
        }
    }

    /// Continues an encoded chunk.
    ///
    /// # Errors
    /// Bytes that are no XOR2 chunk.
    pub fn resume(data: &[u8]) -> Result<Xor2Chunk> {
        let mut iter = Xor2Iter::new(data)?;
        while iter.next_sample()?.is_some() {}
        let window = (iter.leading, iter.trailing) != (0, 0);
        Ok(Xor2Chunk {
            bits: BitVec::resume(data, iter.bits.position() as u32),
            starts: iter.starts,
            t_ms: iter.t_ms,
            delta: iter.delta,
            value_bits: iter.value_bits,
            count: iter.total,
            leading: if window { iter.leading } else { NO_WINDOW },
            trailing: iter.trailing,
        })
    }

    /// How many samples the chunk holds.
    pub fn samples(&self) -> u16 {
        self.count
    }

    /// The encoded chunk.
    pub fn bytes(&self) -> &[u8] {
        self.bits.bytes()
    }

    /// Appends a sample; a start of 0 is none.
    ///
    /// # Panics
    /// A chunk holds at most 65,535 samples.
    pub fn append(&mut self, start_ms: i64, t_ms: i64, value: f64) {
        let value_bits = value.to_bits();
        let stale = model::is_stale(value);
        let delta = t_ms.wrapping_sub(self.t_ms) as u64;
        match self.count {
            0 => {
                self.bits.put_varint(t_ms);
                self.bits.put(value_bits, 64);
            }
            1 => {
                self.bits.put_uvarint(delta);
                self.put_value(stale, value_bits);
                self.delta = delta;
            }
            _ => {
                let dod = delta.wrapping_sub(self.delta) as i64;
                self.delta = delta;
                self.put_joint(dod, stale, value_bits);
            }
        }
        self.starts
            .put(&mut self.bits, self.count, t_ms, self.t_ms, start_ms);
        self.t_ms = t_ms;
        if !stale {
            self.value_bits = value_bits;
        }
        self.count = self
            .count
            .checked_add(1)
            .expect("a chunk holds at most 65,535 samples");
        let [a, b] = self.count.to_be_bytes();
        let header = [a, b, self.starts.header()];
        self.bits.header()[..HEADER].copy_from_slice(&header);
    }

    fn put_joint(&mut self, dod: i64, stale: bool, value_bits: u64) {
        if dod == 0 {
            let xor = value_bits ^ self.value_bits;
            if stale {
                self.bits.put(0b11111, 5);
            } else if xor == 0 {
                self.bits.put(0, 1);
            } else {
                self.bits.put(0b10, 2);
                if !self.put_in_window(0, 1, xor) {
                    self.put_new_window(1, 1, xor);
                }
            }
            return;
        }
        let fits = |n: u32| -(1i64 << (n - 1)) <= dod && dod < 1i64 << (n - 1);
        if fits(13) {
            self.bits.put(0b110 << 13 | dod as u64 & 0x1fff, 16);
        } else if fits(20) {
            self.bits.put(0b1110 << 20 | dod as u64 & 0xf_ffff, 24);
        } else {
            self.bits.put(0b11110, 5);
            self.bits.put(dod as u64, 64);
        }
        self.put_value(stale, value_bits);
    }

    fn put_value(&mut self, stale: bool, value_bits: u64) {
        let xor = value_bits ^ self.value_bits;
        if stale {
            self.bits.put(0b111, 3);
        } else if xor == 0 {
            self.bits.put(0, 1);
        } else if !self.put_in_window(0b10, 2, xor) {
            self.put_new_window(0b110, 3, xor);
        }
    }

    fn put_in_window(&mut self, prefix: u64, n: u32, xor: u64) -> bool {
        let (leading, trailing) = (xor.leading_zeros().min(31), xor.trailing_zeros());
        if self.leading == NO_WINDOW
            || leading < u32::from(self.leading)
            || trailing < u32::from(self.trailing)
        {
            return false;
        }
        self.bits.put(prefix, n);
        let width = 64 - u32::from(self.leading) - u32::from(self.trailing);
        self.bits.put(xor >> self.trailing, width);
        true
    }

    fn put_new_window(&mut self, prefix: u64, n: u32, xor: u64) {
        let (leading, trailing) = (xor.leading_zeros().min(31), xor.trailing_zeros());
        (self.leading, self.trailing) = (leading as u8, trailing as u8);
        let width = 64 - leading - trailing;
        self.bits.put(prefix, n);
        self.bits
            .put(u64::from(leading) << 6 | u64::from(width & 63), 11);
        self.bits.put(xor >> trailing, width);
    }
}

/// The samples of an XOR2 chunk one by one.
#[derive(Clone, Debug)]
pub struct Xor2Iter<'a> {
    bits: BitReader<'a>,
    starts: Starts,
    total: u16,
    read: u16,
    t_ms: i64,
    delta: u64,
    value_bits: u64,
    leading: u8,
    trailing: u8,
}

impl<'a> Xor2Iter<'a> {
    /// An iterator over an encoded chunk.
    ///
    /// # Errors
    /// Fewer bytes than a header.
    pub fn new(data: &'a [u8]) -> Result<Xor2Iter<'a>> {
        let total = super::sample_count(WHAT, data)?;
        let header = *data.get(2).ok_or_else(|| {
            FormatError::new(WHAT, 2, Cause::UnexpectedEnd { needed: 1, left: 0 })
        })?;
        Ok(Xor2Iter {
            bits: BitReader::new(data, HEADER),
            starts: Starts::from_header(header),
            total,
            read: 0,
            t_ms: 0,
            delta: 0,
            value_bits: 0,
            leading: 0,
            trailing: 0,
        })
    }

    /// Whether the chunk has start timestamps.
    pub fn has_starts(&self) -> bool {
        self.starts.header() != 0
    }

    /// The next sample as timestamp, value and start (0 for none), or `None` behind the last.
    ///
    /// # Errors
    /// Bits that encode no sample, or too few of them.
    pub fn next_sample(&mut self) -> Result<Option<(i64, f64, i64)>> {
        if self.read == self.total {
            return Ok(None);
        }
        let previous_t_ms = self.t_ms;
        let value = self.read_sample().ok_or_else(|| self.bits_error())?;
        self.starts
            .read(&mut self.bits, self.read, self.t_ms, previous_t_ms)
            .ok_or_else(|| self.bits_error())?;
        if self.bits.overrun() {
            return Err(super::overrun(WHAT, &self.bits, self.read, self.total));
        }
        self.read += 1;
        Ok(Some((self.t_ms, value, self.starts.start_ms)))
    }

    #[cold]
    fn bits_error(&self) -> FormatError {
        FormatError::invalid(
            WHAT,
            self.bits.byte_offset(),
            format!("impossible bits in sample {}", self.read),
        )
    }

    fn read_sample(&mut self) -> Option<f64> {
        match self.read {
            0 => {
                self.t_ms = self.bits.varint()?;
                let value = f64::from_bits(self.bits.bits(64));
                if !model::is_stale(value) {
                    self.value_bits = value.to_bits();
                }
                Some(value)
            }
            1 => {
                self.delta = self.bits.uvarint()?;
                self.t_ms = self.t_ms.wrapping_add(self.delta as i64);
                self.read_value()
            }
            _ => self.read_joint(),
        }
    }

    fn read_joint(&mut self) -> Option<f64> {
        let ones = (self.bits.peek() >> 59 << 59).leading_ones();
        self.bits.skip((ones + 1).min(5));
        let dod = match ones {
            0 | 1 | 5 => 0,
            2 => extend(self.bits.bits(13), 13),
            3 => extend(self.bits.bits(20), 20),
            _ => self.bits.bits(64) as i64,
        };
        self.delta = self.delta.wrapping_add(dod as u64);
        self.t_ms = self.t_ms.wrapping_add(self.delta as i64);
        match ones {
            0 => Some(f64::from_bits(self.value_bits)),
            1 => {
                if self.bits.bit() {
                    self.read_window()?;
                }
                Some(self.read_difference())
            }
            5 => Some(model::STALE_NAN),
            _ => self.read_value(),
        }
    }

    fn read_value(&mut self) -> Option<f64> {
        if !self.bits.bit() {
            return Some(f64::from_bits(self.value_bits));
        }
        if self.bits.bit() {
            if self.bits.bit() {
                return Some(model::STALE_NAN);
            }
            self.read_window()?;
        }
        Some(self.read_difference())
    }

    fn read_window(&mut self) -> Option<()> {
        self.leading = self.bits.bits(5) as u8;
        let width = match self.bits.bits(6) as u8 {
            0 => 64,
            width => width,
        };
        self.trailing = 64u8.checked_sub(self.leading)?.checked_sub(width)?;
        Some(())
    }

    fn read_difference(&mut self) -> f64 {
        let width = 64 - u32::from(self.leading) - u32::from(self.trailing);
        self.value_bits ^= self.bits.bits(width) << self.trailing;
        f64::from_bits(self.value_bits)
    }
}

/// Two's complement of `n` bits.
fn extend(value: u64, n: u32) -> i64 {
    (value << (64 - n)) as i64 >> (64 - n)
}

/// Appends the samples of an encoded chunk with `min_ms <= t <= max_ms` to the columns. `starts`
/// is left empty as long as no chunk has any, and as long as `times` from then on.
///
/// # Errors
/// Bytes that are no XOR2 chunk; what was decoded before the fault has been appended.
pub fn decode(
    data: &[u8],
    min_ms: i64,
    max_ms: i64,
    times: &mut Vec<i64>,
    values: &mut Vec<f64>,
    starts: &mut Vec<i64>,
) -> Result<()> {
    let mut iter = Xor2Iter::new(data)?;
    let with_starts = iter.has_starts() || !starts.is_empty();
    if with_starts {
        starts.resize(times.len(), 0);
    }
    while let Some((t, value, start)) = iter.next_sample()? {
        if t > max_ms {
            break;
        }
        if t >= min_ms {
            times.push(t);
            values.push(value);
            if with_starts {
                starts.push(start);
            }
        }
    }
    Ok(())
}
