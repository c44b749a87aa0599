//! container-agent beside a real Docker engine: what containers do is on its page, and what engines do
//! to it does not take the page away.

mod cadvisor;
mod engine;
mod life;
mod page;
mod short;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use e2e::docker::Docker;
use e2e::{Process, free_port, get, part, wait_for};

use page::Page;

/// Long enough for a busy machine.
const LONG: Duration = Duration::from_secs(60);

fn program() -> PathBuf {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    let dir = DIR.get_or_init(|| part::build(&["container-agent"]));
    dir.join("container-agent")
}

/// A container-agent that follows an engine.
struct Agent {
    url: String,
    process: Process,
    _dir: tempfile::TempDir,
}

impl Agent {
    fn start(docker: &Docker, args: &[&str]) -> Agent {
        let socket = format!("-docker=unix://{}", docker.socket().display());
        let mut all = vec![socket.as_str(), "-docker_only"];
        all.extend(args);
        let agent = Agent::start_with(&all);
        wait_for("the engine is followed", LONG, || {
            let page = agent.page();
            let up = page.values("container_agent_engine_up", &[("engine", "docker")]);
            (up == [1.0]).then_some(())
        });
        agent
    }

    fn start_with(args: &[&str]) -> Agent {
        let dir = tempfile::tempdir().expect("there is room for a temporary folder");
        let port = free_port();
        let mut all = vec!["-listen_ip=127.0.0.1".to_owned(), format!("-port={port}")];
        all.extend(args.iter().map(|arg| (*arg).to_owned()));
        let process = Process::start("container-agent", &program(), &all, dir.path());
        let agent = Agent {
            url: format!("http://127.0.0.1:{port}"),
            process,
            _dir: dir,
        };
        let healthy = || get(&format!("{}/healthz", agent.url)).filter(|(s, _)| *s == 200);
        wait_for("container-agent is healthy", LONG, healthy);
        agent
    }

    fn text(&self) -> String {
        let (status, text) =
            get(&format!("{}/metrics", self.url)).expect("container-agent answers");
        assert_eq!(status, 200, "{text}");
        text
    }

    fn page(&self) -> Page {
        Page::parse(&self.text())
    }

    /// Waits for a page that has something.
    fn until<T>(&self, what: &str, found: impl Fn(&Page) -> Option<T>) -> T {
        wait_for(what, LONG, || found(&self.page()))
    }

    /// The names of all containers on the page.
    fn names(&self) -> BTreeSet<String> {
        let page = self.page();
        let seen = page
            .samples
            .iter()
            .filter(|(f, ..)| f == "container_last_seen");
        seen.filter_map(|(_, labels, _)| labels.get("name").cloned())
            .filter(|name| !name.is_empty())
            .collect()
    }
}
