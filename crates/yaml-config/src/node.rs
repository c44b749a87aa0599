//! A document as a tree with positions.

use std::collections::HashMap;
use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use libyaml_safer::{EventData, Parser, ScalarStyle};

use crate::error::{Error, Kind};

/// How deep collections may be nested; libyaml has no bound of its own, our recursion needs one.
const MAX_DEPTH: usize = 200;

/// A decoded YAML value with its place in the text, for sections that are decoded later:
/// [`crate::from_value`].
#[derive(Debug, Clone)]
pub struct Value(pub(crate) Node);

#[derive(Debug, Clone)]
pub(crate) struct Node {
    /// Both from 1.
    pub line: u64,
    pub column: u64,
    pub data: Data,
}

#[derive(Debug, Clone)]
pub(crate) enum Data {
    Scalar(Scalar),
    Sequence(Arc<Vec<Node>>),
    Mapping(Arc<Vec<(Node, Node)>>),
}

#[derive(Debug, Clone)]
pub(crate) struct Scalar {
    pub text: Arc<str>,
    /// Neither quoted nor a block: its type follows from its text.
    pub plain: bool,
    /// An explicit tag: `!!str`.
    pub tag: Option<Arc<str>>,
    /// What `!!binary` stands for, where that is no text.
    pub binary: Option<Arc<[u8]>>,
}

impl Scalar {
    /// What `!!binary` stands for in the place of how it is written (go-yaml `resolve.go`).
    fn decoded(mut self) -> Result<Scalar, Error> {
        if self.tag.as_deref() != Some("tag:yaml.org,2002:binary") {
            return Ok(self);
        }
        let written: String = self.text.split_ascii_whitespace().collect();
        let bytes = STANDARD
            .decode(written)
            .map_err(|_| Error::new(Kind::Syntax, "!!binary value contains invalid base64 data"))?;
        match String::from_utf8(bytes) {
            Ok(text) => self.text = text.into(),
            Err(error) => self.binary = Some(error.into_bytes().into()),
        }
        self.tag = Some("tag:yaml.org,2002:str".into());
        Ok(self)
    }
}

impl Node {
    pub fn null() -> Node {
        Node {
            line: 1,
            column: 1,
            data: Data::Scalar(Scalar {
                text: "".into(),
                plain: true,
                tag: None,
                binary: None,
            }),
        }
    }
}

/// The first document of a text, and whether another one follows. An empty text is `null`.
pub(crate) fn parse(text: &str, look_further: bool) -> Result<(Node, bool), Error> {
    // The port keeps libyaml's assertions; should one fail on some text, that is a refusal of the
    // text and not the end of the process.
    catch_unwind(AssertUnwindSafe(|| parse_inner(text, look_further))).unwrap_or_else(|_| {
        Err(Error::new(
            Kind::Syntax,
            "the parser cannot cope with this text",
        ))
    })
}

fn parse_inner(text: &str, look_further: bool) -> Result<(Node, bool), Error> {
    // The port asserts where libyaml reads a padding NUL: a last line without its break gets one, and
    // a block scalar there loses it again below.
    let open_end = !text.is_empty() && !text.ends_with(['\n', '\r']);
    let mut parser = Parser::new();
    parser.set_input(
        text.as_bytes()
            .chain(if open_end { &b"\n"[..] } else { b"" }),
    );
    let last_line = text.rsplit(['\n', '\r']).next().unwrap_or_default();
    let mut builder = Builder {
        parser,
        anchors: HashMap::new(),
        added_break_at: (open_end && !last_line.trim().is_empty()).then_some(text.len() as u64),
    };
    loop {
        match builder.next()?.0 {
            EventData::StreamEnd => return Ok((Node::null(), false)),
            EventData::DocumentStart { .. } => break,
            _ => {}
        }
    }
    let (event, place) = builder.next()?;
    let node = builder.node(event, place, 0)?;
    let mut more = false;
    if look_further {
        loop {
            match builder.next()?.0 {
                EventData::StreamEnd => break,
                EventData::DocumentStart { .. } => {
                    more = true;
                    break;
                }
                _ => {}
            }
        }
    }
    Ok((node, more))
}

struct Builder<R> {
    parser: Parser<R>,
    anchors: HashMap<String, Node>,
    /// Where a line break was added that is not part of the text.
    added_break_at: Option<u64>,
}

impl<R: std::io::BufRead> Builder<R> {
    fn next(&mut self) -> Result<(EventData, (u64, u64)), Error> {
        let event = self.parser.parse().map_err(|error| {
            let mark = error.problem_mark().or(error.context_mark());
            let syntax = Error::new(Kind::Syntax, error.problem());
            match mark {
                Some(mark) => syntax.at(mark.line + 1, mark.column + 1),
                None => syntax,
            }
        })?;
        let (mark, end) = (event.start_mark, event.end_mark);
        let mut data = event.data;
        if let EventData::Scalar {
            value,
            style: ScalarStyle::Literal | ScalarStyle::Folded,
            ..
        } = &mut data
            && self.added_break_at.is_some_and(|at| end.index > at)
            && value.ends_with('\n')
        {
            value.pop();
        }
        Ok((data, (mark.line + 1, mark.column + 1)))
    }

    fn node(
        &mut self,
        event: EventData,
        (line, column): (u64, u64),
        depth: usize,
    ) -> Result<Node, Error> {
        if depth > MAX_DEPTH {
            return Err(Error::new(Kind::Syntax, "exceeded max depth").at(line, column));
        }
        let (data, anchor) = match event {
            EventData::Alias { anchor } => {
                let Some(known) = self.anchors.get(&anchor) else {
                    let message = format!("unknown anchor '{anchor}' referenced");
                    return Err(Error::new(Kind::Syntax, message).at(line, column));
                };
                return Ok(Node {
                    line,
                    column,
                    ..known.clone()
                });
            }
            EventData::Scalar {
                anchor,
                tag,
                value,
                style,
                ..
            } => {
                let scalar = Scalar {
                    text: value.into(),
                    plain: style == ScalarStyle::Plain,
                    tag: tag.filter(|tag| tag != "!").map(Into::into),
                    binary: None,
                };
                let scalar = scalar.decoded().map_err(|error| error.at(line, column))?;
                (Data::Scalar(scalar), anchor)
            }
            EventData::SequenceStart { anchor, .. } => {
                let mut items = Vec::new();
                loop {
                    match self.next()? {
                        (EventData::SequenceEnd, _) => break,
                        (event, place) => items.push(self.node(event, place, depth + 1)?),
                    }
                }
                (Data::Sequence(Arc::new(items)), anchor)
            }
            EventData::MappingStart { anchor, .. } => {
                let mut pairs = Vec::new();
                loop {
                    let key = match self.next()? {
                        (EventData::MappingEnd, _) => break,
                        (event, place) => self.node(event, place, depth + 1)?,
                    };
                    let (event, place) = self.next()?;
                    pairs.push((key, self.node(event, place, depth + 1)?));
                }
                (Data::Mapping(Arc::new(pairs)), anchor)
            }
            // The parser puts nothing else where a node belongs.
            _ => return Err(Error::new(Kind::Syntax, "expected a node").at(line, column)),
        };
        let node = Node { line, column, data };
        if let Some(anchor) = anchor {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }
}
