//! Printing: the canonical one-line form, which is `Display` of [`Expr`], and [`pretty`]
//! (prometheus/prometheus `promql/parser/{printer,prettier}.go`).

use std::fmt::{self, Write};

use golang::strconv::{append_float, append_quote};
use model::duration::format_duration_ms;
use model::labels::METRIC_NAME;
use model::names::is_legacy_label_name;
use model::{MatchKind, Matcher};

use crate::ast::{
    Aggregate, At, Binary, Cardinality, DurationExpr, DurationKind, DurationTerm, Expr,
    MatrixSelector, NANOS_PER_MS, NumberLiteral, Subquery, UnaryOp, VectorSelector,
};

/// The line length of `/api/v1/format_query`.
pub const PRETTY_COLUMNS: usize = 100;

const INDENT: &str = "  ";

/// The expression over several lines, broken up where its one-line form is longer than `columns`
/// bytes, indented by two blanks a level.
pub fn pretty(expr: &Expr, columns: usize) -> String {
    let mut out = String::new();
    Printer { columns }.print(&mut out, expr, 0);
    out
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Expr::Number(literal) => literal.fmt(f),
            Expr::String(literal) => match &literal.bytes {
                Some(bytes) => f.write_str(&golang::strconv::quote_bytes(bytes)),
                None => write_quoted(f, &literal.value),
            },
            Expr::Paren(paren) => write!(f, "({})", paren.expr),
            Expr::Unary(unary) => write!(f, "{}{}", unary.op.as_str(), unary.expr),
            Expr::Binary(_) => write_chain(f, self),
            Expr::Call(call) => {
                f.write_str(call.func.name)?;
                f.write_str("(")?;
                for (i, arg) in call.args.iter().enumerate() {
                    if i > 0 {
                        f.write_str(", ")?;
                    }
                    arg.fmt(f)?;
                }
                f.write_str(")")
            }
            Expr::Aggregate(aggregate) => {
                write_aggregate_head(f, aggregate)?;
                f.write_str("(")?;
                if let Some(param) = &aggregate.param {
                    write!(f, "{param}, ")?;
                }
                write!(f, "{})", aggregate.expr)
            }
            Expr::Vector(selector) => selector.fmt(f),
            Expr::Matrix(matrix) => matrix.fmt(f),
            Expr::Subquery(subquery) => {
                subquery.expr.fmt(f)?;
                write_subquery_suffix(f, subquery)
            }
            Expr::StepInvariant(inner) => inner.fmt(f),
        }
    }
}

/// A binary expression, whose left side may be a long chain.
fn write_chain(f: &mut fmt::Formatter<'_>, expr: &Expr) -> fmt::Result {
    let mut spine = Vec::new();
    let mut leftmost = expr;
    while let Expr::Binary(binary) = leftmost {
        spine.push(binary);
        leftmost = &binary.lhs;
    }
    write!(f, "{leftmost}")?;
    for binary in spine.into_iter().rev() {
        f.write_str(" ")?;
        write_operator(f, binary)?;
        write!(f, " {}", binary.rhs)?;
    }
    Ok(())
}

/// The operator with `bool`, matching, grouping and fills.
fn write_operator(out: &mut impl Write, binary: &Binary) -> fmt::Result {
    out.write_str(binary.op.as_str())?;
    if binary.return_bool {
        out.write_str(" bool")?;
    }
    let Some(matching) = &binary.matching else {
        return Ok(());
    };
    let grouped = matches!(
        matching.card,
        Cardinality::ManyToOne | Cardinality::OneToMany
    );
    if !matching.labels.is_empty() || matching.on || grouped {
        out.write_str(if matching.on { " on (" } else { " ignoring (" })?;
        write_labels(out, &matching.labels)?;
        out.write_str(")")?;
    }
    if grouped {
        out.write_str(match matching.card {
            Cardinality::ManyToOne => " group_left (",
            _ => " group_right (",
        })?;
        write_labels(out, &matching.include)?;
        out.write_str(")")?;
    }
    match (matching.fill_left, matching.fill_right) {
        (Some(left), Some(right)) if left == right => write_fill(out, "fill", left),
        (left, right) => {
            if let Some(left) = left {
                write_fill(out, "fill_left", left)?;
            }
            if let Some(right) = right {
                write_fill(out, "fill_right", right)?;
            }
            Ok(())
        }
    }
}

