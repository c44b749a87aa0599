//! From a command line to [`Args`].

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::process::ExitCode;

use super::{Args, Entry, Flag, Kind, help, values};
use crate::{FlagStyle, Program};

/// Why parsing ended without arguments to run with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// `--help`, `--help-long`: print the usage.
    Help,
    /// `--version`.
    Version,
    /// The command line is wrong; kingpin's or Go's words.
    Error(String),
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stop::Help => f.write_str("help requested"),
            Stop::Version => f.write_str("version requested"),
            Stop::Error(message) => f.write_str(message),
        }
    }
}

impl Stop {
    /// Prints what was asked for, or the error as the program's upstream does, with its exit code.
    pub fn print(&self, program: &'static Program) -> ExitCode {
        let (message, usage) = match self {
            Stop::Help => {
                print!("{}", help::usage(program));
                return ExitCode::SUCCESS;
            }
            Stop::Version => {
                println!("{}", crate::version::print(program));
                return ExitCode::SUCCESS;
            }
            Stop::Error(message) => (message, help::usage(program)),
        };
        match program.style {
            FlagStyle::Kingpin => {
                eprintln!("{}: error: {message}, try --help", program.name);
                ExitCode::from(1)
            }
            FlagStyle::Prometheus => {
                eprint!("Error parsing command line arguments: {message}\n{usage}");
                ExitCode::from(2)
            }
            FlagStyle::Go => {
                eprint!("{message}\n{usage}");
                ExitCode::from(2)
            }
        }
    }
}

/// The flags of a program: its own, then the kit's it does not replace or leave out.
pub(crate) fn table(program: &Program) -> Vec<Flag> {
    let own: HashSet<&str> = program.flags.iter().map(|flag| flag.name).collect();
    let kit = crate::kit_flags::of(program)
        .into_iter()
        .filter(|flag| !own.contains(flag.name) && !program.without_flags.contains(&flag.name));
    program.flags.iter().copied().chain(kit).collect()
}

/// Parses a command line (without the program's name).
///
/// # Errors
/// [`Stop`]: help or version was asked for, or the line is wrong.
pub fn parse(program: &'static Program, args: &[String]) -> Result<Args, Stop> {
    parse_with(program, args, &|name| std::env::var(name).ok())
}

pub(super) fn parse_with(
    program: &'static Program,
    args: &[String],
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Args, Stop> {
    let table = table(program);
    let mut given: HashMap<&'static str, Vec<String>> = HashMap::new();
    let mut words = expand(args)?.into_iter().peekable();
    while let Some(word) = words.next() {
        let Some((name, dashes)) = split_dashes(&word, program.style) else {
            if word == "--" {
                match words.next() {
                    Some(rest) => return Err(Stop::Error(format!("unexpected {rest}"))),
                    None => break,
                }
            }
            return Err(Stop::Error(format!("unexpected {word}")));
        };
        let (name, attached) = match name.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (name, None),
        };
        if dashes == 1 && program.style != FlagStyle::Go {
            parse_short(&table, &word, &mut words, &mut given)?;
            continue;
        }
        if matches!(name, "help" | "help-long" | "help-man") || (name == "h" && dashes == 1) {
            return Err(Stop::Help);
        }
        if name == "version" {
            return Err(Stop::Version);
        }
        let Some((flag, negated)) = find(&table, name) else {
            return Err(unknown(program.style, name));
        };
        let value = match (flag.kind, attached) {
            (Kind::Bool, None) => (!negated).to_string(),
            (Kind::Bool, Some(value)) => match (values::parse(Kind::Bool, &value), negated) {
                (Ok(super::Value::Bool(on)), false) => on.to_string(),
                (Ok(_), _) => return Err(Stop::Error(format!("unexpected {value}"))),
                (Err(_), _) if program.style == FlagStyle::Go => {
                    return Err(Stop::Error(format!(
                        "invalid boolean value {} for -{name}: parse error",
                        golang::strconv::quote(&value)
                    )));
                }
                (Err(error), _) => return Err(Stop::Error(error)),
            },
            (_, Some(value)) => value,
            (_, None) => match words.next() {
                Some(value) if takes(&value, program.style) => value,
                _ if program.style == FlagStyle::Go => {
                    return Err(Stop::Error(format!("flag needs an argument: -{name}")));
                }
                _ => {
                    return Err(Stop::Error(format!(
                        "expected argument for flag '--{name}'"
                    )));
                }
            },
        };
        push(&mut given, flag, value, program.style)?;
    }
    resolve(&table, given, env, program.style)
}

/// `@file` stands for the lines of a file (kingpin's ExpandArgsFromFile).
pub(super) fn expand(args: &[String]) -> Result<Vec<String>, Stop> {
    let mut out = Vec::with_capacity(args.len());
    for arg in args {
        match arg.strip_prefix('@') {
            Some(path) if !path.is_empty() => {
                let text = std::fs::read_to_string(path)
                    .map_err(|error| Stop::Error(format!("cannot read {path}: {error}")))?;
                let lines = text
                    .lines()
                    .filter(|line| !line.is_empty() && !line.starts_with('#'));
                out.extend(lines.map(str::to_owned));
            }
            _ => out.push(arg.clone()),
        }
    }
    Ok(out)
}

