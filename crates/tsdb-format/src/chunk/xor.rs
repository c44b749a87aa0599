//! XOR chunks: floats (prometheus/prometheus `tsdb/docs/format/chunks.md`, `tsdb/chunkenc/xor.go`).
//!
//! The appender's state is 32 bytes and the bits lie in memory of the caller's, so that a head can
//! keep both where it likes: [`XorState`]. [`XorChunk`] is both in one for those who do not mind.

use super::bits::{BitReader, SLACK, put_bits};
use crate::error::{Cause, FormatError, Result};

const WHAT: &str = "XOR chunk";
const NO_WINDOW: u8 = 0xff;
/// The header, a byte that was begun, and room for a sample.
const APART: usize = 3 + XorState::ROOM;

/// What an XOR appender knows of the samples before: 32 bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct XorState {
    t_ms: i64,
    delta: u64,
    value_bits: u64,
    /// Bits written, the header's included.
    bits: u32,
    count: u16,
    leading: u8,
    trailing: u8,
}

impl Default for XorState {
    fn default() -> XorState {
        XorState::new()
    }
}

impl XorState {
    /// How many bytes behind [`XorState::len`] must be there for [`XorState::append`].
    pub const ROOM: usize = 20 + SLACK;

    /// The state of a chunk without samples.
    pub const fn new() -> XorState {
        XorState {
            t_ms: 0,
            delta: 0,
            value_bits: 0,
            bits: 16,
            count: 0,
            leading: NO_WINDOW,
            trailing: 0,
        }
    }

    /// The state behind the last sample of an encoded chunk, for appending to it.
    ///
    /// # Errors
    /// Bytes that are no XOR chunk.
    pub fn resume(data: &[u8]) -> Result<XorState> {
        let mut iter = XorIter::new(data)?;
        while iter.next_sample()?.is_some() {}
        Ok(XorState {
            t_ms: iter.t_ms,
            delta: iter.delta,
            value_bits: iter.value_bits,
            bits: iter.bits.position() as u32,
            count: iter.total,
            // A window of all 64 bits is also what the iterator starts with: open a new one.
            leading: if (iter.leading, iter.trailing) == (0, 0) {
                NO_WINDOW
            } else {
                iter.leading
            },
            trailing: iter.trailing,
        })
    }

    /// How many samples the chunk holds.
    #[inline]
    pub fn samples(&self) -> u16 {
        self.count
    }

    /// How many bytes the chunk takes.
    #[inline]
    #[allow(clippy::len_without_is_empty)] // Even a chunk without samples has its header.
    pub fn len(&self) -> usize {
        self.bits.div_ceil(8) as usize
    }

    /// The last timestamp; 0 without samples.
    #[inline]
    pub fn last_t_ms(&self) -> i64 {
        self.t_ms
    }

    /// The last value; 0 without samples.
    #[inline]
    pub fn last_value(&self) -> f64 {
        f64::from_bits(self.value_bits)
    }

    /// Appends a sample to the chunk in `buf`, whose first [`XorState::len`] bytes are those of the
    /// appends before. Any timestamp and value can be stored; order is the caller's business.
    ///
    /// # Panics
    /// `buf` must be at least [`XorState::ROOM`] longer than [`XorState::len`], and a chunk holds
    /// at most 65,535 samples.
    #[inline]
    pub fn append(&mut self, buf: &mut [u8], t_ms: i64, value: f64) {
        let value_bits = value.to_bits();
        match self.count {
            0 => {
                let mut pos = put_varint(buf, self.bits, t_ms);
                pos = put_bits(buf, pos, value_bits, 64);
                self.bits = pos;
            }
            1 => {
                self.delta = t_ms.wrapping_sub(self.t_ms) as u64;
                self.bits = put_uvarint(buf, self.bits, self.delta);
                self.put_value(buf, value_bits);
            }
            _ => {
                let delta = t_ms.wrapping_sub(self.t_ms) as u64;
                let dod = delta.wrapping_sub(self.delta) as i64;
                self.delta = delta;
                self.put_dod(buf, dod);
                self.put_value(buf, value_bits);
            }
        }
        self.t_ms = t_ms;
        self.value_bits = value_bits;
        self.count = self
            .count
            .checked_add(1)
            .expect("a chunk holds at most 65,535 samples");
        buf[..2].copy_from_slice(&self.count.to_be_bytes());
    }

