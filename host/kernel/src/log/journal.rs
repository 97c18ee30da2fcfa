//! Tells a damaged journal from a torn one before fjall opens it.
//!
//! fjall 3.1.13 takes whatever does not decode for the torn end of a journal and cuts the file off there. A
//! crash does leave such an end. But a flipped bit in a tag or a length looks the same to it, and then
//! durable entries would go without a word. What tells them apart:
//!
//! * A journal is a file of zeros that batches are written into, one after the other. What a crash keeps from
//!   the disk is missing by whole sectors, which are zeros still, or it is missing at the end.
//! * So if everything from the first bad byte to the last byte that is not zero was written (no sector of it
//!   is zeros) and it ends the way a batch ends, nothing is missing, and what is bad is damage.
//!
//! A damaged batch with a whole sector of zeros in a value behind it is still taken for a torn one: that
//! cannot be told apart here. Wrong values are found by fjall's own checksums; the sequence numbers of the
//! batches, which those leave out, are compared here.
//!
//! Only reads. The layout of a batch is fjall's: a start (tag 1, count, sequence number), items (tag 2) or
//! clears (tag 4), an end (tag 3, checksum, trailer), all numbers little-endian.

use std::path::{Path, PathBuf};

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

/// What is wrong with a journal, if anything is that no crash explains.
type Judgement = Result<(), String>;

/// Checks every journal in the folder of a database; a folder that does not exist yet has none.
pub(super) fn check(folder: &Path) -> Result<()> {
    for path in journals(folder)? {
        if let (_, Err(detail)) = read(&path)? {
            return Err(Error::Corrupt { path, detail });
        }
    }
    Ok(())
}

/// Judges every journal in the folder of a database, by name: the file, its size, the judgement.
pub(crate) fn examine(folder: &Path) -> Result<Vec<(PathBuf, u64, Judgement)>> {
    let mut paths = journals(folder)?;
    paths.sort();
    let judged = paths.into_iter().map(|path| {
        let (bytes, judgement) = read(&path)?;
        Ok((path, bytes, judgement))
    });
    judged.collect()
}

fn io_error(path: &Path) -> impl Fn(std::io::Error) -> Error {
    move |source| Error::Io { context: format!("reading the raft log {}", path.display()), source }
}

fn journals(folder: &Path) -> Result<Vec<PathBuf>> {
    let files = match std::fs::read_dir(folder) {
        Ok(files) => files,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(io_error(folder)(error)),
    };
    let mut found = Vec::new();
    for file in files {
        let path = file.map_err(io_error(folder))?.path();
        if path.extension().is_some_and(|extension| extension == "jnl") {
            found.push(path);
        }
    }
    Ok(found)
}

fn read(path: &Path) -> Result<(u64, Judgement)> {
    let bytes = std::fs::read(path).map_err(io_error(path))?;
    Ok((bytes.len() as u64, judge(&bytes)))
}

fn judge(bytes: &[u8]) -> Judgement {
    let mut valid = 0;
    let mut newest = None;
    while let Some((seqno, end)) = bytes.get(valid..).and_then(batch) {
        if newest.is_some_and(|newest| newest >= seqno) {
            return Err(format!("expected a batch newer than {newest:?} at byte {valid}, found {seqno}"));
        }
        if seqno > LARGEST_SEQNO {
            return Err(format!(
                "expected a sequence number of at most {LARGEST_SEQNO} at byte {valid}, found {seqno}"
            ));
        }
        newest = Some(seqno);
        valid += end;
    }
    let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let Some(rest) = bytes.get(valid..used).filter(|rest| !rest.is_empty()) else { return Ok(()) };
    let to_boundary = (SECTOR - valid % SECTOR).min(rest.len());
    let (first, others) = rest.split_at(to_boundary);
    let torn =
        std::iter::once(first).chain(others.chunks(SECTOR)).any(|part| part.iter().all(|byte| *byte == 0));
    if torn || !ends_like_a_batch(rest) {
        return Ok(());
    }
    Err(format!(
        "expected a batch at byte {valid}, found something else before complete batches up to {used}"
    ))
}

/// Writes zeros, which a journal consists of before anything is written into it, over the second half of the
/// newest batch.
#[cfg(feature = "fault-points")]
pub(super) fn tear(folder: &Path) -> Result<()> {
    use std::os::unix::fs::FileExt;

    let number = |path: &PathBuf| path.file_stem()?.to_str()?.parse::<u64>().ok();
    let missing = || Error::Internal("there is no batch that could be torn".to_owned());
    let path = journals(folder)?.into_iter().max_by_key(number).ok_or_else(missing)?;
    let bytes = std::fs::read(&path).map_err(io_error(&path))?;
    let (mut start, mut end) = (0, 0);
    while let Some((_, length)) = bytes.get(end..).and_then(batch) {
        (start, end) = (end, end + length);
    }
    let middle = start + (end - start) / 2;
    if middle == end {
        return Err(missing());
    }
    let file = std::fs::OpenOptions::new().write(true).open(&path).map_err(io_error(&path))?;
    file.write_all_at(&vec![0; end - middle], middle as u64).map_err(io_error(&path))
}

/// Whether the last bytes are a trailer, of which one bit may have been flipped.
fn ends_like_a_batch(bytes: &[u8]) -> bool {
    let end = bytes.last_chunk::<{ TRAILER.len() }>();
    end.is_some_and(|end| end.iter().zip(TRAILER).map(|(a, b)| (a ^ b).count_ones()).sum::<u32>() <= 1)
}

/// Sequence number and length of the complete batch that `bytes` begin with.
fn batch(bytes: &[u8]) -> Option<(u64, usize)> {
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
    if reader.u8()? != 3 {
        return None;
    }
    // The checksum is fjall's to compare.
    reader.skip(8)?;
    (reader.take::<4>()? == TRAILER).then(|| (seqno, bytes.len() - reader.rest.len()))
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
