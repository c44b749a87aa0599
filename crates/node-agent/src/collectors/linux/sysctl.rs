//! sysctl: chosen values of /proc/sys, as numbers or as text.

use service::Args;

use super::{CollectError, Collector, Outcome};
use crate::files::Files;
use crate::page::Page;

/// `fs.file-nr:total,current,max`.
struct Sysctl {
    name: String,
    keys: Vec<String>,
    numeric: bool,
}

fn parse(text: &str, numeric: bool) -> Result<Sysctl, String> {
    let (name, keys) = match text.split_once(':') {
        None => (text, Vec::new()),
        Some((name, keys)) if numeric => (name, keys.split(',').map(str::to_owned).collect()),
        Some(_) => {
            return Err(format!(
                "--collector.sysctl.include-info takes no keys: {text}"
            ));
        }
    };
    Ok(Sysctl {
        name: name.to_owned(),
        keys,
        numeric,
    })
}

pub fn new(args: &Args) -> Result<Collector, String> {
    let mut all = Vec::new();
    for (flag, numeric) in [
        ("collector.sysctl.include", true),
        ("collector.sysctl.include-info", false),
    ] {
        for text in args.list(flag).iter().filter(|text| !text.is_empty()) {
            all.push(parse(text, numeric)?);
        }
    }
    Ok(Box::new(move |files, out| {
        all.iter().try_for_each(|sysctl| sysctl.collect(files, out))
    }))
}

/// A metric's name of a sysctl's or key's.
fn metric(name: &str) -> String {
    name.replace(|c: char| !c.is_ascii_alphanumeric(), "_")
}

impl Sysctl {
    fn collect(&self, files: &mut Files, out: &mut Page) -> Outcome {
        let path = format!("sys/{}", self.name.replace('.', "/"));
        let text = files.proc(&path)?;
        let fields: Vec<&str> = text.split_whitespace().collect();
        if !self.numeric {
            for (index, value) in fields.iter().enumerate() {
                out.gauge(
                    "node_sysctl_info",
                    "sysctl info",
                    &[
                        ("name", &self.name),
                        ("value", value),
                        ("index", &index.to_string()),
                    ],
                    1.0,
                );
            }
            return Ok(());
        }
        if !self.keys.is_empty() && self.keys.len() != fields.len() {
            return Err(CollectError::Other(format!(
                "expected {} fields in {}, found {}",
                self.keys.len(),
                self.name,
                fields.len()
            )));
        }
        let base = format!("node_sysctl_{}", metric(&self.name));
        for (index, field) in fields.iter().enumerate() {
            let value = field
                .parse()
                .map_err(|_| CollectError::invalid("sysctl value", field))?;
            let plain = format!("sysctl {}", self.name);
            match self.keys.get(index) {
                Some(key) => {
                    let help = format!("{plain}, field {index}");
                    out.untyped(&format!("{base}_{}", metric(key)), &help, &[], value);
                }
                None if fields.len() == 1 => out.untyped(&base, &plain, &[], value),
                None => out.untyped(&base, &plain, &[("index", &index.to_string())], value),
            }
        }
        Ok(())
    }
}
