//! Protobuf's wire format: fields in place.

use super::ParseError;

/// A field's content; strings and messages are slices of the input.
#[derive(Clone, Copy, Debug)]
pub(super) enum Field<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32,
}

impl<'a> Field<'a> {
    pub(super) fn bytes(self) -> Result<&'a [u8], ParseError> {
        match self {
            Field::Bytes(bytes) => Ok(bytes),
            _ => Err(ParseError::new("proto: wrong wireType")),
        }
    }

    pub(super) fn double(self) -> Result<f64, ParseError> {
        match self {
            Field::Fixed64(bits) => Ok(f64::from_bits(bits)),
            _ => Err(ParseError::new("proto: wrong wireType")),
        }
    }

    pub(super) fn unsigned(self) -> Result<u64, ParseError> {
        match self {
            Field::Varint(value) => Ok(value),
            _ => Err(ParseError::new("proto: wrong wireType")),
        }
    }

    pub(super) fn zigzag(self) -> Result<i64, ParseError> {
        self.unsigned().map(zigzag)
    }

    /// Every number of a repeated double field, packed or not.
    pub(super) fn each_double(self, mut f: impl FnMut(f64)) -> Result<(), ParseError> {
        let Field::Bytes(bytes) = self else {
            f(self.double()?);
            return Ok(());
        };
        let (chunks, rest) = bytes.as_chunks::<8>();
        if !rest.is_empty() {
            return Err(unexpected_end());
        }
        chunks.iter().for_each(|c| f(f64::from_le_bytes(*c)));
        Ok(())
    }

    /// Every number of a repeated sint64 field, packed or not.
    pub(super) fn each_zigzag(self, mut f: impl FnMut(i64)) -> Result<(), ParseError> {
        let Field::Bytes(bytes) = self else {
            f(self.zigzag()?);
            return Ok(());
        };
        let mut fields = Fields(bytes);
        while !fields.0.is_empty() {
            f(zigzag(fields.varint()?));
        }
        Ok(())
    }
}

fn zigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// The fields of a message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl<'a> Fields<'a> {
    pub(super) fn varint(&mut self) -> Result<u64, ParseError> {
        let mut value = 0u64;
        for (i, byte) in self.0.iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * i);
            if *byte < 0x80 {
                self.0 = &self.0[i + 1..];
                return Ok(value);
            }
        }
        Err(if self.0.len() < 10 {
            unexpected_end()
        } else {
            ParseError::new("proto: integer overflow")
        })
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], ParseError> {
        let (head, rest) = self.0.split_at_checked(len).ok_or_else(unexpected_end)?;
        self.0 = rest;
        Ok(head)
    }

    /// The next field with its number.
    pub(super) fn next(&mut self) -> Result<Option<(u32, Field<'a>)>, ParseError> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let key = self.varint()?;
        let number = u32::try_from(key >> 3)
            .ok()
            .filter(|number| *number != 0)
            .ok_or_else(|| {
                ParseError::new(format!(
                    "proto: illegal tag {} (wire type {})",
                    key >> 3,
                    key & 7
                ))
            })?;
        let field = match key & 7 {
            0 => Field::Varint(self.varint()?),
            1 => {
                let mut bytes = [0; 8];
                bytes.copy_from_slice(self.take(8)?);
                Field::Fixed64(u64::from_le_bytes(bytes))
            }
            2 => {
                let len = usize::try_from(self.varint()?).map_err(|_| unexpected_end())?;
                Field::Bytes(self.take(len)?)
            }
            5 => {
                self.take(4)?;
                Field::Fixed32
            }
            other => return Err(ParseError::new(format!("proto: illegal wireType {other}"))),
        };
        Ok(Some((number, field)))
    }
}

fn unexpected_end() -> ParseError {
    ParseError::new("unexpected EOF")
}
