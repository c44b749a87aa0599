//! The conformance set `node`: fixture trees and the pages node_exporter prints for them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::http::Request;
use conformance::Case;
use golang::regexp::Regexp;
use serde_json::Value as Json;
use service::Boot;
use tower::ServiceExt;

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

fn read(path: &Path) -> String {
    let bytes = std::fs::read(path).expect("the set is readable");
    String::from_utf8_lossy(&bytes).into_owned()
}

fn strings(json: &Json) -> Vec<String> {
    let list = json.as_array().expect("a list");
    list.iter()
        .map(|s| s.as_str().expect("text").to_owned())
        .collect()
}

/// Copies the set and adds what version control drops.
fn prepare(from: &Path, to: &Path) {
    for tree in ["fixtures", "overlay"] {
        copy(&from.join(tree), &to.join(tree));
    }
    // The lists name paths below fixtures.
    for line in read(&from.join("empty-dirs.txt"))
        .lines()
        .filter(|l| !l.is_empty())
    {
        std::fs::create_dir_all(below(to, line)).expect("a directory");
    }
    for line in read(&from.join("symlinks.txt")).lines() {
        let Some((link, target)) = line.split_once(" -> ") else {
            continue;
        };
        let link = below(to, link);
        std::fs::create_dir_all(link.parent().expect("a parent")).expect("a directory");
        // Where links cannot be stored, a file with the target's name stands in for one.
        if link.symlink_metadata().is_ok() {
            std::fs::remove_file(&link).expect("no directory");
        }
        std::os::unix::fs::symlink(target, link).expect("a link");
    }
}

fn below(to: &Path, path: &str) -> PathBuf {
    if path.starts_with("fixtures/") || path.starts_with("overlay/") {
        to.join(path)
    } else {
        to.join("fixtures").join(path)
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a directory");
    for entry in std::fs::read_dir(from).expect("a directory") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        let kind = entry.file_type().expect("a type");
        if kind.is_symlink() {
            let link = std::fs::read_link(entry.path()).expect("a link");
            std::os::unix::fs::symlink(link, target).expect("a link");
        } else if kind.is_dir() {
            copy(&entry.path(), &target);
        } else {
            let bytes = std::fs::read(entry.path()).expect("a file");
            std::fs::write(target, bytes).expect("a copy");
        }
    }
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

fn page(flags: &[String], query: &str) -> Result<(u16, String), String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| e.to_string())?;
    runtime.block_on(async {
        let boot = Boot::new(&node_agent::PROGRAM, flags).map_err(|e| e.to_string())?;
        boot.register_process_metrics();
        let collectors = node_agent::build(&boot.args)?;
        let router = node_agent::router(&boot, collectors);
        let request = Request::get(format!("/metrics{query}")).body(Body::empty());
        let request = request.map_err(|e| e.to_string())?;
        let response = router.oneshot(request).await.map_err(|e| e.to_string())?;
        let status = response.status().as_u16();
        let body = to_bytes(response.into_body(), usize::MAX)
            .await
            .map_err(|e| e.to_string())?;
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    })
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
