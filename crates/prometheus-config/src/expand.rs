//! `${VAR}` and `$VAR` in external labels (Go's `os.Expand`).

/// Replaces `${name}` and `$name` by what `env` answers (nothing where it has no answer); `$$` is a
/// dollar sign, and so is a `$` that no name follows.
pub(crate) fn expand_env(text: &str, env: &dyn Fn(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
            continue;
        }
        if let Some(braced) = rest.strip_prefix('{') {
            match braced.split_once('}') {
                // An empty name is bad syntax: Go eats it.
                Some((name, after)) => {
                    if !name.is_empty() {
                        out.push_str(&env(name).unwrap_or_default());
                    }
                    rest = after;
                }
                None => rest = braced,
            }
            continue;
        }
        let end = rest
            .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .unwrap_or(rest.len());
        if end == 0 {
            out.push('$');
        } else {
            out.push_str(&env(&rest[..end]).unwrap_or_default());
        }
        rest = &rest[end..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::expand_env;

    #[test]
    fn expands_as_go_does() {
        let env = |name: &str| (name == "TEST").then(|| "value".to_owned());
        for (text, expected) in [
            ("${TEST}", "value"),
            ("a$TEST-b", "avalue-b"),
            ("$$TEST", "$TEST"),
            ("${MISSING}x", "x"),
            ("$TESTx", ""),
            ("5$", "5$"),
            ("$-", "$-"),
            ("${}x", "x"),
            ("no", "no"),
        ] {
            assert_eq!(expand_env(text, &env), expected, "{text}");
        }
    }
}
