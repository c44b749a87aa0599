//! A running service: its log lines with its name, its last words, its end.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::services::Service;

/// How many lines are told of a service that died.
const LAST_LINES: usize = 15;
/// One colour a service, by its place in the alphabet of names.
const COLOURS: [&str; 6] = ["36", "33", "32", "35", "34", "96"];

/// A started service.
pub struct Child {
    pub service: Service,
    /// When it was ready, from the start of the wait.
    pub ready_after: Option<Duration>,
    process: std::process::Child,
    last_lines: Arc<Mutex<VecDeque<String>>>,
    readers: Vec<JoinHandle<()>>,
    status: Option<ExitStatus>,
    told: bool,
    asked_to_stop: bool,
}

impl Child {
    /// Starts the program of this name in `programs`; its lines appear on our stderr.
    pub fn start(service: &Service, programs: &Path, width: usize) -> Result<Child, String> {
        let path = programs.join(service.name);
        let mut process = Command::new(&path)
            .args(&service.args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .map_err(|error| format!("cannot start {}: {error}", path.display()))?;
        let last_lines = Arc::new(Mutex::new(VecDeque::new()));
        let prefix = prefix(service.name, width);
        let mut readers = Vec::new();
        let outputs: [Option<Box<dyn Read + Send>>; 2] = [
            process.stdout.take().map(|output| Box::new(output) as _),
            process.stderr.take().map(|output| Box::new(output) as _),
        ];
        for output in outputs.into_iter().flatten() {
            let (prefix, last_lines) = (prefix.clone(), last_lines.clone());
            readers.push(std::thread::spawn(move || {
                copy_lines(output, &prefix, &last_lines)
            }));
        }
        Ok(Child {
            service: service.clone(),
            ready_after: None,
            process,
            last_lines,
            readers,
            status: None,
            told: false,
            asked_to_stop: false,
        })
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        if self.status.is_none() {
            // An error means that it is no child of ours any more.
            self.status = self
                .process
                .try_wait()
                .unwrap_or(Some(ExitStatus::from_raw(0)));
            if self.status.is_some() {
                for reader in self.readers.drain(..) {
                    // A reader that panicked has nothing more to say.
                    let _ = reader.join();
                }
            }
        }
        self.status.is_none()
    }

    /// If it died unasked and that has not been told yet: name, exit, last lines.
    pub fn new_death(&mut self) -> Option<String> {
        if self.told || self.asked_to_stop || self.is_running() {
            return None;
        }
        self.told = true;
        let lines = self
            .last_lines
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let mut out = format!(
            "\n{} died ({}); it is not started again. Its last lines:",
            self.service.name,
            self.exit_text().unwrap_or_default()
        );
        if lines.is_empty() {
            out.push_str("\n  (none)");
        }
        for line in &*lines {
            out.push_str("\n  ");
            out.push_str(line);
        }
        out.push('\n');
        Some(out)
    }

    /// Asks its `/-/ready`.
    pub fn is_ready(&self) -> bool {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.service.web_port()));
        answers_ok(address, "/-/ready").unwrap_or(false)
    }

    /// SIGTERM.
    pub fn terminate(&mut self) {
        self.asked_to_stop = true;
        self.signal(Signal::TERM);
    }

    /// SIGKILL, and waits for the end.
    pub fn kill(&mut self) {
        self.asked_to_stop = true;
        self.signal(Signal::KILL);
        // Nothing can be done about one that survives that.
        let _ = self.process.wait();
        self.is_running();
    }

    fn signal(&self, signal: Signal) {
        if self.status.is_none()
            && let Some(pid) = i32::try_from(self.process.id())
                .ok()
                .and_then(Pid::from_raw)
        {
            // It may have ended this very moment.
            let _ = kill_process(pid, signal);
        }
    }

    /// `exit code 1` or `signal 9`.
    pub fn exit_text(&self) -> Option<String> {
        let status = self.status?;
        Some(match (status.code(), status.signal()) {
            (Some(code), _) => format!("exit code {code}"),
            (None, Some(signal)) => format!("signal {signal}"),
            (None, None) => status.to_string(),
        })
    }

    /// Whether it ended with success.
    pub fn ended_well(&self) -> bool {
        self.status.is_some_and(|status| status.success())
    }
}

fn prefix(name: &str, width: usize) -> String {
    if !super::colours() {
        return format!("{name:width$} | ");
    }
    let sum: usize = name.bytes().map(usize::from).sum();
    format!(
        "\x1b[{}m{name:width$} |\x1b[0m ",
        COLOURS[sum % COLOURS.len()]
    )
}

