//! The first phase: all rows of the present store, as of one moment, into a new one.
//!
//! Rows are read, converted and written a portion at a time, past the block cache and the memtables, so that
//! memory is bounded by a few portions and by what the writer of one table needs. Between portions a copy
//! looks whether it is cancelled, keeps to its rate, and asks for free disk space.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::Instant;

use super::pace::Pace;
use super::site::Site;
use super::{Phase, Progress, RebuildOptions};
use crate::raft::LogHold;
use crate::seams::fault::{Point, pass};
use crate::store::{PinnedContent, PinnedRows, Row, RowSum, Store, Transform, convert};
use crate::{Error, Result};

/// Rows that are read, and converted, at a time.
const PORTION_ROWS: usize = 512;
/// Bytes of rows from which a portion is complete.
const PORTION_BYTES: u64 = 256 * 1024;
/// Bytes copied between two questions for free disk space, and what must be free each time.
const ROOM_BYTES: u64 = 16 * 1024 * 1024;

/// What the first phase works with.
pub(super) struct Copy {
    pub(super) site: Arc<dyn Site>,
    pub(super) options: RebuildOptions,
    pub(super) pace: Pace,
    pub(super) progress: watch::Sender<Progress>,
}

impl Copy {
    /// Copies everything into `target`, which is empty, and moves the hold to the position copied.
    pub(super) fn run(mut self, target: &Store, hold: &LogHold) -> Result<Filled> {
        let source = self.site.store().keep();
        let mut pinned = source.pin()?;
        hold.advance(pinned.position.clone());
        self.progress.send_modify(|progress| {
            progress.phase = Phase::Copying;
            progress.records_estimate = pinned.rows_estimate;
            progress.bytes_estimate = pinned.bytes_estimate;
        });
        let transform = self.options.transform.clone();
        if let Some(transform) = &transform {
            transform.applies_to(source.coder())?;
        }
        let content = pinned.take_content();
        let in_order = transform.as_ref().is_none_or(|transform| transform.keeps_order());
        let mut rows = Portions::new(&mut self, pinned, transform.clone());
        let loaded = target.load(in_order, &mut rows)?;
        let read = rows.records;
        if read != loaded.rows {
            return Err(Error::Internal(format!("{read} rows were read and {} were written", loaded.rows)));
        }
        if let Some(transform) = transform {
            transform.finish()?;
        }
        let keeps_content = self.options.transform.as_ref().is_some_and(|it| it.keeps_content());
        Ok(Filled { sum: loaded, in_order, content: content.filter(|_| keeps_content), pace: self.pace })
    }
}

/// The rows of a pinned store, converted, a portion at a time.
struct Portions<'a> {
    copy: &'a mut Copy,
    pinned: PinnedRows,
    transform: Option<Arc<dyn Transform>>,
    portion: std::vec::IntoIter<Row>,
    records: u64,
    bytes: u64,
    /// Bytes at which free disk space is asked for again.
    ask_at: u64,
    started: Instant,
}

impl<'a> Portions<'a> {
    fn new(copy: &'a mut Copy, pinned: PinnedRows, transform: Option<Arc<dyn Transform>>) -> Self {
        let portion = Vec::new().into_iter();
        Self { copy, pinned, transform, portion, records: 0, bytes: 0, ask_at: 0, started: Instant::now() }
    }

    fn next_portion(&mut self) -> Result<Vec<Row>> {
        let (mut portion, mut bytes) = (Vec::with_capacity(PORTION_ROWS), 0);
        while portion.len() < PORTION_ROWS
            && bytes < PORTION_BYTES
            && let Some(row) = self.pinned.next().transpose()?
        {
            bytes += (row.0.len() + row.1.len()) as u64;
            portion.push(row);
        }
        if portion.is_empty() {
            return Ok(portion);
        }
        pass(Point::RebuildCopyMiddle)?;
        self.copy.pace.spend(bytes)?;
        self.records += portion.len() as u64;
        self.bytes += bytes;
        if self.bytes >= self.ask_at {
            self.copy.site.check_room(ROOM_BYTES)?;
            self.ask_at = self.bytes + ROOM_BYTES;
        }
        self.report();
        match &self.transform {
            Some(transform) => match convert(portion.clone(), &**transform) {
                Err(refused @ Error::Refused { .. }) => {
                    let transform = Arc::clone(transform);
                    Err(self.survey(&*transform, portion).err().unwrap_or(refused))
                }
                converted => converted,
            },
            None => Ok(portion),
        }
    }

