//! `deploy/backup.sh` while the store runs, and `deploy/restore.sh` after everything is lost.

use std::path::Path;
use std::process::Command;

use e2e::{Process, Stack, free_port, part, query, wait_for};

use crate::{LONG, deploy, run, text};

fn store(dir: &Path, port: u16) -> Process {
    let programs = part::build(&["scraper-store"]);
    let config = dir.join("prometheus.yml");
    let text = format!(
        "global: {{scrape_interval: 1s}}\nscrape_configs:\n- job_name: self\n  static_configs: [{{targets: ['127.0.0.1:{port}']}}]\n"
    );
    std::fs::write(&config, text).unwrap();
    let args = [
        format!("--config.file={}", config.display()),
        format!("--storage.tsdb.path={}", dir.join("data").display()),
        format!("--web.listen-address=127.0.0.1:{port}"),
        "--grpc-address=".to_owned(),
        "--web.enable-admin-api".to_owned(),
    ];
    let process = Process::start("scraper-store", &programs.join("scraper-store"), &args, dir);
    Stack::wait_ready("scraper-store", &format!("http://127.0.0.1:{port}"));
    process
}

/// The time and value of a sample, now.
fn sample(url: &str, expr: &str) -> Option<(f64, String)> {
    let found = query(url, expr)?;
    let pair = &found.first()?["value"];
    Some((pair[0].as_f64()?, pair[1].as_str()?.to_owned()))
}

fn backups(to: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(to)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != ".lock")
        .collect();
    names.sort();
    names
}

#[test]
fn what_was_backed_up_comes_back() {
    for program in ["curl", "flock"] {
        if part::program(program, "apt-get install curl util-linux").is_none() {
            return;
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let port = free_port();
    let url = format!("http://127.0.0.1:{port}");
    let mut process = store(dir.path(), port);
    let samples = "count_over_time(up[1h]) >= 5";
    wait_for("some samples", LONG, || sample(&url, samples));
    let (at, _) = sample(&url, "up").unwrap();
    let frozen = format!("sum(process_start_time_seconds @ {at})");
    let (_, before) = wait_for("a sample", LONG, || sample(&url, &frozen));

    let alerts = dir.path().join("alerts/router");
    std::fs::create_dir_all(&alerts).unwrap();
    std::fs::write(alerts.join("00000001.log"), "silences").unwrap();
    let to = dir.path().join("backups");
    let data = dir.path().join("data");
    let backup = |keep: &str| {
        let mut command = Command::new(deploy().join("backup.sh"));
        command.arg("--to").arg(&to).arg("--data").arg(&data);
        command.arg("--alerts").arg(dir.path().join("alerts"));
        command.args(["--url", &url, "--keep", keep]);
        command
    };
    // What an interrupted run has left is not taken for a backup.
    std::fs::create_dir_all(to.join("2020-01-01T00-00-00Z.partial")).unwrap();
    run(&mut backup("2"));
    // They are named by the second.
    let first = backups(&to);
    assert_eq!(first.len(), 1, "{first:?}");
    for _ in 0..2 {
        let last = backups(&to).pop();
        wait_for("another second", LONG, || {
            let now = run(Command::new("date").args(["-u", "+%Y-%m-%dT%H-%M-%SZ"]));
            (Some(now.trim()) > last.as_deref()).then_some(())
        });
        run(&mut backup("2"));
    }
    let kept = backups(&to);
    assert_eq!(kept.len(), 2, "{kept:?}");
    assert!(!kept.contains(&first[0]), "{kept:?}");
    let snapshots = std::fs::read_dir(data.join("snapshots")).unwrap().count();
    assert_eq!(snapshots, 0, "snapshots are removed");

    // The wrong folder, and a store that is not there, are said.
    let mut wrong = backup("2");
    wrong.arg("--data").arg(dir.path().join("alerts"));
    let said = text(&wrong.output().unwrap());
    assert!(said.contains("is that the data folder"), "{said}");
    assert_eq!(backups(&to).iter().filter(|n| n.ends_with("Z")).count(), 2);
    process.stop();
    let mut nobody = backup("2");
    assert!(!nobody.output().unwrap().status.success());

    // All is lost; a file of somebody's lies in the new folder.
    std::fs::remove_dir_all(&data).unwrap();
    std::fs::remove_dir_all(dir.path().join("alerts")).unwrap();
    std::fs::create_dir_all(&data).unwrap();
    std::fs::write(data.join("mine"), "kept").unwrap();
    let mut restore = Command::new(deploy().join("restore.sh"));
    restore.arg("--from").arg(to.join(kept.last().unwrap()));
    restore.arg("--data").arg(&data);
    restore.arg("--alerts").arg(dir.path().join("alerts"));
    run(&mut restore);
    let log = std::fs::read_to_string(dir.path().join("alerts/router/00000001.log"));
    assert_eq!(log.unwrap(), "silences");
    assert!(
        to.join(kept.last().unwrap())
            .join("config/rules.yml")
            .is_file()
    );
    let aside: Vec<_> = std::fs::read_dir(&data)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_string_lossy().ends_with(".before-restore"))
        .collect();
    assert_eq!(aside.len(), 1, "{aside:?}");
    assert!(aside[0].join("mine").is_file());

    let _again = store(dir.path(), port);
    let (_, after) = wait_for("the sample is back", LONG, || sample(&url, &frozen));
    assert_eq!(after, before);
}
