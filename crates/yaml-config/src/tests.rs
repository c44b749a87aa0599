use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::*;

#[derive(Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename = "config.plain", default)]
struct Plain {
    name: String,
    severity: Option<String>,
    on: bool,
    count: u64,
    ratio: f64,
    wait: Duration,
    list: Vec<String>,
    labels: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    inner: Option<Box<Plain>>,
}

#[derive(Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename = "config.Auth", default)]
struct Auth {
    user: String,
    password: Secret,
}

fn read(text: &str) -> Plain {
    from_str(text).unwrap_or_else(|error| panic!("{text}\n{error}"))
}

fn message(text: &str) -> String {
    from_str::<Plain>(text).unwrap_err().message()
}

#[test]
fn types_go_by_the_field() {
    let plain = read(
        "name: 1\nseverity: 2.50\non: yes\ncount: 0x10\nratio: 3\nwait: 90s\nlist: [1, on, ~, a]\nlabels: {1: 2, x: yes}\n",
    );
    assert_eq!(plain.name, "1");
    assert_eq!(plain.severity.as_deref(), Some("2.50"));
    assert!(plain.on);
    assert_eq!((plain.count, plain.ratio), (16, 3.0));
    assert_eq!(plain.wait, Duration::from_secs(90));
    assert_eq!(plain.list, ["1", "on", "", "a"]);
    assert_eq!(plain.labels["1"], "2");
    assert_eq!(plain.labels["x"], "yes");
}

#[test]
fn null_is_the_zero_value_everywhere() {
    let null =
        read("name:\nseverity: ~\non: null\ncount:\nratio:\nwait:\nlist:\nlabels:\ninner:\n");
    assert_eq!(null, Plain::default());
    assert_eq!(read(""), Plain::default());
    assert_eq!(read("# nothing\n"), Plain::default());
    assert_eq!(
        from_str::<Auth>("user: a\npassword:\n").unwrap().password,
        Secret::default()
    );
}

#[test]
fn anchors_and_merge_keys() {
    let plain = read(
        "inner: &base {name: a, count: 1, labels: &l {x: y}}\nlabels: *l\n<<: *base\ncount: 2\n",
    );
    assert_eq!((plain.name.as_str(), plain.count), ("a", 2));
    assert_eq!(plain.labels["x"], "y");
    let list = read("inner: &a {name: a}\n<<: [*a, {name: b, count: 3}]\n");
    assert_eq!((list.name.as_str(), list.count), ("a", 3));
    assert_eq!(
        message("<<: 1\n"),
        "yaml: unmarshal errors:\n  line 1: map merge requires map or sequence of maps as the value"
    );
}

#[test]
fn errors_name_the_place_and_the_expectation() {
    for (text, expected) in [
        (
            "foo: 1\n",
            "line 1: field foo not found in type config.plain",
        ),
        (
            "name: a\nname: b\n",
            "line 2: field name already set in type config.plain",
        ),
        (
            "labels: {a: b, a: c}\n",
            "line 1: key \"a\" already set in map",
        ),
        (
            "count: x\n",
            "line 1: cannot unmarshal !!str `x` into uint64",
        ),
        (
            "count: -1\n",
            "line 1: cannot unmarshal !!int `-1` into uint64",
        ),
        (
            "count: '1'\n",
            "line 1: cannot unmarshal !!str `1` into uint64",
        ),
        (
            "ratio: a-long-text\n",
            "line 1: cannot unmarshal !!str `a-long-...` into float64",
        ),
        ("on: 1\n", "line 1: cannot unmarshal !!int `1` into bool"),
        (
            "\nname: [a]\n",
            "line 2: cannot unmarshal !!seq into string",
        ),
        (
            "list: {a: b}\n",
            "line 1: cannot unmarshal !!map into a list",
        ),
        (
            "hello\n",
            "line 1: cannot unmarshal !!str `hello` into config.plain",
        ),
        ("- a\n", "line 1: cannot unmarshal !!seq into config.plain"),
    ] {
        assert_eq!(
            message(text),
            format!("yaml: unmarshal errors:\n  {expected}"),
            "{text}"
        );
    }
    assert_eq!(
        message("bar: 1\ninner:\n  foo: 2\n  count: x\n"),
        "yaml: unmarshal errors:\n  line 1: field bar not found in type config.plain\n  line 3: field foo not found in type config.plain\n  line 4: cannot unmarshal !!str `x` into uint64"
    );

    let error = from_str::<Plain>("inner:\n  inner:\n    wait: soon\n").unwrap_err();
    assert_eq!(error.message(), "not a valid duration string: \"soon\"");
    assert_eq!(
        (error.line(), error.column(), error.path()),
        (Some(3), Some(11), "inner.inner.wait")
    );
    assert_eq!(
        error.to_string(),
        "not a valid duration string: \"soon\" (line 3, column 11, field inner.inner.wait)"
    );
    let error = from_str::<Vec<Auth>>("- {user: a}\n- {usr: b}\n").unwrap_err();
    assert_eq!(
        error.to_string(),
        "yaml: unmarshal errors:\n  line 2: field usr not found in type config.Auth (column 4, field [1], expected one of user, password)"
    );
}

