//! What applying a command takes in memory, before it is proposed.
//!
//! A log entry takes effect as a whole, so that everything it changes is in memory at once: staged first,
//! then in the memtable. A few bytes of a request can move much: the rows of a range that is deleted go to
//! the history column with their values. This is counted where the command can still be refused. Apply itself
//! refuses nothing for its weight: what it would have to count depends on the format, and a replay, perhaps
//! into another format, must come to the end that was acknowledged.

use super::columns::Span;
use super::handle::Store;
use super::reading::Wanted;
use super::scan;
use super::source::Source;
use crate::Result;
use crate::kv::{Command, DeleteRangeRequest, Op, PutRequest, TxnRequest};

/// What a row takes beside its bytes: nodes and allocations of its four entries, measured with
/// `examples/delete_memory.rs`.
const ROW_BYTES: u64 = 640;

/// The share of one of those entries.
const CHANGE_BYTES: u64 = ROW_BYTES / 4;

/// What an entry of the log weighed that made so many changes of so many bytes of keys and values.
pub(super) fn of_entry(changes: usize, written: u64) -> u64 {
    written + CHANGE_BYTES * changes as u64
}

/// Counts until more than `most` is found, or until nobody wants to know.
pub(super) struct Scale<'a> {
    pub(super) store: &'a Store,
    pub(super) most: u64,
    pub(super) wanted: &'a Wanted,
}

impl Scale<'_> {
    /// About the bytes that a command in stored form would stage; above `most`, something above `most`.
    pub(super) fn weigh(&self, command: &Command) -> Result<u64> {
        match command {
            Command::Put(put) => self.put(put, self.most),
            Command::DeleteRange(delete) => self.delete(delete, self.most),
            Command::Txn(txn) => self.txn(txn, self.most),
            Command::Compact { .. } => Ok(0),
        }
    }

    /// The heavier branch counts; which one runs is decided when it is applied.
    fn txn(&self, txn: &TxnRequest, left: u64) -> Result<u64> {
        Ok(self.ops(&txn.success, left)?.max(self.ops(&txn.failure, left)?))
    }

    fn ops(&self, ops: &[Op], most: u64) -> Result<u64> {
        let mut total = 0;
        for op in ops {
            let left = most.saturating_sub(total);
            total += match op {
                Op::Range(_) => 0,
                Op::Put(put) => self.put(put, left)?,
                Op::DeleteRange(delete) => self.delete(delete, left)?,
                Op::Txn(nested) => self.txn(nested, left)?,
            };
            if total > most {
                break;
            }
        }
        Ok(total)
    }

    fn put(&self, put: &PutRequest, left: u64) -> Result<u64> {
        let old = self.span(Span::Point(&put.key), left)?;
        let kept = if put.ignore_value { old } else { 0 };
        Ok(ROW_BYTES + (put.key.len() + put.value.len()) as u64 + old + kept)
    }

    fn delete(&self, delete: &DeleteRangeRequest, left: u64) -> Result<u64> {
        self.span(Span::new(&delete.key, &delete.range_end), left)
    }

    fn span(&self, span: Span<'_>, left: u64) -> Result<u64> {
        let passage = self.store.gate.enter();
        let source = Source::at(&self.store.tree, passage.view.seqno).wanted(self.wanted);
        let rows = scan::latest_rows(source, span)?;
        drop(passage);
        let mut total = 0;
        for row in rows {
            let (key, row) = row?;
            // The key is in its old row, its tombstone, its history and the list of what was touched.
            total += ROW_BYTES + (4 * key.len() + row.len()) as u64;
            if total > left {
                break;
            }
        }
        Ok(total)
    }
}
