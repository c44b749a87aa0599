//! `conformance/tsdb/databases.json` and `repair-index-version`: data folders that Prometheus wrote,
//! opened and read back sample by sample.
//!
//! Block folders are opened as such ([`blocks`]), and every folder as a database ([`open`]).

#[path = "databases/blocks.rs"]
mod blocks;
#[path = "databases/expected.rs"]
mod expected;
#[path = "databases/open.rs"]
mod open;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use conformance::Case;
use serde_json::Value;

fn main() -> ExitCode {
    conformance::run("tsdb", |dir| {
        let text =
            std::fs::read_to_string(dir.join("databases.json")).expect("the set is readable");
        let set: Value = serde_json::from_str(&text).expect("the set is JSON");
        let mut cases = Vec::new();
        for case in set["cases"].as_array().expect("cases") {
            let name = case["name"].as_str().expect("a name").to_owned();
            let from = dir.join("databases").join(&name);
            let expected = dir.join("databases").join(format!("{name}.expected.json"));
            let label = format!("databases/{name}");
            let (case, whole, folder) = (case.clone(), case.clone(), dir.to_owned());
            cases.push(Case::new(format!("{label}/open"), move || {
                open::database(&folder, &name, &whole)
            }));
            match case["kind"].as_str() {
                Some("block") => cases.push(Case::new(label, move || {
                    blocks::read(&from, &expected, case["ulid"].as_str())
                })),
                Some("wal" | "wal-damaged") => {}
                other => panic!("unknown kind {other:?}"),
            }
        }
        let repair = dir.join("repair-index-version");
        cases.push(Case::new("repair-index-version", move || {
            blocks::repair(&repair)
        }));
        let floats = dir.join("databases");
        cases.push(Case::new("write/block-floats", move || {
            blocks::write(&floats, "block-floats")
        }));
        cases
    })
}

/// Copies a folder, writable.
pub fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let target: PathBuf = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            let bytes = std::fs::read(entry.path()).expect("readable");
            std::fs::write(&target, bytes).expect("writable");
        }
    }
}
