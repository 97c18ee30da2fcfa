//! A change of the catalog: what must still hold, and what is then written, in one transaction.
//!
//! Every row that a change writes is guarded by the revision at which the model last saw it. Whoever decides
//! by a row without writing it guards it with [`Change::require`]. So two administrators who decide at
//! once cannot both win: one transaction finds its guards broken, and its decision is made anew.

use bytes::Bytes;
use mortise_kernel::kv::{
    Compare, CompareResult, CompareTarget, DeleteRangeRequest, Op, PutRequest, TxnRequest,
};
use serde::Serialize;

use super::history_rows::HistoryRow;
use super::keep::Keep;
use super::keys::{BINDINGS, Key, VOLUMES, prefix_end};
use super::model::Model;
use super::rows::ROW_VERSION;
use crate::cause::Cause;
use crate::{Error, Result};

/// Characters of an audit row's reason and of its outcome; a component can bring long texts of its own.
const TEXT: usize = 1000;

/// Rows, audit rows included, that one change should write at most; what touches more is made in several
/// changes. With what is pruned, this stays below the 128 operations of a transaction.
pub(crate) const ROWS_AT_ONCE: usize = 96;

/// Guards and writes.
#[derive(Debug, Default)]
pub(crate) struct Change {
    guards: Vec<(Key, i64)>,
    /// Prefixes below which no row may be newer than the revision.
    unchanged: Vec<(&'static str, i64)>,
    /// New value, or `None` to delete.
    writes: Vec<(Key, Option<Bytes>)>,
    audit: Vec<HistoryRow>,
}

impl Change {
    /// Makes the change conditional on the row being as `model` shows it.
    pub(crate) fn require(&mut self, model: &Model, key: Key) -> &mut Self {
        if !self.guards.iter().any(|(guarded, _)| *guarded == key) {
            self.guards.push((key.clone(), model.mod_revision(&key)));
        }
        self
    }

    /// Makes the change conditional on no binding having been made or changed since `model`, however many
    /// there are.
    pub(crate) fn require_bindings(&mut self, model: &Model) -> &mut Self {
        self.unchanged.push((BINDINGS, model.revision));
        self
    }

    /// Makes the change conditional on no volume having been made or changed since `model`.
    pub(crate) fn require_volumes(&mut self, model: &Model) -> &mut Self {
        self.unchanged.push((VOLUMES, model.revision));
        self
    }

    /// Writes a row that is as `model` shows it.
    pub(crate) fn put(&mut self, model: &Model, key: Key, row: &impl Serialize) -> Result<&mut Self> {
        let value =
            serde_json::to_vec(row).map_err(|error| Error::Internal(format!("row {key}: {error}")))?;
        self.require(model, key.clone());
        self.writes.push((key, Some(value.into())));
        Ok(self)
    }

    /// Deletes a row that is as `model` shows it; nothing happens when there is none.
    pub(crate) fn delete(&mut self, model: &Model, key: Key) -> &mut Self {
        if model.mod_revision(&key) > 0 {
            self.require(model, key.clone());
            self.writes.push((key, None));
        }
        self
    }

    /// Takes over everything of another change that was derived from the same model.
    pub(crate) fn join(&mut self, other: Self) -> &mut Self {
        for guard in other.guards {
            if !self.guards.contains(&guard) {
                self.guards.push(guard);
            }
        }
        self.unchanged.extend(other.unchanged);
        self.writes.extend(other.writes);
        self.audit.extend(other.audit);
        self
    }

    /// Adds an audit row.
    pub(crate) fn audit(&mut self, row: HistoryRow) -> &mut Self {
        self.audit.push(row);
        self
    }

    /// Adds audit rows.
    pub(crate) fn audit_all(&mut self, rows: impl IntoIterator<Item = HistoryRow>) -> &mut Self {
        self.audit.extend(rows);
        self
    }

    /// States on whose behalf the change is made in those of its audit rows that are an administrator's.
    pub(crate) fn caused_by(mut self, cause: &Cause) -> Self {
        self.audit = self.audit.into_iter().map(|row| row.caused_by(cause)).collect();
        self
    }

    /// Whether a row is about an attempt that was refused.
    pub(crate) fn tells_of_refusals(&self) -> bool {
        self.audit.iter().any(|row| row.refused)
    }

    /// Leaves out the rows about refusals where there is no `room` for them; else the first one tells how
    /// many were left out before it.
    pub(crate) fn limit_refusals(&mut self, room: Option<u64>) {
        match room {
            None => self.audit.retain(|row| !row.refused),
            Some(0) => {}
            Some(unwritten) => {
                if let Some(row) = self.audit.iter_mut().find(|row| row.refused) {
                    row.outcome =
                        format!("{} ({unwritten} refusals before this one are not listed)", row.outcome);
                }
            }
        }
    }

    /// Whether nothing would be written.
    pub(crate) fn is_empty(&self) -> bool {
        self.writes.is_empty() && self.audit.is_empty()
    }

    /// Gives the audit rows their place and time, and drops the oldest ones beyond `keep`.
    pub(crate) fn write_history(&mut self, model: &Model, unix_ms: u64, keep: Keep) -> Result<()> {
        let rows = std::mem::take(&mut self.audit);
        if rows.is_empty() {
            return Ok(());
        }
        for sequence in keep.excess(model, &rows) {
            self.delete(model, Key::History(sequence));
        }
        let first = model.history.last_key_value().map_or(0, |(sequence, _)| sequence + 1);
        for (sequence, row) in (first..).zip(rows) {
            let (reason, outcome) = (shortened(row.reason), shortened(row.outcome));
            let row = HistoryRow { version: ROW_VERSION, unix_ms, reason, outcome, ..row };
            self.put(model, Key::History(sequence), &row)?;
        }
        Ok(())
    }

    /// The transaction that makes the change.
    pub(crate) fn to_txn(&self) -> TxnRequest {
        let rows = self.guards.iter().map(|(key, revision)| Compare {
            key: key.encode(),
            range_end: Bytes::new(),
            target: CompareTarget::ModRevision(*revision),
            result: CompareResult::Equal,
        });
        let ranges = self.unchanged.iter().map(|(prefix, revision)| Compare {
            key: Bytes::from_static(prefix.as_bytes()),
            range_end: prefix_end(prefix),
            target: CompareTarget::ModRevision(revision + 1),
            result: CompareResult::Less,
        });
        let success = self.writes.iter().map(|(key, value)| match value {
            Some(value) => {
                Op::Put(PutRequest { key: key.encode(), value: value.clone(), ..PutRequest::default() })
            }
            None => {
                Op::DeleteRange(DeleteRangeRequest { key: key.encode(), ..DeleteRangeRequest::default() })
            }
        });
        TxnRequest { compare: rows.chain(ranges).collect(), success: success.collect(), failure: Vec::new() }
    }

    /// Takes the writes over into `model`, which was as the guards say, at the revision that they got.
    pub(crate) fn apply(&self, model: &mut Model, revision: i64) {
        for (key, value) in &self.writes {
            match value {
                Some(value) => model.set(key.clone(), value, revision),
                None => model.unset(key),
            }
        }
        model.revision = revision;
    }
}

fn shortened(text: String) -> String {
    match text.char_indices().nth(TEXT) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
