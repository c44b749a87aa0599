//! amtool: Alertmanager's command line tool, for alert-router and for Alertmanager.
//!
//! [`grammar`] says which commands and flags there are, [`cli`] reads a command line by it (with
//! defaults of [`settings`]), [`commands`] does what was asked through [`client`], and [`format`]
//! prints. Routing, matchers and templates are alert-router's own.

mod cli;
mod client;
mod commands;
mod format;
mod grammar;
mod help;
mod models;
mod settings;

use std::process::ExitCode;

use cli::Outcome;

fn main() -> ExitCode {
    // Only fails if another provider is there already; either does.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match run() {
        Ok(code) => code,
        Err(message) => {
            eprintln!("amtool: error: {message}\n");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<ExitCode, String> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let defaults = settings::load(&settings::files())?;
    let invocation = match cli::parse(&words, &defaults)? {
        Outcome::Run(invocation) => invocation,
        Outcome::Help(command) => {
            print!("{}", help::usage(command));
            return Ok(ExitCode::SUCCESS);
        }
        Outcome::Version => {
            println!("{}", service::version::print_name("amtool"));
            return Ok(ExitCode::SUCCESS);
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| e.to_string())?;
    runtime.block_on(async {
        let timeout = invocation.duration("timeout")?;
        tokio::time::timeout(timeout, commands::run(&invocation))
            .await
            .unwrap_or_else(|_| Err("context deadline exceeded".to_owned()))
    })
}
