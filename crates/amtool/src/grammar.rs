//! Commands and flags as data.

/// What a flag's value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Any text.
    Text,
    /// `--x` or `--no-x`.
    Switch,
    /// Go's duration.
    Duration,
    /// A whole number.
    Number,
    /// The name of a file that is there.
    File,
    /// One of these.
    Choice(&'static [&'static str]),
}

/// One flag.
#[derive(Clone, Copy, Debug)]
pub struct Flag {
    pub name: &'static str,
    pub short: Option<char>,
    pub kind: Kind,
    pub default: Option<&'static str>,
    pub repeated: bool,
    pub required: bool,
    /// Not in the help.
    pub hidden: bool,
    pub help: &'static str,
}

const fn flag(name: &'static str, kind: Kind, help: &'static str) -> Flag {
    Flag {
        name,
        short: None,
        kind,
        default: None,
        repeated: false,
        required: false,
        hidden: false,
        help,
    }
}

impl Flag {
    const fn short(self, short: char) -> Flag {
        Flag {
            short: Some(short),
            ..self
        }
    }

    const fn or(self, default: &'static str) -> Flag {
        Flag {
            default: Some(default),
            ..self
        }
    }

    const fn repeated(self) -> Flag {
        Flag {
            repeated: true,
            ..self
        }
    }

    const fn required(self) -> Flag {
        Flag {
            required: true,
            ..self
        }
    }

    const fn hidden(self) -> Flag {
        Flag {
            hidden: true,
            ..self
        }
    }
}

