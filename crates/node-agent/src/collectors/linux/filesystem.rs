//! filesystem: statfs of every mount of the host's first process.
//!
//! statfs can hang (a network file system whose server is gone), so it runs on threads of its own.
//! Who does not answer in time is left alone until the call returns: its mount shows as an error and
//! is not asked again until then.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use service::Args;

use super::filter::Filter;
use super::{Collector, Outcome};
use crate::deadline::{self, Crew, Jobs, Patience};
use crate::files::Files;
use crate::page::Page;

/// How long a mount may take before the others are asked beside it: hung mounts are waited for at
/// the same time, not one after the other.
const MOVE_ON: Duration = Duration::from_millis(100);

/// What upstream writes for a mount that does not answer.
const TIMEOUT: &str = "mountpoint timeout";

struct FileSystem {
    mount_points: Filter,
    types: Filter,
    timeout: Duration,
    /// Mounts whose statfs has not returned.
    stuck: Arc<Mutex<HashSet<PathBuf>>>,
    crew: Crew,
}

/// One mount of mountinfo.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mount {
    device: String,
    mount_point: String,
    kind: String,
    major: String,
    minor: String,
    read_only: bool,
}

/// What statfs says, in bytes and inodes.
#[derive(Debug, Clone, Copy)]
struct Space {
    size: f64,
    free: f64,
    available: f64,
    files: f64,
    files_free: f64,
}

type Answer = Result<Space, String>;

pub fn new(args: &Args) -> Result<Collector, String> {
    let filesystem = FileSystem {
        mount_points: Filter::include_over_default(
            args,
            "collector.filesystem.mount-points-exclude",
            "collector.filesystem.mount-points-include",
        )?,
        types: Filter::include_over_default(
            args,
            "collector.filesystem.fs-types-exclude",
            "collector.filesystem.fs-types-include",
        )?,
        timeout: args.duration("collector.filesystem.mount-timeout"),
        stuck: Arc::default(),
        crew: Crew::default(),
    };
    Ok(Box::new(move |files, out| filesystem.collect(files, out)))
}

/// `36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue`.
fn parse(line: &str) -> Option<Mount> {
    let mut fields = line.split(' ');
    let (major, minor) = fields.nth(2)?.split_once(':')?;
    let mount_point = unescape(fields.nth(1)?);
    let options = fields.next()?;
    // Optional fields end with a dash.
    fields.by_ref().find(|field| *field == "-")?;
    let (kind, device) = (fields.next()?, fields.next()?);
    let super_options = fields.next().unwrap_or_default();
    let has_ro = |options: &str| options.split(',').any(|option| option == "ro");
    Some(Mount {
        device: unescape(device),
        mount_point,
        kind: kind.to_owned(),
        major: major.to_owned(),
        minor: minor.to_owned(),
        read_only: has_ro(options) || has_ro(super_options),
    })
}

