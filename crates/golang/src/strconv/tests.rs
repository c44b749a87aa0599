use super::*;

#[test]
fn quotes_as_go() {
    for (text, expected) in [
        ("", r#""""#),
        ("a\"b\\c", r#""a\"b\\c""#),
        (
            "\x07\x08\x0c\n\r\t\x0b\x01\x7f",
            r#""\a\b\f\n\r\t\v\x01\x7f""#,
        ),
        ("é世🎉", "\"é世🎉\""),
        (
            "\u{a0}\u{ad}\u{200b}\u{feff}\u{e000}",
            r#""\u00a0\u00ad\u200b\ufeff\ue000""#,
        ),
        ("\u{10ffff}", r#""\U0010ffff""#),
        ("\u{fffd}", "\"\u{fffd}\""),
    ] {
        assert_eq!(quote(text), expected);
        assert_eq!(quote_bytes(text.as_bytes()), expected);
        assert_eq!(unquote(expected).as_deref(), Ok(text));
    }
    assert_eq!(quote_bytes(b"a\xff\x80z"), r#""a\xff\x80z""#);
    assert_eq!(quote_rune('\''), r"'\''");
    assert_eq!(quote_rune('"'), "'\"'");
    assert_eq!(quote_to_ascii("é🎉"), r#""\u00e9\U0001f389""#);
}

#[test]
fn unquotes_as_go() {
    for (literal, expected) in [
        ("''", Some("")),
        ("'a'", Some("a")),
        ("'ab'", None),
        ("\"a\nb\"", None),
        (r"'\x41'", Some("A")),
        (r"'\''", Some("'")),
        (r#""\'""#, None),
        (r#"'\"'"#, None),
        (r#"""""#, None),
        ("`a`b`", None),
        ("`a\r\\n`", Some("a\\n")),
        (r#""\101\u00e9\U0001F389""#, Some("Aé🎉")),
        (r#""\400""#, None),
        (r#""\ud800""#, None),
        (r#""\""#, None),
        ("\"", None),
        ("", None),
        ("abc", None),
        ("\"a'", None),
        (r#""\xff""#, Some("\u{fffd}")),
        (r#""\xé""#, None),
    ] {
        assert_eq!(unquote(literal).ok().as_deref(), expected, "{literal}");
    }
    assert_eq!(unquote_any("'ab\\''").as_deref(), Ok("ab'"));
    assert_eq!(unquote_any("`a\r`").as_deref(), Ok("a\r"));
    assert_eq!(unquote_bytes(r#""\xffa""#), Ok(b"\xffa".to_vec()));
}

#[test]
fn formats_floats_as_go() {
    for (value, format, precision, bits, expected) in [
        (1e6, 'g', -1, 64, "1e+06"),
        (999_999.0, 'g', -1, 64, "999999"),
        (1_234_567.5, 'g', -1, 64, "1.2345675e+06"),
        (1_234_567.5, 'f', -1, 64, "1234567.5"),
        (1e21, 'f', -1, 64, "1000000000000000000000"),
        (1e-5, 'g', -1, 64, "1e-05"),
        (1e-4, 'g', -1, 64, "0.0001"),
        (0.0, 'g', -1, 64, "0"),
        (-0.0, 'g', -1, 64, "-0"),
        (0.0, 'e', -1, 64, "0e+00"),
        (0.0, 'e', 3, 64, "0.000e+00"),
        (f64::NAN, 'g', -1, 64, "NaN"),
        (f64::INFINITY, 'f', 3, 64, "+Inf"),
        (f64::NEG_INFINITY, 'e', 3, 64, "-Inf"),
        (100.0, 'e', -1, 64, "1e+02"),
        (0.5, 'f', 0, 64, "0"),
        (1.5, 'f', 0, 64, "2"),
        (2.5, 'f', 0, 64, "2"),
        (0.1, 'f', 20, 64, "0.10000000000000000555"),
        (100.0, 'g', 3, 64, "100"),
        (1000.0, 'g', 3, 64, "1e+03"),
        (123_456.0, 'g', 4, 64, "1.235e+05"),
        (0.000_012_34, 'G', 3, 64, "1.23E-05"),
        (100_000.0, 'g', 17, 64, "100000"),
        (f64::from(0.1f32), 'g', -1, 32, "0.1"),
        (f64::from(0.1f32), 'g', -1, 64, "0.10000000149011612"),
        (5e-324, 'g', -1, 64, "5e-324"),
        (f64::MAX, 'g', -1, 64, "1.7976931348623157e+308"),
        (1.0, 'x', -1, 64, "0x1p+00"),
        (1.5, 'x', -1, 64, "0x1.8p+00"),
        (0.1, 'x', 3, 64, "0x1.99ap-04"),
        (1.0, 'X', 2, 64, "0X1.00P+00"),
        (0.0, 'x', -1, 64, "0x0p+00"),
        (1.0, 'b', -1, 64, "4503599627370496p-52"),
        (1.0, 'q', -1, 64, "%q"),
    ] {
        assert_eq!(format_float(value, format, precision, bits), expected);
    }
}

#[test]
fn parses_floats_as_go() {
    let show = |text: &str| match parse_float(text) {
        Ok(v) => format_float(v, 'g', -1, 64),
        Err(e) => e.to_string(),
    };
    for (text, expected) in [
        ("1_000", "1000"),
        ("0x_1p-2", "0.25"),
        ("0_1e1", "10"),
        ("1e1_0", "1e+10"),
        (".5", "0.5"),
        ("5.", "5"),
        ("infinity", "+Inf"),
        ("-INF", "-Inf"),
        ("NaN", "NaN"),
        ("0x1.8p1", "3"),
        ("0x1p-1074", "5e-324"),
        ("0x1p-1076", "0"),
        (
            "0x1.fffffffffffff8p1023",
            r#"strconv.ParseFloat: parsing "0x1.fffffffffffff8p1023": value out of range"#,
        ),
        ("0x1.00000000000008p0", "1"),
        ("0x1.00000000000008000000000000001p0", "1.0000000000000002"),
        ("x", r#"strconv.ParseFloat: parsing "x": invalid syntax"#),
        (
            "+nan",
            r#"strconv.ParseFloat: parsing "+nan": invalid syntax"#,
        ),
        ("", r#"strconv.ParseFloat: parsing "": invalid syntax"#),
        (".", r#"strconv.ParseFloat: parsing ".": invalid syntax"#),
        (
            "0x1",
            r#"strconv.ParseFloat: parsing "0x1": invalid syntax"#,
        ),
        (
            "1__0",
            r#"strconv.ParseFloat: parsing "1__0": invalid syntax"#,
        ),
        (
            "1e400",
            r#"strconv.ParseFloat: parsing "1e400": value out of range"#,
        ),
        ("1 ", r#"strconv.ParseFloat: parsing "1 ": invalid syntax"#),
        (
            "i_nf",
            r#"strconv.ParseFloat: parsing "i_nf": invalid syntax"#,
        ),
    ] {
        assert_eq!(show(text), expected, "{text}");
    }
    assert!(parse_float32("1e39").is_err());
    assert_eq!(parse_float32("0.1"), Ok(0.1));
}

#[test]
fn parses_integers_as_go() {
    for (text, base, bits, expected) in [
        ("42", 10, 64, Ok(42)),
        ("-0x1F", 0, 64, Ok(-31)),
        ("017", 0, 64, Ok(15)),
        ("0b1_0", 0, 64, Ok(2)),
        ("1_0", 10, 64, Err("invalid syntax")),
        ("_1", 0, 64, Err("invalid syntax")),
        ("-9223372036854775808", 10, 64, Ok(i64::MIN)),
        ("9223372036854775808", 10, 64, Err("value out of range")),
        ("128", 10, 8, Err("value out of range")),
        ("-128", 10, 8, Ok(-128)),
        ("", 10, 64, Err("invalid syntax")),
        ("-", 10, 64, Err("invalid syntax")),
        ("1", 1, 64, Err("invalid base 1")),
    ] {
        let got = parse_int(text, base, bits).map_err(|e| e.to_string());
        let expected =
            expected.map_err(|e| format!("strconv.ParseInt: parsing {}: {e}", quote(text)));
        assert_eq!(got, expected);
    }
    assert_eq!(parse_uint("18446744073709551615", 10, 64), Ok(u64::MAX));
    assert!(parse_uint("-1", 10, 64).is_err());
}
