//! Real counterparts (Docker, Kafka, k6, peers): where they are, and what happens where they are not.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

/// Says that a part is missing: loudly on a user's machine, as a failure with `CI=true`.
///
/// # Panics
/// With `CI=true`.
pub fn missing(part: &str, how_to_get_it: &str) {
    let ci = std::env::var("CI").is_ok_and(|v| v == "true");
    assert!(!ci, "{part} is missing, and CI needs it: {how_to_get_it}");
    eprintln!("SKIPPED: {part} is missing here ({how_to_get_it})");
}

/// A program on the `PATH`; [`missing`] has been called where the answer is `None`.
pub fn program(name: &str, how_to_get_it: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .map(|dir| dir.join(name))
        .find(|file| file.is_file());
    if found.is_none() {
        missing(name, how_to_get_it);
    }
    found
}

/// A peer that `get-peers.sh` unpacked (`PEERS_DIR`), such as `prometheus` or `victoria-metrics`;
/// [`missing`] has been called where the answer is `None`.
pub fn peer(name: &str) -> Option<PathBuf> {
    let found = std::env::var_os("PEERS_DIR")
        .map(|dir| Path::new(&dir).join("usr/bin").join(name))
        .filter(|file| file.is_file());
    if found.is_none() {
        missing(name, "run get-peers.sh and set PEERS_DIR");
    }
    found
}

/// The cargo that runs the tests, without what it has told them about themselves: build scripts that look
/// at that (ring's) would run again, and with them everything above.
pub fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in std::env::vars_os() {
        if let Some(text) = name.to_str()
            && ["CARGO_PKG_", "CARGO_MANIFEST_"]
                .iter()
                .any(|prefix| text.starts_with(prefix))
        {
            cargo.env_remove(name);
        }
    }
    cargo
}

/// Builds our own `packages` in the profile of the tests and gives the folder of their programs.
///
/// # Panics
/// Where they do not build.
pub fn build(packages: &[&str]) -> PathBuf {
    // One build at a time: cargo would wait on its own lock, and say so on the terminal.
    static ONE: Mutex<()> = Mutex::new(());
    let _guard = ONE.lock();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut cargo = cargo();
    cargo.current_dir(&root).arg("build").arg("--quiet");
    for package in packages {
        cargo.args(["--package", package]);
    }
    assert!(
        cargo.status().expect("cargo can be run").success(),
        "{packages:?} do not build"
    );
    // This test runs from <target>/<profile>/deps.
    let me = std::env::current_exe().expect("a running program has a path");
    let target = me
        .ancestors()
        .nth(3)
        .expect("test programs lie in <target>/<profile>/deps");
    target.join("debug")
}