    /// Appends a sample to the chunk whose first [`XorState::len`] bytes are those of `chunk`, where
    /// there is no room behind them: what it wrote is for the caller to put into a larger buffer.
    ///
    /// # Panics
    /// As [`XorState::append`].
    #[inline]
    pub fn append_apart(&mut self, chunk: &[u8], t_ms: i64, value: f64) -> XorTail {
        let at = self.bits / 8;
        let mut bytes = [0; APART];
        // A chunk of the header alone, and of the bits of the last byte.
        let mut apart = XorState {
            bits: 16 + self.bits % 8,
            ..*self
        };
        if apart.bits > 16 {
            bytes[2] = chunk[at as usize];
        }
        apart.append(&mut bytes, t_ms, value);
        let len = apart.len();
        *self = XorState {
            bits: at * 8 + apart.bits - 16,
            ..apart
        };
        XorTail {
            bytes,
            at: at as usize,
            len,
        }
    }

    #[inline(always)]
    fn put_dod(&mut self, buf: &mut [u8], dod: i64) {
        let fits = |n: u32| -((1i64 << (n - 1)) - 1) <= dod && dod <= 1i64 << (n - 1);
        let low = |n: u32| dod as u64 & ((1 << n) - 1);
        self.bits = if dod == 0 {
            put_bits(buf, self.bits, 0, 1)
        } else if fits(14) {
            put_bits(buf, self.bits, 0b10 << 14 | low(14), 16)
        } else if fits(17) {
            put_bits(buf, self.bits, 0b110 << 17 | low(17), 20)
        } else if fits(20) {
            put_bits(buf, self.bits, 0b1110 << 20 | low(20), 24)
        } else {
            let pos = put_bits(buf, self.bits, 0b1111, 4);
            put_bits(buf, pos, dod as u64, 64)
        };
    }

    #[inline(always)]
    fn put_value(&mut self, buf: &mut [u8], value_bits: u64) {
        let xor = value_bits ^ self.value_bits;
        if xor == 0 {
            self.bits = put_bits(buf, self.bits, 0, 1);
            return;
        }
        let leading = (xor.leading_zeros() as u8).min(31);
        let trailing = xor.trailing_zeros() as u8;
        if self.leading != NO_WINDOW && leading >= self.leading && trailing >= self.trailing {
            let pos = put_bits(buf, self.bits, 0b10, 2);
            let n = 64 - u32::from(self.leading) - u32::from(self.trailing);
            self.bits = put_bits(buf, pos, xor >> self.trailing, n);
            return;
        }
        self.leading = leading;
        self.trailing = trailing;
        let n = 64 - u32::from(leading) - u32::from(trailing);
        // Six bits hold 1 to 64 as 64 wraps to 0, which no difference has.
        let head = 0b11 << 11 | u64::from(leading) << 6 | u64::from(n & 63);
        let pos = put_bits(buf, self.bits, head, 13);
        self.bits = put_bits(buf, pos, xor >> trailing, n);
    }
}

/// What [`XorState::append_apart`] wrote: the header, and the bytes from `at` on.
pub struct XorTail {
    bytes: [u8; APART],
    at: usize,
    len: usize,
}

impl XorTail {
    /// Writes it to the chunk's buffer.
    ///
    /// # Panics
    /// The buffer must have the chunk's [`XorState::len`] bytes; what is behind them may be
    /// overwritten.
    #[inline]
    pub fn write(&self, buf: &mut [u8]) {
        buf[..2].copy_from_slice(&self.bytes[..2]);
        let n = self.len - 2;
        let place = &mut buf[self.at..];
        match place.first_chunk_mut::<8>() {
            // Nearly all, and quicker than a copy of any length.
            Some(place) if n <= 8 => place.copy_from_slice(&self.bytes[2..10]),
            _ => place[..n].copy_from_slice(&self.bytes[2..2 + n]),
        }
    }
}

fn put_varint(buf: &mut [u8], pos: u32, value: i64) -> u32 {
    put_uvarint(buf, pos, (value << 1) as u64 ^ (value >> 63) as u64)
}

fn put_uvarint(buf: &mut [u8], mut pos: u32, mut value: u64) -> u32 {
    while value >= 0x80 {
        pos = put_bits(buf, pos, value & 0x7f | 0x80, 8);
        value >>= 7;
    }
    put_bits(buf, pos, value, 8)
}

