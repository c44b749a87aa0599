//! The syntax tree (prometheus/prometheus `promql/parser/ast.go`).
//!
//! Times that the query writes are nanoseconds here, as upstream keeps them; `*_ms` methods give
//! the milliseconds that evaluation uses (rounded towards zero). Positions are byte ranges of the
//! query text. Printing is in [`crate::print`], `Display` of [`Expr`] is the canonical form.

use std::fmt;

use model::Matcher;

use crate::functions::signatures::Signature;

/// The type of a value. `Display` gives upstream's internal word (`vector`), [`ValueType::documented`]
/// the one of the documentation (`instant vector`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ValueType {
    Scalar,
    String,
    /// Instant vector.
    Vector,
    /// Range vector.
    Matrix,
}

impl ValueType {
    /// `scalar`, `string`, `vector`, `matrix`: the `resultType` of the HTTP API.
    pub const fn as_str(self) -> &'static str {
        match self {
            ValueType::Scalar => "scalar",
            ValueType::String => "string",
            ValueType::Vector => "vector",
            ValueType::Matrix => "matrix",
        }
    }

    /// The word that error messages use.
    pub const fn documented(self) -> &'static str {
        match self {
            ValueType::Scalar => "scalar",
            ValueType::String => "string",
            ValueType::Vector => "instant vector",
            ValueType::Matrix => "range vector",
        }
    }
}

impl fmt::Display for ValueType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A byte range of the query text: `start..end`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct PosRange {
    pub start: u32,
    pub end: u32,
}

impl PosRange {
    /// The range `start..end`.
    pub const fn new(start: u32, end: u32) -> PosRange {
        PosRange { start, end }
    }

    /// From the start of `self` to the end of `last`.
    pub const fn to(self, last: PosRange) -> PosRange {
        PosRange {
            start: self.start,
            end: last.end,
        }
    }

    /// `line:column` of the start, both from 1, the column in bytes; as parse errors and
    /// annotations begin. Without a query text upstream says `unknown position`, for a position
    /// outside of it `invalid position`.
    pub fn line_column(self, query: &[u8]) -> String {
        if query.is_empty() {
            return "unknown position".to_owned();
        }
        let Some(before) = query.get(..self.start as usize) else {
            return "invalid position".to_owned();
        };
        let line = 1 + before.iter().filter(|b| **b == b'\n').count();
        let line_start = before
            .iter()
            .rposition(|b| *b == b'\n')
            .map_or(0, |i| i + 1);
        format!("{line}:{}", before.len() - line_start + 1)
    }
}

/// A binary operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BinaryOp {
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    Pow,
    Atan2,
    Eql,
    Neq,
    Lss,
    Lte,
    Gtr,
    Gte,
    And,
    Or,
    Unless,
    /// `</`: removes a histogram's observations above a bound.
    TrimUpper,
    /// `>/`: removes a histogram's observations below a bound.
    TrimLower,
}

impl BinaryOp {
    /// The operator as the query writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            BinaryOp::Add => "+",
            BinaryOp::Sub => "-",
            BinaryOp::Mul => "*",
            BinaryOp::Div => "/",
            BinaryOp::Mod => "%",
            BinaryOp::Pow => "^",
            BinaryOp::Atan2 => "atan2",
            BinaryOp::Eql => "==",
            BinaryOp::Neq => "!=",
            BinaryOp::Lss => "<",
            BinaryOp::Lte => "<=",
            BinaryOp::Gtr => ">",
            BinaryOp::Gte => ">=",
            BinaryOp::And => "and",
            BinaryOp::Or => "or",
            BinaryOp::Unless => "unless",
            BinaryOp::TrimUpper => "</",
            BinaryOp::TrimLower => ">/",
        }
    }

    /// `==`, `!=`, `<`, `<=`, `>`, `>=`.
    pub const fn is_comparison(self) -> bool {
        use BinaryOp::*;
        matches!(self, Eql | Neq | Lss | Lte | Gtr | Gte)
    }

    /// `and`, `or`, `unless`.
    pub const fn is_set(self) -> bool {
        matches!(self, BinaryOp::And | BinaryOp::Or | BinaryOp::Unless)
    }
}

