//! systemd and logind, played by a small service on a bus of its own, and asked by both exporters.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use e2e::part::{missing, peer, program};
use e2e::wait_for;

use crate::{Exporter, agent, strings};

/// A process that ends with the test.
struct Kept(Child);

impl Drop for Kept {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const CONFIG: &str = r#"<busconfig><type>session</type><listen>unix:path=SOCKET</listen><auth>EXTERNAL</auth>
<policy context="default"><allow receive_sender="*" eavesdrop="true"/><allow send_destination="*" eavesdrop="true"/><allow own="*"/><allow user="*"/></policy></busconfig>"#;

/// Owns both names and answers what node_exporter asks.
const SERVICE: &str = r#"
import sys
from jeepney import DBusAddress, HeaderFields, MessageType, new_error, new_method_return, message_bus
from jeepney.io.blocking import open_dbus_connection

connection = open_dbus_connection("unix:path=" + sys.argv[1])
for name in ("org.freedesktop.systemd1", "org.freedesktop.login1"):
    connection.send_and_get_reply(message_bus.RequestName(name))
U = "/org/freedesktop/systemd1/unit/"
def unit(name, state, load="loaded"):
    return (name, name + " described", load, state, "sub", "", U + name.replace(".", "_2e").replace("-", "_2d"), 0, "", "/")
units = [unit("sshd.service", "active"), unit("cron.service", "inactive"), unit("broken.service", "failed"),
         unit("gone.service", "inactive", "not-found"), unit("daily.timer", "active"), unit("sshd.socket", "active"),
         unit("data.mount", "active"), unit("system.slice", "active"), unit("odd.service", "reloading")]
P = "org.freedesktop.systemd1."
properties = {
    (P + "Manager", "Version"): ("s", "252.39-1~deb12u1"), (P + "Manager", "Virtualization"): ("s", "kvm"),
    (P + "Manager", "SystemState"): ("s", "running"), (P + "Service", "Type"): ("s", "notify"),
    (P + "Mount", "Type"): ("s", "ext4"), (P + "Service", "NRestarts"): ("u", 3),
    (P + "Service", "TasksCurrent"): ("t", 7), (P + "Service", "TasksMax"): ("t", 2**64 - 1),
    (P + "Unit", "ActiveEnterTimestamp"): ("t", 1700000000500000), (P + "Timer", "LastTriggerUSec"): ("t", 1700000001000000),
    (P + "Socket", "NAccepted"): ("u", 12), (P + "Socket", "NConnections"): ("u", 2), (P + "Socket", "NRefused"): ("u", 1),
    ("org.freedesktop.login1.Session", "Remote"): ("b", True), ("org.freedesktop.login1.Session", "Type"): ("s", "tty"),
    ("org.freedesktop.login1.Session", "Class"): ("s", "user"),
}
while True:
    message = connection.receive()
    if message.header.message_type != MessageType.method_call:
        continue
    member = message.header.fields[HeaderFields.member]
    if member in ("Get",):
        value = properties.get(tuple(message.body))
        reply = new_method_return(message, "v", (value,)) if value else new_error(message, "org.freedesktop.DBus.Error.UnknownProperty", "s", ("no such property",))
    elif member == "GetAll":
        reply = new_method_return(message, "a{sv}", ({k[1]: v for k, v in properties.items() if k[0] == message.body[0]},))
    elif member == "ListUnits":
        reply = new_method_return(message, "a(ssssssouso)", (units,))
    elif member == "ListSeats":
        reply = new_method_return(message, "a(so)", ([("seat0", "/org/freedesktop/login1/seat/seat0")],))
    elif member == "ListSessions":
        reply = new_method_return(message, "a(susso)", ([("1", 1000, "ann", "seat0", "/org/freedesktop/login1/session/_1"), ("2", 1001, "bob", "", "/org/freedesktop/login1/session/_2")],))
    else:
        reply = new_error(message, "org.freedesktop.DBus.Error.UnknownMethod", "s", (member,))
    connection.send(reply)
"#;

/// A bus with the service on it; `None` where the parts are not there.
fn bus(dir: &Path) -> Option<(Kept, Kept, String)> {
    let daemon = program("dbus-daemon", "apt-get install dbus-daemon")?;
    let python = program("python3", "apt-get install python3")?;
    let has_jeepney = Command::new(&python)
        .args(["-c", "import jeepney"])
        .stderr(Stdio::null())
        .status();
    if !has_jeepney.is_ok_and(|status| status.success()) {
        missing("jeepney", "pip install jeepney");
        return None;
    }
    let socket = dir.join("bus");
    let config = dir.join("bus.conf");
    let path = socket.to_str().unwrap();
    std::fs::write(&config, CONFIG.replace("SOCKET", path)).unwrap();
    let daemon = Command::new(daemon)
        .arg("--nofork")
        .arg(format!("--config-file={}", config.display()))
        .spawn();
    let daemon = Kept(daemon.unwrap());
    wait_for("the bus listens", Duration::from_secs(20), || {
        socket.exists().then_some(())
    });
    let service = Command::new(python).args(["-c", SERVICE, path]).spawn();
    Some((daemon, Kept(service.unwrap()), format!("unix:path={path}")))
}

#[test]
fn units_and_sessions_are_as_node_exporter_shows_them() {
    let dir = tempfile::tempdir().unwrap();
    let Some(theirs) = peer("prometheus-node-exporter") else {
        return;
    };
    let Some((_daemon, _service, address)) = bus(dir.path()) else {
        return;
    };
    let flags = strings(&[
        "--collector.disable-defaults",
        "--web.disable-exporter-metrics",
        "--collector.systemd",
        "--collector.systemd.enable-task-metrics",
        "--collector.systemd.enable-restarts-metrics",
        "--collector.systemd.enable-start-time-metrics",
        "--collector.systemd.unit-exclude=.+\\.(automount|device|scope|slice)",
        "--collector.logind",
    ]);
    // env(1) hands the address on to the exporter alone.
    let start = |program: &Path| {
        let wrapper = dir.path().join(format!(
            "with-bus-{}",
            program.file_name().unwrap().to_string_lossy()
        ));
        let script = format!(
            "#!/bin/sh\nDBUS_SYSTEM_BUS_ADDRESS={address} exec {} \"$@\"\n",
            program.display()
        );
        std::fs::write(&wrapper, script).unwrap();
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(&wrapper, std::fs::Permissions::from_mode(0o755)).unwrap();
        Exporter::start(&wrapper, &flags, dir.path())
    };
    let (theirs, ours) = (start(&theirs), start(&agent()));
    let success = "node_scrape_collector_success{collector=\"logind\"}";
    let theirs = wait_for("the service answers", Duration::from_secs(30), || {
        Some(theirs.scrape()).filter(|page| page.value(success) == Some(1.0))
    });
    let ours = ours.scrape();
    let own =
        |series: &str| series.starts_with("node_exporter_") || series.contains("duration_seconds");
    let mut count = 0;
    for (series, value) in theirs.series.iter().filter(|(series, _)| !own(series)) {
        assert_eq!(ours.value(series), Some(*value), "{series}");
        count += 1;
    }
    for series in ours.series.keys().filter(|series| !own(series)) {
        assert!(theirs.series.contains_key(series), "only ours has {series}");
    }
    for (family, said) in &theirs.said {
        assert_eq!(ours.said.get(family), Some(said));
    }
    assert!(count > 180, "{count} series");
    let state = "node_systemd_unit_state{name=\"broken.service\",state=\"failed\",type=\"notify\"}";
    assert_eq!(ours.value(state), Some(1.0));
}