/// An XOR chunk that is being written, in memory of its own.
#[derive(Clone, Debug, Default)]
pub struct XorChunk {
    state: XorState,
    bytes: Vec<u8>,
}

impl XorChunk {
    /// A chunk without samples.
    pub fn new() -> XorChunk {
        XorChunk::default()
    }

    /// Continues an encoded chunk.
    ///
    /// # Errors
    /// Bytes that are no XOR chunk.
    pub fn resume(data: &[u8]) -> Result<XorChunk> {
        let state = XorState::resume(data)?;
        Ok(XorChunk {
            state,
            bytes: data[..state.len()].to_vec(),
        })
    }

    /// Appends a sample.
    pub fn append(&mut self, t_ms: i64, value: f64) {
        let need = self.state.len() + XorState::ROOM;
        if self.bytes.len() < need {
            let target = (self.bytes.len() + self.bytes.len() / 3).max(need + 32);
            self.bytes.resize(target, 0);
        }
        self.state.append(&mut self.bytes, t_ms, value);
    }

    /// How many samples the chunk holds.
    pub fn samples(&self) -> u16 {
        self.state.samples()
    }

    /// The encoded chunk.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.state.len()).unwrap_or(&[0, 0])
    }

    /// The encoded chunk, leaving this one empty for the next.
    pub fn take(&mut self) -> Vec<u8> {
        let bytes = self.bytes().to_vec();
        self.state = XorState::new();
        bytes
    }
}

/// The samples of an XOR chunk one by one.
#[derive(Clone, Debug)]
pub struct XorIter<'a> {
    bits: BitReader<'a>,
    total: u16,
    read: u16,
    t_ms: i64,
    delta: u64,
    value_bits: u64,
    leading: u8,
    trailing: u8,
}

