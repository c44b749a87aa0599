//! Appending to the log.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tsdb_format::wal::page::{Compression, Compressor, HEADER_BYTES, PAGE_BYTES, PageWriter};

use super::{KnownSegment, KnownSegments, PageMarks, segment_path, segments};
use crate::fs::{File, FileSystem};

/// What a writer counts.
#[derive(Clone)]
pub struct WriterMetrics {
    pub page_flushes: telemetry::Counter,
    pub fsync_seconds: telemetry::Summary,
    pub writes_failed: telemetry::Counter,
    pub truncations_failed: telemetry::Counter,
    pub truncations: telemetry::Counter,
    pub completed_pages: telemetry::Counter,
    pub record_parts: telemetry::Counter,
    pub record_bytes: telemetry::Counter,
    pub segment: telemetry::Gauge,
}

/// The writer of a log: it owns the pages of the current segment.
///
/// What [`Writer::log`] has returned for is with the kernel and survives the death of the process.
/// A failed write is cut off again before the next one, so that a full disk leaves no torn record
/// in the middle of a segment.
pub struct Writer {
    fs: Arc<dyn FileSystem>,
    dir: PathBuf,
    segment_bytes: u64,
    compressor: Compressor,
    file: Box<dyn File>,
    number: u64,
    pages: PageWriter,
    /// The length to which the current segment has to be cut before it can be appended to.
    cut_to: Option<u64>,
    buffer: Vec<u8>,
    metrics: Option<WriterMetrics>,
    /// Of the current segment. What a failed write would have had stays marked.
    marks: PageMarks,
    /// The segments before it.
    known: KnownSegments,
}

impl Writer {
    /// Starts a new segment behind those there are; the folder is created.
    ///
    /// # Errors
    /// A folder or file that cannot be created.
    pub fn open(
        fs: Arc<dyn FileSystem>,
        dir: &Path,
        segment_bytes: u64,
        compression: Compression,
        metrics: Option<WriterMetrics>,
    ) -> io::Result<Writer> {
        fs.create_dir_all(dir)?;
        let number = segments(&*fs, dir)?.last().map_or(0, |s| s.number + 1);
        Writer::start(fs, dir, number, segment_bytes, compression, metrics)
    }

    /// Starts segment `number`.
    ///
    /// # Errors
    /// A file that cannot be created.
    pub fn start(
        fs: Arc<dyn FileSystem>,
        dir: &Path,
        number: u64,
        segment_bytes: u64,
        compression: Compression,
        metrics: Option<WriterMetrics>,
    ) -> io::Result<Writer> {
        let file = fs.create(&segment_path(dir, number))?;
        if let Some(metrics) = &metrics {
            metrics.segment.set(number as f64);
        }
        Ok(Writer {
            fs,
            dir: dir.to_owned(),
            segment_bytes,
            compressor: Compressor::new(compression),
            file,
            number,
            pages: PageWriter::new(0),
            cut_to: None,
            buffer: Vec::new(),
            metrics,
            marks: PageMarks::default(),
            known: KnownSegments::new(),
        })
    }

    /// The number of the current segment.
    pub fn segment(&self) -> u64 {
        self.number
    }

    /// Where the next record goes in the current segment.
    pub fn position(&self) -> u64 {
        self.pages.position()
    }

    /// Takes over what a reader found out about segments that were there before.
    pub fn adopt(&mut self, known: KnownSegments) {
        self.known.extend(known);
    }

    /// What is known of the segments, up to [`Writer::position`] in the current one.
    pub fn known(&self) -> KnownSegments {
        let mut known = self.known.clone();
        let current = KnownSegment {
            bytes: self.position(),
            marks: self.marks.clone(),
        };
        known.insert(self.number, current);
        known
    }

    /// Forgets the segments before `first`.
    pub fn forget_before(&mut self, first: u64) {
        self.known = self.known.split_off(&first);
    }

    /// Appends records, all with one write where they fit the segment.
    ///
    /// # Errors
    /// The write that failed. The log is then as before, except that records which filled an
    /// earlier segment may stay.
    pub fn log<'a>(&mut self, records: impl IntoIterator<Item = &'a [u8]>) -> io::Result<()> {
        let result = self.try_log(records);
        if let (Err(_), Some(metrics)) = (&result, &self.metrics) {
            metrics.writes_failed.inc();
        }
        result
    }

    fn try_log<'a>(&mut self, records: impl IntoIterator<Item = &'a [u8]>) -> io::Result<()> {
        self.mend()?;
        self.buffer.clear();
        let mut written = self.pages.position();
        for record in records.into_iter().filter(|record| !record.is_empty()) {
            let (stored, compression) = self.compressor.compress(record);
            let stored_len = stored.len();
            let first = record.first().copied();
            let start;
            let parts = if written + self.buffer.len() as u64 > 0
                && !self.pages.fits(stored.len(), self.segment_bytes)
            {
                // The compressor owns the stored bytes and the cut needs all of self.
                let stored = stored.to_vec();
                self.write_buffer(written)?;
                self.cut()?;
                written = 0;
                start = 0;
                self.pages.write(&stored, compression, &mut self.buffer)
            } else {
                start = self.pages.position();
                self.pages.write(stored, compression, &mut self.buffer)
            };
            self.marks.note(first, start, self.pages.position());
            if let Some(metrics) = &self.metrics {
                metrics.record_parts.add(parts);
                let bytes = stored_len as u64 + parts * HEADER_BYTES as u64;
                metrics.record_bytes.add(bytes);
            }
        }
        self.write_buffer(written)
    }

    /// Cuts off what a failed write left.
    fn mend(&mut self) -> io::Result<()> {
        if let Some(len) = self.cut_to {
            self.file.set_len(len)?;
            self.cut_to = None;
        }
        Ok(())
    }

    fn write_buffer(&mut self, at: u64) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let result = self.file.write_at(at, &self.buffer);
        let page = PAGE_BYTES as u64;
        let pages = (at + self.buffer.len() as u64) / page - at / page;
        self.buffer.clear();
        if self.buffer.capacity() > 4 << 20 {
            self.buffer = Vec::new();
        }
        match result {
            Ok(()) => {
                if let Some(metrics) = &self.metrics {
                    metrics.page_flushes.inc();
                    metrics.completed_pages.add(pages);
                }
                Ok(())
            }
            Err(error) => {
                self.pages = PageWriter::new(at);
                self.cut_to = Some(at);
                // It may well work at once; if not, the next record tries again.
                let _ = self.mend();
                Err(error)
            }
        }
    }

    /// Ends the current segment and starts the next one.
    ///
    /// # Errors
    /// A file that cannot be written or created; the current segment then goes on.
    pub fn cut(&mut self) -> io::Result<()> {
        self.mend()?;
        let at = self.pages.position();
        self.buffer.clear();
        self.pages.fill_page(&mut self.buffer);
        self.write_buffer(at)?;
        self.sync()?;
        let file = self.fs.create(&segment_path(&self.dir, self.number + 1))?;
        let full = KnownSegment {
            bytes: self.pages.position(),
            marks: std::mem::take(&mut self.marks),
        };
        self.known.insert(self.number, full);
        self.file = file;
        self.number += 1;
        self.pages = PageWriter::new(0);
        if let Some(metrics) = &self.metrics {
            metrics.segment.set(self.number as f64);
        }
        Ok(())
    }

    /// Forces the current segment to the disk.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn sync(&mut self) -> io::Result<()> {
        let start = std::time::Instant::now();
        let result = self.file.sync();
        if let Some(metrics) = &self.metrics {
            metrics.fsync_seconds.observe_duration(start.elapsed());
        }
        result
    }
}
