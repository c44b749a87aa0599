//! ULIDs: the names of block folders. 48 bits of milliseconds, 80 of chance, in Crockford's base 32;
//! they sort by time.

use std::fmt;
use std::str::FromStr;

/// A ULID.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ulid(pub u128);

const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

impl Ulid {
    /// A ULID of a time and 80 random bits, of which further ones are ignored.
    pub const fn new(t_ms: u64, random: u128) -> Ulid {
        Ulid((t_ms as u128 & 0xffff_ffff_ffff) << 80 | random & ((1 << 80) - 1))
    }

    /// The time in milliseconds since the epoch.
    pub const fn t_ms(self) -> u64 {
        (self.0 >> 80) as u64
    }
}

impl fmt::Display for Ulid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text: [u8; 26] =
            std::array::from_fn(|i| DIGITS[(self.0 >> (5 * (25 - i)) & 31) as usize]);
        f.write_str(std::str::from_utf8(&text).expect("the digits are ASCII"))
    }
}

impl fmt::Debug for Ulid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is no ULID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a ULID")]
pub struct NotUlid;

impl FromStr for Ulid {
    type Err = NotUlid;

    /// Strict: 26 digits, in either case, of at most 128 bits.
    fn from_str(text: &str) -> Result<Ulid, NotUlid> {
        let bytes = text.as_bytes();
        if bytes.len() != 26 || bytes[0] > b'7' {
            return Err(NotUlid);
        }
        bytes.iter().try_fold(Ulid(0), |ulid, byte| {
            let byte = byte.to_ascii_uppercase();
            let digit = DIGITS.iter().position(|d| *d == byte).ok_or(NotUlid)?;
            Ok(Ulid(ulid.0 << 5 | digit as u128))
        })
    }
}

impl serde::Serialize for Ulid {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Ulid {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Ulid, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_round_trip() {
        for text in [
            "01M7YGSEW772HKF859XJ6VKNS7",
            "00000000000000000000000000",
            "7ZZZZZZZZZZZZZZZZZZZZZZZZZ",
        ] {
            assert_eq!(text.parse::<Ulid>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "8ZZZZZZZZZZZZZZZZZZZZZZZZZ",
            "01M7YGSEW772HKF859XJ6VKNSU",
            "wal",
        ] {
            assert_eq!(text.parse::<Ulid>(), Err(NotUlid));
        }
        let ulid = Ulid::new(1_700_000_000_000, u128::MAX);
        assert_eq!(ulid.t_ms(), 1_700_000_000_000);
    }
}
