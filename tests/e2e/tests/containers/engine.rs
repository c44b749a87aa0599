//! What engines do: they hang, restart, are away, refuse. Only engines of the test's own are harmed.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use super::*;
use e2e::docker::{engine, own_engine};

#[test]
fn an_engine_that_hangs_and_restarts() {
    let Some(mut docker) = own_engine(&["--live-restore"]) else {
        return;
    };
    if !docker.busybox("fw-own") {
        return;
    }
    let burn = "while :; do :; done";
    docker.run("fw-burn", &["--cpus=0.1"], "fw-own", &["sh", "-c", burn]);
    let agent = Agent::start(&docker, &[]);
    let used = || {
        agent
            .page()
            .of("container_cpu_usage_seconds_total", "fw-burn")
    };
    let is_up = |wanted: f64| {
        agent.until("the engine's state is shown", |page| {
            let up = page.values("container_agent_engine_up", &[("engine", "docker")]);
            (up == [wanted]).then_some(())
        });
    };
    let goes_on = |what: &str| {
        let before = used().unwrap_or_else(|| panic!("{what}: the name is gone"));
        wait_for(what, LONG, || {
            used().unwrap_or_else(|| panic!("{what}: the name is gone"));
            used().filter(|now| *now > before)
        });
    };

    docker.signal_daemon(libc::SIGSTOP);
    goes_on("numbers stay fresh while the engine hangs");
    is_up(0.0);
    goes_on("numbers stay fresh when it is known to hang");
    docker.signal_daemon(libc::SIGCONT);
    is_up(1.0);

    // All the time that the engine restarts, the name is there.
    std::thread::scope(|scope| {
        let restart = scope.spawn(|| docker.restart_daemon());
        while !restart.is_finished() {
            assert!(used().is_some(), "the name went with the engine");
        }
        restart.join().expect("the engine comes up again");
    });
    goes_on("numbers stay fresh after the restart");
    agent.until("the engine is followed again", |page| {
        let connects = page.values(
            "container_agent_engine_connects_total",
            &[("engine", "docker")],
        );
        (connects[0] >= 2.0).then_some(())
    });
    docker.docker(&["rename", "fw-burn", "fw-renamed"]);
    agent.until("what it says now is heard", |page| {
        page.labels("fw-renamed").map(|_| ())
    });
    docker.remove("fw-renamed");
    let gone = |page: &Page| page.labels("fw-renamed").is_none().then_some(());
    agent.until("what is removed is gone", gone);
}

#[test]
fn without_cgroups_the_engine_tells_the_numbers() {
    let Some(docker) = engine() else { return };
    if !docker.busybox("fw-told") {
        return;
    }
    let burn = "while :; do :; done";
    docker.run(
        "fw-told",
        &["--cpus=0.1", "--memory=32m"],
        "fw-told",
        &["sh", "-c", burn],
    );
    let agent = Agent::start(&docker, &["-cgroup_root=/none/here"]);
    let log = agent.process.log_text();
    assert!(
        log.contains("no cgroups at /none/here: mount them there"),
        "{log}"
    );
    let read = Agent::start(&docker, &[]);
    let before = read.page();
    let told = agent.until("the engine tells", |page| {
        page.labels("fw-told").map(|_| agent.page())
    });
    let after = read.page();
    let cpu = "container_cpu_usage_seconds_total";
    let of = |page: &Page, family: &str| page.of(family, "fw-told").unwrap_or(f64::NAN);
    assert!(
        (of(&before, cpu)..=of(&after, cpu)).contains(&of(&told, cpu)),
        "{} <= {} <= {}",
        of(&before, cpu),
        of(&told, cpu),
        of(&after, cpu)
    );
    for family in [
        "container_spec_memory_limit_bytes",
        "container_spec_cpu_quota",
        "container_spec_cpu_period",
        "container_spec_cpu_shares",
        "container_start_time_seconds",
    ] {
        assert_eq!(of(&told, family), of(&after, family), "{family}");
    }
    assert!(of(&told, "container_memory_usage_bytes") > 0.0);
    assert!(
        told.of("container_network_receive_bytes_total", "fw-told")
            .is_some()
    );
}

