//! `label_replace` and `label_join`: functions of labels, not of values.

use model::{Labels, LabelsBuilder};

use super::vect::{Clash, Vect};
use super::{Query, Scope, eval_vector, failed};
use crate::ast::{Call, Expr, StringLiteral};
use crate::query_error::QueryError;

/// The value of a string argument.
pub(crate) fn string_arg(call: &Call, index: usize) -> Result<&str, QueryError> {
    match call.args.get(index).map(Expr::unwrapped) {
        Some(Expr::String(literal)) => Ok(&literal.value),
        _ => failed(format!(
            "argument {} of {} has to be a string literal",
            index + 1,
            call.func.name
        )),
    }
}

/// Whether a literal names a label: it is not empty and was UTF-8 in the query. Bytes that are not
/// have become replacement characters in the tree.
pub(crate) fn is_label_name(query: &Query<'_>, literal: &StringLiteral) -> bool {
    !literal.value.is_empty()
        && (!literal.value.contains(char::REPLACEMENT_CHARACTER)
            || raw_text(query, literal).is_none_or(|raw| raw.contains(char::REPLACEMENT_CHARACTER)))
}

/// The literal as the query writes it, quotes included.
pub(crate) fn raw_text<'q>(query: &Query<'q>, literal: &StringLiteral) -> Option<&'q str> {
    query
        .text
        .get(literal.pos.start as usize..literal.pos.end as usize)
}

fn is_label_arg(query: &Query<'_>, call: &Call, index: usize) -> bool {
    match call.args.get(index).map(Expr::unwrapped) {
        Some(Expr::String(literal)) => is_label_name(query, literal),
        _ => false,
    }
}

/// `label_replace(v, dst, replacement, src, regex)`.
pub(crate) fn replace<'q>(
    query: &'q Query<'q>,
    call: &'q Call,
    scope: &Scope<'q>,
) -> Result<Vect<'q>, QueryError> {
    let target = string_arg(call, 1)?;
    let replacement = string_arg(call, 2)?;
    let source = string_arg(call, 3)?;
    let pattern = string_arg(call, 4)?;
    let Ok(regexp) = query.regexps.anchored(pattern) else {
        return failed(format!(
            "invalid regular expression in label_replace(): {pattern}"
        ));
    };
    if !is_label_arg(query, call, 1) {
        return failed(format!(
            "invalid destination label name in label_replace(): {target}"
        ));
    }
    relabel(query, call, scope, target, |labels| {
        let captures = regexp.captures(labels.get(source))?;
        let mut value = String::new();
        regexp.expand(&mut value, replacement, &captures);
        Some(value)
    })
}

/// `label_join(v, dst, separator, src...)`.
pub(crate) fn join<'q>(
    query: &'q Query<'q>,
    call: &'q Call,
    scope: &Scope<'q>,
) -> Result<Vect<'q>, QueryError> {
    let target = string_arg(call, 1)?;
    let separator = string_arg(call, 2)?;
    let mut sources = Vec::new();
    for i in 3..call.args.len() {
        let source = string_arg(call, i)?;
        if !is_label_arg(query, call, i) {
            return failed(format!(
                "invalid source label name in label_join(): {source}"
            ));
        }
        sources.push(source);
    }
    if !is_label_arg(query, call, 1) {
        return failed(format!(
            "invalid destination label name in label_join(): {target}"
        ));
    }
    relabel(query, call, scope, target, |labels| {
        let values: Vec<&str> = sources.iter().map(|source| labels.get(source)).collect();
        Some(values.join(separator))
    })
}

/// Sets a label of every series for which there is a value.
fn relabel<'q>(
    query: &'q Query<'q>,
    call: &'q Call,
    scope: &Scope<'q>,
    target: &str,
    value: impl Fn(&Labels) -> Option<String>,
) -> Result<Vect<'q>, QueryError> {
    let mut vect = eval_vector(query, &call.args[0], scope)?;
    for meta in &mut vect.metas {
        let Some(value) = value(&meta.labels) else {
            continue;
        };
        let mut builder = LabelsBuilder::new(meta.labels.clone());
        builder.set(target, &value);
        meta.labels = builder.build();
        if target == model::labels::METRIC_NAME {
            meta.drop_name = false;
        }
    }
    vect.settle(query, Clash::Merge)
}
