//! The embedded web pages.
