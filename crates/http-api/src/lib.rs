//! API v1 envelope, error-to-status table, parameter parsing, JSON values.
