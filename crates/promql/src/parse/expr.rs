//! Expressions: operators, calls, aggregations, and the modifiers behind selectors.

use super::selector::is_metric_identifier;
use super::{Parsed, Parser, Stop, placeholder};
use crate::ast::{
    Aggregate, AggregateOp, At, Binary, BinaryOp, Call, Cardinality, DurationExpr, DurationTerm,
    Expr, MatrixSelector, Paren, PosRange, StringLiteral, Subquery, Unary, UnaryOp, VectorMatching,
    VectorSelector,
};
use crate::functions::signatures;
use crate::lex::{Kind, Token};

/// The weakest operator that the operand of a sign may hold: signs bind like `*`.
const UNARY_OPERAND: u8 = 6;

fn precedence(op: BinaryOp) -> u8 {
    use BinaryOp::*;
    match op {
        Or => 1,
        And | Unless => 2,
        Eql | Neq | Lss | Lte | Gtr | Gte | TrimUpper | TrimLower => 3,
        Add | Sub => 4,
        Mul | Div | Mod | Atan2 => 5,
        Pow => 6,
    }
}

impl Parser<'_> {
    /// An expression whose operators bind at least as strongly as `min`.
    pub(super) fn expr(&mut self, min: u8) -> Parsed<Expr> {
        self.nested(|parser| {
            let first = parser.operand()?;
            parser.operators(first, min)
        })
    }

    fn operators(&mut self, mut lhs: Expr, min: u8) -> Parsed<Expr> {
        loop {
            let Kind::Op(op) = self.peek() else {
                return Ok(lhs);
            };
            let strength = precedence(op);
            if strength < min {
                return Ok(lhs);
            }
            self.advance();
            let (matching, return_bool) = self.binary_modifiers()?;
            let rhs = self.expr(if op == BinaryOp::Pow {
                strength
            } else {
                strength + 1
            })?;
            if !self.features.binop_fill_modifiers
                && (matching.fill_left.is_some() || matching.fill_right.is_some())
            {
                let pos = lhs.pos().to(rhs.pos());
                self.error(pos, "binop fill modifiers are experimental and not enabled");
            }
            self.nodes += 1;
            lhs = Expr::Binary(Binary {
                op,
                lhs: Box::new(lhs),
                rhs: Box::new(rhs),
                matching: Some(Box::new(matching)),
                return_bool,
            });
        }
    }

    fn binary_modifiers(&mut self) -> Parsed<(VectorMatching, bool)> {
        let mut matching = VectorMatching::default();
        let return_bool = self.peek() == Kind::Bool;
        if return_bool {
            self.advance();
        }
        if matches!(self.peek(), Kind::On | Kind::Ignoring) {
            matching.on = self.advance().kind == Kind::On;
            matching.labels = self.grouping_labels()?;
            if matches!(self.peek(), Kind::GroupLeft | Kind::GroupRight) {
                matching.card = match self.advance().kind {
                    Kind::GroupLeft => Cardinality::ManyToOne,
                    _ => Cardinality::OneToMany,
                };
                // The labels may be left out, but only before something that can go on.
                if self.peek() == Kind::LeftParen || !self.starts_expr() {
                    matching.include = self.grouping_labels()?;
                }
            }
        }
        match self.peek() {
            Kind::Fill => {
                self.advance();
                let fill = self.fill_value()?;
                matching.fill_left = Some(fill);
                matching.fill_right = Some(fill);
            }
            Kind::FillLeft => {
                self.advance();
                matching.fill_left = Some(self.fill_value()?);
                if self.peek() == Kind::FillRight {
                    self.advance();
                    matching.fill_right = Some(self.fill_value()?);
                }
            }
            Kind::FillRight => {
                self.advance();
                matching.fill_right = Some(self.fill_value()?);
                if self.peek() == Kind::FillLeft {
                    self.advance();
                    matching.fill_left = Some(self.fill_value()?);
                }
            }
            _ => {}
        }
        Ok((matching, return_bool))
    }

    fn fill_value(&mut self) -> Parsed<f64> {
        self.expect(Kind::LeftParen)?;
        let mut sign = 1.0;
        loop {
            match self.peek() {
                Kind::Number | Kind::Duration => break,
                Kind::Op(op @ (BinaryOp::Add | BinaryOp::Sub)) => {
                    self.advance();
                    if op == BinaryOp::Sub {
                        sign = -1.0;
                    }
                    while !matches!(self.peek(), Kind::Number | Kind::Duration) {
                        self.syntax_error()?;
                    }
                    break;
                }
                _ => self.syntax_error()?,
            }
        }
        let literal = self.number_literal();
        self.expect(Kind::RightParen)?;
        Ok(literal.value * sign)
    }

    /// An operand with its modifiers, or with a sign.
    fn operand(&mut self) -> Parsed<Expr> {
        let primary = self.primary()?;
        self.modifiers(primary)
    }

    fn signed(&mut self, op: BinaryOp, sign: Token, operand: Expr) -> Expr {
        if let Expr::Number(mut literal) = operand {
            if op == BinaryOp::Sub {
                literal.value = -literal.value;
            }
            literal.pos.start = sign.start;
            return Expr::Number(literal);
        }
        self.nodes += 1;
        Expr::Unary(Unary {
            op: match op {
                BinaryOp::Sub => UnaryOp::Minus,
                _ => UnaryOp::Plus,
            },
            expr: Box::new(operand),
            start: sign.start,
        })
    }

    fn primary(&mut self) -> Parsed<Expr> {
        self.nodes += 1;
        loop {
            let kind = self.peek();
            match kind {
                Kind::Number | Kind::Duration => return Ok(Expr::Number(self.number_literal())),
                Kind::String => {
                    let token = self.advance();
                    let value = self.unquote(token);
                    let bytes = value
                        .contains(char::REPLACEMENT_CHARACTER)
                        .then(|| unquote_bytes(self.text(token)))
                        .flatten();
                    return Ok(Expr::String(StringLiteral {
                        value,
                        bytes,
                        pos: token.pos(),
                    }));
                }
                Kind::Op(op @ (BinaryOp::Add | BinaryOp::Sub)) => {
                    let sign = self.advance();
                    // Signs bind more weakly than modifiers: none are left behind the operand.
                    let operand = self.expr(UNARY_OPERAND)?;
                    return Ok(self.signed(op, sign, operand));
                }
                Kind::LeftParen => return self.paren(),
                Kind::LeftBrace => {
                    let mut selector = VectorSelector::default();
                    self.label_matchers(&mut selector)?;
                    return Ok(Expr::Vector(Box::new(selector)));
                }
                Kind::Aggregate(op) => {
                    let name = self.advance();
                    if matches!(self.peek(), Kind::LeftParen | Kind::By | Kind::Without) {
                        return self.aggregate(op, name);
                    }
                    return Ok(Expr::Vector(Box::new(self.named_selector(name)?)));
                }
                Kind::Identifier
                | Kind::Start
                | Kind::EndFn
                | Kind::Step
                | Kind::Range
                | Kind::MaxOf
                | Kind::MinOf => {
                    let name = self.advance();
                    if self.peek() == Kind::LeftParen {
                        return self.call(name);
                    }
                    return Ok(Expr::Vector(Box::new(self.named_selector(name)?)));
                }
                _ if is_metric_identifier(kind) => {
                    let name = self.advance();
                    return Ok(Expr::Vector(Box::new(self.named_selector(name)?)));
                }
                _ => self.syntax_error()?,
            }
        }
    }

    fn paren(&mut self) -> Parsed<Expr> {
        let open = self.advance();
        let mut inner = self.expr(0)?;
        loop {
            if self.peek() == Kind::RightParen {
                let close = self.advance();
                return Ok(Expr::Paren(Paren {
                    expr: Box::new(inner),
                    pos: open.pos().to(close.pos()),
                }));
            }
            self.syntax_error()?;
            // A token was dropped: the expression may go on.
            inner = self.modifiers(inner)?;
            inner = self.operators(inner, 0)?;
        }
    }

    fn call(&mut self, name: Token) -> Parsed<Expr> {
        let args = self.call_body()?;
        let text = self.text(name);
        let func = match signatures::lookup(text) {
            Some(func) => {
                if func.experimental && !self.features.experimental_functions {
                    let message =
                        format!("function {} is not enabled", golang::strconv::quote(text));
                    self.error(name.pos(), message);
                }
                func
            }
            None => {
                let message = format!(
                    "unknown function with name {}",
                    golang::strconv::quote(text)
                );
                self.error(name.pos(), message);
                &signatures::FUNCTIONS[0]
            }
        };
        Ok(Expr::Call(Call {
            func,
            args,
            pos: PosRange::new(name.start, self.last_closing),
        }))
    }

    /// `(a, b)` behind a function or an aggregation.
    fn call_body(&mut self) -> Parsed<Vec<Expr>> {
        self.expect(Kind::LeftParen)?;
        let mut args = Vec::new();
        if self.peek() == Kind::RightParen {
            self.advance();
            return Ok(args);
        }
        args.push(self.expr(0)?);
        loop {
            match self.peek() {
                Kind::RightParen => {
                    self.advance();
                    return Ok(args);
                }
                Kind::Comma => {
                    let comma = self.advance();
                    if self.starts_expr() {
                        args.push(self.expr(0)?);
                    } else {
                        self.error(
                            comma.pos(),
                            "trailing commas not allowed in function call args",
                        );
                    }
                }
                _ => self.syntax_error()?,
            }
        }
    }

    fn starts_expr(&mut self) -> bool {
        let kind = self.peek();
        is_metric_identifier(kind)
            || matches!(
                kind,
                Kind::Number
                    | Kind::Duration
                    | Kind::String
                    | Kind::LeftParen
                    | Kind::LeftBrace
                    | Kind::Op(BinaryOp::Add | BinaryOp::Sub)
            )
    }

    fn aggregate(&mut self, op: AggregateOp, name: Token) -> Parsed<Expr> {
        match self.aggregate_body(op, name) {
            Err(Stop::Unwind) => {
                self.unexpected("aggregation", "");
                Ok(self.new_aggregate(op, name, Grouping::default(), Vec::new(), false))
            }
            result => result,
        }
    }

    fn aggregate_body(&mut self, op: AggregateOp, name: Token) -> Parsed<Expr> {
        if self.peek() == Kind::LeftParen {
            let args = self.call_body()?;
            if matches!(self.peek(), Kind::By | Kind::Without) {
                let grouping = self.grouping()?;
                return Ok(self.new_aggregate(op, name, grouping, args, false));
            }
            return Ok(self.new_aggregate(op, name, Grouping::default(), args, true));
        }
        let grouping = self.grouping()?;
        let args = self.call_body()?;
        Ok(self.new_aggregate(op, name, grouping, args, false))
    }

    fn grouping(&mut self) -> Parsed<Grouping> {
        let without = self.advance().kind == Kind::Without;
        Ok(Grouping {
            labels: self.grouping_labels()?,
            without,
        })
    }

    /// `looked_ahead`: the token behind the closing parenthesis has been read already.
    fn new_aggregate(
        &mut self,
        op: AggregateOp,
        name: Token,
        grouping: Grouping,
        mut args: Vec<Expr>,
        looked_ahead: bool,
    ) -> Expr {
        let end = if looked_ahead {
            self.lexer.previous_right_paren(self.last_closing)
        } else {
            self.last_closing
        };
        let pos = PosRange::new(name.start, end);
        let wanted = if op.has_param() { 2 } else { 1 };
        if args.is_empty() {
            self.error(pos, "no arguments for aggregate expression provided");
        } else if op.is_experimental() && !self.features.experimental_functions {
            self.error(
                pos,
                format!(
                    "{op}() is experimental and must be enabled with --enable-feature=promql-experimental-functions"
                ),
            );
        } else if args.len() != wanted {
            self.error(
                pos,
                format!(
                    "wrong number of arguments for aggregate expression provided, expected {wanted}, got {}",
                    args.len()
                ),
            );
        }
        args.truncate(wanted);
        let expr = Box::new(args.pop().unwrap_or(placeholder()));
        let param = op
            .has_param()
            .then(|| Box::new(args.pop().unwrap_or(placeholder())));
        Expr::Aggregate(Aggregate {
            op,
            expr,
            param,
            grouping: grouping.labels,
            without: grouping.without,
            pos,
        })
    }

    /// Ranges, subqueries, `offset`, `@`, `anchored`, `smoothed`.
    fn modifiers(&mut self, mut expr: Expr) -> Parsed<Expr> {
        loop {
            match self.peek() {
                Kind::LeftBracket => expr = self.bracket(expr)?,
                Kind::Offset => {
                    self.advance();
                    match self.offset_duration() {
                        Ok(offset) => self.set_offset(&mut expr, offset),
                        Err(stop) => {
                            let expected = "number, duration, step(), or range()";
                            self.recover(stop, "offset", expected)?;
                        }
                    }
                }
                Kind::At => {
                    self.advance();
                    if let Err(stop) = self.at(&mut expr) {
                        self.recover(stop, "@", "timestamp")?;
                    }
                }
                Kind::Anchored => {
                    self.advance();
                    self.set_anchored(&mut expr);
                }
                Kind::Smoothed => {
                    self.advance();
                    self.set_smoothed(&mut expr);
                }
                _ => return Ok(expr),
            }
        }
    }

    fn bracket(&mut self, expr: Expr) -> Parsed<Expr> {
        let open = self.advance();
        let range = match self.positive_duration() {
            Ok(range) => range,
            Err(stop) => {
                let expected = "number, duration, step(), or range()";
                self.recover(stop, "subquery or range selector", expected)?;
                return Ok(expr);
            }
        };
        loop {
            match self.peek() {
                Kind::RightBracket => {
                    let close = self.advance();
                    return Ok(self.matrix(expr, open.pos().to(close.pos()), range));
                }
                Kind::Colon => {
                    self.advance();
                    return self.subquery(expr, range);
                }
                _ => {
                    if let Err(stop) = self.syntax_error() {
                        self.recover(stop, "subquery or range", "\":\" or \"]\"")?;
                        return Ok(expr);
                    }
                }
            }
        }
    }

    fn matrix(&mut self, expr: Expr, brackets: PosRange, range: DurationTerm) -> Expr {
        let selector = match expr {
            Expr::Vector(selector) => {
                let has_offset = selector.offset_ns != 0 || selector.offset_expr.is_some();
                if has_offset {
                    self.error(brackets, "no offset modifiers allowed before range");
                } else if selector.at.is_some() {
                    self.error(brackets, "no @ modifiers allowed before range");
                }
                *selector
            }
            other => {
                self.error(brackets, "ranges only allowed for vector selectors");
                self.broken_ranges.push(self.last_closing);
                VectorSelector {
                    pos: other.pos(),
                    ..VectorSelector::default()
                }
            }
        };
        let (range_ns, range_expr) = split_duration(range);
        Expr::Matrix(Box::new(MatrixSelector {
            selector,
            range_ns,
            range_expr,
            end: self.last_closing,
        }))
    }

    fn subquery(&mut self, expr: Expr, range: DurationTerm) -> Parsed<Expr> {
        const NO_STEP: &str = "number, duration, step(), range(), or \"]\"";
        let mut step = None;
        let close = loop {
            if self.peek() == Kind::RightBracket {
                break self.advance();
            }
            if step.is_none() && self.starts_duration() {
                match self.positive_duration() {
                    Ok(term) => step = Some(term),
                    Err(stop) => {
                        self.recover(stop, "subquery selector", NO_STEP)?;
                        return Ok(expr);
                    }
                }
                continue;
            }
            if let Err(stop) = self.syntax_error() {
                let expected = if step.is_some() { "\"]\"" } else { NO_STEP };
                self.recover(stop, "subquery selector", expected)?;
                return Ok(expr);
            }
        };
        let (range_ns, range_expr) = split_duration(range);
        let (step_ns, step_expr) = step.map_or((0, None), split_duration);
        self.nodes += 1;
        Ok(Expr::Subquery(Box::new(Subquery {
            expr: Box::new(expr),
            range_ns,
            range_expr,
            step_ns,
            step_expr,
            offset_ns: 0,
            offset_expr: None,
            at: None,
            end: close.end,
        })))
    }

    fn is_broken(&self, matrix: &MatrixSelector) -> bool {
        self.broken_ranges.contains(&matrix.end)
    }

    fn set_offset(&mut self, expr: &mut Expr, offset: DurationTerm) {
        let pos = expr.pos();
        let (ns, at_expr, end) = match expr {
            Expr::Vector(selector) => (
                &mut selector.offset_ns,
                &mut selector.offset_expr,
                &mut selector.pos.end,
            ),
            Expr::Matrix(matrix) => {
                if self.is_broken(matrix) {
                    return self.error(pos, "ranges only allowed for vector selectors");
                }
                (
                    &mut matrix.selector.offset_ns,
                    &mut matrix.selector.offset_expr,
                    &mut matrix.end,
                )
            }
            Expr::Subquery(subquery) => (
                &mut subquery.offset_ns,
                &mut subquery.offset_expr,
                &mut subquery.end,
            ),
            _ => {
                return self.error(
                    pos,
                    "offset modifier must be preceded by an instant vector selector or range vector selector or a subquery",
                );
            }
        };
        *end = self.last_closing;
        if *ns != 0 || at_expr.is_some() {
            return self.error(pos, "offset may not be set multiple times");
        }
        (*ns, *at_expr) = split_duration(offset);
    }

    fn at(&mut self, expr: &mut Expr) -> Parsed<()> {
        loop {
            match self.peek() {
                Kind::Number | Kind::Duration => {
                    let token = self.advance();
                    let seconds = self.number_value(token);
                    self.set_timestamp(expr, seconds);
                    return Ok(());
                }
                Kind::Op(op @ (BinaryOp::Add | BinaryOp::Sub)) => {
                    self.advance();
                    while !matches!(self.peek(), Kind::Number | Kind::Duration) {
                        self.syntax_error()?;
                    }
                    let token = self.advance();
                    let seconds = self.number_value(token);
                    let negative = op == BinaryOp::Sub;
                    self.set_timestamp(expr, if negative { -seconds } else { seconds });
                    return Ok(());
                }
                Kind::Start | Kind::EndFn => {
                    let at = match self.advance().kind {
                        Kind::Start => At::Start,
                        _ => At::End,
                    };
                    self.expect(Kind::LeftParen)?;
                    self.expect(Kind::RightParen)?;
                    self.set_at(expr, at);
                    return Ok(());
                }
                _ => self.syntax_error()?,
            }
        }
    }

    fn set_timestamp(&mut self, expr: &mut Expr, seconds: f64) {
        const LIMIT: f64 = i64::MAX as f64;
        if !(seconds > -LIMIT && seconds < LIMIT) {
            let shown = golang::strconv::format_float(seconds, 'f', 6, 64);
            self.error(
                expr.pos(),
                format!("timestamp out of bounds for @ modifier: {shown}"),
            );
        }
        self.set_at(expr, At::TimestampMs((seconds * 1000.0).round() as i64));
    }

    fn set_at(&mut self, expr: &mut Expr, at: At) {
        let pos = expr.pos();
        let (place, end) = match expr {
            Expr::Vector(selector) => (&mut selector.at, &mut selector.pos.end),
            Expr::Matrix(matrix) => {
                if self.is_broken(matrix) {
                    return self.error(pos, "ranges only allowed for vector selectors");
                }
                (&mut matrix.selector.at, &mut matrix.end)
            }
            Expr::Subquery(subquery) => (&mut subquery.at, &mut subquery.end),
            _ => {
                return self.error(
                    pos,
                    "@ modifier must be preceded by an instant vector selector or range vector selector or a subquery",
                );
            }
        };
        if place.is_some() {
            return self.error(pos, "@ <timestamp> may not be set multiple times");
        }
        *place = Some(at);
        *end = self.last_closing;
    }

    fn set_anchored(&mut self, expr: &mut Expr) {
        if let Some(selector) = self.extended(expr, "anchored") {
            selector.anchored = true;
            if selector.smoothed {
                self.anchored_and_smoothed(expr);
            }
        }
    }

    fn set_smoothed(&mut self, expr: &mut Expr) {
        if let Some(selector) = self.extended(expr, "smoothed") {
            selector.smoothed = true;
            if selector.anchored {
                self.anchored_and_smoothed(expr);
            }
        }
    }

    fn anchored_and_smoothed(&mut self, expr: &Expr) {
        self.error(
            expr.pos(),
            "anchored and smoothed modifiers cannot be used together",
        );
    }

    /// The selector that an extended-range modifier applies to.
    fn extended<'e>(
        &mut self,
        expr: &'e mut Expr,
        modifier: &str,
    ) -> Option<&'e mut VectorSelector> {
        let pos = expr.pos();
        if !self.features.extended_range_selectors {
            self.error(
                pos,
                format!("{modifier} modifier is experimental and not enabled"),
            );
            return None;
        }
        match expr {
            Expr::Vector(selector) => Some(selector),
            Expr::Matrix(matrix) if self.is_broken(matrix) => None,
            Expr::Matrix(matrix) => Some(&mut matrix.selector),
            Expr::Subquery(_) => {
                self.error(
                    pos,
                    format!("{modifier} modifier is not supported for subqueries"),
                );
                None
            }
            _ => {
                self.error(pos, format!("{modifier} modifier not implemented"));
                None
            }
        }
    }
}

/// The bytes of a string literal that are no UTF-8.
fn unquote_bytes(literal: &str) -> Option<Vec<u8>> {
    // `unquote_bytes` speaks Go, where single quotes hold one character.
    let inner = literal.get(1..literal.len().checked_sub(1)?)?;
    let bytes = if literal.starts_with('\'') {
        let swapped = inner.replace("\\'", "'").replace('"', "\\\"");
        golang::strconv::unquote_bytes(&format!("\"{swapped}\"")).ok()?
    } else {
        golang::strconv::unquote_bytes(literal).ok()?
    };
    std::str::from_utf8(&bytes).is_err().then_some(bytes)
}

/// The labels of an aggregation.
#[derive(Default)]
struct Grouping {
    labels: Vec<String>,
    without: bool,
}

/// A literal in nanoseconds, or an expression.
fn split_duration(term: DurationTerm) -> (i64, Option<Box<DurationExpr>>) {
    match term {
        DurationTerm::Literal(literal) => ((literal.value * 1e9).round() as i64, None),
        DurationTerm::Expr(expr) => (0, Some(expr)),
    }
}
