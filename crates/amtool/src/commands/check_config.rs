//! `check-config`.

use std::io::IsTerminal;
use std::path::Path;

use alert_router::config::Config;
use alert_router::live;
use alert_router::matcher::Mode;

pub fn run(files: &[String], mode: Mode) -> Result<(), String> {
    let stdin = ["/dev/stdin".to_owned()];
    let files = if files.is_empty() {
        if std::io::stdin().is_terminal() {
            return Err("Failed to read from standard input".to_owned());
        }
        &stdin
    } else {
        files
    };
    let mut failed = 0;
    for file in files {
        print!("Checking '{file}'");
        let checked = match read(Path::new(file), mode) {
            Ok(config) => {
                println!("  SUCCESS");
                show(&config)
            }
            Err(error) => {
                println!("  FAILED: {error}");
                false
            }
        };
        failed += usize::from(!checked);
        println!();
    }
    if failed > 0 {
        return Err(format!("failed to validate {failed} file(s)"));
    }
    Ok(())
}

/// A configuration as it stands in a file.
pub fn read(file: &Path, mode: Mode) -> Result<Config, String> {
    let text = std::fs::read_to_string(file).map_err(|e| format!("{}: {e}", file.display()))?;
    let directory = file.parent().unwrap_or(Path::new(""));
    Config::parse(&text, mode, directory).map_err(|e| e.message().to_owned())
}

/// What was found; says whether the templates are fine.
fn show(config: &Config) -> bool {
    println!("Found:\n - global config\n - route");
    println!(" - {} inhibit rules", config.inhibit_rules.len());
    println!(" - {} receivers", config.file.receivers.len());
    println!(" - {} templates", config.templates.len());
    for receiver in &config.file.receivers {
        if let Err(error) = live::check_can_send(receiver) {
            eprintln!("Warning: alert-router refuses this configuration: {error}");
        }
    }
    if config.templates.is_empty() {
        return true;
    }
    match live::templates(&config.templates) {
        Ok(_) => {
            println!("  SUCCESS");
            true
        }
        Err(error) => {
            println!("  FAILED: {error}");
            false
        }
    }
}
