//! node-agent beside node_exporter, in a container, on a bus, with mounts that hang, and under load.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on may say so by panicking"
)]

mod bus;
mod container;
mod load;
mod mounts;
mod page;
mod peer;

use std::path::PathBuf;
use std::time::Duration;

use e2e::{Process, free_port, get, wait_for};

/// node-agent as built from this tree.
fn agent() -> PathBuf {
    e2e::part::build(&["node-agent"]).join("node-agent")
}

/// An exporter that answers, and its address.
struct Exporter {
    process: Process,
    url: String,
}

impl Exporter {
    fn start(program: &std::path::Path, flags: &[String], dir: &std::path::Path) -> Exporter {
        let port = free_port();
        let mut args = vec![format!("--web.listen-address=127.0.0.1:{port}")];
        args.extend_from_slice(flags);
        let name = program.file_name().unwrap().to_string_lossy().into_owned();
        let process = Process::start(&name, program, &args, dir);
        let url = format!("http://127.0.0.1:{port}");
        let exporter = Exporter { process, url };
        wait_for(&format!("{name} answers"), Duration::from_secs(30), || {
            get(&exporter.url)
        });
        exporter
    }

    fn scrape(&self) -> page::Page {
        self.scrape_only("")
    }

    /// `query` begins with `?`.
    fn scrape_only(&self, query: &str) -> page::Page {
        let url = format!("{}/metrics{query}", self.url);
        let (status, text) = get(&url).unwrap_or_else(|| panic!("{url} does not answer"));
        assert_eq!(status, 200, "{url}: {text}");
        page::Page::parse(&text)
    }
}

fn strings(flags: &[&str]) -> Vec<String> {
    flags.iter().map(|f| (*f).to_owned()).collect()
}
