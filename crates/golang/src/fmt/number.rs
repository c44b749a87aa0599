//! Flags, padding, and how numbers and strings look under them (`fmt/format.go`).

use crate::strconv::{
    can_backquote, format_float, is_print, quote, quote_rune, quote_rune_to_ascii, quote_to_ascii,
};

/// What stands between `%` and the verb.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Spec {
    pub width: Option<usize>,
    pub precision: Option<usize>,
    pub minus: bool,
    pub plus: bool,
    pub sharp: bool,
    pub space: bool,
    pub zero: bool,
    /// `%+v`.
    pub plus_v: bool,
    /// `%#v`.
    pub sharp_v: bool,
}

impl Spec {
    /// Appends `text` padded to the width.
    pub(super) fn pad(&self, out: &mut String, text: &str) {
        let missing = self.width.unwrap_or(0).saturating_sub(text.chars().count());
        if self.minus {
            out.push_str(text);
            self.padding(out, missing);
        } else {
            self.padding(out, missing);
            out.push_str(text);
        }
    }

    /// Zeros only to the left.
    pub(super) fn padding(&self, out: &mut String, count: usize) {
        let fill = if self.zero && !self.minus { '0' } else { ' ' };
        out.extend(std::iter::repeat_n(fill, count));
    }

    fn without_zeros(self) -> Spec {
        Spec {
            zero: false,
            ..self
        }
    }

    fn truncated<'a>(&self, text: &'a str) -> &'a str {
        match self.precision {
            Some(most) => match text.char_indices().nth(most) {
                Some((end, _)) => &text[..end],
                None => text,
            },
            None => text,
        }
    }

    /// `%s`.
    pub(super) fn string(&self, out: &mut String, text: &str) {
        self.pad(out, self.truncated(text));
    }

    /// `%q` of a string.
    pub(super) fn quoted(&self, out: &mut String, text: &str) {
        let text = self.truncated(text);
        let quoted = if self.sharp && can_backquote(text) {
            format!("`{text}`")
        } else if self.plus {
            quote_to_ascii(text)
        } else {
            quote(text)
        };
        self.pad(out, &quoted);
    }

    /// `%x` of a string's bytes.
    pub(super) fn hexadecimal(&self, out: &mut String, bytes: &[u8], upper: bool) {
        let length = self.precision.unwrap_or(usize::MAX).min(bytes.len());
        let mut text = String::new();
        let prefix = match (self.sharp, upper) {
            (false, _) => "",
            (true, false) => "0x",
            (true, true) => "0X",
        };
        for (at, byte) in bytes[..length].iter().enumerate() {
            if at == 0 || self.space {
                if at > 0 {
                    text.push(' ');
                }
                text.push_str(prefix);
            }
            text.push_str(&if upper {
                format!("{byte:02X}")
            } else {
                format!("{byte:02x}")
            });
        }
        self.pad(out, &text);
    }

    /// `%c`.
    pub(super) fn character(&self, out: &mut String, code: u64) {
        self.pad(out, rune(code).encode_utf8(&mut [0; 4]));
    }

    /// `%q` of an integer.
    pub(super) fn quoted_character(&self, out: &mut String, code: u64) {
        let c = rune(code);
        let text = if self.plus {
            quote_rune_to_ascii(c)
        } else {
            quote_rune(c)
        };
        self.pad(out, &text);
    }

    /// `%U`.
    pub(super) fn unicode(&self, out: &mut String, code: u64) {
        let digits = self.precision.unwrap_or(0).max(4);
        let mut text = format!("U+{code:0digits$X}");
        if let Some(c) = u32::try_from(code).ok().and_then(char::from_u32)
            && self.sharp
            && is_print(c)
        {
            text.push_str(&format!(" '{c}'"));
        }
        self.without_zeros().pad(out, &text);
    }

    /// Integers in a base of 2, 8, 10 or 16.
    pub(super) fn integer(&self, out: &mut String, value: Integer, base: u32, verb: char) {
        let (negative, magnitude) = match value {
            Integer::Signed(v) => (v < 0, v.unsigned_abs()),
            Integer::Unsigned(v) => (false, v),
        };
        let signed = negative || self.plus || self.space;
        let least = match self.precision {
            Some(0) if magnitude == 0 => {
                let width = self.width.unwrap_or(0);
                return self.without_zeros().padding(out, width);
            }
            Some(precision) => precision,
            None if self.zero && !self.minus => {
                let width = self.width.unwrap_or(0);
                width.saturating_sub(usize::from(signed))
            }
            None => 0,
        };
        let upper = verb == 'X';
        let digits = match base {
            2 => format!("{magnitude:b}"),
            8 => format!("{magnitude:o}"),
            16 if upper => format!("{magnitude:X}"),
            16 => format!("{magnitude:x}"),
            _ => magnitude.to_string(),
        };
        let digits = format!("{digits:0>least$}");
        let mut text = String::new();
        text.push_str(match (negative, self.plus, self.space) {
            (true, _, _) => "-",
            (_, true, _) => "+",
            (_, _, true) => " ",
            _ => "",
        });
        if verb == 'O' {
            text.push_str("0o");
        }
        if self.sharp {
            text.push_str(match base {
                2 => "0b",
                8 if !digits.starts_with('0') => "0",
                16 if upper => "0X",
                16 => "0x",
                _ => "",
            });
        }
        text.push_str(&digits);
        self.without_zeros().pad(out, &text);
    }

    /// Floats in one of strconv's formats; `default` is the precision unless one is given.
    pub(super) fn float(&self, out: &mut String, value: f64, bits: u32, verb: char, default: i32) {
        let precision = match self.precision {
            Some(precision) => i32::try_from(precision).unwrap_or(i32::MAX),
            None => default,
        };
        let text = format_float(value, verb, precision, bits);
        let (sign, number) = match text.as_bytes().first() {
            Some(b'-') => ('-', &text[1..]),
            Some(b'+') => ('+', &text[1..]),
            _ => ('+', text.as_str()),
        };
        let sign = if self.space && sign == '+' && !self.plus {
            ' '
        } else {
            sign
        };
        if !value.is_finite() {
            let shown = if value.is_nan() && !self.space && !self.plus {
                number.to_owned()
            } else {
                format!("{sign}{number}")
            };
            return self.without_zeros().pad(out, &shown);
        }
        let number = if self.sharp && verb != 'b' {
            keep_zeros(number, verb, precision)
        } else {
            number.to_owned()
        };
        if !self.plus && sign == '+' {
            return self.pad(out, &number);
        }
        let width = self.width.unwrap_or(0);
        if self.zero && !self.minus && width > number.len() + 1 {
            // The sign goes before the zeros.
            out.push(sign);
            self.padding(out, width - number.len() - 1);
            return out.push_str(&number);
        }
        self.pad(out, &format!("{sign}{number}"));
    }
}

