//! The coloured difference that promtool's `test rules --diff` shows of alerts.

use model::Labels;

use super::verdict::Fired;

const ADDED: &str = "\u{1b}[0;32m";
const REMOVED: &str = "\u{1b}[0;31m";
const CHANGED: &str = "\u{1b}[0;33m";
const NORMAL: &str = "\u{1b}[0m";
const STEP: &str = "    ";

/// Both lists as one JSON text; what differs is coloured: expected only, received only, changed.
pub(super) fn alerts_diff(expected: &[Fired], got: &[Fired]) -> String {
    let count = expected.len().max(got.len());
    if count == 0 {
        return "[]".to_owned();
    }
    // An alert that only one side has is compared with one without labels.
    let none = Fired {
        labels: Labels::empty(),
        annotations: Labels::empty(),
    };
    let items: Vec<String> = (0..count)
        .map(|i| {
            both(
                expected.get(i).unwrap_or(&none),
                got.get(i).unwrap_or(&none),
            )
        })
        .map(|item| format!("{STEP}{}", item.replace('\n', &format!("\n{STEP}"))))
        .collect();
    format!("[\n{}\n]", items.join(",\n"))
}

fn coloured(colour: &str, text: &str) -> String {
    format!("{colour}{text}{NORMAL}")
}

fn both(expected: &Fired, got: &Fired) -> String {
    format!(
        "{{\n{STEP}\"Annotations\": {},\n{STEP}\"Labels\": {}\n}}",
        map(&expected.annotations, &got.annotations),
        map(&expected.labels, &got.labels)
    )
}

fn map(expected: &Labels, got: &Labels) -> String {
    let mut names: Vec<&str> = expected.iter().chain(got.iter()).map(|(n, _)| n).collect();
    names.sort_unstable();
    names.dedup();
    if names.is_empty() {
        return "{}".to_owned();
    }
    let quote = golang::strconv::quote;
    let lines: Vec<String> = names
        .into_iter()
        .map(|name| {
            let text = match (expected.find(name), got.find(name)) {
                (Some(a), Some(b)) if a == b => format!("{}: {}", quote(name), quote(a)),
                (Some(a), Some(b)) => {
                    let change = format!("{} => {}", quote(a), quote(b));
                    format!("{}: {}", quote(name), coloured(CHANGED, &change))
                }
                (Some(a), None) => coloured(REMOVED, &format!("{}: {}", quote(name), quote(a))),
                (None, Some(b)) => coloured(ADDED, &format!("{}: {}", quote(name), quote(b))),
                (None, None) => String::new(),
            };
            format!("{STEP}{STEP}{text}")
        })
        .collect();
    format!("{{\n{}\n{STEP}}}", lines.join(",\n"))
}
