//! Whether a shortcut is still true, and the way along it.

use std::ops::Range;

use tsdb_format::FormatError;
use tsdb_format::wal::page::SegmentReader;

use super::super::chunk_files::ChunkFiles;
use super::super::series::OpenState;
use super::file::{Facts, open_chunks, parse, sum_of_tail};
use super::path_in;
use crate::fs::{FileSystem, Mapping};
use crate::wal::{Damage, KnownSegment, KnownSegments, PageMarks, Place, Segment};

/// A shortcut that can be taken.
pub struct Shortcut {
    file: Mapping,
    chunks: Range<usize>,
    /// From here on the log has to be read.
    pub from: Place,
    /// The segments before, the one of `from` up to there.
    old: Vec<Old>,
}

struct Old {
    segment: Segment,
    data: Mapping,
    bytes: usize,
    marks: PageMarks,
}

/// What a shortcut has to agree with.
pub struct Found<'a> {
    /// The full chunks, `None` where they were damaged.
    pub files: Option<&'a ChunkFiles>,
    pub min_valid_ms: i64,
    pub checkpoint: Option<u64>,
    /// The log, without segments whose late samples are still to be looked for.
    pub segments: &'a [Segment],
}

impl Shortcut {
    /// The shortcut of a data folder, if there is one.
    ///
    /// # Errors
    /// Why it is not to be trusted.
    pub fn find(
        fs: &dyn FileSystem,
        dir: &std::path::Path,
        found: &Found<'_>,
    ) -> Result<Option<Shortcut>, String> {
        let path = path_in(dir);
        if !fs.exists(&path) {
            return Ok(None);
        }
        let file = fs.map(&path).map_err(|error| error.to_string())?;
        let (facts, chunks) = parse(&file).map_err(|error| error.to_string())?;
        check_surroundings(&facts, found)?;
        let old = check_segments(fs, &facts, found.segments)?;
        // Nothing is learned of open chunks before they are needed, but they must be there then.
        if let Some(Err(error)) = open_chunks(&file[chunks.clone()]).find(Result::is_err) {
            return Err(error.to_string());
        }
        Ok(Some(Shortcut {
            file,
            chunks,
            from: facts.from,
            old,
        }))
    }

    /// The open chunks by the numbers that the log has for their series.
    pub fn open_chunks(&self) -> impl Iterator<Item = (u32, OpenState<'_>)> {
        // They were all read once.
        open_chunks(&self.file[self.chunks.clone()]).filter_map(Result::ok)
    }

    /// Bytes of its file.
    pub fn bytes(&self) -> u64 {
        self.file.len() as u64
    }

    /// Hands the records of the `wanted` types, none of them samples, to `take`: those before
    /// [`Shortcut::from`], in order; `begin` is told of every segment.
    ///
    /// # Errors
    /// The segment and what is wrong with it, if `take` does not understand what it has.
    pub fn records(
        &self,
        wanted: &[u8],
        mut begin: impl FnMut(u64),
        mut take: impl FnMut(&[u8]) -> Result<(), FormatError>,
    ) -> Result<(), (Segment, Damage)> {
        for old in &self.old {
            begin(old.segment.number);
            let data = &old.data[..old.bytes];
            walk(data, &old.marks, |reader, first, start| {
                if first.is_none_or(|first| !wanted.contains(&first)) {
                    return Ok(());
                }
                match reader.record_at(start)? {
                    Some(record) => take(record),
                    None => Ok(()),
                }
            })
            .map_err(|damage| (old.segment.clone(), damage))?;
        }
        Ok(())
    }

    /// What is known of the segments that need not be read at all.
    pub fn known(&self) -> KnownSegments {
        let known = self.old.iter().map(|old| {
            let known = KnownSegment {
                bytes: old.bytes as u64,
                marks: old.marks.clone(),
            };
            (old.segment.number, known)
        });
        known.collect()
    }

    /// Bytes of the log that need not be read, other than the marked pages.
    pub fn skipped_bytes(&self) -> u64 {
        let skipped = self.old.iter().map(|old| {
            let marked: u64 = old.marks.runs().map(|run| run.end - run.start).sum();
            (old.bytes as u64).saturating_sub(marked)
        });
        skipped.sum()
    }
}

fn check_surroundings(facts: &Facts, found: &Found<'_>) -> Result<(), String> {
    let Some(files) = found.files else {
        return Err("head chunks were damaged".to_owned());
    };
    if found.min_valid_ms < facts.min_valid_ms {
        return Err("blocks are missing".to_owned());
    }
    if found.checkpoint != facts.checkpoint {
        return Err("there is another checkpoint".to_owned());
    }
    if files.first_number() < facts.chunk_files.first().map(|(number, ..)| *number) {
        return Err("there are older head chunks".to_owned());
    }
    for (number, bytes, sum) in &facts.chunk_files {
        if files.with_file(*number, *bytes, sum_of_tail) != Some(*sum) {
            return Err(format!(
                "head chunk file {number} is another one, or too short"
            ));
        }
    }
    Ok(())
}

fn check_segments(
    fs: &dyn FileSystem,
    facts: &Facts,
    segments: &[Segment],
) -> Result<Vec<Old>, String> {
    if facts.segments.len() > segments.len() {
        return Err("segments are missing".to_owned());
    }
    let mut old = Vec::new();
    let last = facts.segments.last().map(|segment| segment.number);
    if last.is_none_or(|last| last < facts.from.segment) {
        return Err("the log does not go so far".to_owned());
    }
    for (known, segment) in facts.segments.iter().zip(segments) {
        let number = segment.number;
        let other = || format!("segment {number} is another one");
        if known.number != number {
            return Err(other());
        }
        let data = fs.map(&segment.path).map_err(|error| error.to_string())?;
        let bytes = usize::try_from(known.bytes).map_err(|_| other())?;
        let covered = data.get(..bytes).ok_or_else(other)?;
        let grown = data.len() > bytes && Some(number) != last;
        if grown || sum_of_tail(covered) != known.sum {
            return Err(other());
        }
        if number > facts.from.segment {
            continue;
        }
        let bytes = match number == facts.from.segment {
            true => usize::try_from(facts.from.offset).map_err(|_| other())?,
            false => bytes,
        };
        let covered = covered.get(..bytes).ok_or_else(other)?;
        walk(covered, &known.marks, |_, _, _| Ok(())).map_err(|damage| damage.error.to_string())?;
        old.push(Old {
            segment: segment.clone(),
            data: data.clone(),
            bytes,
            marks: known.marks.clone(),
        });
    }
    match old.last() {
        Some(last) if last.segment.number == facts.from.segment => Ok(old),
        _ => Err("the log does not go so far".to_owned()),
    }
}

/// Steps through the records that start in marked pages.
fn walk(
    data: &[u8],
    marks: &PageMarks,
    mut visit: impl FnMut(&mut SegmentReader<'_>, Option<u8>, usize) -> Result<(), FormatError>,
) -> Result<(), Damage> {
    let mut reader = SegmentReader::new(data);
    let at = |valid_to: usize| {
        move |error| Damage {
            valid_to: valid_to as u64,
            error,
        }
    };
    for run in marks.runs() {
        let (start, end) = (run.start as usize, run.end as usize);
        // The record before may reach into the run.
        if reader.position() <= start {
            reader.seek_page(start).map_err(at(start))?;
        }
        while reader.position() < end {
            let before = reader.position();
            match reader.checked_step().map_err(at(before))? {
                Some(step) if step.start < end => {
                    visit(&mut reader, step.first, step.start).map_err(at(before))?;
                }
                _ => break,
            }
        }
    }
    Ok(())
}
