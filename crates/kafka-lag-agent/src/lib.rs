//! kafka-lag-agent.