/// Blanks and the like are written as three octal digits.
fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let code = after.get(..3).filter(|_| byte == b'\\').and_then(|digits| {
            let digits = std::str::from_utf8(digits).ok()?;
            u8::from_str_radix(digits, 8).ok()
        });
        match code {
            Some(code) => {
                bytes.push(code);
                rest = &after[3..];
            }
            None => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

impl FileSystem {
    fn collect(&self, files: &mut Files, out: &mut Page) -> Outcome {
        // The first process sees the host's mounts; without the right to ask it, our own.
        let root = files.paths.root.to_string_lossy().into_owned();
        let mounts = match files.proc("1/mountinfo") {
            Ok(text) => self.wanted(&root, text),
            Err(_) => self.wanted(&root, files.proc("self/mountinfo")?),
        };
        let paths = mounts.iter().map(|mount| {
            let below = mount.mount_point.trim_start_matches('/');
            files.paths.root.join(below)
        });
        let answers = self.ask(paths.collect());
        for (mount, answer) in mounts.iter().zip(answers) {
            write(out, mount, &answer);
        }
        Ok(())
    }

    /// The mounts that are shown, each once, with their mount points as the host names them.
    fn wanted(&self, root: &str, text: &str) -> Vec<Mount> {
        let mut seen = HashSet::new();
        let mut mounts = Vec::new();
        let root = root.trim_end_matches('/');
        for line in text.lines() {
            let Some(mut mount) = parse(line) else {
                tracing::debug!(line, "malformed mount point information");
                continue;
            };
            let stripped = mount.mount_point.strip_prefix(root);
            if let Some(stripped) = stripped.filter(|s| s.is_empty() || s.starts_with('/')) {
                mount.mount_point = if stripped.is_empty() { "/" } else { stripped }.to_owned();
            }
            if self.mount_points.ignored(&mount.mount_point) || self.types.ignored(&mount.kind) {
                continue;
            }
            let key = (
                mount.device.clone(),
                mount.mount_point.clone(),
                mount.kind.clone(),
            );
            if seen.insert(key) {
                mounts.push(mount);
            }
        }
        mounts
    }

    /// Asks for every path; a path that does not answer in time is passed over.
    fn ask(&self, paths: Vec<PathBuf>) -> Vec<Answer> {
        let (mut open, mut places) = (Vec::new(), Vec::new());
        let stuck = self.stuck.lock().clone();
        for (place, path) in paths.iter().enumerate() {
            if !stuck.contains(path) {
                places.push(place);
                open.push(path.clone());
            }
        }
        let patience = Patience {
            move_on: MOVE_ON.min(self.timeout),
            give_up: self.timeout,
        };
        let count = open.len();
        let mounts = Arc::new(Mounts {
            paths: open,
            stuck: self.stuck.clone(),
        });
        let found = deadline::run(&self.crew, &mounts, count, patience);
        let mut answers: Vec<Answer> = paths.iter().map(|_| Err(TIMEOUT.to_owned())).collect();
        for (place, answer) in places.into_iter().zip(found) {
            if let Some(answer) = answer {
                answers[place] = answer;
            }
        }
        answers
    }
}

/// Mount points to ask, as jobs.
struct Mounts {
    paths: Vec<PathBuf>,
    stuck: Arc<Mutex<HashSet<PathBuf>>>,
}

impl Jobs for Mounts {
    type Answer = Answer;
    type Tools = ();

    fn tools(&self) {}

    fn run(&self, at: usize, (): &mut ()) -> Answer {
        let stat = rustix::fs::statfs(&self.paths[at]).map_err(words)?;
        let block = stat.f_bsize as f64;
        Ok(Space {
            size: stat.f_blocks as f64 * block,
            free: stat.f_bfree as f64 * block,
            available: stat.f_bavail as f64 * block,
            files: stat.f_files as f64,
            files_free: stat.f_ffree as f64,
        })
    }

    fn hung(&self, at: usize) {
        let path = &self.paths[at];
        tracing::warn!(mountpoint = %path.display(), "Mount point timed out, it is being labeled as stuck and will not be monitored");
        self.stuck.lock().insert(path.clone());
    }

    fn returned(&self, at: usize) {
        let path = &self.paths[at];
        tracing::info!(mountpoint = %path.display(), "Mount point has recovered, monitoring will resume");
        self.stuck.lock().remove(path);
    }
}

/// An error as Go's syscall.Errno says it: a lower-case sentence without the number.
fn words(error: rustix::io::Errno) -> String {
    let text = std::io::Error::from(error).to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    text.to_lowercase()
}

fn write(out: &mut Page, mount: &Mount, answer: &Answer) {
    let error = answer.as_ref().err().map_or("", String::as_str);
    let labels = [
        ("device", mount.device.as_str()),
        ("mountpoint", &mount.mount_point),
        ("fstype", &mount.kind),
        ("device_error", error),
    ];
    let flag = |on: bool| if on { 1.0 } else { 0.0 };
    out.gauge(
        "node_filesystem_device_error",
        "Whether an error occurred while getting statistics for the given device.",
        &labels,
        flag(answer.is_err()),
    );
    out.gauge(
        "node_filesystem_readonly",
        "Filesystem read-only status.",
        &labels,
        flag(mount.read_only),
    );
    let Ok(space) = answer else { return };
    out.gauge(
        "node_filesystem_mount_info",
        "Filesystem mount information.",
        &[
            ("device", &mount.device),
            ("major", &mount.major),
            ("minor", &mount.minor),
            ("mountpoint", &mount.mount_point),
        ],
        1.0,
    );
    let values = [
        (
            "node_filesystem_size_bytes",
            "Filesystem size in bytes.",
            space.size,
        ),
        (
            "node_filesystem_free_bytes",
            "Filesystem free space in bytes.",
            space.free,
        ),
        (
            "node_filesystem_avail_bytes",
            "Filesystem space available to non-root users in bytes.",
            space.available,
        ),
        // Upstream has it on every system and fills it on macOS.
        (
            "node_filesystem_purgeable_bytes",
            "Filesystem space available including purgeable space (MacOS specific).",
            0.0,
        ),
        (
            "node_filesystem_files",
            "Filesystem total file nodes.",
            space.files,
        ),
        (
            "node_filesystem_files_free",
            "Filesystem total free file nodes.",
            space.files_free,
        ),
    ];
    for (name, help, value) in values {
        out.gauge(name, help, &labels, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_mountinfo() {
        let line =
            r"36 35 98:0 /mnt1 /mnt\0402 rw,noatime master:1 - ext3 /dev/root ro,errors=continue";
        let mount = parse(line).unwrap();
        assert_eq!(mount.mount_point, "/mnt 2");
        assert_eq!(
            (mount.kind.as_str(), mount.device.as_str()),
            ("ext3", "/dev/root")
        );
        assert_eq!((mount.major.as_str(), mount.read_only), ("98", true));
        for line in [
            "",
            "36 35 98:0 / /mnt rw",
            "36 35 98 / /mnt rw - a b",
            "a b c",
        ] {
            assert!(parse(line).is_none(), "{line:?}");
        }
        assert_eq!(unescape(r"a\011b\9"), "a\tb\\9");
    }

    #[test]
    fn a_stuck_mount_is_not_asked_again_and_costs_no_other() {
        let filesystem = FileSystem {
            mount_points: Filter::default(),
            types: Filter::default(),
            timeout: Duration::from_secs(5),
            stuck: Arc::new(Mutex::new(HashSet::from([PathBuf::from("/stuck")]))),
            crew: Crew::default(),
        };
        let paths = ["/", "/stuck", "/not/there", "/"].map(PathBuf::from);
        let answers = filesystem.ask(paths.to_vec());
        let errors: Vec<_> = answers.into_iter().map(Result::err).collect();
        let error = |text: &str| Some(text.to_owned());
        assert_eq!(
            errors,
            [
                None,
                error(TIMEOUT),
                error("no such file or directory"),
                None
            ]
        );
    }

    #[test]
    fn mounts_are_named_as_on_the_host() {
        let filesystem = FileSystem {
            mount_points: Filter::default(),
            types: Filter::default(),
            timeout: Duration::from_secs(5),
            stuck: Arc::default(),
            crew: Crew::default(),
        };
        let text = "1 1 8:1 / /rootfs rw - ext4 /dev/a rw\n2 1 8:2 / /rootfs/data rw - ext4 /dev/b rw\n3 1 8:3 / /rootfs2 rw - ext4 /dev/c rw\nbroken\n1 1 8:1 / /rootfs rw - ext4 /dev/a rw\n";
        let mounts = filesystem.wanted("/rootfs", text);
        let points: Vec<&str> = mounts.iter().map(|m| m.mount_point.as_str()).collect();
        assert_eq!(points, ["/", "/data", "/rootfs2"]);
    }
}
