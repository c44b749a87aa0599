//! Runs the foreign cases of `../shared/conformance` (or `CONFORMANCE_DIR`), each as a test of its
//! own name.
//!
//! A crate's runner is a test target with `harness = false`:
//!
//! ```no_run
//! fn main() -> std::process::ExitCode {
//!     conformance::run("relabel", |dir| {
//!         let text = std::fs::read_to_string(dir.join("relabel.json")).expect("the set is readable");
//!         vec![conformance::Case::new("relabel.json/0", move || {
//!             if text.is_empty() { Err("empty".to_owned()) } else { Ok(()) }
//!         })]
//!     })
//! }
//! ```
//!
//! Cases that are known to differ stand in `known-failures/<set>.txt` here, a line each: the case's
//! name, two blanks, the reason. Such a case must fail: once it passes, its line has to go.
//!
//! A set that is missing is said so and skipped; with `CI=true` it is a failure.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};

/// One case: a name, and a check that says what differs.
pub struct Case {
    name: String,
    check: Box<dyn FnOnce() -> Result<(), String> + Send>,
}

impl Case {
    /// A case that passes when `check` returns `Ok` and does not panic.
    pub fn new(
        name: impl Into<String>,
        check: impl FnOnce() -> Result<(), String> + Send + 'static,
    ) -> Case {
        Case {
            name: name.into(),
            check: Box::new(check),
        }
    }
}

/// The folder of a set, if it is there: `$CONFORMANCE_DIR/<set>`, by default
/// `../shared/conformance/<set>` beside the workspace.
pub fn directory(set: &str) -> Option<PathBuf> {
    let root = match std::env::var_os("CONFORMANCE_DIR") {
        Some(dir) => PathBuf::from(dir),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance"),
    };
    let dir = root.join(set);
    dir.is_dir().then_some(dir)
}

/// Runs a set: `cases` turns its folder into cases.
pub fn run(set: &str, cases: impl FnOnce(&Path) -> Vec<Case>) -> ExitCode {
    let arguments = Arguments::from_args();
    let Some(dir) = directory(set) else {
        if std::env::var("CI").is_ok_and(|v| v == "true") {
            eprintln!("conformance set {set:?} is missing, and CI needs it: set CONFORMANCE_DIR");
            return ExitCode::FAILURE;
        }
        eprintln!("SKIPPED: conformance set {set:?} is not here; CONFORMANCE_DIR says where it is");
        return ExitCode::SUCCESS;
    };
    let mut known = known_failures(set);
    let mut trials: Vec<Trial> = cases(&dir)
        .into_iter()
        .map(|Case { name, check }| match known.remove(&name) {
            None => Trial::test(name, move || check().map_err(Failed::from)),
            Some(reason) => {
                Trial::test(name, move || must_fail(check, &reason)).with_kind("known failure")
            }
        })
        .collect();
    let unused: Vec<String> = known.into_keys().collect();
    trials.push(Trial::test(
        format!("{set}: every known failure names a case"),
        move || {
            if unused.is_empty() {
                Ok(())
            } else {
                Err(format!("no such cases: {unused:?}").into())
            }
        },
    ));
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn must_fail(
    check: Box<dyn FnOnce() -> Result<(), String> + Send>,
    reason: &str,
) -> Result<(), Failed> {
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(check)) {
        Ok(Ok(())) => Err(format!("passes, but is listed as a known failure: {reason}").into()),
        Ok(Err(_)) | Err(_) => Ok(()),
    }
}

fn known_failures(set: &str) -> BTreeMap<String, String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("known-failures/{set}.txt"));
    let Ok(text) = std::fs::read_to_string(path) else {
        return BTreeMap::new();
    };
    text.lines()
        .filter(|line| !line.trim().is_empty() && !line.starts_with('#'))
        .map(|line| match line.split_once("  ") {
            Some((name, reason)) => (name.to_owned(), reason.trim().to_owned()),
            None => {
                panic!("known-failures/{set}.txt: line {line:?} gives no reason after two blanks")
            }
        })
        .collect()
}
