use super::*;

fn message(pattern: &str) -> String {
    match Regexp::new(pattern) {
        Ok(_) => "ok".to_owned(),
        Err(e) => e.to_string(),
    }
}

#[test]
fn refuses_in_gos_words() {
    for (pattern, expected) in [
        ("(", "missing closing ): `(`"),
        ("a)", "unexpected ): `a)`"),
        ("[", "missing closing ]: `[`"),
        ("[a", "missing closing ]: `[a`"),
        ("*", "missing argument to repetition operator: `*`"),
        ("|+", "missing argument to repetition operator: `+`"),
        ("(?i)*?", "missing argument to repetition operator: `*?`"),
        ("a**", "invalid nested repetition operator: `**`"),
        ("a+?*", "invalid nested repetition operator: `+?*`"),
        ("a{2}{3}", "invalid nested repetition operator: `{2}{3}`"),
        ("a{1001}", "invalid repeat count: `{1001}`"),
        ("a{3,2}", "invalid repeat count: `{3,2}`"),
        ("(a{100}){11}", "invalid repeat count: `{11}`"),
        ("[z-a]", "invalid character class range: `z-a`"),
        ("[[:foo:]]", "invalid character class range: `[:foo:]`"),
        (r"\p{Foo}", r"invalid character class range: `\p{Foo}`"),
        (r"\p{Grek}", r"invalid character class range: `\p{Grek}`"),
        (r"\p", r"invalid character class range: `\p`"),
        (r"\", "trailing backslash at end of expression: ``"),
        (r"\y", r"invalid escape sequence: `\y`"),
        (r"\1", r"invalid escape sequence: `\1`"),
        (r"\C", r"invalid escape sequence: `\C`"),
        (r"\Z", r"invalid escape sequence: `\Z`"),
        (r"\<", "ok"),
        (r"\x4", r"invalid escape sequence: `\x4`"),
        (r"\x{110000}", r"invalid escape sequence: `\x{110000`"),
        ("(?=a)", "invalid or unsupported Perl syntax: `(?=`"),
        ("(?x)a", "invalid or unsupported Perl syntax: `(?x`"),
        ("(?i-)a", "invalid or unsupported Perl syntax: `(?i-)`"),
        ("(?P<n", "invalid named capture: `(?P<n`"),
        ("(?P<n-a>x)", "invalid named capture: `(?P<n-a>`"),
        ("(?<n>x)(?P<n>y)", "ok"),
        ("a{,2}", "ok"),
        ("a{", "ok"),
        ("x{01}", "ok"),
        ("^*", "ok"),
        (r"[a&&b-~]", "ok"),
        (r"\Qa*b", "ok"),
        (r"\pL\p{letter}\P{^Greek}\p{old-italic}", "ok"),
    ] {
        let expected = match expected {
            "ok" => "ok".to_owned(),
            e => format!("error parsing regexp: {e}"),
        };
        assert_eq!(message(pattern), expected, "{pattern}");
    }
    assert_eq!(
        Regexp::anchored("(foo").map_err(|e| e.to_string()).err(),
        Some("error parsing regexp: missing closing ): `^(?s:(foo)$`".to_owned())
    );
    let deep = format!("{}a{}", "(".repeat(1001), ")".repeat(1001));
    assert!(message(&deep).contains("expression nests too deeply"));
}

/// Expressions just below the nesting limit must not exhaust a thread's usual stack.
#[test]
fn survives_deep_nesting() {
    let run = || {
        for (open, close) in [
            ("(", ")"),
            ("(", ")*"),
            ("(a|", ")"),
            ("(?:a|", ")*"),
            ("(x*", ")+"),
        ] {
            let deep = |n| Regexp::new(&format!("{}a{}", open.repeat(n), close.repeat(n)));
            let most = (1..260)
                .take_while(|&n| deep(n).is_ok())
                .last()
                .unwrap_or(0);
            assert!(most > 35, "{open} {most}");
            let regexp = deep(most).expect("compiles");
            assert!(regexp.is_match("xxa"));
            assert!(regexp.captures("xxa").is_some());
        }
    };
    std::thread::Builder::new()
        .stack_size(2 << 20)
        .spawn(run)
        .expect("a thread starts")
        .join()
        .expect("no overflow");
}

#[test]
fn matches_as_go() {
    for (pattern, text, expected) in [
        (r"\Qa.b\E+", "a.bb", true),
        (r"\Qa.b\E+", "axb", false),
        (r"^\d+$", "\u{663}", false),
        (r"^\w$", "é", false),
        (r"(?i)^\w$", "\u{212a}", true),
        (r"^\s$", "\x0b", false),
        (r"^[[:space:]]$", "\x0b", true),
        (r"\101", "A", true),
        (r"^\012$", "\n", true),
        ("^a{,2}$", "a{,2}", true),
        ("^[a&&b]$", "&", true),
        ("^[]a]$", "]", true),
        ("^[^]a]$", "b", true),
        ("^[a-]$", "-", true),
        ("^[--/]$", ".", true),
        ("^.$", "\n", false),
        ("(?s)^.$", "\n", true),
        ("a$", "a\n", false),
        ("(?m)a$", "a\nb", true),
        ("(?i)straße", "STRAßE", true),
        ("(?i)[^x]", "X", false),
        (r"(?i)[^\W]", "k", true),
        (r"\bfoo\b", "a foo b", true),
        (r"^\x{e9}\xe9$", "éé", true),
        (r"\x{d800}", "a", false),
        (r"^[\x{d000}-\x{e000}]$", "\u{e000}", true),
        ("(?U)^a+$", "aaa", true),
        ("^(?i:A)b$", "ab", true),
        ("^(?i:A)b$", "aB", false),
        ("^(a(?i)b)C$", "aBC", true),
        ("^(a(?i)b)C$", "aBc", false),
        ("^[^a]$", "\n", true),
        ("", "", true),
        ("a||b", "zzz", true),
        ("(){0}x", "x", true),
    ] {
        let regexp = Regexp::new(pattern).expect(pattern);
        assert_eq!(regexp.is_match(text), expected, "{pattern} on {text:?}");
    }
}

#[test]
fn knows_sets_and_prefixes() {
    let set = |pattern: &str| {
        let regexp = Regexp::anchored(pattern).expect(pattern);
        regexp.set_matches().map(<[String]>::to_vec)
    };
    for (pattern, expected) in [
        ("a|b|c", &["a", "b", "c"][..]),
        ("foo", &["foo"]),
        ("", &[""]),
        ("foo(bar|baz)?", &["foobar", "foobaz", "foo"]),
        ("[ab]c|d", &["ac", "bc", "d"]),
        ("a|a|b", &["a", "b"]),
        ("^(?:^a$|b)$", &["a", "b"]),
        ("10\\.0\\.0\\.1", &["10.0.0.1"]),
        ("a{2}", &["aa"]),
        ("(?i)k", &["K", "k", "\u{212a}"]),
    ] {
        let expected: Vec<String> = expected.iter().map(|&s| s.to_owned()).collect();
        assert_eq!(set(pattern), Some(expected), "{pattern}");
    }
    for pattern in ["a.*", "a+", "\\d{4}", "a$b", "(?m)^a$", ".", "a\\b"] {
        assert_eq!(set(pattern), None, "{pattern}");
    }
    for (pattern, expected) in [
        ("foo.*", Some("foo")),
        ("foo|fob", Some("fo")),
        ("(foo)+x", Some("foo")),
        ("fé|fê", Some("f")),
        (".*", None),
        ("(?i)foo", None),
        ("foo(bar|baz)?.+", Some("foo")),
    ] {
        assert_eq!(Regexp::anchored(pattern).expect(pattern).prefix(), expected);
    }
    assert!(Regexp::anchored(".*").expect("valid").matches_everything());
    assert!(!Regexp::new("^(?:.*)$").expect("valid").matches_everything());
    assert!(!Regexp::anchored(".+").expect("valid").matches_everything());
    let many: Vec<String> = (0..1000).map(|i| format!("host-{i}")).collect();
    assert_eq!(set(&many.join("|")), Some(many));
}

/// The fast paths decide as the automaton does.
#[test]
fn plans_agree_with_the_automaton() {
    let patterns = [
        ".*",
        ".+",
        "",
        "a",
        "a|b|cc",
        "a.*",
        ".*a",
        ".*a.*",
        "a.*b",
        "a.+b",
        ".+a.+",
        "a.*|.*b",
        "aa.*a",
        "a.*a.*a",
        "..+",
        ".*.+a",
        "(?-s:.*)",
        "(a|b).*c",
        "a?b?.*",
        "é.*",
        ".+é",
        "[ab]{2}.*",
        "ab.*ba|x",
        "(?i)ab.*",
        "(?s:.*)a.*",
        "a\n.*",
        ".*a|b\nc",
        "x[a-j]:?.*",
    ];
    let alphabet = ["a", "b", "c", "é", "\n", "x"];
    let mut texts = vec![String::new()];
    for _ in 0..4 {
        let longer: Vec<String> = texts
            .iter()
            .flat_map(|t| alphabet.iter().map(move |c| format!("{t}{c}")))
            .collect();
        texts.extend(longer);
        texts.sort();
        texts.dedup();
    }
    // A dot stops at a line feed in Alertmanager's matchers, unlike in Prometheus'.
    let lines = patterns.map(|pattern| format!("^(?:{pattern})$"));
    for pattern in patterns
        .map(|pattern| format!("^(?s:{pattern})$"))
        .iter()
        .chain(&lines)
    {
        let regexp = Regexp::new(pattern).expect(pattern);
        let engine = regexp.engine().expect("compiles");
        for text in &texts {
            assert_eq!(
                regexp.is_match(text),
                engine.is_match(text.as_str()),
                "{pattern} on {text:?}"
            );
        }
    }
}

#[test]
fn replaces_and_expands_as_go() {
    for (pattern, text, template, expected) in [
        ("(a+)(b*)", "xaabyab", "[$1|${2}]", "x[aa|b]y[a|b]"),
        ("a*", "baac", "-", "-b-c-"),
        ("", "é", "-", "-é-"),
        ("b*", "abb", "x", "xax"),
        ("(?P<n>a)", "a", "$n ${n}x $nx $$ $", "a ax  $ $"),
        ("(a)", "a", "$1x|${1}x|$01|$10|${1|$", "|ax|||${1|$"),
        ("^", "ab", "-", "-ab"),
        ("(a)|(b)", "ab", "<$1$2>", "<a><b>"),
    ] {
        let regexp = Regexp::new(pattern).expect(pattern);
        assert_eq!(regexp.replace_all(text, template), expected, "{pattern}");
    }
    let regexp = Regexp::new("(?P<a>x)(y)?").expect("valid");
    let captures = regexp.captures("zx").expect("matches");
    assert_eq!(captures.get(0), Some("x"));
    assert_eq!(captures.range(1), Some(1..2));
    assert_eq!(captures.get(2), None);
    assert_eq!(captures.group_count(), 3);
    assert_eq!(regexp.group_names(), ["", "a", ""]);
}
