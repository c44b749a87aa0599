//! tcpstat: TCP connections by state, of /proc/net/tcp and tcp6.

use std::collections::BTreeMap;

use super::{CollectError, Outcome};
use crate::files::Files;
use crate::page::Page;

/// Names of the states 1 to 11.
const STATES: [&str; 11] = [
    "established",
    "syn_sent",
    "syn_recv",
    "fin_wait1",
    "fin_wait2",
    "time_wait",
    "close",
    "close_wait",
    "last_ack",
    "listen",
    "closing",
];

/// State, bytes to send and bytes to read of a line.
fn parse(line: &str) -> Option<(&'static str, u64, u64)> {
    let mut fields = line.split_ascii_whitespace().skip(3);
    let state = usize::from_str_radix(fields.next()?, 16).ok()?;
    let (tx, rx) = fields.next()?.split_once(':')?;
    let (tx, rx) = (
        u64::from_str_radix(tx, 16).ok()?,
        u64::from_str_radix(rx, 16).ok()?,
    );
    Some((STATES.get(state.checked_sub(1)?)?, tx, rx))
}

pub fn collect(files: &mut Files, out: &mut Page) -> Outcome {
    let mut counts: BTreeMap<&str, u64> =
        BTreeMap::from([("tx_queued_bytes", 0), ("rx_queued_bytes", 0)]);
    for (file, required) in [("net/tcp", true), ("net/tcp6", false)] {
        let text = match files.proc(file) {
            Ok(text) => text,
            Err(error) if error.is_missing() && !required => continue,
            Err(error) => return Err(error),
        };
        for line in text.lines().skip(1) {
            let (state, tx, rx) =
                parse(line).ok_or_else(|| CollectError::invalid("tcp line", line))?;
            for (name, count) in [(state, 1), ("tx_queued_bytes", tx), ("rx_queued_bytes", rx)] {
                let sum = counts.entry(name).or_default();
                *sum = sum.saturating_add(count);
            }
        }
    }
    for (state, count) in counts {
        let help = "Number of connection states.";
        out.gauge(
            "node_tcp_connection_states",
            help,
            &[("state", state)],
            count as f64,
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn lines() {
        let line = "  0: 0100007F:0016 00000000:0000 0A 00000001:00000002 00:00000000 00000000";
        assert_eq!(super::parse(line), Some(("listen", 1, 2)));
        for line in ["", "0: a b 00 0:0", "0: a b 0C 0:0", "0: a b 0A x"] {
            assert_eq!(super::parse(line), None, "{line:?}");
        }
    }
}
