//! Log lines as upstream's (Go's slog through prometheus/common `promslog`): logfmt or JSON on
//! stderr, one write a line.

use std::fmt::{self, Write as _};
use std::io::Write as _;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber, span};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

/// The least level that is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// Everything.
    Debug,
    /// What the operator should know.
    Info,
    /// What may become a problem.
    Warn,
    /// What is one.
    Error,
}

impl LogLevel {
    /// From the flag's word.
    pub fn from_word(word: &str) -> LogLevel {
        match word {
            "debug" => LogLevel::Debug,
            "warn" => LogLevel::Warn,
            "error" => LogLevel::Error,
            _ => LogLevel::Info,
        }
    }

    fn level(self) -> Level {
        match self {
            LogLevel::Debug => Level::DEBUG,
            LogLevel::Info => Level::INFO,
            LogLevel::Warn => Level::WARN,
            LogLevel::Error => Level::ERROR,
        }
    }
}

/// How a line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// `time=... level=INFO source=... msg=... key=value`
    Logfmt,
    /// The same as a JSON object.
    Json,
}

impl LogFormat {
    /// From the flag's word.
    pub fn from_word(word: &str) -> LogFormat {
        if word == "json" {
            LogFormat::Json
        } else {
            LogFormat::Logfmt
        }
    }
}

/// Libraries whose inner life is of no interest to operators; only their warnings are.
const QUIET: [&str; 10] = [
    "h2",
    "hyper",
    "hyper_util",
    "rustls",
    "tower",
    "tonic",
    "mio",
    "tokio_util",
    "want",
    "hyper_rustls",
];

/// Sets up logging for the process. A second call does nothing.
pub fn init(level: LogLevel, format: LogFormat) {
    let layer = Lines {
        level: level.level(),
        format,
    };
    let subscriber = tracing_subscriber::registry().with(layer);
    // Tests of one process may come here twice.
    let _ = tracing::subscriber::set_global_default(subscriber);
}

struct Lines {
    level: Level,
    format: LogFormat,
}

impl Lines {
    fn wants(&self, metadata: &Metadata<'_>) -> bool {
        if *metadata.level() > self.level {
            return false;
        }
        let root = metadata.target().split("::").next().unwrap_or_default();
        *metadata.level() <= Level::WARN || !QUIET.contains(&root)
    }
}

/// Fields in their order; `message` apart.
#[derive(Default)]
struct Fields {
    message: String,
    pairs: Vec<(&'static str, Value)>,
}

/// JSON keeps numbers and booleans apart from texts; logfmt prints both alike.
enum Value {
    Text(String),
    Bare(String),
}

impl Fields {
    fn push(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::Text(text) | Value::Bare(text)) => self.message = text,
            (name, value) => self.pairs.push((name, value)),
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.push(field, Value::Text(format!("{value:?}")));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.push(field, Value::Text(value.to_owned()));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.push(field, Value::Bare(value.to_string()));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.push(field, Value::Bare(value.to_string()));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.push(field, Value::Bare(value.to_string()));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        let text = value.to_string();
        // JSON has neither NaN nor infinities.
        self.push(
            field,
            if value.is_finite() {
                Value::Bare(text)
            } else {
                Value::Text(text)
            },
        );
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.push(field, Value::Text(value.to_string()));
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Lines {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        self.wants(metadata)
    }

    fn max_level_hint(&self) -> Option<tracing::level_filters::LevelFilter> {
        Some(self.level.into())
    }

    fn on_new_span(
        &self,
        attributes: &span::Attributes<'_>,
        id: &span::Id,
        context: Context<'_, S>,
    ) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(fields);
        }
    }

    fn on_record(&self, id: &span::Id, values: &span::Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(fields) = span.extensions_mut().get_mut::<Fields>()
        {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let metadata = event.metadata();
        let mut line = Line::new(self.format, metadata, &fields.message);
        if let Some(scope) = context.event_scope(event) {
            for span in scope.from_root() {
                if let Some(fields) = span.extensions().get::<Fields>() {
                    line.pairs(&fields.pairs);
                }
            }
        }
        line.pairs(&fields.pairs);
        let text = line.finish();
        // There is nobody left to tell if stderr is closed.
        let _ = std::io::stderr().lock().write_all(text.as_bytes());
    }
}

struct Line {
    format: LogFormat,
    out: String,
}

/// As `%Y-%m-%dT%H:%M:%S%.3fZ`, without what reads such texts: it would be a good part of a small program.
fn instant(now: jiff::Timestamp) -> String {
    let now = jiff::tz::Offset::UTC.to_datetime(now);
    let (year, month, day) = (now.year(), now.month(), now.day());
    let (hour, minute, second) = (now.hour(), now.minute(), now.second());
    let milliseconds = now.millisecond();
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milliseconds:03}Z")
}

impl Line {
    fn new(format: LogFormat, metadata: &Metadata<'_>, message: &str) -> Line {
        let time = instant(jiff::Timestamp::now());
        let file = metadata.file().unwrap_or_default();
        let file = file.rsplit('/').next().unwrap_or_default();
        let source = format!("{file}:{}", metadata.line().unwrap_or(0));
        let mut line = Line {
            format,
            out: String::with_capacity(160),
        };
        line.text("time", &time);
        line.text("level", metadata.level().as_str());
        line.text("source", &source);
        line.text("msg", message);
        line
    }

