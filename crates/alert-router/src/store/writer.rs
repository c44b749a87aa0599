//! The way to the log. Whoever changes the state appends its records in the order of the changes:
//! they are with the system at once, so that the end of the process does not lose them. A thread
//! syncs the file, once for all who wait, and writes the log anew.

use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::record::Record;
use super::wal::{self, Wal};

/// Told whether what was handed over is on disk; an error is text for a log line or an answer.
pub type Done = oneshot::Receiver<Result<(), Arc<str>>>;

type Answer = oneshot::Sender<Result<(), Arc<str>>>;

enum Job {
    Sync(Answer),
    Rotate { records: Vec<Record>, done: Answer },
}

/// See the module. Dropping it ends the thread after everything asked for is done.
#[derive(Debug)]
pub struct Writer {
    log: Option<Arc<Mutex<Log>>>,
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Log {
    wal: Wal,
    /// While the log is written anew: what has been appended since. It goes to the old file, which
    /// counts until the new one is complete, and to the new one.
    since: Option<Vec<u8>>,
}

impl Writer {
    /// Starts the thread.
    ///
    /// # Errors
    /// If the system has no thread left.
    pub fn start(wal: Wal) -> std::io::Result<Writer> {
        let log = Arc::new(Mutex::new(Log { wal, since: None }));
        let (jobs, receiver) = mpsc::channel();
        let shared = Arc::clone(&log);
        let thread = std::thread::Builder::new()
            .name("state-log".to_owned())
            .spawn(move || run(&shared, &receiver))?;
        Ok(Writer {
            log: Some(log),
            jobs: Some(jobs),
            thread: Some(thread),
        })
    }

    /// A writer that keeps nothing, for simulations: everything counts as written at once.
    pub fn discarding() -> Writer {
        Writer {
            log: None,
            jobs: None,
            thread: None,
        }
    }

    /// How long the log is.
    pub fn bytes(&self) -> u64 {
        self.log.as_ref().map_or(0, |log| log.lock().wal.bytes())
    }

    /// Appends framed records; the answer comes once they are on disk.
    pub fn append(&self, framed: &[u8]) -> Done {
        let (done, answer) = oneshot::channel();
        match self.write(framed) {
            Ok(()) => self.send(Job::Sync(done)),
            Err(error) => {
                let _ = done.send(Err(error));
            }
        }
        answer
    }

    /// Appends framed records whose loss at a power failure does no harm.
    ///
    /// # Errors
    /// What the disk said.
    pub fn append_lazily(&self, framed: &[u8]) -> Result<(), Arc<str>> {
        self.write(framed)
    }

    fn write(&self, framed: &[u8]) -> Result<(), Arc<str>> {
        let Some(log) = &self.log else {
            return Ok(());
        };
        let mut log = log.lock();
        log.wal
            .append(framed)
            .map_err(|e| Arc::from(e.to_string()))?;
        if let Some(since) = &mut log.since {
            since.extend_from_slice(framed);
        }
        Ok(())
    }

    /// Replaces the log by one that holds `records`, the whole state as of now, and what is appended
    /// from now on.
    pub fn rotate(&self, records: Vec<Record>) -> Done {
        let (done, answer) = oneshot::channel();
        let begun = self.log.as_ref().is_none_or(|log| {
            let mut log = log.lock();
            let begun = log.since.is_none();
            log.since.get_or_insert_default();
            begun
        });
        if begun {
            self.send(Job::Rotate { records, done });
        } else {
            // One is under way; the log is complete with or without another.
            let _ = done.send(Ok(()));
        }
        answer
    }

    fn send(&self, job: Job) {
        match &self.jobs {
            // If the thread is gone the answer's sender is dropped with the job, which says so.
            Some(jobs) => {
                let _ = jobs.send(job);
            }
            None => {
                let (Job::Sync(done) | Job::Rotate { done, .. }) = job;
                let _ = done.send(Ok(()));
            }
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

fn run(log: &Mutex<Log>, jobs: &mpsc::Receiver<Job>) {
    while let Ok(first) = jobs.recv() {
        let mut waiting = Vec::new();
        let mut rotation = None;
        let mut next = Some(first);
        while let Some(job) = next {
            match job {
                Job::Sync(done) => waiting.push(done),
                Job::Rotate { records, done } => {
                    rotation = Some((records, done));
                    break;
                }
            }
            next = jobs.try_recv().ok();
        }
        if !waiting.is_empty() {
            // If the log has been exchanged since, the new file was synced with all of it.
            let file = log.lock().wal.file();
            let result = file.sync_data().map_err(|e| Arc::from(e.to_string()));
            for done in waiting {
                let _ = done.send(result.clone());
            }
        }
        if let Some((records, done)) = rotation {
            let result = rotate(log, &records).map_err(|e| Arc::from(e.to_string()));
            let _ = done.send(result);
        }
    }
}

fn rotate(log: &Mutex<Log>, records: &[Record]) -> Result<(), wal::Error> {
    let (dir, number) = log.lock().wal.next();
    let prepared = wal::prepare(&dir, number, records);
    let mut log = log.lock();
    let since = log.since.take().unwrap_or_default();
    log.wal.switch(prepared?, &since)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(fingerprint: u64) -> Vec<u8> {
        let mut out = Vec::new();
        wal::frame(&Record::Forget(fingerprint), &mut out);
        out
    }

    #[test]
    fn what_comes_during_a_rotation_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let (wal, _) = Wal::open(dir.path()).unwrap();
        let writer = Writer::start(wal).unwrap();
        writer.append(&framed(1)).blocking_recv().unwrap().unwrap();
        let mut answers = Vec::new();
        for i in 10..200 {
            if i % 10 == 0 {
                // The state as of now is what this test has appended last.
                answers.push(writer.rotate(vec![Record::Forget(i)]));
            }
            answers.push(writer.append(&framed(i)));
        }
        for answer in answers {
            answer.blocking_recv().unwrap().unwrap();
        }
        drop(writer);
        let (wal, replay) = Wal::open(dir.path()).unwrap();
        let last = replay.records.last();
        assert_eq!(last, Some(&Record::Forget(199)), "the last append is there");
        let writer = Writer::start(wal).unwrap();
        writer
            .rotate(vec![Record::Forget(500)])
            .blocking_recv()
            .unwrap()
            .unwrap();
        writer
            .append(&framed(501))
            .blocking_recv()
            .unwrap()
            .unwrap();
        drop(writer);
        let (_, replay) = Wal::open(dir.path()).unwrap();
        assert_eq!(replay.records, [Record::Forget(500), Record::Forget(501)]);
    }
}
