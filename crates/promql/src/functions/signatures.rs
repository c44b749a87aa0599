//! The table of all functions: names, argument types, return types
//! (prometheus/prometheus `promql/parser/functions.go`).

use crate::ast::ValueType;

/// What is known of a function without its implementation.
#[derive(Debug, PartialEq, Eq)]
pub struct Signature {
    pub name: &'static str,
    /// The types of the arguments; the last one is that of all further arguments too.
    pub args: &'static [ValueType],
    /// 0: exactly `args.len()` arguments. Otherwise the last one may be missing, and it may come up
    /// to `variadic` times, or any number of times where this is -1.
    pub variadic: i32,
    pub return_type: ValueType,
    /// Needs `promql-experimental-functions`.
    pub experimental: bool,
}

impl Signature {
    /// The type that the argument at `index` has to have.
    pub fn arg_type(&self, index: usize) -> Option<ValueType> {
        match self.args.get(index) {
            Some(arg) => Some(*arg),
            None if self.variadic != 0 => self.args.last().copied(),
            None => None,
        }
    }
}

/// The function of this name, whether enabled or not.
pub fn lookup(name: &str) -> Option<&'static Signature> {
    let index = FUNCTIONS
        .binary_search_by(|signature| signature.name.cmp(name))
        .ok()?;
    Some(&FUNCTIONS[index])
}

const S: ValueType = ValueType::Scalar;
const T: ValueType = ValueType::String;
const V: ValueType = ValueType::Vector;
const M: ValueType = ValueType::Matrix;

const fn row(
    name: &'static str,
    args: &'static [ValueType],
    variadic: i32,
    return_type: ValueType,
) -> Signature {
    Signature {
        name,
        args,
        variadic,
        return_type,
        experimental: false,
    }
}

const fn experimental(
    name: &'static str,
    args: &'static [ValueType],
    variadic: i32,
    return_type: ValueType,
) -> Signature {
    Signature {
        name,
        args,
        variadic,
        return_type,
        experimental: true,
    }
}

/// All functions, sorted by name.
#[rustfmt::skip]
pub static FUNCTIONS: [Signature; 90] = [
    row("abs", &[V], 0, V),
    row("absent", &[V], 0, V),
    row("absent_over_time", &[M], 0, V),
    row("acos", &[V], 0, V),
    row("acosh", &[V], 0, V),
    row("asin", &[V], 0, V),
    row("asinh", &[V], 0, V),
    row("atan", &[V], 0, V),
    row("atanh", &[V], 0, V),
    row("avg_over_time", &[M], 0, V),
    row("ceil", &[V], 0, V),
    row("changes", &[M], 0, V),
    row("clamp", &[V, S, S], 0, V),
    row("clamp_max", &[V, S], 0, V),
    row("clamp_min", &[V, S], 0, V),
    row("cos", &[V], 0, V),
    row("cosh", &[V], 0, V),
    row("count_over_time", &[M], 0, V),
    row("day_of_month", &[V], 1, V),
    row("day_of_week", &[V], 1, V),
    row("day_of_year", &[V], 1, V),
    row("days_in_month", &[V], 1, V),
    row("deg", &[V], 0, V),
    row("delta", &[M], 0, V),
    row("deriv", &[M], 0, V),
    experimental("double_exponential_smoothing", &[M, S, S], 0, V),
    experimental("end", &[], 0, S),
    row("exp", &[V], 0, V),
    row("first_over_time", &[M], 0, V),
    row("floor", &[V], 0, V),
    row("histogram_avg", &[V], 0, V),
    row("histogram_count", &[V], 0, V),
    row("histogram_fraction", &[S, S, V], 0, V),
    row("histogram_quantile", &[S, V], 0, V),
    experimental("histogram_quantiles", &[V, T, S, S], 9, V),
    row("histogram_stddev", &[V], 0, V),
    row("histogram_stdvar", &[V], 0, V),
    row("histogram_sum", &[V], 0, V),
    row("hour", &[V], 1, V),
    row("idelta", &[M], 0, V),
    row("increase", &[M], 0, V),
    experimental("info", &[V, V], 1, V),
    row("irate", &[M], 0, V),
    row("label_join", &[V, T, T, T], -1, V),
    row("label_replace", &[V, T, T, T, T], 0, V),
    row("last_over_time", &[M], 0, V),
    row("ln", &[V], 0, V),
    row("log10", &[V], 0, V),
    row("log2", &[V], 0, V),
    experimental("mad_over_time", &[M], 0, V),
    experimental("max_of", &[S, S], 0, S),
    row("max_over_time", &[M], 0, V),
    experimental("min_of", &[S, S], 0, S),
    row("min_over_time", &[M], 0, V),
    row("minute", &[V], 1, V),
    row("month", &[V], 1, V),
    row("pi", &[], 0, S),
    row("predict_linear", &[M, S], 0, V),
    row("present_over_time", &[M], 0, V),
    row("quantile_over_time", &[S, M], 0, V),
    row("rad", &[V], 0, V),
    experimental("range", &[], 0, S),
    row("rate", &[M], 0, V),
    row("resets", &[M], 0, V),
    row("round", &[V, S], 1, V),
    row("scalar", &[V], 0, S),
    row("sgn", &[V], 0, V),
    row("sin", &[V], 0, V),
    row("sinh", &[V], 0, V),
    row("sort", &[V], 0, V),
    experimental("sort_by_label", &[V, T], -1, V),
    experimental("sort_by_label_desc", &[V, T], -1, V),
    row("sort_desc", &[V], 0, V),
    row("sqrt", &[V], 0, V),
    experimental("start", &[], 0, S),
    experimental("start_timestamp", &[V], 0, V),
    row("stddev_over_time", &[M], 0, V),
    row("stdvar_over_time", &[M], 0, V),
    experimental("step", &[], 0, S),
    row("sum_over_time", &[M], 0, V),
    row("tan", &[V], 0, V),
    row("tanh", &[V], 0, V),
    row("time", &[], 0, S),
    row("timestamp", &[V], 0, V),
    experimental("ts_of_first_over_time", &[M], 0, V),
    experimental("ts_of_last_over_time", &[M], 0, V),
    experimental("ts_of_max_over_time", &[M], 0, V),
    experimental("ts_of_min_over_time", &[M], 0, V),
    row("vector", &[S], 0, V),
    row("year", &[V], 1, V),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_found() {
        assert!(FUNCTIONS.is_sorted_by(|a, b| a.name < b.name));
        for signature in &FUNCTIONS {
            assert_eq!(lookup(signature.name), Some(signature));
        }
        assert_eq!(lookup("nosuch"), None);
        assert_eq!(FUNCTIONS.len(), 90);
    }
}
