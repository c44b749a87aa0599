use super::{RuleText, RunOptions, TestFile};

const RULES: &str = "
groups:
- name: g
  rules:
  - record: doubled
    expr: 2 * m
  - alert: High
    expr: m > 2
    for: 1m
    annotations: {value: '{{ $value }}'}
";

fn errors(test: &str, options: &RunOptions) -> Vec<String> {
    let rules = RuleText {
        path: "r.yml".to_owned(),
        text: Ok(RULES.to_owned()),
    };
    match TestFile::parse(test) {
        Ok(file) => file
            .run(&[rules], options)
            .into_iter()
            .flat_map(|v| v.errors)
            .collect(),
        Err(error) => vec![error],
    }
}

fn check(test: &str, expected: &[&str]) {
    assert_eq!(errors(test, &RunOptions::default()), expected, "{test}");
}

#[test]
fn series_load_as_time_goes_on() {
    check(
        "tests: [{input_series: [{series: 'm{a=\"b\"}', values: '0+1x9'}],
           promql_expr_test: [{expr: doubled, eval_time: 2m, exp_samples: [{labels: 'doubled{a=\"b\"}', value: 4}]},
             {expr: 'timestamp(m offset -1m)', eval_time: 2m, exp_samples: [{labels: '{a=\"b\"}', value: 120}]},
             {expr: 'm + m', eval_time: 1m, exp_samples: [{labels: '{a=\"b\"}', value: 3}]}]}]",
        &["    expr: \"m + m\", time: 1m,\n        exp: {a=\"b\"} 3E+00\n        got: {a=\"b\"} 2E+00"],
    );
}

#[test]
fn samples_after_the_last_evaluation_are_not_there() {
    check(
        "tests: [{interval: 30s, input_series: [{series: m, values: '0+1x9'}],
           promql_expr_test: [{expr: m, eval_time: 90s, exp_samples: [{labels: m, value: 2}]}]}]",
        &[],
    );
}

#[test]
fn alerts_are_compared_with_the_evaluation_before() {
    let test = "tests: [{name: n, input_series: [{series: m, values: '0+1x9'}],
       alert_rule_test: [{eval_time: 3m, alertname: High},
         {eval_time: 4m30s, alertname: High, exp_alerts: [{exp_annotations: {value: '5'}}]}]}]";
    check(
        test,
        &[
            "    name: n,\n    alertname: High, time: 4m30s, \n        exp:[\n            0:\n              \
           Labels:{alertname=\"High\"}\n              Annotations:{value=\"5\"}\n            ], \n        \
           got:[\n            0:\n              Labels:{alertname=\"High\"}\n              \
           Annotations:{value=\"4\"}\n            ]",
        ],
    );
    let options = RunOptions {
        diff: true,
        ..RunOptions::default()
    };
    assert_eq!(
        errors(test, &options),
        [
            "    name: n,\n    alertname: High, time: 4m30s, \n        diff: [\n                {\n                    \
          \"Annotations\": {\n                        \"value\": \u{1b}[0;33m\"5\" => \"4\"\u{1b}[0m\n                    \
          },\n                    \"Labels\": {\n                        \"alertname\": \"High\"\n                    \
          }\n                }\n            ]"
        ]
    );
}

#[test]
fn a_group_may_begin_at_any_time() {
    for start in ["1000000000", "'2001-09-09T01:46:40Z'"] {
        check(
            &format!(
                "tests: [{{start_timestamp: {start}, input_series: [{{series: m, values: '1 2'}}],
                   promql_expr_test: [{{expr: timestamp(m), eval_time: 1m, exp_samples: [{{value: 1000000060}}]}}]}}]"
            ),
            &[],
        );
    }
}

#[test]
fn what_is_wrong_is_said_as_upstream_says_it() {
    check(
        "tests: [{name: n, alert_rule_test: [{eval_time: 1m}]}]",
        &[
            "an item under alert_rule_test misses required attribute alertname at eval_time 1m (in TestGroup n)",
        ],
    );
    check(
        "group_eval_order: [a, a]",
        &["group name repeated in evaluation order: a"],
    );
    let unknown = errors("tests:\n- bogus: 1", &RunOptions::default()).concat();
    assert!(
        unknown.starts_with(
            "yaml: unmarshal errors:\n  line 2: field bogus not found in type main.testGroup"
        ),
        "{unknown}"
    );
    check(
        "tests: [{promql_expr_test: [{expr: 'sum('}, {expr: 'm[1m]'},
           {expr: m, exp_samples: [{labels: m, histogram: '{{}} {{}}'}]}]}]",
        &[
            "    expr: \"sum(\", time: 0s, err: 1:5: parse error: unclosed left parenthesis",
            "    expr: \"m[1m]\", time: 0s, err: rule result is not a vector or scalar",
            "    expr: \"m\", time: 0s, err: labels \"m\": expected 1 value, got 2",
        ],
    );
}
