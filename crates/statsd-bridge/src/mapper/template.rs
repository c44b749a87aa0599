//! `$1` and `${1}` in names and labels of glob mappings (statsd_exporter `pkg/mapper/fsm/formatter.go`).

/// A text with references to captures.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Template(Vec<Part>);

#[derive(Debug, Clone, PartialEq)]
enum Part {
    Text(String),
    Capture(usize),
}

impl Template {
    /// Parses `text`; a reference is `$` and the longest run of letters, digits, `_` and `$`, with or
    /// without braces. One that is no number from 1 to `captures` stands for nothing: so does
    /// `$1_total`, as upstream.
    pub(crate) fn new(text: &str, captures: usize) -> Template {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            literal.push_str(before);
            let body = after.strip_prefix('{').unwrap_or(after);
            let in_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '$';
            let end = body.find(|c| !in_name(c)).unwrap_or(body.len());
            if end == 0 {
                literal.push('$');
                rest = after;
                continue;
            }
            if let Ok(number) = body[..end].parse::<usize>()
                && (1..=captures).contains(&number)
            {
                if !literal.is_empty() {
                    parts.push(Part::Text(std::mem::take(&mut literal)));
                }
                parts.push(Part::Capture(number - 1));
            }
            rest = body[end..].strip_prefix('}').unwrap_or(&body[end..]);
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(Part::Text(literal));
        }
        Template(parts)
    }

    /// The text with the captures put in.
    pub(crate) fn expand(&self, captures: &[&str]) -> String {
        let mut out = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Capture(index) => out.push_str(captures.get(*index).unwrap_or(&"")),
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expands() {
        for (text, expected) in [
            ("plain", "plain"),
            ("a_$1", "a_x"),
            ("${1}_b", "x_b"),
            ("$1_b", ""),
            ("$2-$1.$1", "y-x.x"),
            ("$1$2", ""),
            ("$0$3", ""),
            ("$ ${ $", "$ ${ $"),
            ("100% $1", "100% x"),
            ("$9", ""),
        ] {
            let template = Template::new(text, 2);
            assert_eq!(template.expand(&["x", "y"]), expected, "{text}");
        }
    }
}
