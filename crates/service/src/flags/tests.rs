use std::time::Duration;

use super::parse::parse_with;
use super::*;
use crate::{FlagStyle, Program};

const FLAGS: &[Flag] = &[
    Flag::string("config.file", "x.yml", "The file.").short('c'),
    Flag::bool("web.enable-lifecycle", false, "Reload and quit over HTTP."),
    Flag::bool("collector.cpu", true, "The cpu collector."),
    Flag::int("query.max-samples", "50000000", "Samples."),
    Flag::float("ratio", "0.5", "A ratio."),
    Flag::duration("query.timeout", "2m", "A timeout.").env("QUERY_TIMEOUT"),
    Flag::go_duration("flush", "200ms", "An interval."),
    Flag::size("retention.size", "0", "Bytes."),
    Flag::url("web.external-url", "A URL."),
    Flag::string("peer", "", "Peers.").repeatable(),
    Flag::one_of("mode", &["a", "b"], "a", "A mode.").hidden(),
    Flag::string("old-name", "", "Renamed.").alias("older-name"),
];

static KINGPIN: Program = Program {
    name: "thing",
    about: "Does things.",
    metric_prefix: "thing",
    listen: ":1234",
    grpc: Some(":1235"),
    flags: FLAGS,
    ..Program::DEFAULT
};

static PROMETHEUS: Program = Program {
    style: FlagStyle::Prometheus,
    ..KINGPIN
};

static GO: Program = Program {
    style: FlagStyle::Go,
    ..KINGPIN
};

static REQUIRED: Program = Program {
    flags: &[
        Flag::string("a", "", "").required(),
        Flag::string("b", "", "").required(),
    ],
    ..KINGPIN
};

fn parse(program: &'static Program, line: &[&str]) -> Result<Args, Stop> {
    let line: Vec<String> = line.iter().map(|word| (*word).to_owned()).collect();
    parse_with(program, &line, &|name| {
        (name == "QUERY_TIMEOUT").then(|| "7s".to_owned())
    })
}

fn error(program: &'static Program, line: &[&str]) -> String {
    match parse(program, line) {
        Err(Stop::Error(message)) => message,
        other => panic!("{line:?}: {other:?}"),
    }
}

#[test]
fn defaults() {
    let args = parse(&KINGPIN, &[]).unwrap();
    assert_eq!(args.str("config.file"), "x.yml");
    assert!(!args.bool("web.enable-lifecycle") && args.bool("collector.cpu"));
    assert_eq!(
        (
            args.int("query.max-samples"),
            args.count("query.max-samples")
        ),
        (50_000_000, 50_000_000)
    );
    assert_eq!(args.float("ratio"), 0.5);
    assert_eq!(args.duration("query.timeout"), Duration::from_secs(7));
    assert!(args.is_set("query.timeout") && !args.is_set("flush"));
    assert_eq!(args.duration("flush"), Duration::from_millis(200));
    assert_eq!(args.size("retention.size"), 0);
    assert_eq!(args.get("web.external-url"), None);
    assert!(args.list("peer").is_empty());
    assert_eq!(args.list("web.listen-address"), [":1234"]);
    assert_eq!(args.str("grpc-address"), ":1235");
    assert_eq!(args.str("log.level"), "info");
    let strings: Vec<_> = args.as_strings().collect();
    assert!(strings.contains(&("query.timeout", "7s".to_owned())));
    assert!(strings.contains(&("web.listen-address", ":1234".to_owned())));
}

#[test]
fn spellings() {
    let args = parse(
        &KINGPIN,
        &[
            "--config.file=a",
            "--web.enable-lifecycle",
            "--no-collector.cpu",
            "--query.max-samples",
            "-5",
            "--query.timeout=1d",
            "--retention.size",
            "512MB",
            "--peer=a",
            "--peer",
            "b",
            "--older-name=x",
            "--web.external-url=http://a/b",
            "--mode=b",
        ],
    )
    .unwrap();
    assert_eq!(args.str("config.file"), "a");
    assert!(args.bool("web.enable-lifecycle") && !args.bool("collector.cpu"));
    assert_eq!(
        (
            args.int("query.max-samples"),
            args.count("query.max-samples")
        ),
        (-5, 0)
    );
    assert_eq!(args.duration("query.timeout"), Duration::from_secs(86_400));
    assert_eq!(args.size("retention.size"), 512 << 20);
    assert_eq!(args.list("peer"), ["a", "b"]);
    assert_eq!(args.str("old-name"), "x");
    assert_eq!(args.get("web.external-url"), Some("http://a/b"));

    assert_eq!(parse(&KINGPIN, &["-ca"]).unwrap().str("config.file"), "a");
    assert_eq!(
        parse(&KINGPIN, &["-c", "a"]).unwrap().str("config.file"),
        "a"
    );
    assert!(
        parse(&KINGPIN, &["--web.enable-lifecycle=true"])
            .unwrap()
            .bool("web.enable-lifecycle")
    );
    assert!(
        !parse(&KINGPIN, &["--collector.cpu=false"])
            .unwrap()
            .bool("collector.cpu")
    );
    assert_eq!(
        parse(&KINGPIN, &["--config.file="])
            .unwrap()
            .str("config.file"),
        ""
    );
}

