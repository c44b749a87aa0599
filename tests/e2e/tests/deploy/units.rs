//! systemd's units, by systemd.

use std::process::Command;

use e2e::part;

use crate::{deploy, text};

#[test]
fn systemd_takes_the_units() {
    let Some(analyze) = part::program("systemd-analyze", "apt-get install systemd") else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let mut seen = 0;
    for entry in std::fs::read_dir(deploy().join("systemd")).unwrap() {
        let path = entry.unwrap().path();
        let unit = std::fs::read_to_string(&path).unwrap();
        let name = path.file_stem().unwrap().to_str().unwrap();
        // The program is where users put it, which is not here.
        let program = format!("ExecStart=/usr/local/bin/{name}");
        assert!(unit.contains(&program), "{name}");
        let copy = dir.path().join(format!("{name}.service"));
        std::fs::write(&copy, unit.replace(&program, "ExecStart=/bin/true")).unwrap();
        let mut verify = Command::new(&analyze);
        let output = verify.args(["verify", "--man=no"]).arg(&copy).output();
        let said = text(&output.unwrap());
        // It also tells of the units of this machine; ours are called by name.
        let ours: Vec<&str> = said.lines().filter(|line| line.contains(name)).collect();
        assert!(ours.is_empty(), "{name}: {said}");
        seen += 1;
    }
    assert_eq!(seen, 7);
}

/// The flags in the units are flags.
#[test]
fn the_command_lines_are_taken() {
    let services: Vec<String> = std::fs::read_dir(deploy().join("systemd"))
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            path.file_stem().unwrap().to_str().unwrap().to_owned()
        })
        .collect();
    let names: Vec<&str> = services.iter().map(String::as_str).collect();
    let programs = part::build(&names);
    for service in &services {
        let unit = deploy().join(format!("systemd/{service}.service"));
        let unit = std::fs::read_to_string(unit).unwrap().replace("\\\n", " ");
        let line = unit.lines().find_map(|l| l.strip_prefix("ExecStart="));
        let words: Vec<&str> = line.unwrap().split_whitespace().skip(1).collect();
        // Asked for the health of a service that does not run there: a wrong flag would be said first.
        let output = Command::new(programs.join(service))
            .args(words)
            .arg("--healthcheck")
            .output()
            .unwrap();
        let said = text(&output);
        assert!(said.contains("healthy"), "{service}: {said}");
    }
}