impl fmt::Display for BinaryOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A sign before an expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UnaryOp {
    Plus,
    Minus,
}

impl UnaryOp {
    /// `+` or `-`.
    pub const fn as_str(self) -> &'static str {
        match self {
            UnaryOp::Plus => "+",
            UnaryOp::Minus => "-",
        }
    }
}

/// An aggregation operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AggregateOp {
    Sum,
    Avg,
    Count,
    Min,
    Max,
    Group,
    Stddev,
    Stdvar,
    Topk,
    Bottomk,
    CountValues,
    Quantile,
    /// Experimental.
    Limitk,
    /// Experimental.
    LimitRatio,
}

impl AggregateOp {
    /// The operator's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            AggregateOp::Sum => "sum",
            AggregateOp::Avg => "avg",
            AggregateOp::Count => "count",
            AggregateOp::Min => "min",
            AggregateOp::Max => "max",
            AggregateOp::Group => "group",
            AggregateOp::Stddev => "stddev",
            AggregateOp::Stdvar => "stdvar",
            AggregateOp::Topk => "topk",
            AggregateOp::Bottomk => "bottomk",
            AggregateOp::CountValues => "count_values",
            AggregateOp::Quantile => "quantile",
            AggregateOp::Limitk => "limitk",
            AggregateOp::LimitRatio => "limit_ratio",
        }
    }

    /// Whether the aggregation takes a parameter before its expression.
    pub const fn has_param(self) -> bool {
        use AggregateOp::*;
        matches!(
            self,
            Topk | Bottomk | CountValues | Quantile | Limitk | LimitRatio
        )
    }

    /// Whether it needs `promql-experimental-functions`.
    pub const fn is_experimental(self) -> bool {
        matches!(self, AggregateOp::Limitk | AggregateOp::LimitRatio)
    }
}

impl fmt::Display for AggregateOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An expression.
#[derive(Clone, Debug, PartialEq)]
pub enum Expr {
    Number(NumberLiteral),
    String(StringLiteral),
    Paren(Paren),
    Unary(Unary),
    Binary(Binary),
    Call(Call),
    Aggregate(Aggregate),
    Vector(Box<VectorSelector>),
    Matrix(Box<MatrixSelector>),
    Subquery(Box<Subquery>),
    /// An expression whose value is the same at every step. The parser never makes one; it is for
    /// plans.
    StepInvariant(Box<Expr>),
}

/// A number, or a duration in the place of a number (then in seconds).
#[derive(Clone, Debug, PartialEq)]
pub struct NumberLiteral {
    pub value: f64,
    /// Written as a duration, and printed as one.
    pub is_duration: bool,
    pub pos: PosRange,
}

/// A string, unquoted.
#[derive(Clone, Debug, PartialEq)]
pub struct StringLiteral {
    /// The text; what is not UTF-8 (from `\xNN`) is replaced by U+FFFD.
    pub value: String,
    /// The exact bytes where they are not UTF-8, for printing.
    pub bytes: Option<Vec<u8>>,
    pub pos: PosRange,
}

/// `(expr)`.
#[derive(Clone, Debug, PartialEq)]
pub struct Paren {
    pub expr: Box<Expr>,
    pub pos: PosRange,
}

/// `-expr`, `+expr`. A sign before a number literal is part of the literal instead.
#[derive(Clone, Debug, PartialEq)]
pub struct Unary {
    pub op: UnaryOp,
    pub expr: Box<Expr>,
    /// Where the sign stands.
    pub start: u32,
}

/// `lhs op rhs`.
#[derive(Clone, Debug, PartialEq)]
pub struct Binary {
    pub op: BinaryOp,
    pub lhs: Box<Expr>,
    pub rhs: Box<Expr>,
    /// How the sides are matched: present exactly if both are instant vectors.
    pub matching: Option<Box<VectorMatching>>,
    /// `bool`: a comparison gives 0 or 1 instead of filtering.
    pub return_bool: bool,
}

