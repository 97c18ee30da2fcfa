//! Tells a damaged journal from a torn one before fjall opens it, and cuts a torn end off.
//!
//! fjall 3.1.13 takes whatever does not decode for the torn end of a journal and cuts the file off there, and
//! refuses to open when a batch that decodes differs from its checksum. Neither tells damage from a crash: a
//! flipped bit in a length would cost durable entries without a word, and a value of which the disk lacks a
//! page, in a batch that was never acknowledged, would be the end of the log. What tells them apart:
//!
//! * A journal is a file of zeros that batches are written into, one after the other. What a crash keeps from
//!   the disk is missing by whole sectors, which are zeros still, or it is missing at the end.
//! * Syncing makes everything before durable. So from the first bad batch on either nothing was ever synced,
//!   and all of it may go, or all of that batch was, and it is damaged. Whole batches may follow either way.
//! * The first batch that is written after a sync begins with a *mark*. One behind the bad batch says that
//!   the bad one had been synced. So does the next journal, which is begun after a sync of this one.
//! * Without those, if nothing of the bad batch is missing, no sector and no end, what is bad is damage.
//!
//! What remains: a bit flipped in the last group that was written before a crash, or in its frames, is taken
//! for a torn end when a value in it has a whole sector of zeros. That cannot be told apart here. Sequence
//! numbers, which checksums leave out, are compared.
//!
//! The layout of a batch is fjall's: a start (tag 1, count, sequence number), items (tag 2) or clears (tag
//! 4), an end (tag 3, XXH3-64 of the items, trailer), all numbers little-endian.

use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::xxh3_64;

use super::keys;
use crate::seams::fault::{self, Point};
use crate::{Error, Result};

/// Unit in which a crash loses what was written.
const SECTOR: usize = 512;
const TRAILER: &[u8] = b"FJL\x03";
/// No log gets this far: it would take two thousand years at a million batches a second.
const LARGEST_SEQNO: u64 = 1 << 56;
/// Value types that the log writes: 0 for a value, 1 for a removal.
const REMOVAL: u8 = 1;
/// The log's journals are not compressed.
const UNCOMPRESSED: u8 = 0;
/// Bytes of a start, which are not part of the checksum.
const START: usize = 1 + 4 + 8;
/// Where the key of a mark lies in the batch that it is the first item of: behind the start and the tag, the
/// types, the keyspace and the lengths of the item.
const MARK_AT: usize = START + 3 + 8 + 2 + 4 + 4;

/// The value of a log's marks.
pub(super) type Secret = [u8; 8];

/// What is wrong with a journal, if anything is that no crash explains.
type Judgement = Result<(), String>;

/// What a journal is.
enum Verdict {
    /// All of it can be read.
    Whole,
    /// What lies from this byte on was never durable.
    Torn(usize),
    /// No crash explains it.
    Damaged(String),
}

/// Checks every journal in the folder of a database, which need not exist yet, and cuts a torn end off the
/// newest one.
pub(super) fn repair(folder: &Path) -> Result<()> {
    for (path, bytes, verdict) in judge_all(folder)? {
        match verdict {
            Verdict::Whole => {}
            Verdict::Torn(at) => {
                tracing::info!(path = %path.display(), at, bytes, "cut off the torn end of a journal");
                cut(&path, at as u64)?;
            }
            Verdict::Damaged(detail) => return Err(Error::Corrupt { path, detail }),
        }
    }
    Ok(())
}

/// Judges every journal in the folder of a database, the oldest first: the file, its size, and what is wrong
/// with it, if anything is that no crash explains.
pub(crate) fn examine(folder: &Path) -> Result<Vec<(PathBuf, u64, Judgement)>> {
    let judged = judge_all(folder)?.into_iter().map(|(path, bytes, verdict)| match verdict {
        Verdict::Whole | Verdict::Torn(_) => (path, bytes, Ok(())),
        Verdict::Damaged(detail) => (path, bytes, Err(detail)),
    });
    Ok(judged.collect())
}

/// The system's refusal of what was done with a file of the raft log, such as `reading`.
fn io_error(doing: &str, path: &Path) -> impl Fn(std::io::Error) -> Error {
    move |source| Error::Io { context: format!("{doing} the raft log {}", path.display()), source }
}

