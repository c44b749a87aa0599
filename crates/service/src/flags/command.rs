//! Command lines with subcommands, as kingpin reads them: upstream's tools.
//!
//! A tool is an [`App`]: a table of [`Command`]s with their flags and arguments. [`parse_app`] gives
//! the command that was called, its flags and its arguments; help, version and errors are kingpin's.

use std::collections::HashMap;
use std::process::ExitCode;

use super::parse::{self, find, parse_short, push, resolve, takes};
use super::{Args, Flag, Kind, command_help};
use crate::FlagStyle;

/// A tool as data.
#[derive(Debug, Clone, Copy)]
pub struct App {
    /// The name of the binary.
    pub name: &'static str,
    /// One sentence for `--help`.
    pub about: &'static str,
    /// Flags of all commands; `--help` and `--version` are added.
    pub flags: &'static [Flag],
    pub commands: &'static [Command],
}

/// A command, or a group of them.
#[derive(Debug, Clone, Copy)]
pub struct Command {
    pub name: &'static str,
    /// Sentences for `--help`; an empty line begins a paragraph.
    pub help: &'static str,
    /// Of this command and those under it.
    pub flags: &'static [Flag],
    pub args: &'static [Arg],
    pub commands: &'static [Command],
    /// Answers to this name too.
    pub alias: Option<&'static str>,
}

impl Command {
    /// A group of commands.
    pub const fn group(
        name: &'static str,
        help: &'static str,
        commands: &'static [Command],
    ) -> Command {
        Command {
            name,
            help,
            flags: &[],
            args: &[],
            commands,
            alias: None,
        }
    }

    /// A command without flags and arguments.
    pub const fn leaf(name: &'static str, help: &'static str) -> Command {
        Command::group(name, help, &[])
    }

    /// The same command with flags.
    pub const fn flags(mut self, flags: &'static [Flag]) -> Command {
        self.flags = flags;
        self
    }

    /// The same command with arguments.
    pub const fn args(mut self, args: &'static [Arg]) -> Command {
        self.args = args;
        self
    }
}

/// A positional argument.
#[derive(Debug, Clone, Copy)]
pub struct Arg {
    pub name: &'static str,
    pub help: &'static str,
    pub kind: Kind,
    pub required: bool,
    /// Takes all words that are left.
    pub repeated: bool,
    pub default: Option<&'static str>,
}

impl Arg {
    /// An argument that must be given.
    pub const fn required(name: &'static str, kind: Kind, help: &'static str) -> Arg {
        Arg {
            name,
            help,
            kind,
            required: true,
            repeated: false,
            default: None,
        }
    }

    /// An argument that may be given.
    pub const fn optional(name: &'static str, kind: Kind, help: &'static str) -> Arg {
        Arg {
            required: false,
            ..Arg::required(name, kind, help)
        }
    }

    /// The same argument with a value where it is not given.
    pub const fn or(mut self, default: &'static str) -> Arg {
        self.default = Some(default);
        self
    }

    /// The same argument, as often as there are words.
    pub const fn repeated(mut self) -> Arg {
        self.repeated = true;
        self
    }
}

/// What a command line asks for.
#[derive(Debug, Clone)]
pub struct Call {
    /// The command with its groups, separated by blanks: `check config`.
    pub command: String,
    pub flags: Args,
    words: HashMap<&'static str, Vec<String>>,
}

impl Call {
    /// The words of an argument; none where it was not given.
    pub fn words(&self, arg: &str) -> &[String] {
        self.words.get(arg).map_or(&[], Vec::as_slice)
    }

    /// The first word of an argument, or nothing.
    pub fn word(&self, arg: &str) -> &str {
        self.words(arg).first().map_or("", String::as_str)
    }
}

/// Why there is no command to run: what to print, where, and the exit code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AppStop {
    /// Help or version, for standard output.
    Text(String),
    /// kingpin's words.
    Error(String),
}

impl AppStop {
    /// Prints what was asked for, or the error as kingpin does, with its exit code.
    pub fn print(&self, app: &App) -> ExitCode {
        match self {
            AppStop::Text(text) => {
                print!("{text}");
                ExitCode::SUCCESS
            }
            AppStop::Error(message) => {
                eprintln!("{}: error: {message}, try --help", app.name);
                ExitCode::FAILURE
            }
        }
    }
}

