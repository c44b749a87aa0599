//! The conformance set `node`: fixture trees and the pages node_exporter prints for them.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use conformance::Case;
use golang::regexp::Regexp;
use serde_json::Value as Json;

mod support;

use support::{page, prepare, read};

fn main() -> ExitCode {
    conformance::run("node", |dir| {
        let copy = tempfile::tempdir().expect("a temporary directory");
        prepare(dir, copy.path());
        // Flags name paths relative to the set.
        std::env::set_current_dir(copy.path()).expect("the copy is there");
        let copy = Arc::new(copy);
        let runs = load(&dir.join("runs.json"));
        let singles = load(&dir.join("collectors.json"));
        let mut cases = Vec::new();
        for case in runs["cases"].as_array().expect("cases") {
            let name = case["name"].as_str().expect("a name").to_owned();
            let ignore = if name == "e2e" {
                "ignore_e2e"
            } else {
                "ignore"
            };
            let ignore = runs[ignore].as_str().expect("an expression").to_owned();
            let expected = read(&dir.join(case["expected"].as_str().expect("a file")));
            let flags = strings(&case["flags"]);
            let query = case["query"].as_str().unwrap_or_default().to_owned();
            let status = case["status"].as_u64().expect("a status") as u16;
            let keep = copy.clone();
            cases.push(Case::new(name, move || {
                let _keep = keep;
                check(&flags, &query, status, &expected, &ignore)
            }));
        }
        // Families that the set's pages leave out, as node_exporter 1.11.1 shows them on these fixtures.
        let flags = [
            "--path.rootfs=fixtures",
            "--path.procfs=fixtures/proc",
            "--path.sysfs=fixtures/sys",
            "--collector.disable-defaults",
            "--collector.drbd",
            "--collector.qdisc",
            "--collector.qdisc.fixtures=fixtures/qdisc",
            "--collector.wifi",
            "--collector.wifi.fixtures=fixtures/wifi",
            "--collector.zoneinfo",
        ];
        let keep = copy.clone();
        cases.push(Case::new("families-left-out", move || {
            let _keep = keep;
            let expected = include_str!("../testdata/node_exporter-1.11.1.txt");
            check(&flags.map(str::to_owned), "", 200, expected, "^$")
        }));
        for case in singles["cases"].as_array().expect("cases") {
            let collector = case["collector"].as_str().expect("a name").to_owned();
            let expected = read(&dir.join(case["expected"].as_str().expect("a file")));
            // Texts inside Go's tests are indented.
            let expected: Vec<&str> = expected.lines().map(str::trim).collect();
            let expected = expected.join("\n");
            let mut flags: Vec<String> = [
                "--path.rootfs=fixtures",
                "--path.procfs=fixtures/proc",
                "--path.sysfs=fixtures/sys",
                "--path.udev.data=fixtures/udev/data",
                "--collector.disable-defaults",
                "--web.disable-exporter-metrics",
            ]
            .map(str::to_owned)
            .to_vec();
            flags.push(format!("--collector.{collector}"));
            if collector == "ethtool" {
                // What the ioctl would say, as the set's README has it.
                flags.push("--collector.ethtool.fixtures=fixtures/ethtool".to_owned());
            }
            flags.extend(strings(&case["flags"]));
            let keep = copy.clone();
            cases.push(Case::new(format!("collector/{collector}"), move || {
                let _keep = keep;
                check(&flags, "", 200, &expected, "^$|^node_scrape_collector_")
            }));
        }
        cases
    })
}

fn load(path: &Path) -> Json {
    serde_json::from_str(&read(path)).expect("the set is JSON")
}

fn strings(json: &Json) -> Vec<String> {
    let list = json.as_array().expect("a list");
    list.iter()
        .map(|s| s.as_str().expect("text").to_owned())
        .collect()
}

fn check(
    flags: &[String],
    query: &str,
    status: u16,
    expected: &str,
    ignore: &str,
) -> Result<(), String> {
    let (got_status, got) = page(flags, query)?;
    if got_status != status {
        return Err(format!("status {got_status}, expected {status}: {got}"));
    }
    if status != 200 {
        return if got.trim() == expected.trim() {
            Ok(())
        } else {
            Err(format!("\n     got {got}\nexpected {expected}"))
        };
    }
    let ignore = Regexp::new(ignore).map_err(|e| e.to_string())?;
    let (got, expected) = (families(&got, &ignore), families(expected, &ignore));
    let mut wrong = Vec::new();
    for (name, lines) in &expected {
        let empty = Vec::new();
        let have = got.get(name).unwrap_or(&empty);
        if is_of_go(name) {
            if !have.is_empty() {
                wrong.push(format!(
                    "{name} is on the page, and the list says it is not"
                ));
            }
            continue;
        }
        if name == "node_scrape_collector_success" {
            wrong.extend(
                lines
                    .iter()
                    .filter(|l| !have.contains(l))
                    .map(|l| format!("missing {l}")),
            );
        } else if have.is_empty() {
            wrong.push(format!("missing family {name}"));
        } else if have != lines {
            let at = have.iter().zip(lines).position(|(a, b)| a != b);
            let at = at.unwrap_or_else(|| have.len().min(lines.len()));
            wrong.push(format!(
                "{name}: {} lines, expected {}\n     got {:?}\nexpected {:?}",
                have.len(),
                lines.len(),
                have.get(at),
                lines.get(at)
            ));
        }
    }
    if wrong.is_empty() {
        return Ok(());
    }
    Err(format!(
        "{} differences:\n{}",
        wrong.len(),
        wrong.join("\n")
    ))
}

/// The written list of what the fixture page has and ours has not: what Go's runtime says of itself.
fn is_of_go(family: &str) -> bool {
    const FAMILIES: [&str; 3] = ["go_info", "go_goroutines", "go_threads"];
    FAMILIES.contains(&family)
        || ["go_gc_", "go_memstats_", "go_sched_"]
            .iter()
            .any(|prefix| family.starts_with(prefix))
}

/// The lines of each family, without those that are not judged.
fn families(text: &str, ignore: &Regexp) -> BTreeMap<String, Vec<String>> {
    let mut families: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut current = String::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            current = rest.split(' ').next().unwrap_or_default().to_owned();
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            current = rest.split(' ').next().unwrap_or_default().to_owned();
        }
        if !ignore.is_match(line) {
            families
                .entry(current.clone())
                .or_default()
                .push(line.to_owned());
        }
    }
    families
}
