//! Random queries: well typed, over the names that [`crate::data`] writes.
//!
//! What only newer versions than the peer (3.5) know is asked only of a reference that knows it (3.14):
//! `anchored` and `smoothed`, fill modifiers, trim operators, `start()`, `end()`, `step()`, `range()`,
//! `min_of`, `max_of`, `histogram_quantiles`, `first_over_time`, `ts_of_first_over_time`,
//! `start_timestamp`, computed durations. Remote write 1.0 carries no start timestamps: these are asked
//! for and never there.

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

/// Whether names are dropped at the end of a query only, as `promql-delayed-name-removal` has it: so it
/// is for one seed of three.
pub fn names_drop_late(seed: u64) -> bool {
    seed.is_multiple_of(3)
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
        names_drop_late: names_drop_late(seed),
        exact: false,
        in_subquery: 0,
    };
    let mut text = match (&times, text.r.below(40)) {
        (_, 0..3) => text.scalar(depth),
        (Times::Instant(_), 3..6) => text.matrix(depth),
        (Times::Instant(_), 6) => format!("{:?}", *text.r.pick(&["", "a b", "é"])),
        _ => text.vector(depth),
    };
    // Notes and errors tell lines and columns.
    if random.chance(4) {
        let space = *random.pick(&["\n", "  ", " # a comment\n ", "\t\n"]);
        text = text.replacen(' ', space, 1 + random.below(4));
    }
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
    // Only a matrix has an order, so that it is known what is left out.
    if matches!(times, Times::Range { .. }) && random.chance(5) {
        more.push(("limit", random.pick(&["1", "2", "7"]).to_string()));
    }
    Query { text, times, more }
}

pub(crate) const COUNTERS: [&str; 4] = [
    "req_total",
    "net_bytes_total",
    "lat_seconds_count",
    "lat_seconds_sum",
];
pub(crate) const GAUGES: [&str; 9] = [
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
const NATIVE: [&str; 9] = [
    "native",
    "native_float",
    "native_gauge",
    "native_custom",
    "mixed",
    "native_nan",
    "native_bounds",
    "native_schemas",
    "native_kinds",
];
const NATIVE_OF_3_5: usize = 5;
const BUCKETS: [&str; 4] = [
    "lat_seconds_bucket",
    "lat_seconds_bucket",
    "rough_bucket",
    "twice_bucket",
];
const LABELS: [&str; 10] = [
    "job", "instance", "code", "device", "kind", "le", "version", "nosuch", "data.x", "__name__",
];

pub(crate) struct Text<'r> {
    pub(crate) r: &'r mut Random,
    /// What is written is looked at closely (compared, rounded, subtracted): functions whose last
    /// digit depends on the C library or on Go's would make a large difference out of a small one.
    exact: bool,
    pub(crate) in_subquery: usize,
    pub(crate) newer: bool,
    names_drop_late: bool,
}

