//! container-agent.
