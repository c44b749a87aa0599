//! The target files of the conformance set `prometheus-config`.

use std::process::ExitCode;

use conformance::Case;
use discovery::{parse_groups_json, parse_groups_yaml};

fn main() -> ExitCode {
    conformance::run("prometheus-config/file_sd", |dir| {
        let mut paths: Vec<_> = std::fs::read_dir(dir)
            .expect("the set is readable")
            .map(|entry| entry.expect("an entry").path())
            .collect();
        paths.sort();
        let case = |path: std::path::PathBuf| {
            let name = path
                .file_name()
                .map(|name| name.to_string_lossy().into_owned());
            let name = name.unwrap_or_default();
            let invalid = name.starts_with("invalid");
            Case::new(name, move || {
                let text = std::fs::read_to_string(&path).expect("the file is readable");
                let result = if path.extension().is_some_and(|e| e == "json") {
                    parse_groups_json(text.as_bytes())
                } else {
                    parse_groups_yaml(&text)
                };
                match result {
                    Ok(groups) if invalid => Err(format!("accepted as {groups:?}")),
                    Err(error) if !invalid => Err(error),
                    Ok(groups) if groups.is_empty() => Err("no groups".to_owned()),
                    _ => Ok(()),
                }
            })
        };
        paths.into_iter().map(case).collect()
    })
}
