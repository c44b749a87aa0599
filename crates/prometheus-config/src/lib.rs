//! prometheus.yml: composes the section types of the libraries and checks across them.
