//! `--enable-feature`: what each of upstream's words does here.

use service::Args;

/// The features of the server itself; those of the language are [`promql::Features`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServerFeatures {
    pub auto_reload: bool,
    pub delayed_name_removal: bool,
    pub exemplar_storage: bool,
    pub extra_scrape_metrics: bool,
    pub metadata_records: bool,
    pub otlp_native_deltas: bool,
    /// Deltas become cumulative.
    pub otlp_summed_deltas: bool,
    pub per_step_stats: bool,
    pub type_and_unit_labels: bool,
}

/// What a word does.
#[derive(Clone, Copy)]
enum Effect {
    /// It switches something on.
    On(fn(&mut ServerFeatures)),
    /// What it asks for is so anyway, or is nothing that users of this server could see.
    Always,
    /// Another program does it.
    Elsewhere(&'static str),
    /// It is not there.
    Missing,
}

/// Upstream's words, apart from the language's.
const WORDS: [(&str, Effect); 24] = [
    ("auto-reload-config", Effect::On(|f| f.auto_reload = true)),
    ("concurrent-rule-eval", Effect::Elsewhere("rule-evaluator")),
    ("created-timestamp-zero-ingestion", Effect::Missing),
    ("delayed-compaction", Effect::Missing),
    (
        "exemplar-storage",
        Effect::On(|f| f.exemplar_storage = true),
    ),
    (
        "extra-scrape-metrics",
        Effect::On(|f| f.extra_scrape_metrics = true),
    ),
    ("fast-startup", Effect::Always),
    ("histograms-st-encoding", Effect::Missing),
    ("memory-snapshot-on-shutdown", Effect::Missing),
    (
        "metadata-wal-records",
        Effect::On(|f| f.metadata_records = true),
    ),
    ("native-histograms", Effect::Always),
    ("old-ui", Effect::Missing),
    ("ooo-native-histograms", Effect::Always),
    (
        "otlp-deltatocumulative",
        Effect::On(|f| f.otlp_summed_deltas = true),
    ),
    (
        "otlp-native-delta-ingestion",
        Effect::On(|f| f.otlp_native_deltas = true),
    ),
    (
        "promql-delayed-name-removal",
        Effect::On(|f| f.delayed_name_removal = true),
    ),
    (
        "promql-per-step-stats",
        Effect::On(|f| f.per_step_stats = true),
    ),
    ("search-api", Effect::Missing),
    ("st-storage", Effect::Missing),
    ("st-synthesis", Effect::Missing),
    (
        "type-and-unit-labels",
        Effect::On(|f| f.type_and_unit_labels = true),
    ),
    ("use-start-timestamps", Effect::Missing),
    ("use-uncached-io", Effect::Missing),
    ("xor2-encoding", Effect::Missing),
];

/// Reads the flag; what has no effect here is named in the log, with the reason.
pub fn of(args: &Args) -> (promql::Features, ServerFeatures) {
    let words = args.list("enable-feature").iter().map(String::as_str);
    let (language, others) = promql::Features::of_server(words);
    let mut server = ServerFeatures::default();
    for option in others {
        let known = WORDS.iter().find(|(word, _)| *word == option);
        match known.map(|(_, effect)| effect) {
            Some(Effect::On(switch)) => switch(&mut server),
            Some(Effect::Always) => {}
            Some(Effect::Elsewhere(program)) => {
                tracing::info!(
                    option,
                    program,
                    "This option for --enable-feature is for another program"
                );
            }
            Some(Effect::Missing) => {
                let text = "This option for --enable-feature is not available in this version of scraper-store";
                tracing::warn!(option, "{text}");
            }
            None => tracing::warn!(option, "Unknown option for --enable-feature"),
        }
    }
    (language, server)
}

/// Refuses features that exclude each other, in upstream's words.
///
/// # Errors
/// The pair.
pub fn check(args: &Args) -> Result<(), service::Error> {
    let server = of(args).1;
    match server.otlp_summed_deltas && server.otlp_native_deltas {
        true => Err(service::Error::new(
            "cannot enable otlp-deltatocumulative and otlp-native-delta-ingestion features at the same time",
        )),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_in_order_and_each_once() {
        assert!(WORDS.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }

    #[test]
    fn words_switch_on() {
        let args = [
            "--enable-feature=exemplar-storage, type-and-unit-labels",
            "--enable-feature=promql-experimental-functions,nothing,search-api",
        ];
        let boot = service::Boot::new(&crate::PROGRAM, &args).unwrap();
        let (language, server) = of(&boot.args);
        assert!(language.experimental_functions);
        let expected = ServerFeatures {
            exemplar_storage: true,
            type_and_unit_labels: true,
            ..ServerFeatures::default()
        };
        assert_eq!(server, expected);
        assert!(check(&boot.args).is_ok());
        let both = ["--enable-feature=otlp-deltatocumulative,otlp-native-delta-ingestion"];
        let boot = service::Boot::new(&crate::PROGRAM, &both).unwrap();
        assert!(check(&boot.args).is_err());
    }
}