    /// Counts what is refused from this portion on.
    fn survey(&mut self, transform: &dyn Transform, portion: Vec<Row>) -> Result<()> {
        let Self { copy, pinned, .. } = self;
        let mut rows = portion.into_iter().map(Ok).chain(pinned);
        let survey = transform.survey(&mut rows, &mut |bytes| copy.pace.spend(bytes))?;
        survey.check(&transform.format())
    }

    fn report(&self) {
        let (records, bytes) = (self.records, self.bytes);
        self.copy.progress.send_modify(|progress| {
            progress.records = records;
            progress.bytes = bytes;
            let left = progress.records_estimate.saturating_sub(records);
            #[expect(clippy::cast_precision_loss, reason = "an estimate")]
            let share = left as f64 / records as f64;
            progress.remaining = Some(self.started.elapsed().mul_f64(share));
            // Tables may be compressed, so what is left is taken to weigh what was read, row by row.
            let to_come = u128::from(bytes) * u128::from(left) / u128::from(records.max(1));
            progress.bytes_estimate = bytes.saturating_add(u64::try_from(to_come).unwrap_or(u64::MAX));
        });
    }
}

impl Iterator for Portions<'_> {
    type Item = Result<Row>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(row) = self.portion.next() {
            return Some(Ok(row));
        }
        match self.next_portion() {
            Ok(portion) => {
                self.portion = portion.into_iter();
                self.portion.next().map(Ok)
            }
            Err(error) => Some(Err(error)),
        }
    }
}

/// What was copied.
pub(super) struct Filled {
    pub(super) sum: RowSum,
    /// Whether the rows came in the order of their keys.
    pub(super) in_order: bool,
    /// What users see in the store that was copied, where a conversion is to keep it.
    pub(super) content: Option<PinnedContent>,
    pub(super) pace: Pace,
}

/// Compares what users see, whatever the format.
pub(super) fn verify_content(source: PinnedContent, copied: &Store, pace: &mut Pace) -> Result<()> {
    let Some(content) = copied.pin()?.take_content() else { return Ok(()) };
    let expected = source.hash(&mut |bytes| pace.spend(bytes))?;
    let found = content.hash(&mut |bytes| pace.spend(bytes))?;
    if expected == found {
        return Ok(());
    }
    Err(Error::Internal(format!("the content of the conversion was to be {expected:?}, it is {found:?}")))
}

/// Reads everything back and compares.
pub(super) fn verify(copied: &Store, expected: RowSum, pace: &mut Pace) -> Result<()> {
    let found = count(copied, pace)?;
    same_count(expected, found.rows)?;
    if expected == found {
        return Ok(());
    }
    Err(Error::Internal("what was copied and what is read back differ in content".into()))
}

/// Reads everything back.
fn count(copied: &Store, pace: &mut Pace) -> Result<RowSum> {
    let (mut found, mut unpaid) = (RowSum::default(), 0);
    for row in copied.pin()? {
        let row = row?;
        found.add(&row);
        unpaid += (row.0.len() + row.1.len()) as u64;
        if unpaid >= PORTION_BYTES {
            pass(Point::RebuildVerifyMiddle)?;
            pace.spend(std::mem::take(&mut unpaid))?;
        }
    }
    pass(Point::RebuildVerifyMiddle)?;
    pace.spend(0)?;
    Ok(found)
}

/// Compares the number of rows. Rows that came in order were refused where two had one key, so their tables
/// tell it. Rows that came in another order lie in many tables, and a key may be in several; then all are
/// read, because of two rows with one key only one is left to be found.
pub(super) fn verify_count(copied: &Store, expected: RowSum, in_order: bool, pace: &mut Pace) -> Result<()> {
    if !in_order {
        return count(copied, pace).and_then(|found| same_count(expected, found.rows));
    }
    same_count(expected, copied.rows_in_tables())
}

fn same_count(expected: RowSum, found: u64) -> Result<()> {
    if expected.rows == found {
        return Ok(());
    }
    let expected = expected.rows;
    let detail = format!("{expected} rows were written to the new generation, {found} are found there");
    Err(Error::Internal(detail))
}
