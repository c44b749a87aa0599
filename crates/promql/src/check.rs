//! Type checks (prometheus/prometheus `promql/parser/parse.go`, `checkAST`).

use model::labels::METRIC_NAME;

use crate::ast::{
    Aggregate, AggregateOp, Binary, Call, Cardinality, Expr, PosRange, ValueType, VectorSelector,
};
use crate::parse::{ParseError, placeholder};

/// Checks a tree, appends what is wrong to `errors`, and settles what depends on types: whether a
/// binary expression has a matching, and the cardinality of set operators.
pub fn check(expr: &mut Expr, query: &[u8], errors: &mut Vec<ParseError>) {
    Checker { query, errors }.expr(expr);
}

struct Checker<'a> {
    query: &'a [u8],
    errors: &'a mut Vec<ParseError>,
}

fn quote(text: &str) -> String {
    golang::strconv::quote(text)
}

impl Checker<'_> {
    fn error(&mut self, pos: PosRange, message: impl Into<String>) {
        self.errors.push(ParseError {
            pos,
            message: message.into(),
        });
    }

    fn expr(&mut self, expr: &mut Expr) -> ValueType {
        match expr {
            Expr::Number(_) => ValueType::Scalar,
            Expr::String(_) => ValueType::String,
            Expr::Paren(paren) => self.expr(&mut paren.expr),
            Expr::StepInvariant(inner) => self.expr(inner),
            Expr::Unary(unary) => {
                let found = self.expr(&mut unary.expr);
                if !matches!(found, ValueType::Scalar | ValueType::Vector) {
                    self.error(
                        expr.pos(),
                        format!(
                            "unary expression only allowed on expressions of type scalar or instant vector, got {}",
                            quote(found.documented())
                        ),
                    );
                }
                found
            }
            Expr::Binary(_) | Expr::Subquery(_) => self.chain(expr),
            Expr::Call(call) => {
                self.call(call);
                call.func.return_type
            }
            Expr::Aggregate(aggregate) => {
                self.aggregate(aggregate);
                ValueType::Vector
            }
            Expr::Vector(selector) => {
                self.selector(selector);
                ValueType::Vector
            }
            Expr::Matrix(matrix) => {
                self.selector(&matrix.selector);
                ValueType::Matrix
            }
        }
    }

    /// A binary expression or a subquery. Its left side may be a chain of thousands of operators
    /// and brackets, so it is taken apart and put together again in loops.
    fn chain(&mut self, expr: &mut Expr) -> ValueType {
        let mut spine = Vec::new();
        let mut current = std::mem::replace(expr, placeholder());
        loop {
            let left = match &mut current {
                Expr::Binary(binary) => &mut *binary.lhs,
                Expr::Subquery(subquery) => &mut *subquery.expr,
                _ => break,
            };
            let left = std::mem::replace(left, placeholder());
            spine.push(std::mem::replace(&mut current, left));
        }
        let mut found = self.expr(&mut current);
        // Positions are remembered: asking the tree for the start would walk down the chain each
        // time.
        let mut pos = current.pos();
        while let Some(mut outer) = spine.pop() {
            match &mut outer {
                Expr::Binary(binary) => {
                    *binary.lhs = current;
                    let right = self.expr(&mut binary.rhs);
                    let rhs_pos = binary.rhs.pos();
                    self.binary(binary, found, right, pos, rhs_pos);
                    if found != ValueType::Scalar || right != ValueType::Scalar {
                        found = ValueType::Vector;
                    }
                    pos.end = rhs_pos.end;
                }
                Expr::Subquery(subquery) => {
                    *subquery.expr = current;
                    pos.end = subquery.end;
                    if found != ValueType::Vector {
                        let message = format!(
                            "subquery is only allowed on instant vector, got {found} instead"
                        );
                        self.error(pos, message);
                    }
                    found = ValueType::Matrix;
                }
                _ => unreachable!("only binary expressions and subqueries are on the spine"),
            }
            current = outer;
        }
        *expr = current;
        found
    }

    fn binary(
        &mut self,
        binary: &mut Binary,
        left: ValueType,
        right: ValueType,
        lhs_pos: PosRange,
        rhs_pos: PosRange,
    ) {
        let pos = lhs_pos.to(rhs_pos);
        let op = binary.op;
        if binary.return_bool && !op.is_comparison() {
            let operator = self.operator_pos(lhs_pos, rhs_pos);
            self.error(
                operator,
                "bool modifier can only be used on comparison operators",
            );
        }
        let scalars = left == ValueType::Scalar && right == ValueType::Scalar;
        if op.is_comparison() && !binary.return_bool && scalars {
            let operator = self.operator_pos(lhs_pos, rhs_pos);
            self.error(
                operator,
                "comparisons between scalars must use BOOL modifier",
            );
        }
        if let Some(matching) = &mut binary.matching {
            if op.is_set() && matching.card == Cardinality::OneToOne {
                matching.card = Cardinality::ManyToMany;
            }
            if matching.on {
                for label in &matching.labels {
                    for _ in matching.include.iter().filter(|other| *other == label) {
                        let operator = self.operator_pos(lhs_pos, rhs_pos);
                        self.errors.push(ParseError {
                            pos: operator,
                            message: format!(
                                "label {} must not occur in ON and GROUP clause at once",
                                quote(label)
                            ),
                        });
                    }
                }
            }
        }
        for (side, at) in [(left, lhs_pos), (right, rhs_pos)] {
            if !matches!(side, ValueType::Scalar | ValueType::Vector) {
                self.error(
                    at,
                    "binary expression must contain only scalar and instant vector types",
                );
            }
        }
        let vectors = left == ValueType::Vector && right == ValueType::Vector;
        if vectors {
            if let Some(matching) = &binary.matching
                && op.is_set()
            {
                let fills = matching.fill_left.is_some() || matching.fill_right.is_some();
                let card = matching.card;
                if matches!(card, Cardinality::OneToMany | Cardinality::ManyToOne) {
                    let message =
                        format!("no grouping allowed for {} operation", quote(op.as_str()));
                    self.error(pos, message);
                }
                if card != Cardinality::ManyToMany {
                    self.error(pos, "set operations must always be many-to-many");
                }
                if fills {
                    self.error(
                        pos,
                        "filling in missing series not allowed for set operators",
                    );
                }
            }
        } else if let Some(matching) = binary.matching.take() {
            if !matching.labels.is_empty() {
                self.error(pos, "vector matching only allowed between instant vectors");
            }
            if matching.fill_left.is_some() || matching.fill_right.is_some() {
                self.error(
                    pos,
                    "filling in missing series only allowed between instant vectors",
                );
            }
        }
        if op.is_set() && (left == ValueType::Scalar || right == ValueType::Scalar) {
            let message = format!(
                "set operator {} not allowed in binary scalar expression",
                quote(op.as_str())
            );
            self.error(pos, message);
        }
    }

    /// What stands between the operands without the blanks around it. The end is upstream's: one
    /// before the last byte's end.
    fn operator_pos(&self, lhs: PosRange, rhs: PosRange) -> PosRange {
        let is_blank = |at: u32| {
            self.query
                .get(at as usize)
                .is_some_and(|b| matches!(b, b' ' | b'\t' | b'\n' | b'\r'))
        };
        let mut start = lhs.end;
        while is_blank(start) {
            start += 1;
        }
        let mut end = rhs.start.saturating_sub(1);
        while end > 0 && is_blank(end) {
            end -= 1;
        }
        PosRange::new(start, end)
    }

    fn expect(&mut self, expr: &mut Expr, wanted: ValueType, context: &str) {
        let found = self.expr(expr);
        if found != wanted {
            self.error(
                expr.pos(),
                format!(
                    "expected type {} in {context}, got {}",
                    wanted.documented(),
                    found.documented()
                ),
            );
        }
    }

    fn aggregate(&mut self, aggregate: &mut Aggregate) {
        self.expect(
            &mut aggregate.expr,
            ValueType::Vector,
            "aggregation expression",
        );
        let wanted = match aggregate.op {
            AggregateOp::CountValues => ValueType::String,
            _ => ValueType::Scalar,
        };
        if let Some(param) = &mut aggregate.param {
            self.expect(param, wanted, "aggregation parameter");
        }
    }

    fn call(&mut self, call: &mut Call) {
        let func = call.func;
        let name = quote(func.name);
        let (wanted, got) = (func.args.len(), call.args.len());
        if func.variadic == 0 {
            if wanted != got {
                self.error(
                    call.pos,
                    format!("expected {wanted} argument(s) in call to {name}, got {got}"),
                );
            }
        } else {
            let least = wanted - 1;
            let most = least + func.variadic.max(0) as usize;
            if got < least {
                self.error(
                    call.pos,
                    format!("expected at least {least} argument(s) in call to {name}, got {got}"),
                );
            } else if func.variadic > 0 && got > most {
                self.error(
                    call.pos,
                    format!("expected at most {most} argument(s) in call to {name}, got {got}"),
                );
            }
        }
        if func.name == "info" && got > 1 {
            self.info_selector(call);
        }
        for (index, arg) in call.args.iter_mut().enumerate() {
            let Some(wanted) = func.arg_type(index) else {
                break;
            };
            let found = self.expr(arg);
            if found != wanted {
                self.error(
                    arg.pos(),
                    format!(
                        "expected type {} in call to function {name}, got {}",
                        wanted.documented(),
                        found.documented()
                    ),
                );
            }
        }
    }

    /// The second argument of `info` holds label matchers only.
    fn info_selector(&mut self, call: &mut Call) {
        let found = call.args[1].value_type();
        if found != ValueType::Vector {
            self.error(
                call.pos,
                format!(
                    "expected type {} in call to function \"info\", got {}",
                    ValueType::Vector.documented(),
                    found.documented()
                ),
            );
        }
        let arg = &mut call.args[1];
        let pos = arg.pos();
        match arg {
            Expr::Vector(selector) if selector.name.is_empty() => selector.allow_empty = true,
            Expr::Vector(_) => self.error(
                pos,
                "expected label selectors only, got vector selector instead",
            ),
            _ => self.error(pos, "expected label selectors only"),
        }
    }

    fn selector(&mut self, selector: &VectorSelector) {
        if !selector.name.is_empty() {
            let before = selector.matchers.len().saturating_sub(1);
            for matcher in &selector.matchers[..before] {
                if &*matcher.name == METRIC_NAME {
                    self.error(
                        selector.pos,
                        format!(
                            "metric name must not be set twice: {} or {}",
                            quote(&selector.name),
                            quote(&matcher.value)
                        ),
                    );
                }
            }
            return;
        }
        if !selector.allow_empty && selector.matchers.iter().all(|m| m.matches_empty()) {
            self.error(
                selector.pos,
                "vector selector must contain at least one non-empty matcher",
            );
        }
    }
}
