//! udp_queues: bytes that wait in UDP sockets, of /proc/net/udp and udp6.

use super::{CollectError, Outcome};
use crate::files::Files;
use crate::page::Page;

/// Sums of the column `tx_queue:rx_queue`, hexadecimal.
fn parse(text: &str) -> Option<(u64, u64)> {
    let (mut tx, mut rx) = (0u64, 0u64);
    for line in text.lines().skip(1) {
        let (sent, received) = line.split_ascii_whitespace().nth(4)?.split_once(':')?;
        tx = tx.wrapping_add(u64::from_str_radix(sent, 16).ok()?);
        rx = rx.wrapping_add(u64::from_str_radix(received, 16).ok()?);
    }
    Some((tx, rx))
}

pub fn collect(files: &mut Files, out: &mut Page) -> Outcome {
    let mut any = false;
    for (file, ip) in [("net/udp", "v4"), ("net/udp6", "v6")] {
        let text = match files.proc(file) {
            Ok(text) => text,
            Err(error) if error.is_missing() => continue,
            Err(error) => return Err(error),
        };
        any = true;
        let (tx, rx) = parse(text).ok_or_else(|| CollectError::invalid("udp table", text))?;
        for (queue, bytes) in [("tx", tx), ("rx", rx)] {
            out.gauge(
                "node_udp_queues",
                "Number of allocated memory in the kernel for UDP datagrams in bytes.",
                &[("queue", queue), ("ip", ip)],
                bytes as f64,
            );
        }
    }
    if any {
        Ok(())
    } else {
        Err(CollectError::NoData)
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn sums() {
        let text =
            "head\n 0: 0:16 0:0 0A 00000015:00000001 x\n 1: 0:16 0:0 0A 00000001:00000000 x\n";
        assert_eq!(super::parse(text), Some((0x16, 1)));
        assert_eq!(super::parse("head\n 0: 1\n"), None);
        assert_eq!(super::parse(""), Some((0, 0)));
    }
}
