//! alert-router.
