use super::*;

fn expand(text: &str, html: bool) -> Result<String, String> {
    let query = |expression: &str, now_ms| match expression {
        "up" => Ok(vec![Sample {
            labels: Labels::from_pairs([("job", "a"), ("__value__", "shown")]),
            value: SampleValue::from(now_ms as f64),
        }]),
        other => Err(format!("no such query: {other}")),
    };
    let expander = Expander::new("t", text, Value::Nil, 1500, &query, "http://h/a%20b/?x#y");
    let result = if html {
        expander.expand_html()
    } else {
        expander.expand()
    };
    result.map_err(|e| e.to_string())
}

#[test]
fn functions_of_prometheus() {
    for (text, expected) in [
        (r#"{{ query "up" | first | value }}"#, "1500"),
        (r#"{{ query "up" | first | strvalue }}"#, "shown"),
        (r#"{{ now }} {{ pathPrefix }}"#, "1.5 /a b/"),
        (r#"{{ title "a-b c_d" }}"#, "A-B C_d"),
        (
            r#"{{ stripDomain "a.b:1" }} {{ stripPort "[::1]:9" }}"#,
            "a:1 ::1",
        ),
        (r#"{{ urlQueryEscape "a b&c" }}"#, "a+b%26c"),
        (
            r#"{{ 90 | toDuration }} {{ humanizeDuration (toDuration 90) }}"#,
            "1m30s 1m 30s",
        ),
    ] {
        assert_eq!(expand(text, false).as_deref(), Ok(expected));
    }
    for (text, expected) in [
        (
            r#"{{ query "x" }}"#,
            r#"error executing template t: template: t:1:3: executing "t" at <query "x">: error calling query: no such query: x"#,
        ),
        (
            r#"{{ reReplaceAll "(" "" "" }}"#,
            "error executing template t: template: t:1:3: executing \"t\" at <reReplaceAll \"(\" \"\" \"\">: error calling reReplaceAll: regexp: Compile(`(`): error parsing regexp: missing closing ): `(`",
        ),
        (
            r#"{{ tmpl "a" 1 }}"#,
            r#"error parsing template t: template: t:1: function "tmpl" not defined"#,
        ),
    ] {
        assert_eq!(expand(text, false), Err(expected.to_owned()));
    }
    assert_eq!(
        expand(
            r#"{{ define "b" }}<i>{{ . }}</i>{{ end }}{{ tmpl "b" "<" }}"#,
            true
        )
        .as_deref(),
        Ok("<i>&lt;</i>")
    );
}

#[test]
fn alerts_are_checked_without_data() {
    assert_eq!(
        check_alert("a", "{{ $labels.x }} {{ $value | humanize }}"),
        Ok(())
    );
    assert_eq!(
        check_alert("a", "{{ $nope }}").map_err(|e| e.to_string()),
        Err("template: __alert_a:1: undefined variable \"$nope\"".to_owned())
    );
}
