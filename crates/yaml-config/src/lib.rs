//! Strict YAML with positions, and the scalar types that configuration files share.
