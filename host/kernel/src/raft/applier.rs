//! Applies entries of the log to a store.
//!
//! Each entry is applied with its position, which the store keeps in the same memtable as the data. The
//! position names the entry and the last membership up to it, in bytes that the store hands back unread.
//!
//! What the latest entries weighed is remembered: whoever applies them to another store knows beforehand how
//! much they move.

use std::collections::VecDeque;

use openraft::EntryPayload;

use super::codec;
use super::types::{Entry, LogId, StoredMembership};
use crate::format::Answer;
use crate::store::{Applied, Store};
use crate::{Error, Result};

/// Entries whose weight is remembered.
const REMEMBERED: usize = 64;

/// What raft keeps with a store.
pub(super) type Position = (LogId, StoredMembership);

/// Reads raft's part of a position; `None` before the first entry.
pub(super) fn position(applied: &Applied) -> Result<Option<Position>> {
    if applied.opaque.is_empty() {
        return Ok(None);
    }
    let decoded = codec::decode::<Position>(&applied.opaque)
        .map_err(|detail| Error::Storage { context: "reading the raft position out of a store", detail })?;
    Ok(Some(decoded))
}

/// The state of applying that is not in the store's data.
pub(super) struct Applier {
    membership: StoredMembership,
    /// Index and weight of the latest entries.
    weights: VecDeque<(u64, u64)>,
}

impl Applier {
    /// Takes up where the store stands.
    pub(super) fn new(store: &Store) -> Result<Self> {
        let membership = position(&store.applied())?.map(|(_, membership)| membership);
        Ok(Self { membership: membership.unwrap_or_default(), weights: VecDeque::new() })
    }

    /// What all entries behind this index weighed (see [`Store::entry_weight`]); `None` when one of them is
    /// not remembered.
    pub(super) fn weight_behind(&self, index: u64, last: u64) -> Option<u64> {
        let behind = self.weights.iter().filter(|(nth, _)| (index + 1..=last).contains(nth));
        let (count, weight) = behind.fold((0, 0_u64), |(count, sum), (_, weight)| (count + 1, sum + weight));
        (count == last.saturating_sub(index)).then_some(weight)
    }

    /// Applies an entry and returns the answers to its commands; an error leaves nothing of it in the store.
    pub(super) fn apply(&mut self, store: &Store, entry: &Entry) -> Result<Vec<Result<Answer>>> {
        let Entry { log_id, payload } = entry;
        if let EntryPayload::Membership(membership) = payload {
            self.membership = StoredMembership::new(Some(*log_id), membership.clone());
        }
        let opaque = codec::encode(&(log_id, &self.membership))?;
        let position = Applied { index: log_id.index, opaque };
        let (answers, weight) = match payload {
            EntryPayload::Normal(batch) => {
                let answers = store.apply_prepared(position, batch.commands(), batch.prepared())?;
                (answers, store.entry_weight())
            }
            EntryPayload::Blank | EntryPayload::Membership(_) => {
                store.set_position(position)?;
                (Vec::new(), 0)
            }
        };
        if self.weights.len() == REMEMBERED {
            self.weights.pop_front();
        }
        self.weights.push_back((log_id.index, weight));
        Ok(answers)
    }
}

/// Bytes that an entry's commands take in the log.
pub(super) fn stored_bytes(entry: &Entry) -> usize {
    match &entry.payload {
        EntryPayload::Normal(batch) => batch.encoded().len(),
        _ => 0,
    }
}
