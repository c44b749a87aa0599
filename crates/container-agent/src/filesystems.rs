//! The host's file systems on block devices: size and use, and what the kernel counts of their devices.
//! They are shown with the root cgroup.

use std::collections::HashMap;

use crate::info::Filesystem;
use crate::machine::Host;

/// Milliseconds of `/proc/diskstats` in nanoseconds, which is what the pages are made from.
const MILLI: u64 = 1_000_000;

/// Every mounted file system once, under its device.
pub fn of_host(host: &Host) -> Vec<Filesystem> {
    let text = |path: &str| std::fs::read_to_string(host.proc.join(path)).unwrap_or_default();
    let own = text("1/mounts");
    let mounts = if own.is_empty() {
        text("self/mounts")
    } else {
        own
    };
    let counts = text("diskstats");
    let counts = diskstats(&counts);
    let mut filesystems: Vec<Filesystem> = Vec::new();
    for (device, point) in block_mounts(&mounts) {
        if filesystems.iter().any(|known| known.device == device) {
            continue;
        }
        let path = host.root.join(point.trim_start_matches('/'));
        let Ok(size) = rustix::fs::statvfs(&path) else {
            continue;
        };
        let name = device.trim_start_matches("/dev/");
        filesystems.push(Filesystem {
            device: device.to_owned(),
            limit: size.f_blocks.saturating_mul(size.f_frsize),
            usage: size
                .f_blocks
                .saturating_sub(size.f_bfree)
                .saturating_mul(size.f_frsize),
            inodes: size.f_files,
            inodes_free: size.f_ffree,
            ..counts.get(name).cloned().unwrap_or_default()
        });
    }
    filesystems
}

/// Device and mount point of what lies on a block device; network file systems may hang.
fn block_mounts(text: &str) -> impl Iterator<Item = (&str, String)> {
    text.lines().filter_map(|line| {
        let mut fields = line.split(' ');
        let (device, point) = (fields.next()?, fields.next()?);
        let kind = fields.next()?;
        // Images that are mounted by a loop device are full by nature.
        let counts = device.starts_with("/dev/") && !matches!(kind, "squashfs" | "iso9660");
        counts.then(|| (device, unescaped(point)))
    })
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

fn diskstats(text: &str) -> HashMap<&str, Filesystem> {
    let entries = text.lines().filter_map(|line| {
        let mut fields = line.split_whitespace().skip(2);
        let name = fields.next()?;
        let numbers: Option<Vec<u64>> = fields.map(|field| field.parse().ok()).collect();
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
        Some((name, counts))
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
        std::fs::create_dir_all(dir.path().join("a b")).unwrap();
        let mounts = "/dev/vda1 /a\\040b ext4 rw 0 0\n/dev/vda1 / ext4 rw 0 0\nproc /proc proc rw 0 0\n/dev/loop1 /snap squashfs ro 0 0\n/dev/gone /gone ext4 rw 0 0\n";
        std::fs::write(dir.path().join("proc/1/mounts"), mounts).unwrap();
        let disks = " 254 1 vda1 1 2 3 4 5 6 7 8 9 10 11 0 0\n 254 2 vda2 1 x\n";
        std::fs::write(dir.path().join("proc/diskstats"), disks).unwrap();
        let found = of_host(&Host::below(dir.path()));
        assert_eq!(found.len(), 1);
        let vda1 = &found[0];
        assert_eq!(vda1.device, "/dev/vda1");
        assert!(vda1.limit > vda1.usage && vda1.usage > 0);
        assert_eq!((vda1.reads_completed, vda1.read_time), (1, 4_000_000));
        assert_eq!(
            (vda1.io_in_progress, vda1.weighted_io_time),
            (9, 11_000_000)
        );
    }
}