#[test]
fn syntax_errors_have_the_right_line() {
    for (text, expected) in [
        ("a: [\n", "yaml: line 2: did not find expected node content"),
        (
            "a: b\n  c: d\n",
            "yaml: line 2: mapping values are not allowed in this context",
        ),
        (
            "a: \"\\q\"\n",
            "yaml: line 1: found unknown escape character",
        ),
        ("a: *b\n", "yaml: line 1: unknown anchor 'b' referenced"),
        (
            "\ta: b\n",
            "yaml: line 1: found character that cannot start any token",
        ),
    ] {
        assert_eq!(message(text), expected);
    }
}

#[test]
fn only_the_first_document_counts() {
    assert_eq!(read("name: a\n---\nnonsense: [\n").name, "a");
    assert_eq!(read("---\nname: a\n...\n").name, "a");
    assert!(from_str_one::<Plain>("name: a\n---\nname: b\n").is_err());
    assert!(from_str_one::<Plain>("---\nname: a\n").is_ok());
}

#[test]
fn bombs_and_depth_are_refused() {
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for i in 1..12 {
        let items = vec![format!("*a{}", i - 1); 10].join(", ");
        bomb.push_str(&format!("a{i}: &a{i} [{items}]\n"));
    }
    #[derive(Deserialize, Debug)]
    #[serde(untagged)]
    enum Any {
        Leaf(#[expect(dead_code)] String),
        List(#[expect(dead_code)] Vec<Any>),
        Map(#[expect(dead_code)] BTreeMap<String, Any>),
    }
    let error = from_str::<Any>(&bomb).unwrap_err();
    assert!(error.message().contains("excessive aliasing"), "{error}");
    let deep = "[".repeat(10_000);
    assert!(from_str::<Any>(&deep).is_err());
}

#[test]
fn spans_are_those_of_the_nodes() {
    #[derive(Deserialize)]
    struct Rule {
        alert: Spanned<String>,
        labels: Spanned<BTreeMap<String, Spanned<String>>>,
    }
    let rules: Vec<Spanned<Rule>> =
        from_str("\n- alert: a\n  labels:\n    x: y\n- {alert: 'b', labels: {}}\n").unwrap();
    let place = |line, column| (line, column);
    assert_eq!(place(rules[0].line, rules[0].column), (2, 3));
    assert_eq!(place(rules[0].alert.line, rules[0].alert.column), (2, 10));
    assert_eq!(place(rules[0].labels.line, rules[0].labels.column), (4, 5));
    assert_eq!(
        place(rules[0].labels["x"].line, rules[0].labels["x"].column),
        (4, 8)
    );
    assert_eq!(place(rules[1].line, rules[1].column), (5, 3));
    assert_eq!(rules[1].alert.value, "b");
}

#[test]
fn inlined_structs_share_a_mapping() {
    let both: Inline<Plain, Auth> = from_str("name: a\nuser: 7\npassword: 12345\n").unwrap();
    assert_eq!(both.name, "a");
    assert_eq!(both.inlined.user, "7");
    assert_eq!(both.inlined.password.reveal(), "12345");
    let error = from_str::<Inline<Plain, Auth>>("name: a\nusr: 7\n").unwrap_err();
    assert_eq!(
        error.message(),
        "yaml: unmarshal errors:\n  line 2: field usr not found in type config.plain"
    );
    let error = from_str::<Inline<Plain, Auth>>("user: a\nuser: b\n").unwrap_err();
    assert!(
        error
            .message()
            .contains("line 2: field user already set in type"),
        "{error}"
    );
    assert_eq!(
        to_string(&Inline {
            own: BTreeMap::from([("x", 1)]),
            inlined: Auth {
                user: "u".to_owned(),
                password: "p".into()
            }
        })
        .unwrap(),
        "x: 1\nuser: u\npassword: <secret>\n"
    );
    #[derive(Debug, Deserialize)]
    struct Third {
        #[serde(default)]
        third: bool,
    }
    let three: Inline<Inline<Plain, Auth>, Third> = from_str("third: yes\nuser: u\n").unwrap();
    assert!(three.inlined.third);
    assert_eq!(three.own.inlined.user, "u");
    assert!(from_str::<Inline<Inline<Plain, Auth>, Third>>("fourth: yes\n").is_err());
}

#[test]
fn values_can_wait() {
    #[derive(Deserialize)]
    struct Late {
        later: Value,
    }
    let late: Late = from_str("a: 1\nlater:\n  name: x\n")
        .map_err(|e: Error| e)
        .unwrap_or_else(|_| from_str("later:\n  name: x\n").unwrap());
    assert_eq!(from_value::<Plain>(&late.later).unwrap().name, "x");
    let late: Late = from_str("later:\n  nam: x\n").unwrap();
    assert_eq!(
        from_value::<Plain>(&late.later).unwrap_err().line(),
        Some(2)
    );
}

#[test]
fn enums_and_numbers_of_all_sizes() {
    #[derive(Debug, PartialEq, Deserialize, Serialize)]
    #[serde(rename_all = "lowercase")]
    enum Action {
        Keep,
        Drop,
    }
    assert_eq!(
        from_str::<Vec<Action>>("[keep, 'drop']").unwrap(),
        [Action::Keep, Action::Drop]
    );
    assert!(
        from_str::<Action>("no")
            .unwrap_err()
            .to_string()
            .contains("unknown variant")
    );
    assert_eq!(from_str::<u8>("255").unwrap(), 255);
    assert!(
        from_str::<u8>("256")
            .unwrap_err()
            .message()
            .contains("into uint8")
    );
    assert_eq!(from_str::<i64>("1e3").unwrap(), 1000);
    assert_eq!(
        from_str::<(u8, String)>("[1, 2]").unwrap(),
        (1, "2".to_owned())
    );
    assert!(from_str::<(u8, String)>("[1]").is_err());
}

#[test]
fn prints_as_go_does() {
    let plain = Plain {
        name: "yes".to_owned(),
        severity: Some("a\nb\n".to_owned()),
        list: vec![
            "1".to_owned(),
            "".to_owned(),
            "a: b".to_owned(),
            "1:30".to_owned(),
            "x".to_owned(),
        ],
        ratio: 0.5,
        wait: Duration::from_secs(90),
        ..Plain::default()
    };
    assert_eq!(
        to_string(&plain).unwrap(),
        "name: \"yes\"\nseverity: |\n  a\n  b\n\"on\": false\ncount: 0\nratio: 0.5\nwait: 1m30s\nlist:\n- \"1\"\n- \"\"\n- 'a: b'\n- \"1:30\"\n- x\nlabels: {}\n"
    );
    assert_eq!(
        to_string(&[1e21, 1e-7, f64::INFINITY]).unwrap(),
        "- 1e+21\n- 1e-07\n- .inf\n"
    );
    assert_eq!(to_string(&Secret::new("x")).unwrap(), "<secret>\n");
    assert_eq!(read(&to_string(&plain).unwrap()), plain);
}

#[test]
fn secrets_do_not_show() {
    let secret = Secret::new("hunter2");
    assert_eq!(format!("{secret} {secret:?}"), "<secret> <secret>");
    assert_eq!(secret.reveal(), "hunter2");
}

#[test]
fn a_last_line_without_break_is_as_in_libyaml() {
    for (text, expected) in [
        ("name: |\n  a\n  b", "a\nb"),
        ("name: |\n  a\n  b\n", "a\nb\n"),
        ("name: |-\n  a", "a"),
        ("name: |\n  a\n  ", "a\n"),
        ("name: >\n  a\n  b", "a b"),
        ("name: a", "a"),
        ("name: |\n  a\nseverity: b", "a\n"),
        ("name: 'a'", "a"),
    ] {
        assert_eq!(read(text).name, expected, "{text:?}");
    }
    assert_eq!(
        message("name: \"\\"),
        "yaml: line 2: found unexpected end of stream"
    );
}

#[test]
fn no_text_makes_it_panic() {
    let pieces = [
        "a: ",
        "- ",
        "[",
        "]",
        "{",
        "}",
        "|\n",
        "> ",
        "&a ",
        "*a",
        "!!str ",
        "? ",
        ": ",
        "\n",
        "  ",
        "\t",
        "'",
        "\"",
        "#",
        "%YAML 1.1\n",
        "---\n",
        "...\n",
        "\\x",
        "\u{feff}",
        "é",
        "\0",
        "!<",
        "<<: ",
        "%TAG ! a\n",
        "\\u12",
        "@",
        "`",
        "|9",
        ">-2 ",
        "\r",
        "\u{85}",
    ];
    let mut state = 1u64;
    for _ in 0..20_000 {
        let mut text = String::new();
        for _ in 0..12 {
            state = state
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            text.push_str(pieces[(state >> 33) as usize % pieces.len()]);
        }
        if let Err(error) = from_str::<Plain>(&text) {
            assert!(!error.message().contains("cannot cope"), "{text:?}");
        }
    }
}

#[test]
fn binary_is_what_it_stands_for() {
    type Texts = std::collections::BTreeMap<String, String>;
    let texts: Texts = from_str("a: !!binary 'aGkg\n  eW91'\nb: !!binary MQ==\n").unwrap();
    assert_eq!((texts["a"].as_str(), texts["b"].as_str()), ("hi you", "1"));
    let error = from_str::<Texts>("a: !!binary '!'\n").unwrap_err();
    assert_eq!(
        error.message(),
        "yaml: line 1: !!binary value contains invalid base64 data"
    );
    assert!(from_str::<Texts>("a: !!binary /w==\n").is_err());
}
