//! Random queries: well typed, over the names that [`crate::data`] writes.
//!
//! What only newer versions than the peer (3.5) know is asked only of a reference that knows it (3.14):
//! `anchored` and `smoothed`, fill modifiers, trim operators, `start()`, `end()`, `step()`, `range()`,
//! `min_of`, `max_of`, `histogram_quantiles`, `first_over_time`, `ts_of_first_over_time`, computed
//! durations. Left out at all is `start_timestamp`: remote write 1.0 carries none.

use crate::data::{LENGTH_MS, START_MS};
use crate::random::Random;

/// One question to both servers.
pub struct Query {
    pub text: String,
    pub times: Times,
    /// `lookback_delta`, `limit`, `stats`: other parameters of the request.
    pub more: Vec<(&'static str, String)>,
}

pub enum Times {
    Instant(i64),
    Range {
        start_ms: i64,
        end_ms: i64,
        step_ms: i64,
    },
}

/// The `n`th query of a seed, with all that 3.14 has if `newer`.
pub fn query(seed: u64, n: u64, newer: bool) -> Query {
    let mut random = Random::new(seed, n);
    let r = &mut random;
    let t = START_MS + r.within(-60_000, LENGTH_MS + 300_000);
    // Whole minutes now and then, so that samples lie on the boundaries of windows.
    let t = if r.chance(30) {
        t - t.rem_euclid(60_000)
    } else {
        t
    };
    let times = if r.chance(50) {
        Times::Instant(t)
    } else {
        let step_ms = *r.pick(&[7_000, 15_000, 30_000, 60_000, 61_234, 300_000]);
        Times::Range {
            start_ms: t,
            end_ms: t + step_ms * r.within(0, 30),
            step_ms,
        }
    };
    let depth = r.weighted(&[1, 3, 5, 4, 1]);
    let mut text = Text {
        r,
        newer,
        exact: false,
        in_subquery: 0,
    };
    let text = match (&times, text.r.below(40)) {
        (_, 0..3) => text.scalar(depth),
        (Times::Instant(_), 3..6) => text.matrix(depth),
        (Times::Instant(_), 6) => format!("{:?}", *text.r.pick(&["", "a b", "é"])),
        _ => text.vector(depth),
    };
    let mut more = Vec::new();
    if random.chance(8) {
        more.push((
            "lookback_delta",
            random.pick(&["1m", "15s", "10m"]).to_string(),
        ));
    }
    if random.chance(30) {
        more.push(("stats", "all".to_owned()));
    }
    Query { text, times, more }
}

const COUNTERS: [&str; 4] = [
    "req_total",
    "net_bytes_total",
    "lat_seconds_count",
    "lat_seconds_sum",
];
const GAUGES: [&str; 9] = [
    "up",
    "temp",
    "mem_bytes",
    "odd",
    "queue",
    "sparse",
    "build_info",
    "target_info",
    "\"dotted.name\"",
];
const NATIVE: [&str; 5] = [
    "native",
    "native_float",
    "native_gauge",
    "native_custom",
    "mixed",
];
const LABELS: [&str; 8] = [
    "job", "instance", "code", "device", "kind", "le", "version", "nosuch",
];

struct Text<'r> {
    r: &'r mut Random,
    /// What is written is looked at closely (compared, rounded, subtracted): functions whose last
    /// digit depends on the C library or on Go's would make a large difference out of a small one.
    exact: bool,
    in_subquery: usize,
    newer: bool,
}

