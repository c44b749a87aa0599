//! `cargo xtask test`: what CI runs, in its order, with one table at the end.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::cargo;

/// A step: its name, what it runs, whether it needs minutes.
struct Step {
    name: &'static str,
    args: &'static [&'static str],
    slow: bool,
}

const STEPS: [Step; 4] = [
    Step {
        name: "format",
        args: &["fmt", "--all", "--check"],
        slow: false,
    },
    Step {
        name: "clippy",
        args: &[
            "clippy",
            "--workspace",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ],
        slow: false,
    },
    Step {
        name: "unit and conformance",
        args: &["test", "--workspace", "--exclude", "e2e", "--no-fail-fast"],
        slow: false,
    },
    Step {
        name: "end-to-end",
        args: &["test", "--package", "e2e", "--no-fail-fast"],
        slow: true,
    },
];

/// Runs all steps, also after one that failed.
pub fn run(args: &[String]) -> Result<ExitCode, String> {
    let fast = match args {
        [] => false,
        [flag] if flag == "--fast" => true,
        [other, ..] => {
            return Err(format!(
                "test: unknown argument {other:?}, --fast is all there is"
            ));
        }
    };
    let mut outcomes: Vec<(&str, &str, Duration)> = Vec::new();
    for step in &STEPS {
        if fast && step.slow {
            outcomes.push((step.name, "left out (--fast)", Duration::ZERO));
            continue;
        }
        println!("\n==> {}: cargo {}", step.name, step.args.join(" "));
        let begun = Instant::now();
        let status = cargo()
            .args(step.args)
            .status()
            .map_err(|error| format!("cannot run cargo: {error}"))?;
        let outcome = if status.success() { "ok" } else { "FAILED" };
        outcomes.push((step.name, outcome, begun.elapsed()));
    }
    println!("\n{:<24}{:<20}{:>8}", "step", "outcome", "time");
    for (name, outcome, time) in &outcomes {
        println!("{name:<24}{outcome:<20}{:>7.1}s", time.as_secs_f64());
    }
    let failed = outcomes.iter().any(|(_, outcome, _)| *outcome == "FAILED");
    Ok(if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}
