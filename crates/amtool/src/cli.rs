//! Reads a command line as kingpin does: flags anywhere, `--flag=value` and `--flag value`, `--no-x`,
//! short flags together, default commands.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::time::Duration;

use crate::grammar::{Command, Flag, Kind, ROOT, Words};

/// What is to be done.
#[derive(Debug)]
pub struct Invocation {
    /// The command's names, as `["config", "routes", "test"]`.
    pub path: Vec<&'static str>,
    /// The words that are no flags.
    pub words: Vec<String>,
    values: HashMap<&'static str, Vec<String>>,
    /// Which flags stood on the command line or in a configuration file.
    given: Vec<&'static str>,
}

/// What a command line asks for.
#[derive(Debug)]
pub enum Outcome {
    /// A command.
    Run(Invocation),
    /// The help of a command.
    Help(&'static Command),
    /// `--version`.
    Version,
}

impl Invocation {
    /// The value of a flag; empty if it has none.
    pub fn text(&self, name: &str) -> &str {
        self.list(name).last().map_or("", String::as_str)
    }

    /// The values of a repeated flag.
    pub fn list(&self, name: &str) -> &[String] {
        self.values.get(name).map_or(&[], Vec::as_slice)
    }

    /// Whether a switch is on.
    pub fn is_on(&self, name: &str) -> bool {
        self.text(name) == "true"
    }

    /// Whether a flag was set by somebody.
    pub fn is_given(&self, name: &str) -> bool {
        self.given.contains(&name)
    }

    /// A duration flag; zero if it has no value.
    ///
    /// # Errors
    /// Go's words; the flag was checked before, so that it is negative.
    pub fn duration(&self, name: &str) -> Result<Duration, String> {
        match self.text(name) {
            "" => Ok(Duration::ZERO),
            text => {
                let ns = golang::time::parse_duration(text)?;
                Ok(Duration::from_nanos(u64::try_from(ns).unwrap_or(0)))
            }
        }
    }
}

/// Reads a command line; `defaults` are those of the configuration files, by flag.
///
/// # Errors
/// kingpin's words.
pub fn parse(words: &[String], defaults: &BTreeMap<String, String>) -> Result<Outcome, String> {
    let mut reading = Reading {
        commands: vec![&ROOT],
        words: Vec::new(),
        values: HashMap::new(),
        help: false,
    };
    let mut rest = words.iter();
    let mut flags_over = false;
    while let Some(word) = rest.next() {
        if flags_over || !word.starts_with('-') || word == "-" {
            if !reading.word(word)? {
                break;
            }
        } else if word == "--" {
            flags_over = true;
        } else if let Some(long) = word.strip_prefix("--") {
            if long == "version" {
                return Ok(Outcome::Version);
            }
            reading.long(long, &mut rest)?;
        } else {
            reading.short(&word[1..], &mut rest)?;
        }
    }
    reading.finish(defaults)
}

struct Reading {
    /// From the root to where we are.
    commands: Vec<&'static Command>,
    words: Vec<String>,
    values: HashMap<&'static str, Vec<String>>,
    help: bool,
}

fn below(command: &'static Command, name: &str) -> Option<&'static Command> {
    command.below.iter().find(|c| c.name == name)
}

impl Reading {
    fn here(&self) -> &'static Command {
        self.commands.last().copied().unwrap_or(&ROOT)
    }

    /// Takes a word: a command, or a word of the command. Says whether to go on.
    fn word(&mut self, word: &str) -> Result<bool, String> {
        loop {
            let here = self.here();
            if let Some(next) = below(here, word) {
                self.commands.push(next);
                return Ok(true);
            }
            if self.commands.len() == 1 && word == "help" {
                self.help = true;
                return Ok(true);
            }
            match here.default.and_then(|name| below(here, name)) {
                Some(default) => self.commands.push(default),
                None if !here.below.is_empty() => {
                    return Err(format!("expected command but got {word:?}"));
                }
                None => break,
            }
        }
        match self.here().words {
            Words::None => return Err(format!("unexpected {word}")),
            Words::OneFile(_) if !self.words.is_empty() => {
                return Err(format!("unexpected {word}"));
            }
            Words::OneFile(_) | Words::Files(_) if !Path::new(word).exists() => {
                return Err(format!("path '{word}' does not exist"));
            }
            Words::OneFile(_) | Words::Files(_) | Words::Any(_) => {}
        }
        self.words.push(word.to_owned());
        Ok(true)
    }

    /// The flags that may stand here: those of the commands so far, and of the default ones below.
    fn flags(&self) -> impl Iterator<Item = &'static Flag> {
        let mut commands = self.commands.clone();
        while let Some(default) = commands
            .last()
            .and_then(|here| here.default.and_then(|name| below(here, name)))
        {
            commands.push(default);
        }
        commands.into_iter().flat_map(|command| command.flags)
    }

