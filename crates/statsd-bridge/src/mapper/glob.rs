//! Glob mappings as a tree (statsd_exporter `pkg/mapper/fsm/fsm.go`).
//!
//! A level of the tree is a field of the name between dots; an edge is a field's text or `*`. Every
//! node has one path to it, so a search visits no node twice, whatever backtracking it takes.

use std::collections::HashMap;
use std::fmt::Write;

use smallvec::SmallVec;

/// The kinds of metrics a mapping may be limited to, in the order of the tree's roots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum EventType {
    Counter,
    Gauge,
    Observer,
}

impl EventType {
    /// All of them.
    pub const ALL: [EventType; 3] = [EventType::Counter, EventType::Gauge, EventType::Observer];

    /// The word in configuration and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            EventType::Counter => "counter",
            EventType::Gauge => "gauge",
            EventType::Observer => "observer",
        }
    }
}

/// What the `*` of a match stood for.
pub(crate) type Captures<'a> = SmallVec<[&'a str; 12]>;

#[derive(Debug, Clone, Default)]
struct Node {
    literal: HashMap<Box<str>, usize, foldhash::fast::RandomState>,
    star: Option<usize>,
    /// The mapping that ends here; the smaller number stood earlier in the file.
    rule: Option<usize>,
}

/// The tree.
#[derive(Debug, Clone)]
pub(crate) struct Globs {
    nodes: Vec<Node>,
    /// Specific fields go before `*`, whatever the order in the file.
    unordered: bool,
}

impl Globs {
    pub(crate) fn new(unordered: bool) -> Globs {
        Globs {
            nodes: vec![Node::default(); EventType::ALL.len()],
            unordered,
        }
    }

    /// Adds a glob for one type, or all; answers how many `*` it has.
    pub(crate) fn add(&mut self, glob: &str, only: Option<EventType>, rule: usize) -> usize {
        for root in EventType::ALL {
            if only.is_none_or(|only| only == root) {
                self.add_at(root as usize, glob, rule);
            }
        }
        glob.split('.').filter(|field| *field == "*").count()
    }

    fn add_at(&mut self, root: usize, glob: &str, rule: usize) {
        let mut at = root;
        for field in glob.split('.') {
            let next = self.nodes.len();
            let node = &mut self.nodes[at];
            at = match field {
                "*" => *node.star.get_or_insert(next),
                _ => *node.literal.entry(field.into()).or_insert(next),
            };
            if at == next {
                self.nodes.push(Node::default());
            }
        }
        // Of two alike the first one counts.
        self.nodes[at].rule.get_or_insert(rule);
    }

    /// The mapping of a name, with its captures.
    pub(crate) fn find<'a>(
        &self,
        name: &'a str,
        event_type: EventType,
    ) -> Option<(usize, Captures<'a>)> {
        let mut search = Search {
            globs: self,
            path: Captures::new(),
            best: None,
        };
        search.walk(event_type as usize, name);
        search.best
    }

    /// The tree as a graph in Graphviz' language.
    pub(crate) fn dot(&self) -> String {
        let mut out = String::from("digraph g {\nrankdir=LR\n");
        out.push_str("node [ label=\"\",style=filled,fillcolor=white,shape=circle ]\n");
        // Writing to a string cannot fail.
        for event_type in EventType::ALL {
            let at = event_type as usize + 1;
            let _ = writeln!(out, "0 -> {at}  [label = \"{}\"];", event_type.as_str());
            let _ = writeln!(out, "{at} [color=\"#D6B656\",fillcolor=\"#FFF2CC\"];");
        }
        for (i, node) in self.nodes.iter().enumerate() {
            let mut edges: Vec<(&str, usize)> = node
                .literal
                .iter()
                .map(|(text, to)| (&**text, *to))
                .collect();
            edges.extend(node.star.map(|to| ("*", to)));
            edges.sort_unstable();
            for (text, to) in edges {
                let (from, to, ends) = (i + 1, to + 1, self.nodes[to].rule.is_some());
                let _ = writeln!(out, "{from} -> {to}  [label = \"{text}\"];");
                if ends {
                    let _ = writeln!(out, "{to} [color=\"#82B366\",fillcolor=\"#D5E8D4\"];");
                }
            }
        }
        out.push_str("}\n");
        out
    }
}

struct Search<'g, 'a> {
    globs: &'g Globs,
    path: Captures<'a>,
    best: Option<(usize, Captures<'a>)>,
}

impl<'a> Search<'_, 'a> {
    /// Goes down from a node; as deep as the longest glob at most. True: no more looking.
    fn walk(&mut self, at: usize, rest: &'a str) -> bool {
        let node = &self.globs.nodes[at];
        let (field, rest) = match rest.split_once('.') {
            Some((field, rest)) => (field, Some(rest)),
            None => (rest, None),
        };
        if let Some(next) = node.literal.get(field)
            && self.step(*next, rest)
        {
            return true;
        }
        let Some(next) = node.star else { return false };
        self.path.push(field);
        let done = self.step(next, rest);
        self.path.pop();
        done
    }

    fn step(&mut self, at: usize, rest: Option<&'a str>) -> bool {
        if let Some(rest) = rest {
            return self.walk(at, rest);
        }
        let Some(rule) = self.globs.nodes[at].rule else {
            return false;
        };
        if self.best.as_ref().is_none_or(|(best, _)| rule < *best) {
            self.best = Some((rule, self.path.clone()));
        }
        self.globs.unordered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_decides_unless_switched_off() {
        for (unordered, expected) in [(false, 0), (true, 1)] {
            let mut globs = Globs::new(unordered);
            assert_eq!(globs.add("a.*.c", None, 0), 1);
            assert_eq!(globs.add("a.b.*", Some(EventType::Counter), 1), 1);
            let found = globs.find("a.b.c", EventType::Counter).unwrap();
            assert_eq!(found.0, expected);
            assert_eq!(globs.find("a.b.c", EventType::Gauge).unwrap().0, 0);
            assert_eq!(
                globs.find("a.x.c", EventType::Gauge).unwrap().1.as_slice(),
                ["x"]
            );
            assert!(globs.find("a.b", EventType::Gauge).is_none());
            assert!(globs.find("a.b.c.d", EventType::Counter).is_none());
            assert!(globs.dot().contains("label = \"*\""));
        }
    }

    #[test]
    fn a_shorter_glob_after_a_longer_one_matches() {
        let mut globs = Globs::new(false);
        globs.add("a.b.c", None, 0);
        globs.add("a.b", None, 1);
        assert_eq!(globs.find("a.b", EventType::Gauge).unwrap().0, 1);
    }
}
