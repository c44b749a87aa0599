//! The layout of upstream's printed configuration where a YAML writer has another one.

use std::fmt::Write as _;

/// Writes the lists of `source_labels` on one line, as upstream does.
pub(crate) fn flow_source_labels(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let key = line.trim_start_matches([' ', '-']);
        out.push_str(line);
        if key == "source_labels:" {
            let indent = line.len() - key.len();
            let mut items = Vec::new();
            while let Some(item) = lines.peek().and_then(|next| item_at(next, indent)) {
                items.push(flow_item(item));
                lines.next();
            }
            // Writing to a text cannot fail.
            let _ = write!(out, " [{}]", items.join(", "));
        }
        out.push('\n');
    }
    out
}

/// The item of a list whose dash is at column `indent`.
fn item_at(line: &str, indent: usize) -> Option<&str> {
    let (before, rest) = line.split_at_checked(indent)?;
    let blank = before.bytes().all(|b| b == b' ');
    rest.strip_prefix("- ").filter(|_| blank)
}

/// An item within brackets: what would end it there is quoted.
fn flow_item(item: &str) -> String {
    let quoted = item.starts_with(['\'', '"']);
    if !quoted && item.contains([',', '[', ']', '{', '}']) {
        return format!("'{item}'");
    }
    item.to_owned()
}

#[cfg(test)]
mod tests {
    use super::flow_source_labels;

    #[test]
    fn lists_of_source_labels_are_on_one_line() {
        let text = "a:\n- source_labels:\n  - __address__\n  - a,b\n  - 'x y'\n  separator: ;\n- action: drop\n  source_labels:\n  - c\nb:\n- d\n";
        let expected = "a:\n- source_labels: [__address__, 'a,b', 'x y']\n  separator: ;\n- action: drop\n  source_labels: [c]\nb:\n- d\n";
        assert_eq!(flow_source_labels(text), expected);
    }
}