    fn long<'a>(
        &mut self,
        text: &str,
        rest: &mut impl Iterator<Item = &'a String>,
    ) -> Result<(), String> {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (text, None),
        };
        if matches!(name, "help" | "help-long" | "help-man") {
            self.help = true;
            return Ok(());
        }
        let flag = self.flags().find(|flag| flag.name == name);
        let negated = name.strip_prefix("no-").and_then(|positive| {
            self.flags()
                .find(|flag| flag.name == positive && flag.kind == Kind::Switch)
        });
        match (flag, negated, value) {
            (Some(flag), _, value) if flag.kind == Kind::Switch => {
                self.set(flag, value.unwrap_or_else(|| "true".to_owned()))
            }
            (Some(flag), _, Some(value)) => self.set(flag, value),
            (Some(flag), _, None) => match rest.next() {
                Some(value) => self.set(flag, value.clone()),
                None => Err(format!("expected argument for flag '--{name}'")),
            },
            (None, Some(flag), None) => self.set(flag, "false".to_owned()),
            (None, _, _) => Err(format!("unknown long flag '--{name}'")),
        }
    }

    fn short<'a>(
        &mut self,
        letters: &str,
        rest: &mut impl Iterator<Item = &'a String>,
    ) -> Result<(), String> {
        let mut letters = letters.chars();
        while let Some(letter) = letters.next() {
            if letter == 'h' {
                self.help = true;
                continue;
            }
            let Some(flag) = self.flags().find(|flag| flag.short == Some(letter)) else {
                return Err(format!("unknown short flag '-{letter}'"));
            };
            if flag.kind == Kind::Switch {
                self.set(flag, "true".to_owned())?;
                continue;
            }
            let attached: String = letters.by_ref().collect();
            let value = match attached.as_str() {
                "" => match rest.next() {
                    Some(value) => value.clone(),
                    None => return Err(format!("expected argument for flag '-{letter}'")),
                },
                value => value.strip_prefix('=').unwrap_or(value).to_owned(),
            };
            self.set(flag, value)?;
        }
        Ok(())
    }

    fn set(&mut self, flag: &'static Flag, value: String) -> Result<(), String> {
        check(flag, &value)?;
        let values = self.values.entry(flag.name).or_default();
        if !flag.repeated && !values.is_empty() {
            return Err(format!("flag '{}' cannot be repeated", flag.name));
        }
        values.push(value);
        Ok(())
    }

    fn finish(mut self, defaults: &BTreeMap<String, String>) -> Result<Outcome, String> {
        if self.help || (self.commands.len() == 1 && self.words.is_empty()) {
            return Ok(Outcome::Help(self.here()));
        }
        while !self.here().below.is_empty() {
            let here = self.here();
            match here.default.and_then(|name| below(here, name)) {
                Some(default) => self.commands.push(default),
                None => return Ok(Outcome::Help(here)),
            }
        }
        let flags: Vec<&'static Flag> = self.commands.iter().flat_map(|c| c.flags).collect();
        for flag in &flags {
            if let Some(value) = defaults.get(flag.name)
                && !self.values.contains_key(flag.name)
            {
                self.set(flag, value.clone())?;
            }
        }
        let given = self.values.keys().copied().collect();
        let missing: Vec<String> = flags
            .iter()
            .filter(|flag| flag.required && !self.values.contains_key(flag.name))
            .map(|flag| format!("'--{}'", flag.name))
            .collect();
        if !missing.is_empty() {
            return Err(format!(
                "required flag(s) {} not provided",
                missing.join(", ")
            ));
        }
        for flag in flags {
            if let Some(default) = flag.default {
                let unset = || vec![default.to_owned()];
                self.values.entry(flag.name).or_insert_with(unset);
            }
        }
        Ok(Outcome::Run(Invocation {
            path: self.commands[1..].iter().map(|c| c.name).collect(),
            words: self.words,
            values: self.values,
            given,
        }))
    }
}

