//! Types built from `proto/` without protoc, and with feature `grpc` the clients and servers of
//! their services.
//!
//! These types stop at the edge: services turn them into [`model`] values at once ([`convert`]).
//! The files are our own, wire-compatible with those that each of them names.

#![allow(missing_docs, clippy::all)]

macro_rules! tonic_include {
    ($package:literal) => {
        include!(concat!(env!("OUT_DIR"), "/", $package, ".rs"));
    };
}

pub mod convert;
pub mod wire;

/// Remote write 1.0 and remote read.
pub mod prometheus {
    tonic_include!("prometheus");
}

/// Remote write 2.0.
pub mod write_v2 {
    tonic_include!("io.prometheus.write.v2");
}

/// Series in Thanos' APIs.
pub mod prometheus_copy {
    tonic_include!("prometheus_copy");
}

/// Thanos' Store, WriteableStore, Query and Rules.
pub mod thanos {
    tonic_include!("thanos");

    /// Which APIs an endpoint serves.
    pub mod info {
        tonic_include!("thanos.info");
    }
}

/// Alertmanager's silences on disk.
pub mod silencepb {
    tonic_include!("silencepb");
}

/// Alertmanager's notification log on disk.
pub mod nflogpb {
    tonic_include!("nflogpb");
}

/// What OpenTelemetry sends. The paths within are those that generated code looks for.
pub mod opentelemetry {
    pub mod proto {
        pub mod common {
            pub mod v1 {
                tonic_include!("opentelemetry.proto.common.v1");
            }
        }
        pub mod metrics {
            pub mod v1 {
                tonic_include!("opentelemetry.proto.metrics.v1");
            }
        }
    }
}

/// [`opentelemetry`] by shorter names.
pub mod otlp {
    pub use super::opentelemetry::proto::common::v1 as common;
    pub use super::opentelemetry::proto::metrics::v1 as metrics;
}

/// Our own services.
pub mod firewatch {
    /// Alerts from an evaluator to a router.
    pub mod alerts {
        pub mod v1 {
            tonic_include!("firewatch.alerts.v1");
        }
    }

    /// A rule group's expressions, from an evaluator to a store.
    pub mod rules {
        pub mod v1 {
            tonic_include!("firewatch.rules.v1");
        }
    }
}

/// All of `proto/` as an encoded `FileDescriptorSet`, for gRPC reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

pub use prost_types::Timestamp;
