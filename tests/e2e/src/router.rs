//! alert-router and the Alertmanager that it replaces, started the same way.

use std::path::Path;
use std::time::Duration;

use crate::{Process, free_port, get, wait_for};

/// A running router of either make.
pub struct Router {
    pub process: Process,
    /// Of the API, without a path.
    pub url: String,
}

impl Router {
    /// Starts `program` with a configuration and its data in `<dir>/<name>`, and waits until it is
    /// ready. An alert-router gets a port for gRPC too. Without flags of a cluster in `args` it is
    /// alone.
    ///
    /// # Panics
    /// Where it does not get ready.
    pub fn start(program: &Path, name: &str, config: &str, args: &[String], dir: &Path) -> Router {
        let file = dir.join(format!("{name}.yml"));
        std::fs::write(&file, config).expect("the folder can be written");
        let address = format!("127.0.0.1:{}", free_port());
        let mut all = vec![
            format!("--config.file={}", file.display()),
            format!("--storage.path={}", dir.join(name).display()),
            format!("--web.listen-address={address}"),
        ];
        if program.ends_with("alert-router") {
            all.push(format!("--grpc-address=127.0.0.1:{}", free_port()));
        }
        if !args.iter().any(|arg| arg.starts_with("--cluster.")) {
            all.push("--cluster.listen-address=".to_owned());
        }
        all.extend_from_slice(args);
        let mut router = Router {
            process: Process::start(name, program, &all, dir),
            url: format!("http://{address}"),
        };
        router.wait_ready();
        router
    }

    /// Waits until it is ready (again).
    ///
    /// # Panics
    /// After 30 s, or where it has ended.
    pub fn wait_ready(&mut self) {
        wait_for("the router gets ready", Duration::from_secs(30), || {
            if !self.process.is_running() {
                panic!("the router ended:\n{}", self.process.log_text());
            }
            get(&format!("{}/-/ready", self.url)).filter(|(status, _)| *status == 200)
        });
    }
}
