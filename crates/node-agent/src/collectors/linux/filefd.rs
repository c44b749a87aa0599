//! filefd: open files, of /proc/sys/fs/file-nr.

use super::{CollectError, Outcome};
use crate::files::Files;
use crate::page::Page;

/// Allocated, unused (always 0), maximum.
fn parse(text: &str) -> Option<(f64, f64)> {
    let mut fields = text.split_ascii_whitespace().map(|f| f.parse().ok());
    Some((fields.next()??, fields.nth(1)??))
}

pub fn collect(files: &mut Files, out: &mut Page) -> Outcome {
    let text = files.proc("sys/fs/file-nr")?;
    let (allocated, maximum) = parse(text).ok_or_else(|| CollectError::invalid("file-nr", text))?;
    for (field, value) in [("allocated", allocated), ("maximum", maximum)] {
        let help = format!("File descriptor statistics: {field}.");
        out.gauge(&format!("node_filefd_{field}"), &help, &[], value);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn three_columns() {
        assert_eq!(
            super::parse("1024\t0\t1631329\n"),
            Some((1024.0, 1_631_329.0))
        );
        assert_eq!(super::parse("1024 0"), None);
        assert_eq!(super::parse(""), None);
    }
}
