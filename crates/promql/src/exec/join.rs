//! Binary operators between vectors: series are matched once by their labels, then the operator
//! runs column by column.

use hashbrown::{HashMap, HashSet};
use model::{Labels, LabelsBuilder};

use super::binary::{changes_metric, combine};
use super::columns::{ABSENT, Column, Meta, Sample, is_absent, is_metadata_label};
use super::usage::Usage;
use super::vect::{Clash, Vect, merge_same};
use super::{PHASE, Query, failed};
use crate::ast::{Binary, BinaryOp, Cardinality, PosRange, VectorMatching};
use crate::functions::math::arithmetic;
use crate::query_error::QueryError;

/// Evaluates an operator that is no set operator.
pub(crate) fn eval<'q>(
    query: &'q Query<'q>,
    binary: &'q Binary,
    pos: PosRange,
    lhs: Vect<'q>,
    rhs: Vect<'q>,
) -> Result<Vect<'q>, QueryError> {
    let default_matching;
    let matching = match &binary.matching {
        Some(matching) => &**matching,
        None => {
            default_matching = VectorMatching::default();
            &default_matching
        }
    };
    let lhs = lhs.materialize(query)?;
    let rhs = rhs.materialize(query)?;
    let swapped = matching.card == Cardinality::OneToMany;
    let left = Side {
        metas: &lhs.metas,
        columns: &lhs.columns,
        counts: &lhs.usage.counts,
    };
    let right = Side {
        metas: &rhs.metas,
        columns: &rhs.columns,
        counts: &rhs.usage.counts,
    };
    let (many, one) = if swapped {
        (right, left)
    } else {
        (left, right)
    };
    let join = Join {
        query,
        binary,
        matching,
        pos,
        many,
        one,
        swapped,
        // As upstream: with `group_right` the sides are swapped, but not the values.
        fill_many: matching.fill_left,
        fill_one: matching.fill_right,
        len: lhs.usage.counts.len(),
    };
    let (metas, columns) = join.run()?;
    let (metas, columns) = if super::vect::all_distinct(&metas) {
        (metas, columns)
    } else {
        merge_same(metas, columns, Clash::Merge)?
    };
    let usage = Usage::of(lhs.usage.counts.len(), &columns).stepwise(&[&lhs.usage, &rhs.usage]);
    Vect::ready(query, metas, columns, usage)
}

/// The labels by which series match, as a key.
pub(crate) fn signature(labels: &Labels, matching: &VectorMatching, key: &mut Vec<u8>) {
    key.clear();
    for (name, value) in labels {
        let named = matching.labels.iter().any(|l| l == name);
        let counts = if matching.on {
            named
        } else {
            !named && name != model::labels::METRIC_NAME
        };
        if counts {
            for part in [name, value] {
                key.extend_from_slice(&(part.len() as u32).to_le_bytes());
                key.extend_from_slice(part.as_bytes());
            }
        }
    }
}

#[derive(Clone, Copy)]
struct Side<'a> {
    metas: &'a [Meta],
    columns: &'a [Column],
    /// How many series have a value at each step.
    counts: &'a [u64],
}

/// Series of both sides with the same signature.
#[derive(Default)]
struct Group {
    many: Vec<usize>,
    one: Vec<usize>,
}

struct Join<'a, 'q> {
    query: &'q Query<'q>,
    binary: &'q Binary,
    matching: &'a VectorMatching,
    pos: PosRange,
    /// The side of which several series may match one of the other; the left one of one to one.
    many: Side<'a>,
    one: Side<'a>,
    /// `many` is the right side of the operator.
    swapped: bool,
    fill_many: Option<f64>,
    fill_one: Option<f64>,
    len: usize,
}

type Series = (Vec<Meta>, Vec<Column>);

/// Why a join cannot be done. Upstream goes through the steps one by one, so that of several reasons
/// the one at the earliest step counts; at the same step, first what is wrong with the one side.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Mismatch {
    step: usize,
    kind: MismatchKind,
    text: String,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum MismatchKind {
    Duplicates,
    Matches,
}

/// The columns of a group's results and the steps at which they matched.
struct Results {
    metas: Vec<Meta>,
    columns: Vec<Column>,
    /// Steps at which some series of the many side matched; only kept if needed.
    matched: Vec<bool>,
    /// By result labels, the steps matched: to find results that are not unique.
    unique: HashMap<Labels, Vec<bool>>,
}

