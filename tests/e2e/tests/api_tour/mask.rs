//! The written list of differences: which parts of which answers are not compared. Everything else is compared
//! byte for byte, so parts are cut out of the text itself and the order of an object's members counts.

/// A line of the list: `<path prefix> <what>`, then why. A `~` before it: only beside a Prometheus before 3.14.
struct Line {
    only_old: bool,
    target: String,
    what: String,
}

/// The list.
pub struct Differences {
    lines: Vec<Line>,
    /// The reference is older than the API that we have.
    old: bool,
}

impl Differences {
    /// Reads the list; a line without a reason is refused.
    pub fn parse(text: &str, old: bool) -> Differences {
        let lines = text
            .lines()
            .filter(|l| !l.is_empty() && !l.starts_with('#'));
        let lines = lines.map(|line| {
            let (rule, reason) = line.split_once(" # ").unwrap_or((line, ""));
            assert!(!reason.is_empty(), "a difference without a reason: {line}");
            let (rule, only_old) = match rule.trim().strip_prefix('~') {
                Some(rule) => (rule, true),
                None => (rule.trim(), false),
            };
            let (target, what) = rule
                .split_once(' ')
                .expect("a difference names a target and a part");
            Line {
                only_old,
                target: target.to_owned(),
                what: what.trim().to_owned(),
            }
        });
        Differences {
            lines: lines.collect(),
            old,
        }
    }

    /// The parts of the answer to `target` that are not compared.
    pub fn of<'a>(&'a self, target: &'a str) -> impl Iterator<Item = &'a str> + Clone {
        self.lines
            .iter()
            .filter(|line| self.old || !line.only_old)
            .filter(move |line| target.starts_with(&line.target))
            .map(|line| line.what.as_str())
    }
}

/// A JSON text with the values at `paths` (`data.activeTargets.*.lastScrape`) replaced by `"*"`, those at paths
/// with a `-` before them left out (`-**.x`: every member `x`), and arrays at paths with `sort:` before them sorted. What is no JSON stays as
/// it is.
pub fn masked(text: &str, paths: &[&str]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut reader = Reader { text, at: 0 };
    match reader.value(&mut Vec::new(), paths, &mut out) {
        Some(()) => {
            out.push_str(&text[reader.at..]);
            out
        }
        None => text.to_owned(),
    }
}

/// The members of the object `member` that only the second of two JSON texts has, as parts to be left out.
pub fn only_in_second(first: &[u8], second: &[u8], member: &str) -> Vec<String> {
    let object = |text: &[u8]| -> Option<serde_json::Map<String, serde_json::Value>> {
        let value: serde_json::Value = serde_json::from_slice(text).ok()?;
        value.get(member)?.as_object().cloned()
    };
    let (Some(first), Some(second)) = (object(first), object(second)) else {
        return Vec::new();
    };
    let only = second.keys().filter(|key| !first.contains_key(*key));
    only.map(|key| format!("-{member}.{key}")).collect()
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn take(&mut self, out: &mut String) -> Option<u8> {
        let byte = self.peek()?;
        out.push(byte as char);
        self.at += 1;
        Some(byte)
    }

    /// A string or another token that holds no other value.
    fn token(&mut self) -> Option<&'a str> {
        let from = self.at;
        if self.peek()? == b'"' {
            self.at += 1;
            loop {
                match self.peek()? {
                    b'\\' => self.at += 2,
                    b'"' => break,
                    _ => self.at += 1,
                }
            }
            self.at += 1;
        } else {
            while !matches!(self.peek(), None | Some(b',' | b']' | b'}' | b'\n')) {
                self.at += 1;
            }
        }
        self.text
            .get(from..self.at)
            .filter(|token| !token.is_empty())
    }

    fn value(&mut self, path: &mut Vec<String>, paths: &[&str], out: &mut String) -> Option<()> {
        if paths.iter().any(|wanted| fits(wanted, path)) {
            self.value(&mut vec!["(within)".to_owned()], &[], &mut String::new())?;
            out.push_str("\"*\"");
            return Some(());
        }
        let (open, close) = match self.peek()? {
            b'{' => ('{', b'}'),
            b'[' => ('[', b']'),
            _ => {
                out.push_str(self.token()?);
                return Some(());
            }
        };
        self.at += 1;
        let mut parts: Vec<String> = Vec::new();
        if self.peek()? == close {
            self.at += 1;
        } else {
            for n in 0.. {
                let mut part = String::new();
                let key = if close == b'}' {
                    let key = self.token()?;
                    part.push_str(key);
                    if self.take(&mut part)? != b':' {
                        return None;
                    }
                    key.trim_matches('"').to_owned()
                } else {
                    n.to_string()
                };
                path.push(key);
                self.value(path, paths, &mut part)?;
                let left_out =
                    |wanted: &&str| wanted.strip_prefix('-').is_some_and(|w| fits(w, path));
                if !paths.iter().any(left_out) {
                    parts.push(part);
                }
                path.pop();
                match self.take(&mut String::new())? {
                    b',' => {}
                    c if c == close => break,
                    _ => return None,
                }
            }
        }
        let sorted = |wanted: &&str| wanted.strip_prefix("sort:").is_some_and(|w| fits(w, path));
        if paths.iter().any(sorted) {
            parts.sort();
        }
        out.push(open);
        out.push_str(&parts.join(","));
        out.push(close as char);
        Some(())
    }
}

fn fits(wanted: &str, path: &[String]) -> bool {
    if let Some(name) = wanted.strip_prefix("**.") {
        return path.last().is_some_and(|last| last == name);
    }
    // Names of flags have dots of their own.
    if wanted == path.join(".") {
        return true;
    }
    let mut wanted = wanted.split('.').filter(|key| !key.is_empty());
    let all = path.iter().all(|key| match wanted.next() {
        Some("*") => true,
        Some(name) => name == key,
        None => false,
    });
    all && wanted.next().is_none()
}

#[test]
fn values_are_masked_where_they_stand() {
    let text = r#"{"a":[{"t":1.5,"s":"x\"}"},{"t":{"u":[]}}],"t":"kept"}"#;
    let expected = r#"{"a":[{"t":"*","s":"x\"}"},{"t":"*"}],"t":"kept"}"#;
    assert_eq!(masked(text, &["a.*.t"]), expected);
    assert_eq!(
        masked(r#"{"a":{"b":1,"c":2}}"#, &["-**.b"]),
        r#"{"a":{"c":2}}"#
    );
    assert_eq!(masked("[2,1]", &["sort:"]), "[1,2]");
    assert_eq!(masked(r#"{"a":1,"b":2}"#, &["-a"]), r#"{"b":2}"#);
    assert_eq!(masked("no JSON, at all", &["a"]), "no JSON, at all");
}
