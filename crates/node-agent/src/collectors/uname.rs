//! uname: what the kernel says of itself.

use super::Outcome;
use crate::files::Files;
use crate::page::Page;

pub fn collect(_files: &mut Files, out: &mut Page) -> Outcome {
    let uname = rustix::system::uname();
    let text = |part: &std::ffi::CStr| part.to_string_lossy().into_owned();
    #[cfg(target_os = "linux")]
    let domain = text(uname.domainname());
    #[cfg(not(target_os = "linux"))]
    let domain = "(none)".to_owned();
    out.gauge(
        "node_uname_info",
        "Labeled system information as provided by the uname system call.",
        &[
            ("sysname", &text(uname.sysname())),
            ("release", &text(uname.release())),
            ("version", &text(uname.version())),
            ("machine", &text(uname.machine())),
            ("nodename", &text(uname.nodename())),
            ("domainname", &domain),
        ],
        1.0,
    );
    Ok(())
}
