//! From a configuration to integrations that can send.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config::Config;
use crate::config::receiver::ReceiverSection;
use crate::engine::Live;
use crate::matcher::Mode;
use crate::notify::discord::Discord;
use crate::notify::email::Email;
use crate::notify::mattermost::Mattermost;
use crate::notify::msteamsv2::MsTeamsV2;
use crate::notify::opsgenie::OpsGenie;
use crate::notify::pace::Pace;
use crate::notify::pagerduty::Pagerduty;
use crate::notify::pushover::Pushover;
use crate::notify::render::{Expander, Render};
use crate::notify::slack::Slack;
use crate::notify::telegram::Telegram;
use crate::notify::webhook::Webhook;
use crate::notify::{Integration, Notifier};
use crate::template::Templates;

/// Why a configuration cannot be put to work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("{0}: {1}")]
    File(PathBuf, std::io::Error),
    /// The configuration is wrong.
    #[error("{0}: {1}")]
    Config(PathBuf, crate::config::Error),
    /// A template file is wrong.
    #[error("failed to parse templates: {0}: {1}")]
    Template(PathBuf, String),
    /// An integration cannot be made.
    #[error("receiver {0:?}: {1}[{2}]: {3}")]
    Integration(String, &'static str, usize, String),
    /// An integration that cannot send in this version.
    #[error(
        "receiver {receiver:?}: {kind}_configs (line {line}) cannot send notifications in this version; remove it or use another kind of integration"
    )]
    Refused {
        /// The receiver.
        receiver: String,
        /// The kind of integration.
        kind: &'static str,
        /// Where it stands.
        line: u64,
    },
}

/// Reads a configuration and its template files, and makes its integrations.
///
/// # Errors
/// [`Error`].
pub fn load(file: &Path, mode: Mode, external_url: &str, hostname: &str) -> Result<Live, Error> {
    let text = std::fs::read_to_string(file).map_err(|e| Error::File(file.to_owned(), e))?;
    let directory = file.parent().unwrap_or(Path::new(""));
    let config =
        Config::parse(&text, mode, directory).map_err(|e| Error::Config(file.to_owned(), e))?;
    if config.file.tracing.is_some() {
        tracing::warn!("tracing is not available in this version; the section is ignored");
    }
    let render: Arc<dyn Render> = Arc::new(Expander {
        templates: templates(&config.templates)?,
        external_url: external_url.to_owned(),
    });
    let mut receivers = HashMap::new();
    for receiver in &config.file.receivers {
        let integrations = integrations(receiver, &render, hostname)?;
        receivers.insert(Arc::from(receiver.name.as_str()), integrations);
    }
    Ok(Live::new(config, receivers))
}

/// The built-in templates and those of the files that the patterns name.
///
/// # Errors
/// Files that cannot be read or are no templates.
pub fn templates(patterns: &[PathBuf]) -> Result<Templates, Error> {
    let built_in = PathBuf::from("default.tmpl");
    let mut templates = Templates::new().map_err(|e| Error::Template(built_in, e.to_string()))?;
    for pattern in patterns {
        let files = glob(pattern).map_err(|e| Error::Template(pattern.clone(), e))?;
        if files.is_empty() {
            tracing::warn!(pattern = %pattern.display(), "no template files match");
        }
        for file in files {
            let text = std::fs::read_to_string(&file).map_err(|e| Error::File(file.clone(), e))?;
            let name = file.file_name().map(|n| n.to_string_lossy().into_owned());
            templates
                .add(&name.unwrap_or_default(), &text)
                .map_err(|e| Error::Template(file, e.to_string()))?;
        }
    }
    Ok(templates)
}

/// The files that a pattern names (Go's `filepath.Glob`: `*`, `?` and `[...]` in every part of the
/// path), sorted.
fn glob(pattern: &Path) -> Result<Vec<PathBuf>, String> {
    let mut found = vec![PathBuf::new()];
    for part in pattern.components() {
        let text = part.as_os_str().to_string_lossy();
        if !text.contains(['*', '?', '[']) {
            found.iter_mut().for_each(|path| path.push(part));
            continue;
        }
        let regex = glob_part(&text)?;
        let mut next = Vec::new();
        for directory in found {
            let listed = if directory.as_os_str().is_empty() {
                Path::new(".")
            } else {
                &directory
            };
            let Ok(entries) = std::fs::read_dir(listed) else {
                continue;
            };
            for entry in entries.flatten() {
                let name = entry.file_name();
                if regex.is_match(&name.to_string_lossy()) {
                    next.push(directory.join(name));
                }
            }
        }
        next.sort();
        found = next;
    }
    found.retain(|path| path.exists());
    Ok(found)
}

