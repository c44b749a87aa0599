//! interrupts: counts by CPU, of /proc/interrupts.

use service::Args;

use super::filter::Filter;
use super::{CollectError, Collector, Outcome};
use crate::files::Files;
use crate::page::Page;

pub fn new(args: &Args) -> Result<Collector, String> {
    let filter = Filter::exclusive(
        args,
        "collector.interrupts.name-exclude",
        "collector.interrupts.name-include",
    )?;
    let zeros = args.bool("collector.interrupts.include-zeros");
    Ok(Box::new(move |files, out| {
        collect(files, out, &filter, zeros)
    }))
}

/// Name, counts, info, devices. `None` for lines with fewer counts than CPUs (ERR, MIS).
fn parse(line: &str, cpus: usize) -> Option<(&str, Vec<f64>, String, String)> {
    let mut fields = line.split_ascii_whitespace();
    let name = fields.next()?.trim_end_matches(':');
    let mut counts = Vec::with_capacity(cpus);
    for _ in 0..cpus {
        counts.push(fields.next()?.parse().ok()?);
    }
    let mut rest = fields;
    let numbered = name.parse::<u32>().is_ok();
    let info = if numbered {
        rest.next().unwrap_or_default().to_owned()
    } else {
        String::new()
    };
    let text: Vec<&str> = rest.collect();
    let text = text.join(" ");
    if numbered {
        Some((name, counts, info, text))
    } else {
        Some((name, counts, text, String::new()))
    }
}

fn collect(files: &mut Files, out: &mut Page, filter: &Filter, zeros: bool) -> Outcome {
    let text = files.proc("interrupts")?;
    let mut lines = text.lines();
    let heading = lines
        .next()
        .ok_or_else(|| CollectError::invalid("interrupts", text))?;
    let cpus: Vec<String> = (0..heading.split_ascii_whitespace().count())
        .map(|n| n.to_string())
        .collect();
    for line in lines {
        let Some((name, counts, info, devices)) = parse(line, cpus.len()) else {
            continue;
        };
        if filter.ignored(&format!("{name};{info};{devices}")) {
            continue;
        }
        for (cpu, count) in cpus.iter().zip(counts) {
            if count == 0.0 && !zeros {
                continue;
            }
            out.counter(
                "node_interrupts_total",
                "Interrupt details.",
                &[
                    ("cpu", cpu),
                    ("type", name),
                    ("info", &info),
                    ("devices", &devices),
                ],
                count,
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let (name, counts, info, devices) =
            parse(" 16: 1 2 IO-APIC-fasteoi usb1, mmc0", 2).unwrap();
        assert_eq!(
            (name, info.as_str(), devices.as_str()),
            ("16", "IO-APIC-fasteoi", "usb1, mmc0")
        );
        assert_eq!(counts, [1.0, 2.0]);
        assert_eq!(parse("LOC: 1 2 Local timer", 2).unwrap().2, "Local timer");
        assert!(parse("ERR: 0", 2).is_none());
        assert!(parse("", 2).is_none());
    }
}
