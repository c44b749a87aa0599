//! How metrics of requests name the handlers: as upstream does.

use service::{Form, Handlers};

/// For [`service::HttpOptions`].
pub const HANDLERS: Handlers = Handlers {
    names: NAMES,
    of_path,
    form: Form::Alertmanager,
};

const SILENCE: &str = "/api/v2/silence/{silenceID}";
const ASSETS: &str = "/assets/*path";

const NAMES: &[&str] = &[
    "/",
    "/-/healthy",
    "/-/ready",
    "/-/reload",
    "/alerts",
    "/api/firewatch/v1/groups",
    "/api/firewatch/v1/notifications",
    "/api/firewatch/v1/routes",
    "/api/firewatch/v1/routes/match",
    "/api/v2/alerts",
    "/api/v2/alerts/groups",
    "/api/v2/receivers",
    SILENCE,
    "/api/v2/silences",
    "/api/v2/status",
    ASSETS,
    "/history",
    "/metrics",
    "/routing",
    "/silences",
    "/status",
];

/// `None` for a path that is none: those would be as many as clients think up.
fn of_path(path: &str) -> Option<&'static str> {
    if let Some(name) = NAMES.iter().find(|name| **name == path) {
        return Some(name);
    }
    if path.starts_with("/api/v2/silence/") {
        return Some(SILENCE);
    }
    path.starts_with("/assets/").then_some(ASSETS)
}
