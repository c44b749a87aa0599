//! `strconv.FormatFloat`: all of Go's formats (`internal/strconv/ftoa.go`).
//!
//! The shortest digits come from zmij, where [`Short`] has none, exact digits from the standard library; the
//! layout is ours.

use super::short::Short;

/// What a number can be appended to.
pub trait Sink {
    /// Appends `text`.
    fn put(&mut self, text: &str);

    /// Appends a short number.
    fn put_short(&mut self, number: &Short) {
        self.put(number.as_str());
    }
}

impl Sink for String {
    fn put(&mut self, text: &str) {
        self.push_str(text);
    }
}

impl Sink for Vec<u8> {
    #[inline]
    fn put(&mut self, text: &str) {
        put_short(self, text.as_bytes());
    }

    #[inline]
    fn put_short(&mut self, number: &Short) {
        let (text, len) = number.padded();
        let end = self.len() + len;
        self.extend_from_slice(text);
        self.truncate(end);
    }
}

/// Appends what mostly is a number: a few bytes in two pieces of a fixed size, which overlap, take less than
/// a call that copies any number of them.
#[inline]
fn put_short(out: &mut Vec<u8>, text: &[u8]) {
    match (text.first_chunk::<8>(), text.last_chunk::<8>()) {
        (Some(first), Some(last)) if text.len() <= 24 => {
            let end = out.len() + text.len();
            match text.first_chunk::<16>() {
                Some(first) => out.extend_from_slice(first),
                None => out.extend_from_slice(first),
            }
            out.truncate(end - 8);
            out.extend_from_slice(last);
        }
        _ => out.extend_from_slice(text),
    }
}

/// `strconv.FormatFloat`: `format` is one of `e E f g G x X b`, `precision` the digits after the point
/// (`g`, `G`: significant digits) or -1 for the fewest that read back as the same number, `bits`
/// 32 or 64. Another format gives `%` and its letter, as Go does.
pub fn format_float(value: f64, format: char, precision: i32, bits: u32) -> String {
    let mut out = String::with_capacity(24);
    append_float(&mut out, value, format, precision, bits);
    out
}

/// Appends what [`format_float`] returns.
pub fn append_float(out: &mut impl Sink, value: f64, format: char, precision: i32, bits: u32) {
    if !value.is_finite() {
        return out.put(match (value.is_nan(), value > 0.0) {
            (true, _) => "NaN",
            (_, true) => "+Inf",
            (_, false) => "-Inf",
        });
    }
    if value.is_sign_negative() {
        out.put("-");
    }
    let magnitude = value.abs();
    if precision < 0 && magnitude < 1e6 && magnitude == f64::from(magnitude as u32) {
        // Small whole numbers look alike as %f and %g: most samples are such.
        if matches!(format, 'f' | 'g' | 'G') {
            return out.put_short(&Short::whole(magnitude as u32));
        }
    }
    if format == 'f'
        && precision < 0
        && bits == 64
        && let Some(number) = Short::hundredths(magnitude)
    {
        return out.put_short(&number);
    }
    // Where zmij has no exponent it writes what we want, but for whole numbers a fraction.
    if format == 'f' && precision < 0 && bits == 64 && (1e-5..1e16).contains(&magnitude) {
        let mut buffer = zmij::Buffer::new();
        let text = buffer.format_finite(magnitude);
        // Not `strip_suffix`, which calls memcmp for two bytes.
        let end = match text.as_bytes() {
            [.., b'.', b'0'] => text.len() - 2,
            _ => text.len(),
        };
        return out.put(&text[..end]);
    }
    match format {
        'e' | 'E' | 'f' | 'g' | 'G' if precision < 0 => {
            let mut digits = Digits::shortest(magnitude, bits);
            digits.trim();
            match format {
                'f' => digits.plain(out, digits.after_point()),
                'e' | 'E' => digits.exponent(out, digits.used.max(1) - 1, format),
                _ if digits.used > 0 && !(-4..6).contains(&(digits.point - 1)) => {
                    digits.exponent(out, digits.used - 1, exponent_letter(format));
                }
                _ => digits.plain(out, digits.after_point()),
            }
        }
        'f' => fixed(out, magnitude, precision as usize),
        'e' | 'E' => {
            Digits::exact(magnitude, precision as usize).exponent(out, precision as usize, format);
        }
        'g' | 'G' => general(out, magnitude, precision.max(1), format),
        'x' | 'X' => hexadecimal(out, magnitude, precision, format, bits),
        'b' => binary(out, magnitude, bits),
        other => {
            out.put("%");
            out.put(other.encode_utf8(&mut [0; 4]));
        }
    }
}

