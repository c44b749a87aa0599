//! `count_values`: how many series of a group have each value.

use std::collections::BTreeMap;

use model::{Labels, LabelsBuilder};

use super::aggregate::group_labels;
use super::columns::{Column, Meta, Sample};
use super::labels::{is_label_name, raw_text};
use super::usage::Usage;
use super::vect::Vect;
use super::{Query, Scope, eval_vector, failed};
use crate::ast::{Aggregate, Expr};
use crate::query_error::QueryError;

/// Evaluates the aggregation.
pub(crate) fn eval<'q>(
    query: &'q Query<'q>,
    aggregate: &'q Aggregate,
    scope: &Scope<'q>,
) -> Result<Vect<'q>, QueryError> {
    let Some(Expr::String(literal)) = aggregate.param.as_deref().map(Expr::unwrapped) else {
        return failed("the parameter of count_values has to be a string literal");
    };
    let label = &literal.value;
    if !is_label_name(query, literal) {
        let raw = raw_text(query, literal).map(str::to_owned);
        return failed(format!(
            "invalid label name {}",
            raw.unwrap_or_else(|| golang::strconv::quote(label))
        ));
    }
    let mut grouping = aggregate.grouping.clone();
    if !aggregate.without {
        grouping.push(label.clone());
    }
    let len = scope.grid.len;
    let vect = eval_vector(query, &aggregate.expr, scope)?;
    let metas = vect.metas.clone();
    let mut counts: BTreeMap<Labels, Column> = BTreeMap::new();
    let input = vect.for_each(query, |i, column| {
        // Values repeat: the labels of the last one are kept.
        let mut last: Option<(String, Labels)> = None;
        for step in 0..len {
            let text = match column.get(step) {
                None => continue,
                Some(Sample::Float(v)) => golang::strconv::format_float(v, 'f', -1, 64),
                Some(Sample::Histogram(h)) => h.to_string(),
            };
            let labels = match &last {
                Some((value, labels)) if *value == text => labels.clone(),
                _ => {
                    let mut builder = LabelsBuilder::new(metas[i].labels.clone());
                    builder.set(label, &text);
                    let labels = group_labels(&builder.build(), &grouping, aggregate.without);
                    last = Some((text, labels.clone()));
                    labels
                }
            };
            let counted = counts.entry(labels).or_insert_with(|| Column::absent(len));
            counted.floats[step] = if counted.has(step) {
                counted.floats[step] + 1.0
            } else {
                1.0
            };
        }
        Ok(())
    })?;
    let (metas, columns): (Vec<Meta>, Vec<Column>) = counts
        .into_iter()
        .map(|(labels, column)| (Meta::new(labels), column))
        .unzip();
    let usage = Usage::of(len, &columns).stepwise(&[&input]);
    Vect::ready(query, metas, columns, usage)
}
