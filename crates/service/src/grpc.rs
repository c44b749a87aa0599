//! The gRPC listener's services, with health and reflection.

use std::convert::Infallible;

use axum::response::IntoResponse;
use http::Request;
use tonic::server::NamedService;
use tonic::service::{Routes, RoutesBuilder};
use tonic_health::server::HealthReporter;
use tower::Service;

use crate::Error;

/// Gathers the services of a gRPC listener; `grpc.health.v1` and `grpc.reflection.v1` are added.
pub struct GrpcServices {
    routes: RoutesBuilder,
    health: HealthReporter,
}

impl GrpcServices {
    /// Health and reflection alone. `descriptors` is what reflection shows besides health: an encoded
    /// `FileDescriptorSet`.
    ///
    /// # Errors
    /// Descriptors that cannot be decoded.
    pub fn new(descriptors: &'static [u8]) -> Result<GrpcServices, Error> {
        let (health, health_service) = tonic_health::server::health_reporter();
        let reflection = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(descriptors)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .build_v1()
            .map_err(|e| Error::new(e.to_string()))?;
        let mut routes = Routes::builder();
        routes.add_service(health_service).add_service(reflection);
        Ok(GrpcServices { routes, health })
    }

    /// Adds a service, which health reports as serving from now on.
    pub async fn add<S>(&mut self, service: S) -> &mut GrpcServices
    where
        S: Service<Request<tonic::body::Body>, Error = Infallible>
            + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
        S::Response: IntoResponse,
        S::Future: Send + 'static,
    {
        self.health.set_serving::<S>().await;
        self.routes.add_service(service);
        self
    }

    /// All of them, for [`Boot::grpc`](crate::Boot::grpc).
    pub fn into_router(self) -> axum::Router {
        self.routes.routes().into_axum_router()
    }
}
