//! Rule files, group evaluation, alert state, and the templates of alerts ([`template`]).

pub mod template;
