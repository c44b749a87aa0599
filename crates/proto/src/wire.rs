//! Reading protobuf where it lies: fields as borrowed slices, for the hot paths that cannot afford
//! a message of owned strings. The encoding is that of protobuf.dev's "Encoding".

/// Bytes that are no protobuf message; says where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WireError {
    /// A varint of more than ten bytes, or one that ends with the input.
    Varint { offset: usize },
    /// A field that is longer than the input.
    Truncated { offset: usize },
    /// A wire type that does not exist any more (groups) or never did.
    WireType { offset: usize },
}

impl std::fmt::Display for WireError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (what, offset) = match self {
            WireError::Varint { offset } => ("malformed varint", offset),
            WireError::Truncated { offset } => ("field runs over the end", offset),
            WireError::WireType { offset } => ("unknown wire type", offset),
        };
        write!(f, "proto: {what} at byte {offset}")
    }
}

impl std::error::Error for WireError {}

/// A field's value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    Varint(u64),
    Fixed64(u64),
    Fixed32(u32),
    Bytes(&'a [u8]),
}

impl<'a> Value<'a> {
    /// The bytes of a length-delimited field, or nothing.
    pub fn bytes(self) -> &'a [u8] {
        match self {
            Value::Bytes(bytes) => bytes,
            Value::Varint(_) | Value::Fixed64(_) | Value::Fixed32(_) => &[],
        }
    }

    /// An `int64`, `uint64` or `bool`, or 0.
    pub fn int(self) -> i64 {
        match self {
            Value::Varint(v) => v as i64,
            Value::Fixed64(_) | Value::Fixed32(_) | Value::Bytes(_) => 0,
        }
    }

    /// A `double`, or 0.
    pub fn double(self) -> f64 {
        match self {
            Value::Fixed64(bits) => f64::from_bits(bits),
            Value::Varint(_) | Value::Fixed32(_) | Value::Bytes(_) => 0.0,
        }
    }
}

/// The fields of a message in order.
#[derive(Debug, Clone)]
pub struct Fields<'a> {
    message: &'a [u8],
    at: usize,
}

impl<'a> Fields<'a> {
    /// The fields of `message`.
    pub fn new(message: &'a [u8]) -> Fields<'a> {
        Fields { message, at: 0 }
    }

    /// How many bytes have been read.
    pub fn position(&self) -> usize {
        self.at
    }

    /// The next field: its number and value; `None` at the end.
    ///
    /// # Errors
    /// Where the bytes are no message.
    #[inline]
    pub fn next_field(&mut self) -> Result<Option<(u32, Value<'a>)>, WireError> {
        if self.at == self.message.len() {
            return Ok(None);
        }
        let start = self.at;
        let key = self.varint()?;
        let value = match key & 7 {
            0 => Value::Varint(self.varint()?),
            1 => Value::Fixed64(u64::from_le_bytes(self.array()?)),
            2 => {
                let len = self.varint()?;
                let rest = self.message.len() - self.at;
                if len > rest as u64 {
                    return Err(WireError::Truncated { offset: start });
                }
                let from = self.at;
                self.at += len as usize;
                Value::Bytes(&self.message[from..self.at])
            }
            5 => Value::Fixed32(u32::from_le_bytes(self.array()?)),
            _ => return Err(WireError::WireType { offset: start }),
        };
        Ok(Some(((key >> 3) as u32, value)))
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let bytes = self.message.get(self.at..self.at + N);
        let array = bytes.and_then(|b| b.try_into().ok());
        let array = array.ok_or(WireError::Truncated { offset: self.at })?;
        self.at += N;
        Ok(array)
    }

    #[inline]
    fn varint(&mut self) -> Result<u64, WireError> {
        let start = self.at;
        let mut value = 0u64;
        for shift in (0..70).step_by(7) {
            let Some(&byte) = self.message.get(self.at) else {
                return Err(WireError::Varint { offset: start });
            };
            self.at += 1;
            value |= u64::from(byte & 0x7f) << shift.min(63);
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(WireError::Varint { offset: start })
    }
}

/// Undoes zigzag encoding.
pub fn zigzag(v: u64) -> i64 {
    (v >> 1) as i64 ^ -((v & 1) as i64)
}

/// The varints of a packed field.
///
/// # Errors
/// Where the bytes are no varints.
pub fn packed_varints(bytes: &[u8], mut each: impl FnMut(u64)) -> Result<(), WireError> {
    let mut fields = Fields::new(bytes);
    while fields.at < bytes.len() {
        each(fields.varint()?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;

    #[test]
    fn reads_what_prost_writes() {
        let sample = crate::prometheus::Sample {
            value: -1.5,
            timestamp: 1_700_000_000_123,
        };
        let bytes = sample.encode_to_vec();
        let mut fields = Fields::new(&bytes);
        assert_eq!(fields.next_field().unwrap().unwrap().1.double(), -1.5);
        let (number, value) = fields.next_field().unwrap().unwrap();
        assert_eq!((number, value.int()), (2, 1_700_000_000_123));
        assert_eq!(fields.next_field(), Ok(None));
    }

    #[test]
    fn negative_integers_take_ten_bytes() {
        let sample = crate::prometheus::Sample {
            value: 0.0,
            timestamp: -5,
        };
        let bytes = sample.encode_to_vec();
        assert_eq!(
            Fields::new(&bytes).next_field().unwrap().unwrap().1.int(),
            -5
        );
        assert_eq!(
            [zigzag(0), zigzag(1), zigzag(2), zigzag(u64::MAX)],
            [0, -1, 1, i64::MIN]
        );
    }

    #[test]
    fn hostile_bytes_are_errors() {
        for (bytes, error) in [
            (&[0x08][..], WireError::Varint { offset: 1 }),
            (&[0x0a, 0x05, 1][..], WireError::Truncated { offset: 0 }),
            (&[0x09, 1, 2][..], WireError::Truncated { offset: 1 }),
            (&[0x0b][..], WireError::WireType { offset: 0 }),
            (&[0xff; 11][..], WireError::Varint { offset: 0 }),
        ] {
            assert_eq!(Fields::new(bytes).next_field(), Err(error), "{bytes:?}");
        }
    }
}
