//! The two NaNs that sample values tell apart (prometheus/prometheus `model/value/value.go`).

/// The bits of the NaN that computations yield.
pub const NORMAL_NAN_BITS: u64 = 0x7ff8_0000_0000_0001;
/// The bits of the NaN that ends a series: a stale marker.
pub const STALE_NAN_BITS: u64 = 0x7ff0_0000_0000_0002;
/// The NaN that computations yield.
pub const NORMAL_NAN: f64 = f64::from_bits(NORMAL_NAN_BITS);
/// The stale marker.
pub const STALE_NAN: f64 = f64::from_bits(STALE_NAN_BITS);

/// Whether `v` is a stale marker. Compares bits: every NaN differs from every NaN otherwise.
#[inline]
pub fn is_stale(v: f64) -> bool {
    v.to_bits() == STALE_NAN_BITS
}
