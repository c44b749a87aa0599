//! XOR chunks: floats (prometheus/prometheus `tsdb/docs/format/chunks.md`, `tsdb/chunkenc/xor.go`).
//!
//! The appender's state is 32 bytes and the bits lie in memory of the caller's, so that a head can
//! keep both where it likes: [`XorState`]. [`XorChunk`] is both in one for those who do not mind.

use super::bits::{Ahead, BitReader, SLACK, put_bits};
use crate::error::{Cause, FormatError, Result};

const WHAT: &str = "XOR chunk";
const NO_WINDOW: u8 = 0xff;
/// The header's place, a byte that was begun, and room for a sample.
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
    /// appends before; its header is for [`XorState::write_header`]. Any timestamp and value can be stored; order is the caller's business.
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
    }

    /// Writes the chunk's header, which says how many samples there are. Appending leaves it as it is: a
    /// chunk's first bytes are on another line of memory than its last ones.
    ///
    /// # Panics
    /// `buf` must have the header's two bytes.
    #[inline]
    pub fn write_header(&self, buf: &mut [u8]) {
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
        // A chunk of the header's place alone, and of the bits of the last byte.
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

/// What [`XorState::append_apart`] wrote: the bytes from `at` on.
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
        self.state.write_header(&mut self.bytes);
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
            _ => self.read_both()?,
        }
        if self.bits.overrun() {
            return Err(self.overrun_error());
        }
        self.read += 1;
        Ok(Some((self.t_ms, f64::from_bits(self.value_bits))))
    }

    /// Reads time and value of the third sample and later.
    fn read_both(&mut self) -> Result<()> {
        let class = (self.bits.peek() >> 60 << 60).leading_ones().min(4);
        self.bits.skip(if class == 4 { 4 } else { class + 1 });
        let dod = match class {
            0 => 0,
            1 => sign(self.bits.bits(14), 14),
            2 => sign(self.bits.bits(17), 17),
            3 => sign(self.bits.bits(20), 20),
            _ => self.bits.bits(64) as i64,
        };
        self.delta = self.delta.wrapping_add(dod as u64);
        self.t_ms = self.t_ms.wrapping_add(self.delta as i64);
        self.read_value()
    }

    fn read_value(&mut self) -> Result<()> {
        let word = self.bits.peek();
        if word >> 63 == 0 {
            self.bits.skip(1);
            return Ok(());
        }
        let mut control = 2;
        if word >> 62 == 0b11 {
            (self.leading, self.trailing) = open_window(word).ok_or_else(|| self.window_error())?;
            control = 13;
        }
        self.bits.skip(control);
        self.value_bits ^= self.bits.bits(self.window()) << self.trailing;
        Ok(())
    }

    /// How many bits may differ, at least one.
    fn window(&self) -> u32 {
        64 - u32::from(self.leading) - u32::from(self.trailing)
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

/// Leading and trailing bits that the window does not have which `word` begins with; `None` where they are
/// more than 64.
#[inline(always)]
fn open_window(word: u64) -> Option<(u8, u8)> {
    let leading = (word >> 57 & 31) as u8;
    let significant = (word >> 51 & 63) as u8;
    let significant = if significant == 0 { 64 } else { significant };
    Some((leading, (64 - leading).checked_sub(significant)?))
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
    let mut out = Out {
        range: (min_ms, max_ms),
        times: &mut times[start..],
        values: &mut values[value_start..],
        written: 0,
    };
    let result = iter.decode_into(&mut out);
    let written = out.written;
    times.truncate(start + written);
    values.truncate(value_start + written);
    result
}

/// Where decoded samples go.
struct Out<'a> {
    /// The times that are wanted, both inclusive.
    range: (i64, i64),
    /// As long as the samples that the bytes can encode.
    times: &'a mut [i64],
    values: &'a mut [f64],
    written: usize,
}

