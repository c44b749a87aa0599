//! A page of metrics as the tests look at it.

use std::collections::BTreeMap;

/// Series with their values, and families with what is said of them.
#[derive(Debug, Default)]
pub struct Page {
    pub series: BTreeMap<String, f64>,
    /// `HELP` and `TYPE` lines by family.
    pub said: BTreeMap<String, Vec<String>>,
}

impl Page {
    pub fn parse(text: &str) -> Page {
        let mut page = Page::default();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# ") {
                let family = rest.split(' ').nth(1).unwrap_or_default();
                let said = page.said.entry(family.to_owned()).or_default();
                said.push(line.to_owned());
            } else if let Some((series, value)) = line.rsplit_once(' ') {
                let value = value.parse().unwrap_or_else(|_| panic!("{line}"));
                page.series.insert(series.to_owned(), value);
            }
        }
        page
    }

    pub fn value(&self, series: &str) -> Option<f64> {
        self.series.get(series).copied()
    }

    /// The series of a family.
    pub fn of<'p>(&'p self, family: &'p str) -> impl Iterator<Item = (&'p str, f64)> + 'p {
        self.series
            .iter()
            .filter(move |(series, _)| {
                let rest = series.strip_prefix(family);
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('{'))
            })
            .map(|(series, value)| (series.as_str(), *value))
    }
}
