//! scraper-store.
