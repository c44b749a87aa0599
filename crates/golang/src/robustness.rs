//! Whatever the input: a result or an error, and what one half writes the other reads.

use proptest::prelude::*;

use crate::fmt::{Arg, Kind, sprintf};
use crate::regexp::Regexp;
use crate::strconv::{
    format_float, parse_float, parse_int, quote, quote_to_ascii, unquote, unquote_any,
};
use crate::time::{Time, parse_duration};

const PIECES: &[&str] = &[
    "a",
    "b",
    ".",
    "*",
    "+",
    "?",
    "|",
    "(",
    ")",
    "[",
    "]",
    "^",
    "$",
    "\\d",
    "\\W",
    "\\b",
    "\\Q",
    "\\E",
    "{2}",
    "{1,}",
    "{",
    "}",
    "(?:",
    "(?i)",
    "(?P<n>",
    "(?<",
    "(?s-i:",
    "-",
    "[^",
    "[:alpha:]",
    "\\pL",
    "\\p{Greek}",
    "\\P{^Lu}",
    "\\x41",
    "\\x{",
    "\\101",
    "\\",
    "é",
    "\u{17f}",
    "&&",
    "{1000}",
    "\n",
    ".*",
    ".+",
];

proptest! {
    #[test]
    fn regexps(pieces in proptest::collection::vec(proptest::sample::select(PIECES), 0..10), text: String) {
        let pattern = pieces.concat();
        if let Ok(regexp) = Regexp::new(&pattern) {
            prop_assert_eq!(regexp.is_match(&text), regexp.find(&text).is_some());
            regexp.replace_all(&text, "<$0$1${n}>");
        }
        if let Ok(regexp) = Regexp::anchored(&pattern) {
            for text in ["", "a", "ab", "é", "\n", text.as_str()] {
                prop_assert_eq!(regexp.is_match(text), regexp.find(text).is_some(), "{} {}", pattern, text);
                if let Some(prefix) = regexp.prefix() {
                    prop_assert!(text.starts_with(prefix) || !regexp.is_match(text));
                }
                if let Some(set) = regexp.set_matches() {
                    prop_assert_eq!(set.iter().any(|t| t == text), regexp.is_match(text));
                }
            }
        }
    }

    #[test]
    fn any_pattern(pattern in "\\PC{0,20}") {
        let _ = Regexp::new(&pattern);
    }

    #[test]
    fn floats(bits: u64, format in "[eEfgGxX]", precision in 0..20i32) {
        let value = f64::from_bits(bits);
        prop_assume!(value.is_finite());
        let format = format.chars().next().unwrap_or('g');
        prop_assert_eq!(parse_float(&format_float(value, format, -1, 64)), Ok(value));
        let _ = format_float(value, format, precision, 32);
    }

    #[test]
    fn numbers_of_any_text(text in "[0-9a-fxXpP._+-]{0,12}") {
        let _ = parse_float(&text);
        let _ = parse_int(&text, 0, 64);
        let _ = parse_duration(&text);
    }

    #[test]
    fn quotes(text: String) {
        prop_assert_eq!(unquote(&quote(&text)), Ok(text.clone()));
        prop_assert_eq!(unquote(&quote_to_ascii(&text)), Ok(text.clone()));
        let _ = unquote(&text);
        let _ = unquote_any(&format!("'{text}'"));
    }

    #[test]
    fn formats(format in "[%a-z0-9.*#+ \\[\\]-]{0,14}", text: String, number: i64, float: f64) {
        let list = Arg::new("[]int", Kind::List(vec![Arg::from(number), Arg::nil()]));
        let args = [Arg::from(number), Arg::from(text.as_str()), Arg::from(float), list];
        let format = format.replace("000", "");
        let _ = sprintf(&format, &args);
    }

    #[test]
    fn times(seconds: i64, layout in "[0-9A-Za-z:. ,_+-]{0,20}", text: String) {
        let time = Time::from_unix(seconds, 5);
        let _ = time.format(&layout);
        let _ = Time::parse(&layout, &text);
        let _ = Time::parse(&layout, &time.format(&layout));
        let _ = time.add(i64::MAX).sub(&time);
        let _ = time.truncate(seconds);
    }
}
