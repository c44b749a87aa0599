//! Flags as data: one [`Flag`] value parses, documents and prints itself.
//!
//! The table of a service is a `const` slice of [`Flag`]s; the kit adds the flags every service has
//! (`--log.level`, `--web.listen-address`, ...) and parses the command line with upstream's habits:
//! kingpin's `--flag=value`, `--flag value`, `--no-flag`, `-h`, `@file`; and Go's `flag` package,
//! where one dash is as good as two and a boolean takes its value only after `=`.

use std::collections::HashMap;
use std::time::Duration;

mod command;
mod command_help;
mod help;
mod parse;
mod values;

pub use command::{App, AppStop, Arg, Call, Command, parse_app};
pub use help::{markdown, usage};
pub use parse::{Stop, parse};
pub(crate) use values::parse_go_duration;

/// What a flag's value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Any text.
    String,
    /// `--x`, `--no-x`, `--x=true`.
    Bool,
    /// A signed 64-bit integer.
    Int,
    /// A 64-bit float.
    Float,
    /// Prometheus' notation: `1h30m`, `15d` (model.Duration).
    Duration,
    /// Go's notation: `1.5h`, `200ms` (time.ParseDuration).
    GoDuration,
    /// Bytes with a unit: `512MB`, `10KiB` (units.Base2Bytes); a bare number is bytes.
    Size,
    /// An absolute URL.
    Url,
    /// One of these words.
    Enum(&'static [&'static str]),
    /// The path of a file that is there.
    ExistingFile,
    /// `name=value`.
    Pair,
}

/// One flag: name, kind, default and help in a `const`.
#[derive(Debug, Clone, Copy)]
pub struct Flag {
    /// The name without dashes: `web.listen-address`.
    pub name: &'static str,
    /// What its value is.
    pub kind: Kind,
    /// The value when the flag is not given; several, separated by `,`, for a repeatable one.
    /// `None`: no value ([`Args::get`] answers `None`).
    pub default: Option<&'static str>,
    /// One or more sentences for `--help` and the flag reference.
    pub help: &'static str,
    /// One letter: `-h`.
    pub short: Option<char>,
    /// May be given several times.
    pub repeatable: bool,
    /// Not shown in `--help` (still in the reference, marked).
    pub hidden: bool,
    /// Takes its value from this environment variable when not given.
    pub env: Option<&'static str>,
    /// The name of the value in `--help`, where the default would say too little.
    pub placeholder: Option<&'static str>,
    /// Another name that is accepted silently (upstream's deprecated spellings).
    pub alias: Option<&'static str>,
    /// A kingpin flag that must be given.
    pub required: bool,
}

impl Flag {
    const fn new(
        name: &'static str,
        kind: Kind,
        default: Option<&'static str>,
        help: &'static str,
    ) -> Flag {
        Flag {
            name,
            kind,
            default,
            help,
            short: None,
            repeatable: false,
            hidden: false,
            env: None,
            placeholder: None,
            alias: None,
            required: false,
        }
    }

    /// A text flag; `default` may be empty.
    pub const fn string(name: &'static str, default: &'static str, help: &'static str) -> Flag {
        Flag::new(name, Kind::String, Some(default), help)
    }

    /// A boolean flag, with its hidden twin `--no-<name>`.
    pub const fn bool(name: &'static str, default: bool, help: &'static str) -> Flag {
        Flag::new(
            name,
            Kind::Bool,
            Some(if default { "true" } else { "false" }),
            help,
        )
    }

    /// An integer flag.
    pub const fn int(name: &'static str, default: &'static str, help: &'static str) -> Flag {
        Flag::new(name, Kind::Int, Some(default), help)
    }

    /// A float flag.
    pub const fn float(name: &'static str, default: &'static str, help: &'static str) -> Flag {
        Flag::new(name, Kind::Float, Some(default), help)
    }

    /// A duration in Prometheus' notation.
    pub const fn duration(name: &'static str, default: &'static str, help: &'static str) -> Flag {
        Flag::new(name, Kind::Duration, Some(default), help)
    }

    /// A duration in Go's notation.
    pub const fn go_duration(
        name: &'static str,
        default: &'static str,
        help: &'static str,
    ) -> Flag {
        Flag::new(name, Kind::GoDuration, Some(default), help)
    }

    /// A size in bytes.
    pub const fn size(name: &'static str, default: &'static str, help: &'static str) -> Flag {
        Flag::new(name, Kind::Size, Some(default), help)
    }

    /// A URL without default.
    pub const fn url(name: &'static str, help: &'static str) -> Flag {
        Flag::new(name, Kind::Url, None, help)
    }

    /// A text flag `name=value`, without default.
    pub const fn pair(name: &'static str, help: &'static str) -> Flag {
        Flag::new(name, Kind::Pair, None, help)
    }

    /// The same flag, of a file that must be there where it is named.
    pub const fn existing_file(mut self) -> Flag {
        self.kind = Kind::ExistingFile;
        self
    }

