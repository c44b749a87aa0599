//! The host's file systems: size and use, and what the kernel counts of their devices.

use std::collections::{HashMap, HashSet};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::numbers;
use crate::info::Filesystem;
use crate::machine::Host;

/// Milliseconds of `/proc/diskstats` in nanoseconds, which is what the pages are made from.
const MILLI: u64 = 1_000_000;

/// Every mounted file system once, under its device; a `tmpfs` under its mount point.
pub fn of_host(host: &Host) -> Vec<Filesystem> {
    let counts = text(host, "diskstats");
    let counts = diskstats(&counts);
    let mut filesystems = Vec::new();
    for mount in mounts(host) {
        let path = host.root.join(mount.point.trim_start_matches('/'));
        let Ok(size) = rustix::fs::statvfs(&path) else {
            continue;
        };
        filesystems.push(Filesystem {
            limit: size.f_blocks.saturating_mul(size.f_frsize),
            usage: size
                .f_blocks
                .saturating_sub(size.f_bfree)
                .saturating_mul(size.f_frsize),
            inodes: size.f_files,
            inodes_free: size.f_ffree,
            ..counts.get(&mount.numbers).cloned().unwrap_or_default()
        });
        if let Some(filesystem) = filesystems.last_mut() {
            filesystem.device = mount.device;
        }
    }
    filesystems
}

/// The label `device` of the file system that a path below the host's root lies on.
pub fn device_label(host: &Host, path: &Path) -> Option<String> {
    let at = super::device_of(&host.root.join(path.strip_prefix("/").unwrap_or(path)))?;
    let mounts = mounts(host);
    let same = mounts.iter().find(|mount| mount.numbers == at);
    // Subvolumes of btrfs have numbers of their own: the nearest mount above counts.
    let above = || {
        let above = mounts.iter().filter(|mount| path.starts_with(&mount.point));
        above.max_by_key(|mount| mount.point.len())
    };
    Some(same.or_else(above)?.device.clone())
}

/// A mounted file system that is shown.
struct Mount {
    device: String,
    point: String,
    numbers: (u64, u64),
}

/// What is mounted for the host's first process, each device once; the root's mount wins.
fn mounts(host: &Host) -> Vec<Mount> {
    let first = text(host, "1/mountinfo");
    let text = match first.is_empty() {
        true => text(host, "self/mountinfo"),
        false => first,
    };
    let mut mounts: Vec<Mount> = Vec::new();
    let mut known: HashSet<String> = HashSet::new();
    for mut mount in text.lines().filter_map(mount) {
        if !known.insert(mount.device.clone()) {
            if mount.point == "/" {
                mounts.retain(|other| other.device != mount.device);
            } else {
                continue;
            }
        }
        // btrfs: a mount has no device's numbers, its source does.
        if mount.numbers.0 == 0 && mount.device.starts_with("/dev/") {
            let source = host.root.join(mount.device.trim_start_matches('/'));
            if let Ok(metadata) = source.metadata() {
                mount.numbers = numbers(metadata.rdev());
            }
        }
        mounts.push(mount);
    }
    mounts
}

/// `36 35 98:0 /root /point rw,noatime master:1 - ext3 /dev/sda1 rw`: the mounts that are shown.
/// Network file systems are not: asking for their size may hang.
fn mount(line: &str) -> Option<Mount> {
    let (before, after) = line.split_once(" - ")?;
    let mut before = before.split(' ').skip(2);
    let (major, minor) = before.next()?.split_once(':')?;
    let point = unescaped(before.nth(1)?);
    let mut after = after.split(' ');
    let (kind, source) = (after.next()?, unescaped(after.next()?));
    let device = match kind {
        // Images that are mounted by a loop device are full by nature.
        "squashfs" | "iso9660" => return None,
        // A container's own shared memory comes and goes with it.
        "tmpfs" if point.split('/').any(is_container) => return None,
        "tmpfs" => point.clone(),
        "zfs" => source,
        _ if source.starts_with("/dev/") || point == "/" => source,
        _ => return None,
    };
    Some(Mount {
        device,
        point,
        numbers: (major.parse().ok()?, minor.parse().ok()?),
    })
}

