//! Bootstrap of all seven services.
