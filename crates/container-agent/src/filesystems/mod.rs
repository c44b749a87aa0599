//! File systems: the host's (`host`), shown with the root cgroup, and how much of them each container
//! fills (`usage`), which is measured apart from the pages.

pub mod host;
pub mod usage;

use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Major and minor number of the device that a path lies on; `None` where the path is not there.
pub fn device_of(path: &Path) -> Option<(u64, u64)> {
    Some(numbers(path.symlink_metadata().ok()?.dev()))
}

/// Linux' split of a device number.
fn numbers(device: u64) -> (u64, u64) {
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    (u64::from(major), u64::from(minor))
}
