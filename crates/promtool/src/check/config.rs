//! `check config`: whether a configuration loads, and the files it names with it.

use std::path::Path;

use golang::strconv::quote;
use http_client::HttpClientConfig;
use prometheus_config::{Config, LoadOptions};
use scrape::ScrapeConfig;
use service::flags::Call;

use super::rules::{Found, Lint, check_files};
use crate::Features;
use crate::output::os_words;

/// `check config`.
pub fn run(call: &Call, features: Features) -> u8 {
    let lint = Lint::of_flags(call, true);
    let syntax_only = call.flags.bool("syntax-only");
    let options = LoadOptions {
        agent: call.flags.bool("agent"),
        ..LoadOptions::default()
    };
    let mut found = Found::default();
    for file in call.words("config-files") {
        println!("Checking {file}");
        let loaded = Config::load(file.as_ref(), &options).map_err(|e| e.to_string());
        let checked = loaded.and_then(|config| {
            let rule_files = check(&config, syntax_only)?;
            Ok((config, rule_files))
        });
        let (config, rule_files) = match checked {
            Ok(checked) => checked,
            Err(error) => {
                eprintln!("  FAILED: {error}");
                found.errors = true;
                println!();
                continue;
            }
        };
        if !rule_files.is_empty() {
            println!("  SUCCESS: {} rule files found", rule_files.len());
        }
        println!(" SUCCESS: {file} is valid prometheus config file syntax");
        println!();
        if lint.long_scrape_interval {
            let lookback_ms = call.flags.duration("query.lookback-delta").as_millis() as i64;
            lint_intervals(&config, lookback_ms, &mut found);
        }
        check_files(&rule_files, lint, features, &mut found);
    }
    lint.exit_code(found)
}

/// Checks the files that the configuration names; the rule files among them.
fn check(config: &Config, syntax_only: bool) -> Result<Vec<String>, String> {
    let mut rule_files = Vec::new();
    for pattern in config.rule_files.iter().filter(|_| !syntax_only) {
        let paths = paths(pattern)?;
        if paths.is_empty() && !pattern.contains('*') {
            return Err(format!(
                "{} does not point to an existing file",
                quote(pattern)
            ));
        }
        rule_files.extend(paths);
    }
    for job in config.all_scrape_configs() {
        check_client(&job.http, syntax_only)?;
        check_job(&job, syntax_only)?;
    }
    for set in config
        .alerting
        .alertmanagers
        .iter()
        .filter(|_| !syntax_only)
    {
        check_target_files(&set.discovery, "alertmanager config")?;
    }
    Ok(rule_files)
}

fn paths(pattern: &str) -> Result<Vec<String>, String> {
    let found = glob::glob(pattern).map_err(|e| format!("{pattern}: {e}"))?;
    found
        .map(|path| match path {
            Ok(path) => Ok(path.display().to_string()),
            Err(error) => Err(error.to_string()),
        })
        .collect()
}

fn exists(path: &Path) -> Result<(), String> {
    match path.metadata() {
        _ if path.as_os_str().is_empty() => Ok(()),
        Ok(_) => Ok(()),
        Err(error) => Err(format!("stat {}: {}", path.display(), os_words(&error))),
    }
}

fn check_client(http: &HttpClientConfig, syntax_only: bool) -> Result<(), String> {
    let shown = |path: &Path| quote(&path.display().to_string());
    let tls = &http.tls_config;
    let (cert, key) = (&tls.cert_file, &tls.key_file);
    let (has_cert, has_key) = (!cert.as_os_str().is_empty(), !key.as_os_str().is_empty());
    if has_cert && !has_key && tls.key.is_empty() {
        return Err(format!(
            "client cert file {} specified without client key file",
            shown(cert)
        ));
    }
    if has_key && !has_cert && tls.cert.is_empty() {
        return Err(format!(
            "client key file {} specified without client cert file",
            shown(key)
        ));
    }
    if syntax_only {
        return Ok(());
    }
    if let Some(authorization) = &http.authorization {
        let file = &authorization.credentials_file;
        exists(file).map_err(|e| {
            format!(
                "error checking authorization credentials or bearer token file {}: {e}",
                shown(file)
            )
        })?;
    }
    for (what, file) in [("cert", cert), ("key", key)] {
        exists(file)
            .map_err(|e| format!("error checking client {what} file {}: {e}", shown(file)))?;
    }
    Ok(())
}

fn check_job(job: &ScrapeConfig, syntax_only: bool) -> Result<(), String> {
    if syntax_only {
        return Ok(());
    }
    let place = format!("scrape job {}", quote(job.job_name()));
    check_target_files(&job.discovery, &place)
}

/// Reads the files of `file_sd_configs`; those that are not there are named only.
fn check_target_files(discovery: &discovery::Configs, place: &str) -> Result<(), String> {
    for pattern in discovery
        .file_sd_configs
        .iter()
        .flat_map(|config| &config.files)
    {
        let files = paths(pattern)?;
        if files.is_empty() {
            println!(
                "  WARNING: file {} for file_sd in {place} does not exist",
                quote(pattern)
            );
        }
        for file in files {
            let read =
                std::fs::read_to_string(&file).map_err(|e| crate::output::open_error(&file, &e));
            read.and_then(|text| check_targets(&file, &text))
                .map_err(|e| format!("checking SD file {}: {e}", quote(pattern)))?;
        }
    }
    Ok(())
}

fn check_targets(file: &str, text: &str) -> Result<(), String> {
    let parsed = if file.to_lowercase().ends_with(".json") {
        discovery::parse_groups_json(text.as_bytes())
    } else {
        discovery::parse_groups_yaml(text)
    };
    parsed.map(drop).map_err(|e| e.to_string())
}

/// Names jobs whose samples are stale before the next one comes.
fn lint_intervals(config: &Config, lookback_ms: i64, found: &mut Found) {
    for job in config.all_scrape_configs() {
        let interval = job.section.scrape_interval;
        if interval.as_ms() >= lookback_ms {
            eprintln!(
                "  FAILED: too long scrape interval found, data point will be marked as stale - job: {}, interval: {interval}",
                job.job_name()
            );
            found.lint = true;
        }
    }
}
