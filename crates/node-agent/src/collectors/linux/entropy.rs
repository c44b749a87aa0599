//! entropy: the kernel's pool of random bits.

use super::{CollectError, Outcome};
use crate::files::Files;
use crate::page::Page;

pub fn collect(files: &mut Files, out: &mut Page) -> Outcome {
    let metrics = [
        (
            "entropy_avail",
            "node_entropy_available_bits",
            "Bits of available entropy.",
        ),
        (
            "poolsize",
            "node_entropy_pool_size_bits",
            "Bits of entropy pool.",
        ),
    ];
    for (file, name, help) in metrics {
        let text = files.proc(&format!("sys/kernel/random/{file}"))?.trim();
        let bits = text
            .parse()
            .map_err(|_| CollectError::invalid("entropy", text))?;
        out.gauge(name, help, &[], bits);
    }
    Ok(())
}
