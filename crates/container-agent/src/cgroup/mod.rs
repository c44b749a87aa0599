//! The cgroup tree under a root path (`/sys/fs/cgroup`), version 1 or 2: which cgroups there are, and
//! what the kernel says of one. Files are read when asked and never written; one that is missing,
//! cut short or strange is as if the kernel did not offer it.

mod files;
mod v1;
mod v2;

use std::collections::BTreeSet;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::groups::Groups;
use crate::info::{Memory, Spec, Stats};

pub use files::{Files, key_values, read_file};
pub use v2::add as add_operation;

/// How deep the tree is followed: deeper than any the kernel or systemd makes.
const DEPTH: usize = 64;

/// Why there are no cgroups to read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "no cgroups at {0}: mount them there (docker run -v /sys/fs/cgroup:/sys/fs/cgroup:ro, or --cgroupns=host), or say where they are with -cgroup_root"
    )]
    Missing(PathBuf),
    #[error(
        "the cgroups at {0} are only this container's own: run it with --cgroupns=host (and -v /sys/fs/cgroup:/sys/fs/cgroup:ro)"
    )]
    OwnView(PathBuf),
    #[error("cannot read the cgroups at {path}: {source}{hint}")]
    Unreadable {
        path: PathBuf,
        source: io::Error,
        hint: &'static str,
    },
}

/// The mounted hierarchies.
#[derive(Debug, Clone)]
pub enum Cgroups {
    /// Version 1: a tree for each controller.
    V1(Box<v1::Controllers>),
    /// Version 2: one tree.
    V2(PathBuf),
}

impl Cgroups {
    /// Finds out what is mounted at `root`.
    ///
    /// # Errors
    /// [`Error`]: nothing, or nothing that may be read.
    pub fn find(root: &Path) -> Result<Cgroups, Error> {
        std::fs::read_dir(root).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => Error::Missing(root.to_owned()),
            _ => unreadable(root, source),
        })?;
        if root.join("cgroup.controllers").is_file() {
            // What a cgroup namespace shows as the root has the files that the real one lacks.
            if root.join("cgroup.events").exists() {
                return Err(Error::OwnView(root.to_owned()));
            }
            return Ok(Cgroups::V2(root.to_owned()));
        }
        match v1::Controllers::find(root) {
            Some(controllers) => Ok(Cgroups::V1(Box::new(controllers))),
            None => Err(Error::Missing(root.to_owned())),
        }
    }

    /// 1 or 2.
    pub fn version(&self) -> u8 {
        match self {
            Cgroups::V1(_) => 1,
            Cgroups::V2(_) => 2,
        }
    }

    /// The paths of all cgroups, `/` first: `/docker`, `/docker/<id>`.
    ///
    /// # Errors
    /// The root cannot be listed; a cgroup that disappears meanwhile is none.
    pub fn list(&self) -> Result<BTreeSet<String>, Error> {
        let mut paths = BTreeSet::from(["/".to_owned()]);
        for root in self.roots() {
            let entries = std::fs::read_dir(root).map_err(|source| unreadable(root, source))?;
            walk(entries, "", 0, &mut paths);
        }
        Ok(paths)
    }

    /// Limits and numbers of one cgroup; `None` if it is gone.
    pub fn read(&self, path: &str, groups: Groups) -> Option<(Spec, Stats)> {
        match self {
            Cgroups::V1(controllers) => controllers.read(path, groups),
            Cgroups::V2(root) => v2::read(&directory(root, path), groups),
        }
    }

    /// When a cgroup was made, as far as its files tell.
    pub fn created_ms(&self, path: &str) -> Option<i64> {
        let (roots, file) = match self {
            Cgroups::V1(controllers) => (controllers.trees(), "cgroup.clone_children"),
            Cgroups::V2(root) => (vec![root], "cgroup.events"),
        };
        let files = roots
            .into_iter()
            .map(|root| Files::new(directory(root, path)));
        let times = files.flat_map(|files| [files.modified_ms(""), files.modified_ms(file)]);
        times.flatten().min()
    }

    /// The processes of one cgroup, without those of the cgroups below it.
    pub fn processes(&self, path: &str) -> Vec<u32> {
        let root = match self {
            Cgroups::V1(controllers) => controllers.tree(),
            Cgroups::V2(root) => root,
        };
        let text = Files::new(directory(root, path))
            .text("cgroup.procs")
            .unwrap_or_default();
        text.lines().filter_map(|line| line.parse().ok()).collect()
    }

    fn roots(&self) -> Vec<&PathBuf> {
        match self {
            Cgroups::V1(controllers) => controllers.trees(),
            Cgroups::V2(root) => vec![root],
        }
    }
}

/// `memory.stat` of either version into `memory`; `total`: of version 1, with the cgroups below.
pub fn memory_stat<'a>(
    version: u8,
    lines: impl Iterator<Item = (&'a str, u64)>,
    total: bool,
    memory: &mut Memory,
) {
    match version {
        1 => v1::memory_stat(lines, total, memory),
        _ => v2::memory_stat(lines, memory),
    }
}

fn unreadable(path: &Path, source: io::Error) -> Error {
    let hint = match source.kind() {
        io::ErrorKind::PermissionDenied => {
            " (container-agent has to run as root, or its user needs read permission there)"
        }
        _ => "",
    };
    Error::Unreadable {
        path: path.to_owned(),
        source,
        hint,
    }
}

/// Where a cgroup's files are.
fn directory(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}

/// Whether a directory has none below it: one link is its name, one its own `.`, others are `..` of
/// those below. Asking is cheaper than looking.
fn is_leaf(entry: &std::fs::DirEntry) -> bool {
    entry.metadata().is_ok_and(|metadata| metadata.nlink() == 2)
}

fn walk(entries: std::fs::ReadDir, parent: &str, depth: usize, paths: &mut BTreeSet<String>) {
    for entry in entries.flatten() {
        // Symbolic links are none of the kernel's, and could lead anywhere.
        if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        let path = format!("{parent}/{}", entry.file_name().to_string_lossy());
        if depth < DEPTH
            && !is_leaf(&entry)
            && let Ok(below) = std::fs::read_dir(entry.path())
        {
            walk(below, &path, depth + 1, paths);
        }
        paths.insert(path);
    }
}

#[cfg(test)]
mod tests;