    fn pairs(&mut self, pairs: &[(&'static str, Value)]) {
        for (name, value) in pairs {
            match value {
                Value::Text(text) => self.text(name, text),
                Value::Bare(text) => self.bare(name, text),
            }
        }
    }

    fn text(&mut self, name: &str, value: &str) {
        match self.format {
            LogFormat::Logfmt if needs_quotes(value) => {
                let quoted = golang::strconv::quote(value);
                self.bare(name, &quoted);
            }
            LogFormat::Logfmt => self.bare(name, value),
            LogFormat::Json => {
                let mut quoted = String::with_capacity(value.len() + 2);
                json_string(value, &mut quoted);
                self.bare(name, &quoted);
            }
        }
    }

    fn bare(&mut self, name: &str, value: &str) {
        match self.format {
            LogFormat::Logfmt => {
                if !self.out.is_empty() {
                    self.out.push(' ');
                }
                self.out.push_str(name);
                self.out.push('=');
            }
            LogFormat::Json => {
                self.out.push(if self.out.is_empty() { '{' } else { ',' });
                json_string(name, &mut self.out);
                self.out.push(':');
            }
        }
        self.out.push_str(value);
    }

    fn finish(mut self) -> String {
        self.out.push_str(if self.format == LogFormat::Json {
            "}\n"
        } else {
            "\n"
        });
        self.out
    }
}

/// As slog's text handler decides.
fn needs_quotes(value: &str) -> bool {
    value.is_empty()
        || value.chars().any(|c| {
            c.is_whitespace()
                || c == '='
                || c == '"'
                || c.is_control()
                || c == char::REPLACEMENT_CHARACTER
        })
}

fn json_string(value: &str, out: &mut String) {
    out.push('"');
    for c in value.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if (c as u32) < 0x20 => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// Like `Lines`, but into memory.
    struct Capture(Lines, Arc<Mutex<Vec<String>>>);

    impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Capture {
        fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
            self.0.wants(metadata)
        }

        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            let mut fields = Fields::default();
            event.record(&mut fields);
            let mut line = Line::new(self.0.format, event.metadata(), &fields.message);
            line.pairs(&fields.pairs);
            self.1.lock().unwrap().push(line.finish());
        }
    }

    fn logged(level: LogLevel, format: LogFormat, log: impl FnOnce()) -> Vec<String> {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let layer = Capture(
            Lines {
                level: level.level(),
                format,
            },
            lines.clone(),
        );
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), log);
        lines.lock().unwrap().clone()
    }

    #[test]
    fn logfmt_as_slog_prints_it() {
        let lines = logged(LogLevel::Info, LogFormat::Logfmt, || {
            tracing::info!(path = "/a b", n = 3, ok = true, empty = "", err = %"x=y", "hello \"world\"");
            tracing::debug!("not shown");
        });
        assert_eq!(lines.len(), 1);
        let rest = lines[0].split_once(" level=").unwrap();
        assert!(
            rest.0.starts_with("time=20") && rest.0.ends_with('Z'),
            "{}",
            rest.0
        );
        let (level, rest) = rest.1.split_once(" msg=").unwrap();
        assert!(level.starts_with("INFO source=logging.rs:"), "{level}");
        assert_eq!(
            rest,
            "\"hello \\\"world\\\"\" path=\"/a b\" n=3 ok=true empty=\"\" err=\"x=y\"\n"
        );
    }

    #[test]
    fn instants() {
        for (nanoseconds, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (1_782_000_009_087_999_999, "2026-06-21T00:00:09.087Z"),
            (951_868_799_999_000_000, "2000-02-29T23:59:59.999Z"),
        ] {
            let time = jiff::Timestamp::from_nanosecond(nanoseconds).unwrap();
            assert_eq!(instant(time), text);
        }
    }

    #[test]
    fn json_keeps_numbers() {
        let lines = logged(LogLevel::Warn, LogFormat::Json, || {
            tracing::warn!(n = 1.5, nan = f64::NAN, text = "a\"\n\u{1}", "x");
            tracing::info!("not shown");
        });
        assert_eq!(lines.len(), 1);
        assert!(lines[0].starts_with("{\"time\":\"20"));
        assert!(
            lines[0].ends_with(
                "\"msg\":\"x\",\"n\":1.5,\"nan\":\"NaN\",\"text\":\"a\\\"\\n\\u0001\"}\n"
            ),
            "{}",
            lines[0]
        );
    }

    #[test]
    fn libraries_are_quiet() {
        let lines = logged(LogLevel::Debug, LogFormat::Logfmt, || {
            tracing::debug!(target: "h2::proto", "frame");
            tracing::warn!(target: "rustls::conn", "odd");
            tracing::debug!(target: "tsdb::head", "ours");
        });
        assert_eq!(lines.len(), 2);
    }
}
