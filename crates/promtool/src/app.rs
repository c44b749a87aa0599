//! The commands, their flags and arguments: upstream's, as far as they are here.

use service::Flag;
use service::flags::{App, Arg, Command, Kind};

/// The tool as data.
pub static APP: App = App {
    name: "promtool",
    about: "Tooling for the Prometheus monitoring system.",
    flags: &[
        Flag::bool("experimental", false, "Enable experimental commands."),
        Flag::string(
            "enable-feature",
            "",
            "Comma separated names of PromQL features to enable, as those of the server.",
        )
        .repeatable(),
    ],
    commands: &[CHECK, QUERY, PUSH, TEST, TSDB],
};

const HTTP_CONFIG: Flag = Flag::string(
    "http.config.file",
    "",
    "File with the HTTP client configuration for connecting to the server.",
)
.existing_file()
.placeholder("<filename>");
const URL: Flag = Flag::url("url", "The URL of the server.").or("http://localhost:9090");
const LINT_FATAL: Flag = Flag::bool(
    "lint-fatal",
    false,
    "Make lint errors exit with exit code 3.",
);
const IGNORE_UNKNOWN: Flag = Flag::bool(
    "ignore-unknown-fields",
    false,
    "Pass over unknown fields of rule groups and rules, for files that are extended with metadata. The server does not.",
);
const START: Flag = Flag::string("start", "", "Start time (RFC3339 or Unix timestamp).").optional();
const END: Flag = Flag::string("end", "", "End time (RFC3339 or Unix timestamp).").optional();
const MATCH: Flag = Flag::string(
    "match",
    "",
    "Series selector. Can be specified multiple times.",
)
.optional()
.repeatable();
const SERVER: Arg = Arg::required("server", Kind::Url, "Prometheus server to query.");

const CHECK: Command = Command::group(
    "check",
    "Check the resources for validity.",
    &[
        Command::leaf("config", "Check if the config files are valid or not.")
            .flags(&[
                Flag::bool(
                    "syntax-only",
                    false,
                    "Only check the syntax, not the files that the config names and their content.",
                ),
                Flag::string(
                    "lint",
                    "duplicate-rules",
                    "Linting checks to apply to the rules and scrape configs. Available options are: all, duplicate-rules, none, too-long-scrape-interval. Use --lint=none to disable linting",
                ),
                LINT_FATAL,
                IGNORE_UNKNOWN,
                Flag::bool("agent", false, "Check config file for Prometheus in Agent mode."),
            ])
            .args(&[Arg::required("config-files", Kind::ExistingFile, "The config files to check.")
                .repeated()]),
        Command::leaf("web-config", "Check if the web config files are valid or not.").args(&[
            Arg::required("web-config-files", Kind::ExistingFile, "The config files to check.")
                .repeated(),
        ]),
        Command::leaf("healthy", "Check if the Prometheus server is healthy.")
            .flags(&[HTTP_CONFIG, URL]),
        Command::leaf("ready", "Check if the Prometheus server is ready.")
            .flags(&[HTTP_CONFIG, URL]),
        Command::leaf("rules", "Check if the rule files are valid or not.")
            .flags(&[
                Flag::string(
                    "lint",
                    "duplicate-rules",
                    "Linting checks to apply. Available options are: all, duplicate-rules, none. Use --lint=none to disable linting",
                ),
                LINT_FATAL,
                IGNORE_UNKNOWN,
            ])
            .args(&[Arg::optional(
                "rule-files",
                Kind::ExistingFile,
                "The rule files to check, default is read from standard input.",
            )
            .repeated()]),
        Command::leaf(
            "metrics",
            "Pass Prometheus metrics over stdin to lint them for consistency and correctness.\n\nexamples:\n\n$ cat metrics.prom | promtool check metrics\n\n$ curl -s http://localhost:9090/metrics | promtool check metrics",
        ),
    ],
)
.flags(&[
    Flag::duration("query.lookback-delta", "5m", "The server's maximum query lookback duration."),
    Flag::bool(
        "extended",
        false,
        "Print extended information related to the cardinality of the metrics.",
    ),
]);

