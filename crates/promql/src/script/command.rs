//! Scripts as lists of commands.

use model::parse_duration;

use super::expect::Eval;
use super::load::Load;

/// What is wrong with a script, or with what it says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct ScriptError {
    /// From 1.
    pub line: usize,
    pub message: String,
}

impl ScriptError {
    pub(super) fn new(line: usize, message: impl Into<String>) -> ScriptError {
        ScriptError {
            line,
            message: message.into(),
        }
    }
}

/// A command of a script.
#[derive(Clone, Debug)]
pub enum Command {
    /// `clear`: forget all series.
    Clear,
    /// `load <step>`, `load_with_nhcb <step>`.
    Load { line: usize, load: Load },
    /// `eval ...`.
    Eval(Box<Eval>),
}

/// A parsed script.
#[derive(Clone, Debug, Default)]
pub struct Script {
    pub commands: Vec<Command>,
}

impl Script {
    /// Parses a script. Queries are not parsed here: that they fail may be what is expected.
    ///
    /// # Errors
    /// The first line that is not of the language.
    pub fn parse(text: &str) -> Result<Script, ScriptError> {
        let lines: Vec<&str> = text
            .lines()
            .map(str::trim)
            .map(|line| if line.starts_with('#') { "" } else { line })
            .collect();
        let mut commands = Vec::new();
        let mut at = 0;
        while let Some(&text) = lines.get(at) {
            let line = at + 1;
            at += 1;
            if text.is_empty() {
                continue;
            }
            let block = lines[at..]
                .iter()
                .take_while(|line| !line.is_empty())
                .count();
            let numbered = || (line + 1..).zip(lines[at..at + block].iter().copied());
            let word = text
                .split([' ', '\t'])
                .next()
                .unwrap_or_default()
                .to_ascii_lowercase();
            if word == "clear" {
                commands.push(Command::Clear);
            } else if word.starts_with("load") {
                let mut load = load_head(line, text)?;
                load.read(numbered())?;
                commands.push(Command::Load { line, load });
                at += block;
            } else if word.starts_with("eval") {
                let (eval, used) = Eval::parse(line, text, numbered())?;
                commands.push(Command::Eval(Box::new(eval)));
                at += used;
            } else {
                return Err(ScriptError::new(line, format!("invalid command {text:?}")));
            }
        }
        Ok(Script { commands })
    }
}

fn load_head(line: usize, text: &str) -> Result<Load, ScriptError> {
    let invalid = || {
        ScriptError::new(
            line,
            "invalid load command. (load[_with_nhcb] <step:duration>)",
        )
    };
    let (command, step) = text.split_once([' ', '\t']).ok_or_else(invalid)?;
    let with_nhcb = match command {
        "load" => false,
        "load_with_nhcb" => true,
        _ => return Err(invalid()),
    };
    let step = step.trim();
    let step_ms = duration_ms(step)
        .map_err(|e| ScriptError::new(line, format!("invalid step definition {step:?}: {e}")))?;
    Ok(Load::new(step_ms, with_nhcb))
}

/// A duration of a script in milliseconds.
pub(super) fn duration_ms(text: &str) -> Result<i64, String> {
    parse_duration(text)
        .map(|duration| duration.as_millis() as i64)
        .map_err(|e| e.to_string())
}
