//! `check ...`: whether files can be used, and whether servers are well.

pub mod config;
mod lint;
pub mod metrics;
pub mod rules;

use service::flags::Call;

use crate::FAILURE;
use crate::query::Api;

/// `check web-config`.
pub fn web_config(call: &Call) -> u8 {
    let mut code = 0;
    for file in call.words("web-config-files") {
        match service::check_web_config(file.as_ref()) {
            Ok(()) => eprintln!("{file} SUCCESS"),
            Err(error) => {
                eprintln!("{file} FAILED: {error}");
                code = FAILURE;
            }
        }
    }
    code
}

/// `check healthy` and `check ready`.
pub fn server(call: &Call, path: &str) -> u8 {
    let asked = Api::of_flags(call, call.flags.str("url"))
        .and_then(|api| api.get_page(path, std::time::Duration::from_secs(10)));
    match asked {
        Ok((200, body)) => {
            eprintln!("  SUCCESS:  {}", String::from_utf8_lossy(&body));
            0
        }
        Ok((status, _)) => {
            eprintln!(
                "check failed: URL={}, status={status}",
                call.flags.str("url")
            );
            FAILURE
        }
        Err(error) => {
            eprintln!("{error}");
            FAILURE
        }
    }
}