const QUERY: Command = Command::group(
    "query",
    "Run query against a Prometheus server.",
    &[
        Command::leaf("instant", "Run instant query.")
            .flags(&[Flag::string(
                "time",
                "",
                "Query evaluation time (RFC3339 or Unix timestamp).",
            )
            .optional()])
            .args(&[
                SERVER,
                Arg::required("expr", Kind::String, "PromQL query expression."),
            ]),
        Command::leaf("range", "Run range query.")
            .flags(&[
                Flag::pair("header", "Extra headers to send to server.").repeatable(),
                Flag::string(
                    "start",
                    "",
                    "Query range start time (RFC3339 or Unix timestamp).",
                )
                .optional(),
                Flag::string(
                    "end",
                    "",
                    "Query range end time (RFC3339 or Unix timestamp).",
                )
                .optional(),
                Flag::go_duration("step", "", "Query step size (duration).").optional(),
            ])
            .args(&[
                SERVER,
                Arg::required("expr", Kind::String, "PromQL query expression."),
            ]),
        Command::leaf("series", "Run series query.")
            .flags(&[MATCH.required(), START, END])
            .args(&[SERVER]),
        Command::leaf("labels", "Run labels query.")
            .flags(&[START, END, MATCH])
            .args(&[
                SERVER,
                Arg::required(
                    "name",
                    Kind::String,
                    "Label name to provide label values for.",
                ),
            ]),
        Command::leaf(
            "analyze",
            "Run queries against your Prometheus to analyze the usage pattern of certain metrics.",
        )
        .flags(&[
            Flag::url("server", "Prometheus server to query.").required(),
            Flag::string("type", "", "Type of metric: histogram.").required(),
            Flag::go_duration("duration", "1h", "Time frame to analyze."),
            Flag::string(
                "time",
                "",
                "Query time (RFC3339 or Unix timestamp), defaults to now.",
            )
            .optional(),
            MATCH.required(),
        ]),
    ],
)
.flags(&[
    Flag::one_of(
        "format",
        &["promql", "json"],
        "promql",
        "Output format of the query.",
    )
    .short('o'),
    HTTP_CONFIG,
]);

const PUSH: Command = Command::group(
    "push",
    "Push to a Prometheus server.",
    &[Command::leaf(
        "metrics",
        "Push metrics to a prometheus remote write (for testing purpose only).",
    )
    .flags(&[
        Flag::pair(
            "label",
            "Label to attach to metrics. Can be specified multiple times.",
        )
        .or("job=promtool")
        .repeatable(),
        Flag::go_duration("timeout", "30s", "The time to wait for pushing metrics."),
        Flag::pair("header", "Prometheus remote write header.").repeatable(),
    ])
    .args(&[
        Arg::required(
            "remote-write-url",
            Kind::Url,
            "Prometheus remote write url to push metrics.",
        ),
        Arg::optional(
            "metric-files",
            Kind::ExistingFile,
            "The metric files to push, default is read from standard input.",
        )
        .repeated(),
    ])],
)
.flags(&[HTTP_CONFIG]);

const TEST: Command = Command::group(
    "test",
    "Unit testing.",
    &[Command::leaf("rules", "Unit tests for rules.")
        .flags(&[
            Flag::string(
                "run",
                "",
                "Only run test groups whose names match the regular expression. Can be specified multiple times.",
            )
            .optional()
            .repeatable(),
            Flag::bool("debug", false, "Enable unit test debugging."),
            Flag::bool(
                "diff",
                false,
                "[Experimental] Print colored differential output between expected & received output.",
            ),
            IGNORE_UNKNOWN,
        ])
        .args(&[Arg::required("test-rule-file", Kind::ExistingFile, "The unit test file.").repeated()])],
)
.flags(&[Flag::string("junit", "", "File path to store JUnit XML test results.").optional()]);

const DB_PATH: Arg =
    Arg::optional("db path", Kind::String, "Database path (default is data/).").or("data/");
