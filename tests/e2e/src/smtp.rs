//! A mail server: aiosmtpd, which prints every message.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Process, free_port, part, wait_for};

const SCRIPT: &str = r#"
import sys, time
from aiosmtpd.controller import Controller

class Keep:
    async def handle_DATA(self, server, session, envelope):
        with open(sys.argv[2], "ab") as out:
            out.write(b"From <%s> to <%s>\n" % (envelope.mail_from.encode(), ",".join(envelope.rcpt_tos).encode()))
            out.write(envelope.content + b"\n.\n")
        return "250 Message accepted"

Controller(Keep(), hostname="127.0.0.1", port=int(sys.argv[1])).start()
while True:
    time.sleep(60)
"#;

/// A running mail server and the file its messages go to.
pub struct Smtp {
    pub port: u16,
    mails: PathBuf,
    _process: Process,
}

impl Smtp {
    /// Starts the server; `None`, said loudly, where Python or aiosmtpd is not installed.
    ///
    /// # Panics
    /// With `CI=true`, instead of `None`; where the server does not come up.
    pub fn start(dir: &Path) -> Option<Smtp> {
        let check = Command::new("python3")
            .args(["-c", "import aiosmtpd"])
            .output();
        if !check.is_ok_and(|output| output.status.success()) {
            part::missing("python3 with aiosmtpd", "pip install aiosmtpd");
            return None;
        }
        let script = dir.join("smtp.py");
        let mut file = std::fs::File::create(&script).expect("the folder can be written");
        file.write_all(SCRIPT.as_bytes())
            .expect("the folder can be written");
        let (port, mails) = (free_port(), dir.join("mails"));
        let args = [
            script.display().to_string(),
            port.to_string(),
            mails.display().to_string(),
        ];
        let process = Process::start("smtp", Path::new("python3"), &args, dir);
        wait_for(
            "the mail server listens",
            std::time::Duration::from_secs(20),
            || std::net::TcpStream::connect(("127.0.0.1", port)).ok(),
        );
        Some(Smtp {
            port,
            mails,
            _process: process,
        })
    }

    /// All messages so far, one after the other.
    pub fn mails(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.mails).unwrap_or_default()).into_owned()
    }
}