impl Drop for Binary {
    /// Takes long chains apart link by link: `a + a + a ...` is as deep on its left side as it is long,
    /// deeper than any stack, and trees are freed before anybody has looked how deep they are.
    fn drop(&mut self) {
        let nothing = || {
            Expr::Number(NumberLiteral {
                value: 0.0,
                is_duration: false,
                pos: PosRange::default(),
            })
        };
        let mut rest = std::mem::replace(&mut *self.lhs, nothing());
        while let Expr::Binary(link) = &mut rest {
            let next = std::mem::replace(&mut *link.lhs, nothing());
            rest = next;
        }
    }
}

/// How many elements of each side may match.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Cardinality {
    #[default]
    OneToOne,
    /// `group_left`.
    ManyToOne,
    /// `group_right`.
    OneToMany,
    /// Set operators.
    ManyToMany,
}

impl Cardinality {
    /// `one-to-one`, ...
    pub const fn as_str(self) -> &'static str {
        match self {
            Cardinality::OneToOne => "one-to-one",
            Cardinality::ManyToOne => "many-to-one",
            Cardinality::OneToMany => "one-to-many",
            Cardinality::ManyToMany => "many-to-many",
        }
    }
}

/// How two vectors are matched.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct VectorMatching {
    pub card: Cardinality,
    /// The labels of `on` or `ignoring`, as written.
    pub labels: Vec<String>,
    /// `on` instead of `ignoring` (also without either).
    pub on: bool,
    /// The labels of `group_left` or `group_right`.
    pub include: Vec<String>,
    /// What stands for a missing left side.
    pub fill_left: Option<f64>,
    /// What stands for a missing right side.
    pub fill_right: Option<f64>,
}

/// A function call.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    pub func: &'static Signature,
    pub args: Vec<Expr>,
    pub pos: PosRange,
}

/// An aggregation.
#[derive(Clone, Debug, PartialEq)]
pub struct Aggregate {
    pub op: AggregateOp,
    pub expr: Box<Expr>,
    /// Present exactly if [`AggregateOp::has_param`].
    pub param: Option<Box<Expr>>,
    /// The labels of `by` or `without`, as written.
    pub grouping: Vec<String>,
    pub without: bool,
    pub pos: PosRange,
}

/// The `@` modifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum At {
    /// `@ 1.5`: milliseconds.
    TimestampMs(i64),
    /// `@ start()`.
    Start,
    /// `@ end()`.
    End,
}

/// An instant vector selector.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct VectorSelector {
    /// The metric name before the braces, or empty. The matcher for it is the last of `matchers`.
    pub name: String,
    pub matchers: Vec<Matcher>,
    /// Literal offset; negative looks ahead.
    pub offset_ns: i64,
    /// Offset that is an expression; then `offset_ns` is 0 until the engine resolves it.
    pub offset_expr: Option<Box<DurationExpr>>,
    pub at: Option<At>,
    pub anchored: bool,
    pub smoothed: bool,
    /// The second argument of `info`, which may match everything.
    pub allow_empty: bool,
    pub pos: PosRange,
}

impl VectorSelector {
    /// The literal offset in milliseconds.
    pub const fn offset_ms(&self) -> i64 {
        self.offset_ns / NANOS_PER_MS
    }
}

/// A range vector selector; its modifiers are those of the selector inside.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MatrixSelector {
    pub selector: VectorSelector,
    /// Literal range.
    pub range_ns: i64,
    /// Range that is an expression; then `range_ns` is 0 until the engine resolves it.
    pub range_expr: Option<Box<DurationExpr>>,
    /// Where the range, or the last modifier after it, ends.
    pub end: u32,
}

impl MatrixSelector {
    /// The literal range in milliseconds.
    pub const fn range_ms(&self) -> i64 {
        self.range_ns / NANOS_PER_MS
    }

    /// The byte range of the selector with range and modifiers.
    pub const fn pos(&self) -> PosRange {
        PosRange {
            start: self.selector.pos.start,
            end: self.end,
        }
    }
}