fn cut(path: &Path, at: u64) -> Result<()> {
    fault::pass(Point::LogCutBefore)?;
    let file = std::fs::OpenOptions::new().write(true).open(path);
    let file = file.map_err(io_error("opening for writing", path))?;
    file.set_len(at).map_err(io_error("cutting the torn end off", path))?;
    fault::pass(Point::LogCutAfter)?;
    file.sync_all().map_err(io_error("syncing", path))
}

/// The journals of a database, the oldest first.
pub(super) fn journals(folder: &Path) -> Result<Vec<PathBuf>> {
    let files = match std::fs::read_dir(folder) {
        Ok(files) => files,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(io_error("listing", folder)(error)),
    };
    let mut found = Vec::new();
    for file in files {
        let path = file.map_err(io_error("listing", folder))?.path();
        if path.extension().is_some_and(|extension| extension == "jnl") {
            found.push(path);
        }
    }
    let number = |path: &PathBuf| path.file_stem().and_then(|stem| stem.to_str()?.parse::<u64>().ok());
    found.sort_by_key(number);
    Ok(found)
}

fn judge_all(folder: &Path) -> Result<Vec<(PathBuf, u64, Verdict)>> {
    let paths = journals(folder)?;
    let last = paths.len().saturating_sub(1);
    let mut secret = None;
    let judged = paths.into_iter().enumerate().map(|(number, path)| {
        let bytes = std::fs::read(&path).map_err(io_error("reading", &path))?;
        let verdict = judge(&bytes, number < last, &mut secret);
        Ok((path, bytes.len() as u64, verdict))
    });
    judged.collect()
}

/// Judges one journal. A `sealed` one has a successor. `secret` is the value of the newest mark so far.
fn judge(bytes: &[u8], sealed: bool, secret: &mut Option<Secret>) -> Verdict {
    let (mut valid, mut newest) = (0, None);
    let bad = loop {
        let Some(batch) = bytes.get(valid..).and_then(batch) else { break None };
        let Batch { seqno, .. } = batch;
        if !batch.has_its_checksum {
            break Some(batch);
        }
        if newest.is_some_and(|newest| newest >= seqno) {
            return Verdict::Damaged(format!(
                "expected a batch newer than {newest:?} at byte {valid}, found {seqno}"
            ));
        }
        if seqno > LARGEST_SEQNO {
            return Verdict::Damaged(format!(
                "expected a sequence number of at most {LARGEST_SEQNO} at byte {valid}, found {seqno}"
            ));
        }
        newest = Some(seqno);
        *secret = batch.mark.or(*secret);
        valid += batch.length;
    };
    let used = used(bytes);
    let Some(rest) = bytes.get(valid..used).filter(|rest| !rest.is_empty()) else { return Verdict::Whole };
    let damaged = |because: &str| {
        Verdict::Damaged(format!("expected a batch at byte {valid}, found something else, and {because}"))
    };
    if sealed {
        return damaged("the journal was complete before the next one was begun");
    }
    if is_marked_behind(rest, *secret) {
        return damaged("what was written behind it says that it was complete");
    }
    let lacks_its_end = bad.is_none() && !ends_like_a_batch(rest);
    let own = bad.map_or(rest, |batch| rest.get(..batch.length).unwrap_or(rest));
    if lacks_its_end || lacks_a_sector(own, valid) {
        return Verdict::Torn(valid);
    }
    damaged(&format!("nothing up to byte {} is missing", valid + own.len()))
}

/// Bytes up to the last one that is not zero.
pub(super) fn used(bytes: &[u8]) -> usize {
    let zeros = bytes.rchunks(SECTOR).take_while(|sector| is_zeros(sector)).map(<[u8]>::len).sum::<usize>();
    let written = &bytes[..bytes.len() - zeros];
    written.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
}

/// Whether all bytes are zero; compares whole sectors, because a journal is mostly that.
pub(super) fn is_zeros(bytes: &[u8]) -> bool {
    bytes.chunks(SECTOR).all(|sector| *sector == [0; SECTOR][..sector.len()])
}

