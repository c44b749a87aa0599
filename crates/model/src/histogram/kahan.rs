//! Summation that keeps what rounding loses (prometheus/prometheus `util/kahansum`).

/// Adds `inc` to a sum and its compensation; the result of the whole summation is `sum + c`.
/// Neumaier's variant, with the compensation given up once the sum is infinite.
#[inline]
pub fn kahan_add(inc: f64, sum: f64, c: f64) -> (f64, f64) {
    let t = sum + inc;
    let c = if t.is_infinite() {
        0.0
    } else if sum.abs() >= inc.abs() {
        c + ((sum - t) + inc)
    } else {
        c + ((inc - t) + sum)
    };
    (t, c)
}
