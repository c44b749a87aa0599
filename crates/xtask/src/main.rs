//! The two commands of the README: `cargo xtask up` runs the stack on this host, `cargo xtask test`
//! runs what CI runs. `cargo xtask programs` makes what container images are made of.
//!
//! Few dependencies on purpose: it has to compile in seconds, before anything is shown.

mod programs;
mod test;
mod up;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask <command>

commands:
  up [--data DIR] [--config DIR] [--kafka HOST:PORT] [--dev]
        build the stack in release and run it on this host until Ctrl-C
          --data DIR         where samples, alerts and logs' state are kept (./data)
          --config DIR       prometheus.yml, alertmanager.yml, ... (./deploy/config)
          --kafka HOST:PORT  watch consumer groups of this Kafka cluster too
          --dev              build without optimisation: quicker to build, slower to run

  test [--fast]
        format, clippy with warnings denied, unit and conformance tests, end-to-end tests
          --fast             leave out what needs minutes (end-to-end)

  programs [--out DIR] [--dev | --profile NAME] [SERVICE...]
        build static programs for images (deploy/docker/Dockerfile), all services or those named
          --out DIR          where DIR/SERVICE/bin/SERVICE is put (./target/images)
          --dev              without optimisation: quick to build, large
          --profile NAME     one profile for all, instead of image and, for agents, agent
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (command, rest) = match args.split_first() {
        Some((command, rest)) => (command.as_str(), rest),
        None => ("", &[][..]),
    };
    let result = match command {
        "up" => up::Options::parse(rest).and_then(up::run),
        "test" => test::run(rest),
        "programs" => programs::Options::parse(rest).and_then(|options| programs::run(&options)),
        "help" | "--help" | "-h" => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        "" => Err(format!("a command is missing\n\n{USAGE}")),
        other => Err(format!("unknown command {other:?}\n\n{USAGE}")),
    };
    match result {
        Ok(code) => code,
        Err(message) => {
            eprintln!("xtask: {}", message.trim_end());
            ExitCode::FAILURE
        }
    }
}

/// The workspace's root.
fn root() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .map(std::path::Path::to_path_buf)
        .unwrap_or_default()
}

/// The cargo that runs us.
fn cargo() -> std::process::Command {
    let mut command =
        std::process::Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    // What `cargo run` says about us: build scripts that look at it (ring's) would run again, and with them
    // everything above.
    for (name, _) in std::env::vars_os() {
        if let Some(text) = name.to_str()
            && ["CARGO_PKG_", "CARGO_MANIFEST_"]
                .iter()
                .any(|prefix| text.starts_with(prefix))
        {
            command.env_remove(name);
        }
    }
    command
}
