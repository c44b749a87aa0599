//! Warnings and infos that accompany an answer (prometheus/prometheus `util/annotations`).

/// Whether the annotation makes a result doubtful, or only explains it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Level {
    Warning,
    Info,
}

/// A set of annotations, each text once, in the order of their arrival.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Annotations(Vec<(Level, String)>);

impl Annotations {
    /// Adds an annotation unless it is there already.
    pub fn add(&mut self, level: Level, text: impl Into<String>) {
        let entry = (level, text.into());
        if !self.0.contains(&entry) {
            self.0.push(entry);
        }
    }

    /// Adds all of `other`'s.
    pub fn merge(&mut self, other: Annotations) {
        for (level, text) in other.0 {
            self.add(level, text);
        }
    }

    /// The warnings' texts.
    pub fn warnings(&self) -> impl Iterator<Item = &str> {
        self.of(Level::Warning)
    }

    /// The infos' texts.
    pub fn infos(&self) -> impl Iterator<Item = &str> {
        self.of(Level::Info)
    }

    fn of(&self, level: Level) -> impl Iterator<Item = &str> {
        self.0
            .iter()
            .filter(move |(l, _)| *l == level)
            .map(|(_, text)| text.as_str())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
