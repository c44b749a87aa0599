//! Floats as the expositions print them: Go's `strconv.FormatFloat(f, 'g', -1, 64)`, the shortest
//! digits with an exponent below 1e-4 and from 1e+06 on.

/// Appends `f` as the text format prints it: `0`, `1e+06`, `+Inf`, `NaN`.
pub(crate) fn write_text(out: &mut Vec<u8>, f: f64) {
    if f.fract() == 0.0 && f.abs() < 1e6 {
        // Also turns -0 into 0, as upstream does.
        out.extend_from_slice(itoa::Buffer::new().format(f as i64).as_bytes());
    } else if f.is_nan() {
        out.extend_from_slice(b"NaN");
    } else if f.is_infinite() {
        out.extend_from_slice(if f > 0.0 { b"+Inf" } else { b"-Inf" });
    } else {
        write_shortest(out, f);
    }
}

/// Appends `f` as OpenMetrics prints it: like the text format, but never without `.` or `e`.
pub(crate) fn write_openmetrics(out: &mut Vec<u8>, f: f64) {
    let start = out.len();
    write_text(out, f);
    if f.is_finite() && !out[start..].iter().any(|b| matches!(b, b'.' | b'e')) {
        out.extend_from_slice(b".0");
    }
}

/// Appends an integer.
pub(crate) fn write_int(out: &mut Vec<u8>, n: impl itoa::Integer) {
    out.extend_from_slice(itoa::Buffer::new().format(n).as_bytes());
}

fn write_shortest(out: &mut Vec<u8>, f: f64) {
    let mut buffer = zmij::Buffer::new();
    let text = buffer.format_finite(f.abs());
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let exponent: i32 = exponent.parse().unwrap_or(0);

    // digits[start..end] without zeros at either end; the point stands `point` digits after `start`.
    let mut digits = [0u8; 64];
    let len = whole.len() + fraction.len();
    digits[..whole.len()].copy_from_slice(whole.as_bytes());
    digits[whole.len()..len].copy_from_slice(fraction.as_bytes());
    let start = digits[..len].iter().take_while(|d| **d == b'0').count();
    let end = len
        - digits[start..len]
            .iter()
            .rev()
            .take_while(|d| **d == b'0')
            .count();
    let point = whole.len() as i32 + exponent - start as i32;
    let digits = &digits[start..end];

    if f < 0.0 {
        out.push(b'-');
    }
    let scientific = point - 1;
    if !(-4..6).contains(&scientific) {
        out.push(digits[0]);
        if digits.len() > 1 {
            out.push(b'.');
            out.extend_from_slice(&digits[1..]);
        }
        out.extend_from_slice(if scientific < 0 { b"e-" } else { b"e+" });
        let magnitude = scientific.unsigned_abs();
        if magnitude < 10 {
            out.push(b'0');
        }
        write_int(out, magnitude);
    } else if point <= 0 {
        out.extend_from_slice(b"0.");
        out.extend(std::iter::repeat_n(b'0', point.unsigned_abs() as usize));
        out.extend_from_slice(digits);
    } else {
        let point = point as usize;
        let whole = digits.len().min(point);
        out.extend_from_slice(&digits[..whole]);
        out.extend(std::iter::repeat_n(b'0', point - whole));
        if digits.len() > whole {
            out.push(b'.');
            out.extend_from_slice(&digits[whole..]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(f: f64) -> String {
        let mut out = Vec::new();
        write_text(&mut out, f);
        String::from_utf8(out).unwrap()
    }

    fn openmetrics(f: f64) -> String {
        let mut out = Vec::new();
        write_openmetrics(&mut out, f);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn layout_of_go() {
        for (f, t, om) in [
            (0.0, "0", "0.0"),
            (-0.0, "0", "0.0"),
            (1.0, "1", "1.0"),
            (-1.0, "-1", "-1.0"),
            (999_999.0, "999999", "999999.0"),
            (1e6, "1e+06", "1e+06"),
            (123_456_789.0, "1.23456789e+08", "1.23456789e+08"),
            (1_234_567.5, "1.2345675e+06", "1.2345675e+06"),
            (172.8, "172.8", "172.8"),
            (0.0001, "0.0001", "0.0001"),
            (0.00001, "1e-05", "1e-05"),
            (-1.23e-45, "-1.23e-45", "-1.23e-45"),
            (3.14e42, "3.14e+42", "3.14e+42"),
            (
                f64::MAX,
                "1.7976931348623157e+308",
                "1.7976931348623157e+308",
            ),
            (5e-324, "5e-324", "5e-324"),
            (1e21, "1e+21", "1e+21"),
            (100_000.5, "100000.5", "100000.5"),
            (0.1 + 0.2, "0.30000000000000004", "0.30000000000000004"),
            (f64::INFINITY, "+Inf", "+Inf"),
            (f64::NEG_INFINITY, "-Inf", "-Inf"),
            (f64::NAN, "NaN", "NaN"),
        ] {
            assert_eq!(text(f), t);
            assert_eq!(openmetrics(f), om);
        }
    }
}