#[test]
fn no_socket_and_no_permission() {
    let dir = tempfile::tempdir().expect("there is room for a temporary folder");
    let absent = dir.path().join("docker.sock").display().to_string();
    let agent = Agent::start_with(&[&format!("-docker=unix://{absent}")]);
    let said = |process: &Process, what: &str| {
        wait_for(what, LONG, || {
            process.log_text().contains(what).then_some(())
        });
    };
    said(
        &agent.process,
        &format!("there is no socket {absent}: mount it"),
    );
    let page = agent.page();
    assert_eq!(
        page.values("container_agent_engine_up", &[("engine", "docker")]),
        [0.0]
    );
    assert_eq!(page.values("container_last_seen", &[("id", "/")]).len(), 1);

    // SAFETY: geteuid(2) has no preconditions and cannot fail.
    if unsafe { libc::geteuid() } != 0 {
        part::missing(
            "root",
            "only root can start a program as somebody who may not use the engine",
        );
        return;
    }
    let socket = dir.path().join("closed.sock");
    let _listener =
        std::os::unix::net::UnixListener::bind(&socket).expect("the folder can be written");
    let mode = |path: &std::path::Path, mode: u32| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("it is ours");
    };
    mode(&socket, 0o600);
    mode(dir.path(), 0o755);
    // The program may lie where only root can go.
    let copy = dir.path().join("container-agent");
    std::fs::copy(program(), &copy).expect("the program can be read");
    let log = dir.path().join("log");
    let out = std::fs::File::create(&log).expect("the folder can be written");
    let mut child = Command::new(&copy)
        .args(["-listen_ip=127.0.0.1", "-port=0"])
        .arg(format!("-docker=unix://{}", socket.display()))
        .uid(65_534)
        .gid(65_534)
        .stdin(Stdio::null())
        .stderr(out.try_clone().expect("a file can be cloned"))
        .stdout(out)
        .spawn()
        .expect("the program starts");
    let what = format!(
        "no permission for the socket {}: the user has to be in the group",
        socket.display()
    );
    let found = std::panic::catch_unwind(|| {
        wait_for(&what, LONG, || {
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            text.contains(&what).then_some(())
        });
    });
    child.kill().expect("it runs");
    child.wait().expect("it is our child");
    assert!(
        found.is_ok(),
        "{}",
        std::fs::read_to_string(&log).unwrap_or_default()
    );
}

#[test]
fn cgroup_files_that_are_cut_short() {
    let dir = tempfile::tempdir().expect("there is room for a temporary folder");
    let at = dir.path().join("docker").join("ab".repeat(32));
    std::fs::create_dir_all(&at).expect("the folder can be written");
    let put = |path: PathBuf, bytes: &[u8]| {
        std::fs::write(path, bytes).expect("the folder can be written")
    };
    put(dir.path().join("cgroup.controllers"), b"cpu memory\n");
    put(at.join("cpu.stat"), b"usage_usec 5000000\nuser_us");
    put(at.join("memory.current"), b"123");
    put(at.join("memory.stat"), b"anon 7\nfile \xff\n");
    put(at.join("io.stat"), b"8:0 rbytes=1 wbytes=\n8:");
    put(at.join("cpu.max"), b"");
    let agent = Agent::start_with(&[
        &format!("-cgroup_root={}", dir.path().display()),
        "-docker=",
    ]);
    let page = agent.page();
    let id = format!("/docker/{}", "ab".repeat(32));
    let of = |family: &str| page.values(family, &[("id", &id)]);
    // Whole lines count, what was cut off does not.
    assert_eq!(of("container_cpu_usage_seconds_total"), [5.0]);
    assert_eq!(of("container_memory_usage_bytes"), [0.0]);
    assert_eq!(of("container_memory_rss"), [0.0]);
    assert_eq!(page.values("container_scrape_error", &[]), [0.0]);
}
