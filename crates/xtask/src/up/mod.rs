//! `cargo xtask up`: ports, build, start, wait, one table, logs, an orderly stop.

mod child;
mod ports;
mod services;

use std::cell::Cell;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use child::Child;
use services::Service;

use crate::{cargo, root};

/// How long all services together may take to get ready; replaying a large log takes a while.
const READY_WITHIN: Duration = Duration::from_secs(300);
/// How long one service may take to stop.
const STOP_WITHIN: Duration = Duration::from_secs(30);

/// The command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    pub data: PathBuf,
    pub config: PathBuf,
    pub kafka: Option<String>,
    pub release: bool,
}

impl Options {
    pub fn parse(args: &[String]) -> Result<Options, String> {
        let mut options = Options {
            data: root().join("data"),
            config: root().join("deploy/config"),
            kafka: None,
            release: true,
        };
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let (name, attached) = match arg.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (arg.as_str(), None),
            };
            let mut value = || {
                attached
                    .clone()
                    .or_else(|| args.next().cloned())
                    .filter(|value| !value.is_empty())
                    .ok_or_else(|| format!("up: {name} needs a value"))
            };
            match name {
                "--data" => options.data = absolute(&value()?)?,
                "--config" => options.config = absolute(&value()?)?,
                "--kafka" => {
                    let address = value()?;
                    let port = address
                        .rsplit_once(':')
                        .map(|(_, port)| port.parse::<u16>());
                    if !matches!(port, Some(Ok(_))) {
                        return Err(format!("up: --kafka {address}: HOST:PORT is expected"));
                    }
                    options.kafka = Some(address);
                }
                "--dev" if attached.is_none() => options.release = false,
                _ => {
                    return Err(format!(
                        "up: unknown argument {arg:?}, see cargo xtask help"
                    ));
                }
            }
        }
        Ok(options)
    }
}

fn absolute(path: &str) -> Result<PathBuf, String> {
    std::path::absolute(path).map_err(|error| format!("{path}: {error}"))
}

/// How often Ctrl-C or SIGTERM came.
struct Interrupts {
    pending: Arc<AtomicBool>,
    seen: Cell<usize>,
}

impl Interrupts {
    fn listen() -> Result<Interrupts, String> {
        let pending = Arc::new(AtomicBool::new(false));
        for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
            signal_hook::flag::register(signal, pending.clone())
                .map_err(|error| format!("cannot listen for signals: {error}"))?;
        }
        Ok(Interrupts {
            pending,
            seen: Cell::new(0),
        })
    }

    /// So far; asked many times a second.
    fn count(&self) -> usize {
        if self.pending.swap(false, Ordering::SeqCst) {
            self.seen.set(self.seen.get() + 1);
        }
        self.seen.get()
    }
}

