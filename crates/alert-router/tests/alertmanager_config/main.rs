//! Conformance set `alertmanager-config`.

mod scenarios;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use alert_router::config::Config;
use alert_router::config::inhibit::InhibitRuleSection;
use alert_router::config::route::RouteSection;
use alert_router::config::time::TimeIntervalSection;
use alert_router::inhibit::Inhibitor;
use alert_router::matcher::{self, Matcher, Mode};
use alert_router::route::{Tree, label_set_string};
use alert_router::time_interval::TimeInterval;
use conformance::Case;
use jiff::Timestamp;
use model::Labels;
use serde::Deserialize;
use serde_json::{Value, json};

fn main() -> ExitCode {
    conformance::run("alertmanager-config", |dir| {
        let mut cases = Vec::new();
        config(dir, &mut cases);
        label_names(dir, &mut cases);
        matchers(dir, &mut cases);
        time_intervals(dir, &mut cases);
        routing(dir, &mut cases);
        inhibition(dir, &mut cases);
        fingerprints(dir, &mut cases);
        scenarios::cases(dir, &mut cases);
        cases
    })
}

fn load(dir: &Path, file: &str) -> Value {
    let text = std::fs::read_to_string(dir.join(file)).expect("the set is readable");
    serde_json::from_str(&text).expect("the set is JSON")
}

