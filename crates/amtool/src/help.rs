//! Usage, made from the grammar.

use std::fmt::Write;

use crate::grammar::{Command, Flag, Kind, ROOT, Words};

const CONFIG_FILE: &str = "\
Config File: a YAML file with flags by their long names, in one of
$HOME/.config/amtool/config.yml, /etc/amtool/config.yml,
$HOME/.config/prometheus/amtool.yml, /etc/prometheus/amtool.yml. All flags can
be given there; alertmanager.url, author, require-comment, output, date.format
and http.config.file are those that it is made for.
";

/// The help of a command.
pub fn usage(command: &Command) -> String {
    let mut out = String::new();
    let whole = command.name == ROOT.name;
    let name = if whole {
        "amtool [<flags>] <command> [<args> ...]".to_owned()
    } else {
        let (flags, words) = (hint(command), words(command.words));
        format!("amtool ... {}{flags}{words}", command.name)
    };
    // Writing to a string cannot fail.
    let _ = write!(out, "usage: {name}\n\n{}\n", command.help);
    if whole {
        let _ = write!(out, "\n{CONFIG_FILE}");
    }
    if !command.flags.is_empty() {
        out.push_str("\nFlags:\n");
        command.flags.iter().filter(|f| !f.hidden).for_each(|flag| {
            line(&mut out, flag);
        });
    }
    if !command.below.is_empty() {
        out.push_str("\nCommands:\n");
        for below in command.below {
            tree(&mut out, below, 1, command.default == Some(below.name));
        }
    }
    out
}

fn tree(out: &mut String, command: &Command, depth: usize, default: bool) {
    let indent = "  ".repeat(depth);
    let star = if default { "*" } else { "" };
    let (flags, words) = (hint(command), words(command.words));
    let _ = writeln!(out, "{indent}{}{star}{flags}{words}", command.name);
    for below in command.below {
        tree(out, below, depth + 1, command.default == Some(below.name));
    }
}

fn hint(command: &Command) -> &'static str {
    if command.flags.is_empty() {
        ""
    } else {
        " [<flags>]"
    }
}

fn words(words: Words) -> String {
    match words {
        Words::None => String::new(),
        Words::OneFile(name) => format!(" [<{name}>]"),
        Words::Any(name) | Words::Files(name) => format!(" [<{name}>...]"),
    }
}

fn line(out: &mut String, flag: &Flag) {
    let short = flag.short.map_or("    ".to_owned(), |c| format!("-{c}, "));
    let name = match flag.kind {
        Kind::Switch => format!("--[no-]{}", flag.name),
        _ => match flag.default {
            Some(default) if !default.is_empty() => format!("--{}={default}", flag.name),
            _ => format!("--{}=...", flag.name),
        },
    };
    let _ = writeln!(out, "  {short}{name}\n        {}", flag.help);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_and_flag_is_there() {
        let text = usage(&ROOT);
        for part in [
            "query*",
            "--[no-]version-check",
            "render",
            "-o, --output=simple",
        ] {
            assert!(text.contains(part), "no {part:?} in\n{text}");
        }
        let silence = ROOT.below.iter().find(|c| c.name == "silence").unwrap();
        let add = usage(&silence.below[0]);
        assert!(
            add.contains("-d, --duration=1h") && !add.contains("require-comment"),
            "{add}"
        );
    }
}
