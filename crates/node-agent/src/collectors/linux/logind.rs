//! logind: sessions of users, asked over D-Bus.

use std::collections::BTreeMap;

use super::{CollectError, Outcome};
use crate::dbus::{Connection, Value};
use crate::files::Files;
use crate::page::Page;

const SERVICE: &str = "org.freedesktop.login1";
const PATH: &str = "/org/freedesktop/login1";
const MANAGER: &str = "org.freedesktop.login1.Manager";
const SESSION: &str = "org.freedesktop.login1.Session";

// What logind knows; the first stands for what a newer one may add.
const TYPES: [&str; 7] = [
    "other",
    "unspecified",
    "tty",
    "x11",
    "wayland",
    "mir",
    "web",
];
const CLASSES: [&str; 5] = ["other", "user", "greeter", "lock-screen", "background"];

fn known(value: &str, names: &[&'static str]) -> &'static str {
    let found = names.iter().find(|name| **name == value);
    found.copied().unwrap_or("other")
}

pub fn collect(_: &mut Files, out: &mut Page) -> Outcome {
    let failed = |what: &str| {
        let what = what.to_owned();
        move |error: std::io::Error| CollectError::Other(format!("unable to {what}: {error}"))
    };
    let mut bus = Connection::system().map_err(failed("connect to dbus"))?;
    let first = |answer: Vec<Value>| answer.into_iter().next().unwrap_or(Value::List(Vec::new()));
    let seats = bus
        .call(SERVICE, PATH, MANAGER, "ListSeats", &[])
        .map_err(failed("get seats"))?;
    let sessions = bus
        .call(SERVICE, PATH, MANAGER, "ListSessions", &[])
        .map_err(failed("get sessions"))?;
    let seats = first(seats);
    let mut seats: Vec<&str> = seats
        .list()
        .iter()
        .filter_map(|seat| seat.list().first()?.text())
        .collect();
    // Sessions from far away have none.
    seats.push("");
    let mut counts: BTreeMap<(String, bool, &str, &str), f64> = BTreeMap::new();
    for session in first(sessions).list() {
        // Id, user's id, user's name, seat, object.
        let [_, _, _, Value::Text(seat), Value::Text(object)] = session.list() else {
            continue;
        };
        // A session that has ended in the meantime is passed over.
        let mut property = |name: &str| bus.property(SERVICE, object, SESSION, name).ok();
        let (Some(remote), Some(kind), Some(class)) =
            (property("Remote"), property("Type"), property("Class"))
        else {
            continue;
        };
        let (Some(remote), Some(kind), Some(class)) = (remote.number(), kind.text(), class.text())
        else {
            continue;
        };
        let key = (
            seat.clone(),
            remote != 0,
            known(kind, &TYPES),
            known(class, &CLASSES),
        );
        *counts.entry(key).or_default() += 1.0;
    }
    for remote in [true, false] {
        for kind in TYPES {
            for class in CLASSES {
                for seat in &seats {
                    let key = ((*seat).to_owned(), remote, kind, class);
                    out.gauge(
                        "node_logind_sessions",
                        "Number of sessions registered in logind.",
                        &[
                            ("seat", seat),
                            ("remote", if remote { "true" } else { "false" }),
                            ("type", kind),
                            ("class", class),
                        ],
                        counts.get(&key).copied().unwrap_or_default(),
                    );
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_is_new_is_other() {
        assert_eq!(super::known("tty", &super::TYPES), "tty");
        assert_eq!(super::known("manager", &super::CLASSES), "other");
    }
}
