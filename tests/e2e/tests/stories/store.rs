//! A scraper-store of its own, that takes remote writes and scrapes nothing.

use std::path::Path;
use std::time::Duration;

use e2e::{Process, build_services, free_port, get, post, wait_for};

pub struct Store {
    pub process: Process,
    /// Where its HTTP API is, without a slash at the end.
    pub url: String,
}

impl Store {
    /// Starts it with everything it writes below `dir`; it is ready when this returns.
    pub fn start(dir: &Path) -> Store {
        let config = dir.join("prometheus.yml");
        std::fs::write(&config, "global: {scrape_interval: 1h}\n").unwrap();
        let address = format!("127.0.0.1:{}", free_port());
        let args = [
            format!("--config.file={}", config.display()),
            format!("--storage.tsdb.path={}", dir.join("data").display()),
            format!("--web.listen-address={address}"),
            format!("--grpc-address=127.0.0.1:{}", free_port()),
            "--web.enable-remote-write-receiver".to_owned(),
        ];
        let program = build_services().join("scraper-store");
        let store = Store {
            process: Process::start("scraper-store", &program, &args, dir),
            url: format!("http://{address}"),
        };
        store.ready();
        store
    }

    /// Waits until it answers queries.
    pub fn ready(&self) {
        wait_for("scraper-store gets ready", Duration::from_secs(60), || {
            get(&format!("{}/-/ready", self.url)).filter(|(status, _)| *status == 200)
        });
    }

    /// Sends a remote-write body; the answer's status, or `None` if nobody answered.
    pub fn write(&self, body: &[u8]) -> Option<u16> {
        post(&format!("{}/api/v1/write", self.url), &[], body).map(|(status, _)| status)
    }

    /// Ends it at once, as `kill -9` does, and starts it again, without waiting for it.
    pub fn kill_and_restart(&mut self) {
        self.process.kill();
        self.process.restart();
    }
}
