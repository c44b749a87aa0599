//! The set `rules`, as far as rule unit tests go: `unit-tests.json`.

use std::path::Path;
use std::process::ExitCode;

use conformance::Case;
use rules::unit_test::{RuleText, RunOptions, TestFile};
use serde_json::Value;

fn main() -> ExitCode {
    conformance::run("rules", |dir| {
        let text = read(&dir.join("unit-tests.json"));
        let list: Value = serde_json::from_str(&text).expect("the set is JSON");
        let cases = list["cases"].as_array().expect("the set lists its cases");
        cases
            .iter()
            .map(|case| {
                let file = case["file"].as_str().expect("a case names its file");
                let args = words(&case["args"]).join(" ");
                let path = dir.join("unit-tests").join(file);
                let case = case.clone();
                Case::new(format!("unit-tests/{file} {args}").trim_end(), move || {
                    check(&path, &case)
                })
            })
            .collect()
    })
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn words(list: &Value) -> Vec<String> {
    let words = list.as_array().into_iter().flatten();
    words.filter_map(Value::as_str).map(str::to_owned).collect()
}

fn check(path: &Path, case: &Value) -> Result<(), String> {
    let mut options = RunOptions::default();
    for arg in words(&case["args"]) {
        match arg.split_once('=') {
            Some(("--run", pattern)) => {
                let pattern = golang::regexp::Regexp::new(pattern).map_err(|e| e.to_string())?;
                options.run.push(pattern);
            }
            _ if arg == "--ignore-unknown-fields" => options.ignore_unknown_fields = true,
            _ => {
                return Err(format!(
                    "the case has an argument that is not known here: {arg}"
                ));
            }
        }
    }
    // What a decoder's error says about the place beyond upstream's words.
    let output: Vec<String> = run(path, &options)
        .lines()
        .map(|line| {
            line.split(" (column ")
                .next()
                .unwrap_or_default()
                .to_owned()
        })
        .collect();
    let output = output.join("\n");
    let expected = case["output"].as_str().expect("a case has an output");
    // Words about files that are not there are the tool's; two errors are a blank line apart there.
    let expected = expected.split("\n\n  WARNING").next().unwrap_or_default();
    let exit_code = i64::from(output != "  SUCCESS");
    if case["exit_code"] != exit_code || in_order(&output) != in_order(expected) {
        return Err(format!(
            "exit code {exit_code}\n{output}\nexpected\n{expected}"
        ));
    }
    Ok(())
}

/// The text with the two series of "found duplicate series ...: [a, b];" in order: upstream names
/// them in that of its storage (docs/compatibility.md).
fn in_order(text: &str) -> String {
    let Some((before, rest)) = text.split_once(": [{") else {
        return text.to_owned();
    };
    let Some((pair, after)) = rest.split_once("}];") else {
        return text.to_owned();
    };
    let mut series: Vec<&str> = pair.split("}, {").collect();
    series.sort_unstable();
    format!("{before}: [{{{}}}];{after}", series.join("}, {"))
}

fn run(path: &Path, options: &RunOptions) -> String {
    let dir = path.parent().expect("the file is in a folder");
    let errors = match TestFile::parse(&read(path)) {
        Err(error) => vec![error],
        Ok(file) => {
            let rules: Vec<RuleText> = file
                .rule_files
                .iter()
                .filter(|name| dir.join(name).exists())
                .map(|name| RuleText {
                    path: name.clone(),
                    text: Ok(read(&dir.join(name))),
                })
                .collect();
            let verdicts = file.run(&rules, options);
            verdicts.into_iter().flat_map(|v| v.errors).collect()
        }
    };
    if errors.is_empty() {
        return "  SUCCESS".to_owned();
    }
    format!("  FAILED:\n{}", errors.join("\n"))
}