fn each(dir: &Path, file: &'static str, mut add: impl FnMut(String, Value)) {
    for (i, case) in load(dir, file)["cases"]
        .as_array()
        .expect("cases")
        .iter()
        .enumerate()
    {
        add(format!("{file}/{i}"), case.clone());
    }
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, got: &T, want: &T) -> Result<(), String> {
    if got == want {
        Ok(())
    } else {
        Err(format!("{what}\n got: {got:#?}\nwant: {want:#?}"))
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn config(dir: &Path, cases: &mut Vec<Case>) {
    let root: PathBuf = dir.to_owned();
    each(dir, "config.json", |_, case| {
        let root = root.clone();
        let name = format!("config.json/{}", text(&case["file"]));
        cases.push(Case::new(name, move || {
            let input = std::fs::read_to_string(root.join("files").join(text(&case["file"])))
                .map_err(|e| e.to_string())?;
            match (
                Config::parse(&input, Mode::Fallback, Path::new("")),
                case["valid"] == true,
            ) {
                (Err(e), false) => same("message", &e.message().to_owned(), &text(&case["error"])),
                (Ok(_), false) => Err(format!("loads, but should fail: {}", case["error"])),
                (Err(e), true) => Err(format!("should load: {e}")),
                (Ok(config), true) => {
                    let want = std::fs::read_to_string(root.join(text(&case["resolved"])))
                        .map_err(|e| e.to_string())?;
                    let value = |text: &str| -> Result<Value, String> {
                        yaml_config::from_str(text).map_err(|e| format!("{e} in\n{text}"))
                    };
                    let printed = config.to_yaml();
                    same("resolved", &value(&printed)?, &value(&want)?)?;
                    // What is printed loads again, as amtool does with the answer of the API.
                    Config::parse(&printed, Mode::Fallback, Path::new(""))
                        .map(drop)
                        .map_err(|e| format!("does not load again: {e}\n{printed}"))
                }
            }
        }));
    });
}

fn label_names(dir: &Path, cases: &mut Vec<Case>) {
    each(dir, "label-names.json", |name, case| {
        cases.push(Case::new(name, move || {
            let label = text(&case["name"]);
            same(
                "classic",
                &Mode::Classic.is_label_name(&label),
                &(case["classic"] == true),
            )?;
            same(
                "utf8",
                &Mode::Utf8.is_label_name(&label),
                &(case["utf8"] == true),
            )?;
            same(
                "fallback",
                &Mode::Fallback.is_label_name(&label),
                &(case["utf8"] == true),
            )
        }));
    });
}

fn matchers(dir: &Path, cases: &mut Vec<Case>) {
    let label_sets: Vec<Labels> = load(dir, "matchers.json")["label_sets"]
        .as_array()
        .expect("label sets")
        .iter()
        .map(labels)
        .collect();
    each(dir, "matchers.json", |name, case| {
        let label_sets = label_sets.clone();
        cases.push(Case::new(name, move || {
            let input = text(&case["input"]);
            for (key, mode) in [
                ("classic", Mode::Classic),
                ("utf8", Mode::Utf8),
                ("fallback", Mode::Fallback),
            ] {
                let list = case["form"] == "matchers";
                let got = if list {
                    mode.parse_list(&input)
                } else {
                    mode.parse_one(&input).map(|one| vec![one])
                };
                same(
                    &format!("{key} {input:?}"),
                    &matchers_json(got, list, &label_sets),
                    &case[key],
                )?;
            }
            Ok(())
        }));
    });
}

fn matchers_json(
    got: Result<Vec<Matcher>, matcher::ParseError>,
    list: bool,
    label_sets: &[Labels],
) -> Value {
    let matchers = match got {
        Err(e) => return json!({"error": e.to_string()}),
        Ok(matchers) => matchers,
    };
    let mut out = json!({
        "matchers": matchers
            .iter()
            .map(|m| json!({"name": &*m.name, "op": m.kind.as_str(), "value": &*m.value}))
            .collect::<Vec<_>>(),
    });
    if list {
        out["canonical"] = matcher::list_to_string(&matchers).into();
        let matches = label_sets
            .iter()
            .map(|set| matcher::all_match(&matchers, set));
        out["matches"] = matches.collect::<Vec<bool>>().into();
    } else {
        out["canonical"] = matchers[0].to_string().into();
    }
    out
}

fn time_intervals(dir: &Path, cases: &mut Vec<Case>) {
    each(dir, "time-intervals.json", |name, case| {
        cases.push(Case::new(name, move || {
            let want_error = case["error"].as_str();
            let (sections, intervals) = match (parse_intervals(&text(&case["yaml"])), want_error) {
                (Err(_), Some(want)) if want.starts_with("yaml:") => return Ok(()),
                (Err(got), Some(want)) => return same("error", &got, &want.to_owned()),
                (Ok(_), Some(want)) => return Err(format!("should fail: {want}")),
                (Err(got), None) => return Err(format!("should parse: {got}")),
                (Ok(parsed), None) => parsed,
            };
            for time in case["times"].as_array().into_iter().flatten() {
                let at: Timestamp = text(&time["time"]).parse().map_err(|e| format!("{e}"))?;
                let inside = intervals.iter().any(|interval| interval.contains(at));
                same(&text(&time["time"]), &inside, &(time["in"] == true))?;
            }
            let value = |text: &str| -> Result<Value, String> {
                yaml_config::from_str(text).map_err(|e| e.to_string())
            };
            let printed = yaml_config::to_string(&sections).map_err(|e| e.to_string())?;
            same(
                "canonical",
                &value(&printed)?,
                &value(&text(&case["canonical"]))?,
            )
        }));
    });
}

/// The reference decoded these lists without strictness: unknown fields are left out.
fn parse_intervals(yaml: &str) -> Result<(Vec<TimeIntervalSection>, Vec<TimeInterval>), String> {
    const FIELDS: [&str; 6] = [
        "times",
        "weekdays",
        "days_of_month",
        "months",
        "years",
        "location",
    ];
    let loose: Value = yaml_config::from_str(yaml).map_err(|e| e.message())?;
    let known: Vec<serde_json::Map<String, Value>> = loose
        .as_array()
        .into_iter()
        .flatten()
        .map(|interval| {
            let fields = interval.as_object().into_iter().flatten();
            fields
                .filter(|(name, _)| FIELDS.contains(&name.as_str()))
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect()
        })
        .collect();
    let text = yaml_config::to_string(&known).map_err(|e| e.message())?;
    let mut sections: Vec<TimeIntervalSection> =
        yaml_config::from_str(&text).map_err(|e| e.message())?;
    let intervals: Result<Vec<TimeInterval>, String> = sections
        .iter_mut()
        .map(|section| section.resolve().map_err(|e| e.message().to_owned()))
        .collect();
    Ok((sections, intervals?))
}

fn routing(dir: &Path, cases: &mut Vec<Case>) {
    let configs = load(dir, "routing.json")["configs"].clone();
    each(dir, "routing.json", |name, case| {
        let config = configs[text(&case["config"])].clone();
        cases.push(Case::new(name, move || {
            let yaml = text(&config["yaml"]);
            let root = if config["kind"] == "full" {
                Config::parse(&yaml, Mode::Fallback, Path::new(""))
                    .map_err(|e| e.to_string())?
                    .route
            } else {
                let mut section: RouteSection =
                    yaml_config::from_str(&yaml).map_err(|e| e.to_string())?;
                section.resolve(Mode::Fallback).map_err(|e| e.to_string())?
            };
            let tree = Tree::new(&root);
            let alert = labels(&case["labels"]);
            let got: Vec<Value> = tree
                .matching(&alert)
                .into_iter()
                .map(|index| route_json(tree.get(index), &alert))
                .collect();
            same("routes", &Value::from(got), &case["routes"])
        }));
    });
}

fn route_json(route: &alert_router::route::Route, alert: &Labels) -> Value {
    let options = &route.options;
    let group_labels = route.group_labels(alert);
    let mut out = json!({
        "receiver": &*options.receiver,
        "group_by": options.group_by,
        "group_by_all": options.group_by_all,
        "group_wait": model::format_duration(options.group_wait),
        "group_interval": model::format_duration(options.group_interval),
        "repeat_interval": model::format_duration(options.repeat_interval),
        "route_key": &*route.key,
        "route_id": &*route.id,
        "group_labels": group_labels,
        "group_key": route.group_key(&group_labels),
    });
    for (name, list) in [
        ("mute_time_intervals", &options.mute_time_intervals),
        ("active_time_intervals", &options.active_time_intervals),
    ] {
        if !list.is_empty() {
            out[name] = list.clone().into();
        }
    }
    if !options.labels.is_empty() {
        out["route_labels"] = json!(options.labels);
    }
    out
}

fn inhibition(dir: &Path, cases: &mut Vec<Case>) {
    each(dir, "inhibition.json", |name, case| {
        cases.push(Case::new(name, move || {
            let mut sections: Vec<InhibitRuleSection> =
                yaml_config::from_str(&text(&case["rules"])).map_err(|e| e.to_string())?;
            let rules: Result<Vec<_>, _> = sections
                .iter_mut()
                .map(|rule| rule.resolve(Mode::Fallback))
                .collect();
            let mut inhibitor = Inhibitor::new(rules.map_err(|e| e.to_string())?);
            let now = Timestamp::from_second(1_000).map_err(|e| e.to_string())?;
            for alert in case["alerts"].as_array().into_iter().flatten() {
                let end = if alert["state"] == "resolved" {
                    900
                } else {
                    2_000
                };
                let end = Timestamp::from_second(end).map_err(|e| e.to_string())?;
                let labels = labels(&alert["labels"]);
                inhibitor.update(&inhibitor.sides(&labels), labels.fingerprint(), end);
            }
            for target in case["targets"].as_array().into_iter().flatten() {
                let sides = inhibitor.sides(&labels(&target["labels"]));
                let source = inhibitor.inhibited_by(&sides, now);
                let what = target["labels"].to_string();
                same(&what, &source.is_some(), &(target["muted"] == true))?;
                let got: Vec<String> = source.iter().map(|f| format!("{f:016x}")).collect();
                let want: Vec<String> = target["inhibited_by"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .map(text)
                    .collect();
                same(&what, &got, &want)?;
            }
            Ok(())
        }));
    });
}

fn fingerprints(dir: &Path, cases: &mut Vec<Case>) {
    each(dir, "fingerprints.json", |name, case| {
        cases.push(Case::new(name, move || {
            let labels = labels(&case["labels"]);
            same(
                "fingerprint",
                &format!("{:016x}", labels.fingerprint()),
                &text(&case["fingerprint"]),
            )?;
            same("string", &label_set_string(&labels), &text(&case["string"]))
        }));
    });
}

/// With empty values, which `Labels::from_pairs` would leave out and these cases count.
fn labels(value: &Value) -> Labels {
    let map = std::collections::BTreeMap::<String, String>::deserialize(value).expect("labels");
    Labels::from_sorted(
        map.iter()
            .map(|(name, value)| (name.as_str(), value.as_str())),
    )
}
