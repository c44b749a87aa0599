//! `check rules`: whether rule files load, and what is doubtful in them.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use golang::strconv::quote;
use rules::{CheckOptions, RuleFile};
use service::flags::Call;

use crate::output::open_error;
use crate::{FAILURE, Features, LINT};

/// What is looked for besides errors.
#[derive(Clone, Copy, Default)]
pub struct Lint {
    pub duplicate_rules: bool,
    pub long_scrape_interval: bool,
    pub fatal: bool,
    pub ignore_unknown_fields: bool,
}

impl Lint {
    /// The flags `--lint`, `--lint-fatal` and `--ignore-unknown-fields`; unknown words are named.
    pub fn of_flags(call: &Call, of_config: bool) -> Lint {
        let mut lint = Lint {
            fatal: call.flags.bool("lint-fatal"),
            ignore_unknown_fields: call.flags.bool("ignore-unknown-fields"),
            ..Lint::default()
        };
        for word in call.flags.str("lint").split(',') {
            match word {
                "all" => {
                    lint.duplicate_rules = true;
                    lint.long_scrape_interval = of_config;
                }
                "duplicate-rules" => lint.duplicate_rules = true,
                "too-long-scrape-interval" if of_config => lint.long_scrape_interval = true,
                "none" => {}
                other => println!("WARNING: unknown lint option: {}", quote(other)),
            }
        }
        lint
    }

    /// The exit code for what was found.
    pub fn exit_code(self, found: Found) -> u8 {
        match found {
            Found { errors: true, .. } => FAILURE,
            Found { lint: true, .. } if self.fatal => LINT,
            _ => 0,
        }
    }
}

/// Whether there were errors, and doubtful things.
#[derive(Clone, Copy, Default)]
pub struct Found {
    pub errors: bool,
    pub lint: bool,
}

/// `check rules`.
pub fn run(call: &Call, features: Features) -> u8 {
    let lint = Lint::of_flags(call, false);
    let files = call.words("rule-files");
    let mut found = Found::default();
    if files.is_empty() {
        println!("Checking standard input");
        let mut text = String::new();
        match std::io::stdin().read_to_string(&mut text) {
            Ok(_) => check_text(&text, "", lint, features, &mut found),
            Err(error) => {
                eprintln!("  FAILED: {error}");
                found.errors = true;
            }
        }
    }
    check_files(files, lint, features, &mut found);
    lint.exit_code(found)
}

/// Checks rule files one by one.
pub fn check_files<S: AsRef<str>>(files: &[S], lint: Lint, features: Features, found: &mut Found) {
    for file in files {
        let file = file.as_ref();
        println!("Checking {file}");
        match std::fs::read_to_string(file) {
            Ok(text) => check_text(&text, &format!("{file}: "), lint, features, found),
            Err(error) => {
                eprintln!("  FAILED:\n{file}: {}", open_error(file, &error));
                found.errors = true;
            }
        }
    }
}

/// Checks the text of a rule file; `prefix` comes before each error.
fn check_text(text: &str, prefix: &str, lint: Lint, features: Features, found: &mut Found) {
    let options = CheckOptions {
        features: features.promql,
        ..CheckOptions::default()
    };
    let parsed = if lint.ignore_unknown_fields {
        RuleFile::parse_ignoring_unknown(text, &options)
    } else {
        RuleFile::parse(text, &options)
    };
    let file = match parsed {
        Ok(file) => file,
        Err(errors) => {
            eprintln!("  FAILED:");
            for error in errors {
                eprintln!("{prefix}{error}");
            }
            found.errors = true;
            return;
        }
    };
    let doubles = if lint.duplicate_rules {
        duplicates(&file)
    } else {
        Vec::new()
    };
    if doubles.is_empty() {
        let count: usize = file.groups.iter().map(|group| group.rules.len()).sum();
        println!("  SUCCESS: {count} rules found");
    } else {
        eprintln!(
            "  FAILED:\nlint error {} duplicate rule(s) found.",
            doubles.len()
        );
        for (name, labels) in doubles {
            eprintln!("Metric: {name}\nLabel(s):");
            for (label, value) in labels {
                eprintln!("\t{label}: {value}");
            }
        }
        eprintln!("Might cause inconsistency while recording expressions");
        found.lint = true;
    }
    println!();
}

/// Rules that another one has the name and labels of, each once, in order.
fn duplicates(file: &RuleFile) -> Vec<(String, BTreeMap<String, String>)> {
    let mut seen = BTreeSet::new();
    let mut twice = BTreeSet::new();
    for rule in file.groups.iter().flat_map(|group| &group.rules) {
        let key = (rule.name().to_owned(), rule.labels.clone());
        if !seen.insert(key.clone()) {
            twice.insert(key);
        }
    }
    twice.into_iter().collect()
}
