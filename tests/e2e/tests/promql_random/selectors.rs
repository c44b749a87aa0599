//! Names, selectors, ranges and durations of random queries.

use crate::data::{LENGTH_MS, START_MS};
use crate::generate::{COUNTERS, GAUGES, Text};

impl Text<'_> {
    pub(crate) fn name(&mut self) -> String {
        match self.r.weighted(&[4, 6, 2, 1]) {
            0 => self.pick(&COUNTERS),
            1 => self.pick(&GAUGES),
            2 => self.native(),
            _ => self.buckets(),
        }
    }

    pub(crate) fn matcher(&mut self) -> String {
        let all = [
            "job=\"api\"",
            "job!=\"api\"",
            "job=~\"a.*|db\"",
            "instance=\"h1:80\"",
            "instance=~\"h.:80\"",
            "instance!~\"h1.*\"",
            "code=\"200\"",
            "code=~\"4..|5..\"",
            "code!=\"\"",
            "code=\"\"",
            "device!=\"lo\"",
            "kind=\"free\"",
            "nosuch=\"\"",
            "nosuch=\"x\"",
            "le=\"+Inf\"",
            "job=~\".+\"",
            "job=~\"\"",
            "\"data.x\"=\"a b\"",
            "kind=~\"(?i:FREE)|x\"",
            "instance=~\"h[12]:80\"",
            "job='api'",
            "job=`db`",
            "instance=~`h\\d:80`",
            "kind=\"fr\\u0065e\"",
            "job=\"\\x61pi\"",
            "\"data.x\"!=\"\"",
            "\"job\"!~\"d.\"",
        ];
        self.pick(&all)
    }

    pub(crate) fn selector_of(&mut self, name: &str) -> String {
        let mut matchers = Vec::new();
        while self.r.chance(if matchers.is_empty() { 40 } else { 25 }) {
            matchers.push(self.matcher());
        }
        if name.starts_with('"') {
            matchers.insert(0, name.to_owned());
            return format!("{{{}}}", matchers.join(","));
        }
        if self.r.chance(4) {
            matchers.push(format!("__name__={name:?}"));
            return format!("{{{}}}", matchers.join(", "));
        }
        if self.r.chance(4) {
            matchers.insert(self.r.below(matchers.len() + 1), format!("{name:?}"));
            return format!("{{{}}}", matchers.join(" , "));
        }
        if matchers.is_empty() {
            name.to_owned() + &self.maybe(2, "{}")
        } else {
            format!("{name}{{{}{}}}", matchers.join(","), self.maybe(3, ","))
        }
    }

    pub(crate) fn any_selector(&mut self) -> String {
        if self.newer && self.r.chance(1) {
            return self.pick(&[
                "{__name__=~\"native.*\"}",
                "{__name__!=\"\"}",
                "{__name__=~\".*_bucket\",instance!=\"h1:80\"}",
            ]);
        }
        if self.r.chance(4) {
            return self.pick(&[
                "{__name__=~\"up|temp\"}",
                "{__name__=~\"req_.*\",job=\"api\"}",
                "{__name__=~\"lat_seconds_(sum|count)\"}",
                "{__name__=~\"mem_bytes|native\"}",
                "{job=\"api\",instance=\"h1:80\",le=\"\"}",
                "nosuch",
                "{__name__!~\"native.*|mixed|odd|rough.*|twice.*\",job=\"db\"}",
            ]);
        }
        let name = self.name();
        self.selector_of(&name)
    }

    /// `offset` and `@`, in either order, or nothing.
    pub(crate) fn moved(&mut self) -> String {
        let mut parts = Vec::new();
        if self.r.chance(10) {
            let offset = if self.newer && self.r.chance(15) {
                self.computed_offset()
            } else {
                self.pick(&[
                    "1m", "30s", "-2m", "7m13s", "1ms", "0s", "-15s", "90", "-1h", "+1m", "1.5",
                ])
            };
            parts.push(format!(" offset {offset}"));
        }
        if self.r.chance(7) {
            let at = match self.r.below(9) {
                0 | 1 => "start()".to_owned(),
                2 | 3 => "end()".to_owned(),
                4 => self.pick(&["0", "-1", "+1.7e9", "1700001000", "1e10"]),
                _ => format!(
                    "{:.3}",
                    (START_MS + self.r.within(0, LENGTH_MS)) as f64 / 1000.0
                ),
            };
            parts.push(format!(" @ {at}"));
        }
        if self.r.chance(50) {
            parts.reverse();
        }
        parts.concat()
    }

    pub(crate) fn instant_selector(&mut self) -> String {
        let mut selector = self.any_selector();
        let moved = self.moved();
        let smoothed = if self.newer {
            self.maybe(3, " smoothed")
        } else {
            String::new()
        };
        let parts = if self.r.chance(50) {
            [moved, smoothed]
        } else {
            [smoothed, moved]
        };
        selector.extend(parts);
        selector
    }

    pub(crate) fn range(&mut self) -> String {
        if self.newer && self.r.chance(6) {
            return self.computed(2);
        }
        self.pick(&[
            "1m", "2m", "5m", "45s", "15s", "10m", "1m30s", "3m21s", "1ms", "300", "20m",
        ])
    }

    pub(crate) fn matrix_of(&mut self, selector: String) -> String {
        let range = self.range();
        let moved = self.moved();
        let extended = if self.newer && self.r.chance(6) {
            self.pick(&[" anchored", " smoothed"])
        } else {
            String::new()
        };
        if self.r.chance(30) {
            return format!("{selector}[{range}]{moved}{extended}");
        }
        format!("{selector}[{range}]{extended}{moved}")
    }

    pub(crate) fn matrix(&mut self, depth: usize) -> String {
        if depth > 0 && self.in_subquery < 2 && self.r.chance(20) {
            self.in_subquery += 1;
            // Changes, slopes and deviations are made of it.
            let inner = self.exactly(|t| t.vector(depth - 1));
            self.in_subquery -= 1;
            let mut range = self.pick(&["2m", "5m", "7m30s", "10m", "600"]);
            let mut step = self.pick(&["", "15s", "30s", "1m", "47s"]);
            // Bounded, so that a query does not ask for millions of steps.
            if self.newer && self.r.chance(10) {
                range = format!("min_of({}, 20m)", self.computed(1));
            }
            if self.newer && self.r.chance(10) {
                step = format!("max_of({}, 20s)", self.computed(1));
            }
            return format!("({inner})[{range}:{step}]{}", self.moved());
        }
        let selector = self.any_selector();
        self.matrix_of(selector)
    }

    /// A computed duration. Not all are positive: that is an error.
    pub(crate) fn computed(&mut self, depth: usize) -> String {
        match self.r.below(if depth > 0 { 10 } else { 5 }) {
            0 => "step()".to_owned(),
            1 => "range()".to_owned(),
            2..5 => self.pick(&["1m", "30s", "2m", "90", "5m", "15s", "1.5", "2"]),
            5 => format!("({})", self.computed(depth - 1)),
            6 => format!(
                "{}({}, {})",
                self.pick(&["min_of", "max_of"]),
                self.computed(depth - 1),
                self.computed(depth - 1)
            ),
            7 => format!("{}{}", self.pick(&["-", "+"]), self.computed(depth - 1)),
            8 => format!(
                "{}{}{}",
                self.computed(depth - 1),
                self.pick(&["/", "%", "^"]),
                self.pick(&["2", "3", "0.5", "7s", "-1"]),
            ),
            _ => format!(
                "{} {} {}",
                self.computed(depth - 1),
                self.pick(&["+", "-", "*", "+"]),
                self.computed(depth - 1)
            ),
        }
    }

    pub(crate) fn computed_offset(&mut self) -> String {
        match self.r.below(4) {
            0 => self.pick(&["step()", "-range()", "-step()", "range()"]),
            1 => format!("-({})", self.computed(1)),
            2 => format!("-min_of({}, {})", self.computed(1), self.computed(0)),
            _ => format!("({})", self.computed(1)),
        }
    }
}
