//! kernel_hung: tasks that the kernel found hung.

use super::{CollectError, Outcome};
use crate::files::Files;
use crate::page::Page;

pub fn collect(files: &mut Files, out: &mut Page) -> Outcome {
    let text = files.proc("sys/kernel/hung_task_detect_count");
    let text = text.map_err(CollectError::missing_is_no_data)?.trim();
    let count = text
        .parse()
        .map_err(|_| CollectError::invalid("hung_task_detect_count", text))?;
    out.counter(
        "node_kernel_hung_tasks_total",
        "Total number of tasks that have been detected as hung since the system booted.",
        &[],
        count,
    );
    Ok(())
}