impl Text<'_> {
    /// `text` in `percent` of a hundred cases, else nothing.
    pub(crate) fn maybe(&mut self, percent: usize, text: &str) -> String {
        let text = if self.r.chance(percent) { text } else { "" };
        text.to_owned()
    }

    pub(crate) fn pick(&mut self, from: &[&str]) -> String {
        self.r.pick(from).to_string()
    }

    pub(crate) fn exactly<T>(&mut self, write: impl FnOnce(&mut Self) -> T) -> T {
        let before = std::mem::replace(&mut self.exact, true);
        let result = write(self);
        self.exact = before;
        result
    }

    // -- Scalars

    fn number(&mut self) -> String {
        self.pick(&[
            "0", "1", "2", "-1", "0.5", "3.25", "1e3", "NaN", "Inf", "-Inf", "0x1f", "1_000", "10",
            "100", "5m", "1e-9", "-2.5", ".5", "5.", "1E+2", "+1", "nan", "+Inf", "0X1F", "017",
            "1_0.5e1", "1h30m", "-5m",
        ])
    }

    /// A native histogram. Those that 3.5 adds up otherwise are asked of newer ones.
    pub(crate) fn native(&mut self) -> String {
        if self.newer {
            return self.pick(&NATIVE);
        }
        self.pick(&NATIVE[..NATIVE_OF_3_5])
    }

    /// A classic histogram, likewise.
    pub(crate) fn buckets(&mut self) -> String {
        if self.newer {
            return self.pick(&BUCKETS);
        }
        BUCKETS[0].to_owned()
    }

    /// A parameter of a function or aggregation: computed only where it is known to be the same as in
    /// 3.5.
    fn parameter(&mut self, depth: usize, usual: &[&str]) -> String {
        if self.newer && depth > 0 && self.r.chance(15) {
            return self.exactly(|t| t.scalar(depth - 1));
        }
        self.pick(usual)
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
                if self.r.chance(20) {
                    format!("{a} {op} {b}")
                } else {
                    format!("({a} {op} {b})")
                }
            }
            _ => {
                let (sign, s) = (self.pick(&["-", "-", "+"]), self.scalar(depth - 1));
                if self.r.chance(30) {
                    format!("{sign}{s}")
                } else {
                    format!("{sign}({s})")
                }
            }
        }
    }

    /// An operator, and whether it wants exact operands.
    fn arithmetic(&mut self) -> (String, bool) {
        if !self.exact && self.r.chance(6) {
            return (self.pick(&["^", "atan2"]), false);
        }
        if self.newer && self.r.chance(3) {
            return (self.pick(&["</", ">/"]), true);
        }
        let op = self.pick(&["+", "-", "*", "/", "%"]);
        let exact = matches!(op.as_str(), "+" | "-" | "%");
        (op, exact)
    }

    fn comparison(&mut self) -> String {
        self.pick(&["==", "!=", "<", "<=", ">", ">="])
    }

    // -- Vectors

    pub(crate) fn vector(&mut self, depth: usize) -> String {
        if depth == 0 {
            return self.instant_selector();
        }
        let choice = self
            .r
            .weighted(&[3, 1, 1, 8, 4, 1, 7, 4, 5, 2, 4, 2, 1, 1, 1, 1, 1, 1]);
        match choice {
            0 => self.instant_selector(),
            1 => format!("({})", self.vector(depth - 1)),
            2 => format!(
                "{}{}",
                self.pick(&["-", "-", "-", "+", "- -"]),
                self.operand(depth - 1)
            ),
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
            15 => {
                let f = if self.newer && self.r.chance(20) {
                    "start_timestamp"
                } else {
                    "timestamp"
                };
                format!("{f}({})", self.vector(depth - 1))
            }
            // 3.14.0's info forgets that a name was to be dropped.
            16 if !self.names_drop_late => self.info(depth),
            _ => self.limited(depth),
        }
    }

    /// A vector that can stand beside an operator.
    fn operand(&mut self, depth: usize) -> String {
        if depth == 0 {
            return self.instant_selector();
        }
        let vector = self.vector(depth);
        // Without parentheses precedence decides.
        if self.r.chance(15) {
            return vector;
        }
        format!("({vector})")
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
                let q = self.quantile(depth);
                format!("quantile_over_time({q}, {})", self.matrix(depth - 1))
            }
            3 => {
                let s = self.parameter(depth, &["60", "3600", "-300", "0", "NaN", "1h", "0.5"]);
                format!("predict_linear({}, {s})", self.matrix(depth - 1))
            }
            4 => {
                let (a, b) = (
                    self.parameter(depth, &["0.1", "0.5", "0.9", "0.1", "0.5", "0", "1"]),
                    self.parameter(depth, &["0.1", "0.3", "0.99", "0.3", "0.1", "1.5"]),
                );
                format!(
                    "double_exponential_smoothing({}, {a}, {b})",
                    self.matrix(depth - 1)
                )
            }
            _ => {
                let name = self.native();
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
                let to = self.parameter(depth, &["0.1", "10", "5", "0", "-3", "0.25"]);
                let arg = self.exactly(|t| t.vector(depth - 1));
                format!("round({arg}, {to})")
            }
            5 | 6 => {
                let (a, b) = if self.r.chance(30) {
                    (self.scalar(depth - 1), self.scalar(depth - 1))
                } else {
                    (self.number(), self.number())
                };
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
            let label = quoted(&self.pick(&LABELS));
            if !labels.contains(&label) {
                labels.push(label);
            }
        }
        labels.join(", ")
    }

    /// An aggregation with its grouping, if any, before or after the arguments.
    fn grouped(&mut self, op: &str, args: &str) -> String {
        let grouping = match self.r.below(3) {
            0 => return format!("{op} ({args})"),
            1 => format!("by ({})", self.labels()),
            _ => format!("without ({})", self.labels()),
        };
        if self.r.chance(20) {
            format!("{op}({args}) {grouping}")
        } else {
            format!("{op} {grouping} ({args})")
        }
    }

    fn quantile(&mut self, depth: usize) -> String {
        let usual = ["0.5", "0.9", "0", "1", "0.99", "-1", "2", "NaN", "0.25"];
        self.parameter(depth, &usual)
    }

    fn aggregation(&mut self, depth: usize) -> String {
        match self.r.weighted(&[12, 2, 2, 1]) {
            0 => {
                let op = self.pick(&[
                    "sum", "avg", "min", "max", "count", "group", "stddev", "stdvar", "sum", "avg",
                ]);
                let arg = if op.starts_with("std") {
                    self.exactly(|t| t.vector(depth - 1))
                } else {
                    self.vector(depth - 1)
                };
                self.grouped(&op, &arg)
            }
            1 => {
                let k = self.parameter(depth, &["1", "2", "3", "5", "0", "-1", "100", "1.7"]);
                let op = self.pick(&["topk", "bottomk"]);
                let arg = self.exactly(|t| t.vector(depth - 1));
                self.grouped(&op, &format!("{k}, {arg}"))
            }
            2 => {
                let q = self.quantile(depth);
                let arg = self.vector(depth - 1);
                self.grouped("quantile", &format!("{q}, {arg}"))
            }
            _ => {
                let label = self.pick(&["value", "job", "x.y"]);
                let arg = self.exactly(|t| t.vector(depth - 1));
                self.grouped("count_values", &format!("{label:?}, {arg}"))
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
                    "\"data.x\", job",
                    "__name__, job",
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
                    "\"data.x\"",
                    "__name__",
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
                " group_right (\"data.x\")",
                " group_left (le, job, instance)",
                " group_left ()",
            ]);
        }
        if self.newer && self.r.chance(12) {
            op += &self.pick(&[
                " fill (0)",
                " fill_left (1)",
                " fill_right (2)",
                " fill_left (0) fill_right (-1)",
                " fill (NaN)",
                " fill_right (-Inf)",
                " fill_right (1) fill_left (2)",
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
            let name = self.native();
            let selector = self.selector_of(&name);
            let (op, bound) = (
                self.pick(&["</", ">/"]),
                self.parameter(
                    depth,
                    &["1", "0.3", "-1", "0", "Inf", "5", "-Inf", "NaN", "0.001"],
                ),
            );
            return format!("{selector} {op} {bound}");
        }
        let inner = match self.r.below(7) {
            0 => {
                let name = self.buckets();
                let selector = self.selector_of(&name);
                let matrix = self.matrix_of(selector);
                format!("rate({matrix})")
            }
            1 => {
                let name = self.buckets();
                let selector = self.selector_of(&name);
                let matrix = self.matrix_of(selector);
                format!(
                    "sum by ({}) (rate({matrix}))",
                    self.pick(&["le", "le, job", "le, instance", "job"])
                )
            }
            2 => {
                let name = self.buckets();
                self.selector_of(&name)
            }
            3 => {
                let name = self.native();
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
                let name = self.native();
                let selector = self.selector_of(&name);
                let matrix = self.matrix_of(selector);
                format!(
                    "{} (rate({matrix}))",
                    self.pick(&["sum", "avg", "sum by (job)"])
                )
            }
            5 => {
                let name = self.native();
                self.selector_of(&name)
            }
            _ => self.vector(depth - 1),
        };
        if self.newer && !self.exact && self.r.chance(10) {
            let mut all = String::new();
            // Equal series are an error in 3.14.0 only in the answer where names drop late; here always.
            let (most, labels) = match self.names_drop_late {
                true => (1, &["q", "q", "x.y"]),
                false => (3, &["q", "job", "x.y"]),
            };
            for _ in 0..1 + self.r.below(most) {
                all += ", ";
                all += &self.quantile(depth);
            }
            let label = self.pick(labels);
            return format!("histogram_quantiles({inner}, {label:?}{all})");
        }
        // Quantiles and fractions of exponential buckets are logarithms.
        match if self.exact { 2 } else { self.r.below(4) } {
            0 => {
                let low = self.parameter(depth, &["0", "-1", "0.3", "-Inf", "NaN", "1", "2"]);
                let high = self.parameter(depth, &["0.5", "1", "3.25", "Inf", "5", "0"]);
                format!("histogram_fraction({low}, {high}, {inner})")
            }
            1 => {
                let q = self.quantile(depth);
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
        let separator = self.pick(&["", ",", "-"]);
        let from = self.some_labels(0, 3);
        format!("label_join({v}, {to:?}, {separator:?}{from})")
    }

    /// Names of labels as more arguments.
    fn some_labels(&mut self, least: usize, most: usize) -> String {
        let mut all = String::new();
        for _ in 0..least + self.r.below(most - least + 1) {
            all += &format!(", {:?}", self.r.pick(&LABELS));
        }
        all
    }

    fn sorted(&mut self, depth: usize) -> String {
        let v = self.exactly(|t| t.vector(depth - 1));
        if self.r.chance(50) {
            return format!("{}({v})", self.pick(&["sort", "sort_desc"]));
        }
        let labels = self.some_labels(1, 3);
        format!(
            "{}({v}{labels})",
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
        if self.r.chance(50) {
            let k = self.parameter(depth, &["1", "3", "0", "50", "-2", "2.9"]);
            return self.grouped("limitk", &format!("{k}, {v}"));
        }
        let usual = ["0.5", "-0.5", "0.1", "1", "-0.9", "1.5", "-1", "0", "-3"];
        let ratio = self.parameter(depth, &usual);
        self.grouped("limit_ratio", &format!("{ratio}, {v}"))
    }
}

/// The name of a label as a grouping has it.
fn quoted(name: &str) -> String {
    if name.contains('.') {
        format!("{name:?}")
    } else {
        name.to_owned()
    }
}