fn write_fill(out: &mut impl Write, modifier: &str, value: f64) -> fmt::Result {
    // Go's %v of a float: shortest, with an exponent from 21 digits on.
    let shown = golang::strconv::format_float(value, 'g', -1, 64);
    let plain = golang::strconv::format_float(value, 'f', -1, 64);
    let size = value.abs();
    let shown = if size != 0.0 && (1e-4..1e21).contains(&size) {
        plain
    } else {
        shown
    };
    write!(out, " {modifier} ({shown})")
}

fn write_labels(out: &mut impl Write, labels: &[String]) -> fmt::Result {
    for (i, label) in labels.iter().enumerate() {
        if i > 0 {
            out.write_str(", ")?;
        }
        if is_legacy_label_name(label) {
            out.write_str(label)?;
        } else {
            write_quoted(out, label)?;
        }
    }
    Ok(())
}

fn write_quoted(out: &mut impl Write, text: &str) -> fmt::Result {
    let mut quoted = String::with_capacity(text.len() + 2);
    append_quote(&mut quoted, text);
    out.write_str(&quoted)
}

fn write_aggregate_head(out: &mut impl Write, aggregate: &Aggregate) -> fmt::Result {
    out.write_str(aggregate.op.as_str())?;
    if aggregate.without {
        out.write_str(" without (")?;
    } else if !aggregate.grouping.is_empty() {
        out.write_str(" by (")?;
    } else {
        return Ok(());
    }
    write_labels(out, &aggregate.grouping)?;
    out.write_str(") ")
}

/// A number as upstream prints it, or its duration.
impl fmt::Display for NumberLiteral {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.is_duration {
            let mut text = String::with_capacity(24);
            append_float(&mut text, self.value, 'f', -1, 64);
            return f.write_str(&text);
        }
        if self.value < 0.0 {
            f.write_str("-")?;
        }
        // Upstream goes through whole nanoseconds.
        write_duration(f, (self.value.abs() * 1e9) as i64)
    }
}

/// A duration in nanoseconds that is not negative.
fn write_duration(out: &mut impl Write, ns: i64) -> fmt::Result {
    out.write_str(&format_duration_ms(ns.unsigned_abs() / NANOS_PER_MS as u64))
}

impl fmt::Display for DurationTerm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DurationTerm::Literal(literal) => literal.fmt(f),
            DurationTerm::Expr(expr) => expr.fmt(f),
        }
    }
}

impl fmt::Display for DurationExpr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.wrapped {
            f.write_str("(")?;
        }
        match &self.kind {
            DurationKind::Step => f.write_str("step()")?,
            DurationKind::Range => f.write_str("range()")?,
            DurationKind::MinOf(a, b) => write!(f, "min_of({a}, {b})")?,
            DurationKind::MaxOf(a, b) => write!(f, "max_of({a}, {b})")?,
            DurationKind::Unary(UnaryOp::Minus, a) => write!(f, "-{a}")?,
            DurationKind::Unary(UnaryOp::Plus, a) => write!(f, "{a}")?,
            DurationKind::Binary(op, a, b) => write!(f, "{a} {op} {b}")?,
        }
        if self.wrapped {
            f.write_str(")")?;
        }
        Ok(())
    }
}

fn write_at(out: &mut impl Write, at: Option<At>) -> fmt::Result {
    match at {
        None => Ok(()),
        Some(At::Start) => out.write_str(" @ start()"),
        Some(At::End) => out.write_str(" @ end()"),
        Some(At::TimestampMs(ms)) => {
            let mut text = String::with_capacity(24);
            append_float(&mut text, ms as f64 / 1000.0, 'f', 3, 64);
            write!(out, " @ {text}")
        }
    }
}

fn write_offset(out: &mut impl Write, ns: i64, expr: Option<&DurationExpr>) -> fmt::Result {
    if let Some(expr) = expr {
        return write!(out, " offset {expr}");
    }
    if ns == 0 {
        return Ok(());
    }
    out.write_str(if ns < 0 { " offset -" } else { " offset " })?;
    write_duration(out, ns)
}

fn write_extended(out: &mut impl Write, selector: &VectorSelector) -> fmt::Result {
    out.write_str(match (selector.anchored, selector.smoothed) {
        (true, _) => " anchored",
        (false, true) => " smoothed",
        (false, false) => "",
    })
}

fn write_name_and_matchers(out: &mut impl Write, selector: &VectorSelector) -> fmt::Result {
    out.write_str(&selector.name)?;
    let mut matchers: Vec<String> = selector
        .matchers
        .iter()
        .filter(|matcher| !is_name_matcher(selector, matcher))
        .map(Matcher::to_string)
        .collect();
    if matchers.is_empty() {
        return Ok(());
    }
    matchers.sort_unstable();
    out.write_str("{")?;
    for (i, matcher) in matchers.iter().enumerate() {
        if i > 0 {
            out.write_str(",")?;
        }
        out.write_str(matcher)?;
    }
    out.write_str("}")
}

