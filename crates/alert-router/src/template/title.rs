//! `title`: every word with a capital and the rest small (golang.org/x/text `cases.Title`).

/// Words as Unicode breaks them: apostrophes, points and colons between letters, and underscores,
/// do not end one.
pub(super) fn title(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut in_word = false;
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        let joins = matches!(c, '\'' | '.' | ':' | '\u{2019}' | '\u{b7}')
            && in_word
            && characters.peek().is_some_and(|next| next.is_alphabetic());
        if c.is_alphabetic() {
            if in_word {
                out.extend(c.to_lowercase());
            } else {
                out.extend(c.to_uppercase());
            }
            in_word = true;
        } else {
            out.push(c);
            in_word = joins || in_word && (c.is_numeric() || c == '_');
        }
    }
    out
}