fn copy_lines(output: Box<dyn Read + Send>, prefix: &str, last_lines: &Mutex<VecDeque<String>>) {
    let mut reader = BufReader::new(output);
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        match reader.read_until(b'\n', &mut bytes) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let text = String::from_utf8_lossy(&bytes);
        let line = text.trim_end_matches(['\n', '\r']);
        // One write a line, so that lines of different services do not mix.
        let whole = format!("{prefix}{line}\n");
        let _ = std::io::stderr().lock().write_all(whole.as_bytes());
        let mut last = last_lines.lock().unwrap_or_else(PoisonError::into_inner);
        if last.len() == LAST_LINES {
            last.pop_front();
        }
        last.push_back(line.to_owned());
    }
}

/// Whether a GET of `path` is answered with 200.
fn answers_ok(address: SocketAddr, path: &str) -> std::io::Result<bool> {
    let timeout = Duration::from_secs(1);
    let mut stream = TcpStream::connect_timeout(&address, timeout)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").as_bytes())?;
    let mut head = String::new();
    BufReader::new(stream.take(1024)).read_line(&mut head)?;
    Ok(head.split(' ').nth(1) == Some("200"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn script(text: &str) -> (tempfile::TempDir, Service) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("thing");
        std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        let service = Service {
            name: "thing",
            ports: vec![],
            args: vec!["word".to_owned()],
            page: "",
            look_at: "",
        };
        (directory, service)
    }

    fn wait(child: &mut Child) {
        for _ in 0..500 {
            if !child.is_running() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("still running");
    }

    #[test]
    fn a_death_is_told_once_with_the_last_lines() {
        let (directory, service) =
            script("exec >&2; for i in $(seq 20); do echo line $i; done; echo \"last $1\"; exit 3");
        let mut child = Child::start(&service, directory.path(), 6).unwrap();
        wait(&mut child);
        let obituary = child.new_death().unwrap();
        assert!(
            obituary.starts_with(
                "\nthing died (exit code 3); it is not started again. Its last lines:\n"
            )
        );
        assert!(
            obituary.contains("  last word\n") && obituary.contains("  line 20"),
            "{obituary}"
        );
        assert!(!obituary.contains("  line 2\n"), "{obituary}");
        assert_eq!(child.new_death(), None);
    }

    #[test]
    fn a_stop_that_was_asked_for_is_no_death() {
        let (directory, service) = script("trap 'exit 0' TERM; while :; do sleep 0.05; done");
        let mut child = Child::start(&service, directory.path(), 0).unwrap();
        std::thread::sleep(Duration::from_millis(200));
        assert!(child.is_running() && child.new_death().is_none());
        child.terminate();
        wait(&mut child);
        assert!(child.ended_well() && child.new_death().is_none());
        assert_eq!(child.exit_text().as_deref(), Some("exit code 0"));
    }

    #[test]
    fn one_that_does_not_listen_is_killed() {
        let (directory, service) = script("trap '' TERM; while :; do sleep 0.05; done");
        let mut child = Child::start(&service, directory.path(), 0).unwrap();
        std::thread::sleep(Duration::from_millis(200));
        child.terminate();
        std::thread::sleep(Duration::from_millis(100));
        assert!(child.is_running());
        child.kill();
        assert_eq!(child.exit_text().as_deref(), Some("signal 9"));
        assert!(!child.ended_well());
    }

    #[test]
    fn a_missing_program_is_named() {
        let (directory, mut service) = script("");
        service.name = "other";
        let error = Child::start(&service, directory.path(), 0).err().unwrap();
        assert!(
            error.starts_with("cannot start ") && error.contains("/other: "),
            "{error}"
        );
    }

    #[test]
    fn readiness_is_a_200() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            for status in ["503 Service Unavailable", "200 OK"] {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = [0; 256];
                let n = stream.read(&mut request).unwrap();
                assert!(request[..n].starts_with(b"GET /-/ready HTTP/1.0\r\n"));
                stream
                    .write_all(format!("HTTP/1.0 {status}\r\n\r\n").as_bytes())
                    .unwrap();
            }
        });
        assert!(!answers_ok(address, "/-/ready").unwrap());
        assert!(answers_ok(address, "/-/ready").unwrap());
        server.join().unwrap();
        assert!(answers_ok(address, "/-/ready").is_err());
    }
}
