//! Numbers from text (`internal/strconv/{atof,atoi}.go`): Go's grammar and Go's errors.

use super::quote::quote;

/// A text that is no number; Go's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("strconv.{function}: parsing {}: {kind}", quote(.text))]
pub struct NumError {
    /// The Go function: `ParseFloat`, `ParseInt`, ...
    pub function: &'static str,
    /// What was to be a number.
    pub text: String,
    pub kind: NumErrorKind,
}

/// Why a text is no number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NumErrorKind {
    #[error("invalid syntax")]
    Syntax,
    #[error("value out of range")]
    Range,
    #[error("invalid base {0}")]
    Base(u32),
}

/// `strconv.ParseFloat(text, 64)`: decimal and hexadecimal floats, underscores between digits as Go
/// literals have them, `inf`, `infinity` and `nan` in any case.
///
/// # Errors
/// Go's message; a number too large is out of range.
pub fn parse_float(text: &str) -> Result<f64, NumError> {
    read_float(text, f64::INFINITY, 53, -1074, |decimal| {
        decimal.parse().ok()
    })
}

/// `strconv.ParseFloat(text, 32)`.
///
/// # Errors
/// As [`parse_float`].
pub fn parse_float32(text: &str) -> Result<f32, NumError> {
    let read = |decimal: &str| decimal.parse::<f32>().ok().map(f64::from);
    read_float(text, f64::from(f32::MAX), 24, -149, read).map(|v| v as f32)
}

