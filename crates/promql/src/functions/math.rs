//! Arithmetic as Go's `math` package does it, for operators and for functions of one float.

use crate::ast::BinaryOp;

/// An arithmetic operator on floats; a comparison gives 1 or 0.
#[inline]
pub(crate) fn arithmetic(op: BinaryOp, a: f64, b: f64) -> f64 {
    let truth = |t: bool| if t { 1.0 } else { 0.0 };
    match op {
        BinaryOp::Add => a + b,
        BinaryOp::Sub => a - b,
        BinaryOp::Mul => a * b,
        BinaryOp::Div => a / b,
        // Both truncate; the sign is that of the dividend.
        BinaryOp::Mod => a % b,
        BinaryOp::Pow => a.powf(b),
        BinaryOp::Atan2 => a.atan2(b),
        BinaryOp::Eql => truth(a == b),
        BinaryOp::Neq => truth(a != b),
        BinaryOp::Lss => truth(a < b),
        BinaryOp::Lte => truth(a <= b),
        BinaryOp::Gtr => truth(a > b),
        BinaryOp::Gte => truth(a >= b),
        BinaryOp::And
        | BinaryOp::Or
        | BinaryOp::Unless
        | BinaryOp::TrimUpper
        | BinaryOp::TrimLower => f64::NAN,
    }
}

/// Go's `math.Log2`: exact for powers of two, elsewhere with its rounding.
pub(crate) fn log2(v: f64) -> f64 {
    if !v.is_finite() || v <= 0.0 {
        return v.log2();
    }
    // The mantissa in [0.5, 1), as Frexp gives it; subnormals are scaled up for it.
    let (v, scale) = if v < f64::MIN_POSITIVE {
        (v * 2f64.powi(52), -52)
    } else {
        (v, 0)
    };
    let bits = v.to_bits();
    let exponent = ((bits >> 52) & 0x7ff) as i32 - 1022 + scale;
    let mantissa = f64::from_bits((bits & !(0x7ff << 52)) | (1022 << 52));
    if mantissa == 0.5 {
        return f64::from(exponent - 1);
    }
    mantissa.ln() * (1.0 / std::f64::consts::LN_2) + f64::from(exponent)
}

/// Go's `math.Log10`.
fn log10(v: f64) -> f64 {
    log2(v) * (std::f64::consts::LN_2 / std::f64::consts::LN_10)
}

/// Go's `math.Max`: NaN wins over all but +Inf.
pub(crate) fn go_max(a: f64, b: f64) -> f64 {
    if a == f64::INFINITY || b == f64::INFINITY {
        f64::INFINITY
    } else if a.is_nan() || b.is_nan() {
        f64::NAN
    } else if a == 0.0 && b == 0.0 {
        if a.is_sign_negative() { b } else { a }
    } else if a > b {
        a
    } else {
        b
    }
}

/// Go's `math.Min`: NaN wins over all but -Inf.
pub(crate) fn go_min(a: f64, b: f64) -> f64 {
    -go_max(-a, -b)
}

/// A function of one float by its PromQL name.
pub(crate) fn float_function(name: &str) -> Option<fn(f64) -> f64> {
    Some(match name {
        "abs" => f64::abs,
        "acos" => f64::acos,
        "acosh" => f64::acosh,
        "asin" => f64::asin,
        "asinh" => f64::asinh,
        "atan" => f64::atan,
        "atanh" => f64::atanh,
        "ceil" => f64::ceil,
        "cos" => f64::cos,
        "cosh" => f64::cosh,
        "deg" => |v| v * 180.0 / std::f64::consts::PI,
        "exp" => f64::exp,
        "floor" => f64::floor,
        "ln" => f64::ln,
        "log10" => log10,
        "log2" => log2,
        "rad" => |v| v * std::f64::consts::PI / 180.0,
        "sgn" => |v| {
            if v < 0.0 {
                -1.0
            } else if v > 0.0 {
                1.0
            } else {
                v
            }
        },
        "sin" => f64::sin,
        "sinh" => f64::sinh,
        "sqrt" => f64::sqrt,
        "tan" => f64::tan,
        "tanh" => f64::tanh,
        _ => return super::calendar::date_function(name),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extremes_as_go() {
        assert!(go_max(f64::NAN, 1.0).is_nan());
        assert_eq!(go_max(f64::NAN, f64::INFINITY), f64::INFINITY);
        assert_eq!(go_min(f64::NAN, f64::NEG_INFINITY), f64::NEG_INFINITY);
        assert!(go_min(f64::NAN, 1.0).is_nan());
        assert_eq!((go_max(1.0, 2.0), go_min(1.0, 2.0)), (2.0, 1.0));
        assert_eq!(go_max(-0.0, 0.0).to_bits(), 0);
    }

    #[test]
    fn logarithms() {
        for (v, want) in [
            (8.0, 3.0),
            (0.125, -3.0),
            (f64::from_bits(1), -1074.0),
            (0.0, f64::NEG_INFINITY),
            (f64::INFINITY, f64::INFINITY),
        ] {
            assert_eq!(log2(v), want);
        }
        assert!(log2(-1.0).is_nan() && log2(f64::NAN).is_nan());
        assert!((log2(10.0) - 10f64.log2()).abs() < 1e-15);
        assert!((log10(1000.0) - 3.0).abs() < 1e-15);
    }

    #[test]
    fn operators() {
        assert_eq!(arithmetic(BinaryOp::Mod, -7.0, 3.0), -1.0);
        assert_eq!(arithmetic(BinaryOp::Pow, 2.0, -1.0), 0.5);
        assert_eq!(arithmetic(BinaryOp::Gte, 2.0, 2.0), 1.0);
    }
}
