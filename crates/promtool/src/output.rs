//! Printing as upstream's tools print: Go's tabwriter and texts of Go's types.

use std::io::Write;

use crate::FAILURE;

/// Prints an error as upstream's `checkErr` does; the exit code.
pub fn check(result: Result<(), String>) -> u8 {
    match result {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("{error}");
            FAILURE
        }
    }
}

/// Prints a line to standard output. A reader that went away ends the program, quietly.
pub fn line(out: &mut impl Write, text: std::fmt::Arguments<'_>) {
    if writeln!(out, "{text}").is_err() {
        std::process::exit(0);
    }
}

/// Rows in columns as Go's `text/tabwriter` lays them out with blanks: every cell but the last of a
/// row is padded, to at least `min_width`.
pub fn columns(rows: &[Vec<String>], min_width: usize, padding: usize) -> String {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter(|row| column + 1 < row.len());
        let widest = cells
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or(0);
        (widest + padding).max(min_width)
    };
    let widths: Vec<usize> = (0..count).map(width).collect();
    let mut out = String::new();
    for row in rows {
        for (i, cell) in row.iter().enumerate() {
            out.push_str(cell);
            if i + 1 < row.len() {
                let blanks = widths[i].saturating_sub(cell.chars().count());
                out.extend(std::iter::repeat_n(' ', blanks));
            }
        }
        out.push('\n');
    }
    out
}

/// Go's words for why a file cannot be read: `open <path>: no such file or directory`.
pub fn open_error(path: &str, error: &std::io::Error) -> String {
    format!("open {path}: {}", os_words(error))
}

/// An error of the operating system in C's words, which are Go's too.
pub fn os_words(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "no such file or directory".to_owned(),
        std::io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::columns;

    #[test]
    fn columns_are_gos() {
        let rows = [vec!["a", "b", ""], vec!["long one", "2", ""]];
        let rows: Vec<Vec<String>> = rows
            .iter()
            .map(|row| row.iter().map(|cell| (*cell).to_owned()).collect())
            .collect();
        assert_eq!(
            columns(&rows, 4, 4),
            "a           b    \nlong one    2    \n"
        );
    }
}
