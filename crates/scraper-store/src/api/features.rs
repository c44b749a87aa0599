//! `/api/v1/features`: what this server can do, in the words of upstream's list.

use std::collections::BTreeMap;

use http_api::Envelope;
use promql::functions::signatures::FUNCTIONS;

use super::{Answer, Api, Call};

type Words = BTreeMap<&'static str, bool>;

const DISCOVERIES: [&str; 9] = [
    "consul",
    "dns",
    "docker",
    "dockerswarm",
    "ec2",
    "file",
    "http",
    "kubernetes",
    "static",
];

const OPERATORS: [&str; 31] = [
    "!=",
    "!~",
    "%",
    "*",
    "+",
    "-",
    "/",
    "<",
    "</",
    "<=",
    "==",
    "=~",
    ">",
    ">/",
    ">=",
    "@",
    "^",
    "and",
    "atan2",
    "avg",
    "bottomk",
    "count",
    "count_values",
    "group",
    "max",
    "min",
    "or",
    "quantile",
    "stddev",
    "stdvar",
    "sum",
];

const TEMPLATE_FUNCTIONS: [&str; 29] = [
    "args",
    "externalURL",
    "first",
    "graphLink",
    "humanize",
    "humanize1024",
    "humanizeDuration",
    "humanizePercentage",
    "humanizeTimestamp",
    "label",
    "match",
    "now",
    "parseDuration",
    "pathPrefix",
    "query",
    "reReplaceAll",
    "safeHtml",
    "sortByLabel",
    "stripDomain",
    "stripPort",
    "strvalue",
    "tableLink",
    "title",
    "toDuration",
    "toLower",
    "toTime",
    "toUpper",
    "urlQueryEscape",
    "value",
];

fn all(names: &[&'static str]) -> Words {
    names.iter().map(|name| (*name, true)).collect()
}

pub(super) fn handle(api: &Api, _: &Call) -> Answer {
    Ok(Envelope::data(&words(api)))
}

fn words(api: &Api) -> BTreeMap<&'static str, Words> {
    let language = api.engine.options().features;
    let server = api.features;
    let flag = |name: &str| api.flags.get(name).is_some_and(|value| value == "true");
    let experimental = language.experimental_functions;
    let mut operators = all(&OPERATORS);
    operators.extend([
        ("topk", true),
        ("unless", true),
        ("limitk", experimental),
        ("limit_ratio", experimental),
    ]);
    let functions = FUNCTIONS
        .iter()
        .map(|f| (f.name, experimental || !f.experimental));
    BTreeMap::from([
        (
            "api",
            Words::from([
                ("admin", api.enable_admin),
                ("exclude_alerts", true),
                ("label_values_match", true),
                ("lifecycle", flag("web.enable-lifecycle")),
                ("openapi_3.1", true),
                ("openapi_3.2", true),
                ("otlp_write_receiver", flag("web.enable-otlp-receiver")),
                ("query_stats", true),
                ("query_warnings", true),
                ("remote_write_receiver", api.enable_remote_write),
                ("search", false),
                ("search_fuzz_alg_jarowinkler", false),
                ("search_fuzz_alg_subsequence", false),
                ("time_range_labels", true),
                ("time_range_series", true),
            ]),
        ),
        (
            "otlp_receiver",
            Words::from([
                ("delta_conversion", server.otlp_summed_deltas),
                ("native_delta_ingestion", server.otlp_native_deltas),
            ]),
        ),
        (
            "prometheus",
            Words::from([
                ("agent_mode", flag("agent")),
                (
                    "auto_reload_config",
                    flag("config.auto-reload") || server.auto_reload,
                ),
                ("server_mode", !flag("agent")),
                ("stringlabels", true),
            ]),
        ),
        (
            "promql",
            Words::from([
                ("anchored", language.extended_range_selectors),
                ("at_modifier", true),
                ("bool", true),
                ("by", true),
                ("delayed_name_removal", server.delayed_name_removal),
                ("duration_expr", language.duration_expr),
                ("fill", language.binop_fill_modifiers),
                ("fill_left", language.binop_fill_modifiers),
                ("fill_right", language.binop_fill_modifiers),
                ("group_left", true),
                ("group_right", true),
                ("ignoring", true),
                ("negative_offset", true),
                ("offset", true),
                ("on", true),
                ("per_query_lookback_delta", true),
                ("per_step_stats", server.per_step_stats),
                ("smoothed", language.extended_range_selectors),
                ("subqueries", true),
                ("type_and_unit_labels", server.type_and_unit_labels),
                ("without", true),
            ]),
        ),
        ("promql_functions", functions.collect()),
        ("promql_operators", operators),
        (
            "rules",
            Words::from([
                // rule-evaluator goes by what rules need of each other.
                ("concurrent_rule_eval", true),
                ("keep_firing_for", true),
                ("query_offset", true),
            ]),
        ),
        (
            "scrape",
            Words::from([
                ("extra_scrape_metrics", true),
                ("start_timestamp_zero_ingestion", false),
                ("type_and_unit_labels", server.type_and_unit_labels),
            ]),
        ),
        ("service_discovery_providers", all(&DISCOVERIES)),
        ("templating_functions", all(&TEMPLATE_FUNCTIONS)),
        (
            "tsdb",
            Words::from([
                ("delayed_compaction", false),
                ("exemplar_storage", server.exemplar_storage),
                ("histograms_st_encoding", false),
                ("isolation", true),
                ("native_histograms", true),
                ("st_storage", false),
                ("use_uncached_io", false),
                ("xor2_encoding", false),
            ]),
        ),
        ("ui", Words::from([("ui_v2", false), ("ui_v3", true)])),
    ])
}
