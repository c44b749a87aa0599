use super::*;

fn expand(text: &str, route_labels: &[(&str, &str)]) -> Result<String, String> {
    let templates = Templates::new().expect("the built-in templates are right");
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let data = Data {
        receiver: "r".to_owned(),
        route_labels: route_labels.iter().map(owned).collect(),
        ..Data::default()
    };
    templates
        .execute_text(text, &data, &Time::from_unix(100, 0))
        .map_err(|e| e.to_string())
}

#[test]
fn functions_of_alertmanager() {
    for (text, expected) in [
        ("", ""),
        (" ", " "),
        (
            r#"{{ title "don't aBC foo_bar x-y 3rd x2Y a.b.c d:e 12.ab 'q'" }}"#,
            "Don't Abc Foo_bar X-Y 3Rd X2y A.b.c D:e 12.Ab 'Q'",
        ),
        (
            r#"{{ base64encode "a" }} {{ base64encode "ab?>" }}"#,
            "YQ== YWI_Pg==",
        ),
        (r#"{{ base64decode "YQ==" }}{{ base64decode "" }}"#, "a"),
        (r#"{{ urlUnescape "a+b%20c" }}"#, "a b c"),
        (r#"{{ trimSpace " a " }}"#, "a"),
        (
            r#"{{ since (toDate "2006" "1970") }} {{ now.Unix }}"#,
            "1m40s 100",
        ),
        (r#"{{ append (list 1) "b" | toJson }}"#, r#"[1,"b"]"#),
        (r#"{{ reReplaceAll "(a+)" "<$1>" "baac" }}"#, "b<aa>c"),
    ] {
        assert_eq!(expand(text, &[]).as_deref(), Ok(expected), "{text}");
    }
    for (text, expected) in [
        (
            r#"{{ base64decode "YQ=" }}"#,
            "illegal base64 data at input byte 3",
        ),
        (
            r#"{{ base64decode "YQ==x" }}"#,
            "illegal base64 data at input byte 4",
        ),
        (
            r#"{{ base64decode "YQ" }}"#,
            "illegal base64 data at input byte 0",
        ),
        (r#"{{ urlUnescape "%zz" }}"#, r#"invalid URL escape "%zz""#),
        (
            r#"{{ join "," "a" }}"#,
            "can't handle \"a\" for arg of type []string",
        ),
        (r#"{{ match "(" "a" }}"#, "missing closing ): `(`"),
    ] {
        let error = expand(text, &[]).expect_err(text);
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn route_labels_expand_and_do_not_loop() {
    let labels = [
        ("a", r#"<{{ routeLabels "b" }}>"#),
        ("b", "{{ .Receiver }}"),
        ("loop", r#"{{ routeLabels "again" }}"#),
        ("again", r#"{{ routeLabels "loop" }}"#),
    ];
    assert_eq!(
        expand(r#"{{ routeLabels "a" }}{{ routeLabels "a" }}"#, &labels).as_deref(),
        Ok("<r><r>")
    );
    let error = expand(r#"{{ routeLabels "loop" }}"#, &labels).expect_err("it loops");
    assert!(
        error.contains(r#"route label "loop" refers to itself"#),
        "{error}"
    );
}

#[test]
fn own_definitions_replace_built_in_ones() {
    let mut templates = Templates::new().expect("the built-in templates are right");
    let text = r#"{{ define "slack.default.title" }}mine{{ end }}"#;
    assert_eq!(templates.add("own.tmpl", text), Ok(()));
    assert_eq!(
        templates.execute_text(
            r#"{{ template "slack.default.title" . }}"#,
            &Data::default(),
            &Time::default()
        ),
        Ok("mine".to_owned())
    );
    assert!(templates.contains("email.default.html"));
    assert!(templates.add("bad.tmpl", "{{ nope }}").is_err());
    assert!(check("{{ .Status | toUpper }}").is_ok());
}