/// A subquery.
#[derive(Clone, Debug, PartialEq)]
pub struct Subquery {
    pub expr: Box<Expr>,
    pub range_ns: i64,
    /// Range that is an expression; then `range_ns` is 0 until the engine resolves it.
    pub range_expr: Option<Box<DurationExpr>>,
    /// 0 for the default step.
    pub step_ns: i64,
    /// Step that is an expression; then `step_ns` is 0 until the engine resolves it.
    pub step_expr: Option<Box<DurationExpr>>,
    pub offset_ns: i64,
    /// Offset that is an expression; then `offset_ns` is 0 until the engine resolves it.
    pub offset_expr: Option<Box<DurationExpr>>,
    pub at: Option<At>,
    /// Where the brackets, or the last modifier after them, end.
    pub end: u32,
}

impl Subquery {
    /// The literal range in milliseconds.
    pub const fn range_ms(&self) -> i64 {
        self.range_ns / NANOS_PER_MS
    }

    /// The literal step in milliseconds, 0 for the default.
    pub const fn step_ms(&self) -> i64 {
        self.step_ns / NANOS_PER_MS
    }

    /// The literal offset in milliseconds.
    pub const fn offset_ms(&self) -> i64 {
        self.offset_ns / NANOS_PER_MS
    }
}

/// Nanoseconds a millisecond.
pub const NANOS_PER_MS: i64 = 1_000_000;

/// A duration that has to be computed: in brackets, after `offset`.
#[derive(Clone, Debug, PartialEq)]
pub struct DurationExpr {
    pub kind: DurationKind,
    /// Stands in parentheses.
    pub wrapped: bool,
    pub pos: PosRange,
}

/// What a duration expression computes, in seconds.
#[derive(Clone, Debug, PartialEq)]
pub enum DurationKind {
    /// `step()`: the step of the range query, 0 in an instant query.
    Step,
    /// `range()`: the range of the range query, 0 in an instant query.
    Range,
    /// `min_of(a, b)`.
    MinOf(DurationTerm, DurationTerm),
    /// `max_of(a, b)`.
    MaxOf(DurationTerm, DurationTerm),
    /// `-a`; `+a` where the sign stands before a function of an offset, and for a literal in
    /// parentheses.
    Unary(UnaryOp, DurationTerm),
    /// `a op b` with an arithmetic operator other than `atan2`.
    Binary(BinaryOp, DurationTerm, DurationTerm),
}

/// An operand of a duration expression.
#[derive(Clone, Debug, PartialEq)]
pub enum DurationTerm {
    /// Seconds.
    Literal(NumberLiteral),
    Expr(Box<DurationExpr>),
}

impl DurationTerm {
    /// The operand's byte range.
    pub fn pos(&self) -> PosRange {
        match self {
            DurationTerm::Literal(literal) => literal.pos,
            DurationTerm::Expr(expr) => expr.pos,
        }
    }
}

impl Expr {
    /// The type of the expression's value.
    pub fn value_type(&self) -> ValueType {
        // A loop, because chains of operators are deep on their left side. Once below a binary
        // operator only the question is left whether all operands are scalars.
        let mut expr = self;
        let mut below_operator = false;
        let found = loop {
            match expr {
                Expr::Number(_) => break ValueType::Scalar,
                Expr::String(_) => break ValueType::String,
                Expr::Paren(paren) => expr = &paren.expr,
                Expr::Unary(unary) => expr = &unary.expr,
                Expr::StepInvariant(inner) => expr = inner,
                Expr::Call(call) => break call.func.return_type,
                Expr::Aggregate(_) | Expr::Vector(_) => break ValueType::Vector,
                Expr::Matrix(_) | Expr::Subquery(_) => break ValueType::Matrix,
                Expr::Binary(binary) => {
                    if binary.rhs.value_type() != ValueType::Scalar {
                        return ValueType::Vector;
                    }
                    below_operator = true;
                    expr = &binary.lhs;
                }
            }
        };
        if below_operator && found != ValueType::Scalar {
            return ValueType::Vector;
        }
        found
    }

    /// The expression's byte range in the query text.
    pub fn pos(&self) -> PosRange {
        PosRange {
            start: self.start(),
            end: self.end(),
        }
    }