/// Runs the stack until Ctrl-C.
pub fn run(options: Options) -> Result<ExitCode, String> {
    let docker = services::docker_socket();
    let services = services::of(&options, docker.as_deref());
    ports::check(&services)?;
    for file in ["prometheus.yml", "alertmanager.yml"] {
        let path = options.config.join(file);
        if !path.is_file() {
            return Err(format!(
                "{} is missing; --config DIR names the directory",
                path.display()
            ));
        }
    }
    let programs = build(&options, &services)?;
    std::fs::create_dir_all(&options.data)
        .map_err(|error| format!("cannot create {}: {error}", options.data.display()))?;
    services::write_local_targets(&options, docker.is_some())?;

    // The services are in process groups of their own, so that the terminal's Ctrl-C reaches us alone
    // and they can be stopped in order.
    let asked = Interrupts::listen()?;

    let mut children: Vec<Child> = Vec::new();
    let width = services
        .iter()
        .map(|service| service.name.len())
        .max()
        .unwrap_or(0);
    for service in &services {
        match Child::start(service, &programs, width) {
            Ok(child) => children.push(child),
            Err(message) => {
                stop(&mut children, &asked);
                return Err(message);
            }
        }
    }
    if let Err(message) = wait_until_ready(&mut children, &asked) {
        stop(&mut children, &asked);
        return Err(message);
    }
    if asked.count() == 0 {
        print_table(&options, &mut children);
    }

    let mut died = 0;
    while asked.count() == 0 {
        for child in &mut children {
            if let Some(obituary) = child.new_death() {
                eprintln!("{obituary}");
                died += 1;
            }
        }
        if children.iter_mut().all(|child| !child.is_running()) {
            return Err("no service is left".to_owned());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    eprintln!("\nstopping (Ctrl-C again to kill)");
    let clean = stop(&mut children, &asked);
    Ok(if clean && died == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Builds the services' programs; cargo shows its progress. Answers their directory.
fn build(options: &Options, services: &[Service]) -> Result<PathBuf, String> {
    let how = if options.release { "release" } else { "debug" };
    eprintln!(
        "building {} services ({how}); the first time this takes some minutes",
        services.len()
    );
    let mut command = cargo();
    command.arg("build");
    if options.release {
        command.arg("--release");
    }
    for service in services {
        command.args(["--package", service.name]);
    }
    let status = command
        .status()
        .map_err(|error| format!("cannot run cargo: {error}"))?;
    if !status.success() {
        return Err("the services do not build, see above".to_owned());
    }
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    let target = if target.is_relative() {
        root().join(target)
    } else {
        target
    };
    Ok(target.join(how))
}

/// Waits for every `/-/ready`; a death or Ctrl-C ends the wait.
fn wait_until_ready(children: &mut [Child], asked: &Interrupts) -> Result<(), String> {
    let begun = Instant::now();
    let mut last_word = Instant::now();
    loop {
        for child in children.iter_mut() {
            if let Some(obituary) = child.new_death() {
                return Err(format!("{obituary}\nthe others are stopped"));
            }
            if child.ready_after.is_none() && child.is_ready() {
                child.ready_after = Some(begun.elapsed());
                eprintln!(
                    "{} is ready ({:.1} s)",
                    child.service.name,
                    begun.elapsed().as_secs_f64()
                );
            }
        }
        let waiting: Vec<&str> = children
            .iter()
            .filter(|child| child.ready_after.is_none())
            .map(|child| child.service.name)
            .collect();
        if waiting.is_empty() || asked.count() > 0 {
            return Ok(());
        }
        if begun.elapsed() > READY_WITHIN {
            return Err(format!(
                "not ready after {READY_WITHIN:?}: {}",
                waiting.join(", ")
            ));
        }
        if last_word.elapsed() > Duration::from_secs(5) {
            eprintln!("waiting for {}", waiting.join(", "));
            last_word = Instant::now();
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn print_table(options: &Options, children: &mut [Child]) {
    let mut rows = vec![[
        "service".to_owned(),
        "URL".to_owned(),
        "state".to_owned(),
        "look at".to_owned(),
    ]];
    for child in children {
        let state = if child.is_running() { "ready" } else { "dead" };
        rows.push([
            child.service.name.to_owned(),
            child.service.url(),
            state.to_owned(),
            child.service.look_at.to_owned(),
        ]);
    }
    let width = |column: usize| {
        rows.iter()
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths = [width(0), width(1), width(2), width(3)];
    let rule: String = widths
        .iter()
        .map(|width| "-".repeat(*width) + "  ")
        .collect();
    let mut out = format!("\n{}\n", rule.trim_end());
    for (index, row) in rows.iter().enumerate() {
        let line: String = row
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell:width$}  "))
            .collect();
        out.push_str(line.trim_end());
        out.push('\n');
        if index == 0 {
            out.push_str(rule.trim_end());
            out.push('\n');
        }
    }
    out.push_str(rule.trim_end());
    out.push_str(&format!(
        "\nconfiguration: {}   data: {}   Ctrl-C stops everything\n",
        options.config.display(),
        options.data.display()
    ));
    let mut stdout = std::io::stdout().lock();
    // A closed terminal is no reason to stop the stack.
    let _ = stdout.write_all(out.as_bytes());
    let _ = stdout.flush();
}

/// Stops in the order of the table from its end: those who ask others first. Whether all went in
/// peace.
fn stop(children: &mut [Child], asked: &Interrupts) -> bool {
    let before = asked.count();
    let mut clean = true;
    for child in children.iter_mut().rev() {
        if !child.is_running() {
            continue;
        }
        let begun = Instant::now();
        child.terminate();
        while child.is_running() {
            let again = asked.count() > before;
            if again || begun.elapsed() > STOP_WITHIN {
                eprintln!("{} does not stop, killed", child.service.name);
                child.kill();
                clean = false;
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        match child.exit_text() {
            Some(text) => eprintln!(
                "{} stopped ({text}, {:.1} s)",
                child.service.name,
                begun.elapsed().as_secs_f64()
            ),
            None => eprintln!("{} stopped", child.service.name),
        }
        clean &= child.ended_well();
    }
    clean
}

/// Whether lines may be coloured.
fn colours() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Result<Options, String> {
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        Options::parse(&args)
    }

    #[test]
    fn options() {
        let options = parse(&[]).unwrap();
        assert!(
            options.release
                && options.config.ends_with("deploy/config")
                && options.data.ends_with("data")
        );
        let options = parse(&[
            "--data=/x",
            "--kafka",
            "host:9092",
            "--dev",
            "--config",
            "/y",
        ])
        .unwrap();
        assert_eq!(options.data, PathBuf::from("/x"));
        assert_eq!(options.config, PathBuf::from("/y"));
        assert_eq!(options.kafka.as_deref(), Some("host:9092"));
        assert!(!options.release);
        for (args, message) in [
            (&["--data"][..], "up: --data needs a value"),
            (
                &["--kafka", "host"],
                "up: --kafka host: HOST:PORT is expected",
            ),
            (
                &["--nonsense"],
                "up: unknown argument \"--nonsense\", see cargo xtask help",
            ),
        ] {
            assert_eq!(parse(args).unwrap_err(), message);
        }
    }
}