impl From<parse::Stop> for AppStop {
    fn from(stop: parse::Stop) -> AppStop {
        match stop {
            parse::Stop::Help | parse::Stop::Version => AppStop::Text(String::new()),
            // kingpin gives a value's error without the flag's name.
            parse::Stop::Error(message) => AppStop::Error(
                match message
                    .strip_prefix("invalid value for flag '--")
                    .and_then(|rest| rest.split_once("': "))
                {
                    // Its integers are floats first.
                    Some((_, error)) => error.replace("strconv.ParseInt", "strconv.ParseFloat"),
                    None => message,
                },
            ),
        }
    }
}

pub(super) const HELP: Flag = Flag::bool(
    "help",
    false,
    "Show context-sensitive help (also try --help-long and --help-man).",
)
.short('h');
pub(super) const VERSION: Flag = Flag::bool("version", false, "Show application version.");

/// Parses a command line (without the program's name).
///
/// # Errors
/// [`AppStop`]: help or version was asked for, or the line is wrong.
pub fn parse_app(app: &App, args: &[String]) -> Result<Call, AppStop> {
    let mut table: Vec<Flag> = [HELP, VERSION]
        .into_iter()
        .chain(app.flags.iter().copied())
        .collect();
    let mut path: Vec<&Command> = Vec::new();
    let mut given: HashMap<&'static str, Vec<String>> = HashMap::new();
    let mut loose: Vec<String> = Vec::new();
    let mut words = parse::expand(args)?.into_iter().peekable();
    let mut only_words = false;
    let mut help = args.is_empty();
    let mut long = false;
    while let Some(word) = words.next() {
        let flag_like = !only_words && word.len() > 1 && word.starts_with('-');
        if !flag_like {
            let commands = path.last().map_or(app.commands, |c| c.commands);
            if commands.is_empty() {
                loose.push(word);
                continue;
            }
            if path.is_empty() && word == "help" {
                help = true;
                continue;
            }
            let Some(command) = commands
                .iter()
                .find(|c| c.name == word || c.alias == Some(&word))
            else {
                let quoted = golang::strconv::quote(&word);
                return Err(AppStop::Error(format!("expected command but got {quoted}")));
            };
            table.extend(command.flags);
            path.push(command);
            continue;
        }
        if word == "--" {
            only_words = true;
            continue;
        }
        let Some(name) = word.strip_prefix("--") else {
            if word == "-h" {
                help = true;
                continue;
            }
            parse_short(&table, &word, &mut words, &mut given)?;
            continue;
        };
        let (name, attached) = match name.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (name, None),
        };
        match name {
            "help" => {
                help = true;
                continue;
            }
            "help-long" | "help-man" => {
                (help, long) = (true, true);
                continue;
            }
            "version" => {
                let text = crate::version::print_name(app.name);
                return Err(AppStop::Text(format!("{text}\n")));
            }
            _ => {}
        }
        let Some((flag, negated)) = find(&table, name) else {
            return Err(AppStop::Error(format!("unknown long flag '--{name}'")));
        };
        let value = match (flag.kind, attached) {
            (Kind::Bool, None) => (!negated).to_string(),
            (_, Some(value)) => value,
            (_, None) => match words.next() {
                Some(value) if takes(&value, FlagStyle::Kingpin) => value,
                _ => {
                    let message = format!("expected argument for flag '--{name}'");
                    return Err(AppStop::Error(message));
                }
            },
        };
        push(&mut given, flag, value, FlagStyle::Kingpin)?;
    }
    if help {
        return Err(AppStop::Text(command_help::text(app, &path, long)));
    }
    let leaf = match path.last() {
        Some(command) if command.commands.is_empty() => *command,
        Some(_) => {
            let names: Vec<&str> = path.iter().map(|c| c.name).collect();
            let message = format!("must select a subcommand of '{}'", names.join(" "));
            return Err(AppStop::Error(message));
        }
        None => return Err(AppStop::Error("command not specified".to_owned())),
    };
    let flags = resolve(
        &table,
        given,
        &|name| std::env::var(name).ok(),
        FlagStyle::Kingpin,
    )?;
    let names: Vec<&str> = path.iter().map(|c| c.name).collect();
    Ok(Call {
        command: names.join(" "),
        flags,
        words: assign(leaf.args, loose)?,
    })
}

