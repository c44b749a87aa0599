//! `test rules`: rule unit tests.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Instant;

use golang::regexp::Regexp;
use rules::CheckOptions;
use rules::unit_test::{GroupVerdict, RuleText, RunOptions, TestFile};
use service::flags::{AppStop, Call};

use crate::output::open_error;
use crate::{FAILURE, Features};

/// A file and what came of its groups.
struct Suite<'a> {
    file: &'a str,
    timestamp: String,
    verdicts: Vec<GroupVerdict>,
}

/// `test rules`.
pub fn run(call: &Call, features: Features) -> Result<u8, AppStop> {
    let mut options = RunOptions {
        diff: call.flags.bool("diff"),
        dump: call.flags.bool("debug"),
        ignore_unknown_fields: call.flags.bool("ignore-unknown-fields"),
        check: CheckOptions {
            features: features.promql,
            ..CheckOptions::default()
        },
        delayed_name_removal: features.delayed_name_removal,
        ..RunOptions::default()
    };
    for pattern in call.flags.list("run") {
        let pattern = Regexp::new(pattern).map_err(|e| AppStop::Error(format!("--run: {e}")))?;
        options.run.push(pattern);
    }
    let mut suites = Vec::new();
    let mut code = 0;
    for file in call.words("test-rule-file") {
        let timestamp = jiff::Timestamp::now()
            .strftime("%Y-%m-%dT%H:%M:%S")
            .to_string();
        let (errors, verdicts) = match run_file(file, &options) {
            Ok(verdicts) => {
                let errors = verdicts.iter().flat_map(|v| v.errors.clone()).collect();
                (errors, verdicts)
            }
            Err(error) => (vec![error], Vec::new()),
        };
        if errors.is_empty() {
            println!("  SUCCESS");
        } else {
            eprintln!("  FAILED:");
            for error in &errors {
                eprintln!("{error}");
                println!();
            }
            code = FAILURE;
        }
        println!();
        suites.push(Suite {
            file,
            timestamp,
            verdicts,
        });
    }
    if let Some(path) = call.flags.get("junit") {
        std::fs::write(path, junit(&suites)).map_err(|e| AppStop::Error(open_error(path, &e)))?;
    }
    Ok(code)
}

fn run_file(path: &str, options: &RunOptions) -> Result<Vec<GroupVerdict>, String> {
    let text = std::fs::read_to_string(path).map_err(|e| open_error(path, &e))?;
    let file = TestFile::parse(&text)?;
    let dir = Path::new(path).parent().unwrap_or(Path::new(""));
    let mut rules = Vec::new();
    for pattern in &file.rule_files {
        let pattern = match Path::new(pattern).is_absolute() || pattern.is_empty() {
            true => pattern.clone(),
            false => dir.join(pattern).display().to_string(),
        };
        let found = glob::glob(&pattern).map_err(|e| format!("{pattern}: {e}"))?;
        let before = rules.len();
        for path in found {
            let path = path.map_err(|e| e.to_string())?.display().to_string();
            let text = std::fs::read_to_string(&path).map_err(|e| open_error(&path, &e));
            rules.push(RuleText { path, text });
        }
        if rules.len() == before {
            eprintln!("  WARNING: no file match pattern {pattern}");
        }
    }
    if !options.dump {
        return Ok(file.run(&rules, options));
    }
    // One group after the other, so that each is framed by what is said of it.
    let mut verdicts = Vec::new();
    for (i, test) in file.tests.iter().enumerate() {
        let name = match test.name.as_str() {
            "" => format!("unnamed#{i}"),
            name => name.to_owned(),
        };
        let started = Instant::now();
        let one = TestFile {
            tests: vec![test.clone()],
            ..file.clone()
        };
        for mut verdict in one.run(&rules, options) {
            verdict.name.clone_from(&name);
            println!("DEBUG: Starting test {name}");
            if let Some(dump) = &verdict.dump {
                println!("DEBUG: {}", dump.trim_end_matches('\n'));
            }
            println!("DEBUG: Test {name} finished, took {:?}", started.elapsed());
            verdicts.push(verdict);
        }
    }
    Ok(verdicts)
}

/// Results in JUnit's XML.
fn junit(suites: &[Suite<'_>]) -> String {
    let mut out = String::from("<testsuites>");
    for suite in suites {
        // Upstream counts what failed, not the tests that it failed in.
        let failures: usize = suite.verdicts.iter().map(|v| v.errors.len()).sum();
        let _ = write!(
            out,
            "<testsuite name=\"{}\" tests=\"{}\" failures=\"{failures}\" errors=\"0\" skipped=\"0\" timestamp=\"{}\">",
            escape(suite.file),
            suite.verdicts.len(),
            suite.timestamp
        );
        for verdict in &suite.verdicts {
            let _ = write!(out, "<testcase name=\"{}\">", escape(&verdict.name));
            for error in &verdict.errors {
                let _ = write!(out, "<failure>{}</failure>", escape(error));
            }
            out.push_str("</testcase>");
        }
        out.push_str("</testsuite>");
    }
    out.push_str("</testsuites>");
    out
}

/// As Go's `encoding/xml` escapes texts.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\t' => out.push_str("&#x9;"),
            '\n' => out.push_str("&#xA;"),
            '\r' => out.push_str("&#xD;"),
            c if c < ' ' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}
