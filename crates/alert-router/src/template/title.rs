//! `title`: every word with a capital and the rest small (golang.org/x/text `cases.Title`).

/// Words as Unicode breaks them: apostrophes, points and colons between letters, digits, and
/// underscores do not end one. The first letter after the word's last digit is its capital too,
/// where no letter came before (`3Rd` but `X2y`).
pub(super) fn title(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut after_letter = false;
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        if c.is_alphabetic() {
            if after_letter {
                out.extend(c.to_lowercase());
            } else {
                out.extend(c.to_uppercase());
            }
            after_letter = true;
            continue;
        }
        out.push(c);
        let joins = matches!(c, '\'' | '.' | ':' | '\u{2019}' | '\u{b7}')
            && characters.peek().is_some_and(|next| next.is_alphabetic());
        after_letter &= joins || c.is_numeric() || c == '_';
    }
    out
}
