//! Go text/template and html/template.
