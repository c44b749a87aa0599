//! What the lexer yields, and how error messages speak of it.

use golang::strconv::quote;

use crate::ast::{AggregateOp, BinaryOp, PosRange};

/// The kind of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// After the end of the input, or after an error: nothing follows.
    End,
    Eof,
    /// Text that is no token; the lexer has the message.
    Error,
    Comment,
    Identifier,
    /// An identifier with a colon.
    MetricIdentifier,
    Number,
    Duration,
    String,
    LeftParen,
    RightParen,
    LeftBrace,
    RightBrace,
    LeftBracket,
    RightBracket,
    Comma,
    Colon,
    At,
    /// `=`
    Eql,
    /// `=~`
    EqlRegex,
    /// `!~`
    NeqRegex,
    /// An operator between expressions; `!=` between a label and its value too.
    Op(BinaryOp),
    Aggregate(AggregateOp),
    Bool,
    By,
    Without,
    On,
    Ignoring,
    GroupLeft,
    GroupRight,
    Fill,
    FillLeft,
    FillRight,
    Offset,
    Smoothed,
    Anchored,
    Start,
    EndFn,
    Step,
    Range,
    MaxOf,
    MinOf,
    // Series descriptions.
    Blank,
    Space,
    Times,
    OpenHist,
    CloseHist,
    HistKey(HistKey),
    ResetHint(ResetHint),
}

/// A key of a histogram literal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HistKey {
    Sum,
    Count,
    Schema,
    Offset,
    NegativeOffset,
    Buckets,
    NegativeBuckets,
    ZeroBucket,
    ZeroBucketWidth,
    CustomValues,
    CounterResetHint,
}

impl HistKey {
    /// The key as written.
    pub const fn as_str(self) -> &'static str {
        match self {
            HistKey::Sum => "sum",
            HistKey::Count => "count",
            HistKey::Schema => "schema",
            HistKey::Offset => "offset",
            HistKey::NegativeOffset => "n_offset",
            HistKey::Buckets => "buckets",
            HistKey::NegativeBuckets => "n_buckets",
            HistKey::ZeroBucket => "z_bucket",
            HistKey::ZeroBucketWidth => "z_bucket_w",
            HistKey::CustomValues => "custom_values",
            HistKey::CounterResetHint => "counter_reset_hint",
        }
    }

    /// The key of this name in lower case.
    pub fn parse(word: &str) -> Option<HistKey> {
        use HistKey::*;
        [
            Sum,
            Count,
            Schema,
            Offset,
            NegativeOffset,
            Buckets,
            NegativeBuckets,
            ZeroBucket,
            ZeroBucketWidth,
            CustomValues,
            CounterResetHint,
        ]
        .into_iter()
        .find(|key| key.as_str() == word)
    }
}

/// A value of `counter_reset_hint`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResetHint {
    Unknown,
    Reset,
    NotReset,
    Gauge,
}

/// A token: its kind and its bytes of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    pub kind: Kind,
    pub start: u32,
    pub end: u32,
}

impl Token {
    /// The token's byte range.
    pub const fn pos(self) -> PosRange {
        PosRange::new(self.start, self.end)
    }
}

/// The longest keyword, `limit_ratio` and `group_right`, has eleven letters.
const LONGEST_KEYWORD: usize = 12;

