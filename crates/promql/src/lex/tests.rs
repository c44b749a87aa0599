use super::*;

fn kinds(input: &str) -> Vec<(Kind, String)> {
    let mut lexer = Lexer::new(input.as_bytes());
    let mut out = Vec::new();
    loop {
        let token = lexer.next_token();
        match token.kind {
            Kind::Eof => return out,
            Kind::Error => {
                out.push((Kind::Error, lexer.error_message().to_owned()));
                return out;
            }
            kind => out.push((kind, lexer.text(token).to_owned())),
        }
    }
}

fn check(input: &str, expected: &[(Kind, &str)]) {
    let expected: Vec<_> = expected
        .iter()
        .map(|(kind, text)| (*kind, (*text).to_owned()))
        .collect();
    assert_eq!(kinds(input), expected, "{input}");
}

#[test]
fn numbers_and_durations() {
    for number in [
        "1", "4.23", ".3", "5.", "1e3", "1E-2", "0x1F", "1_000", "00_1_2", "0755", "1e+1_0",
    ] {
        check(number, &[(Kind::Number, number)]);
    }
    for duration in ["5s", "123m", "1h30m", "3w", "2y", "100ms", "1d12h"] {
        check(duration, &[(Kind::Duration, duration)]);
    }
    for (bad, shown) in [
        ("1..2", "1.."),
        ("1e", "1e"),
        ("1__0", "1__"),
        ("0xg", "0xg"),
        ("5q", "5"),
        ("1_", "1_"),
    ] {
        let tokens = kinds(bad);
        assert_eq!(tokens.len(), 1, "{bad}: {tokens:?}");
        assert_eq!(tokens[0].0, Kind::Error, "{bad}");
        let message = format!(
            "bad number or duration syntax: {}",
            quoted(shown.as_bytes())
        );
        if bad != "0xg" {
            assert_eq!(tokens[0].1, message, "{bad}");
        }
    }
}

#[test]
fn words() {
    check(
        "sum",
        &[(Kind::Aggregate(crate::ast::AggregateOp::Sum), "sum")],
    );
    check(
        "SUM",
        &[(Kind::Aggregate(crate::ast::AggregateOp::Sum), "SUM")],
    );
    check("a:b", &[(Kind::MetricIdentifier, "a:b")]);
    check("fill", &[(Kind::Identifier, "fill")]);
    check(
        "fill (",
        &[
            (Kind::Fill, "fill"),
            (Kind::LeftParen, "("),
            (Kind::Error, "unclosed left parenthesis"),
        ],
    );
    check("NaN", &[(Kind::Number, "NaN")]);
}

#[test]
fn brackets() {
    check(
        "[5m:step()]",
        &[
            (Kind::LeftBracket, "["),
            (Kind::Duration, "5m"),
            (Kind::Colon, ":"),
            (Kind::Step, "step"),
            (Kind::LeftParen, "("),
            (Kind::RightParen, ")"),
            (Kind::RightBracket, "]"),
        ],
    );
    check(
        "[:",
        &[
            (Kind::LeftBracket, "["),
            (
                Kind::Error,
                "unexpected colon before duration in duration expression",
            ),
        ],
    );
}

#[test]
fn strings() {
    check(r#""a\"b""#, &[(Kind::String, r#""a\"b""#)]);
    check(
        r#""\xzz""#,
        &[(
            Kind::Error,
            "illegal character U+007A 'z' in escape sequence",
        )],
    );
    check("'a", &[(Kind::Error, "unterminated quoted string")]);
    let mut lexer = Lexer::new(b"\"\xff\"");
    assert_eq!(lexer.next_token().kind, Kind::Error);
    assert_eq!(lexer.error_message(), "invalid UTF-8 rune");
}
