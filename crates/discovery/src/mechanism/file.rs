//! `file_sd_configs`: target groups in JSON and YAML files (prometheus/prometheus `discovery/file`).
//!
//! Files are read again when the system reports a change in their folders, and at an interval in case it
//! does not (network file systems). A file that cannot be read, or is not right, keeps its last groups.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant, UNIX_EPOCH};

use futures::future::BoxFuture;
use golang::regexp::Regexp;
use notify::{RecursiveMode, Watcher};
use serde::de::{Deserialize, Deserializer, Error as _};
use tokio::sync::mpsc;

use super::{Mechanism, Updates, vanished};
use crate::group::{TargetGroup, parse_groups_json, parse_groups_yaml};
use crate::metrics::Metrics;

/// A section of `file_sd_configs`.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct FileConfig {
    /// Paths; the last segment may hold wildcards.
    pub files: Vec<String>,
    pub refresh_interval: yaml_config::Duration,
}

#[derive(serde::Deserialize)]
#[serde(default, rename = "file.plain")]
struct Plain {
    files: Vec<String>,
    refresh_interval: yaml_config::Duration,
}

impl Default for Plain {
    fn default() -> Plain {
        Plain {
            files: Vec::new(),
            refresh_interval: yaml_config::Duration::from_secs(5 * 60),
        }
    }
}

impl<'de> Deserialize<'de> for FileConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<FileConfig, D::Error> {
        let plain = Plain::deserialize(deserializer)?;
        if plain.files.is_empty() {
            return Err(D::Error::custom(
                "file service discovery config must contain at least one path name",
            ));
        }
        for name in &plain.files {
            if !is_valid(name) {
                let name = golang::strconv::quote(name);
                return Err(D::Error::custom(format!(
                    "path name {name} is not valid for file discovery"
                )));
            }
        }
        Ok(FileConfig {
            files: plain.files,
            refresh_interval: plain.refresh_interval,
        })
    }
}

/// Wildcards in the last segment only, and an ending that names the notation.
fn is_valid(name: &str) -> bool {
    static PATTERN: OnceLock<Option<Regexp>> = OnceLock::new();
    PATTERN
        .get_or_init(|| Regexp::new(r"^[^*]*(\*[^/]*)?\.(json|yml|yaml|JSON|YML|YAML)$").ok())
        .as_ref()
        .is_some_and(|pattern| pattern.is_match(name))
}

impl FileConfig {
    /// The files there are, in order and each once.
    fn paths(&self) -> Vec<PathBuf> {
        let mut paths = BTreeSet::new();
        for pattern in &self.files {
            let path = Path::new(pattern);
            let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else {
                continue;
            };
            let name = name.to_string_lossy();
            if !name.contains(['*', '?', '[']) {
                if path.is_file() {
                    paths.insert(path.to_path_buf());
                }
                continue;
            }
            let dir = if dir.as_os_str().is_empty() {
                Path::new(".")
            } else {
                dir
            };
            for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
                let file = entry.file_name().to_string_lossy().into_owned();
                if wildcard(name.as_bytes(), file.as_bytes()) {
                    paths.insert(path.with_file_name(file));
                }
            }
        }
        paths.into_iter().collect()
    }

    /// The folders that have to be watched.
    fn folders(&self) -> BTreeSet<PathBuf> {
        let folder = |file: &String| match Path::new(file).parent() {
            Some(dir) if !dir.as_os_str().is_empty() => dir.to_path_buf(),
            _ => PathBuf::from("."),
        };
        self.files.iter().map(folder).collect()
    }
}

/// Whether a name matches a shell pattern of `*`, `?` and `[...]` (Go's `filepath.Match`).
fn wildcard(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern, name) {
        ([], []) => true,
        ([b'*', rest @ ..], _) => {
            // A leading dot has no special meaning in Go.
            (0..=name.len()).any(|skipped| wildcard(rest, &name[skipped..]))
        }
        ([b'?', rest @ ..], [_, name @ ..]) => wildcard(rest, name),
        ([b'[', class @ ..], [byte, name @ ..]) => {
            let Some(end) = class
                .iter()
                .skip(1)
                .position(|b| *b == b']')
                .map(|end| end + 1)
            else {
                return false;
            };
            let (class, rest) = (&class[..end], &class[end + 1..]);
            let (negated, class) = match class {
                [b'^', class @ ..] => (true, class),
                class => (false, class),
            };
            in_class(class, *byte) != negated && wildcard(rest, name)
        }
        ([b'\\', literal, rest @ ..], [byte, name @ ..]) => literal == byte && wildcard(rest, name),
        ([literal, rest @ ..], [byte, name @ ..]) => literal == byte && wildcard(rest, name),
        _ => false,
    }
}

fn in_class(mut class: &[u8], byte: u8) -> bool {
    while let [first, rest @ ..] = class {
        if let [b'-', last, rest @ ..] = rest {
            if (*first..=*last).contains(&byte) {
                return true;
            }
            class = rest;
        } else {
            if *first == byte {
                return true;
            }
            class = rest;
        }
    }
    false
}

impl Mechanism for FileConfig {
    fn resolve_paths(&mut self, dir: &Path) {
        for file in &mut self.files {
            if !file.is_empty() && !Path::new(file.as_str()).is_absolute() {
                *file = dir.join(&*file).to_string_lossy().into_owned();
            }
        }
    }

