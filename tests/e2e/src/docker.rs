//! A Docker engine: the machine's own where one answers, else one that is started for the test, with
//! its data in a temporary folder. Images are made of static programs: nothing is pulled.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::{Process, part, wait_for};

const HOW: &str = "apt-get install docker.io busybox-static";

/// An engine, and what the test made in it. When dropped, its containers and images go.
pub struct Docker {
    socket: PathBuf,
    /// Marks everything this test made.
    label: String,
    client: PathBuf,
    daemon: Option<Daemon>,
}

/// An engine of the test's own.
struct Daemon {
    process: Process,
    dir: tempfile::TempDir,
}

/// The machine's engine, or one of the test's own where none answers; `None`, said loudly, where there
/// is neither.
///
/// # Panics
/// With `CI=true`, instead of `None`.
pub fn engine() -> Option<Docker> {
    let client = part::program("docker", HOW)?;
    let shared = Docker::at(client.clone(), PathBuf::from("/var/run/docker.sock"));
    if shared.answers() {
        return Some(shared);
    }
    own_engine(&[])
}

/// An engine of the test's own, with `args` for `dockerd` besides those that keep it apart.
///
/// # Panics
/// With `CI=true` where it cannot be had; where it does not come up.
pub fn own_engine(args: &[&str]) -> Option<Docker> {
    let client = part::program("docker", HOW)?;
    let path = std::env::var("PATH").unwrap_or_default();
    // Where Debian has it, which is not on every user's path.
    let found = std::env::split_paths(&format!("{path}:/usr/sbin:/sbin"))
        .map(|dir| dir.join("dockerd"))
        .find(|file| file.is_file());
    // SAFETY: geteuid(2) has no preconditions and cannot fail.
    let is_root = unsafe { libc::geteuid() } == 0;
    let Some(dockerd) = found.filter(|_| is_root) else {
        part::missing("a Docker engine, or root and dockerd", HOW);
        return None;
    };
    let dir = tempfile::tempdir().expect("there is room for a temporary folder");
    let at = |name: &str| dir.path().join(name).display().to_string();
    let mut all: Vec<String> = vec![
        format!("--data-root={}", at("data")),
        format!("--exec-root={}", at("exec")),
        format!("--pidfile={}", at("pid")),
        format!("--host=unix://{}", at("docker.sock")),
    ];
    all.extend(args.iter().map(|arg| (*arg).to_owned()));
    // In a network of its own: two engines in one would take each other's bridge and rules away.
    all.splice(0..0, ["--net".to_owned(), dockerd.display().to_string()]);
    let process = Process::start("dockerd", Path::new("unshare"), &all, dir.path());
    let mut docker = Docker::at(client, dir.path().join("docker.sock"));
    docker.daemon = Some(Daemon { process, dir });
    docker.wait_ready();
    Some(docker)
}

/// Tells the handles of one test program apart.
fn next() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

impl Docker {
    fn at(client: PathBuf, socket: PathBuf) -> Docker {
        Docker {
            socket,
            label: format!("firewatch.test={}-{}", std::process::id(), next()),
            client,
            daemon: None,
        }
    }

    /// The engine's socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Whether the engine is the test's own, and may be stopped.
    pub fn is_own(&self) -> bool {
        self.daemon.is_some()
    }

    fn answers(&self) -> bool {
        self.output(&["version", "--format", "{{.Server.Version}}"])
            .is_some_and(|output| output.status.success())
    }

