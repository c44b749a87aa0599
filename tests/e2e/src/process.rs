//! A service as a child process: its log in a file, its end by signal.

use std::fs::{File, OpenOptions};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::wait_for;

/// A port that was free a moment ago, of those that no system gives to outgoing connections by itself: one of
/// these would take it before the service that it is for does.
///
/// # Panics
/// Where loopback has none left.
pub fn free_port() -> u16 {
    const PORTS: std::ops::Range<u16> = 12_000..32_000;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let len = u32::from(PORTS.end - PORTS.start);
    let begin = std::process::id().wrapping_mul(97);
    for _ in 0..len {
        let at = begin.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % len;
        let port = PORTS.start + u16::try_from(at).expect("less than the ports there are");
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("none of the ports {PORTS:?} is free");
}

/// A running service that can be killed and started again with the same arguments.
pub struct Process {
    name: String,
    program: PathBuf,
    args: Vec<String>,
    log: PathBuf,
    child: Option<Child>,
}

impl Process {
    /// Starts `program` with its log appended to `<dir>/<name>.log`.
    pub fn start(name: &str, program: &Path, args: &[String], dir: &Path) -> Process {
        let mut process = Process {
            name: name.to_owned(),
            program: program.to_owned(),
            args: args.to_vec(),
            log: dir.join(format!("{name}.log")),
            child: None,
        };
        process.restart();
        process
    }

    /// Starts it (again).
    ///
    /// # Panics
    /// Where the program cannot be started.
    pub fn restart(&mut self) {
        assert!(self.child.is_none(), "{} runs already", self.name);
        let open = || -> File {
            let mut options = OpenOptions::new();
            options
                .create(true)
                .append(true)
                .open(&self.log)
                .expect("the log can be written")
        };
        let child = Command::new(&self.program)
            .args(&self.args)
            .env("TZ", "UTC")
            .stdin(Stdio::null())
            .stdout(open())
            .stderr(open())
            .spawn();
        self.child = Some(child.unwrap_or_else(|e| panic!("{}: {e}", self.program.display())));
    }

    /// kill -9.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Already gone is as good as killed.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// SIGTERM, and waits for the orderly end.
    ///
    /// # Panics
    /// When the process does not end within 30 s, or not with exit code 0.
    pub fn stop(&mut self) {
        let Some(mut child) = self.child.take() else {
            return;
        };
        // SAFETY: kill(2) with the id of our own child, which has not been waited for.
        let signaled = unsafe { libc::kill(child.id() as libc::pid_t, libc::SIGTERM) };
        assert_eq!(signaled, 0, "{} could not be signaled", self.name);
        let what = format!("{} ends after SIGTERM", self.name);
        let status = wait_for(&what, Duration::from_secs(30), || {
            child.try_wait().ok().flatten()
        });
        assert!(
            status.success(),
            "{} ended with {status}; its log:\n{}",
            self.name,
            self.log_text()
        );
    }

    /// Sends it a signal; nothing where it has ended.
    pub fn signal(&self, signal: i32) {
        if let Some(child) = &self.child {
            // SAFETY: kill(2) with the id of our own child, which has not been waited for.
            unsafe { libc::kill(child.id() as libc::pid_t, signal) };
        }
    }

    /// The id of the process; `None` where it does not run.
    pub fn id(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.child
            .as_mut()
            .is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// Everything it has logged so far, over all starts.
    pub fn log_text(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Log lines of level warn or error that contain none of the `announced` texts.
    pub fn unannounced(&self, announced: &[&str]) -> Vec<String> {
        let text = self.log_text();
        let loud = text
            .lines()
            .filter(|l| l.contains("level=WARN") || l.contains("level=ERROR"));
        loud.filter(|l| !announced.iter().any(|a| l.contains(a)))
            .map(str::to_owned)
            .collect()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
