//! sockstat: sockets in use, of /proc/net/sockstat and sockstat6.

use super::{CollectError, Outcome};
use crate::files::Files;
use crate::page::Page;

/// `TCP: inuse 4 mem 1` as protocol and pairs.
fn parse(line: &str) -> Option<(&str, Vec<(&str, f64)>)> {
    let (protocol, rest) = line.split_once(':')?;
    let mut fields = rest.split_ascii_whitespace();
    let mut pairs = Vec::new();
    while let Some(name) = fields.next() {
        pairs.push((name, fields.next()?.parse().ok()?));
    }
    Some((protocol, pairs))
}

pub fn collect(files: &mut Files, out: &mut Page) -> Outcome {
    let page_bytes = rustix::param::page_size() as f64;
    for (file, v6) in [("net/sockstat", false), ("net/sockstat6", true)] {
        let text = match files.proc(file) {
            Ok(text) => text,
            // Without IPv6 there is no such file.
            Err(error) if error.is_missing() => continue,
            Err(error) => return Err(error),
        };
        for line in text.lines() {
            let (protocol, pairs) =
                parse(line).ok_or_else(|| CollectError::invalid("sockstat line", line))?;
            for (name, value) in pairs {
                let metric = format!("node_sockstat_{protocol}_{name}");
                if protocol == "sockets" {
                    let family = if v6 { "IPv6" } else { "IPv4" };
                    out.gauge(
                        &metric,
                        &format!("Number of {family} sockets in use."),
                        &[],
                        value,
                    );
                    continue;
                }
                let help = format!("Number of {protocol} sockets in state {name}.");
                out.gauge(&metric, &help, &[], value);
                if name == "mem" {
                    let help = format!("Number of {protocol} sockets in state mem_bytes.");
                    out.gauge(&format!("{metric}_bytes"), &help, &[], value * page_bytes);
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn lines() {
        assert_eq!(
            super::parse("FRAG: inuse 0 memory 1"),
            Some(("FRAG", vec![("inuse", 0.0), ("memory", 1.0)]))
        );
        assert_eq!(super::parse("FRAG: inuse"), None);
        assert_eq!(super::parse("FRAG inuse 0"), None);
    }
}
