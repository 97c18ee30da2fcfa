//! One entry of the log while it is applied. Commands come and answers go in stored form (see
//! [`crate::format`]).
//!
//! A draft collects what the commands of an entry change; the tree is untouched until the whole entry went
//! well. A failing disk therefore leaves nothing behind, and an entry becomes visible as a whole. Each
//! command that changes something takes one revision; all of a transaction's writes share it.
//!
//! Superseding a version moves its row, unchanged, from the latest to the history column; a deletion adds a
//! tombstone there. Each revision's own row lists what it touched and which version that superseded, so
//! that scrubbing needs no look-up.

use bytes::Bytes;

use super::columns::{self, Span};
use super::read::{self, Decoding, Readable};
use super::records::{self, State, Touch, Version};
use super::scan;
use super::source::{Source, Staged};
use super::tree::{Change, Tree};
use super::txn;
use crate::error::ErrorKind;
use crate::format::{Coder, Decoded, Meter};
use crate::kv::{
    Command, CommandResponse, DeleteRangeRequest, DeleteRangeResponse, MAX_KEY_BYTES, PutRequest,
    PutResponse, RangeRequest, RangeResponse,
};
use crate::{Error, Result};

/// The changes of one entry so far.
pub(super) struct Draft<'a> {
    tree: &'a Tree,
    coder: &'a Coder,
    staged: Staged,
    state: State,
    /// Keys that the command under way has touched.
    touched: Vec<Touch>,
    /// Values that were decoded for the command under way.
    known: Option<&'a Decoded>,
}

impl<'a> Draft<'a> {
    /// An entry on top of `state`.
    pub(super) fn new(tree: &'a Tree, coder: &'a Coder, state: State) -> Self {
        Self { tree, coder, staged: Staged::new(), state, touched: Vec::new(), known: None }
    }

    /// What is to be written, and the state after it.
    pub(super) fn finish(self) -> (Staged, State) {
        (self.staged, self.state)
    }

    /// Runs one command, of whose values some are decoded already. The inner error refuses the command,
    /// which then has changed nothing; the outer one is a failure of the storage, after which the draft
    /// must be thrown away.
    pub(super) fn run(
        &mut self,
        command: &Command,
        known: Option<&'a Decoded>,
    ) -> Result<Result<CommandResponse>> {
        self.known = known;
        let answer = match command {
            Command::Put(put) => Self::check_put(put).and_then(|()| self.put(put)).map(CommandResponse::Put),
            Command::DeleteRange(delete) => self.delete_range(delete).map(CommandResponse::DeleteRange),
            Command::Txn(txn) => txn::apply(self, txn).map(CommandResponse::Txn),
            Command::Compact { revision } => {
                self.compact(*revision).map(|revision| CommandResponse::Compact { revision })
            }
        };
        self.end_command();
        match answer {
            Ok(response) => Ok(Ok(response)),
            Err(error) => match error.kind() {
                ErrorKind::InvalidArgument | ErrorKind::NotFound => Ok(Err(error)),
                _ => Err(error),
            },
        }
    }

    fn end_command(&mut self) {
        if self.touched.is_empty() {
            return;
        }
        self.state.revision += 1;
        let row = records::encode_touches(&self.touched);
        self.staged.insert(columns::revision(self.state.revision), Change::Put(row));
        self.touched.clear();
    }