    /// The same flag with a default.
    pub const fn or(mut self, default: &'static str) -> Flag {
        self.default = Some(default);
        self
    }

    /// One word of several.
    pub const fn one_of(
        name: &'static str,
        words: &'static [&'static str],
        default: &'static str,
        help: &'static str,
    ) -> Flag {
        Flag::new(name, Kind::Enum(words), Some(default), help)
    }

    /// The same flag of any kind without a default: absent means absent.
    pub const fn optional(mut self) -> Flag {
        self.default = None;
        self
    }

    /// The same flag, one letter as well.
    pub const fn short(mut self, letter: char) -> Flag {
        self.short = Some(letter);
        self
    }

    /// The same flag, allowed several times; the default may list values separated by `,`.
    pub const fn repeatable(mut self) -> Flag {
        self.repeatable = true;
        self
    }

    /// The same flag, left out of `--help`.
    pub const fn hidden(mut self) -> Flag {
        self.hidden = true;
        self
    }

    /// The same flag, which must be given.
    pub const fn required(mut self) -> Flag {
        self.required = true;
        self.default = None;
        self
    }

    /// The same flag, with an environment variable as a source.
    pub const fn env(mut self, variable: &'static str) -> Flag {
        self.env = Some(variable);
        self
    }

    /// The same flag with a name for its value in `--help`.
    pub const fn placeholder(mut self, name: &'static str) -> Flag {
        self.placeholder = Some(name);
        self
    }

    /// The same flag, also accepted under an old name.
    pub const fn alias(mut self, name: &'static str) -> Flag {
        self.alias = Some(name);
        self
    }
}

/// A parsed value.
#[derive(Debug, Clone, PartialEq)]
enum Value {
    Text(String),
    Bool(bool),
    Int(i64),
    Float(f64),
    Duration(Duration),
    Size(u64),
}

/// The resolved flags of a process.
///
/// The getters panic when the table has no such flag or it is of another kind: a mistake in the
/// program that its first start shows, never caused by input.
#[derive(Debug, Clone)]
pub struct Args {
    entries: HashMap<&'static str, Entry>,
    order: Vec<&'static str>,
}

#[derive(Debug, Clone)]
struct Entry {
    texts: Vec<String>,
    values: Vec<Value>,
    set: bool,
}

impl Args {
    fn entry(&self, name: &str) -> &Entry {
        match self.entries.get(name) {
            Some(entry) => entry,
            None => panic!("the flag table has no --{name}"),
        }
    }

    fn value(&self, name: &str) -> &Value {
        match self.entry(name).values.first() {
            Some(value) => value,
            None => panic!("--{name} has no default: ask with get()"),
        }
    }

    /// Whether the table has this flag.
    pub fn has(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    /// Whether the flag was given, on the command line or by its environment variable.
    pub fn is_set(&self, name: &str) -> bool {
        self.entry(name).set
    }

    /// The text of a flag of any kind; `None` if it was not given and has no default, or is not in
    /// the table.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.entries.get(name)?.texts.first().map(String::as_str)
    }

    /// All values of a repeatable flag.
    pub fn list(&self, name: &str) -> &[String] {
        &self.entry(name).texts
    }

    /// A flag's text.
    pub fn str(&self, name: &str) -> &str {
        self.value(name);
        &self.entry(name).texts[0]
    }

    /// A boolean flag.
    pub fn bool(&self, name: &str) -> bool {
        match self.value(name) {
            Value::Bool(value) => *value,
            _ => panic!("--{name} is no boolean flag"),
        }
    }

    /// An integer flag.
    pub fn int(&self, name: &str) -> i64 {
        match self.value(name) {
            Value::Int(value) => *value,
            _ => panic!("--{name} is no integer flag"),
        }
    }

    /// An integer flag as a count; negative values are 0.
    pub fn count(&self, name: &str) -> usize {
        usize::try_from(self.int(name)).unwrap_or(0)
    }

    /// A float flag.
    pub fn float(&self, name: &str) -> f64 {
        match self.value(name) {
            Value::Float(value) => *value,
            _ => panic!("--{name} is no float flag"),
        }
    }

    /// A duration flag, of either notation.
    pub fn duration(&self, name: &str) -> Duration {
        match self.value(name) {
            Value::Duration(value) => *value,
            _ => panic!("--{name} is no duration flag"),
        }
    }

    /// A size flag, in bytes.
    pub fn size(&self, name: &str) -> u64 {
        match self.value(name) {
            Value::Size(value) => *value,
            _ => panic!("--{name} is no size flag"),
        }
    }

    /// Every flag with its value as text, repeated values joined by `,`: what
    /// `/api/v1/status/flags` shows. In the order of the table.
    pub fn as_strings(&self) -> impl Iterator<Item = (&'static str, String)> {
        self.order
            .iter()
            .filter(|name| !["help", "version", "healthcheck"].contains(*name))
            .map(|name| (*name, self.entries[name].texts.join(",")))
    }
}

#[cfg(test)]
mod tests;
