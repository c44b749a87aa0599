//! The flags every service has.

use crate::{Flag, Program};

const HELP: Flag = Flag::bool("help", false, "Show context-sensitive help.").short('h');
const VERSION: Flag = Flag::bool("version", false, "Show application version.");
const HEALTHCHECK: Flag = Flag::bool(
    "healthcheck",
    false,
    "Ask the service that runs with these flags for its health and exit with 0 or 1.",
);
const LOG_LEVEL: Flag = Flag::one_of(
    "log.level",
    &["debug", "info", "warn", "error"],
    "info",
    "Only log messages with the given severity or above. One of: [debug, info, warn, error]",
);
const LOG_FORMAT: Flag = Flag::one_of(
    "log.format",
    &["logfmt", "json"],
    "logfmt",
    "Output format of log messages. One of: [logfmt, json]",
);
const WEB_CONFIG: Flag = Flag::string(
    "web.config.file",
    "",
    "Path to configuration file that can enable TLS or authentication.",
);
const GRPC_CERT: Flag = Flag::string(
    "grpc-server-tls-cert",
    "",
    "TLS Certificate for gRPC server, leave blank to disable TLS.",
);
const GRPC_KEY: Flag = Flag::string(
    "grpc-server-tls-key",
    "",
    "TLS Key for the gRPC server, leave blank to disable TLS.",
);
const GRPC_CLIENT_CA: Flag = Flag::string(
    "grpc-server-tls-client-ca",
    "",
    "TLS CA to verify clients against. If no client CA is specified, there is no client verification on server side.",
);

/// The kit's flags with this program's defaults.
pub(crate) fn of(program: &Program) -> Vec<Flag> {
    let mut flags = vec![
        HELP,
        Flag::string(
            "web.listen-address",
            program.listen,
            "Addresses on which to expose metrics and web interface. Repeatable for multiple addresses.",
        )
        .repeatable(),
        WEB_CONFIG,
    ];
    if let Some(address) = program.grpc {
        flags.push(Flag::string(
            "grpc-address",
            address,
            "Listen ip:port address for gRPC endpoints. Empty: no gRPC.",
        ));
        flags.extend([GRPC_CERT, GRPC_KEY, GRPC_CLIENT_CA]);
    }
    flags.extend([LOG_LEVEL, LOG_FORMAT, HEALTHCHECK, VERSION]);
    flags
}

/// `--config.auto-reload`, of services that call [`crate::Boot::reload_on_change`].
pub const AUTO_RELOAD: Flag = Flag::bool(
    "config.auto-reload",
    false,
    "Reload the configuration by itself when its files change.",
);

/// `--config.auto-reload-interval`.
pub const AUTO_RELOAD_INTERVAL: Flag = Flag::duration(
    "config.auto-reload-interval",
    "30s",
    "How often to look for changes of the configuration files.",
);
