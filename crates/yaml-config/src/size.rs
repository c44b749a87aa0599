//! Sizes in bytes with units (alecthomas/units `Base2Bytes`).

use std::fmt;
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer};
use serde::ser::{Serialize, Serializer};

use crate::de::TEXT;
use crate::secret::Text;

/// A number of bytes, written `10MB` or `1.5GiB`; both spellings are powers of 1024.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Size(u64);

/// Why a text is no size. The messages are upstream's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SizeError {
    /// Not a number with a unit.
    #[error("units: invalid {0}")]
    Invalid(String),
    /// A unit nobody knows; none is such a unit.
    #[error("units: unknown unit {unit} in {text}")]
    UnknownUnit {
        /// The unit.
        unit: String,
        /// All of it.
        text: String,
    },
    /// Does not fit.
    #[error("units: overflow parsing {0}")]
    OutOfRange(String),
}

/// From large to small.
const UNITS: [(&str, &str, u64); 6] = [
    ("EiB", "EB", 1 << 60),
    ("PiB", "PB", 1 << 50),
    ("TiB", "TB", 1 << 40),
    ("GiB", "GB", 1 << 30),
    ("MiB", "MB", 1 << 20),
    ("KiB", "KB", 1 << 10),
];

impl Size {
    /// So many bytes.
    pub const fn from_bytes(bytes: u64) -> Size {
        Size(bytes)
    }

    /// In bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

impl FromStr for Size {
    type Err = SizeError;

    /// Numbers with units, added up: `1GB512MB`. `0` needs no unit.
    fn from_str(text: &str) -> Result<Size, SizeError> {
        let invalid = || SizeError::Invalid(text.to_owned());
        let mut rest = text.strip_prefix('+').unwrap_or(text);
        if rest == "0" {
            return Ok(Size(0));
        }
        if rest.is_empty() {
            return Err(invalid());
        }
        let mut total = 0.0_f64;
        while !rest.is_empty() {
            let digits = rest
                .find(|c: char| !c.is_ascii_digit() && c != '.')
                .unwrap_or(rest.len());
            let number: f64 = rest[..digits].parse().map_err(|_| invalid())?;
            rest = &rest[digits..];
            let letters = rest
                .find(|c: char| c.is_ascii_digit() || c == '.')
                .unwrap_or(rest.len());
            let unit = &rest[..letters];
            let factor = match unit {
                "B" => 1,
                unit => UNITS
                    .iter()
                    .find(|(long, short, _)| *long == unit || *short == unit)
                    .map(|(_, _, factor)| *factor)
                    .ok_or_else(|| SizeError::UnknownUnit {
                        unit: unit.to_owned(),
                        text: text.to_owned(),
                    })?,
            };
            total += number * factor as f64;
            rest = &rest[letters..];
        }
        if total > i64::MAX as f64 {
            return Err(SizeError::OutOfRange(text.to_owned()));
        }
        Ok(Size(total as u64))
    }
}

impl fmt::Display for Size {
    /// Upstream's way: whole units from large to small, `1GiB512MiB`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("0B");
        }
        let mut rest = self.0;
        for (unit, _, factor) in UNITS {
            if rest >= factor {
                write!(f, "{}{unit}", rest / factor)?;
                rest %= factor;
            }
        }
        if rest > 0 {
            write!(f, "{rest}B")?;
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Size, D::Error> {
        match deserializer.deserialize_newtype_struct(TEXT, Text("a size such as 10MB"))? {
            None => Ok(Size(0)),
            Some(text) => text.parse().map_err(serde::de::Error::custom),
        }
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_and_prints() {
        for (text, bytes, printed) in [
            ("0", 0, "0B"),
            ("1B", 1, "1B"),
            ("1KB", 1024, "1KiB"),
            ("1KiB", 1024, "1KiB"),
            ("10MB", 10 << 20, "10MiB"),
            ("1.5GB", 3 << 29, "1GiB512MiB"),
            ("1GB512MB", 3 << 29, "1GiB512MiB"),
            ("2EB", 2 << 60, "2EiB"),
            ("1025B", 1025, "1KiB1B"),
        ] {
            let size: Size = text.parse().unwrap();
            assert_eq!(size.bytes(), bytes, "{text}");
            assert_eq!(size.to_string(), printed, "{text}");
        }
        for (text, error) in [
            ("", "units: invalid "),
            ("-1B", "units: invalid -1B"),
            ("1", "units: unknown unit  in 1"),
            ("1XB", "units: unknown unit XB in 1XB"),
            ("100EB", "units: overflow parsing 100EB"),
        ] {
            assert_eq!(text.parse::<Size>().unwrap_err().to_string(), error);
        }
    }
}