    /// The newest state, this draft included.
    pub(super) fn source(&self) -> Source<'_> {
        Source::newest(self.tree, &self.staged)
    }

    /// The revision that the writes of the command under way get.
    fn next_revision(&self) -> i64 {
        self.state.revision + 1
    }

    /// The current revision as the command under way sees it: its own as soon as it has written.
    pub(super) fn seen_revision(&self) -> i64 {
        if self.touched.is_empty() { self.state.revision } else { self.next_revision() }
    }

    /// What the command under way can read.
    pub(super) fn readable(&self) -> Readable {
        Readable { current: self.seen_revision(), compacted: self.state.compacted }
    }

    pub(super) fn range(&self, request: &RangeRequest) -> Result<RangeResponse> {
        let readable = self.readable();
        let scan = read::open(self.source(), request, readable)?;
        read::answer(request, scan, readable.current, self.decoding())
    }

    /// How values are decoded while an entry is applied.
    pub(super) fn decoding(&self) -> Decoding<'a> {
        Decoding { coder: self.coder, meter: Meter::Apply, known: self.known }
    }

    /// The store cannot hold keys above a certain length; validation has refused them before the log.
    pub(super) fn check_key(put: &PutRequest) -> Result<()> {
        if put.key.len() > MAX_KEY_BYTES {
            return Err(Error::RequestTooLarge { found: put.key.len(), limit: MAX_KEY_BYTES });
        }
        Ok(())
    }

    /// There are no leases yet, so none can be attached.
    pub(super) fn check_lease(put: &PutRequest) -> Result<()> {
        if put.lease == 0 { Ok(()) } else { Err(Error::LeaseNotFound(put.lease)) }
    }

    fn check_put(put: &PutRequest) -> Result<()> {
        Self::check_key(put)?;
        Self::check_lease(put)
    }

    /// Writes one key; key and lease have been checked.
    pub(super) fn put(&mut self, request: &PutRequest) -> Result<PutResponse> {
        let revision = self.next_revision();
        let current = scan::latest(self.source(), &request.key)?;
        // Inside a transaction this was judged before it began. Where it then deleted the key itself, an
        // empty value is kept: a refusal halfway would leave half a transaction behind.
        if current.is_none() && (request.ignore_value || request.ignore_lease) && self.touched.is_empty() {
            return Err(Error::KeyNotFound);
        }
        let old = current.as_ref().map(|(_, version)| version);
        let version = Version {
            created: old.map_or(revision, |old| old.created),
            modified: revision,
            version: old.map_or(0, |old| old.version) + 1,
            lease: if request.ignore_lease { old.map_or(0, |old| old.lease) } else { request.lease },
            value: match old {
                Some(old) if request.ignore_value => old.value.clone(),
                _ => request.value.clone(),
            },
        };
        self.staged.insert(columns::latest(&request.key), Change::Put(version.encode()));
        let prev_kv = match &current {
            Some((_, old)) if request.prev_kv => Some(old.clone().into_kv(request.key.clone())),
            _ => None,
        };
        match current {
            Some((row, old)) => {
                // The row may be a slice of a table's block, which must not live as long as the memtable.
                self.supersede(&request.key, Bytes::copy_from_slice(&row), old.modified, false);
            }
            None => self.touch_new(&request.key),
        }
        Ok(PutResponse { revision, prev_kv })
    }

    /// Deletes the keys of a range, row by row: a range may hold much, and nothing of a row is in memory
    /// twice. Its value is decoded only where it is to be answered.
    pub(super) fn delete_range(&mut self, request: &DeleteRangeRequest) -> Result<DeleteRangeResponse> {
        let revision = self.next_revision();
        let span = Span::new(&request.key, &request.range_end);
        let mut response = DeleteRangeResponse::default();
        for doomed in scan::latest_rows(self.source(), span)? {
            let (key, row) = doomed?;
            // The row may be a slice of a table's block, which must not live as long as the memtable.
            let row = Bytes::copy_from_slice(&row);
            let version = scan::decode_version(self.tree, &key, &row)?;
            // What is noted of the key shares the memory of its row's key.
            let latest = columns::latest(&key);
            let key = latest.slice(columns::LATEST_PREFIX..);
            self.staged.insert(latest, Change::Remove);
            self.staged.insert(columns::history(&key, revision), Change::Put(records::tombstone()));
            response.deleted += 1;
            let modified = version.modified;
            if request.prev_kv {
                response.prev_kvs.push(version.into_kv(key.clone()));
            }
            self.supersede(&key, row, modified, true);
        }
        response.revision = self.seen_revision();
        Ok(response)
    }

    /// Notes that the command under way replaced (or deleted) the version of `key` written at `modified`,
    /// whose row is kept from now on.
    fn supersede(&mut self, key: &Bytes, row: Bytes, modified: i64, deleted: bool) {
        if modified == self.next_revision() {
            // This very command wrote it: no revision ever showed it, so there is nothing to keep.
            self.retouch(key, deleted);
            return;
        }
        self.staged.insert(columns::history(key, modified), Change::Put(row));
        self.touched.push(Touch { key: key.clone(), previous: modified, deleted });
    }

    /// Notes that the command under way wrote a key that was not there.
    fn touch_new(&mut self, key: &Bytes) {
        if !self.touched.is_empty() {
            let tombstone = columns::history(key, self.next_revision());
            if self.staged.remove(&tombstone).is_some() {
                // This very command had deleted it: the tombstone was never seen either.
                self.retouch(key, false);
                return;
            }
        }
        self.touched.push(Touch { key: key.clone(), previous: 0, deleted: false });
    }

    /// Corrects how the command under way leaves a key that it touched before. Validation leaves few ways to
    /// come here, so a search will do.
    fn retouch(&mut self, key: &Bytes, deleted: bool) {
        if let Some(touch) = self.touched.iter_mut().find(|touch| touch.key == key) {
            touch.deleted = deleted;
        }
    }

    fn compact(&mut self, revision: i64) -> Result<i64> {
        if revision <= self.state.compacted {
            return Err(Error::Compacted { requested: revision, compacted: self.state.compacted.max(0) });
        }
        if revision > self.state.revision {
            return Err(Error::FutureRevision { requested: revision, current: self.state.revision });
        }
        self.state.compacted = revision;
        Ok(self.state.revision)
    }
}
