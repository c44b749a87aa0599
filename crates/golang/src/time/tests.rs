use super::*;

#[test]
fn formats_as_go() {
    let time = Time::from_unix(1_709_287_200, 120_000_000);
    let york = time.in_zone(Zone::load("America/New_York").expect("known"));
    for (layout, expected) in [
        ("2006-01-02 15:04:05 MST", "2024-03-01 10:00:00 UTC"),
        (
            "Jan 2, 2006 at 3:04pm (MST)",
            "Mar 1, 2024 at 10:00am (UTC)",
        ),
        (
            "Monday Mon January _2 __2 002 06 03 PM",
            "Friday Fri March  1  61 061 24 10 AM",
        ),
        (RFC3339, "2024-03-01T10:00:00Z"),
        (RFC3339_NANO, "2024-03-01T10:00:00.12Z"),
        (
            ".000 ,999999 -0700 -07:00 -07 Z0700",
            ".120 ,12 +0000 +00:00 +00 Z",
        ),
        ("Janet _2006 xyz", "Janet _2024 xyz"),
        ("15h 4m 5s", "10h 0m 0s"),
    ] {
        assert_eq!(time.format(layout), expected, "{layout}");
    }
    assert_eq!(york.format("15:04 MST -0700"), "05:00 EST -0500");
    assert_eq!(time.to_string(), "2024-03-01 10:00:00.12 +0000 UTC");
    assert_eq!(Time::default().format(RFC3339), "0001-01-01T00:00:00Z");
    assert!(Time::default().is_zero());
    assert_eq!(
        Zone::load("Nowhere/Town").map_err(|e| e.to_string()),
        Err("unknown time zone Nowhere/Town".to_owned())
    );
}

#[test]
fn parses_as_go() {
    let show = |layout: &str, text: &str| match Time::parse(layout, text) {
        Ok(time) => time.to_string(),
        Err(e) => e.to_string(),
    };
    for (layout, text, expected) in [
        (
            RFC3339,
            "2024-03-01T12:00:00.5+02:00",
            "2024-03-01 12:00:00.5 +0200 +0200",
        ),
        (
            RFC3339,
            "2024-03-01T12:00:00Z",
            "2024-03-01 12:00:00 +0000 UTC",
        ),
        (
            "2006-01-02",
            "not-a-date",
            r#"parsing time "not-a-date" as "2006-01-02": cannot parse "not-a-date" as "2006""#,
        ),
        (
            "2006-01-02",
            "2024-13-01",
            r#"parsing time "2024-13-01": month out of range"#,
        ),
        (
            "2006-01-02",
            "2023-02-29",
            r#"parsing time "2023-02-29": day out of range"#,
        ),
        (
            "2006-01-02",
            "2024-02-29x",
            r#"parsing time "2024-02-29x": extra text: "x""#,
        ),
        (
            "Jan _2 2006 3:04PM",
            "feb  3 2021 12:07AM",
            "2021-02-03 00:07:00 +0000 UTC",
        ),
        ("2006 002", "2024 061", "2024-03-01 00:00:00 +0000 UTC"),
        (
            "15:04:05.000 MST",
            "01:02:03.250 CEST",
            "0000-01-01 01:02:03.25 +0000 CEST",
        ),
        (
            "2006/01",
            "2024-01",
            r#"parsing time "2024-01" as "2006/01": cannot parse "-01" as "/""#,
        ),
        (
            RFC3339,
            "",
            r#"parsing time "" as "2006-01-02T15:04:05Z07:00": cannot parse "" as "2006""#,
        ),
    ] {
        assert_eq!(show(layout, text), expected, "{layout} {text}");
    }
}

#[test]
fn durations_as_go() {
    for (nanoseconds, text) in [
        (0, "0s"),
        (1, "1ns"),
        (1_500, "1.5µs"),
        (2_000_000, "2ms"),
        (90_000_000_000, "1m30s"),
        (3_600_000_000_000, "1h0m0s"),
        (-5_400_500_000_000, "-1h30m0.5s"),
        (i64::MIN, "-2562047h47m16.854775808s"),
    ] {
        assert_eq!(format_duration(nanoseconds), text);
        assert_eq!(parse_duration(text), Ok(nanoseconds));
    }
    for (text, expected) in [
        ("", r#"time: invalid duration """#),
        ("3", r#"time: missing unit in duration "3""#),
        ("3x", r#"time: unknown unit "x" in duration "3x""#),
        (".s", r#"time: invalid duration ".s""#),
        (
            "9223372036854775808ns",
            r#"time: invalid duration "9223372036854775808ns""#,
        ),
    ] {
        assert_eq!(parse_duration(text), Err(expected.to_owned()));
    }
    assert_eq!(parse_duration("1.5h2.25s"), Ok(5_402_250_000_000));
    assert_eq!(parse_duration("+0"), Ok(0));
}
