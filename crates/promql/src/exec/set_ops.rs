//! `and`, `or`, `unless`: which samples stay depends on the steps at which the other side has any
//! of the same signature.

use hashbrown::HashMap;

use super::columns::{Column, Meta};
use super::join::signature;
use super::usage::Usage;
use super::vect::{Clash, Held, Vect, merge_same};
use super::{Query, failed};
use crate::ast::{Binary, BinaryOp, VectorMatching};
use crate::query_error::QueryError;

/// Evaluates a set operator.
pub(crate) fn eval<'q>(
    query: &'q Query<'q>,
    binary: &'q Binary,
    lhs: Vect<'q>,
    rhs: Vect<'q>,
) -> Result<Vect<'q>, QueryError> {
    let Some(matching) = binary.matching.as_deref() else {
        return failed("set operators need vectors on both sides");
    };
    let Held {
        metas: mut left_metas,
        columns: mut left,
        usage: left_usage,
        charge: _left,
    } = lhs.materialize(query)?;
    let Held {
        metas: right_metas,
        columns: mut right,
        usage: right_usage,
        charge: _right,
    } = rhs.materialize(query)?;
    let len = left_usage.counts.len();
    match binary.op {
        BinaryOp::Or => {
            let present = Present::new(&left_metas, &left, matching, len);
            present.keep(&right_metas, &mut right, matching, |there| !there);
            left_metas.extend(right_metas);
            left.extend(right);
        }
        op => {
            let present = Present::new(&right_metas, &right, matching, len);
            let keep = op == BinaryOp::And;
            present.keep(&left_metas, &mut left, matching, |there| there == keep);
        }
    }
    let (metas, columns): (Vec<Meta>, Vec<Column>) = left_metas
        .into_iter()
        .zip(left)
        .filter(|(_, column)| !column.is_empty())
        .unzip();
    let (metas, columns) = if super::vect::all_distinct(&metas) {
        (metas, columns)
    } else {
        // Of equal series the one that begins first says whether the name is dropped.
        let mut series: Vec<(Meta, Column)> = metas.into_iter().zip(columns).collect();
        series.sort_by_key(|(_, column)| column.present().next());
        let (metas, columns) = series.into_iter().unzip();
        merge_same(metas, columns, Clash::Merge)?
    };
    let usage = Usage::of(len, &columns).stepwise(&[&left_usage, &right_usage]);
    Vect::ready(query, metas, columns, usage)
}

/// At which steps a side has a sample, by signature.
struct Present {
    by_signature: HashMap<Vec<u8>, Vec<bool>>,
}

impl Present {
    fn new(metas: &[Meta], columns: &[Column], matching: &VectorMatching, len: usize) -> Present {
        let mut by_signature: HashMap<Vec<u8>, Vec<bool>> = HashMap::new();
        let mut key = Vec::new();
        for (meta, column) in metas.iter().zip(columns) {
            signature(&meta.labels, matching, &mut key);
            let steps = match by_signature.get_mut(&key) {
                Some(steps) => steps,
                None => by_signature
                    .entry(key.clone())
                    .or_insert_with(|| vec![false; len]),
            };
            for step in column.present() {
                steps[step] = true;
            }
        }
        Present { by_signature }
    }

    /// Keeps the samples for which `wanted` says so of whether the other side has one.
    fn keep(
        &self,
        metas: &[Meta],
        columns: &mut [Column],
        matching: &VectorMatching,
        wanted: impl Fn(bool) -> bool,
    ) {
        let mut key = Vec::new();
        for (meta, column) in metas.iter().zip(columns) {
            signature(&meta.labels, matching, &mut key);
            let steps = self.by_signature.get(&key);
            for step in 0..column.floats.len() {
                let there = steps.is_some_and(|steps| steps[step]);
                if !wanted(there) {
                    column.clear(step);
                }
            }
        }
    }
}