fn glob_part(text: &str) -> Result<golang::regexp::Regexp, String> {
    let mut pattern = String::from("^");
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '*' => pattern.push_str("[^/]*"),
            '?' => pattern.push_str("[^/]"),
            '[' => {
                pattern.push('[');
                loop {
                    match chars.next() {
                        None => return Err("syntax error in pattern".to_owned()),
                        Some(']') => break,
                        Some(c @ ('[' | '\\' | '&' | '~')) => {
                            pattern.push('\\');
                            pattern.push(c);
                        }
                        Some(c) => pattern.push(c),
                    }
                }
                pattern.push(']');
            }
            c if c.is_ascii_punctuation() => {
                pattern.push('\\');
                pattern.push(c);
            }
            c => pattern.push(c),
        }
    }
    pattern.push('$');
    golang::regexp::Regexp::new(&pattern).map_err(|_| "syntax error in pattern".to_owned())
}

/// Refuses the kinds of integrations that cannot send in this version.
///
/// # Errors
/// [`Error::Refused`].
pub fn check_can_send(receiver: &ReceiverSection) -> Result<(), Error> {
    macro_rules! refuse {
        ($($field:ident $kind:literal;)*) => {
            $(if let Some(config) = receiver.$field.first() {
                return Err(Error::Refused {
                    receiver: receiver.name.clone(),
                    kind: $kind,
                    line: config.line,
                });
            })*
        };
    }
    refuse! {
        incidentio_configs "incidentio";
        jira_configs "jira";
        msteams_configs "msteams";
        rocketchat_configs "rocketchat";
        sns_configs "sns";
        victorops_configs "victorops";
        webex_configs "webex";
        wechat_configs "wechat";
    }
    Ok(())
}

fn integrations(
    receiver: &ReceiverSection,
    render: &Arc<dyn Render>,
    hostname: &str,
) -> Result<Vec<Integration>, Error> {
    check_can_send(receiver)?;
    let mut integrations = Vec::new();
    macro_rules! make {
        ($($field:ident $kind:literal $new:expr;)*) => {
            $(for (index, config) in receiver.$field.iter().enumerate() {
                let notifier = boxed($new(config.value.clone())).map_err(|e| {
                    Error::Integration(receiver.name.clone(), $kind, index, e)
                })?;
                integrations.push(Integration {
                    name: $kind,
                    index: u32::try_from(index).unwrap_or(u32::MAX),
                    send_resolved: config.send_resolved,
                    notifier,
                    pace: Pace::default(),
                });
            })*
        };
    }
    let render = || Arc::clone(render);
    make! {
        webhook_configs "webhook" |c| Webhook::new(c, render());
        email_configs "email" |c| Ok(Email::new(c, render(), hostname.to_owned()));
        pagerduty_configs "pagerduty" |c| Pagerduty::new(c, render());
        opsgenie_configs "opsgenie" |c| OpsGenie::new(c, render());
        slack_configs "slack" |c| Slack::new(c, render());
        pushover_configs "pushover" |c| Pushover::new(c, render());
        telegram_configs "telegram" |c| Telegram::new(c, render());
        discord_configs "discord" |c| Discord::new(c, render());
        msteamsv2_configs "msteamsv2" |c| MsTeamsV2::new(c, render());
        mattermost_configs "mattermost" |c| Mattermost::new(c, render());
    }
    Ok(integrations)
}

fn boxed<N: Notifier + 'static>(notifier: Result<N, String>) -> Result<Box<dyn Notifier>, String> {
    Ok(Box::new(notifier?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(directory: &Path, name: &str, text: &str) -> PathBuf {
        let path = directory.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    #[test]
    fn patterns_of_template_files() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a.tmpl", "b.tmpl", "c.txt", "sub/d.tmpl"] {
            write(dir.path(), name, "x");
        }
        for (pattern, names) in [
            ("*.tmpl", &["a.tmpl", "b.tmpl"][..]),
            ("[ac].*", &["a.tmpl", "c.txt"]),
            ("*/?.tmpl", &["sub/d.tmpl"]),
            ("a.tmpl", &["a.tmpl"]),
            ("nothing", &[]),
        ] {
            let found = glob(&dir.path().join(pattern)).unwrap();
            let wanted: Vec<PathBuf> = names.iter().map(|name| dir.path().join(name)).collect();
            assert_eq!(found, wanted, "{pattern}");
        }
        assert!(glob(Path::new("a[*")).is_err());
    }

    #[test]
    fn what_cannot_send_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let file = write(
            dir.path(),
            "am.yml",
            "route: {receiver: r}\nreceivers:\n- name: r\n  msteams_configs:\n  - webhook_url: http://x/\n",
        );
        let error = load(&file, Mode::Fallback, "", "h")
            .err()
            .unwrap()
            .to_string();
        assert!(
            error.starts_with("receiver \"r\": msteams_configs (line 5) cannot send"),
            "{error}"
        );
    }
}
