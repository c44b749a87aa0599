//! Fields with a `*_file` twin: `password` and `password_file`.

/// Checks that at most one of several alternatives is given: (name, given) pairs.
///
/// # Errors
/// Upstream's text, with the names as upstream writes them: `at most one of basic_auth password &
/// password_file must be configured`.
pub fn at_most_one(subject: &str, alternatives: &[(&str, bool)]) -> Result<(), String> {
    if alternatives.iter().filter(|(_, given)| *given).count() <= 1 {
        return Ok(());
    }
    let names: Vec<&str> = alternatives.iter().map(|(name, _)| *name).collect();
    let list = match &names[..] {
        [first, second] => format!("{first} & {second}"),
        [start @ .., last] => format!("{} & {last}", start.join(", ")),
        [] => String::new(),
    };
    let space = if subject.is_empty() { "" } else { " " };
    Err(format!(
        "at most one of {subject}{space}{list} must be configured"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_alternatives() {
        assert_eq!(at_most_one("", &[("a", true), ("a_file", false)]), Ok(()));
        assert_eq!(
            at_most_one("basic_auth", &[("password", true), ("password_file", true)]),
            Err("at most one of basic_auth password & password_file must be configured".to_owned())
        );
        assert_eq!(
            at_most_one("", &[("a", true), ("b", false), ("c", true)]),
            Err("at most one of a, b & c must be configured".to_owned())
        );
    }
}