impl Out<'_> {
    /// The places of the samples to come.
    #[inline(always)]
    fn rest(&mut self) -> impl Iterator<Item = (&mut i64, &mut f64)> {
        let times = self.times.get_mut(self.written..).unwrap_or_default();
        let values = self.values.get_mut(self.written..).unwrap_or_default();
        times.iter_mut().zip(values)
    }

    /// Takes a sample; false where it and all later ones are not wanted.
    #[inline(always)]
    fn put(&mut self, t_ms: i64, value_bits: u64) -> bool {
        if t_ms > self.range.1 {
            return false;
        }
        if t_ms >= self.range.0
            && let (Some(time), Some(value)) = (
                self.times.get_mut(self.written),
                self.values.get_mut(self.written),
            )
        {
            (*time, *value) = (t_ms, f64::from_bits(value_bits));
            self.written += 1;
        }
        true
    }
}

/// Bytes at the end of a chunk that are decoded from a copy, with zeros behind them.
const TAIL: usize = 32;

impl XorIter<'_> {
    fn decode_into(&mut self, out: &mut Out<'_>) -> Result<()> {
        let data = self.bits.data();
        let tail_start = data.len().saturating_sub(TAIL);
        let mut tail = [0; TAIL + Ahead::BYTES];
        tail[..data.len() - tail_start].copy_from_slice(&data[tail_start..]);
        let end = data.len() * 8;
        while self.read < self.total {
            if self.read >= 2 {
                let begun = self.read;
                let at = self.bits.position();
                let wanted = match at / 8 < tail_start {
                    true => self.decode_most(data, 0, end, out)?,
                    false => self.decode_most(&tail, tail_start, end, out)?,
                };
                if !wanted {
                    break;
                }
                if self.read > begun {
                    continue;
                }
            }
            match self.next_sample()? {
                Some((t_ms, v)) if out.put(t_ms, v.to_bits()) => {}
                _ => break,
            }
        }
        Ok(())
    }

    /// Decodes samples from `data`, which begins `skipped` bytes into the chunk and goes on behind its `end`
    /// (in bits), as long as there is no rare one. False as soon as one is too late to be wanted.
    fn decode_most(
        &mut self,
        data: &[u8],
        skipped: usize,
        end: usize,
        out: &mut Out<'_>,
    ) -> Result<bool> {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("bmi2") && is_x86_feature_detected!("lzcnt") {
            // SAFETY: the processor has just been asked.
            return unsafe { self.decode_most_bmi2(data, skipped, end, out) };
        }
        self.decode_most_inlined(data, skipped, end, out)
    }

    /// With shifts that leave their operands where they are.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "bmi1,bmi2,lzcnt")]
    fn decode_most_bmi2(
        &mut self,
        data: &[u8],
        skipped: usize,
        end: usize,
        out: &mut Out<'_>,
    ) -> Result<bool> {
        self.decode_most_inlined(data, skipped, end, out)
    }

    #[inline(always)]
    fn decode_most_inlined(
        &mut self,
        data: &[u8],
        skipped: usize,
        end: usize,
        out: &mut Out<'_>,
    ) -> Result<bool> {
        // Locals, so that the loop keeps them in registers.
        let mut pos = self.bits.position() - skipped * 8;
        let end = end - skipped * 8;
        let (mut t_ms, mut delta, mut value_bits) = (self.t_ms, self.delta, self.value_bits);
        let (mut leading, mut trailing) = (self.leading, self.trailing);
        let mut left = self.total - self.read;
        let mut wanted = true;
        while left > 0 && wanted {
            let Some(ahead) = Ahead::at(data, pos) else {
                break;
            };
            let word = ahead.after(0);
            // Two zero bits are a sample on time whose value is the last one's: most series are such runs.
            if word >> 62 == 0 {
                let run = ((word.leading_zeros() / 2) as u16).min(left);
                pos += usize::from(run) * 2;
                if pos > end {
                    break;
                }
                left -= run;
                for _ in 0..run {
                    t_ms = t_ms.wrapping_add(delta as i64);
                    wanted = wanted && out.put(t_ms, value_bits);
                }
                continue;
            }
            let used = if word >> 63 == 0 {
                // On time, with bits where those of the value before it were.
                let width = 64 - u32::from(leading) - u32::from(trailing);
                if word >> 61 == 0b010 {
                    let (mut taken, range) = (0, out.range);
                    let rest = out.rest().take(left.into());
                    for (time, value) in rest {
                        let Some(ahead) = Ahead::at(data, pos) else {
                            break;
                        };
                        let next_ms = t_ms.wrapping_add(delta as i64);
                        let next_pos = pos + 3 + width as usize;
                        let in_range = range.0 <= next_ms && next_ms <= range.1;
                        if ahead.after(0) >> 61 != 0b010 || next_pos > end || !in_range {
                            break;
                        }
                        value_bits ^= ahead.after(3) >> (64 - width) << trailing;
                        (pos, t_ms) = (next_pos, next_ms);
                        (*time, *value) = (t_ms, f64::from_bits(value_bits));
                        taken += 1;
                    }
                    out.written += usize::from(taken);
                    left -= taken;
                    if taken > 0 {
                        continue;
                    }
                }
                1
            } else {
                let (dod, used) = match word >> 60 {
                    0b1000..=0b1011 => (sign(word << 2 >> 50, 14), 16),
                    0b1100 | 0b1101 => (sign(word << 3 >> 47, 17), 20),
                    0b1110 => (sign(word << 4 >> 44, 20), 24),
                    _ => break,
                };
                delta = delta.wrapping_add(dod as u64);
                used
            };
            t_ms = t_ms.wrapping_add(delta as i64);
            let word = ahead.after(used);
            if word >> 63 == 0 {
                pos += used as usize + 1;
            } else {
                let mut control = 2;
                if word >> 62 == 0b11 {
                    (leading, trailing) = open_window(word).ok_or_else(|| self.window_error())?;
                    control = 13;
                }
                let n = 64 - u32::from(leading) - u32::from(trailing);
                const { assert!(24 + 13 + 64 <= Ahead::BITS) };
                let xor = ahead.after(used + control) >> (64 - n);
                value_bits ^= xor << trailing;
                pos += (used + control + n) as usize;
            }
            if pos > end {
                break;
            }
            left -= 1;
            wanted = out.put(t_ms, value_bits);
        }
        self.bits.seek(skipped * 8 + pos);
        if pos > end {
            return Err(self.overrun_error());
        }
        (self.t_ms, self.delta, self.value_bits) = (t_ms, delta, value_bits);
        (self.leading, self.trailing) = (leading, trailing);
        self.read = self.total - left;
        Ok(wanted)
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
            state.write_header(&mut tight);
            assert_eq!((&tight[..], state), (whole.bytes(), whole.state));
        }
        decode(&data, i64::MIN, i64::MAX, &mut times, &mut values).unwrap();
        let mut iter = XorIter::new(&data).unwrap();
        for (t, v) in times.iter().zip(&values) {
            let (one_t, one_v) = iter.next_sample().unwrap().unwrap();
            assert_eq!((one_t, one_v.to_bits()), (*t, v.to_bits()));
        }
        assert_eq!(iter.next_sample().unwrap(), None);
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
    fn runs_on_time_are_cut_as_single_samples_are() {
        let noise = |i: i64| (i as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
        let counter = |i: i64| (0..=i).map(|i| (noise(i) % 1000) as f64).sum::<f64>();
        let gauge = |i: i64| (noise(i) % 10_000) as f64 / 100.0;
        for value in [&counter as &dyn Fn(i64) -> f64, &gauge] {
            // One is late, one stays the same.
            let late = |i: i64| if i == 60 { 7 } else { 0 };
            let samples: Vec<_> = (0..120)
                .map(|i| (i * 15_000 + late(i), value(i - i64::from(i == 80))))
                .collect();
            let data = check(&samples);
            for from in (0..125).step_by(4) {
                for to in (from - 1..125).step_by(5) {
                    let (min_ms, max_ms) = (from * 15_000 + from % 2, to * 15_000);
                    let (mut times, mut values) = (Vec::new(), Vec::new());
                    decode(&data, min_ms, max_ms, &mut times, &mut values).unwrap();
                    let got: Vec<_> = times.into_iter().zip(values).collect();
                    let wanted = samples.iter().copied();
                    let wanted: Vec<_> = wanted
                        .filter(|(t_ms, _)| (min_ms..=max_ms).contains(t_ms))
                        .collect();
                    assert_eq!(got, wanted);
                }
            }
        }
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