/// What words that are no flags are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Words {
    /// There are none.
    None,
    /// At most one, the name of a file that is there.
    OneFile(&'static str),
    /// Any number, by the name in the help.
    Any(&'static str),
    /// Any number of names of files that are there.
    Files(&'static str),
}

/// A command or a group of commands.
#[derive(Clone, Copy, Debug)]
pub struct Command {
    pub name: &'static str,
    pub help: &'static str,
    pub flags: &'static [Flag],
    pub words: Words,
    /// The commands below; the default one is named.
    pub below: &'static [Command],
    pub default: Option<&'static str>,
}

const LEAF: Command = Command {
    name: "",
    help: "",
    flags: &[],
    words: Words::None,
    below: &[],
    default: None,
};

/// Outputs.
pub const OUTPUTS: &[&str] = &["simple", "extended", "json"];

/// The tool itself.
pub const ROOT: Command = Command {
    name: "amtool",
    help: "View and modify the current Alertmanager state.",
    flags: &[
        flag("date.format", Kind::Text, "Format of date output").or("2006-01-02 15:04:05 MST"),
        flag("verbose", Kind::Switch, "Verbose running information").short('v'),
        flag("alertmanager.url", Kind::Text, "Alertmanager to talk to")
            .or("http://localhost:9093/"),
        flag("output", Kind::Choice(OUTPUTS), "Output formatter (simple, extended, json)")
            .short('o')
            .or("simple"),
        flag("timeout", Kind::Duration, "Timeout for the executed command").or("30s"),
        flag(
            "http.config.file",
            Kind::File,
            "HTTP client configuration file for amtool to connect to Alertmanager.",
        ),
        flag(
            "version-check",
            Kind::Switch,
            "Check alertmanager version. Use --no-version-check to disable.",
        )
        .or("true"),
        flag(
            "enable-feature",
            Kind::Text,
            "Experimental features to enable, comma separated: classic-mode, utf8-strict-mode; the others of alert-router change nothing here.",
        )
        .or(""),
    ],
    below: &[ALERT, SILENCE, CHECK_CONFIG, CLUSTER, CONFIG, TEMPLATE],
    ..LEAF
};

const ALERT: Command = Command {
    name: "alert",
    help: "Add or query alerts.",
    default: Some("query"),
    below: &[
        Command {
            name: "query",
            help: "View and search through current alerts. Words are matchers (alertname=foo, 'node=~a.*'); a first word that is none is an alert name. Without flags only active alerts are shown.",
            flags: &[
                flag("inhibited", Kind::Switch, "Show inhibited alerts").short('i'),
                flag("silenced", Kind::Switch, "Show silenced alerts").short('s'),
                flag("active", Kind::Switch, "Show active alerts").short('a'),
                flag("unprocessed", Kind::Switch, "Show unprocessed alerts").short('u'),
                flag(
                    "receiver",
                    Kind::Text,
                    "Show alerts matching receiver (Supports regex syntax)",
                )
                .short('r'),
            ],
            words: Words::Any("matcher-groups"),
            ..LEAF
        },
        Command {
            name: "add",
            help: "Add a new alert. Words are its labels (name=value); a first word that is none is the alert name.",
            flags: &[
                flag(
                    "generator-url",
                    Kind::Text,
                    "Set the URL of the source that generated the alert",
                ),
                flag(
                    "start",
                    Kind::Text,
                    "Set when the alert should start. RFC3339 format 2006-01-02T15:04:05-07:00",
                ),
                flag(
                    "end",
                    Kind::Text,
                    "Set when the alert should end. RFC3339 format 2006-01-02T15:04:05-07:00",
                ),
                flag(
                    "annotation",
                    Kind::Text,
                    "Set an annotation to be included with the alert",
                )
                .repeated(),
            ],
            words: Words::Any("labels"),
            ..LEAF
        },
    ],
    ..LEAF
};

const SILENCE: Command = Command {
    name: "silence",
    help: "Add, expire or view silences.",
    default: Some("query"),
    below: &[
        Command {
            name: "add",
            help: "Add a new silence. Words are its matchers (alertname=foo, 'node=~a.*'); a first word that is none is an alert name.",
            flags: &[
                flag("author", Kind::Text, "Username for CreatedBy field").short('a'),
                flag("require-comment", Kind::Switch, "Require comment to be set")
                    .or("true")
                    .hidden(),
                flag("duration", Kind::Text, "Duration of silence")
                    .short('d')
                    .or("1h"),
                flag(
                    "start",
                    Kind::Text,
                    "Set when the silence should start. RFC3339 format 2006-01-02T15:04:05-07:00",
                ),
                flag(
                    "end",
                    Kind::Text,
                    "Set when the silence should end (overwrites duration). RFC3339 format 2006-01-02T15:04:05-07:00",
                ),
                flag(
                    "comment",
                    Kind::Text,
                    "A comment to help describe the silence",
                )
                .short('c'),
                flag(
                    "annotation",
                    Kind::Text,
                    "Set an annotation to be included with the silence",
                )
                .repeated(),
            ],
            words: Words::Any("matcher-groups"),
            ..LEAF
        },
        Command {
            name: "expire",
            help: "Expire silences.",
            words: Words::Any("silence-ids"),
            ..LEAF
        },
        Command {
            name: "import",
            help: "Import silences from a JSON file as `silence query -o json` prints it, or from standard input.",
            flags: &[
                flag(
                    "force",
                    Kind::Switch,
                    "Force adding new silences even if it already exists",
                )
                .short('f'),
                flag(
                    "worker",
                    Kind::Number,
                    "Number of concurrent workers to use for import",
                )
                .short('w')
                .or("8"),
            ],
            words: Words::OneFile("input-file"),
            ..LEAF
        },
        Command {
            name: "query",
            help: "View silences. Words are matchers that a silence must have among its own; a first word that is none is an alert name.",
            flags: &[
                flag(
                    "expired",
                    Kind::Switch,
                    "Show expired silences instead of active",
                ),
                flag("quiet", Kind::Switch, "Only show silence ids").short('q'),
                flag(
                    "created-by",
                    Kind::Text,
                    "Show silences that belong to this creator",
                ),
                flag("id", Kind::Text, "Get a single silence by its ID"),
                flag(
                    "within",
                    Kind::Duration,
                    "Show silences that will expire or have expired within a duration",
                ),
            ],
            words: Words::Any("matcher-groups"),
            ..LEAF
        },
        Command {
            name: "update",
            help: "Update silences.",
            flags: &[
                flag("quiet", Kind::Switch, "Only show silence ids").short('q'),
                flag("duration", Kind::Text, "Duration of silence").short('d'),
                flag(
                    "start",
                    Kind::Text,
                    "Set when the silence should start. RFC3339 format 2006-01-02T15:04:05-07:00",
                ),
                flag(
                    "end",
                    Kind::Text,
                    "Set when the silence should end (overwrites duration). RFC3339 format 2006-01-02T15:04:05-07:00",
                ),
                flag(
                    "comment",
                    Kind::Text,
                    "A comment to help describe the silence",
                )
                .short('c'),
            ],
            words: Words::Any("update-ids"),
            ..LEAF
        },
    ],
    ..LEAF
};

const CHECK_CONFIG: Command = Command {
    name: "check-config",
    help: "Validate configuration files and the templates that they name.",
    words: Words::Files("check-files"),
    ..LEAF
};

const CLUSTER: Command = Command {
    name: "cluster",
    help: "View cluster status and peers.",
    default: Some("show"),
    below: &[Command {
        name: "show",
        help: "View cluster status and peers.",
        ..LEAF
    }],
    ..LEAF
};

const CONFIG: Command = Command {
    name: "config",
    help: "View the running configuration and its routes.",
    default: Some("show"),
    below: &[
        Command {
            name: "show",
            help: "View current config: simple prints it, extended adds uptime and version, json prints the whole status.",
            ..LEAF
        },
        Command {
            name: "routes",
            help: "The routing tree of a file, or of the running configuration.",
            default: Some("show"),
            flags: &[flag("config.file", Kind::File, "Config file to be tested.")],
            below: &[
                Command {
                    name: "show",
                    help: "Prints the routing tree.",
                    ..LEAF
                },
                Command {
                    name: "test",
                    help: "Prints the receivers that an alert with the given labels resolves to.",
                    flags: &[
                        flag(
                            "verify.receivers",
                            Kind::Text,
                            "Checks if specified receivers matches resolved receivers. The command fails if the labelset does not route to the specified receivers.",
                        ),
                        flag("tree", Kind::Switch, "Prints out matching routes tree."),
                    ],
                    words: Words::Any("labels"),
                    ..LEAF
                },
            ],
            ..LEAF
        },
    ],
    ..LEAF
};

const TEMPLATE: Command = Command {
    name: "template",
    help: "Work with notification templates.",
    below: &[Command {
        name: "render",
        help: "Render a given definition in a template file to standard output.",
        flags: &[
            flag(
                "template.glob",
                Kind::Text,
                "Glob of paths that will be expanded and used for rendering.",
            )
            .repeated()
            .required(),
            flag(
                "template.text",
                Kind::Text,
                "The template that will be rendered.",
            )
            .required(),
            flag(
                "template.type",
                Kind::Choice(&["html", "text"]),
                "The type of the template. Can be either text (default) or html.",
            ),
            flag(
                "template.data",
                Kind::File,
                "A JSON file with the data of the alerts to render with, in the form of webhook messages. Without it a small example is used.",
            ),
        ],
        ..LEAF
    }],
    ..LEAF
};
