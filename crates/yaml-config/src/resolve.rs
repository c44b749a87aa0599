//! What a plain scalar means (go-yaml v2 `resolve.go`, YAML 1.1).

/// The type a scalar's text has by itself.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Resolved {
    Null,
    Bool(bool),
    Int(i64),
    /// Integers above `i64`.
    Uint(u64),
    Float(f64),
    Text,
}

impl Resolved {
    /// Go's short tag, for messages.
    pub fn tag(self) -> &'static str {
        match self {
            Resolved::Null => "!!null",
            Resolved::Bool(_) => "!!bool",
            Resolved::Int(_) | Resolved::Uint(_) => "!!int",
            Resolved::Float(_) => "!!float",
            Resolved::Text => "!!str",
        }
    }
}

/// Resolves the text of a plain scalar.
pub(crate) fn resolve(text: &str) -> Resolved {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Resolved::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            return Resolved::Bool(true);
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return Resolved::Bool(false);
        }
        ".nan" | ".NaN" | ".NAN" => return Resolved::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => {
            return Resolved::Float(f64::INFINITY);
        }
        "-.inf" | "-.Inf" | "-.INF" => return Resolved::Float(f64::NEG_INFINITY),
        _ => {}
    }
    if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.')) {
        return Resolved::Text;
    }
    let plain = text.replace('_', "");
    integer(&plain)
        .or_else(|| float(&plain))
        .unwrap_or(Resolved::Text)
}

fn integer(text: &str) -> Option<Resolved> {
    let (negative, digits) = match text.strip_prefix(['-', '+']) {
        Some(rest) => (text.starts_with('-'), rest),
        None => (false, text),
    };
    let (radix, body) = if let Some(body) = digits.strip_prefix("0x").or(digits.strip_prefix("0X"))
    {
        (16, body)
    } else if let Some(body) = digits.strip_prefix("0b").or(digits.strip_prefix("0B")) {
        (2, body)
    } else if let Some(body) = digits.strip_prefix("0o").or(digits.strip_prefix("0O")) {
        (8, body)
    } else if digits.len() > 1 && digits.starts_with('0') {
        (8, &digits[1..])
    } else {
        (10, digits)
    };
    if body.is_empty() || !body.chars().all(|c| c.is_digit(radix)) {
        return None;
    }
    let magnitude = u64::from_str_radix(body, radix).ok()?;
    if !negative {
        return Some(match i64::try_from(magnitude) {
            Ok(value) => Resolved::Int(value),
            Err(_) => Resolved::Uint(magnitude),
        });
    }
    0i64.checked_sub_unsigned(magnitude).map(Resolved::Int)
}

/// `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`
fn float(text: &str) -> Option<Resolved> {
    let body = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match body.find(['e', 'E']) {
        Some(at) => (&body[..at], Some(&body[at + 1..])),
        None => (body, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, fraction),
        None => (mantissa, ""),
    };
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || (whole.is_empty() && fraction.is_empty()) {
        return None;
    }
    if let Some(exponent) = exponent {
        let body = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        if body.is_empty() || !digits(body) {
            return None;
        }
    }
    text.parse().ok().map(Resolved::Float)
}

/// A number of base 60 in YAML 1.1 (`190:20:30`): go-yaml quotes it so that others do not read it so.
pub(crate) fn looks_sexagesimal(text: &str) -> bool {
    let body = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (groups, fraction) = match body.split_once('.') {
        Some((groups, fraction)) => (groups, fraction),
        None => (body, ""),
    };
    let mut parts = groups.split(':');
    let number =
        |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || b == b'_');
    let first = parts
        .next()
        .is_some_and(|part| number(part) && part.starts_with(|c: char| c.is_ascii_digit()));
    let mut count = 0;
    let rest = parts.all(|part| {
        count += 1;
        match part.len() {
            1 => part.bytes().all(|b| b.is_ascii_digit()),
            2 => matches!(part.as_bytes()[0], b'0'..=b'5') && part.as_bytes()[1].is_ascii_digit(),
            _ => false,
        }
    });
    first && rest && count > 0 && fraction.bytes().all(|b| b.is_ascii_digit() || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_scalars() {
        for (text, expected) in [
            ("", Resolved::Null),
            ("~", Resolved::Null),
            ("yes", Resolved::Bool(true)),
            ("OFF", Resolved::Bool(false)),
            ("yEs", Resolved::Text),
            ("12", Resolved::Int(12)),
            ("-12", Resolved::Int(-12)),
            ("+1_000", Resolved::Int(1000)),
            ("0x1F", Resolved::Int(31)),
            ("010", Resolved::Int(8)),
            ("0o10", Resolved::Int(8)),
            ("0b11", Resolved::Int(3)),
            ("09", Resolved::Float(9.0)),
            ("-9223372036854775808", Resolved::Int(i64::MIN)),
            ("18446744073709551615", Resolved::Uint(u64::MAX)),
            ("1.5", Resolved::Float(1.5)),
            (".5", Resolved::Float(0.5)),
            ("1e3", Resolved::Float(1000.0)),
            ("1.", Resolved::Float(1.0)),
            ("-.inf", Resolved::Float(f64::NEG_INFINITY)),
            ("1m", Resolved::Text),
            (".", Resolved::Text),
            ("1.2.3.4", Resolved::Text),
            ("1e", Resolved::Text),
            ("-", Resolved::Text),
            ("inf", Resolved::Text),
        ] {
            assert_eq!(resolve(text), expected, "{text:?}");
        }
        assert!(matches!(resolve(".nan"), Resolved::Float(f) if f.is_nan()));
    }

    #[test]
    fn base_sixty() {
        for (text, yes) in [
            ("1:30", true),
            ("190:20:30.15", true),
            ("1:60", false),
            ("a:1", false),
            ("12", false),
        ] {
            assert_eq!(looks_sexagesimal(text), yes, "{text}");
        }
    }
}
