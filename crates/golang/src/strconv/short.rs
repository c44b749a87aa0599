//! Numbers of few digits, which most samples are: small whole ones, and those with two digits behind the point.

/// The text of such a number.
pub struct Short {
    /// The text ends at [`Short::END`].
    bytes: [u8; 2 * Short::END],
    start: usize,
}

impl Short {
    /// The longest text is one of 12 bytes; as many can be read from its beginning on, wherever that is.
    const END: usize = 16;

    /// A whole number.
    #[inline]
    pub fn whole(number: u32) -> Short {
        let mut short = Short {
            bytes: [0; 2 * Short::END],
            start: Short::END,
        };
        short.put_before(number);
        short
    }

    /// A number of at most two digits behind the point; `None` for others, and for negative or large ones.
    ///
    /// Decimal numbers of up to 15 digits are different floats. So if a number is the one nearest to such a
    /// decimal number, no other has fewer digits and reads back as the same.
    #[inline]
    pub fn hundredths(number: f64) -> Option<Short> {
        if !(0.0..1e9).contains(&number) {
            return None;
        }
        let hundredths = (number * 100.0 + 0.5) as i64;
        // The quotient is the float nearest to the decimal number.
        if hundredths as f64 / 100.0 != number {
            return None;
        }
        let (whole, fraction) = (hundredths / 100, (hundredths % 100) as u8);
        let mut short = Short {
            bytes: [0; 2 * Short::END],
            start: Short::END,
        };
        if fraction != 0 {
            let (first, second) = (fraction / 10, fraction % 10);
            if second != 0 {
                short.put_digit(second);
            }
            short.put_digit(first);
            short.start -= 1;
            short.bytes[short.start] = b'.';
        }
        short.put_before(whole as u32);
        Some(short)
    }

    #[inline]
    fn put_digit(&mut self, digit: u8) {
        self.start -= 1;
        self.bytes[self.start] = b'0' + digit;
    }

    #[inline]
    fn put_before(&mut self, mut whole: u32) {
        while whole >= 100 {
            let pair = (whole % 100) as u8;
            whole /= 100;
            self.put_digit(pair % 10);
            self.put_digit(pair / 10);
        }
        let last = whole as u8;
        self.put_digit(last % 10);
        if last >= 10 {
            self.put_digit(last / 10);
        }
    }

    /// The text with something behind it, and its length: a fixed number of bytes is copied fastest.
    #[inline]
    pub fn padded(&self) -> (&[u8; Short::END], usize) {
        let text = self.bytes[self.start..].first_chunk();
        let text = text.expect("there is as much behind the end");
        (text, Short::END - self.start)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        let text = std::str::from_utf8(&self.bytes[self.start..Short::END]);
        text.expect("it has digits and a point")
    }
}

#[cfg(test)]
mod tests {
    use super::Short;

    #[test]
    fn whole_numbers() {
        for number in (0..2000).chain([9_999, 10_000, 999_999, u32::MAX]) {
            assert_eq!(Short::whole(number).as_str(), number.to_string());
        }
    }

    #[test]
    fn hundredths_are_the_shortest_digits() {
        let check = |number: f64| {
            if let Some(short) = Short::hundredths(number) {
                assert_eq!(short.as_str(), number.to_string());
                let (text, len) = short.padded();
                assert_eq!(text[..len], *short.as_str().as_bytes());
                true
            } else {
                false
            }
        };
        for hundredths in (0..200_000u64).chain((0..1000).map(|i| 99_999_999_999 - i * 977)) {
            let number = hundredths as f64 / 100.0;
            assert!(check(number), "{number}");
            // Its neighbours have more digits.
            for other in [number.next_up(), number.next_down()] {
                assert!(hundredths == 0 || !check(other), "{other}");
            }
        }
        for other in [1e9, 1e300, -1.0, 0.001, 1e-300, f64::NAN, f64::INFINITY] {
            assert!(!check(other), "{other}");
        }
    }
}