impl Join<'_, '_> {
    fn run(&self) -> Result<Series, QueryError> {
        let mut results: Series = (Vec::new(), Vec::new());
        let mut mismatch: Option<Mismatch> = None;
        for (i, group) in self.groups().into_iter().enumerate() {
            if i % 64 == 0 {
                self.query.cancel.check(PHASE)?;
            }
            let found = match self.group(&group) {
                Ok(found) => found,
                Err(found) => {
                    if mismatch.as_ref().is_none_or(|before| found < *before) {
                        mismatch = Some(found);
                    }
                    continue;
                }
            };
            if mismatch.is_some() {
                continue;
            }
            for (meta, column) in found.metas.into_iter().zip(found.columns) {
                if !column.is_empty() {
                    results.0.push(meta);
                    results.1.push(column);
                }
            }
        }
        match mismatch {
            Some(mismatch) => failed(mismatch.text),
            None => Ok(results),
        }
    }

    fn groups(&self) -> Vec<Group> {
        let mut place: HashMap<Vec<u8>, usize> = HashMap::with_capacity(self.one.metas.len());
        let mut groups: Vec<Group> = Vec::new();
        let mut key = Vec::new();
        let mut at = |labels: &Labels, groups: &mut Vec<Group>| {
            signature(labels, self.matching, &mut key);
            match place.get(&key) {
                Some(at) => *at,
                None => {
                    groups.push(Group::default());
                    place.insert(key.clone(), groups.len() - 1);
                    groups.len() - 1
                }
            }
        };
        for (i, meta) in self.many.metas.iter().enumerate() {
            let at = at(&meta.labels, &mut groups);
            groups[at].many.push(i);
        }
        for (i, meta) in self.one.metas.iter().enumerate() {
            let at = at(&meta.labels, &mut groups);
            groups[at].one.push(i);
        }
        groups
    }

    fn group(&self, group: &Group) -> Result<Results, Mismatch> {
        let mut reason = self.check_one_side(group).err();
        let mut results = Results {
            metas: Vec::new(),
            columns: Vec::new(),
            matched: Vec::new(),
            unique: HashMap::new(),
        };
        let mut or_earlier = |found: Mismatch| {
            if reason.as_ref().is_none_or(|before| found < *before) {
                reason = Some(found);
            }
        };
        let explicit = self.matching.card != Cardinality::OneToOne;
        // Which steps matched matters only where a second match may be one too many, or where
        // unmatched samples are filled in.
        let track = self.fill_many.is_some() || (!explicit && group.many.len() > 1);
        if track {
            results.matched.resize(self.len, false);
        }
        let unique_needed = explicit && self.may_collide(group);
        for &many in &group.many {
            for &one in &group.one {
                let meta = self.result_meta(&self.many.metas[many], &self.one.metas[one]);
                let column = self.pair(many, one, track || unique_needed, |matched| {
                    self.note_matches(&mut results, &meta.labels, matched, track, unique_needed)
                });
                match column {
                    Ok(column) => {
                        results.metas.push(meta);
                        results.columns.push(column);
                    }
                    Err(found) => or_earlier(found),
                }
            }
            if let Some(fill) = self.fill_one {
                let filled =
                    self.fill_in_one(group, many, fill, &mut results, track, unique_needed);
                if let Err(found) = filled {
                    or_earlier(found);
                }
            }
        }
        if let Some(reason) = reason {
            return Err(reason);
        }
        if let Some(fill) = self.fill_many {
            for &one in &group.one {
                self.fill_in_many(one, fill, &mut results);
            }
        }
        Ok(results)
    }

    /// Two series of the one side must not have values at the same step, if there is anything to
    /// match at that step.
    fn check_one_side(&self, group: &Group) -> Result<(), Mismatch> {
        if group.one.len() < 2 {
            return Ok(());
        }
        let fills = self.fill_many.is_some() || self.fill_one.is_some();
        for step in 0..self.len {
            if !fills && self.many.counts[step] == 0 {
                continue;
            }
            let mut present = group
                .one
                .iter()
                .filter(|one| self.one.columns[**one].has(step));
            if let (Some(first), Some(second)) = (present.next(), present.next()) {
                let labels = |i: &usize| &self.one.metas[*i].labels;
                let side = if self.swapped { "left" } else { "right" };
                let text = format!(
                    "found duplicate series for the match group {} on the {side} hand-side of the operation: [{}, {}];many-to-many matching not allowed: matching labels must be unique on one side",
                    self.match_labels(labels(second)),
                    labels(second),
                    labels(first),
                );
                return Err(Mismatch {
                    step,
                    kind: MismatchKind::Duplicates,
                    text,
                });
            }
        }
        Ok(())
    }

