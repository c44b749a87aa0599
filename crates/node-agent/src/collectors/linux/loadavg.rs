//! loadavg: /proc/loadavg.

use super::{CollectError, Outcome};
use crate::files::Files;
use crate::page::Page;

/// The three averages at the beginning of the line.
fn parse(text: &str) -> Option<[f64; 3]> {
    let mut fields = text.split_ascii_whitespace().map(|f| f.parse().ok());
    Some([fields.next()??, fields.next()??, fields.next()??])
}

pub fn collect(files: &mut Files, out: &mut Page) -> Outcome {
    let text = files.proc("loadavg")?;
    let loads = parse(text).ok_or_else(|| CollectError::invalid("loadavg", text))?;
    for (minutes, load) in ["1", "5", "15"].iter().zip(loads) {
        let name = format!("node_load{minutes}");
        out.gauge(&name, &format!("{minutes}m load average."), &[], load);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_numbers() {
        assert_eq!(
            parse("0.21 0.37 0.39 1/719 19737\n"),
            Some([0.21, 0.37, 0.39])
        );
        for text in ["", "0.21 0.37", "a b c", "\0\0"] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }
}
