//! `config show` and `cluster show`.

use crate::cli::Invocation;
use crate::client::{Client, GET_STATUS};
use crate::format::Format;
use crate::models::Status;

/// The server's status.
pub async fn status(invocation: &Invocation) -> Result<Status, String> {
    let client = Client::new(invocation).await?;
    client.call(&GET_STATUS, "", &[], None).await
}

pub async fn show(invocation: &Invocation) -> Result<(), String> {
    let status = status(invocation).await?;
    print!("{}", Format::new(invocation).config(&status));
    Ok(())
}

pub async fn cluster(invocation: &Invocation) -> Result<(), String> {
    let mut status = status(invocation).await?;
    print!("{}", Format::new(invocation).cluster(&mut status.cluster));
    Ok(())
}