/// Whether a batch behind the one that `rest` begins with carries a mark.
fn is_marked_behind(rest: &[u8], secret: Option<Secret>) -> bool {
    let mut marks = keys::SYNCED.to_vec();
    marks.extend(secret.or_else(|| mark(rest)).into_iter().flatten());
    rest.get(MARK_AT + 1..).is_some_and(|behind| behind.windows(marks.len()).any(|bytes| bytes == marks))
}

/// Whether a sector of what was written at `offset` was not: it is zeros still.
fn lacks_a_sector(written: &[u8], offset: usize) -> bool {
    let (first, others) = written.split_at((SECTOR - offset % SECTOR).min(written.len()));
    std::iter::once(first).chain(others.chunks(SECTOR)).any(is_zeros)
}

/// Writes zeros, which a journal consists of before anything is written into it, over the second half of the
/// newest batch.
#[cfg(feature = "fault-points")]
pub(super) fn tear(folder: &Path) -> Result<()> {
    use std::os::unix::fs::FileExt;

    let missing = || Error::Internal("there is no batch that could be torn".to_owned());
    let path = journals(folder)?.pop().ok_or_else(missing)?;
    let bytes = std::fs::read(&path).map_err(io_error("reading", &path))?;
    let (mut start, mut end) = (0, 0);
    while let Some(Batch { length, .. }) = bytes.get(end..).and_then(batch) {
        (start, end) = (end, end + length);
    }
    let middle = start + (end - start) / 2;
    if middle == end {
        return Err(missing());
    }
    let file = std::fs::OpenOptions::new().write(true).open(&path);
    let file = file.map_err(io_error("opening for writing", &path))?;
    file.write_all_at(&vec![0; end - middle], middle as u64).map_err(io_error("tearing", &path))
}

/// Whether the last bytes are a trailer, of which one bit may have been flipped.
fn ends_like_a_batch(bytes: &[u8]) -> bool {
    let end = bytes.last_chunk::<{ TRAILER.len() }>();
    end.is_some_and(|end| end.iter().zip(TRAILER).map(|(a, b)| (a ^ b).count_ones()).sum::<u32>() <= 1)
}

/// A batch whose structure is complete.
struct Batch {
    seqno: u64,
    length: usize,
    has_its_checksum: bool,
    /// The value of the mark that it begins with.
    mark: Option<Secret>,
}

/// The batch that `bytes` begin with.
fn batch(bytes: &[u8]) -> Option<Batch> {
    let mut reader = Reader { rest: bytes };
    if reader.u8()? != 1 {
        return None;
    }
    let count = reader.u32()?;
    let seqno = reader.u64()?;
    for _ in 0..count {
        match reader.u8()? {
            2 => {
                let value_type = reader.u8()?;
                let compression = reader.u8()?;
                let _keyspace = reader.u64()?;
                let key = reader.u16()?;
                let length = reader.u32()?;
                let stored = reader.u32()?;
                if value_type > REMOVAL || compression != UNCOMPRESSED || length != stored {
                    return None;
                }
                reader.skip(usize::from(key) + stored as usize)?;
            }
            4 => reader.skip(8)?,
            _ => return None,
        }
    }
    let items = bytes.get(START..bytes.len() - reader.rest.len())?;
    if reader.u8()? != 3 {
        return None;
    }
    let checksum = reader.u64()?;
    if reader.take::<4>()? != TRAILER {
        return None;
    }
    let has_its_checksum = checksum == xxh3_64(items);
    Some(Batch { seqno, length: bytes.len() - reader.rest.len(), has_its_checksum, mark: mark(bytes) })
}

/// The value of the mark that a batch begins with.
fn mark(batch: &[u8]) -> Option<Secret> {
    batch.get(MARK_AT..)?.strip_prefix(&keys::SYNCED)?.first_chunk().copied()
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.rest.split_first_chunk::<N>()?;
        self.rest = rest;
        Some(*head)
    }

    fn skip(&mut self, bytes: usize) -> Option<()> {
        self.rest = self.rest.get(bytes..)?;
        Some(())
    }

    fn u8(&mut self) -> Option<u8> {
        self.take::<1>().map(|[byte]| byte)
    }

    fn u16(&mut self) -> Option<u16> {
        self.take().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }
}