const DUMP_FLAGS: &[Flag] = &[
    Flag::string(
        "sandbox-dir-root",
        "",
        "Folder in which a sandbox is created for replaying the WAL, by default the database path. The sandbox is removed at the end.",
    )
    .optional(),
    Flag::int(
        "min-time",
        "-9223372036854775808",
        "Minimum timestamp to dump, in milliseconds since the Unix epoch.",
    ),
    Flag::int(
        "max-time",
        "9223372036854775807",
        "Maximum timestamp to dump, in milliseconds since the Unix epoch.",
    ),
    Flag::string(
        "match",
        "{__name__=~'(?s:.*)'}",
        "Series selector. Can be specified multiple times.",
    )
    .repeatable(),
];
const HUMAN: Flag = Flag::bool("human-readable", false, "Print human readable values.").short('r');

const TSDB: Command = Command::group(
    "tsdb",
    "Run tsdb commands.",
    &[
        Command::leaf(
            "analyze",
            "Analyze churn, label pair cardinality and compaction efficiency.",
        )
        .flags(&[
            Flag::int("limit", "20", "How many items to show in each list."),
            Flag::bool("extended", false, "Run extended analysis."),
            Flag::string(
                "match",
                "",
                "Series selector to analyze. Only 1 set of matchers is supported now.",
            )
            .optional(),
        ])
        .args(&[
            DB_PATH,
            Arg::optional(
                "block id",
                Kind::String,
                "Block to analyze (default is the last block).",
            ),
        ]),
        Command::leaf("list", "List tsdb blocks.").flags(&[HUMAN]).args(&[DB_PATH]),
        Command::leaf("dump", "Dump samples from a TSDB.").flags(DUMP_FLAGS).args(&[DB_PATH]),
        Command::leaf(
            "dump-openmetrics",
            "[Experimental] Dump samples from a TSDB into OpenMetrics text format, excluding native histograms and staleness markers, which are not representable in OpenMetrics.",
        )
        .flags(DUMP_FLAGS)
        .args(&[DB_PATH]),
        Command::group(
            "create-blocks-from",
            "[Experimental] Import samples from input and produce TSDB blocks.",
            &[
                Command::leaf(
                    "openmetrics",
                    "Import samples from OpenMetrics input and produce TSDB blocks.",
                )
                .flags(&[Flag::pair(
                    "label",
                    "Label to attach to metrics. Can be specified multiple times. Example --label=label_name=label_value",
                )
                .repeatable()])
                .args(&[
                    Arg::required("input file", Kind::String, "OpenMetrics file to read samples from."),
                    Arg::optional(
                        "output directory",
                        Kind::String,
                        "Output directory for generated blocks.",
                    )
                    .or("data/"),
                ]),
                Command::leaf("rules", "Create blocks of data for new recording rules.")
                    .flags(&[
                        HTTP_CONFIG,
                        URL,
                        Flag::string(
                            "start",
                            "",
                            "The time to start backfilling the new rule from (RFC3339 or Unix timestamp). Required.",
                        )
                        .required(),
                        Flag::string(
                            "end",
                            "",
                            "The time up to which the recording rules are backfilled (RFC3339 or Unix timestamp), by default three hours ago.",
                        )
                        .optional(),
                        Flag::string("output-dir", "data/", "Output directory for generated blocks."),
                        Flag::go_duration(
                            "eval-interval",
                            "60s",
                            "How frequently to evaluate rules when backfilling if a value is not set in the recording rule files.",
                        ),
                    ])
                    .args(&[Arg::required(
                        "rule-files",
                        Kind::ExistingFile,
                        "A list of one or more files containing recording rules to be backfilled. All recording rules listed in the files will be backfilled. Alerting rules are not evaluated.",
                    )
                    .repeated()]),
            ],
        )
        .flags(&[
            HUMAN,
            Flag::bool("quiet", false, "Do not print created blocks.").short('q'),
            Flag::go_duration(
                "max-block-duration",
                "",
                "Maximum duration created blocks may span. Anything less than 2h is ignored.",
            )
            .optional()
            .hidden(),
        ]),
    ],
);