impl Text<'_> {
    fn pick(&mut self, from: &[&str]) -> String {
        self.r.pick(from).to_string()
    }

    fn exactly<T>(&mut self, write: impl FnOnce(&mut Self) -> T) -> T {
        let before = std::mem::replace(&mut self.exact, true);
        let result = write(self);
        self.exact = before;
        result
    }

    // -- Selectors

    fn name(&mut self) -> String {
        match self.r.weighted(&[4, 6, 2, 1]) {
            0 => self.pick(&COUNTERS),
            1 => self.pick(&GAUGES),
            2 => self.pick(&NATIVE),
            _ => "lat_seconds_bucket".to_owned(),
        }
    }

    fn matcher(&mut self) -> String {
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
        ];
        self.pick(&all)
    }

    fn selector_of(&mut self, name: &str) -> String {
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
        if matchers.is_empty() {
            name.to_owned()
        } else {
            format!("{name}{{{}}}", matchers.join(","))
        }
    }

    fn any_selector(&mut self) -> String {
        if self.r.chance(4) {
            return self.pick(&[
                "{__name__=~\"up|temp\"}",
                "{__name__=~\"req_.*\",job=\"api\"}",
                "{__name__=~\"lat_seconds_(sum|count)\"}",
                "{__name__=~\"mem_bytes|native\"}",
                "{job=\"api\",instance=\"h1:80\"}",
                "nosuch",
                "{__name__!~\"native.*|mixed|odd\",job=\"db\"}",
            ]);
        }
        let name = self.name();
        self.selector_of(&name)
    }

    /// `offset` and `@`, in either order, or nothing.
    fn moved(&mut self) -> String {
        let mut parts = Vec::new();
        if self.r.chance(10) {
            parts.push(format!(
                " offset {}",
                self.pick(&["1m", "30s", "-2m", "7m13s", "1ms", "0s", "-15s", "90"])
            ));
        }
        if self.r.chance(7) {
            let at = match self.r.below(4) {
                0 => "start()".to_owned(),
                1 => "end()".to_owned(),
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

    fn instant_selector(&mut self) -> String {
        let selector = self.any_selector();
        selector + &self.moved()
    }

    fn range(&mut self) -> String {
        if self.newer && self.r.chance(5) {
            return self.pick(&[
                "1m*2",
                "step()+1m",
                "max_of(step(), 1m)",
                "min_of(5m, range()+30s)",
                "3m-1m",
                "2^7",
            ]);
        }
        self.pick(&[
            "1m", "2m", "5m", "45s", "15s", "10m", "1m30s", "3m21s", "1ms", "300", "20m",
        ])
    }

    fn matrix_of(&mut self, selector: String) -> String {
        let range = self.range();
        let moved = self.moved();
        let extended = if self.newer && self.r.chance(6) {
            self.pick(&[" anchored", " smoothed"])
        } else {
            String::new()
        };
        format!("{selector}[{range}]{extended}{moved}")
    }

    fn matrix(&mut self, depth: usize) -> String {
        if depth > 0 && self.in_subquery < 2 && self.r.chance(20) {
            self.in_subquery += 1;
            let inner = self.vector(depth - 1);
            self.in_subquery -= 1;
            let range = self.pick(&["2m", "5m", "7m30s", "10m"]);
            let step = self.pick(&["", "15s", "30s", "1m", "47s"]);
            return format!("({inner})[{range}:{step}]{}", self.moved());
        }
        let selector = self.any_selector();
        self.matrix_of(selector)
    }

    // -- Scalars

    fn number(&mut self) -> String {
        self.pick(&[
            "0", "1", "2", "-1", "0.5", "3.25", "1e3", "NaN", "Inf", "-Inf", "0x1f", "1_000", "10",
            "100", "5m", "1e-9", "-2.5",
        ])
    }

    fn scalar(&mut self, depth: usize) -> String {
        match self.r.weighted(&[
            6,
            1,
            1,
            if depth > 0 { 2 } else { 0 },
            if depth > 0 { 2 } else { 0 },
            if depth > 0 { 1 } else { 0 },
        ]) {
            0 => self.number(),
            1 if self.newer && self.r.chance(50) => self.pick(&[
                "start()",
                "end()",
                "step()",
                "range()",
                "min_of(1, 2.5)",
                "max_of(time(), 3)",
            ]),
            1 => "time()".to_owned(),
            2 => "pi()".to_owned(),
            3 => {
                let v = self.vector(depth - 1);
                format!("scalar({v})")
            }
            4 => {
                let (op, exact) = self.arithmetic();
                let bool_op = self.r.chance(20);
                let op = if bool_op {
                    self.pick(&["==bool", "<bool", ">= bool", "!=bool"])
                } else {
                    op
                };
                let before = self.exact;
                self.exact |= exact || bool_op;
                let (a, b) = (self.scalar(depth - 1), self.scalar(depth - 1));
                self.exact = before;
                format!("({a} {op} {b})")
            }
            _ => {
                let s = self.scalar(depth - 1);
                format!("-({s})")
            }
        }
    }

    /// An operator, and whether it wants exact operands.
    fn arithmetic(&mut self) -> (String, bool) {
        if !self.exact && self.r.chance(6) {
            return (self.pick(&["^", "atan2"]), false);
        }
        let op = self.pick(&["+", "-", "*", "/", "%"]);
        let exact = matches!(op.as_str(), "+" | "-" | "%");
        (op, exact)
    }

    fn comparison(&mut self) -> String {
        self.pick(&["==", "!=", "<", "<=", ">", ">="])
    }

    // -- Vectors

    fn vector(&mut self, depth: usize) -> String {
        if depth == 0 {
            return self.instant_selector();
        }
        let choice = self
            .r
            .weighted(&[3, 1, 1, 8, 4, 1, 7, 4, 5, 2, 4, 2, 1, 1, 1, 1, 1, 1]);
        match choice {
            0 => self.instant_selector(),
            1 => format!("({})", self.vector(depth - 1)),
            2 => format!("-{}", self.operand(depth - 1)),
            3 => self.over_range(depth),
            4 => self.math(depth),
            5 => self.calendar(depth),
            6 => self.aggregation(depth),
            7 => self.with_scalar(depth),
            8 => self.join(depth),
            9 => self.set_operator(depth),
            10 => self.of_histograms(depth),
            11 => self.relabeled(depth),
            12 => self.sorted(depth),
            13 => format!("absent({})", self.vector(depth - 1)),
            14 => {
                let s = self.scalar(depth - 1);
                format!("vector({s})")
            }
            15 => format!("timestamp({})", self.vector(depth - 1)),
            16 => self.info(depth),
            _ => self.limited(depth),
        }
    }

    /// A vector that can stand beside an operator.
    fn operand(&mut self, depth: usize) -> String {
        if depth == 0 {
            return self.instant_selector();
        }
        format!("({})", self.vector(depth))
    }

    fn over_range(&mut self, depth: usize) -> String {
        let any = [
            "avg_over_time",
            "sum_over_time",
            "min_over_time",
            "max_over_time",
            "count_over_time",
            "last_over_time",
            "present_over_time",
            "stddev_over_time",
            "stdvar_over_time",
            "changes",
            "resets",
            "delta",
            "idelta",
            "deriv",
            "mad_over_time",
            "ts_of_min_over_time",
            "ts_of_max_over_time",
            "ts_of_last_over_time",
            "absent_over_time",
            "rate",
            "increase",
            "irate",
        ];
        if self.newer && self.r.chance(6) {
            let matrix = self.matrix(depth - 1);
            return format!(
                "{}({matrix})",
                self.pick(&["first_over_time", "ts_of_first_over_time"])
            );
        }
        match self.r.weighted(&[5, 9, 1, 1, 1, 2]) {
            0 => {
                let name = self.pick(&COUNTERS);
                let selector = self.selector_of(&name);
                let matrix = self.matrix_of(selector);
                format!(
                    "{}({matrix})",
                    self.pick(&["rate", "increase", "irate", "resets"])
                )
            }
            1 => {
                let matrix = self.matrix(depth - 1);
                format!("{}({matrix})", self.pick(&any))
            }
            2 => {
                let q = self.quantile();
                format!("quantile_over_time({q}, {})", self.matrix(depth - 1))
            }
            3 => {
                let s = self.number();
                format!("predict_linear({}, {s})", self.matrix(depth - 1))
            }
            4 => {
                let (a, b) = (
                    self.pick(&["0.1", "0.5", "0.9"]),
                    self.pick(&["0.1", "0.3", "0.99"]),
                );
                format!(
                    "double_exponential_smoothing({}, {a}, {b})",
                    self.matrix(depth - 1)
                )
            }
            _ => {
                let name = self.pick(&NATIVE);
                let selector = self.selector_of(&name);
                let matrix = self.matrix_of(selector);
                let functions = [
                    "rate",
                    "increase",
                    "delta",
                    "irate",
                    "idelta",
                    "sum_over_time",
                    "avg_over_time",
                    "resets",
                    "changes",
                    "last_over_time",
                    "count_over_time",
                ];
                format!("{}({matrix})", self.pick(&functions))
            }
        }
    }

    fn math(&mut self, depth: usize) -> String {
        if !self.exact && self.r.chance(30) {
            let f = self.pick(&[
                "exp", "ln", "log2", "log10", "sin", "cos", "tan", "asin", "acos", "atan", "sinh",
                "cosh", "tanh", "asinh", "acosh", "atanh",
            ]);
            // A sine of something large is all noise, an exponential even more.
            let arg = self.exactly(|t| t.vector(depth - 1));
            return format!("{f}({arg})");
        }
        match self.r.below(9) {
            0 | 1 => format!(
                "{}({})",
                self.pick(&["abs", "sqrt", "deg", "rad"]),
                self.vector(depth - 1)
            ),
            2 | 3 => {
                let f = self.pick(&["ceil", "floor", "sgn", "round"]);
                let arg = self.exactly(|t| t.vector(depth - 1));
                format!("{f}({arg})")
            }
            4 => {
                let to = self.pick(&["0.1", "10", "5", "0", "-3", "0.25"]);
                let arg = self.exactly(|t| t.vector(depth - 1));
                format!("round({arg}, {to})")
            }
            5 | 6 => {
                let (a, b) = (self.number(), self.number());
                format!("clamp({}, {a}, {b})", self.vector(depth - 1))
            }
            7 => {
                let a = self.scalar(depth - 1);
                format!("clamp_min({}, {a})", self.vector(depth - 1))
            }
            _ => {
                let a = self.scalar(depth - 1);
                format!("clamp_max({}, {a})", self.vector(depth - 1))
            }
        }
    }

    fn calendar(&mut self, depth: usize) -> String {
        let f = self.pick(&[
            "minute",
            "hour",
            "month",
            "year",
            "day_of_month",
            "day_of_week",
            "day_of_year",
            "days_in_month",
        ]);
        if self.r.chance(40) {
            return format!("{f}()");
        }
        let arg = self.exactly(|t| t.vector(depth - 1));
        format!("{f}({arg})")
    }

    fn labels(&mut self) -> String {
        let mut labels = Vec::new();
        for _ in 0..self.r.below(4) {
            let label = self.pick(&LABELS);
            if !labels.contains(&label) {
                labels.push(label);
            }
        }
        labels.join(", ")
    }

    fn grouping(&mut self) -> String {
        match self.r.below(3) {
            0 => String::new(),
            1 => format!(" by ({})", self.labels()),
            _ => format!(" without ({})", self.labels()),
        }
    }

    fn quantile(&mut self) -> String {
        self.pick(&["0.5", "0.9", "0", "1", "0.99", "-1", "2", "NaN", "0.25"])
    }

    fn aggregation(&mut self, depth: usize) -> String {
        let grouping = self.grouping();
        match self.r.weighted(&[12, 2, 2, 1]) {
            0 => {
                let op = self.pick(&[
                    "sum", "avg", "min", "max", "count", "group", "stddev", "stdvar", "sum", "avg",
                ]);
                format!("{op}{grouping} ({})", self.vector(depth - 1))
            }
            1 => {
                let k = self.pick(&["1", "2", "3", "5", "0", "-1", "100", "1.7"]);
                let op = self.pick(&["topk", "bottomk"]);
                let arg = self.exactly(|t| t.vector(depth - 1));
                format!("{op}{grouping} ({k}, {arg})")
            }
            2 => {
                let q = self.quantile();
                format!("quantile{grouping} ({q}, {})", self.vector(depth - 1))
            }
            _ => {
                let label = self.pick(&["value", "job", "x.y"]);
                let arg = self.exactly(|t| t.vector(depth - 1));
                format!("count_values{grouping} ({label:?}, {arg})")
            }
        }
    }

    fn with_scalar(&mut self, depth: usize) -> String {
        let before = self.exact;
        let op = if self.r.chance(40) {
            self.exact = true;
            let op = self.comparison();
            if self.r.chance(30) { op + " bool" } else { op }
        } else {
            let (op, exact) = self.arithmetic();
            self.exact |= exact;
            op
        };
        let (v, s) = (self.operand(depth - 1), self.scalar(depth - 1));
        self.exact = before;
        if self.r.chance(70) {
            format!("{v} {op} {s}")
        } else {
            format!("{s} {op} {v}")
        }
    }

    fn matching(&mut self) -> String {
        match self.r.weighted(&[3, 5, 3]) {
            0 => String::new(),
            1 => {
                let labels = self.pick(&[
                    "job",
                    "instance",
                    "job, instance",
                    "",
                    "job, instance, code",
                    "job, le",
                    "job,nosuch",
                ]);
                format!(" on ({labels})")
            }
            _ => {
                let labels = self.pick(&[
                    "code",
                    "device",
                    "kind",
                    "code, kind",
                    "le",
                    "",
                    "instance",
                    "version, code",
                ]);
                format!(" ignoring ({labels})")
            }
        }
    }

    fn join(&mut self, depth: usize) -> String {
        let before = self.exact;
        let mut op = if self.r.chance(30) {
            self.exact = true;
            let op = self.comparison();
            if self.r.chance(30) { op + " bool" } else { op }
        } else {
            let (op, exact) = self.arithmetic();
            self.exact |= exact;
            op
        };
        let matching = self.matching();
        op += &matching;
        if !matching.is_empty() && self.r.chance(50) {
            op += &self.pick(&[
                " group_left",
                " group_right",
                " group_left (version)",
                " group_right (kind)",
                " group_left (code, job2)",
            ]);
        }
        if self.newer && self.r.chance(12) {
            op += &self.pick(&[
                " fill (0)",
                " fill_left (1)",
                " fill_right (2)",
                " fill_left (0) fill_right (-1)",
                " fill (NaN)",
            ]);
        }
        // The same on both sides matches most often; a sum on one side gives one partner.
        let (a, b) = match self.r.below(5) {
            0 => {
                let name = self.name();
                (self.selector_of(&name), self.selector_of(&name))
            }
            1 => {
                let name = self.pick(&COUNTERS);
                let (x, y) = (self.selector_of(&name), self.selector_of(&name));
                (format!("rate({x}[5m])"), format!("rate({y}[2m])"))
            }
            2 => {
                let b = self.vector(depth - 1);
                (
                    self.operand(depth - 1),
                    format!(
                        "sum by ({}) ({b})",
                        self.pick(&["job", "job, instance", "instance"])
                    ),
                )
            }
            _ => (self.operand(depth - 1), self.operand(depth - 1)),
        };
        self.exact = before;
        format!("{a} {op} {b}")
    }

    fn set_operator(&mut self, depth: usize) -> String {
        let op = self.pick(&["and", "or", "unless"]);
        let matching = self.matching();
        format!(
            "{} {op}{matching} {}",
            self.operand(depth - 1),
            self.operand(depth - 1)
        )
    }

    fn of_histograms(&mut self, depth: usize) -> String {
        if self.newer && self.r.chance(12) {
            let name = self.pick(&NATIVE);
            let selector = self.selector_of(&name);
            let (op, bound) = (
                self.pick(&["</", ">/"]),
                self.pick(&["1", "0.3", "-1", "0", "Inf", "5"]),
            );
            return format!("{selector} {op} {bound}");
        }
        let inner = match self.r.below(7) {
            0 => {
                let selector = self.selector_of("lat_seconds_bucket");
                let matrix = self.matrix_of(selector);
                format!("rate({matrix})")
            }
            1 => {
                let selector = self.selector_of("lat_seconds_bucket");
                let matrix = self.matrix_of(selector);
                format!(
                    "sum by ({}) (rate({matrix}))",
                    self.pick(&["le", "le, job", "le, instance", "job"])
                )
            }
            2 => self.selector_of("lat_seconds_bucket"),
            3 => {
                let name = self.pick(&NATIVE);
                let selector = self.selector_of(&name);
                let matrix = self.matrix_of(selector);
                format!(
                    "{}({matrix})",
                    self.pick(&[
                        "rate",
                        "increase",
                        "sum_over_time",
                        "last_over_time",
                        "irate"
                    ])
                )
            }
            4 => {
                let name = self.pick(&NATIVE);
                let selector = self.selector_of(&name);
                let matrix = self.matrix_of(selector);
                format!(
                    "{} (rate({matrix}))",
                    self.pick(&["sum", "avg", "sum by (job)"])
                )
            }
            5 => {
                let name = self.pick(&NATIVE);
                self.selector_of(&name)
            }
            _ => self.vector(depth - 1),
        };
        if self.newer && !self.exact && self.r.chance(10) {
            let (a, b) = (
                self.pick(&["0.5", "0.9", "1"]),
                self.pick(&["0.1", "0.99", "-3"]),
            );
            return format!("histogram_quantiles({inner}, \"q\", {a}, {b})");
        }
        // Quantiles and fractions of exponential buckets are logarithms.
        match if self.exact { 2 } else { self.r.below(4) } {
            0 => {
                let (low, high) = (self.number(), self.number());
                format!("histogram_fraction({low}, {high}, {inner})")
            }
            1 => {
                let q = self.quantile();
                format!("histogram_quantile({q}, {inner})")
            }
            _ => {
                let f = self.pick(&[
                    "histogram_count",
                    "histogram_sum",
                    "histogram_avg",
                    "histogram_stddev",
                    "histogram_stdvar",
                ]);
                format!("{f}({inner})")
            }
        }
    }

    fn relabeled(&mut self, depth: usize) -> String {
        let v = self.vector(depth - 1);
        let to = self.pick(&["x", "job", "instance", "__name__", "code", "x.y"]);
        if self.r.chance(50) {
            let from = self.pick(&LABELS);
            let replacement = self.pick(&["$1", "a-$0", "", "${1}x", "const", "$$", "$2"]);
            let regex = self.pick(&["(.*)", "(.+):.*", "a.*", "", "h(.):(.*)"]);
            return format!("label_replace({v}, {to:?}, {replacement:?}, {from:?}, {regex:?})");
        }
        let (separator, a, b) = (
            self.pick(&["", ",", "-"]),
            self.pick(&LABELS),
            self.pick(&LABELS),
        );
        format!("label_join({v}, {to:?}, {separator:?}, {a:?}, {b:?})")
    }

    fn sorted(&mut self, depth: usize) -> String {
        let v = self.exactly(|t| t.vector(depth - 1));
        if self.r.chance(50) {
            return format!("{}({v})", self.pick(&["sort", "sort_desc"]));
        }
        let (a, b) = (self.pick(&LABELS), self.pick(&LABELS));
        format!(
            "{}({v}, {a:?}, {b:?})",
            self.pick(&["sort_by_label", "sort_by_label_desc"])
        )
    }

    fn info(&mut self, depth: usize) -> String {
        let v = self.vector(depth - 1);
        let data = self.pick(&[
            "",
            ", {version=~\".+\"}",
            ", {__name__=\"build_info\"}",
            ", {__name__=~\".+_info\"}",
            ", {revision=\"h1\"}",
            ", {__name__=\"build_info\",\"data.x\"!=\"\"}",
            ", {nosuch=\"\"}",
        ]);
        format!("info({v}{data})")
    }

    fn limited(&mut self, depth: usize) -> String {
        let v = self.vector(depth - 1);
        let grouping = self.grouping();
        if self.r.chance(50) {
            return format!(
                "limitk{grouping} ({}, {v})",
                self.pick(&["1", "3", "0", "50"])
            );
        }
        format!(
            "limit_ratio{grouping} ({}, {v})",
            self.pick(&["0.5", "-0.5", "0.1", "1", "-0.9", "1.5"])
        )
    }
}