#[test]
fn stops() {
    assert_eq!(parse(&KINGPIN, &["--help"]).unwrap_err(), Stop::Help);
    assert_eq!(parse(&KINGPIN, &["-h"]).unwrap_err(), Stop::Help);
    assert_eq!(parse(&KINGPIN, &["--version"]).unwrap_err(), Stop::Version);
    assert_eq!(parse(&GO, &["-version"]).unwrap_err(), Stop::Version);
    assert_eq!(parse(&GO, &["-help"]).unwrap_err(), Stop::Help);
}

#[test]
fn errors_are_upstreams() {
    for (line, message) in [
        (&["--x"][..], "unknown long flag '--x'"),
        (&["--x=1"], "unknown long flag '--x'"),
        (
            &["--no-config.file"],
            "unknown long flag '--no-config.file'",
        ),
        (&["-x"], "unknown short flag '-x'"),
        (&["word"], "unexpected word"),
        (
            &["--config.file"],
            "expected argument for flag '--config.file'",
        ),
        (
            &["--config.file", "--peer=a"],
            "expected argument for flag '--config.file'",
        ),
        (
            &["--config.file=a", "--config.file=b"],
            "flag 'config.file' cannot be repeated",
        ),
        (
            &["--query.max-samples=x"],
            "invalid value for flag '--query.max-samples': strconv.ParseInt: parsing \"x\": invalid syntax",
        ),
        (
            &["--query.timeout=x"],
            "invalid value for flag '--query.timeout': not a valid duration string: \"x\"",
        ),
        (
            &["--mode=c"],
            "invalid value for flag '--mode': enum value must be one of a,b, got 'c'",
        ),
        (
            &["--log.level=loud"],
            "invalid value for flag '--log.level': enum value must be one of debug,info,warn,error, got 'loud'",
        ),
    ] {
        assert_eq!(error(&KINGPIN, line), message, "{line:?}");
        assert_eq!(error(&PROMETHEUS, line), message, "{line:?}");
    }
    assert_eq!(
        error(&REQUIRED, &[]),
        "required flag(s) '--a', '--b' not provided"
    );
    assert_eq!(
        error(&REQUIRED, &["--a=1"]),
        "required flag(s) '--b' not provided"
    );
}

#[test]
fn go_style() {
    let args = parse(
        &GO,
        &[
            "-config.file",
            "--odd",
            "-web.enable-lifecycle",
            "-collector.cpu=false",
            "--ratio=2",
            "-ratio",
            "3",
        ],
    )
    .unwrap();
    assert_eq!(args.str("config.file"), "--odd");
    assert!(args.bool("web.enable-lifecycle") && !args.bool("collector.cpu"));
    assert_eq!(args.float("ratio"), 3.0);
    assert_eq!(error(&GO, &["-x"]), "flag provided but not defined: -x");
    assert_eq!(error(&GO, &["-ratio"]), "flag needs an argument: -ratio");
    assert_eq!(
        error(&GO, &["-collector.cpu=maybe"]),
        "invalid boolean value \"maybe\" for -collector.cpu: parse error"
    );
    assert_eq!(
        error(&GO, &["-ratio=x"]),
        "invalid value \"x\" for flag -ratio: strconv.ParseFloat: parsing \"x\": invalid syntax"
    );
}

#[test]
fn arguments_from_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("args");
    std::fs::write(&path, "--config.file=from file\n# a comment\n\n--peer=a\n").unwrap();
    let args = parse(&KINGPIN, &[&format!("@{}", path.display()), "--peer=b"]).unwrap();
    assert_eq!(args.str("config.file"), "from file");
    assert_eq!(args.list("peer"), ["a", "b"]);
    assert!(error(&KINGPIN, &["@/nowhere"]).starts_with("cannot read /nowhere: "));
}

#[test]
fn usage_and_reference() {
    let usage = usage(&KINGPIN);
    for line in [
        "usage: thing [<flags>]",
        "Does things.",
        "  -c, --config.file=\"x.yml\"      The file.",
        "      --[no-]collector.cpu       The cpu collector.",
        "      --query.timeout=2m         A timeout. ($QUERY_TIMEOUT)",
        "      --peer=\"\" ...              Peers.",
        "  -h, --help                     Show context-sensitive help.",
        "      --version                  Show application version.",
    ] {
        assert!(usage.contains(&format!("{line}\n")), "{line}\n---\n{usage}");
    }
    assert!(!usage.contains("--mode"), "hidden flags stay hidden");
    assert!(usage.lines().all(|line| line.chars().count() <= 110));

    let markdown = markdown(&KINGPIN);
    assert!(markdown.contains("| `-c`, `--config.file` | `x.yml` | The file. |\n"));
    assert!(markdown.contains("| `--mode` | `a` | A mode. One of: a, b. (not in `--help`) |\n"));
    assert!(super::usage(&GO).contains("  -web.enable-lifecycle"));
}

#[test]
fn kit_flags_can_be_replaced_and_left_out() {
    static PROGRAM: Program = Program {
        flags: &[Flag::one_of("log.level", &["1", "2"], "2", "Other levels.")],
        without_flags: &["web.config.file"],
        grpc: None,
        ..KINGPIN
    };
    let args = parse(&PROGRAM, &["--log.level=1"]).unwrap();
    assert_eq!(args.str("log.level"), "1");
    assert!(!args.has("web.config.file") && !args.has("grpc-address"));
    assert_eq!(
        error(&PROGRAM, &["--web.config.file=x"]),
        "unknown long flag '--web.config.file'"
    );
}
