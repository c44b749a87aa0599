//! The kit as a process: exit codes, output, signals. The test binary starts itself as the service.
#![allow(clippy::unwrap_used, reason = "a test without #[test] functions")]

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, ExitCode, Output, Stdio};
use std::time::Duration;

use service::{Boot, Error, Flag, FlagStyle, Program};

const ROLE: &str = "SERVICE_TEST_ROLE";

static PROGRAM: Program = Program {
    name: "thing",
    about: "Does things.",
    metric_prefix: "thing",
    listen: "127.0.0.1:0",
    flags: &[
        Flag::string("config.file", "", "A file."),
        Flag::string("fail", "", "Fail with this."),
    ],
    stop_deadline: Duration::from_secs(5),
    ..Program::DEFAULT
};

static PROMETHEUS: Program = Program {
    style: FlagStyle::Prometheus,
    ..PROGRAM
};

static GO: Program = Program {
    style: FlagStyle::Go,
    ..PROGRAM
};

async fn run(boot: Boot) -> Result<(), Error> {
    let fail = boot.args.str("fail");
    if !fail.is_empty() {
        return Err(Error::new(fail));
    }
    let file = boot.args.str("config.file").to_owned();
    boot.on_reload(move || {
        let file = file.clone();
        async move { std::fs::read_to_string(&file).map(drop) }
    });
    boot.http(axum::Router::new()).await?;
    boot.ready();
    boot.shutdown.requested().await;
    Ok(())
}

fn main() -> ExitCode {
    match std::env::var(ROLE).as_deref() {
        Ok("prometheus") => return service::main(&PROMETHEUS, run),
        Ok("go") => return service::main(&GO, run),
        Ok(_) => return service::main(&PROGRAM, run),
        Err(_) => {}
    }
    version_and_help();
    wrong_flags();
    failures();
    signals_and_health();
    println!("process: all passed");
    ExitCode::SUCCESS
}

fn command(role: &str, args: &[&str]) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.env(ROLE, role).args(args);
    command
}

fn output(role: &str, args: &[&str]) -> (Option<i32>, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = command(role, args).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

fn version_and_help() {
    let (code, stdout, _) = output("kingpin", &["--version"]);
    assert_eq!(code, Some(0));
    let expected = format!("thing, version {} (branch: ", service::version::VERSION);
    assert!(stdout.starts_with(&expected), "{stdout}");
    let (code, stdout, _) = output("kingpin", &["--help"]);
    assert_eq!(code, Some(0));
    assert!(
        stdout.starts_with("usage: thing [<flags>]\n\nDoes things.\n"),
        "{stdout}"
    );
}

fn wrong_flags() {
    let (code, _, stderr) = output("kingpin", &["--x"]);
    assert_eq!(
        (code, stderr.as_str()),
        (
            Some(1),
            "thing: error: unknown long flag '--x', try --help\n"
        )
    );
    let (code, _, stderr) = output("prometheus", &["--x"]);
    assert_eq!(code, Some(2));
    assert!(
        stderr.starts_with(
            "Error parsing command line arguments: unknown long flag '--x'\nusage: thing"
        ),
        "{stderr}"
    );
    let (code, _, stderr) = output("go", &["-x"]);
    assert_eq!(code, Some(2));
    assert!(
        stderr.starts_with("flag provided but not defined: -x\nusage: thing"),
        "{stderr}"
    );
}

fn failures() {
    let (code, _, stderr) = output("kingpin", &["--fail=no disk"]);
    assert_eq!(code, Some(1));
    let last = stderr.lines().last().unwrap();
    assert!(
        last.contains(" level=ERROR ") && last.ends_with("err=\"no disk\""),
        "{stderr}"
    );
    assert_eq!(stderr.matches("no disk").count(), 1, "told once: {stderr}");

    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (code, _, stderr) = output("kingpin", &[&format!("--web.listen-address={address}")]);
    assert_eq!(code, Some(1));
    let message = format!(
        "listen tcp {address}: bind: address already in use: port {}",
        address.port()
    );
    assert!(stderr.contains(&message), "{stderr}");

    let (code, _, stderr) = output(
        "kingpin",
        &[
            "--healthcheck",
            &format!("--web.listen-address=127.0.0.1:{}", unused_port()),
        ],
    );
    assert_eq!(code, Some(1));
    assert!(
        stderr.starts_with("not healthy: cannot connect to 127.0.0.1:"),
        "{stderr}"
    );
}

fn unused_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

fn signals_and_health() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("config");
    std::fs::write(&file, "x").unwrap();
    let config = format!("--config.file={}", file.display());
    let address = format!("--web.listen-address=127.0.0.1:{}", unused_port());
    let mut child = command("kingpin", &[&config, &address, "--log.format=json"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap());
    let mut wait_for = |wanted: &str| {
        let mut line = String::new();
        loop {
            line.clear();
            assert_ne!(
                log.read_line(&mut line).unwrap(),
                0,
                "the log ended before {wanted}"
            );
            if line.contains(wanted) {
                return line;
            }
        }
    };
    let ready = wait_for("Server is ready");
    assert!(
        ready.starts_with("{\"time\":\"2") && ready.ends_with("}\n"),
        "{ready}"
    );

    let (code, stdout, _) = output("kingpin", &[&address, "--healthcheck"]);
    assert_eq!((code, stdout.as_str()), (Some(0), "healthy\n"));

    let send = |signal: &str| {
        let status = Command::new("kill")
            .args([signal, &child.id().to_string()])
            .status()
            .unwrap();
        assert!(status.success());
    };
    send("-HUP");
    wait_for("Completed loading of configuration");
    std::fs::remove_file(&file).unwrap();
    send("-HUP");
    let failed = wait_for("Error reloading config");
    assert!(failed.contains("\"level\":\"ERROR\""), "{failed}");
    send("-TERM");
    wait_for("SIGTERM");
    wait_for("See you next time!");
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let mut rest = String::new();
    log.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "");
}
