//! `/api/v1/firewatch/explain`, ours: the expression as a tree, each node evaluated on its own.
//!
//! The answer's data is a node: its text, what it is, its type, how many series and samples it gives at
//! `time`, how long that takes, or why it fails; and its operands.

use std::time::Instant;

use http_api::{ApiError, Envelope};
use promql::ast::Expr;
use promql::{QueryOptions, Value};
use serde::Serialize;

use super::{Answer, Api, Call};

/// Nodes that are evaluated; larger trees are shown without numbers beyond it.
const EVALUATED: usize = 200;

#[derive(Serialize)]
struct Node {
    text: String,
    kind: String,
    #[serde(rename = "type")]
    value_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    series: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    samples: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    milliseconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    children: Vec<Node>,
}

pub(super) fn handle(api: &Api, call: &Call) -> Answer {
    let t_ms = http_api::parse_time_or(&call.params, "time", api.now_ms())?;
    let features = api.engine.options().features;
    let expr = promql::parse_expr(call.params.get("query"), features)
        .map_err(|e| ApiError::parameter("query", e))?;
    let mut explainer = Explainer {
        api,
        t_ms,
        options: api.query_options(call)?,
        left: EVALUATED,
    };
    Ok(Envelope::data(&explainer.node(&expr)))
}

struct Explainer<'a> {
    api: &'a Api,
    t_ms: i64,
    options: QueryOptions,
    left: usize,
}

impl Explainer<'_> {
    fn node(&mut self, expr: &Expr) -> Node {
        let mut node = Node {
            text: expr.to_string(),
            kind: kind(expr),
            value_type: expr.value_type().documented(),
            series: None,
            samples: None,
            milliseconds: None,
            error: None,
            children: Vec::new(),
        };
        if self.left > 0 {
            self.left -= 1;
            self.evaluate(expr, &mut node);
        }
        expr.for_each_child(|child| node.children.push(self.node(child)));
        node
    }

    fn evaluate(&self, expr: &Expr, node: &mut Node) {
        let begun = Instant::now();
        let result =
            self.api
                .engine
                .instant_expr(&*self.api.store, expr, "", self.t_ms, &self.options);
        match result {
            Ok(result) => {
                node.milliseconds = Some(begun.elapsed().as_secs_f64() * 1000.0);
                node.samples = Some(result.stats.samples.total_queryable_samples);
                node.series = Some(match &result.value {
                    Value::Vector(vector) => vector.len(),
                    Value::Matrix(matrix) => matrix.len(),
                    _ => 1,
                });
            }
            Err(error) => node.error = Some(error.to_string()),
        }
    }
}

/// What a node is, in a few words.
fn kind(expr: &Expr) -> String {
    match expr {
        Expr::Number(_) => "number".to_owned(),
        Expr::String(_) => "string".to_owned(),
        Expr::Paren(_) => "parentheses".to_owned(),
        Expr::Unary(unary) => format!("sign {}", unary.op.as_str()),
        Expr::Binary(binary) => format!("operator {}", binary.op.as_str()),
        Expr::Call(call) => format!("function {}", call.func.name),
        Expr::Aggregate(aggregate) => format!("aggregation {}", aggregate.op.as_str()),
        Expr::Vector(_) => "selector".to_owned(),
        Expr::Matrix(_) => "range selector".to_owned(),
        Expr::Subquery(_) => "subquery".to_owned(),
        Expr::StepInvariant(inner) => kind(inner),
    }
}