impl<'a> XorIter<'a> {
    /// An iterator over an encoded chunk.
    ///
    /// # Errors
    /// Fewer bytes than a header.
    pub fn new(data: &'a [u8]) -> Result<XorIter<'a>> {
        Ok(XorIter {
            total: super::sample_count(WHAT, data)?,
            bits: BitReader::new(data, 2),
            read: 0,
            t_ms: 0,
            delta: 0,
            value_bits: 0,
            // Upstream's appender, continuing a chunk whose value never changed, reuses this one.
            leading: 0,
            trailing: 0,
        })
    }

    /// The next sample, or `None` behind the last.
    ///
    /// # Errors
    /// Bits that encode no sample, or too few of them.
    #[inline]
    pub fn next_sample(&mut self) -> Result<Option<(i64, f64)>> {
        if self.read == self.total {
            return Ok(None);
        }
        match self.read {
            0 => {
                self.t_ms = self.bits.varint().ok_or_else(|| self.varint_error())?;
                self.value_bits = self.bits.bits(64);
            }
            1 => {
                self.delta = self.bits.uvarint().ok_or_else(|| self.varint_error())?;
                self.t_ms = self.t_ms.wrapping_add(self.delta as i64);
                self.read_value()?;
            }
            _ => self.read_both(self.bits.peek())?,
        }
        if self.bits.overrun() {
            return Err(self.overrun_error());
        }
        self.read += 1;
        Ok(Some((self.t_ms, f64::from_bits(self.value_bits))))
    }

    /// Reads time and value of the third sample and later, whose bits start in `word`: most need no
    /// second look.
    #[inline(always)]
    fn read_both(&mut self, word: u64) -> Result<()> {
        let used = if word >> 63 == 0 {
            1
        } else {
            let (dod, used) = match word >> 60 {
                0b1000..=0b1011 => (sign(word << 2 >> 50, 14), 16),
                0b1100 | 0b1101 => (sign(word << 3 >> 47, 17), 20),
                0b1110 => (sign(word << 4 >> 44, 20), 24),
                _ => {
                    self.bits.skip(4);
                    let dod = self.bits.bits(64) as i64;
                    self.delta = self.delta.wrapping_add(dod as u64);
                    self.t_ms = self.t_ms.wrapping_add(self.delta as i64);
                    return self.read_value();
                }
            };
            self.delta = self.delta.wrapping_add(dod as u64);
            used
        };
        self.t_ms = self.t_ms.wrapping_add(self.delta as i64);
        self.value_from(word << used, used)
    }

    #[inline(always)]
    fn read_value(&mut self) -> Result<()> {
        self.value_from(self.bits.peek(), 0)
    }

    /// Reads a value whose bits start in `word`, of which there are 57 less `used`; as many are
    /// still to be skipped.
    #[inline(always)]
    fn value_from(&mut self, word: u64, used: u32) -> Result<()> {
        if word >> 63 == 0 {
            self.bits.skip(used + 1);
            return Ok(());
        }
        let mut control = 2;
        if word >> 62 == 0b11 {
            // 24 bits of time and 13 of these are within the 57.
            self.leading = (word >> 57 & 31) as u8;
            let significant = (word >> 51 & 63) as u8;
            let significant = if significant == 0 { 64 } else { significant };
            if self.leading + significant > 64 {
                return Err(self.window_error());
            }
            self.trailing = 64 - self.leading - significant;
            control = 13;
        }
        let n = 64 - u32::from(self.leading) - u32::from(self.trailing);
        let xor = if used + control + n <= 57 {
            self.bits.skip(used + control + n);
            word << control >> (64 - n)
        } else {
            self.bits.skip(used + control);
            self.bits.bits(n)
        };
        self.value_bits ^= xor << self.trailing;
        Ok(())
    }

    #[cold]
    fn varint_error(&self) -> FormatError {
        FormatError::new(WHAT, self.bits.byte_offset(), Cause::Varint)
    }

    #[cold]
    fn window_error(&self) -> FormatError {
        FormatError::invalid(
            WHAT,
            self.bits.byte_offset(),
            format!("impossible bit window in sample {}", self.read),
        )
    }

    #[cold]
    fn overrun_error(&self) -> FormatError {
        super::overrun(WHAT, &self.bits, self.read, self.total)
    }
}

/// The value of an `n` bit number whose range is `-(2^(n-1)-1) ..= 2^(n-1)`.
#[inline(always)]
fn sign(value: u64, n: u32) -> i64 {
    if value > 1 << (n - 1) {
        value as i64 - (1 << n)
    } else {
        value as i64
    }
}

/// Appends the samples of an encoded chunk with `min_ms <= t <= max_ms` to the two columns.
///
/// # Errors
/// Bytes that are no XOR chunk; what was decoded before the fault has been appended.
pub fn decode(
    data: &[u8],
    min_ms: i64,
    max_ms: i64,
    times: &mut Vec<i64>,
    values: &mut Vec<f64>,
) -> Result<()> {
    let mut iter = XorIter::new(data)?;
    // A sample takes two bits at least: a hostile count allocates no more than the bytes justify.
    let most = usize::from(iter.total).min(data.len() * 4);
    let start = times.len();
    times.resize(start + most, 0);
    values.resize(start.max(values.len()) + most, 0.0);
    let value_start = values.len() - most;
    let result = iter.decode_into(
        (min_ms, max_ms),
        &mut times[start..],
        &mut values[value_start..],
    );
    let (written, result) = match result {
        Ok(written) => (written, Ok(())),
        Err((written, error)) => (written, Err(error)),
    };
    times.truncate(start + written);
    values.truncate(value_start + written);
    result
}

impl XorIter<'_> {
    /// Decodes the samples in the range into two arrays of the same length, which hold all samples
    /// that the bytes can encode, and says how many it wrote.
    fn decode_into(
        &mut self,
        (min_ms, max_ms): (i64, i64),
        times: &mut [i64],
        values: &mut [f64],
    ) -> Result<usize, (usize, FormatError)> {
        let mut written = 0;
        let mut out = times.iter_mut().zip(values);
        let mut put = |t: i64, value_bits: u64| {
            if t >= min_ms
                && let Some((time, value)) = out.next()
            {
                (*time, *value) = (t, f64::from_bits(value_bits));
                written += 1;
            }
        };
        // A local, so that the loop keeps it in registers.
        let mut iter = self.clone();
        let result = loop {
            if iter.read < 2 {
                match iter.next_sample() {
                    Ok(Some((t, v))) if t <= max_ms => put(t, v.to_bits()),
                    Ok(_) => break Ok(()),
                    Err(error) => break Err(error),
                }
                continue;
            }
            if iter.read == iter.total {
                break Ok(());
            }
            let word = iter.bits.peek();
            // Two zero bits are a sample on time whose value is the last one's: most series are such
            // runs. 56 of the bits are sure to be there.
            let run = ((word.leading_zeros().min(56) / 2) as u16).min(iter.total - iter.read);
            if run > 1 {
                iter.bits.skip(u32::from(run) * 2);
                if iter.bits.overrun() {
                    break Err(iter.overrun_error());
                }
                iter.read += run;
                let first = iter.t_ms;
                for i in 1..=i64::from(run) {
                    let delta = (iter.delta as i64).wrapping_mul(i);
                    iter.t_ms = first.wrapping_add(delta);
                    if iter.t_ms > max_ms {
                        break;
                    }
                    put(iter.t_ms, iter.value_bits);
                }
            } else {
                if let Err(error) = iter.read_both(word) {
                    break Err(error);
                }
                if iter.bits.overrun() {
                    break Err(iter.overrun_error());
                }
                iter.read += 1;
                if iter.t_ms <= max_ms {
                    put(iter.t_ms, iter.value_bits);
                }
            }
            if iter.t_ms > max_ms {
                break Ok(());
            }
        };
        *self = iter;
        match result {
            Ok(()) => Ok(written),
            Err(error) => Err((written, error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(samples: &[(i64, f64)]) -> Vec<u8> {
        let mut chunk = XorChunk::new();
        for (i, &(t, v)) in samples.iter().enumerate() {
            if i % 7 == 3 {
                chunk = XorChunk::resume(chunk.bytes()).unwrap();
            }
            chunk.append(t, v);
        }
        let (mut times, mut values) = (Vec::new(), Vec::new());
        let data = chunk.bytes().to_vec();
        let (mut whole, mut state, mut tight) = (XorChunk::new(), XorState::new(), Vec::new());
        for &(t, v) in samples {
            whole.append(t, v);
            let tail = state.append_apart(&tight, t, v);
            tight.resize(state.len(), 0xff);
            tail.write(&mut tight);
            assert_eq!((&tight[..], state), (whole.bytes(), whole.state));
        }
        decode(&data, i64::MIN, i64::MAX, &mut times, &mut values).unwrap();
        let bits = |v: &[f64]| v.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        assert_eq!(times, samples.iter().map(|s| s.0).collect::<Vec<_>>());
        assert_eq!(
            bits(&values),
            samples.iter().map(|s| s.1.to_bits()).collect::<Vec<_>>()
        );
        data
    }

    #[test]
    fn state_fits_half_a_cache_line() {
        assert_eq!(size_of::<XorState>(), 32);
    }

    #[test]
    fn round_trips() {
        check(&[]);
        check(&[(i64::MIN, f64::NAN)]);
        check(&[(i64::MIN, 1.0), (i64::MAX, -1.0), (0, 1e300), (1, -0.0)]);
        for step in [1, 8191, 8192, 8193, 65536, 65537, 524_288, 524_289, 1 << 40] {
            let samples: Vec<_> = (0..200)
                .map(|i| {
                    (
                        i * i * step,
                        f64::from_bits(((i * step) as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15)),
                    )
                })
                .collect();
            check(&samples);
        }
    }

    #[test]
    fn constant_series_take_two_bits_a_sample() {
        let samples: Vec<_> = (0..120).map(|i| (i * 15_000, 42.0)).collect();
        assert!(check(&samples).len() <= 2 + 1 + 8 + 3 + 30);
    }

    #[test]
    fn a_range_is_cut_out() {
        let mut chunk = XorChunk::new();
        (0..10).for_each(|i| chunk.append(i, i as f64));
        let (mut times, mut values) = (vec![-1], vec![-1.0]);
        decode(chunk.bytes(), 3, 5, &mut times, &mut values).unwrap();
        assert_eq!(times, [-1, 3, 4, 5]);
        assert_eq!(values, [-1.0, 3.0, 4.0, 5.0]);
    }

    #[test]
    fn truncation_is_an_error_with_its_place() {
        let data = check(&[(1, 1.0), (2, 2.5), (3, 7.25)]);
        for n in 0..data.len() - 1 {
            let error = XorState::resume(&data[..n]).unwrap_err();
            assert!(
                error.to_string().starts_with("XOR chunk at offset"),
                "{error}"
            );
        }
    }
}
