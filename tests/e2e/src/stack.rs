//! The chain of services on free ports.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use crate::{Process, free_port, get, part, wait_for};

/// Builds the services once a test run and says where they are.
///
/// # Panics
/// Where they do not build.
pub fn build_services() -> &'static Path {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    DIR.get_or_init(|| {
        part::build(&[
            "node-agent",
            "scraper-store",
            "rule-evaluator",
            "alert-router",
        ])
    })
}

/// Everything between a host and a message: ports, folders, processes.
pub struct Stack {
    pub dir: tempfile::TempDir,
    pub node: Process,
    pub store: Process,
    pub rules: Process,
    pub router: Process,
    pub node_url: String,
    pub store_url: String,
    pub rules_url: String,
    pub router_url: String,
    pub store_grpc: String,
    pub router_grpc: String,
}

/// The files of a stack; `{name}` stands for what [`Stack::start`] puts in.
pub struct Files<'a> {
    pub prometheus: &'a str,
    pub rules: &'a str,
    pub alertmanager: &'a str,
    pub template: &'a str,
}

impl Stack {
    /// Writes the files with `{node}` (address of node-agent) and `replace`d texts filled in, starts
    /// the services and waits until each is ready. node-agent reads /proc from `procfs`.
    ///
    /// # Panics
    /// Where a service does not get ready.
    pub fn start(files: &Files<'_>, procfs: &Path, replace: &[(&str, &str)]) -> Stack {
        let programs = build_services();
        let dir = tempfile::tempdir().expect("there is room for a temporary folder");
        let [
            node,
            store,
            rules,
            router,
            store_grpc,
            rules_grpc,
            router_grpc,
        ] = [(); 7].map(|()| format!("127.0.0.1:{}", free_port()));
        let write = |name: &str, text: &str| -> String {
            let mut text = text.replace("{node}", &node);
            for (key, value) in replace {
                text = text.replace(key, value);
            }
            let path = dir.path().join(name);
            std::fs::write(&path, text).expect("the folder can be written");
            path.display().to_string()
        };
        write("rules.yml", files.rules);
        write("slack.tmpl", files.template);
        let prometheus = write("prometheus.yml", files.prometheus);
        let alertmanager = write("alertmanager.yml", files.alertmanager);
        let data = |name: &str| dir.path().join(name).display().to_string();
        let start = |name: &str, args: &[String]| -> Process {
            Process::start(name, &programs.join(name), args, dir.path())
        };
        let stack = Stack {
            node: start(
                "node-agent",
                &[
                    format!("--web.listen-address={node}"),
                    format!("--path.procfs={}", procfs.display()),
                ],
            ),
            store: start(
                "scraper-store",
                &[
                    format!("--config.file={prometheus}"),
                    format!("--storage.tsdb.path={}", data("store")),
                    format!("--web.listen-address={store}"),
                    format!("--grpc-address={store_grpc}"),
                    format!("--rule-evaluator.grpc-address={rules_grpc}"),
                    "--web.enable-lifecycle".to_owned(),
                    "--web.enable-remote-write-receiver".to_owned(),
                ],
            ),
            rules: start(
                "rule-evaluator",
                &[
                    format!("--config.file={prometheus}"),
                    format!("--web.listen-address={rules}"),
                    format!("--grpc-address={rules_grpc}"),
                    format!("--query.grpc-address={store_grpc}"),
                    format!("--alert-router.grpc-address={router_grpc}"),
                    format!("--web.external-url=http://{store}"),
                    "--rules.alert.resend-delay=2s".to_owned(),
                ],
            ),
            router: start(
                "alert-router",
                &[
                    format!("--config.file={alertmanager}"),
                    format!("--storage.path={}", data("router")),
                    format!("--web.listen-address={router}"),
                    format!("--grpc-address={router_grpc}"),
                    "--cluster.listen-address=".to_owned(),
                ],
            ),
            node_url: format!("http://{node}"),
            store_url: format!("http://{store}"),
            rules_url: format!("http://{rules}"),
            router_url: format!("http://{router}"),
            store_grpc,
            router_grpc,
            dir,
        };
        for (name, url) in [
            ("node-agent", &stack.node_url),
            ("scraper-store", &stack.store_url),
            ("rule-evaluator", &stack.rules_url),
            ("alert-router", &stack.router_url),
        ] {
            Stack::wait_ready(name, url);
        }
        stack
    }

    /// Waits until a service says that it is ready.
    ///
    /// # Panics
    /// After 30 s.
    pub fn wait_ready(name: &str, url: &str) {
        wait_for(
            &format!("{name} gets ready"),
            Duration::from_secs(30),
            || get(&format!("{url}/-/ready")).filter(|(status, _)| *status == 200),
        );
    }

    /// Stops all services in order, each with exit code 0.
    pub fn stop(&mut self) {
        for process in [
            &mut self.node,
            &mut self.rules,
            &mut self.store,
            &mut self.router,
        ] {
            process.stop();
        }
    }
}
