//! What parts of the language are switched on (`--enable-feature` of upstream's server).

/// Language features behind flags; all are off by default, as in upstream's server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Features {
    /// `promql-experimental-functions`: experimental functions, `limitk`, `limit_ratio`.
    pub experimental_functions: bool,
    /// `promql-duration-expr`: computed durations in ranges, steps and offsets.
    pub duration_expr: bool,
    /// `promql-extended-range-selectors`: `anchored` and `smoothed`.
    pub extended_range_selectors: bool,
    /// `promql-binop-fill-modifiers`: `fill`, `fill_left`, `fill_right`.
    pub binop_fill_modifiers: bool,
}

impl Features {
    /// Everything on.
    pub const ALL: Features = Features {
        experimental_functions: true,
        duration_expr: true,
        extended_range_selectors: true,
        binop_fill_modifiers: true,
    };

    /// Switches on the feature that a word of `--enable-feature` names. Returns whether the word
    /// is one of the language's.
    pub fn enable(&mut self, flag: &str) -> bool {
        match flag {
            "promql-experimental-functions" => self.experimental_functions = true,
            "promql-duration-expr" => self.duration_expr = true,
            "promql-extended-range-selectors" => self.extended_range_selectors = true,
            "promql-binop-fill-modifiers" => self.binop_fill_modifiers = true,
            _ => return false,
        }
        true
    }
}

impl Features {
    /// The server's language: what upstream 3.14 has on by default, and what the words of
    /// `--enable-feature` (each may be a list separated by commas) add. Words that are not the
    /// language's are returned.
    pub fn of_server<'a>(words: impl IntoIterator<Item = &'a str>) -> (Features, Vec<&'a str>) {
        let mut features = Features {
            duration_expr: true,
            ..Features::default()
        };
        let words = words.into_iter().flat_map(|list| list.split(','));
        let others = words
            .map(str::trim)
            .filter(|w| !w.is_empty() && !features.enable(w))
            .collect();
        (features, others)
    }
}