    /// Waits until the engine answers.
    ///
    /// # Panics
    /// After a minute, with its log.
    pub fn wait_ready(&mut self) {
        let start = std::time::Instant::now();
        while !self.answers() {
            let log = || self.daemon.as_ref().map(|own| own.process.log_text());
            assert!(
                start.elapsed() < Duration::from_secs(60),
                "dockerd does not get ready:\n{}",
                log().unwrap_or_default()
            );
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    fn output(&self, args: &[&str]) -> Option<Output> {
        let mut command = self.command();
        command.args(args).output().ok()
    }

    /// The client, aimed at this engine.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.client);
        command
            .env_remove("DOCKER_CONTEXT")
            .env("DOCKER_HOST", format!("unix://{}", self.socket.display()))
            .stdin(Stdio::null());
        command
    }

    /// What a command of the client prints, without the final line feed.
    ///
    /// # Panics
    /// When it fails.
    pub fn docker(&self, args: &[&str]) -> String {
        let output = self.output(args).expect("the client can be run");
        assert!(
            output.status.success(),
            "docker {args:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Makes the image `name` of one static program, which becomes `/bin/<its name>` and the entry point.
    ///
    /// # Panics
    /// Where the engine does not take it.
    pub fn build_image_from(&self, name: &str, program: &Path) {
        self.build_image(name, program, &[]);
    }

    /// The same, with `links` in `/bin` to the program.
    fn build_image(&self, name: &str, program: &Path, links: &[&str]) {
        let stage = tempfile::tempdir().expect("there is room for a temporary folder");
        let file = program.file_name().expect("a program has a name");
        let bin = stage.path().join("bin");
        for dir in ["bin", "tmp", "etc"] {
            std::fs::create_dir(stage.path().join(dir)).expect("the folder can be written");
        }
        std::fs::copy(program, bin.join(file)).expect("the program can be read");
        for link in links {
            std::os::unix::fs::symlink(file, bin.join(link)).expect("the folder can be written");
        }
        let tar = stage.path().join("image.tar");
        let packed = Command::new("tar")
            .arg("-C")
            .arg(stage.path())
            .arg("-cf")
            .arg(&tar)
            .args(["bin", "tmp", "etc"])
            .status();
        assert!(packed.is_ok_and(|status| status.success()), "tar failed");
        let entry = format!("ENTRYPOINT [\"/bin/{}\"]", file.to_string_lossy());
        let label = format!("LABEL {}", self.label);
        let tar = tar.display().to_string();
        self.docker(&["import", "-c", &entry, "-c", &label, &tar, name]);
    }

    /// Makes the image `name` of busybox, with its shell; `false`, said loudly, where there is no static one.
    ///
    /// # Panics
    /// With `CI=true`, instead of `false`.
    pub fn busybox(&self, name: &str) -> bool {
        let places = ["/bin/busybox", "/usr/bin/busybox"];
        let Some(found) = places.iter().map(Path::new).find(|path| path.is_file()) else {
            part::missing("a static busybox", HOW);
            return false;
        };
        self.build_image(name, found, &["sh"]);
        true
    }

    /// Starts a container in the background and gives its id. `options` come before the image.
    ///
    /// # Panics
    /// Where it does not start.
    pub fn run(&self, name: &str, options: &[&str], image: &str, args: &[&str]) -> String {
        let mut all = vec!["run", "--detach", "--name", name, "--label", &self.label];
        all.extend(options);
        all.push(image);
        all.extend(args);
        self.docker(&all)
    }

    /// What a command inside a container prints.
    ///
    /// # Panics
    /// When it fails.
    pub fn exec(&self, container: &str, args: &[&str]) -> String {
        let mut all = vec!["exec", container];
        all.extend(args);
        self.docker(&all)
    }

    /// A field of `docker inspect`, as a Go template prints it.
    ///
    /// # Panics
    /// Where there is no such container.
    pub fn inspect(&self, container: &str, template: &str) -> String {
        self.docker(&["inspect", "--format", template, container])
    }

    /// Removes a container, running or not.
    ///
    /// # Panics
    /// When that fails.
    pub fn remove(&self, container: &str) {
        self.docker(&["rm", "--force", "--volumes", container]);
    }

    /// The process of the test's own engine, which is in a network of its own.
    pub fn daemon_id(&self) -> Option<u32> {
        self.daemon.as_ref().and_then(|own| own.process.id())
    }

    /// Sends a signal to the test's own engine.
    ///
    /// # Panics
    /// Where the engine is the machine's: that one is nobody's to stop.
    pub fn signal_daemon(&self, signal: i32) {
        let own = self.daemon.as_ref().expect("only for an own engine");
        own.process.signal(signal);
    }

    /// Ends the test's own engine (containers go on with `--live-restore`) and starts it again.
    ///
    /// # Panics
    /// Where the engine is the machine's, or does not come up again.
    pub fn restart_daemon(&mut self) {
        let own = self.daemon.as_mut().expect("only for an own engine");
        own.process.stop();
        own.process.restart();
        self.wait_ready();
    }

    /// What the test's own engine has logged.
    pub fn daemon_log(&self) -> String {
        let own = self.daemon.as_ref();
        own.map(|own| own.process.log_text()).unwrap_or_default()
    }

    /// Ids of everything of a kind that bears the test's label.
    fn ours(&self, list: &[&str]) -> Vec<String> {
        let filter = format!("label={}", self.label);
        let mut args = list.to_vec();
        args.extend(["--quiet", "--filter", &filter]);
        let output = self.output(&args).map(|output| output.stdout);
        let text = String::from_utf8_lossy(&output.unwrap_or_default()).into_owned();
        text.lines().map(str::to_owned).collect()
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        for (list, remove) in [
            (&["ps", "--all"][..], &["rm", "--force", "--volumes"][..]),
            (&["images"], &["rmi", "--force"]),
        ] {
            let ours = self.ours(list);
            if !ours.is_empty() {
                let mut args = remove.to_vec();
                args.extend(ours.iter().map(String::as_str));
                // What is left says so itself: a failing test must not be hidden by a second panic.
                if let Some(output) = self.output(&args)
                    && !output.status.success()
                {
                    eprintln!("{}", String::from_utf8_lossy(&output.stderr));
                }
            }
        }
        if let Some(own) = &mut self.daemon {
            // An orderly end unmounts what lies in its folder.
            own.process.signal(libc::SIGCONT);
            own.process.signal(libc::SIGTERM);
            let process = &mut own.process;
            let deadline = std::time::Instant::now() + Duration::from_secs(30);
            while process.is_running() && std::time::Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(100));
            }
            own.end_containerd();
            own.unmount();
        }
    }
}

impl Daemon {
    /// The network of containers that share the engine's own stays mounted, and the folder could not go.
    fn unmount(&self) {
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let points = mounts.lines().filter_map(|line| line.split(' ').nth(4));
        for point in points.filter(|point| Path::new(point).starts_with(self.dir.path())) {
            if let Ok(point) = std::ffi::CString::new(point) {
                // SAFETY: a path that ends with a zero byte; what is mounted there is our own engine's.
                unsafe { libc::umount2(point.as_ptr(), libc::MNT_DETACH) };
            }
        }
    }

    /// With `--live-restore` the engine leaves its containerd behind.
    fn end_containerd(&self) {
        let file = self.dir.path().join("exec/containerd/containerd.pid");
        let text = std::fs::read_to_string(file).unwrap_or_default();
        let Ok(pid) = text.trim().parse::<libc::pid_t>() else {
            return;
        };
        let command = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        if command.contains(&*self.dir.path().to_string_lossy()) {
            // SAFETY: kill(2) with the id of the containerd that our own engine started.
            unsafe { libc::kill(pid, libc::SIGTERM) };
            let gone = || (!Path::new(&format!("/proc/{pid}")).exists()).then_some(());
            wait_for("containerd ends", Duration::from_secs(20), gone);
        }
    }
}
