//! SIGHUP reloads, SIGTERM and SIGINT stop; a second one of these stops at once.

use tokio::signal::unix::{SignalKind, signal};

use crate::{Boot, Error};

/// Listens for signals from now on.
pub(crate) fn listen(boot: &Boot) -> Result<(), Error> {
    let mut hangup = signal(SignalKind::hangup())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let reloading = boot.clone();
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            // Logged and counted where it is run.
            let _ = reloading.reload().await;
        }
    });
    let shutdown = boot.shutdown.clone();
    let name = boot.program.name;
    tokio::spawn(async move {
        loop {
            let which = tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            };
            if shutdown.is_requested() {
                tracing::warn!(
                    signal = which,
                    "Received an OS signal again, exiting at once"
                );
                std::process::exit(1);
            }
            tracing::warn!(
                signal = which,
                "Received an OS signal, exiting gracefully..."
            );
            shutdown.request(format!("{name} received {which}"));
        }
    });
    Ok(())
}
