//! Numeric constants: every kind of number the text can stand for (`text/template/parse/node.go`).

use golang::strconv::{parse_float, parse_int, parse_uint, quote, unquote};

#[derive(Debug)]
pub(crate) struct Number {
    pub text: String,
    pub int: Option<i64>,
    pub uint: Option<u64>,
    pub float: Option<f64>,
}

impl Number {
    /// A character constant, `'x'`.
    pub(super) fn character(text: &str) -> Result<Number, String> {
        let malformed = || format!("malformed character constant: {text}");
        let decoded = unquote(text).map_err(|_| malformed())?;
        let mut characters = decoded.chars();
        let (Some(c), None) = (characters.next(), characters.next()) else {
            return Err(malformed());
        };
        let code = u32::from(c);
        Ok(Number {
            text: text.to_owned(),
            int: Some(i64::from(code)),
            uint: Some(u64::from(code)),
            float: Some(f64::from(code)),
        })
    }

    pub(super) fn parse(text: &str) -> Result<Number, String> {
        if text.ends_with('i') {
            return Err(format!(
                "complex numbers are not supported: {}",
                quote(text)
            ));
        }
        let mut number = Number {
            text: text.to_owned(),
            int: parse_int(text, 0, 64).ok(),
            uint: parse_uint(text, 0, 64).ok(),
            float: None,
        };
        match (number.int, number.uint) {
            (Some(int), _) => {
                if int == 0 {
                    number.uint = Some(0);
                }
                number.float = Some(int as f64);
            }
            (None, Some(uint)) => number.float = Some(uint as f64),
            (None, None) => {
                let Ok(float) = parse_float(text) else {
                    return Err(format!("illegal number syntax: {}", quote(text)));
                };
                if !text.contains(['.', 'e', 'E', 'p', 'P']) {
                    return Err(format!("integer overflow: {}", quote(text)));
                }
                number.float = Some(float);
                number.int = Some(float as i64).filter(|&i| i as f64 == float);
                number.uint = Some(float as u64).filter(|&u| u as f64 == float);
            }
        }
        Ok(number)
    }

    /// Whether the text is that of a float rather than of an integer.
    pub(crate) fn is_float(&self) -> bool {
        let hexadecimal = self.text.starts_with("0x") || self.text.starts_with("0X");
        let integer = hexadecimal && !self.text.contains(['p', 'P']);
        self.float.is_some()
            && !integer
            && !self.text.starts_with('\'')
            && self.text.contains(['.', 'e', 'E', 'p', 'P'])
    }
}