    fn start(&self) -> u32 {
        let mut expr = self;
        loop {
            match expr {
                Expr::Number(literal) => return literal.pos.start,
                Expr::String(literal) => return literal.pos.start,
                Expr::Paren(paren) => return paren.pos.start,
                Expr::Unary(unary) => return unary.start,
                Expr::Binary(binary) => expr = &binary.lhs,
                Expr::Call(call) => return call.pos.start,
                Expr::Aggregate(aggregate) => return aggregate.pos.start,
                Expr::Vector(selector) => return selector.pos.start,
                Expr::Matrix(matrix) => return matrix.selector.pos.start,
                Expr::Subquery(subquery) => expr = &subquery.expr,
                Expr::StepInvariant(inner) => expr = inner,
            }
        }
    }

    fn end(&self) -> u32 {
        let mut expr = self;
        loop {
            match expr {
                Expr::Number(literal) => return literal.pos.end,
                Expr::String(literal) => return literal.pos.end,
                Expr::Paren(paren) => return paren.pos.end,
                Expr::Unary(unary) => expr = &unary.expr,
                Expr::Binary(binary) => expr = &binary.rhs,
                Expr::Call(call) => return call.pos.end,
                Expr::Aggregate(aggregate) => return aggregate.pos.end,
                Expr::Vector(selector) => return selector.pos.end,
                Expr::Matrix(matrix) => return matrix.end,
                Expr::Subquery(subquery) => return subquery.end,
                Expr::StepInvariant(inner) => expr = inner,
            }
        }
    }

    /// Calls `visit` with every direct operand, in upstream's order: an aggregation's expression
    /// before its parameter.
    pub fn for_each_child<'a>(&'a self, mut visit: impl FnMut(&'a Expr)) {
        match self {
            Expr::Number(_) | Expr::String(_) | Expr::Vector(_) | Expr::Matrix(_) => {}
            Expr::Paren(paren) => visit(&paren.expr),
            Expr::Unary(unary) => visit(&unary.expr),
            Expr::StepInvariant(inner) => visit(inner),
            Expr::Subquery(subquery) => visit(&subquery.expr),
            Expr::Binary(binary) => {
                visit(&binary.lhs);
                visit(&binary.rhs);
            }
            Expr::Call(call) => call.args.iter().for_each(visit),
            Expr::Aggregate(aggregate) => {
                visit(&aggregate.expr);
                if let Some(param) = &aggregate.param {
                    visit(param);
                }
            }
        }
    }

    /// As [`Expr::for_each_child`], for changing the operands.
    pub fn for_each_child_mut(&mut self, mut visit: impl FnMut(&mut Expr)) {
        match self {
            Expr::Number(_) | Expr::String(_) | Expr::Vector(_) | Expr::Matrix(_) => {}
            Expr::Paren(paren) => visit(&mut paren.expr),
            Expr::Unary(unary) => visit(&mut unary.expr),
            Expr::StepInvariant(inner) => visit(inner),
            Expr::Subquery(subquery) => visit(&mut subquery.expr),
            Expr::Binary(binary) => {
                visit(&mut binary.lhs);
                visit(&mut binary.rhs);
            }
            Expr::Call(call) => call.args.iter_mut().for_each(visit),
            Expr::Aggregate(aggregate) => {
                visit(&mut aggregate.expr);
                if let Some(param) = &mut aggregate.param {
                    visit(param);
                }
            }
        }
    }

    /// The matchers of every selector in the expression, in order of the text: what
    /// `/api/v1/query_exemplars` and `promtool` look at.
    pub fn selectors(&self) -> Vec<&VectorSelector> {
        let mut found = Vec::new();
        collect_selectors(self, &mut found);
        found
    }

    /// The expression without the parentheses and step-invariant wrappers around it.
    pub fn unwrapped(&self) -> &Expr {
        let mut expr = self;
        loop {
            match expr {
                Expr::Paren(paren) => expr = &paren.expr,
                Expr::StepInvariant(inner) => expr = inner,
                _ => return expr,
            }
        }
    }
}

fn collect_selectors<'a>(expr: &'a Expr, found: &mut Vec<&'a VectorSelector>) {
    match expr {
        Expr::Vector(selector) => found.push(selector),
        Expr::Matrix(matrix) => found.push(&matrix.selector),
        _ => expr.for_each_child(|child| collect_selectors(child, found)),
    }
}
