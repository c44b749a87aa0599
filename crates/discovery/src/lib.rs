//! Service discovery; one mechanism, one file.
