//! A mount that hangs: a FUSE file system whose server never answers.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use e2e::part::missing;
use e2e::wait_for;

use crate::{Exporter, agent, strings};

/// Mounted; nobody reads the requests until this is dropped, which aborts them.
struct Hung {
    at: PathBuf,
    device: Option<File>,
}

impl Hung {
    /// `None` where we may not mount.
    fn mount(at: &Path) -> Option<Hung> {
        std::fs::create_dir_all(at).unwrap();
        let device = File::options().read(true).write(true).open("/dev/fuse");
        let Ok(device) = device else {
            missing("/dev/fuse", "modprobe fuse, as root");
            return None;
        };
        let text = |s: &str| std::ffi::CString::new(s).unwrap();
        let options = format!(
            "fd={},rootmode=40000,user_id=0,group_id=0",
            device.as_raw_fd()
        );
        let (source, target) = (text("hung-server:/export"), text(at.to_str().unwrap()));
        let (kind, options) = (text("fuse.hung"), text(&options));
        // SAFETY: the texts live until the call returns.
        let failed = unsafe {
            libc::mount(
                source.as_ptr(),
                target.as_ptr(),
                kind.as_ptr(),
                0,
                options.as_ptr().cast(),
            )
        };
        if failed != 0 {
            let error = std::io::Error::last_os_error();
            missing(&format!("the right to mount ({error})"), "run as root");
            return None;
        }
        Some(Hung {
            at: at.to_owned(),
            device: Some(device),
        })
    }

    /// The server is gone for good: whoever waits for it gets an error.
    fn abort(&mut self) {
        self.device = None;
    }
}

impl Drop for Hung {
    fn drop(&mut self) {
        self.abort();
        let target = std::ffi::CString::new(self.at.to_str().unwrap()).unwrap();
        // SAFETY: the text lives until the call returns.
        unsafe { libc::umount2(target.as_ptr(), libc::MNT_DETACH) };
    }
}

#[test]
fn a_hung_mount_costs_its_own_series_only() {
    let dir = tempfile::tempdir().unwrap();
    let points = [dir.path().join("one"), dir.path().join("two")];
    let Some(mut first) = Hung::mount(&points[0]) else {
        return;
    };
    let Some(mut second) = Hung::mount(&points[1]) else {
        return;
    };
    let flags = strings(&[
        "--collector.filesystem.mount-timeout=2s",
        "--collector.timeout=8s",
    ]);
    let agent = Exporter::start(&agent(), &flags, dir.path());
    let series = |name: &str, at: &Path, error: &str| {
        let point = at.display();
        format!(
            "{name}{{device=\"hung-server:/export\",device_error=\"{error}\",fstype=\"fuse.hung\",mountpoint=\"{point}\"}}"
        )
    };
    let timeout = "mountpoint timeout";
    let mut slowest = Duration::ZERO;
    for scrape in 0..4 {
        let begin = Instant::now();
        let page = agent.scrape();
        slowest = slowest.max(begin.elapsed());
        for point in &points {
            let error = series("node_filesystem_device_error", point, timeout);
            assert_eq!(page.value(&error), Some(1.0), "scrape {scrape}: {error}");
        }
        // Nothing of them but that they do not answer, and nothing of the others is missing.
        let hung = page.series.keys().filter(|s| {
            s.contains("fuse.hung") && !s.contains("device_error=\"mountpoint timeout\"")
        });
        assert_eq!(hung.collect::<Vec<_>>(), [""; 0]);
        assert!(
            page.of("node_filesystem_size_bytes")
                .any(|(s, _)| s.contains("mountpoint=\"/\""))
        );
        let success = "node_scrape_collector_success{collector=\"filesystem\"}";
        assert_eq!(page.value(success), Some(1.0));
        assert!(page.value("node_load1").is_some());
        if scrape > 0 {
            // They are not asked again while they hang.
            assert!(begin.elapsed() < Duration::from_millis(1900));
        }
    }
    // Both at the same time, not one after the other.
    assert!(slowest < Duration::from_millis(3900), "{slowest:?}");
    // The server is gone: the mount answers again, with an error of its own, and no old value.
    first.abort();
    second.abort();
    for point in &points {
        let wanted = series("node_filesystem_device_error", point, "");
        let prefix = wanted.split("device_error").next().unwrap().to_owned();
        wait_for("the mount is asked again", Duration::from_secs(20), || {
            let page = agent.scrape();
            let mut found = page.series.keys().filter(|s| {
                s.starts_with(&prefix) && s.contains(&format!("mountpoint=\"{}\"", point.display()))
            });
            found.any(|s| !s.contains(timeout)).then_some(())
        });
    }
}
