//! textfile: metrics that others wrote into `*.prom` files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use exposition::{Family, LabelPairs, parse_families};
use model::names::ValidationScheme;
use service::Args;

use super::{Collector, Outcome};
use crate::files::{Files, list};
use crate::page::Page;

pub fn new(args: &Args) -> Result<Collector, String> {
    let directories: Vec<String> = args
        .list("collector.textfile.directory")
        .iter()
        .filter(|d| !d.is_empty())
        .cloned()
        .collect();
    Ok(Box::new(move |files, out| {
        collect(files, out, &directories)
    }))
}

/// The directories of a glob; the text itself where it matches nothing.
fn expand(pattern: &str) -> Vec<PathBuf> {
    let found: Vec<PathBuf> = glob::glob(pattern)
        .map(|paths| paths.flatten().collect())
        .unwrap_or_default();
    if found.is_empty() {
        vec![PathBuf::from(pattern)]
    } else {
        found
    }
}

fn collect(files: &mut Files, out: &mut Page, directories: &[String]) -> Outcome {
    let mut failed = false;
    let mut merged: BTreeMap<String, Merged> = BTreeMap::new();
    let mut times = Vec::new();
    for dir in directories.iter().flat_map(|pattern| expand(pattern)) {
        let names = list(&dir).unwrap_or_else(|error| {
            tracing::error!(path = %dir.display(), err = %error, "failed to read textfile collector directory");
            failed = true;
            Vec::new()
        });
        for name in names.iter().filter(|name| name.ends_with(".prom")) {
            let path = dir.join(name);
            match read(files, &path, &mut merged) {
                Ok(modified) => times.push((path, modified)),
                Err(error) => {
                    tracing::error!(file = name, err = error, "failed to collect textfile data");
                    failed = true;
                }
            }
        }
    }
    for (_, merged) in merged {
        let mut family = merged.family;
        if family.help.as_deref().unwrap_or_default().is_empty() {
            family.help = Some(format!("Metric read from {}", merged.paths.join(", ")));
        }
        complete(&mut family);
        out.push(family);
    }
    for (path, modified) in times {
        out.gauge(
            "node_textfile_mtime_seconds",
            "Unixtime mtime of textfiles successfully read.",
            &[("file", &path.to_string_lossy())],
            modified,
        );
    }
    out.gauge(
        "node_textfile_scrape_error",
        "1 if there was an error opening or reading a file, 0 otherwise",
        &[],
        if failed { 1.0 } else { 0.0 },
    );
    Ok(())
}

/// A family and the files it was read from.
struct Merged {
    family: Family,
    paths: Vec<String>,
}

/// Reads a file and adds its families, all or none; its time of change.
fn read(
    files: &mut Files,
    path: &Path,
    merged: &mut BTreeMap<String, Merged>,
) -> Result<f64, String> {
    let shown = path.display();
    let text = files
        .read(path)
        .map_err(|e| format!("failed to open textfile data file: {e}"))?;
    let families = parse_families(text.as_bytes(), ValidationScheme::Utf8)
        .map_err(|e| format!("failed to parse textfile data from \"{shown}\": {e}"))?;
    if families
        .iter()
        .flat_map(|f| &f.metrics)
        .any(|m| m.timestamp_ms.is_some())
    {
        return Err(format!(
            "textfile \"{shown}\" contains unsupported client-side timestamps, skipping entire file"
        ));
    }
    for family in &families {
        let Some(known) = merged.get(&family.name).map(|m| &m.family) else {
            continue;
        };
        let help = |f: &Family| f.help.clone().unwrap_or_default();
        if help(known) != help(family) || known.kind != family.kind {
            return Err(format!(
                "inconsistent metric help text or type: {}",
                family.name
            ));
        }
    }
    for family in families {
        let entry = merged.entry(family.name.clone()).or_insert_with(|| Merged {
            family: Family {
                metrics: Vec::new(),
                ..family.clone()
            },
            paths: Vec::new(),
        });
        entry.family.metrics.extend(family.metrics);
        entry.paths.push(shown.to_string());
    }
    let modified = std::fs::metadata(path)
        .and_then(|m| m.modified())
        .map_err(|e| e.to_string())?;
    Ok(modified
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs_f64())
}

/// Gives all metrics of a family the same label names, sorted: upstream adds empty ones.
fn complete(family: &mut Family) {
    let mut names: Vec<String> = family
        .metrics
        .iter()
        .flat_map(|m| m.labels.iter().map(|(name, _)| name.clone()))
        .collect();
    names.sort_unstable();
    names.dedup();
    for metric in &mut family.metrics {
        let all: LabelPairs = names
            .iter()
            .map(|name| {
                let value = metric.labels.iter().find(|(n, _)| n == name);
                (
                    name.clone(),
                    value.map(|(_, v)| v.clone()).unwrap_or_default(),
                )
            })
            .collect();
        metric.labels = all;
    }
}
