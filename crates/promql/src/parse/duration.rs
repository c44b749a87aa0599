//! Durations in brackets and after `offset`: literals and expressions of them.

use model::parse_duration;

use super::{Parsed, Parser};
use crate::ast::{
    BinaryOp, DurationExpr, DurationKind, DurationTerm, NumberLiteral, PosRange, UnaryOp,
};
use crate::lex::{Kind, Token};

/// More seconds than a signed 64-bit count of nanoseconds holds. NaN counts as too long; upstream
/// makes an offset of -292 years of it.
const TOO_LONG_SECONDS: f64 = 9_223_372_036.854_776;

impl Parser<'_> {
    /// A number, or a duration as seconds.
    pub(super) fn number_literal(&mut self) -> NumberLiteral {
        let token = self.advance();
        NumberLiteral {
            value: self.number_value(token),
            is_duration: token.kind == Kind::Duration,
            pos: token.pos(),
        }
    }

    pub(super) fn number_value(&mut self, token: Token) -> f64 {
        let text = self.text(token);
        if token.kind == Kind::Duration {
            return match parse_duration(text) {
                Ok(duration) => duration.as_secs_f64(),
                Err(error) => {
                    self.error(token.pos(), error.to_string());
                    0.0
                }
            };
        }
        // Most numbers are short and decimal.
        if text.len() < 16 && !text.starts_with('0') && text.bytes().all(|b| b.is_ascii_digit()) {
            return text.bytes().fold(0u64, |n, b| n * 10 + u64::from(b - b'0')) as f64;
        }
        if let Ok(integer) = golang::strconv::parse_int(text, 0, 64) {
            return integer as f64;
        }
        match golang::strconv::parse_float(text) {
            Ok(value) => value,
            Err(error) => {
                self.error(self.last.pos(), format!("error parsing number: {error}"));
                0.0
            }
        }
    }

    /// A duration that has to be greater than zero, as far as that is known yet.
    pub(super) fn positive_duration(&mut self) -> Parsed<DurationTerm> {
        let term = self.duration(0)?;
        match self.a_number(term) {
            DurationTerm::Literal(literal) if literal.value <= 0.0 => {
                self.error(literal.pos, "duration must be greater than 0");
                Ok(zero())
            }
            term => Ok(term),
        }
    }

    /// Whether the next token can begin a duration.
    pub(super) fn starts_duration(&mut self) -> bool {
        matches!(
            self.peek(),
            Kind::Number
                | Kind::Duration
                | Kind::Op(BinaryOp::Add | BinaryOp::Sub)
                | Kind::Step
                | Kind::Range
                | Kind::MaxOf
                | Kind::MinOf
                | Kind::LeftParen
        )
    }

    /// What follows `offset`. A literal, a function, and either with a sign, end there: in
    /// `foo offset -2^2` the power is one of the selector. Parentheses may go on.
    pub(super) fn offset_duration(&mut self) -> Parsed<DurationTerm> {
        loop {
            match self.peek() {
                Kind::Number | Kind::Duration => {
                    let literal = self.literal_in_range();
                    return Ok(self.a_number(literal));
                }
                Kind::Step | Kind::Range | Kind::MaxOf | Kind::MinOf => {
                    let function = self.duration_function()?;
                    self.gate_duration(function.pos);
                    return Ok(DurationTerm::Expr(Box::new(function)));
                }
                Kind::Op(BinaryOp::Add | BinaryOp::Sub) => return self.signed_offset(),
                Kind::LeftParen => return self.duration(0),
                _ => self.syntax_error()?,
            }
        }
    }

    fn signed_offset(&mut self) -> Parsed<DurationTerm> {
        let sign = self.advance();
        match self.peek() {
            Kind::Number | Kind::Duration => {
                let literal = self.number_literal();
                let literal = self.apply_sign(sign, DurationTerm::Literal(literal));
                Ok(self.a_number(literal))
            }
            Kind::Step | Kind::Range | Kind::MaxOf | Kind::MinOf => {
                let function = self.duration_function()?;
                let expr = unary(sign, DurationTerm::Expr(Box::new(function)));
                self.gate_duration(expr.pos);
                Ok(DurationTerm::Expr(Box::new(expr)))
            }
            Kind::LeftParen => {
                let open = self.advance();
                let inner = self.nested(|parser| parser.duration(0))?;
                self.expect(Kind::RightParen)?;
                Ok(self.apply_sign(sign, DurationTerm::Expr(wrap(open, inner))))
            }
            _ => {
                let operand = self.nested(|parser| parser.duration(UNARY_OPERAND))?;
                let operand = self.apply_sign(sign, operand);
                self.duration_operators(operand, 0)
            }
        }
    }

    /// A duration expression with operators that bind at least as strongly as `min`.
    fn duration(&mut self, min: u8) -> Parsed<DurationTerm> {
        let first = self.duration_operand()?;
        self.duration_operators(first, min)
    }

    fn duration_operators(&mut self, mut lhs: DurationTerm, min: u8) -> Parsed<DurationTerm> {
        let mut chain = 0;
        loop {
            let Kind::Op(op) = self.peek() else {
                return Ok(lhs);
            };
            let Some(precedence) = duration_precedence(op) else {
                return Ok(lhs);
            };
            if precedence < min {
                return Ok(lhs);
            }
            chain += 1;
            if chain > super::MAX_NESTING {
                return Err(self.too_deep());
            }
            let op_token = self.advance();
            let right_min = if op == BinaryOp::Pow {
                precedence
            } else {
                precedence + 1
            };
            let rhs = self.nested(|parser| parser.duration(right_min))?;
            self.gate_duration(lhs.pos());
            let divisor_is_zero =
                matches!(&rhs, DurationTerm::Literal(literal) if literal.value == 0.0);
            lhs = match op {
                BinaryOp::Div if divisor_is_zero => {
                    self.error(op_token.pos(), "division by zero");
                    zero()
                }
                BinaryOp::Mod if divisor_is_zero => {
                    self.error(op_token.pos(), "modulo by zero");
                    zero()
                }
                _ => DurationTerm::Expr(Box::new(DurationExpr {
                    pos: lhs.pos().to(rhs.pos()),
                    kind: DurationKind::Binary(op, lhs, rhs),
                    wrapped: false,
                })),
            };
        }
    }

    fn duration_operand(&mut self) -> Parsed<DurationTerm> {
        loop {
            match self.peek() {
                Kind::Number | Kind::Duration => return Ok(self.literal_in_range()),
                Kind::Op(BinaryOp::Add | BinaryOp::Sub) => {
                    let sign = self.advance();
                    let operand = self.nested(|parser| parser.duration(UNARY_OPERAND))?;
                    return Ok(self.apply_sign(sign, operand));
                }
                Kind::Step | Kind::Range | Kind::MaxOf | Kind::MinOf => {
                    let function = self.duration_function()?;
                    self.gate_duration(function.pos);
                    return Ok(DurationTerm::Expr(Box::new(function)));
                }
                Kind::LeftParen => {
                    let open = self.advance();
                    let inner = self.nested(|parser| parser.duration(0))?;
                    self.expect(Kind::RightParen)?;
                    self.gate_duration(inner.pos());
                    return Ok(DurationTerm::Expr(wrap(open, inner)));
                }
                _ => self.syntax_error()?,
            }
        }
    }

    /// `step()`, `range()`, `max_of(a, b)`, `min_of(a, b)`.
    fn duration_function(&mut self) -> Parsed<DurationExpr> {
        let name = self.advance();
        self.expect(Kind::LeftParen)?;
        if matches!(name.kind, Kind::Step | Kind::Range) {
            let close = self.expect(Kind::RightParen)?;
            return Ok(DurationExpr {
                kind: match name.kind {
                    Kind::Step => DurationKind::Step,
                    _ => DurationKind::Range,
                },
                wrapped: false,
                pos: name.pos().to(close.pos()),
            });
        }
        let a = self.nested(|parser| parser.duration(0))?;
        self.expect(Kind::Comma)?;
        let b = self.nested(|parser| parser.duration(0))?;
        self.expect(Kind::RightParen)?;
        Ok(DurationExpr {
            // Upstream's position is that of the operands.
            pos: a.pos().to(b.pos()),
            kind: match name.kind {
                Kind::MaxOf => DurationKind::MaxOf(a, b),
                _ => DurationKind::MinOf(a, b),
            },
            wrapped: false,
        })
    }

    /// A literal that stands alone has to be a number; in an expression that shows when it is
    /// computed.
    fn a_number(&mut self, term: DurationTerm) -> DurationTerm {
        match term {
            DurationTerm::Literal(literal) if literal.value.is_nan() => {
                self.error(literal.pos, "duration out of range");
                zero()
            }
            term => term,
        }
    }

    fn literal_in_range(&mut self) -> DurationTerm {
        let literal = self.number_literal();
        if is_too_long(literal.value) {
            self.error(literal.pos, "duration out of range");
            return zero();
        }
        DurationTerm::Literal(literal)
    }

    fn apply_sign(&mut self, sign: Token, operand: DurationTerm) -> DurationTerm {
        let negative = sign.kind == Kind::Op(BinaryOp::Sub);
        match operand {
            DurationTerm::Expr(expr) if negative => {
                DurationTerm::Expr(Box::new(unary(sign, DurationTerm::Expr(expr))))
            }
            DurationTerm::Expr(expr) => DurationTerm::Expr(expr),
            DurationTerm::Literal(mut literal) => {
                if negative {
                    literal.value = -literal.value;
                }
                if is_too_long(literal.value) {
                    self.error(sign.pos(), "duration out of range");
                    return zero();
                }
                literal.pos.start = sign.start;
                DurationTerm::Literal(literal)
            }
        }
    }

    fn gate_duration(&mut self, pos: PosRange) {
        if !self.features.duration_expr {
            self.error(pos, "experimental duration expression is not enabled");
        }
    }
}