/// An integer of either kind.
#[derive(Debug, Clone, Copy)]
pub(super) enum Integer {
    Signed(i64),
    Unsigned(u64),
}

impl Integer {
    /// The two's complement bits.
    pub(super) fn bits(self) -> u64 {
        match self {
            Integer::Signed(v) => v as u64,
            Integer::Unsigned(v) => v,
        }
    }
}

fn rune(code: u64) -> char {
    u32::try_from(code)
        .ok()
        .and_then(char::from_u32)
        .unwrap_or(char::REPLACEMENT_CHARACTER)
}

/// The `#` flag: a decimal point always, and for `g` the zeros that fill the precision.
fn keep_zeros(number: &str, verb: char, precision: i32) -> String {
    let mut missing = match verb {
        'g' | 'G' | 'x' => {
            if precision == -1 {
                6
            } else {
                precision
            }
        }
        _ => 0,
    };
    let hexadecimal = matches!(verb, 'x' | 'X');
    let split = number
        .find(|c| matches!(c, 'p' | 'P') || !hexadecimal && matches!(c, 'e' | 'E'))
        .unwrap_or(number.len());
    let (body, tail) = number.split_at(split);
    let mut significant = false;
    for c in body.chars().filter(|&c| c != '.') {
        significant |= c != '0';
        missing -= i32::from(significant);
    }
    let mut out = body.to_owned();
    if !body.contains('.') {
        if body == "0" {
            missing -= 1;
        }
        out.push('.');
    }
    out.extend(std::iter::repeat_n(
        '0',
        usize::try_from(missing).unwrap_or(0),
    ));
    out.push_str(tail);
    out
}