fn read_float(
    text: &str,
    largest: f64,
    mantissa_bits: u32,
    smallest_exponent: i32,
    read: impl Fn(&str) -> Option<f64>,
) -> Result<f64, NumError> {
    let error = |kind| NumError {
        function: "ParseFloat",
        text: text.to_owned(),
        kind,
    };
    let value = if text
        .bytes()
        .all(|b| matches!(b, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-'))
    {
        read(text)
    } else if let Some(value) = special(text) {
        return Ok(value);
    } else if text.contains('_') {
        underscores_ok(text)
            .then(|| without_underscores(text))
            .and_then(|plain| {
                if is_hexadecimal(&plain) {
                    hexadecimal(&plain, mantissa_bits, smallest_exponent)
                } else if plain
                    .bytes()
                    .any(|b| b.is_ascii_alphabetic() && !matches!(b, b'e' | b'E'))
                {
                    None
                } else {
                    read(&plain)
                }
            })
    } else {
        hexadecimal(text, mantissa_bits, smallest_exponent)
    };
    match value {
        None => Err(error(NumErrorKind::Syntax)),
        Some(v) if v.is_infinite() || v.abs() > largest => Err(error(NumErrorKind::Range)),
        Some(v) => Ok(v),
    }
}

fn special(text: &str) -> Option<f64> {
    let (negative, word) = match text.as_bytes().first()? {
        b'+' => (false, &text[1..]),
        b'-' => (true, &text[1..]),
        _ if text.eq_ignore_ascii_case("nan") => return Some(f64::NAN),
        _ => (false, text),
    };
    let infinite = word.eq_ignore_ascii_case("inf") || word.eq_ignore_ascii_case("infinity");
    infinite.then_some(if negative {
        f64::NEG_INFINITY
    } else {
        f64::INFINITY
    })
}

fn is_hexadecimal(text: &str) -> bool {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    digits
        .get(..2)
        .is_some_and(|p| p.eq_ignore_ascii_case("0x"))
}

/// Underscores may stand only between digits, or between the base prefix and a digit.
fn underscores_ok(text: &str) -> bool {
    let bytes = text.strip_prefix(['+', '-']).unwrap_or(text).as_bytes();
    let prefixed = bytes.len() >= 2
        && bytes[0] == b'0'
        && matches!(bytes[1].to_ascii_lowercase(), b'b' | b'o' | b'x');
    let hexadecimal = prefixed && bytes[1].eq_ignore_ascii_case(&b'x');
    let (mut digit_before, mut underscore_before) = (prefixed, false);
    for &byte in &bytes[if prefixed { 2 } else { 0 }..] {
        let digit = byte.is_ascii_digit() || hexadecimal && byte.is_ascii_hexdigit();
        if byte == b'_' && !digit_before || !digit && byte != b'_' && underscore_before {
            return false;
        }
        digit_before = digit;
        underscore_before = byte == b'_';
    }
    !underscore_before
}

fn without_underscores(text: &str) -> String {
    text.chars().filter(|&c| c != '_').collect()
}

/// `[+-]0x` digits with at most one point, then `p` and a decimal exponent, which is required.
fn hexadecimal(text: &str, mantissa_bits: u32, smallest_exponent: i32) -> Option<f64> {
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let text = text
        .strip_prefix("0x")
        .or_else(|| text.strip_prefix("0X"))?;
    let (digits, power) = text.split_once(['p', 'P'])?;
    let (mut mantissa, mut exponent, mut lost) = (0u64, 0i32, false);
    let (mut seen_digit, mut seen_point) = (false, false);
    for byte in digits.bytes() {
        if byte == b'.' {
            if seen_point {
                return None;
            }
            seen_point = true;
            continue;
        }
        let digit = u64::from(char::from(byte).to_digit(16)?);
        seen_digit = true;
        if mantissa >> 60 == 0 {
            mantissa = mantissa << 4 | digit;
            exponent -= if seen_point { 4 } else { 0 };
        } else {
            lost |= digit != 0;
            exponent = exponent.saturating_add(if seen_point { 0 } else { 4 });
        }
    }
    let unsigned = power.strip_prefix(['+', '-']).unwrap_or(power);
    if !seen_digit || unsigned.is_empty() || !unsigned.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let power: i32 = unsigned.parse().unwrap_or(100_000).min(100_000);
    let negative_power = text.contains("p-") || text.contains("P-");
    exponent = exponent.saturating_add(if negative_power { -power } else { power });
    let value = scale(mantissa, exponent, lost, mantissa_bits, smallest_exponent);
    Some(if negative { -value } else { value })
}

/// `mantissa * 2^exponent`, rounded half to even at `bits` of mantissa.
fn scale(mantissa: u64, exponent: i32, lost: bool, bits: u32, smallest_exponent: i32) -> f64 {
    if mantissa == 0 {
        return 0.0;
    }
    let surplus = (64 - mantissa.leading_zeros()) as i32 - bits as i32;
    // Denormals have fewer bits: the last one kept is worth 2^smallest_exponent.
    let drop = surplus.max(smallest_exponent.saturating_sub(exponent));
    if drop <= 0 {
        return power_of_two(mantissa as f64, exponent);
    }
    if drop > 64 {
        return 0.0;
    }
    let wide = u128::from(mantissa);
    let (mut kept, cut, half) = (wide >> drop, wide & ((1 << drop) - 1), 1u128 << (drop - 1));
    if cut > half || cut == half && (lost || kept & 1 == 1) {
        kept += 1;
    }
    power_of_two(kept as f64, exponent.saturating_add(drop))
}

/// `value * 2^exponent` where every step is exact or overflows.
fn power_of_two(mut value: f64, mut exponent: i32) -> f64 {
    while exponent > 0 && value.is_finite() {
        let step = exponent.min(1000);
        value *= 2f64.powi(step);
        exponent -= step;
    }
    while exponent < 0 && value != 0.0 {
        let step = exponent.max(-1000);
        value *= 2f64.powi(step);
        exponent -= step;
    }
    value
}

/// `strconv.ParseInt(text, base, bits)`: base 0 takes the prefix's (`0x`, `0o`, `0`, `0b`) and allows
/// underscores; `bits` 0 is 64.
///
/// # Errors
/// Go's message.
pub fn parse_int(text: &str, base: u32, bits: u32) -> Result<i64, NumError> {
    let error = |kind| NumError {
        function: "ParseInt",
        text: text.to_owned(),
        kind,
    };
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let magnitude = match read_uint(digits, base, 64) {
        Ok(value) => value,
        Err(kind) => return Err(error(kind)),
    };
    let limit = 1u64 << (if bits == 0 { 64 } else { bits.min(64) } - 1);
    match negative {
        false if magnitude >= limit => Err(error(NumErrorKind::Range)),
        true if magnitude > limit => Err(error(NumErrorKind::Range)),
        false => Ok(magnitude as i64),
        true => Ok((magnitude as i64).wrapping_neg()),
    }
}

/// `strconv.ParseUint(text, base, bits)`, as [`parse_int`] without a sign.
///
/// # Errors
/// Go's message.
pub fn parse_uint(text: &str, base: u32, bits: u32) -> Result<u64, NumError> {
    read_uint(text, base, bits).map_err(|kind| NumError {
        function: "ParseUint",
        text: text.to_owned(),
        kind,
    })
}

fn read_uint(text: &str, base: u32, bits: u32) -> Result<u64, NumErrorKind> {
    if text.is_empty() {
        return Err(NumErrorKind::Syntax);
    }
    let (radix, digits) = match base {
        0 => base_of(text),
        2..=36 => (base, text),
        other => return Err(NumErrorKind::Base(other)),
    };
    let largest = match bits {
        0 | 64.. => u64::MAX,
        bits => (1 << bits) - 1,
    };
    let mut value = 0u64;
    for c in digits.chars() {
        if c == '_' && base == 0 {
            continue;
        }
        let digit = c.to_digit(radix).ok_or(NumErrorKind::Syntax)?;
        match value
            .checked_mul(u64::from(radix))
            .and_then(|v| v.checked_add(u64::from(digit)))
        {
            Some(v) if v <= largest => value = v,
            // Go stops at the digit that is too much and looks at no later ones.
            _ => return Err(NumErrorKind::Range),
        }
    }
    if text.contains('_') && !underscores_ok(text) {
        return Err(NumErrorKind::Syntax);
    }
    Ok(value)
}

fn base_of(text: &str) -> (u32, &str) {
    let bytes = text.as_bytes();
    if bytes[0] != b'0' {
        return (10, text);
    }
    match bytes.get(1).map(u8::to_ascii_lowercase) {
        Some(b'b') if bytes.len() >= 3 => (2, &text[2..]),
        Some(b'o') if bytes.len() >= 3 => (8, &text[2..]),
        Some(b'x') if bytes.len() >= 3 => (16, &text[2..]),
        _ => (8, &text[1..]),
    }
}

/// `strconv.ParseBool`.
///
/// # Errors
/// Go's message.
pub fn parse_bool(text: &str) -> Result<bool, NumError> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(NumError {
            function: "ParseBool",
            text: text.to_owned(),
            kind: NumErrorKind::Syntax,
        }),
    }
}