fn check(flag: &Flag, value: &str) -> Result<(), String> {
    match flag.kind {
        Kind::Text => Ok(()),
        Kind::Switch => match value {
            "true" | "false" => Ok(()),
            _ => Err(format!(
                "strconv.ParseBool: parsing {}: invalid syntax",
                golang::strconv::quote(value)
            )),
        },
        Kind::Duration => golang::time::parse_duration(value).map(|_| ()),
        Kind::Number => match value.parse::<i64>() {
            Ok(_) => Ok(()),
            Err(_) => Err(format!(
                "strconv.ParseFloat: parsing {}: invalid syntax",
                golang::strconv::quote(value)
            )),
        },
        Kind::File if Path::new(value).exists() => Ok(()),
        Kind::File => Err(format!("path '{value}' does not exist")),
        Kind::Choice(choices) if choices.contains(&value) => Ok(()),
        Kind::Choice(choices) => Err(format!(
            "enum value must be one of {}, got '{value}'",
            choices.join(",")
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(line: &str) -> Result<Invocation, String> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        let defaults = BTreeMap::from([
            ("author".to_owned(), "me".to_owned()),
            ("output".to_owned(), "json".to_owned()),
            ("of.another.tool".to_owned(), "x".to_owned()),
        ]);
        match parse(&words, &defaults)? {
            Outcome::Run(invocation) => Ok(invocation),
            other => Err(format!("{other:?}")),
        }
    }

    #[test]
    fn commands_and_flags() {
        let got = run("silence add -d2h foo --comment=why -a you bar=baz").unwrap();
        assert_eq!(got.path, ["silence", "add"]);
        assert_eq!(got.words, ["foo", "bar=baz"]);
        assert_eq!((got.text("duration"), got.text("comment")), ("2h", "why"));
        assert_eq!((got.text("author"), got.text("output")), ("you", "json"));
        assert!(got.is_on("require-comment"));
        let got = run("--output simple silence add x --no-require-comment").unwrap();
        assert_eq!((got.text("author"), got.text("output")), ("me", "simple"));
        assert!(!got.is_on("require-comment"));
        let got = run("alert -si foo -- -x").unwrap();
        assert_eq!(got.path, ["alert", "query"]);
        assert_eq!(got.words, ["foo", "-x"]);
        assert!(got.is_on("silenced") && got.is_on("inhibited") && !got.is_on("active"));
        let got = run("config routes test --config.file=/dev/null a=b").unwrap();
        assert_eq!(got.path, ["config", "routes", "test"]);
        assert_eq!(got.duration("timeout"), Ok(Duration::from_secs(30)));
        assert_eq!(
            run("config routes").unwrap().path,
            ["config", "routes", "show"]
        );
    }

    #[test]
    fn mistakes() {
        for (line, wanted) in [
            ("nonsense", "expected command but got \"nonsense\""),
            ("alert --nope", "unknown long flag '--nope'"),
            ("alert -z", "unknown short flag '-z'"),
            (
                "--output=x alert",
                "enum value must be one of simple,extended,json, got 'x'",
            ),
            ("alert add --start", "expected argument for flag '--start'"),
            ("check-config /no/such", "path '/no/such' does not exist"),
            (
                "template render --template.text x",
                "required flag(s) '--template.glob' not provided",
            ),
            ("cluster show x", "unexpected x"),
            ("silence query --within x", "time: invalid duration \"x\""),
            (
                "alert query -r a -r b",
                "flag 'receiver' cannot be repeated",
            ),
        ] {
            assert_eq!(run(line).err().as_deref(), Some(wanted), "{line}");
        }
        for line in ["", "help alert", "alert query --help", "template", "-h"] {
            assert!(run(line).unwrap_err().starts_with("Help("), "{line}");
        }
    }
}
