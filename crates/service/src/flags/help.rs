//! `--help` and the reference page, from the table.

use std::fmt::Write;

use super::parse::table;
use super::{Flag, Kind};
use crate::{FlagStyle, Program};

/// Where the second column of `--help` begins, and how wide the page is.
const INDENT: usize = 33;
const WIDTH: usize = 80;

/// The text of `--help`.
pub fn usage(program: &Program) -> String {
    let mut out = format!(
        "usage: {} [<flags>]\n\n{}\n\n\nFlags:\n",
        program.name, program.about
    );
    for flag in table(program).iter().filter(|flag| !flag.hidden) {
        let left = left(flag, program.style);
        let mut help = flag.help.to_owned();
        if let Some(variable) = flag.env {
            let _ = write!(help, " (${variable})");
        }
        let lines = wrap(&help, WIDTH - INDENT);
        if left.len() + 2 > INDENT {
            let _ = writeln!(out, "{left}");
        } else {
            let _ = write!(out, "{left:INDENT$}");
            let _ = writeln!(out, "{}", lines.first().map_or("", String::as_str));
        }
        let skip = usize::from(left.len() + 2 <= INDENT);
        for line in lines.iter().skip(skip) {
            let _ = writeln!(out, "{:INDENT$}{line}", "");
        }
    }
    out
}

fn left(flag: &Flag, style: FlagStyle) -> String {
    let dashes = if style == FlagStyle::Go { "-" } else { "--" };
    let short = match flag.short {
        Some(letter) => format!("  -{letter}, "),
        None if style == FlagStyle::Go => "  ".to_owned(),
        None => "      ".to_owned(),
    };
    if flag.kind == Kind::Bool {
        let plain =
            matches!(flag.name, "help" | "version" | "healthcheck") || style == FlagStyle::Go;
        let no = if plain { "" } else { "[no-]" };
        return format!("{short}{dashes}{no}{}", flag.name);
    }
    let value = match (flag.placeholder, flag.default) {
        (Some(name), _) => name.to_owned(),
        (None, Some(default)) if flag.kind == Kind::String => golang::strconv::quote(default),
        (None, Some(default)) if !default.is_empty() => default.to_owned(),
        _ => flag
            .name
            .rsplit('.')
            .next()
            .unwrap_or(flag.name)
            .to_uppercase(),
    };
    let more = if flag.repeatable { " ..." } else { "" };
    format!("{short}{dashes}{}={value}{more}", flag.name)
}

pub(super) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for paragraph in text.lines() {
        let mut line = String::new();
        for word in paragraph.split_whitespace() {
            if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > width {
                lines.push(std::mem::take(&mut line));
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        lines.push(line);
    }
    lines
}

/// The flag reference as a Markdown table, sorted as in `--help`; hidden flags are marked.
pub fn markdown(program: &Program) -> String {
    let mut out = String::from("| Flag | Default | Description |\n| --- | --- | --- |\n");
    for flag in table(program) {
        let escape = |text: &str| text.replace('|', "\\|").replace('\n', " ");
        let dashes = if program.style == FlagStyle::Go {
            "-"
        } else {
            "--"
        };
        let mut name = match flag.short {
            Some(letter) => format!("`-{letter}`, `{dashes}{}`", flag.name),
            None => format!("`{dashes}{}`", flag.name),
        };
        if flag.repeatable {
            name.push_str(" ...");
        }
        let default = match flag.default {
            Some("") | None => String::new(),
            Some(default) => format!("`{}`", escape(default)),
        };
        let mut help = escape(flag.help);
        if let Kind::Enum(words) = flag.kind {
            let _ = write!(help, " One of: {}.", words.join(", "));
        }
        if flag.required {
            help.push_str(" Required.");
        }
        if let Some(variable) = flag.env {
            let _ = write!(help, " Environment: `{variable}`.");
        }
        if flag.hidden {
            help.push_str(" (not in `--help`)");
        }
        let _ = writeln!(out, "| {name} | {default} | {help} |");
    }
    out
}