    fn run(self: Box<Self>, updates: Updates, metrics: Metrics) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            let (sender, mut changes) = mpsc::channel(1);
            // Lives as long as this future: dropped, it stops watching.
            let mut watcher = watcher(sender, &metrics);
            let mut last = BTreeMap::new();
            let mut ticks =
                tokio::time::interval((*self.refresh_interval).max(Duration::from_millis(1)));
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    _ = ticks.tick() => {}
                    Some(()) = changes.recv() => {
                        // A file is often written in several steps.
                        tokio::time::sleep(Duration::from_millis(50)).await;
                        while changes.try_recv().is_ok() {}
                    }
                }
                // Folders may have come into being since the last time.
                watch(&mut watcher, &self.folders(), &metrics);
                let groups;
                (last, groups) =
                    read_all(self.clone(), last, metrics.clone(), updates.clone()).await;
                if !updates.send(groups).await {
                    return;
                }
            }
        })
    }
}

struct Watched {
    watcher: notify::RecommendedWatcher,
    folders: BTreeSet<PathBuf>,
}

fn watcher(changes: mpsc::Sender<()>, metrics: &Metrics) -> Option<Watched> {
    let errors = metrics.file_watcher_errors.clone();
    let report = move |event: notify::Result<notify::Event>| match event {
        // Reading a file is an event too, and not one to read it for.
        Ok(event) if event.kind.is_access() => {}
        // One waiting notice is enough.
        Ok(_) => drop(changes.try_send(())),
        Err(_) => errors.inc(),
    };
    match notify::recommended_watcher(report) {
        Ok(watcher) => Some(Watched {
            watcher,
            folders: BTreeSet::new(),
        }),
        Err(error) => {
            metrics.file_watcher_errors.inc();
            tracing::error!(discovery = "file", err = %error, "Error adding file watcher");
            None
        }
    }
}

fn watch(watched: &mut Option<Watched>, folders: &BTreeSet<PathBuf>, metrics: &Metrics) {
    let Some(watched) = watched else {
        return;
    };
    for folder in folders {
        if watched.folders.contains(folder) || !folder.is_dir() {
            continue;
        }
        match watched.watcher.watch(folder, RecursiveMode::NonRecursive) {
            Ok(()) => {
                watched.folders.insert(folder.clone());
            }
            Err(error) => {
                metrics.file_watcher_errors.inc();
                tracing::error!(discovery = "file", path = %folder.display(), err = %error, "Error adding file watch");
            }
        }
    }
}

/// How many groups each file had.
type Known = BTreeMap<PathBuf, usize>;

async fn read_all(
    config: Box<FileConfig>,
    last: Known,
    metrics: Metrics,
    updates: Updates,
) -> (Known, Vec<TargetGroup>) {
    let fallback = last.clone();
    let work = move || read_all_blocking(&config, &last, &metrics, &updates);
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|_| (fallback, Vec::new()))
}

fn read_all_blocking(
    config: &FileConfig,
    last: &Known,
    metrics: &Metrics,
    updates: &Updates,
) -> (Known, Vec<TargetGroup>) {
    let begin = Instant::now();
    let mut known = Known::new();
    let mut groups = Vec::new();
    let mut kept = BTreeSet::new();
    for path in config.paths() {
        let shown = path.to_string_lossy();
        match read(&path, metrics) {
            Ok(read) => {
                updates.recovered(&shown);
                known.insert(path, read.len());
                groups.extend(read);
            }
            Err(error) => {
                metrics.file_read_errors.inc();
                updates.failed("file", &shown, &format!("Error reading file: {error}"));
                let count = last.get(&path).copied().unwrap_or(0);
                kept.extend((0..count).map(|i| source(&path, i)));
                known.insert(path, count);
            }
        }
    }
    let before = last
        .iter()
        .flat_map(|(path, count)| (0..*count).map(move |i| source(path, i)))
        .filter(|source| !kept.contains(source))
        .collect();
    groups.extend(vanished(&before, &groups));
    for path in last.keys().filter(|path| !known.contains_key(*path)) {
        let shown = path.to_string_lossy();
        metrics.file_mtime.remove(&[&shown]);
        updates.recovered(&shown);
    }
    metrics.file_scan_duration.observe_duration(begin.elapsed());
    (known, groups)
}

fn source(path: &Path, index: usize) -> String {
    format!("{}:{index}", path.display())
}

fn read(path: &Path, metrics: &Metrics) -> Result<Vec<TargetGroup>, String> {
    let text = std::fs::read(path).map_err(|error| error.to_string())?;
    let name = path.to_string_lossy();
    let is_json = path
        .extension()
        .is_some_and(|ending| ending.eq_ignore_ascii_case("json"));
    let sections = if is_json {
        parse_groups_json(&text)?
    } else {
        let text = String::from_utf8(text).map_err(|error| error.to_string())?;
        parse_groups_yaml(&text)?
    };
    let modified = path.metadata().and_then(|metadata| metadata.modified());
    if let Some(age) = modified
        .ok()
        .and_then(|at| at.duration_since(UNIX_EPOCH).ok())
    {
        metrics.file_mtime.with(&[&name]).set(age.as_secs_f64());
    }
    let group = |(i, section): (usize, crate::GroupSection)| {
        section.into_group(source(path, i), &[("__meta_filepath", &name)])
    };
    Ok(sections.into_iter().enumerate().map(group).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_names() {
        for (name, valid) in [
            ("a.json", true),
            ("a/*.yml", true),
            ("a/b*c.YAML", true),
            ("a/*/b.json", false),
            ("a.txt", false),
            ("*", false),
        ] {
            assert_eq!(is_valid(name), valid, "{name}");
        }
        for (pattern, name, matches) in [
            ("*.yml", "a.yml", true),
            ("*.yml", "a.yaml", false),
            ("a?[b-d].yml", "axc.yml", true),
            ("a[^b].yml", "ab.yml", false),
            ("*a*b*", "xxaxxbxx", true),
        ] {
            assert_eq!(
                wildcard(pattern.as_bytes(), name.as_bytes()),
                matches,
                "{pattern} {name}"
            );
        }
    }
}
