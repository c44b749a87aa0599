//! The fixture tree of the conformance set `node`, and pages made from it.

// Each test program uses a part of this.
#![allow(dead_code)]

use std::path::{Path, PathBuf};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::Request;
use service::Boot;
use tower::ServiceExt;

/// A file of the set.
pub fn read(path: &Path) -> String {
    let bytes = std::fs::read(path).expect("the set is readable");
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Copies the set and adds what version control drops.
pub fn prepare(from: &Path, to: &Path) {
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

/// Copies a tree with its links.
pub fn copy(from: &Path, to: &Path) {
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

/// The service's pages with these flags.
pub fn router(flags: &[String]) -> Result<Router, String> {
    let boot = Boot::new(&node_agent::PROGRAM, flags).map_err(|e| e.to_string())?;
    boot.register_process_metrics();
    Ok(node_agent::router(&boot, node_agent::build(&boot.args)?))
}

/// Status and body of `/metrics<query>`.
pub async fn get(router: &Router, query: &str) -> Result<(u16, String), String> {
    let request = Request::get(format!("/metrics{query}")).body(Body::empty());
    let request = request.map_err(|e| e.to_string())?;
    let response = router.clone().oneshot(request).await;
    let response = response.map_err(|e| e.to_string())?;
    let status = response.status().as_u16();
    let body = to_bytes(response.into_body(), usize::MAX).await;
    let body = body.map_err(|e| e.to_string())?;
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}

/// A runtime for one test.
pub fn runtime() -> Result<tokio::runtime::Runtime, String> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| e.to_string())
}

/// [`get`] of a service of its own.
pub fn page(flags: &[String], query: &str) -> Result<(u16, String), String> {
    runtime()?.block_on(async { get(&router(flags)?, query).await })
}
