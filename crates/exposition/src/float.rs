//! Floats as the expositions print them: Go's `strconv.FormatFloat(f, 'g', -1, 64)`, the shortest
//! digits with an exponent below 1e-4 and from 1e+06 on.

use golang::strconv::append_float;

/// Appends `f` as the text format prints it: `0`, `1e+06`, `+Inf`, `NaN`.
pub(crate) fn write_text(out: &mut Vec<u8>, f: f64) {
    if f == 0.0 {
        // Upstream prints -0 without its sign.
        out.push(b'0');
    } else {
        append_float(out, f, 'g', -1, 64);
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
