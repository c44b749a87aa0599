//! The configuration file: defaults of flags.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// Where it may be; what an earlier one says counts. The last two are where Debian has it.
pub fn files() -> Vec<PathBuf> {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let at_home = |path: &str| home.as_ref().map(|home| home.join(path));
    [
        at_home(".config/amtool/config.yml"),
        Some(PathBuf::from("/etc/amtool/config.yml")),
        at_home(".config/prometheus/amtool.yml"),
        Some(PathBuf::from("/etc/prometheus/amtool.yml")),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Reads those that are there.
///
/// # Errors
/// A file that cannot be read or is no map of texts.
pub fn load(files: &[PathBuf]) -> Result<BTreeMap<String, String>, String> {
    let mut all = BTreeMap::new();
    for file in files {
        let text = match std::fs::read_to_string(file) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
            Err(e) => {
                return Err(format!(
                    "could not load config file: {}: {e}",
                    file.display()
                ));
            }
        };
        let read: Option<BTreeMap<String, String>> = yaml_config::from_str(&text)
            .map_err(|e| format!("could not load config file: {}: {e}", file.display()))?;
        for (name, value) in read.unwrap_or_default() {
            // An old name.
            let name = match name.as_str() {
                "comment_required" => "require-comment".to_owned(),
                _ => name,
            };
            all.entry(name).or_insert(value);
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn earlier_files_count() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let files = [
            file("a", "author: me\ncomment_required: false\n"),
            dir.path().join("missing"),
            file("b", "author: you\noutput: \"json\"\n"),
            file("empty", ""),
        ];
        let wanted = [
            ("author", "me"),
            ("output", "json"),
            ("require-comment", "false"),
        ];
        let wanted = wanted.map(|(k, v)| (k.to_owned(), v.to_owned()));
        assert_eq!(load(&files).unwrap(), BTreeMap::from(wanted));
        let error = load(&[file("bad", "- a\n- b\n")]).unwrap_err();
        assert!(error.starts_with("could not load config file: "), "{error}");
    }
}