fn is_container(part: &str) -> bool {
    part.len() == 64 && part.bytes().all(|b| b.is_ascii_hexdigit())
}

fn text(host: &Host, path: &str) -> String {
    std::fs::read_to_string(host.proc.join(path)).unwrap_or_default()
}

/// The kernel writes blanks in paths as `\040`.
fn unescaped(path: &str) -> String {
    let codes = [
        ("\\040", " "),
        ("\\011", "\t"),
        ("\\012", "\n"),
        ("\\134", "\\"),
    ];
    codes.iter().fold(path.to_owned(), |path, (code, plain)| {
        path.replace(code, plain)
    })
}

fn diskstats(text: &str) -> HashMap<(u64, u64), Filesystem> {
    let entries = text.lines().filter_map(|line| {
        let mut fields = line.split_whitespace();
        let (major, minor) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        let numbers: Option<Vec<u64>> = fields.skip(1).map(|field| field.parse().ok()).collect();
        let n = numbers.filter(|numbers| numbers.len() >= 11)?;
        let counts = Filesystem {
            reads_completed: n[0],
            reads_merged: n[1],
            sectors_read: n[2],
            read_time: n[3].saturating_mul(MILLI),
            writes_completed: n[4],
            writes_merged: n[5],
            sectors_written: n[6],
            write_time: n[7].saturating_mul(MILLI),
            io_in_progress: n[8],
            io_time: n[9].saturating_mul(MILLI),
            weighted_io_time: n[10].saturating_mul(MILLI),
            ..Filesystem::default()
        };
        Some(((major, minor), counts))
    });
    entries.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_on_devices() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("proc/1")).unwrap();
        std::fs::create_dir_all(dir.path().join("a b/shm")).unwrap();
        let container = "0123456789abcdef".repeat(4);
        let mounts = format!(
            "1 0 254:1 / /a\\040b rw - ext4 /dev/vda1 rw\n2 0 254:1 / / rw shared:1 - ext4 /dev/vda1 rw\n\
             3 0 0:5 / /proc rw - proc proc rw\n4 0 7:1 / /snap ro - squashfs /dev/loop1 ro\n\
             5 0 254:9 / /gone rw - ext4 /dev/gone rw\n6 0 0:6 / /a\\040b/shm rw - tmpfs shm rw\n\
             7 0 0:7 / /x/{container}/shm rw - tmpfs shm rw\n8 0 0:8 / /a\\040b rw - nfs4 server:/x rw\nnonsense\n"
        );
        std::fs::write(dir.path().join("proc/1/mountinfo"), mounts).unwrap();
        let disks = " 254 1 vda1 1 2 3 4 5 6 7 8 9 10 11 0 0\n 254 2 vda2 1 x\n";
        std::fs::write(dir.path().join("proc/diskstats"), disks).unwrap();
        let host = Host::below(dir.path());
        let found = of_host(&host);
        let devices: Vec<&str> = found.iter().map(|found| found.device.as_str()).collect();
        assert_eq!(devices, ["/dev/vda1", "/a b/shm"]);
        let vda1 = &found[0];
        assert!(vda1.limit > vda1.usage && vda1.usage > 0);
        assert_eq!((vda1.reads_completed, vda1.read_time), (1, 4_000_000));
        assert_eq!(
            (vda1.io_in_progress, vda1.weighted_io_time),
            (9, 11_000_000)
        );
        assert_eq!(
            device_label(&host, Path::new("/a b")).as_deref(),
            Some("/dev/vda1")
        );
        assert_eq!(device_label(&host, Path::new("/none")), None);
    }
}
