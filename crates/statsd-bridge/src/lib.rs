//! statsd-bridge.
