//! Columns as Go's text/tabwriter aligns them, with two blanks between.

/// Aligns lines whose cells end with tabs; what follows a line's last tab is not part of a column.
/// A column is as wide as the widest cell of the lines in a row that have it.
pub fn align(text: &str) -> String {
    let lines: Vec<Vec<&str>> = text
        .lines()
        .map(|line| line.split('\t').collect())
        .collect();
    let mut widths: Vec<Vec<usize>> = lines.iter().map(|line| vec![0; line.len()]).collect();
    let columns = lines.iter().map(Vec::len).max().unwrap_or(0);
    for column in 0..columns {
        let has = |line: &Vec<&str>| column + 1 < line.len();
        let mut at = 0;
        while at < lines.len() {
            let run = lines[at..].iter().take_while(|line| has(line)).count();
            let cells = lines[at..at + run].iter().map(|line| line[column]);
            let width = cells
                .map(|cell| cell.chars().count() + 2)
                .max()
                .unwrap_or(0);
            for line in &mut widths[at..at + run] {
                line[column] = width;
            }
            at += run.max(1);
        }
    }
    let mut out = String::new();
    for (line, widths) in lines.iter().zip(&widths) {
        for (cell, width) in line.iter().zip(widths) {
            out.push_str(cell);
            let missing = width.saturating_sub(cell.chars().count());
            out.extend(std::iter::repeat_n(' ', missing));
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::align;

    #[test]
    fn columns() {
        assert_eq!(
            align("ID\tName\t\nlonger\tü\t\n"),
            "ID      Name  \nlonger  ü     \n"
        );
        assert_eq!(
            align("Cluster Status:\tready\nNode Name:\tx\n\nAddress\tName\n127.0.0.1:9094\tx\t\n"),
            "Cluster Status:  ready\nNode Name:       x\n\nAddress         Name\n127.0.0.1:9094  x  \n"
        );
    }
}