/// A flag's name and how many dashes it came with; `None` if the word is no flag.
fn split_dashes(word: &str, style: FlagStyle) -> Option<(&str, usize)> {
    if let Some(name) = word.strip_prefix("--") {
        return (!name.is_empty()).then_some((name, 2));
    }
    let name = word.strip_prefix('-')?;
    if name.is_empty() {
        return None;
    }
    Some((
        name,
        if style == FlagStyle::Go && name.len() > 1 {
            2
        } else {
            1
        },
    ))
}

/// kingpin takes a word with a dash for the next flag, Go's `flag` takes any word as the value.
pub(super) fn takes(value: &str, style: FlagStyle) -> bool {
    style == FlagStyle::Go || value == "-" || !value.starts_with('-')
        // Negative numbers are values nevertheless.
        || value[1..].starts_with(|c: char| c.is_ascii_digit())
}

pub(super) fn find<'a>(table: &'a [Flag], name: &str) -> Option<(&'a Flag, bool)> {
    let named = |name: &str| {
        table
            .iter()
            .find(|flag| flag.name == name || flag.alias == Some(name))
    };
    if let Some(flag) = named(name) {
        return Some((flag, false));
    }
    let flag = named(name.strip_prefix("no-")?)?;
    (flag.kind == Kind::Bool).then_some((flag, true))
}

fn unknown(style: FlagStyle, name: &str) -> Stop {
    Stop::Error(match style {
        FlagStyle::Go => format!("flag provided but not defined: -{name}"),
        FlagStyle::Kingpin | FlagStyle::Prometheus => format!("unknown long flag '--{name}'"),
    })
}

/// `-h`, `-v`, `-abc`, `-fvalue`, `-f value`.
pub(super) fn parse_short(
    table: &[Flag],
    word: &str,
    words: &mut impl Iterator<Item = String>,
    given: &mut HashMap<&'static str, Vec<String>>,
) -> Result<(), Stop> {
    let mut letters = word[1..].chars();
    while let Some(letter) = letters.next() {
        let Some(flag) = table.iter().find(|flag| flag.short == Some(letter)) else {
            return Err(Stop::Error(format!("unknown short flag '-{letter}'")));
        };
        if flag.name == "help" {
            return Err(Stop::Help);
        }
        if flag.kind == Kind::Bool {
            push(given, flag, "true".to_owned(), FlagStyle::Kingpin)?;
            continue;
        }
        let attached = letters.as_str();
        let value = if attached.is_empty() {
            words
                .next()
                .ok_or_else(|| Stop::Error(format!("expected argument for flag '-{letter}'")))?
        } else {
            attached.strip_prefix('=').unwrap_or(attached).to_owned()
        };
        return push(given, flag, value, FlagStyle::Kingpin);
    }
    Ok(())
}

pub(super) fn push(
    given: &mut HashMap<&'static str, Vec<String>>,
    flag: &Flag,
    value: String,
    style: FlagStyle,
) -> Result<(), Stop> {
    let values = given.entry(flag.name).or_default();
    if !flag.repeatable && !values.is_empty() {
        // Go's `flag` lets the last one win.
        if style != FlagStyle::Go {
            return Err(Stop::Error(format!(
                "flag '{}' cannot be repeated",
                flag.name
            )));
        }
        values.clear();
    }
    values.push(value);
    Ok(())
}

/// Fills in environment and defaults and parses every value.
pub(super) fn resolve(
    table: &[Flag],
    mut given: HashMap<&'static str, Vec<String>>,
    env: &dyn Fn(&str) -> Option<String>,
    style: FlagStyle,
) -> Result<Args, Stop> {
    let mut entries = HashMap::new();
    let mut missing = Vec::new();
    for flag in table {
        let from_env = || {
            let value = env(flag.env?)?;
            Some(if flag.repeatable {
                value.lines().map(str::to_owned).collect()
            } else {
                vec![value]
            })
        };
        let explicit = given.remove(flag.name).or_else(from_env);
        let set = explicit.is_some();
        let texts = explicit.unwrap_or_else(|| match flag.default {
            Some("") if flag.repeatable => Vec::new(),
            Some(default) if flag.repeatable => default.split(',').map(str::to_owned).collect(),
            Some(default) => vec![default.to_owned()],
            None => Vec::new(),
        });
        if flag.required && !set {
            missing.push(format!("'--{}'", flag.name));
        }
        let mut parsed = Vec::with_capacity(texts.len());
        for text in &texts {
            // An empty default of a typed flag means "not set", as in Go.
            if !set && text.is_empty() && flag.kind != Kind::String {
                continue;
            }
            parsed.push(values::parse(flag.kind, text).map_err(|error| {
                Stop::Error(match style {
                    FlagStyle::Go => format!(
                        "invalid value {} for flag -{}: {error}",
                        golang::strconv::quote(text),
                        flag.name
                    ),
                    FlagStyle::Kingpin | FlagStyle::Prometheus => {
                        format!("invalid value for flag '--{}': {error}", flag.name)
                    }
                })
            })?);
        }
        entries.insert(
            flag.name,
            Entry {
                texts,
                values: parsed,
                set,
            },
        );
    }
    if !missing.is_empty() {
        return Err(Stop::Error(format!(
            "required flag(s) {} not provided",
            missing.join(", ")
        )));
    }
    Ok(Args {
        entries,
        order: table.iter().map(|flag| flag.name).collect(),
    })
}
