//! Bits within bytes, most significant first.

/// How many bytes beyond the last written one [`put_bits`] may touch.
pub(super) const SLACK: usize = 9;

/// Writes the low `n` bits of `value` at bit `pos` of `buf` and returns the position behind them.
/// Bits behind the written ones are left zero or undefined up to [`SLACK`] bytes ahead: every later
/// write overwrites them.
#[inline(always)]
pub(super) fn put_bits(buf: &mut [u8], pos: u32, value: u64, n: u32) -> u32 {
    debug_assert!(n >= 1 && n <= 64);
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
}

impl<'a> BitReader<'a> {
    pub(super) fn new(data: &'a [u8], byte: usize) -> BitReader<'a> {
        BitReader {
            data,
            pos: byte * 8,
        }
    }

    /// The position in bits.
    pub(super) fn position(&self) -> usize {
        self.pos
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
        let word = match self.data.get(byte..byte + 8) {
            Some(bytes) => u64::from_be_bytes(bytes.try_into().expect("eight bytes")),
            None => self.peek_tail(byte),
        };
        word << (self.pos & 7)
    }

    #[cold]
    #[inline(never)]
    fn peek_tail(&self, byte: usize) -> u64 {
        let mut bytes = [0; 8];
        if let Some(tail) = self.data.get(byte..) {
            let n = tail.len().min(8);
            bytes[..n].copy_from_slice(&tail[..n]);
        }
        u64::from_be_bytes(bytes)
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
