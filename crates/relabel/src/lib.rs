//! relabel_config and its application.
