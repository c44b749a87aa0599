//! Bits within bytes, most significant first.

/// How many bytes beyond the last written one [`put_bits`] may touch.
pub(super) const SLACK: usize = 9;

/// Writes the low `n` bits of `value` at bit `pos` of `buf` and returns the position behind them.
/// Bits behind the written ones are left zero or undefined up to [`SLACK`] bytes ahead: every later
/// write overwrites them.
#[inline(always)]
pub(super) fn put_bits(buf: &mut [u8], pos: u32, value: u64, n: u32) -> u32 {
    debug_assert!((1..=64).contains(&n));
    let byte = (pos >> 3) as usize;
    let used = pos & 7;
    // The bits that count, flush left.
    let aligned = value << (64 - n);
    let kept = u64::from(buf[byte] & !(0xff_u8 >> used)) << 56;
    buf[byte..byte + 8].copy_from_slice(&(kept | aligned >> used).to_be_bytes());
    if used + n > 64 {
        buf[byte + 8] = (aligned << (64 - used) >> 56) as u8;
    }
    pos + n
}

/// Appends bits to a byte vector of its own.
#[derive(Clone, Debug, Default)]
pub(super) struct BitVec {
    bytes: Vec<u8>,
    pos: u32,
}

impl BitVec {
    /// Starts behind `header` whole bytes.
    pub(super) fn new(header: usize) -> BitVec {
        BitVec {
            bytes: vec![0; header + 64],
            pos: (header * 8) as u32,
        }
    }

    /// Continues `bytes` at bit `pos`, dropping what is behind.
    pub(super) fn resume(bytes: &[u8], pos: u32) -> BitVec {
        let mut bytes = bytes[..pos.div_ceil(8) as usize].to_vec();
        bytes.resize(bytes.len() + 64, 0);
        BitVec { bytes, pos }
    }

    #[inline]
    pub(super) fn put(&mut self, value: u64, n: u32) {
        let need = (self.pos >> 3) as usize + SLACK;
        if need > self.bytes.len() {
            let target = (self.bytes.len() + self.bytes.len() / 3).max(need + 32);
            self.bytes.resize(target, 0);
        }
        self.pos = put_bits(&mut self.bytes, self.pos, value, n);
    }

    pub(super) fn put_byte(&mut self, byte: u8) {
        self.put(u64::from(byte), 8);
    }

    pub(super) fn put_uvarint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.put_byte(value as u8 | 0x80);
            value >>= 7;
        }
        self.put_byte(value as u8);
    }

    pub(super) fn put_varint(&mut self, value: i64) {
        self.put_uvarint((value << 1) as u64 ^ (value >> 63) as u64);
    }

    /// The bytes written so far, the last one filled with zero bits.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.pos.div_ceil(8) as usize]
    }

    pub(super) fn header(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

/// Reads bits; beyond the end it reads zeros, and [`BitReader::overrun`] tells.
#[derive(Clone, Copy, Debug)]
pub(super) struct BitReader<'a> {
    data: &'a [u8],
    /// In bits.
    pos: usize,
    /// Where the last eight bytes start; they are read from `tail`.
    tail_start: usize,
    /// The last eight bytes, and zeros.
    tail: [u8; 16],
}

impl<'a> BitReader<'a> {
    #[inline]
    pub(super) fn new(data: &'a [u8], byte: usize) -> BitReader<'a> {
        let tail_start = data.len().saturating_sub(8);
        let mut tail = [0; 16];
        tail[..data.len() - tail_start].copy_from_slice(&data[tail_start..]);
        BitReader {
            data,
            pos: byte * 8,
            tail_start,
            tail,
        }
    }

    /// All of the bytes.
    pub(super) fn data(&self) -> &'a [u8] {
        self.data
    }

    /// The position in bits.
    pub(super) fn position(&self) -> usize {
        self.pos
    }

    pub(super) fn seek(&mut self, pos: usize) {
        self.pos = pos;
    }

    /// The byte at the position.
    pub(super) fn byte_offset(&self) -> u64 {
        (self.pos / 8) as u64
    }

    /// Whether more was read than there is.
    #[inline(always)]
    pub(super) fn overrun(&self) -> bool {
        self.pos > self.data.len() * 8
    }

