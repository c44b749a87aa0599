//! The text, OpenMetrics and protobuf exposition formats: parse and write.