/// More digits than any float has: beyond them all are zero, and the standard library's own limit
/// is not far above.
const MAX_DIGITS: usize = 1100;

const ZEROS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

fn zeros(out: &mut impl Sink, mut count: usize) {
    while count > 0 {
        let now = count.min(ZEROS.len());
        out.put(&ZEROS[..now]);
        count -= now;
    }
}

fn exponent_letter(format: char) -> char {
    if format == 'G' { 'E' } else { 'e' }
}

/// Decimal digits `0.d1d2d3... * 10^point`; no digits at all is zero.
struct Digits {
    text: String,
    used: usize,
    point: i32,
}

impl Digits {
    /// The fewest digits that read back as the same number of `bits`.
    fn shortest(magnitude: f64, bits: u32) -> Digits {
        let mut buffer = zmij::Buffer::new();
        let text = if bits == 32 {
            buffer.format_finite(magnitude as f32)
        } else {
            buffer.format_finite(magnitude)
        };
        Digits::read(text)
    }

    /// `precision` + 1 correctly rounded digits.
    fn exact(magnitude: f64, precision: usize) -> Digits {
        Digits::read(&format!("{:.*e}", precision.min(MAX_DIGITS), magnitude))
    }

    /// Takes `12.5`, `1.25e1` or `0.00125` apart.
    fn read(text: &str) -> Digits {
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let exponent: i32 = exponent.parse().unwrap_or(0);
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let mut point = whole.len() as i32 + exponent;
        let mut text = String::with_capacity(mantissa.len());
        text.push_str(whole);
        text.push_str(fraction);
        let leading = text.len() - text.trim_start_matches('0').len();
        text.drain(..leading);
        point -= leading as i32;
        if text.is_empty() {
            point = 0;
        }
        let used = text.len();
        Digits { text, used, point }
    }

    /// Drops zeros at the end.
    fn trim(&mut self) {
        self.used = self.text.trim_end_matches('0').len();
        self.text.truncate(self.used);
    }

    fn after_point(&self) -> usize {
        usize::try_from(self.used as i32 - self.point).unwrap_or(0)
    }

    /// As `%f` with `precision` digits after the point.
    fn plain(&self, out: &mut impl Sink, precision: usize) {
        let text = &self.text[..self.used];
        let whole = usize::try_from(self.point).unwrap_or(0);
        if whole == 0 {
            out.put("0");
        } else {
            out.put(&text[..whole.min(text.len())]);
            zeros(out, whole.saturating_sub(text.len()));
        }
        if precision == 0 {
            return;
        }
        out.put(".");
        let lead = usize::try_from(-self.point).unwrap_or(0).min(precision);
        zeros(out, lead);
        let fraction = text.get(whole..).unwrap_or_default();
        let shown = fraction.len().min(precision - lead);
        out.put(&fraction[..shown]);
        zeros(out, precision - lead - shown);
    }

    /// As `%e` with `precision` digits after the point.
    fn exponent(&self, out: &mut impl Sink, precision: usize, letter: char) {
        let text = &self.text[..self.used];
        out.put(text.get(..1).unwrap_or("0"));
        if precision > 0 {
            out.put(".");
            let fraction = text.get(1..).unwrap_or_default();
            let shown = fraction.len().min(precision);
            out.put(&fraction[..shown]);
            zeros(out, precision - shown);
        }
        let exponent = if text.is_empty() { 0 } else { self.point - 1 };
        put_exponent(out, letter, exponent);
    }
}

