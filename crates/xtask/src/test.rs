//! `cargo xtask test`: what CI runs, in its order, with one table at the end.

use std::io::{BufRead, BufReader};
use std::process::{ExitCode, Stdio};
use std::time::{Duration, Instant};

use crate::cargo;

/// A step: its name, what it runs, whether it needs minutes.
struct Step {
    name: &'static str,
    args: &'static [&'static str],
    slow: bool,
}

const STEPS: [Step; 5] = [
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
    // With a whole workspace cargo builds what any crate asks for; the agents ask for less.
    Step {
        name: "without automata",
        args: &["test", "--package", "golang", "--lib"],
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
        let outcome = match cargo_test(step.args)? {
            None => "ok",
            Some(failed) if step.slow && !failed.is_empty() => again(&failed)?,
            Some(_) => "FAILED",
        };
        outcomes.push((step.name, outcome, begun.elapsed()));
    }
    println!("\n{:<24}{:<20}{:>8}", "step", "outcome", "time");
    for (name, outcome, time) in &outcomes {
        println!("{name:<24}{outcome:<20}{:>7.1}s", time.as_secs_f64());
    }
    let failed = outcomes
        .iter()
        .any(|(_, outcome, _)| outcome.starts_with("FAILED"));
    Ok(if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// Runs cargo and shows what it says. `None` if all went well, otherwise the test targets that cargo
/// names as failed at the end (none where the build itself failed).
fn cargo_test(args: &[&str]) -> Result<Option<Vec<String>>, String> {
    let mut child = cargo()
        .args(args)
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("cannot run cargo: {error}"))?;
    let mut failed = Vec::new();
    let stderr = child.stderr.take().map(BufReader::new);
    for line in stderr.into_iter().flat_map(BufRead::lines) {
        let line = line.map_err(|error| format!("cannot read what cargo says: {error}"))?;
        failed.extend(failed_target(&line));
        eprintln!("{line}");
    }
    let status = child
        .wait()
        .map_err(|error| format!("cannot wait for cargo: {error}"))?;
    Ok((!status.success()).then_some(failed))
}

/// What chooses the target in a line of cargo's closing list: "    `-p e2e --test kafka`".
fn failed_target(line: &str) -> Option<String> {
    let call = line.strip_prefix("    `-p e2e ")?.strip_suffix('`')?;
    Some(call.to_owned())
}

/// What talks to brokers, engines and browsers on a busy machine gets a second try, which the table
/// shows: such a test is to be looked into.
fn again(failed: &[String]) -> Result<&'static str, String> {
    println!("\n==> failed, once more: {}", failed.join(", "));
    let mut args = vec!["test", "--package", "e2e", "--no-fail-fast"];
    for target in failed {
        args.extend(target.split(' '));
    }
    Ok(match cargo_test(&args)? {
        None => "ok, second try",
        Some(_) => "FAILED twice",
    })
}

#[cfg(test)]
mod tests {
    use super::failed_target;

    #[test]
    fn only_the_closing_list_names_targets() {
        let named = |line| failed_target(line);
        let target = Some("--test kafka");
        assert_eq!(named("    `-p e2e --test kafka`").as_deref(), target);
        assert_eq!(named("    `-p e2e --lib`").as_deref(), Some("--lib"));
        assert_eq!(
            named("error: test failed, to rerun pass `-p e2e --test kafka`"),
            None
        );
        assert_eq!(named("error: 1 target failed:"), None);
    }
}