    /// Whether results of this group may have the same labels.
    fn may_collide(&self, group: &Group) -> bool {
        if group.many.len() < 2 {
            return false;
        }
        let mut seen = HashSet::new();
        // What is filled in for the one side makes results of its own.
        let mut seen_filled = HashSet::new();
        let filled_collide = self.fill_one.is_some()
            && group.many.iter().any(|many| {
                let many = &self.many.metas[*many];
                let partner = Meta::new(self.match_labels(&many.labels));
                !seen_filled.insert(self.result_meta(many, &partner).labels)
            });
        filled_collide
            || group.many.iter().any(|many| {
                group.one.iter().any(|one| {
                    let meta = self.result_meta(&self.many.metas[*many], &self.one.metas[*one]);
                    !seen.insert((*one, meta.labels))
                })
            })
    }

    fn note_matches(
        &self,
        results: &mut Results,
        labels: &Labels,
        steps: &[bool],
        track: bool,
        unique: bool,
    ) -> Result<(), Mismatch> {
        if self.matching.card == Cardinality::OneToOne {
            if track {
                return match mark(&mut results.matched, steps) {
                    Some(step) => Err(several_matches(step)),
                    None => Ok(()),
                };
            }
            return Ok(());
        }
        if track {
            mark(&mut results.matched, steps);
        }
        if unique {
            let seen = results
                .unique
                .entry(labels.clone())
                .or_insert_with(|| vec![false; steps.len()]);
            if let Some(step) = mark(seen, steps) {
                return Err(Mismatch {
                    step,
                    kind: MismatchKind::Matches,
                    text: "multiple matches for labels: grouping labels must ensure unique matches"
                        .to_owned(),
                });
            }
        }
        Ok(())
    }

    /// The operator on two columns. `matched` hears of the steps at which both have a value that the
    /// operator takes, if `track` is set.
    fn pair(
        &self,
        many: usize,
        one: usize,
        track: bool,
        matched: impl FnOnce(&[bool]) -> Result<(), Mismatch>,
    ) -> Result<Column, Mismatch> {
        let (many, one) = (&self.many.columns[many], &self.one.columns[one]);
        let (left, right) = if self.swapped {
            (one, many)
        } else {
            (many, one)
        };
        let op = self.binary.op;
        let plain = left.histograms.is_empty()
            && right.histograms.is_empty()
            && !matches!(op, BinaryOp::TrimLower | BinaryOp::TrimUpper);
        if plain {
            if track {
                let both: Vec<bool> = left
                    .floats
                    .iter()
                    .zip(&right.floats)
                    .map(|(a, b)| !is_absent(*a) && !is_absent(*b))
                    .collect();
                matched(&both)?;
            }
            return Ok(Column {
                floats: float_columns(op, &left.floats, &right.floats, self.binary.return_bool),
                histograms: Vec::new(),
            });
        }
        let mut out = Column::absent(self.len);
        let mut both = vec![false; self.len];
        for (step, both) in both.iter_mut().enumerate() {
            if let (Some(a), Some(b)) = (left.get(step), right.get(step)) {
                *both = self.at_step(&a, &b, step, &mut out);
            }
        }
        if track {
            matched(&both)?;
        }
        Ok(out)
    }

    /// The operator on two values; returns whether it takes them.
    fn at_step(&self, left: &Sample, right: &Sample, step: usize, out: &mut Column) -> bool {
        let Some((value, keep)) = combine(self.binary.op, left, right, &self.query.notes, self.pos)
        else {
            return false;
        };
        if self.binary.return_bool {
            out.floats[step] = if keep { 1.0 } else { 0.0 };
        } else if keep {
            out.set(step, value);
        }
        true
    }

    /// Steps at which a series of the many side has no partner.
    fn fill_in_one(
        &self,
        group: &Group,
        many: usize,
        fill: f64,
        results: &mut Results,
        track: bool,
        unique: bool,
    ) -> Result<(), Mismatch> {
        let mut out = Column::absent(self.len);
        let mut steps = vec![false; self.len];
        let fill = Sample::Float(fill);
        for (step, matched) in steps.iter_mut().enumerate() {
            let Some(value) = self.many.columns[many].get(step) else {
                continue;
            };
            if group.one.iter().any(|one| self.one.columns[*one].has(step)) {
                continue;
            }
            let (left, right) = if self.swapped {
                (&fill, &value)
            } else {
                (&value, &fill)
            };
            *matched = self.at_step(left, right, step, &mut out);
        }
        let many = &self.many.metas[many];
        let partner = Meta::new(self.match_labels(&many.labels));
        let meta = self.result_meta(many, &partner);
        self.note_matches(results, &meta.labels, &steps, track, unique)?;
        results.metas.push(meta);
        results.columns.push(out);
        Ok(())
    }

