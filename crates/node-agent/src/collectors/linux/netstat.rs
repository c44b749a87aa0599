//! netstat: chosen fields of /proc/net/netstat, snmp and snmp6.

use service::Args;

use super::filter::Fields;
use super::{CollectError, Collector, Outcome};
use crate::files::Files;
use crate::page::Page;

pub fn new(args: &Args) -> Result<Collector, String> {
    let fields = Fields::new(args, "collector.netstat.fields")?;
    Ok(Box::new(move |files, out| collect(files, out, &fields)))
}

/// Calls `found` with protocol, field and value of pairs of lines: names, then values.
fn pairs<'t>(text: &'t str, mut found: impl FnMut(&'t str, &'t str, f64)) -> Option<()> {
    let mut lines = text.lines();
    while let (Some(names), Some(values)) = (lines.next(), lines.next()) {
        let (protocol, names) = names.split_once(':')?;
        let (_, values) = values.split_once(':')?;
        let mut values = values.split_ascii_whitespace();
        for name in names.split_ascii_whitespace() {
            found(protocol, name, values.next()?.parse().ok()?);
        }
    }
    Some(())
}

/// `Ip6InReceives 7`: the protocol ends with the 6.
fn parse6(line: &str) -> Option<(&str, &str, f64)> {
    let mut fields = line.split_ascii_whitespace();
    let key = fields.next()?;
    let (protocol, name) = key.split_at(key.find('6')? + 1);
    Some((protocol, name, fields.next()?.parse().ok()?))
}

fn collect(files: &mut Files, out: &mut Page, fields: &Fields) -> Outcome {
    let mut key = String::new();
    let mut add = |out: &mut Page, protocol: &str, name: &str, value: f64| {
        key.clear();
        key.push_str("node_netstat_");
        key.push_str(protocol);
        key.push('_');
        key.push_str(name);
        if fields.wants(&key["node_netstat_".len()..]) {
            out.untyped(&key, &format!("Statistic {protocol}{name}."), &[], value);
        }
    };
    for file in ["net/netstat", "net/snmp"] {
        let text = files.proc(file)?;
        pairs(text, |protocol, name, value| {
            add(out, protocol, name, value)
        })
        .ok_or_else(|| CollectError::invalid("netstat", text))?;
    }
    match files.proc("net/snmp6") {
        Ok(text) => {
            for (protocol, name, value) in text.lines().filter_map(parse6) {
                add(out, protocol, name, value);
            }
            Ok(())
        }
        // Without IPv6 there is no such file.
        Err(error) if error.is_missing() => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values() {
        let mut found = Vec::new();
        let text = "Tcp: A B\nTcp: 1 -1\nUdp: C\nUdp: 3\n";
        assert!(pairs(text, |p, n, v| found.push((p, n, v))).is_some());
        assert_eq!(
            found,
            [("Tcp", "A", 1.0), ("Tcp", "B", -1.0), ("Udp", "C", 3.0)]
        );
        for text in ["Tcp A\nTcp 1\n", "Tcp: A B\nTcp: 1\n", "Tcp: A\nTcp: x\n"] {
            assert!(pairs(text, |_, _, _| {}).is_none(), "{text:?}");
        }
        assert_eq!(parse6("Ip6InReceives  7"), Some(("Ip6", "InReceives", 7.0)));
        assert_eq!(parse6("Ip6InReceives"), None);
    }
}