    /// At least the next 57 bits, flush left, zeros or later bits behind them.
    #[inline(always)]
    pub(super) fn peek(&self) -> u64 {
        let byte = self.pos >> 3;
        let bytes = if byte < self.tail_start {
            &self.data[byte..byte + 8]
        } else {
            let i = (byte - self.tail_start).min(8);
            &self.tail[i..i + 8]
        };
        let word = u64::from_be_bytes(bytes.try_into().expect("eight bytes"));
        word << (self.pos & 7)
    }

    #[inline(always)]
    pub(super) fn skip(&mut self, n: u32) {
        self.pos += n as usize;
    }

    /// The next `n` bits, 1 to 64.
    #[inline(always)]
    pub(super) fn bits(&mut self, n: u32) -> u64 {
        if n <= 57 {
            let value = self.peek() >> (64 - n);
            self.skip(n);
            value
        } else {
            let high = self.peek() >> 32;
            self.skip(32);
            let low = self.peek() >> (96 - n);
            self.skip(n - 32);
            high << (n - 32) | low
        }
    }

    #[inline]
    pub(super) fn bit(&mut self) -> bool {
        self.bits(1) == 1
    }

    pub(super) fn byte(&mut self) -> u8 {
        self.bits(8) as u8
    }

    /// An unsigned LEB128 integer; `None` beyond 64 bits.
    pub(super) fn uvarint(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for i in 0..10 {
            let byte = self.byte();
            if i == 9 && byte > 1 {
                return None;
            }
            value |= u64::from(byte & 0x7f) << (7 * i);
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    pub(super) fn varint(&mut self) -> Option<i64> {
        let value = self.uvarint()?;
        Some((value >> 1) as i64 ^ -((value & 1) as i64))
    }
}

/// The bits from some position on, at least [`Ahead::BITS`] of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ahead {
    high: u64,
    low: u64,
    /// Bits before the position, at most 7.
    used: u32,
}

impl Ahead {
    pub(super) const BYTES: usize = 16;
    pub(super) const BITS: u32 = 121;

    /// `None` where there are not so many.
    #[inline(always)]
    pub(super) fn at(data: &[u8], pos: usize) -> Option<Ahead> {
        let bytes: &[u8; Ahead::BYTES] = data.get(pos >> 3..)?.first_chunk()?;
        let word = |bytes: &[u8; 8]| u64::from_be_bytes(*bytes);
        Some(Ahead {
            high: word(bytes.first_chunk()?),
            low: word(bytes.last_chunk()?),
            used: (pos & 7) as u32,
        })
    }

    /// The 64 bits that follow the next `n`, which are at most 56.
    #[inline(always)]
    pub(super) fn after(self, n: u32) -> u64 {
        let n = self.used + n;
        self.high << n | self.low >> 1 >> (63 - n)
    }
}

/// Sizes of the classes of variable-width integers; class `i` is announced by `i + 1` one bits and,
/// but for the last, a zero bit (prometheus/prometheus `tsdb/chunkenc/varbit.go`).
const CLASSES: [u32; 8] = [3, 6, 9, 12, 18, 25, 56, 64];

impl BitVec {
    fn put_class(&mut self, class: usize, value: u64) {
        let n = CLASSES[class];
        if class == 7 {
            self.put(0xff, 8);
        } else {
            let ones = class as u32 + 1;
            self.put(((1 << ones) - 1) << 1, ones + 1);
        }
        self.put(
            if n == 64 {
                value
            } else {
                value & ((1 << n) - 1)
            },
            n,
        );
    }

    /// Writes a signed integer in 1 to 72 bits.
    pub(super) fn put_varbit_int(&mut self, value: i64) {
        if value == 0 {
            return self.put(0, 1);
        }
        let fits = |n: u32| -((1i64 << (n - 1)) - 1) <= value && value <= 1i64 << (n - 1);
        let class = CLASSES[..7].iter().position(|n| fits(*n)).unwrap_or(7);
        self.put_class(class, value as u64);
    }

    /// Writes an unsigned integer in 1 to 72 bits.
    pub(super) fn put_varbit_uint(&mut self, value: u64) {
        if value == 0 {
            return self.put(0, 1);
        }
        let class = CLASSES[..7]
            .iter()
            .position(|n| value < 1 << n)
            .unwrap_or(7);
        self.put_class(class, value);
    }
}

impl BitReader<'_> {
    #[inline]
    fn class(&mut self) -> Option<usize> {
        let ones = (self.peek() >> 56 << 56).leading_ones().min(8);
        self.skip(if ones == 8 { 8 } else { ones + 1 });
        (ones as usize).checked_sub(1)
    }