/// `e+07`: a sign and at least two digits.
fn put_exponent(out: &mut impl Sink, letter: char, exponent: i32) {
    out.put(letter.encode_utf8(&mut [0; 4]));
    out.put(if exponent < 0 { "-" } else { "+" });
    let magnitude = exponent.unsigned_abs();
    if magnitude < 10 {
        out.put("0");
    }
    out.put(itoa::Buffer::new().format(magnitude));
}

fn fixed(out: &mut impl Sink, magnitude: f64, precision: usize) {
    out.put(&format!("{:.*}", precision.min(MAX_DIGITS), magnitude));
    zeros(out, precision.saturating_sub(MAX_DIGITS));
}

fn general(out: &mut impl Sink, magnitude: f64, precision: i32, format: char) {
    let mut digits = Digits::exact(magnitude, precision as usize - 1);
    digits.trim();
    let used = digits.used as i32;
    let mut threshold = precision;
    if threshold > used && used >= digits.point {
        threshold = used;
    }
    let exponent = digits.point - 1;
    if exponent < -4 || exponent >= threshold {
        let shown = precision.min(used).max(1) as usize;
        return digits.exponent(out, shown - 1, exponent_letter(format));
    }
    let shown = if precision > digits.point {
        used
    } else {
        precision
    };
    digits.plain(out, usize::try_from(shown - digits.point).unwrap_or(0));
}

/// The mantissa with its hidden bit, and the power of two it counts.
fn split(magnitude: f64, bits: u32) -> (u64, i32) {
    if bits == 32 {
        let raw = (magnitude as f32).to_bits();
        let (mantissa, exponent) = (u64::from(raw & 0x7f_ffff), (raw >> 23) as i32);
        return match exponent {
            0 => (mantissa, -149),
            e => (mantissa | 1 << 23, e - 150),
        };
    }
    let raw = magnitude.to_bits();
    let (mantissa, exponent) = (raw & ((1 << 52) - 1), (raw >> 52) as i32);
    match exponent {
        0 => (mantissa, -1074),
        e => (mantissa | 1 << 52, e - 1075),
    }
}

/// `4503599627370496p-52`.
fn binary(out: &mut impl Sink, magnitude: f64, bits: u32) {
    let (mantissa, exponent) = split(magnitude, bits);
    out.put(itoa::Buffer::new().format(mantissa));
    out.put("p");
    if exponent >= 0 {
        out.put("+");
    }
    out.put(itoa::Buffer::new().format(exponent));
}

/// `0x1.8p+01`.
fn hexadecimal(out: &mut impl Sink, magnitude: f64, precision: i32, format: char, bits: u32) {
    let (mut mantissa, mut exponent) = split(magnitude, bits);
    if mantissa == 0 {
        exponent = 0;
    } else {
        // One hexadecimal digit before the point: bit 60 is that digit's.
        let shift = mantissa.leading_zeros() as i32 - 3;
        mantissa <<= shift;
        exponent += 60 - shift;
    }
    if (0..15).contains(&precision) {
        let dropped = 60 - 4 * precision as u32;
        let (extra, half) = (mantissa & ((1 << dropped) - 1), 1u64 << (dropped - 1));
        mantissa >>= dropped;
        if extra > half || (extra == half && mantissa & 1 == 1) {
            mantissa += 1;
        }
        mantissa <<= dropped;
        if mantissa & (1 << 61) != 0 {
            mantissa >>= 1;
            exponent += 1;
        }
    }
    let upper = format == 'X';
    out.put(if upper { "0X" } else { "0x" });
    out.put(if mantissa >> 60 == 0 { "0" } else { "1" });
    let fraction = format!("{:015x}", mantissa & ((1 << 60) - 1));
    let fraction = if upper {
        fraction.to_uppercase()
    } else {
        fraction
    };
    let shown = match precision {
        p if p < 0 => fraction.trim_end_matches('0').len(),
        p => (p as usize).min(fraction.len()),
    };
    let padding = usize::try_from(precision).unwrap_or(0).saturating_sub(15);
    if shown > 0 || padding > 0 {
        out.put(".");
        out.put(&fraction[..shown]);
        zeros(out, padding);
    }
    put_exponent(out, if upper { 'P' } else { 'p' }, exponent);
}