/// Gives the words to the arguments in order.
fn assign(args: &[Arg], words: Vec<String>) -> Result<HashMap<&'static str, Vec<String>>, AppStop> {
    let mut assigned = HashMap::new();
    let mut words = words.into_iter();
    for arg in args {
        let mut taken: Vec<String> = if arg.repeated {
            words.by_ref().collect()
        } else {
            words.next().into_iter().collect()
        };
        if taken.is_empty() && arg.required {
            let message = format!("required argument '{}' not provided", arg.name);
            return Err(AppStop::Error(message));
        }
        for word in &taken {
            super::values::parse(arg.kind, word).map_err(AppStop::Error)?;
        }
        if taken.is_empty()
            && let Some(default) = arg.default
        {
            taken.push(default.to_owned());
        }
        assigned.insert(arg.name, taken);
    }
    match words.next() {
        Some(word) => Err(AppStop::Error(format!("unexpected {word}"))),
        None => Ok(assigned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static APP: App = App {
        name: "tool",
        about: "Does things.",
        flags: &[Flag::string("enable-feature", "", "Features.").repeatable()],
        commands: &[
            Command::group(
                "query",
                "Ask a server.",
                &[
                    Command::leaf("instant", "Ask once.")
                        .args(&[
                            Arg::required("server", Kind::Url, "Server."),
                            Arg::required("expr", Kind::String, "Query."),
                        ])
                        .flags(&[Flag::string("time", "", "When.").optional()]),
                    Command::leaf("series", "List series.")
                        .args(&[Arg::required("server", Kind::Url, "Server.")])
                        .flags(&[Flag::string("match", "", "Selector.")
                            .required()
                            .repeatable()]),
                ],
            )
            .flags(&[Flag::one_of("format", &["promql", "json"], "promql", "Format.").short('o')]),
            Command::leaf("rules", "Check rules.").args(&[Arg::optional(
                "rule-files",
                Kind::ExistingFile,
                "Files.",
            )
            .repeated()]),
        ],
    };

    fn call(line: &str) -> Result<Call, AppStop> {
        let args: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        parse_app(&APP, &args)
    }

    fn error(line: &str) -> String {
        match call(line) {
            Err(AppStop::Error(message)) => message,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn flags_and_arguments_go_to_their_command() {
        let call = call("query -ojson instant --time 5 http://x a+b").unwrap();
        assert_eq!(call.command, "query instant");
        assert_eq!(call.word("server"), "http://x");
        assert_eq!(call.word("expr"), "a+b");
        assert_eq!(call.flags.str("format"), "json");
        assert_eq!(call.flags.get("time"), Some("5"));
    }

    #[test]
    fn errors_are_kingpins() {
        for (line, expected) in [
            ("bogus", "expected command but got \"bogus\""),
            ("query", "must select a subcommand of 'query'"),
            ("query instant", "required argument 'server' not provided"),
            (
                "query series http://x",
                "required flag(s) '--match' not provided",
            ),
            ("query instant --bogus", "unknown long flag '--bogus'"),
            ("query instant http://x e more", "unexpected more"),
            (
                "query --format=x instant http://x e",
                "enum value must be one of promql,json, got 'x'",
            ),
            (
                "rules /nowhere/at/all",
                "path '/nowhere/at/all' does not exist",
            ),
        ] {
            assert_eq!(error(line), expected, "{line}");
        }
    }

    #[test]
    fn help_is_kingpins() {
        let expected = "usage: tool query series --match=MATCH [<flags>] <server>\n\nList series.\n\n\nFlags:\n  \
            -h, --[no-]help            Show context-sensitive help (also try --help-long\n                             \
            and --help-man).\n      --[no-]version         Show application version.\n      \
            --enable-feature= ...  Features.\n  -o, --format=promql        Format.\n      \
            --match=MATCH ...      Selector.\n\nArgs:\n  <server>  Server.\n\n";
        for line in [
            "query series --help",
            "help query series",
            "query series -h",
        ] {
            assert_eq!(
                call(line).unwrap_err(),
                AppStop::Text(expected.to_owned()),
                "{line}"
            );
        }
        let AppStop::Text(all) = call("").unwrap_err() else {
            panic!("no help");
        };
        assert!(
            all.ends_with("query series --match=MATCH [<flags>] <server>\n    List series.\n\nrules [<rule-files>...]\n    Check rules.\n\n\n"),
            "{all}"
        );
    }
}