/// The weakest operator that an operand of a sign may hold: signs bind like `*`.
const UNARY_OPERAND: u8 = 3;

fn duration_precedence(op: BinaryOp) -> Option<u8> {
    Some(match op {
        BinaryOp::Add | BinaryOp::Sub => 1,
        BinaryOp::Mul | BinaryOp::Div | BinaryOp::Mod => 2,
        BinaryOp::Pow => 3,
        _ => return None,
    })
}

fn unary(sign: Token, operand: DurationTerm) -> DurationExpr {
    let op = match sign.kind {
        Kind::Op(BinaryOp::Sub) => UnaryOp::Minus,
        _ => UnaryOp::Plus,
    };
    DurationExpr {
        pos: PosRange::new(sign.start, operand.pos().end),
        kind: DurationKind::Unary(op, operand),
        wrapped: false,
    }
}

/// A term in parentheses; a literal becomes an expression by them.
fn wrap(open: Token, inner: DurationTerm) -> Box<DurationExpr> {
    let mut expr = match inner {
        DurationTerm::Expr(expr) => expr,
        literal => Box::new(unary(open, literal)),
    };
    expr.wrapped = true;
    expr
}

const fn zero() -> DurationTerm {
    DurationTerm::Literal(NumberLiteral {
        value: 0.0,
        is_duration: false,
        pos: PosRange::new(0, 0),
    })
}

fn is_too_long(seconds: f64) -> bool {
    seconds.abs() > TOO_LONG_SECONDS
}
