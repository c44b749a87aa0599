//! meminfo: every line of /proc/meminfo.

use super::{CollectError, Outcome};
use crate::files::Files;
use crate::page::Page;

/// Name (as in the metric) and value of a line; `Ok(None)` for an empty one.
fn parse(line: &str, name: &mut String) -> Result<Option<f64>, ()> {
    let mut fields = line.split_ascii_whitespace();
    let Some(key) = fields.next() else {
        return Ok(None);
    };
    let value: f64 = fields.next().and_then(|v| v.parse().ok()).ok_or(())?;
    name.clear();
    name.push_str("node_memory_");
    // `Active(anon):` is `Active_anon`.
    for c in key.trim_end_matches(':').chars() {
        match c {
            '(' => name.push('_'),
            ')' => {}
            c => name.push(c),
        }
    }
    match fields.next() {
        None => Ok(Some(value)),
        Some("kB") => {
            name.push_str("_bytes");
            Ok(Some(value * 1024.0))
        }
        Some(_) => Err(()),
    }
}

pub fn collect(files: &mut Files, out: &mut Page) -> Outcome {
    let mut name = String::new();
    let mut bad = None;
    for line in files.proc("meminfo")?.lines() {
        match parse(line, &mut name) {
            Ok(None) => {}
            Err(()) => bad = Some(CollectError::invalid("line in meminfo", line)),
            Ok(Some(value)) => {
                let field = name.trim_start_matches("node_memory_");
                let help = format!("Memory information field {field}.");
                // Upstream's rule: what it knows as a counter by its name.
                if name.ends_with("_total") {
                    out.counter(&name, &help, &[], value);
                } else {
                    out.gauge(&name, &help, &[], value);
                }
            }
        }
    }
    bad.map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let mut name = String::new();
        assert_eq!(parse("Active(anon):  2 kB", &mut name), Ok(Some(2048.0)));
        assert_eq!(name, "node_memory_Active_anon_bytes");
        assert_eq!(parse("HugePages_Total:   7", &mut name), Ok(Some(7.0)));
        assert_eq!(name, "node_memory_HugePages_Total");
        assert_eq!(parse("", &mut name), Ok(None));
        assert_eq!(parse("MemTotal:", &mut name), Err(()));
        assert_eq!(parse("MemTotal: x kB", &mut name), Err(()));
    }
}