    /// Reads what [`BitVec::put_varbit_int`] wrote.
    pub(super) fn varbit_int(&mut self) -> i64 {
        let Some(class) = self.class() else { return 0 };
        let n = CLASSES[class];
        let value = self.bits(n);
        if n < 64 && value > 1 << (n - 1) {
            value.wrapping_sub(1 << n) as i64
        } else {
            value as i64
        }
    }

    /// Reads what [`BitVec::put_varbit_uint`] wrote.
    pub(super) fn varbit_uint(&mut self) -> u64 {
        match self.class() {
            Some(class) => self.bits(CLASSES[class]),
            None => 0,
        }
    }
}

/// A float that is written as the difference to the one before, as XOR chunks do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct XorFloat {
    pub(super) value_bits: u64,
    leading: u8,
    trailing: u8,
}

/// No window of bits was opened yet.
const NO_WINDOW: u8 = 0xff;

impl XorFloat {
    /// The first float, which is written plainly.
    pub(super) fn new(value: f64) -> XorFloat {
        XorFloat {
            value_bits: value.to_bits(),
            leading: NO_WINDOW,
            trailing: 0,
        }
    }

    pub(super) fn value(&self) -> f64 {
        f64::from_bits(self.value_bits)
    }

    pub(super) fn put(&mut self, bits: &mut BitVec, value: f64) {
        let xor = value.to_bits() ^ self.value_bits;
        self.value_bits = value.to_bits();
        if xor == 0 {
            return bits.put(0, 1);
        }
        let leading = (xor.leading_zeros() as u8).min(31);
        let trailing = xor.trailing_zeros() as u8;
        if self.leading != NO_WINDOW && leading >= self.leading && trailing >= self.trailing {
            bits.put(0b10, 2);
            bits.put(xor >> self.trailing, self.width());
            return;
        }
        (self.leading, self.trailing) = (leading, trailing);
        let n = self.width();
        bits.put(0b11 << 11 | u64::from(leading) << 6 | u64::from(n & 63), 13);
        bits.put(xor >> trailing, n);
    }

    /// Reads the next float; `None` for a window beyond 64 bits.
    pub(super) fn read(&mut self, bits: &mut BitReader<'_>) -> Option<()> {
        if !bits.bit() {
            return Some(());
        }
        if bits.bit() {
            self.leading = bits.bits(5) as u8;
            let n = match bits.bits(6) as u8 {
                0 => 64,
                n => n,
            };
            self.trailing = 64u8.checked_sub(self.leading)?.checked_sub(n)?;
        } else if self.leading == NO_WINDOW {
            // Upstream's appender, continuing a chunk without a window, takes one of all bits.
            (self.leading, self.trailing) = (0, 0);
        }
        self.value_bits ^= bits.bits(self.width()) << self.trailing;
        Some(())
    }

    fn width(&self) -> u32 {
        64 - u32::from(self.leading) - u32::from(self.trailing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variable_width_integers_round_trip() {
        let mut values = vec![0, i64::MIN, i64::MAX];
        for n in 0..63 {
            let power = 1i64 << n;
            values.extend([power - 1, power, power + 1, -power, 1 - power, -power - 1]);
        }
        let mut bits = BitVec::new(0);
        for &value in &values {
            bits.put_varbit_int(value);
            bits.put_varbit_uint(value as u64);
        }
        let mut reader = BitReader::new(bits.bytes(), 0);
        for value in values {
            assert_eq!(reader.varbit_int(), value);
            assert_eq!(reader.varbit_uint(), value as u64);
        }
        assert!(!reader.overrun());
    }

    #[test]
    fn bits_round_trip_at_every_alignment() {
        for start in 1..64 {
            let mut bits = BitVec::new(0);
            bits.put(1, start);
            for n in 1..=64 {
                bits.put(u64::MAX >> (64 - n) ^ 2 >> (n % 2), n);
            }
            let mut reader = BitReader::new(bits.bytes(), 0);
            assert_eq!(reader.bits(start), 1);
            for n in 1..=64 {
                let expected = u64::MAX >> (64 - n) ^ 2 >> (n % 2);
                let expected = if n == 64 {
                    expected
                } else {
                    expected & ((1 << n) - 1)
                };
                assert_eq!(reader.bits(n), expected, "{n} bits from {start}");
            }
        }
    }
}