/// Whether the matcher says what the name before the braces says already.
fn is_name_matcher(selector: &VectorSelector, matcher: &Matcher) -> bool {
    matcher.kind == MatchKind::Equal
        && &*matcher.name == METRIC_NAME
        && !matcher.value.is_empty()
        && *matcher.value == *selector.name
}

impl fmt::Display for VectorSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_name_and_matchers(f, self)?;
        write_at(f, self.at)?;
        write_extended(f, self)?;
        write_offset(f, self.offset_ns, self.offset_expr.as_deref())
    }
}

impl fmt::Display for MatrixSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let selector = &self.selector;
        write_name_and_matchers(f, selector)?;
        f.write_str("[")?;
        match &self.range_expr {
            Some(expr) => expr.fmt(f)?,
            None => write_duration(f, self.range_ns)?,
        }
        f.write_str("]")?;
        write_extended(f, selector)?;
        write_at(f, selector.at)?;
        write_offset(f, selector.offset_ns, selector.offset_expr.as_deref())
    }
}

fn write_subquery_suffix(out: &mut impl Write, subquery: &Subquery) -> fmt::Result {
    out.write_str("[")?;
    match &subquery.range_expr {
        Some(expr) => write!(out, "{expr}")?,
        None => write_duration(out, subquery.range_ns)?,
    }
    out.write_str(":")?;
    match &subquery.step_expr {
        _ if subquery.step_ns != 0 => write_duration(out, subquery.step_ns)?,
        Some(expr) => write!(out, "{expr}")?,
        None => {}
    }
    out.write_str("]")?;
    write_at(out, subquery.at)?;
    write_offset(out, subquery.offset_ns, subquery.offset_expr.as_deref())
}

/// The pretty printer. Writing to a string cannot fail, so results of `write!` are dropped.
struct Printer {
    columns: usize,
}

impl Printer {
    fn print(&self, out: &mut String, expr: &Expr, level: usize) {
        match expr {
            Expr::StepInvariant(inner) => return self.print(out, inner, level),
            Expr::Unary(unary) => {
                indent(out, level);
                out.push_str(unary.op.as_str());
                let mut operand = String::new();
                self.print(&mut operand, &unary.expr, level);
                out.push_str(operand.trim());
                return;
            }
            Expr::Subquery(subquery) => {
                let line = expr.to_string();
                if line.len() <= self.columns {
                    // Upstream leaves the indent out here.
                    out.push_str(&line);
                } else {
                    self.print(out, &subquery.expr, level);
                    let _ = write_subquery_suffix(out, subquery);
                }
                return;
            }
            Expr::Number(_) | Expr::String(_) | Expr::Vector(_) | Expr::Matrix(_) => {
                indent(out, level);
                let _ = write!(out, "{expr}");
                return;
            }
            Expr::Paren(_) | Expr::Binary(_) | Expr::Call(_) | Expr::Aggregate(_) => {}
        }
        let line = expr.to_string();
        if line.len() <= self.columns {
            indent(out, level);
            out.push_str(&line);
            return;
        }
        match expr {
            Expr::Paren(paren) => {
                indent(out, level);
                out.push_str("(\n");
                self.print(out, &paren.expr, level + 1);
                out.push('\n');
                indent(out, level);
                out.push(')');
            }
            Expr::Binary(binary) => {
                self.print(out, &binary.lhs, level + 1);
                out.push('\n');
                indent(out, level);
                let _ = write_operator(out, binary);
                out.push('\n');
                self.print(out, &binary.rhs, level + 1);
            }
            Expr::Call(call) => {
                indent(out, level);
                out.push_str(call.func.name);
                out.push_str("(\n");
                for (i, arg) in call.args.iter().enumerate() {
                    if i > 0 {
                        out.push_str(",\n");
                    }
                    self.print(out, arg, level + 1);
                }
                out.push('\n');
                indent(out, level);
                out.push(')');
            }
            Expr::Aggregate(aggregate) => {
                indent(out, level);
                let _ = write_aggregate_head(out, aggregate);
                out.push_str("(\n");
                if let Some(param) = &aggregate.param {
                    self.print(out, param, level + 1);
                    out.push_str(",\n");
                }
                self.print(out, &aggregate.expr, level + 1);
                out.push('\n');
                indent(out, level);
                out.push(')');
            }
            _ => {}
        }
    }
}

fn indent(out: &mut String, level: usize) {
    for _ in 0..level {
        out.push_str(INDENT);
    }
}
