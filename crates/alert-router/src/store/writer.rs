//! The thread that owns the log. Whoever changes the state hands its records over in the order of
//! the changes and waits; what arrives while the disk is busy is written and synced together.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use super::wal::Wal;

/// Told whether what was handed over is on disk; an error is text for a log line or an answer.
pub type Done = oneshot::Receiver<Result<(), Arc<str>>>;

enum Job {
    Append {
        framed: Vec<u8>,
        /// `None` for records that need not survive a power failure.
        done: Option<oneshot::Sender<Result<(), Arc<str>>>>,
    },
    Rotate {
        framed: Vec<u8>,
        done: oneshot::Sender<Result<(), Arc<str>>>,
    },
}

/// The way to the log. Dropping it ends the thread after everything handed over is written.
#[derive(Debug)]
pub struct Writer {
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
    bytes: Arc<AtomicU64>,
}

impl Writer {
    /// Starts the thread.
    ///
    /// # Errors
    /// If the system has no thread left.
    pub fn start(wal: Wal) -> std::io::Result<Writer> {
        let (jobs, receiver) = mpsc::channel();
        let bytes = Arc::new(AtomicU64::new(wal.bytes()));
        let shared = Arc::clone(&bytes);
        let thread = std::thread::Builder::new()
            .name("state-log".to_owned())
            .spawn(move || run(wal, &receiver, &shared))?;
        Ok(Writer {
            jobs: Some(jobs),
            thread: Some(thread),
            bytes,
        })
    }

    /// A writer that keeps nothing, for simulations: everything counts as written at once.
    pub fn discarding() -> Writer {
        Writer {
            jobs: None,
            thread: None,
            bytes: Arc::new(AtomicU64::new(0)),
        }
    }

    /// How long the log is.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Appends framed records; the answer comes once they are on disk.
    pub fn append(&self, framed: Vec<u8>) -> Done {
        let (done, answer) = oneshot::channel();
        self.send(Job::Append {
            framed,
            done: Some(done),
        });
        answer
    }

    /// Appends framed records whose loss at a power failure does no harm.
    pub fn append_lazily(&self, framed: Vec<u8>) {
        self.send(Job::Append { framed, done: None });
    }

    /// Replaces the log by one that holds `framed`, the whole state.
    pub fn rotate(&self, framed: Vec<u8>) -> Done {
        let (done, answer) = oneshot::channel();
        self.send(Job::Rotate { framed, done });
        answer
    }

    fn send(&self, job: Job) {
        match &self.jobs {
            // If the thread is gone the answer's sender is dropped with the job, which says so.
            Some(jobs) => {
                let _ = jobs.send(job);
            }
            None => match job {
                Job::Append { done, .. } => {
                    let _ = done.map(|done| done.send(Ok(())));
                }
                Job::Rotate { done, .. } => {
                    let _ = done.send(Ok(()));
                }
            },
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn run(mut wal: Wal, jobs: &mpsc::Receiver<Job>, bytes: &AtomicU64) {
    while let Ok(first) = jobs.recv() {
        let mut framed = Vec::new();
        let mut waiting = Vec::new();
        let mut next = Some(first);
        let mut rotation = None;
        while let Some(job) = next {
            match job {
                Job::Append { framed: more, done } => {
                    framed.extend_from_slice(&more);
                    waiting.extend(done);
                }
                Job::Rotate { framed, done } => {
                    rotation = Some((framed, done));
                    break;
                }
            }
            next = jobs.try_recv().ok();
        }
        if !framed.is_empty() {
            let result = wal
                .append(&framed, !waiting.is_empty())
                .map_err(|e| Arc::from(e.to_string()));
            for done in waiting {
                let _ = done.send(result.clone());
            }
        }
        if let Some((framed, done)) = rotation {
            let result = wal.rotate(&framed).map_err(|e| Arc::from(e.to_string()));
            let _ = done.send(result);
        }
        bytes.store(wal.bytes(), Ordering::Relaxed);
    }
}
