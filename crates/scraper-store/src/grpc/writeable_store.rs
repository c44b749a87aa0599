//! `thanos.WriteableStore`: samples in, as rule-evaluator and Thanos' routers send them.

use std::sync::Arc;

use prost::Message;
use proto::thanos::writeable_store_server::WriteableStore;
use proto::thanos::{WriteRequest, WriteResponse};
use remote::{Receiver, WriteError};
use tonic::{Request, Response, Status};

pub(super) struct Store {
    pub to: Arc<dyn storage::Appendable>,
    pub receiver: Arc<Receiver>,
}

#[tonic::async_trait]
impl WriteableStore for Store {
    /// Stores what can be stored. Samples that are refused for good (out of order, duplicates)
    /// answer `ALREADY_EXISTS` with the first reason, as Thanos' receivers do; the others are kept.
    async fn remote_write(
        &self,
        request: Request<WriteRequest>,
    ) -> Result<Response<WriteResponse>, Status> {
        let request = request.into_inner();
        let to = Arc::clone(&self.to);
        let receiver = Arc::clone(&self.receiver);
        let written =
            tokio::task::spawn_blocking(move || receiver.write_v1(&request.encode_to_vec(), &*to))
                .await
                .map_err(|_| Status::internal("writing panicked; see the log"))?;
        match written {
            Ok(written) if written.refused == 0 => Ok(Response::new(WriteResponse {})),
            Ok(written) => {
                let reason = written.first_refusal.unwrap_or_default();
                let text = format!(
                    "{} samples were refused, the first one: {reason}",
                    written.refused
                );
                Err(Status::already_exists(text))
            }
            Err(error @ WriteError::Store(_)) => Err(Status::unavailable(error.to_string())),
            Err(error) => Err(Status::invalid_argument(error.to_string())),
        }
    }
}