/// The keyword that `word` is in any case. `inf` and `nan` are numbers.
pub fn keyword(word: &[u8]) -> Option<Kind> {
    if word.len() > LONGEST_KEYWORD {
        return None;
    }
    let mut lower = [0u8; LONGEST_KEYWORD];
    let lower = &mut lower[..word.len()];
    lower.copy_from_slice(word);
    lower.make_ascii_lowercase();
    Some(match &*lower {
        b"and" => Kind::Op(BinaryOp::And),
        b"or" => Kind::Op(BinaryOp::Or),
        b"unless" => Kind::Op(BinaryOp::Unless),
        b"atan2" => Kind::Op(BinaryOp::Atan2),
        b"sum" => Kind::Aggregate(AggregateOp::Sum),
        b"avg" => Kind::Aggregate(AggregateOp::Avg),
        b"count" => Kind::Aggregate(AggregateOp::Count),
        b"min" => Kind::Aggregate(AggregateOp::Min),
        b"max" => Kind::Aggregate(AggregateOp::Max),
        b"group" => Kind::Aggregate(AggregateOp::Group),
        b"stddev" => Kind::Aggregate(AggregateOp::Stddev),
        b"stdvar" => Kind::Aggregate(AggregateOp::Stdvar),
        b"topk" => Kind::Aggregate(AggregateOp::Topk),
        b"bottomk" => Kind::Aggregate(AggregateOp::Bottomk),
        b"count_values" => Kind::Aggregate(AggregateOp::CountValues),
        b"quantile" => Kind::Aggregate(AggregateOp::Quantile),
        b"limitk" => Kind::Aggregate(AggregateOp::Limitk),
        b"limit_ratio" => Kind::Aggregate(AggregateOp::LimitRatio),
        b"offset" => Kind::Offset,
        b"smoothed" => Kind::Smoothed,
        b"anchored" => Kind::Anchored,
        b"by" => Kind::By,
        b"without" => Kind::Without,
        b"on" => Kind::On,
        b"ignoring" => Kind::Ignoring,
        b"group_left" => Kind::GroupLeft,
        b"group_right" => Kind::GroupRight,
        b"fill" => Kind::Fill,
        b"fill_left" => Kind::FillLeft,
        b"fill_right" => Kind::FillRight,
        b"bool" => Kind::Bool,
        b"start" => Kind::Start,
        b"end" => Kind::EndFn,
        b"step" => Kind::Step,
        b"range" => Kind::Range,
        b"max_of" => Kind::MaxOf,
        b"min_of" => Kind::MinOf,
        b"inf" | b"nan" => Kind::Number,
        _ => return None,
    })
}

/// The keywords that may stand in a duration expression.
pub fn duration_keyword(word: &[u8]) -> Option<Kind> {
    keyword(word)
        .filter(|kind| matches!(kind, Kind::Step | Kind::Range | Kind::MaxOf | Kind::MinOf))
}

/// How an error message names the token with the text `text`.
pub fn describe(kind: Kind, text: &str) -> String {
    match kind {
        Kind::End | Kind::Eof => "end of input".to_owned(),
        Kind::Error => format!("error {text}"),
        Kind::Comment => format!("comment {}", shortened(text)),
        Kind::Identifier => format!("identifier {}", quote(text)),
        Kind::MetricIdentifier => format!("metric identifier {}", quote(text)),
        Kind::String => format!("string {}", shortened(text)),
        Kind::Number => format!("number {}", shortened(text)),
        Kind::Duration => format!("duration {}", shortened(text)),
        Kind::Op(_) | Kind::EqlRegex | Kind::NeqRegex | Kind::At => format!("<op:{text}>"),
        Kind::Aggregate(_) => format!("<aggr:{text}>"),
        Kind::Bool
        | Kind::By
        | Kind::Without
        | Kind::On
        | Kind::Ignoring
        | Kind::GroupLeft
        | Kind::GroupRight
        | Kind::Fill
        | Kind::FillLeft
        | Kind::FillRight
        | Kind::Offset
        | Kind::Smoothed
        | Kind::Anchored => format!("<{text}>"),
        // Upstream has no names for these and shows their token numbers.
        Kind::HistKey(key) => format!("\"<Item {}>\" {}", 57370 + key as u32, shortened(text)),
        Kind::ResetHint(hint) => format!("\"<Item {}>\" {}", 57445 + hint as u32, shortened(text)),
        Kind::LeftParen
        | Kind::RightParen
        | Kind::LeftBrace
        | Kind::RightBrace
        | Kind::LeftBracket
        | Kind::RightBracket
        | Kind::Comma
        | Kind::Colon
        | Kind::Eql
        | Kind::Start
        | Kind::EndFn
        | Kind::Step
        | Kind::Range
        | Kind::MaxOf
        | Kind::MinOf
        | Kind::Blank
        | Kind::Space
        | Kind::Times
        | Kind::OpenHist
        | Kind::CloseHist => shortened(text),
    }
}

/// Quoted, and cut to ten characters if it has more than ten bytes.
fn shortened(text: &str) -> String {
    if text.len() > 10 {
        let cut: String = text.chars().take(10).collect();
        format!("{}...", quote(&cut))
    } else {
        quote(text)
    }
}
