//! Targets, scrape loops, staleness, limits.
