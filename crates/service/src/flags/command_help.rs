//! The help of tools with commands, laid out as kingpin does.

use std::fmt::Write;

use super::command::{App, Command, HELP, VERSION};
use super::help::wrap;
use super::{Flag, Kind};

const WIDTH: usize = 80;
/// Left halves of this length or more stand on a line of their own.
const LONG: usize = 30;

/// The help of the command that `path` leads to, of the tool itself where it is empty; `long` shows
/// the flags of all commands.
pub(super) fn text(app: &App, path: &[&Command], long: bool) -> String {
    let mut out = String::new();
    let names: Vec<&str> = std::iter::once(app.name)
        .chain(path.iter().map(|c| c.name))
        .collect();
    let names = names.join(" ");
    let (help, commands, args) = match path.last() {
        Some(command) => (command.help, command.commands, command.args),
        None => (app.about, app.commands, &[][..]),
    };
    let usage = match path.last() {
        Some(command) if command.commands.is_empty() => summary(&names, command),
        Some(command) if command.flags.is_empty() => {
            format!("{names} <command> [<args> ...]")
        }
        _ => format!("{names} [<flags>] <command> [<args> ...]"),
    };
    let _ = write!(out, "usage: {usage}\n\n{}\n", paragraphs(help, 0));
    out.push('\n');
    let flags: Vec<Flag> = [HELP, VERSION]
        .iter()
        .chain(app.flags)
        .chain(path.iter().flat_map(|c| c.flags))
        .copied()
        .collect();
    out.push_str("Flags:\n");
    columns(&mut out, 2, &flag_rows(&flags));
    out.push('\n');
    if !args.is_empty() {
        out.push_str("Args:\n");
        let rows: Vec<(String, &str)> = args
            .iter()
            .map(|arg| match arg.required {
                true => (format!("<{}>", arg.name), arg.help),
                false => (format!("[<{}>]", arg.name), arg.help),
            })
            .collect();
        columns(&mut out, 2, &rows);
        out.push('\n');
    }
    if !commands.is_empty() {
        out.push_str(if path.is_empty() {
            "Commands:\nhelp [<command>...]\n    Show help.\n\n"
        } else {
            "Subcommands:\n"
        });
        if path.is_empty() && long {
            out.push('\n');
        }
        let before: Vec<&str> = path.iter().map(|c| c.name).collect();
        leaves(&mut out, &before, commands, long);
        out.push('\n');
    }
    out
}

fn leaves(out: &mut String, before: &[&str], commands: &[Command], long: bool) {
    for command in commands {
        let names = [before, &[command.name]].concat();
        if !command.commands.is_empty() {
            leaves(out, &names, command.commands, long);
            continue;
        }
        let _ = write!(
            out,
            "{}\n{}\n",
            summary(&names.join(" "), command),
            paragraphs(command.help, 4)
        );
        if long {
            columns(out, 4, &flag_rows(command.flags));
            out.push('\n');
        }
    }
}

/// Name, required flags and arguments of a command.
fn summary(names: &str, command: &Command) -> String {
    let mut out = names.to_owned();
    let flags = command.flags.iter().filter(|flag| !flag.hidden);
    for flag in flags.clone().filter(|flag| flag.required) {
        let _ = write!(out, " --{}={}", flag.name, placeholder(flag));
    }
    if flags.count() > 0 {
        out.push_str(" [<flags>]");
    }
    for arg in command.args {
        let more = if arg.repeated { "..." } else { "" };
        let _ = if arg.required {
            write!(out, " <{}>{more}", arg.name)
        } else {
            write!(out, " [<{}>{more}]", arg.name)
        };
    }
    out
}

fn placeholder(flag: &Flag) -> String {
    match (flag.placeholder, flag.default) {
        (Some(name), _) => name.to_owned(),
        (None, Some(default)) if flag.kind == Kind::String && !flag.repeatable => {
            golang::strconv::quote(default)
        }
        (None, Some(default)) => default.to_owned(),
        (None, None) => flag.name.to_uppercase(),
    }
}

fn flag_rows(flags: &[Flag]) -> Vec<(String, &'static str)> {
    let shown = flags.iter().filter(|flag| !flag.hidden);
    let any_short = shown.clone().any(|flag| flag.short.is_some());
    shown
        .map(|flag| {
            let short = match flag.short {
                Some(letter) => format!("-{letter}, "),
                None if any_short => "    ".to_owned(),
                None => String::new(),
            };
            let more = if flag.repeatable { " ..." } else { "" };
            let left = if flag.kind == Kind::Bool {
                format!("{short}--[no-]{}", flag.name)
            } else {
                format!("{short}--{}={}{more}", flag.name, placeholder(flag))
            };
            (left, flag.help)
        })
        .collect()
}

fn columns(out: &mut String, indent: usize, rows: &[(String, &str)]) {
    let lengths = rows.iter().map(|(left, _)| left.len());
    let left_width = lengths.filter(|len| *len < LONG).max().unwrap_or(0);
    let offset = indent + left_width + 2;
    for (left, help) in rows {
        let _ = write!(out, "{:indent$}{left:left_width$}  ", "");
        let lines = wrap(help, WIDTH.saturating_sub(offset));
        if left.len() >= LONG {
            let _ = write!(out, "\n{:offset$}", "");
        }
        for (i, line) in lines.iter().enumerate() {
            if i > 0 {
                let _ = write!(out, "{:offset$}", "");
            }
            let _ = writeln!(out, "{line}");
        }
    }
}

/// Text in paragraphs, each wrapped, with an empty line after it.
fn paragraphs(text: &str, indent: usize) -> String {
    let mut out = String::new();
    for paragraph in text.split("\n\n") {
        for line in wrap(paragraph, WIDTH - indent) {
            let _ = writeln!(out, "{:indent$}{line}", "");
        }
        out.push('\n');
    }
    out.pop();
    out
}
