//! Sample values: a fast reader of decimal floats, and upstream's words for what is none.

use golang::strconv::parse_float;
use model::NORMAL_NAN;

/// Powers of ten that a float holds exactly.
const EXACT_POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];

/// Reads a sample value as Go's `strconv.ParseFloat` does, without the notations of Go 1.13; NaN
/// comes as the canonical NaN.
pub(super) fn sample_value(text: &[u8]) -> Result<f64, String> {
    match fast(text) {
        Some(value) => Ok(value),
        None => slow(text),
    }
}

#[cold]
#[inline(never)]
fn slow(text: &[u8]) -> Result<f64, String> {
    if text.iter().any(|b| matches!(b, b'p' | b'P' | b'_')) {
        return Err("unsupported character in float".to_owned());
    }
    let Ok(text) = std::str::from_utf8(text) else {
        let quoted = golang::strconv::quote_bytes(text);
        return Err(format!(
            "strconv.ParseFloat: parsing {quoted}: invalid syntax"
        ));
    };
    match parse_float(text) {
        Ok(value) if value.is_nan() => Ok(NORMAL_NAN),
        Ok(value) => Ok(value),
        Err(error) => Err(error.to_string()),
    }
}

/// Decimal numbers of up to 19 digits whose value is exact by one multiplication or division
/// (Clinger's fast path), or that the standard library reads. `None` for anything unusual.
#[inline]
fn fast(text: &[u8]) -> Option<f64> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    let mut mantissa = 0u64;
    let mut count = 0u32;
    let mut i = 0;
    while let Some(digit) = digits
        .get(i)
        .map(|b| b.wrapping_sub(b'0'))
        .filter(|d| *d < 10)
    {
        mantissa = mantissa.wrapping_mul(10).wrapping_add(u64::from(digit));
        count += 1;
        i += 1;
    }
    let mut exponent = 0i32;
    if digits.get(i) == Some(&b'.') {
        i += 1;
        let start = i;
        while let Some(digit) = digits
            .get(i)
            .map(|b| b.wrapping_sub(b'0'))
            .filter(|d| *d < 10)
        {
            mantissa = mantissa.wrapping_mul(10).wrapping_add(u64::from(digit));
            i += 1;
        }
        exponent = -((i - start) as i32);
        count += (i - start) as u32;
    }
    if count == 0 {
        return None;
    }
    if let Some(b'e' | b'E') = digits.get(i) {
        i += 1;
        let mut sign = 1;
        if let Some(b @ (b'-' | b'+')) = digits.get(i) {
            sign = if *b == b'-' { -1 } else { 1 };
            i += 1;
        }
        let start = i;
        let mut written = 0i32;
        while let Some(digit) = digits
            .get(i)
            .map(|b| b.wrapping_sub(b'0'))
            .filter(|d| *d < 10)
        {
            written = written.saturating_mul(10).saturating_add(i32::from(digit));
            i += 1;
        }
        if i == start || written > 10_000 {
            return None;
        }
        exponent += sign * written;
    }
    if i != digits.len() {
        return None;
    }
    let value = if count <= 19 && mantissa <= 1 << 53 && (-22..=22).contains(&exponent) {
        let power = EXACT_POWERS[exponent.unsigned_abs() as usize];
        if exponent < 0 {
            mantissa as f64 / power
        } else {
            mantissa as f64 * power
        }
    } else {
        // Checked above to be a plain decimal number, of which both libraries think the same;
        // an overflow is an error for Go.
        let value: f64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
        if value.is_infinite() {
            return None;
        }
        value
    };
    Some(if negative { -value } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_go_reads() {
        for (text, value) in [
            ("0", 0.0),
            ("1", 1.0),
            ("-1.5e-7", -1.5e-7),
            ("+4", 4.0),
            (".5", 0.5),
            ("5.", 5.0),
            ("1e+06", 1e6),
            ("1E6", 1e6),
            ("1.7976931348623157e+308", f64::MAX),
            ("5e-324", 5e-324),
            ("18446744073709551617", 18_446_744_073_709_551_617.0),
            ("123456789012345678901234567890", 1.2345678901234568e29),
            ("0.30000000000000004", 0.1 + 0.2),
            ("1.7560473e+06", 1_756_047.3),
            ("9007199254740993", 9_007_199_254_740_992.0),
            ("Inf", f64::INFINITY),
            ("-inf", f64::NEG_INFINITY),
            ("+Infinity", f64::INFINITY),
        ] {
            assert_eq!(sample_value(text.as_bytes()), Ok(value), "{text}");
        }
        assert!(sample_value(b"-0").unwrap().is_sign_negative());
        for text in ["nan", "NaN"] {
            let bits = sample_value(text.as_bytes()).map(f64::to_bits);
            assert_eq!(bits, Ok(model::value::NORMAL_NAN_BITS));
        }
    }

    #[test]
    fn refuses_in_upstreams_words() {
        for (text, error) in [
            ("", r#"strconv.ParseFloat: parsing "": invalid syntax"#),
            ("1e", r#"strconv.ParseFloat: parsing "1e": invalid syntax"#),
            (
                "1.1.1",
                r#"strconv.ParseFloat: parsing "1.1.1": invalid syntax"#,
            ),
            ("-", r#"strconv.ParseFloat: parsing "-": invalid syntax"#),
            (
                "-NaN",
                r#"strconv.ParseFloat: parsing "-NaN": invalid syntax"#,
            ),
            (
                "0x1F",
                r#"strconv.ParseFloat: parsing "0x1F": invalid syntax"#,
            ),
            (
                "1e400",
                r#"strconv.ParseFloat: parsing "1e400": value out of range"#,
            ),
            ("1_0", "unsupported character in float"),
            ("0x1p-3", "unsupported character in float"),
        ] {
            assert_eq!(
                sample_value(text.as_bytes()),
                Err(error.to_owned()),
                "{text}"
            );
        }
    }
}
