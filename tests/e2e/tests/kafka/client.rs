//! The client of the tests: `client.py` as a child, one order at a time.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use e2e::part;
use serde_json::Value;

/// A running client; ends with its standard input.
pub struct Client {
    child: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Client {
    /// Whether Python has the library; `false` has been said loudly.
    pub fn is_there() -> bool {
        let check = Command::new("python3")
            .args(["-c", "import confluent_kafka"])
            .output();
        let there = check.is_ok_and(|output| output.status.success());
        if !there {
            part::missing(
                "python3 with confluent-kafka",
                "pip install confluent-kafka",
            );
        }
        there
    }

    pub fn start(servers: &str) -> Client {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kafka/client.py");
        let mut child = Command::new("python3")
            .arg(script)
            .arg(servers)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("python can be run");
        Client {
            orders: child.stdin.take(),
            answers: BufReader::new(child.stdout.take().expect("it is a pipe")),
            child,
        }
    }

    /// Carries out an order, the name of a function of the script and its arguments.
    ///
    /// # Panics
    /// With the client's error.
    pub fn order(&mut self, order: Value) {
        let orders = self.orders.as_mut().expect("taken at the end only");
        writeln!(orders, "{order}").expect("the client reads");
        let mut line = String::new();
        self.answers
            .read_line(&mut line)
            .expect("the client answers");
        let answer: Value = serde_json::from_str(&line).expect("the answer is JSON");
        assert!(answer["ok"] == true, "{order}: {answer}");
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        drop(self.orders.take());
        // While a test fails nobody waits for members to leave.
        if std::thread::panicking() {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}
