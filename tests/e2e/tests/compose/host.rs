//! One host: an engine of its own, a copy of `deploy/`, and a Compose.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use e2e::docker::{Docker, own_engine};
use e2e::{part, wait_for};

use crate::lan::Lan;

/// Long enough for a busy machine.
pub(crate) const LONG: Duration = Duration::from_secs(120);

/// A Compose, of which two generations are in use.
#[derive(Clone)]
pub(crate) struct Compose {
    program: PathBuf,
}

impl Compose {
    /// Version 2; [`part::missing`] has been called where the answer is `None`.
    pub(crate) fn v2() -> Option<Compose> {
        let program = part::peer("docker-compose")?;
        Some(Compose { program })
    }

    /// docker-compose 1.29, where this machine has it: newer Debians do not.
    pub(crate) fn v1() -> Option<Compose> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let found = std::env::split_paths(&path)
            .map(|dir| dir.join("docker-compose"))
            .find(|file| file.is_file() && is_version_1(file));
        if found.is_none() {
            eprintln!("SKIPPED: no docker-compose 1.29 here, Compose v2 does its part");
        }
        found.map(|program| Compose { program })
    }
}

fn is_version_1(file: &Path) -> bool {
    let output = Command::new(file).args(["version", "--short"]).output();
    output.is_ok_and(|output| output.stdout.starts_with(b"1."))
}

/// A Docker client that has BuildKit: before version 23 it is built in, later it is a plugin.
pub(crate) fn client_with_buildkit() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let can_build = |file: &PathBuf| {
        let mut help = Command::new(file);
        help.env("DOCKER_BUILDKIT", "1").args(["build", "--help"]);
        let output = help.output();
        output.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains("--progress"))
    };
    let found = std::env::split_paths(&path)
        .chain(["/usr/bin".into()])
        .map(|dir| dir.join("docker"))
        .find(|file| file.is_file() && can_build(file));
    if found.is_none() {
        part::missing("a Docker client with BuildKit", "apt-get install docker.io");
    }
    found
}

/// The repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A host that runs one of the Compose files. When dropped, its containers and its engine go.
pub(crate) struct Host {
    pub(crate) docker: Docker,
    pub(crate) address: String,
    pub(crate) compose: Compose,
    file: &'static str,
    dir: tempfile::TempDir,
}

impl Host {
    /// An engine at an address of the network, a copy of `deploy/`, and its `.env` with `settings`.
    pub(crate) fn new(
        lan: &mut Lan,
        number: u32,
        file: &'static str,
        compose: Compose,
        settings: &[&str],
    ) -> Option<Host> {
        let docker = own_engine(&[])?;
        let process = docker.daemon_id().expect("it is the test's own");
        let address = lan.join(Some(process), number);
        let dir = tempfile::tempdir().unwrap();
        copy(&root().join("deploy"), &dir.path().join("deploy"));
        let host = Host {
            docker,
            address,
            compose,
            file,
            dir,
        };
        let example = host.read(".env.example");
        let socket = format!("DOCKER_SOCKET={}", host.docker.socket().display());
        let mut lines = vec![example.as_str(), &socket];
        lines.extend(settings);
        host.write(".env", &(lines.join("\n") + "\n"));
        Some(host)
    }

    pub(crate) fn folder(&self) -> PathBuf {
        self.dir.path().join("deploy")
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder().join(name)).unwrap()
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.folder().join(name), text).unwrap();
    }

    /// Builds images of prebuilt programs, as `deploy/docker/build.sh` does for users.
    pub(crate) fn build(&self, client: &Path, programs: &Path, services: &[&str]) {
        let mut command = Command::new(root().join("deploy/docker/build.sh"));
        command
            .env("DOCKER", client)
            .env("DOCKER_HOST", self.docker_host())
            .env_remove("DOCKER_CONTEXT")
            .arg("--prebuilt")
            .arg(programs)
            .args(services);
        let output = command.output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command:?}: {error}");
    }

    fn docker_host(&self) -> String {
        format!("unix://{}", self.docker.socket().display())
    }

    fn run(&self, args: &[&str]) -> Output {
        let mut command = Command::new(&self.compose.program);
        command
            .env("DOCKER_HOST", self.docker_host())
            .env_remove("DOCKER_CONTEXT")
            .current_dir(self.folder())
            .args(["--file", self.file])
            .args(args);
        command.output().unwrap()
    }

    /// What a command of Compose prints.
    pub(crate) fn compose(&self, args: &[&str]) -> String {
        let output = self.run(args);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "compose {args:?}: {error}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// `up --detach` of services, or of all.
    pub(crate) fn up(&self, services: &[&str]) {
        let mut args = vec!["up", "--detach", "--no-build"];
        args.extend(services);
        self.compose(&args);
    }

    /// The container of a service; waits for it, as one that is being started again has none.
    pub(crate) fn container(&self, service: &str) -> String {
        wait_for(&format!("a container of {service}"), LONG, || {
            let id = self.compose(&["ps", "--quiet", service]);
            (!id.is_empty()).then(|| id.lines().next().unwrap_or_default().to_owned())
        })
    }

    /// Waits until the engine has found a service healthy, by its `--healthcheck`.
    pub(crate) fn wait_healthy(&self, service: &str) {
        let id = self.container(service);
        let state = "{{.State.Status}} {{.State.Health.Status}}";
        let start = std::time::Instant::now();
        loop {
            let found = self.docker.inspect(&id, state);
            if found == "running healthy" {
                return;
            }
            assert!(
                start.elapsed() < LONG,
                "{service} is {found}; {}\n{}",
                self.docker.inspect(&id, "{{json .State}}"),
                self.log(service)
            );
            std::thread::sleep(Duration::from_millis(300));
        }
    }

    /// What a service has logged.
    pub(crate) fn log(&self, service: &str) -> String {
        let output = self.run(&["logs", "--no-color", service]);
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // A failing test is to fail for its own reason.
        let _ = self.run(&["down", "--timeout", "1", "--volumes"]);
    }
}

/// Copies a folder; what `cp -r secrets.example secrets` does too.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap();
        if name == "secrets" || name == ".env" {
            // The developer's own.
        } else if path.is_dir() {
            copy(&path, &to.join(name));
            if name == "secrets.example" {
                copy(&path, &to.join("secrets"));
            }
        } else {
            std::fs::copy(&path, to.join(name)).unwrap();
        }
    }
}
