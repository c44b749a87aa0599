//! Types built from `proto/`, and gRPC stubs behind the `grpc` feature.