    /// Steps at which a series of the one side was not matched.
    fn fill_in_many(&self, one: usize, fill: f64, results: &mut Results) {
        let mut out = Column::absent(self.len);
        let fill = Sample::Float(fill);
        for step in 0..self.len {
            if results.matched.get(step).copied().unwrap_or(false) {
                continue;
            }
            let Some(value) = self.one.columns[one].get(step) else {
                continue;
            };
            let (left, right) = if self.swapped {
                (&value, &fill)
            } else {
                (&fill, &value)
            };
            self.at_step(left, right, step, &mut out);
        }
        let one = &self.one.metas[one];
        let partner = Meta::new(self.match_labels(&one.labels));
        results.metas.push(self.result_meta(&partner, one));
        results.columns.push(out);
    }

    /// The labels that two series have in common because they match.
    fn match_labels(&self, labels: &Labels) -> Labels {
        if self.matching.on {
            labels.only(&self.matching.labels)
        } else {
            labels.without(|name| {
                name == model::labels::METRIC_NAME || self.matching.labels.iter().any(|l| l == name)
            })
        }
    }

    fn result_meta(&self, many: &Meta, one: &Meta) -> Meta {
        let mut labels = many.labels.clone();
        if changes_metric(self.binary.op) {
            labels = labels.without(is_metadata_label);
        }
        if self.matching.card == Cardinality::OneToOne {
            labels = if self.matching.on {
                labels.only(&self.matching.labels)
            } else {
                labels.without(|name| self.matching.labels.iter().any(|l| l == name))
            };
        }
        if !self.matching.include.is_empty() {
            let mut builder = LabelsBuilder::new(labels);
            for name in &self.matching.include {
                match one.labels.get(name) {
                    "" => builder.del(name),
                    value => builder.set(name, value),
                };
            }
            labels = builder.build();
        }
        if self.binary.return_bool && !self.query.options.delayed_name_removal {
            labels = labels.without(is_metadata_label);
        }
        Meta {
            labels,
            drop_name: self.binary.return_bool,
        }
    }
}

/// Marks the steps as seen; returns the first that was before.
fn mark(seen: &mut [bool], steps: &[bool]) -> Option<usize> {
    let twice = seen.iter().zip(steps).position(|(seen, now)| *seen && *now);
    for (seen, now) in seen.iter_mut().zip(steps) {
        *seen |= now;
    }
    twice
}

fn several_matches(step: usize) -> Mismatch {
    Mismatch {
        step,
        kind: MismatchKind::Matches,
        text: "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)".to_owned(),
    }
}

/// The loops for columns of floats, an operator each.
fn float_columns(op: BinaryOp, left: &[f64], right: &[f64], return_bool: bool) -> Vec<f64> {
    #[inline(always)]
    fn each(left: &[f64], right: &[f64], f: impl Fn(f64, f64) -> f64) -> Vec<f64> {
        left.iter()
            .zip(right)
            .map(|(a, b)| {
                let result = f(*a, *b);
                if is_absent(*a) || is_absent(*b) {
                    ABSENT
                } else {
                    result
                }
            })
            .collect()
    }
    macro_rules! compare {
        ($operator:tt) => {
            if return_bool {
                each(left, right, |a, b| f64::from(u8::from(a $operator b)))
            } else {
                each(left, right, |a, b| if a $operator b { a } else { ABSENT })
            }
        };
    }
    match op {
        BinaryOp::Eql => compare!(==),
        BinaryOp::Neq => compare!(!=),
        BinaryOp::Lss => compare!(<),
        BinaryOp::Lte => compare!(<=),
        BinaryOp::Gtr => compare!(>),
        BinaryOp::Gte => compare!(>=),
        BinaryOp::Add => each(left, right, |a, b| a + b),
        BinaryOp::Sub => each(left, right, |a, b| a - b),
        BinaryOp::Mul => each(left, right, |a, b| a * b),
        BinaryOp::Div => each(left, right, |a, b| a / b),
        op => each(left, right, |a, b| arithmetic(op, a, b)),
    }
}
