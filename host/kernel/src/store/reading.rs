//! Reading from a store for somebody who waits, and stopping when nobody does any more.
//!
//! A scan runs where it may block and cannot be dropped as a future can. So it carries a [`Wanted`], and
//! looks at it every few hundred rows: a reader that gave up, at its deadline or because its client has
//! gone, is not read for any longer than that.

use std::slice;
use std::sync::{Arc, Weak};

use super::foresight::{self, MOST_ORDERED_BYTES, MOST_ORDERED_VALUES};
use super::handle::Store;
use super::hash;
use super::read::{self, Decoding, Readable};
use super::source::Source;
use super::txn::Opened;
use super::view::ReadView;
use super::weight::Scale;
use crate::format::{self, Meter, Prepared};
use crate::kv::{self, Command, RangeRequest, RangeResponse, TxnRequest, TxnResponse};
use crate::node::ContentHash;
use crate::seams::fault::{Point, pass};
use crate::{Error, Result};

/// Somebody waits for a read as long as this lives.
#[derive(Debug, Default)]
pub struct Waiting(Arc<()>);

impl Waiting {
    /// Its read's side.
    #[must_use]
    pub fn wanted(&self) -> Wanted {
        Wanted(Some(Arc::downgrade(&self.0)))
    }
}

/// Whether a read is wanted.
#[derive(Clone, Debug)]
pub struct Wanted(Option<Weak<()>>);

impl Wanted {
    /// Wanted to the end.
    pub const ALWAYS: Self = Self(None);

    /// Passes as long as somebody waits.
    ///
    /// # Errors
    /// [`Error::Cancelled`]; nobody is left to see it.
    pub(super) fn check(&self) -> Result<()> {
        let Some(waiting) = &self.0 else { return Ok(()) };
        pass(Point::ReadMiddle)?;
        if waiting.strong_count() == 0 {
            Err(Error::Cancelled("a read that nobody waits for"))
        } else {
            Ok(())
        }
    }
}

/// A store, for one reader.
#[derive(Debug)]
pub struct Reading<'a> {
    store: &'a Store,
    wanted: Wanted,
}

impl Store {
    /// Reads for somebody, for as long as that is wanted.
    #[must_use]
    pub fn reading(&self, wanted: Wanted) -> Reading<'_> {
        Reading { store: self, wanted }
    }
}

impl<'a> Reading<'a> {
    /// The store.
    #[must_use]
    pub fn store(&self) -> &'a Store {
        self.store
    }

    /// Answers a range request.
    ///
    /// # Errors
    /// [`Error::Compacted`], [`Error::FutureRevision`], or the storage failed; [`Error::Refused`] and
    /// [`Error::CodecFault`] where the format is not natural; [`Error::Cancelled`] when it is not wanted.
    pub fn range(&self, request: &RangeRequest, meter: Meter) -> Result<RangeResponse> {
        let coder = &self.store.coder;
        if coder.is_natural() {
            return self.range_stored(request, meter);
        }
        let stored = format::stored_range(coder, request, meter)?;
        let mut response = self.range_stored(&stored, meter)?;
        if request.range_end.is_empty() {
            coder.decode_found(&request.key, &stored.key, &mut response.kvs, meter)?;
        } else {
            coder.decode_kvs(&mut response.kvs, meter)?;
        }
        Ok(response)
    }

    fn source(&self, view: ReadView) -> Source<'_> {
        Source::at(&self.store.tree, view.seqno).wanted(&self.wanted)
    }

    fn range_stored(&self, request: &RangeRequest, meter: Meter) -> Result<RangeResponse> {
        let passage = self.store.gate.enter();
        let view = passage.view;
        let source = match &request.range_end[..] {
            [] => Source::at(&self.store.unscanned, view.seqno),
            _ => self.source(view),
        };
        let scan = read::open(source, request, Readable::from(view))?;
        drop(passage);
        pass(Point::ReadOpened)?;
        read::answer(request, scan, view.revision, self.decoding(meter))
    }

    fn decoding(&self, meter: Meter) -> Decoding<'_> {
        Decoding { coder: &self.store.coder, meter, known: None }
    }

    /// Answers a transaction that holds no write (see [`crate::kv::is_read_only`]).
    ///
    /// # Errors
    /// As [`Self::range`]; [`Error::Internal`] when the transaction does hold a write.
    pub fn read_txn(&self, request: &TxnRequest, meter: Meter) -> Result<TxnResponse> {
        let coder = &self.store.coder;
        if coder.is_natural() {
            return self.read_txn_stored(request, meter);
        }
        let stored = format::stored_txn(coder, request, meter)?;
        format::decode_txn(coder, self.read_txn_stored(&stored, meter)?, meter)
    }

    fn read_txn_stored(&self, request: &TxnRequest, meter: Meter) -> Result<TxnResponse> {
        let passage = self.store.gate.enter();
        let view = passage.view;
        let opened = Opened::open(self.source(view), request, Readable::from(view))?;
        drop(passage);
        opened.answer(view.revision, self.decoding(meter))
    }

    /// Hash of all that can be read at `revision` (0: the newest), independent of shape and format.
    ///
    /// # Errors
    /// As [`Self::range`].
    pub fn content_hash(&self, revision: i64) -> Result<ContentHash> {
        let passage = self.store.gate.enter();
        let view = passage.view;
        let opened = hash::open(self.source(view), Readable::from(view), revision)?;
        drop(passage);
        opened.hash(&self.store.coder, &mut |_| Ok(()))
    }

    /// Runs the codec on a command that is to be proposed, and on the values whose order it asks for, as they
    /// are now; `None` on a natural store.
    ///
    /// # Errors
    /// [`Error::Refused`], [`Error::CodecFault`], [`Error::DuplicateKey`]; [`Error::TooManyValues`] when it
    /// asks for the order of more than [`MOST_ORDERED_VALUES`] or [`MOST_ORDERED_BYTES`];
    /// [`Error::Cancelled`] when it is not wanted.
    pub fn prepare(&self, command: &Command, meter: Meter) -> Result<Option<Prepared>> {
        let Some(prepared) = Prepared::new(&self.store.coder, command, meter)? else { return Ok(None) };
        if !kv::orders_values(command) {
            return Ok(Some(prepared));
        }
        let ordered = foresight::ordered_values(self.store, &self.wanted, prepared.command())?;
        prepared.foreseeing(&ordered, (MOST_ORDERED_VALUES, MOST_ORDERED_BYTES), meter).map(Some)
    }

    /// About the bytes that applying a command would hold in memory at once, as of now; when that is more
    /// than `most`, something above it. Reads the rows that the command replaces or deletes.
    ///
    /// # Errors
    /// The storage or the codec failed; [`Error::Cancelled`] when it is not wanted.
    pub fn weigh(
        &self,
        command: &Command,
        prepared: Option<&Prepared>,
        most: u64,
        meter: Meter,
    ) -> Result<u64> {
        let (coder, commands) = (&self.store.coder, slice::from_ref(command));
        let stored = format::stored_commands(coder, commands, &[prepared.cloned()], meter)?;
        let scale = Scale { store: self.store, most, wanted: &self.wanted };
        stored.iter().try_fold(0, |total, command| Ok(total + scale.weigh(command)?))
    }
}

impl Store {
    /// As [`Reading::prepare`], to its end.
    ///
    /// # Errors
    /// As there.
    pub fn prepare(&self, command: &Command, meter: Meter) -> Result<Option<Prepared>> {
        self.reading(Wanted::ALWAYS).prepare(command, meter)
    }

    /// As [`Reading::range`], to its end.
    ///
    /// # Errors
    /// As there.
    pub fn range(&self, request: &RangeRequest, meter: Meter) -> Result<RangeResponse> {
        self.reading(Wanted::ALWAYS).range(request, meter)
    }

    /// As [`Reading::read_txn`], to its end.
    ///
    /// # Errors
    /// As there.
    pub fn read_txn(&self, request: &TxnRequest, meter: Meter) -> Result<TxnResponse> {
        self.reading(Wanted::ALWAYS).read_txn(request, meter)
    }

    /// As [`Reading::content_hash`], to its end.
    ///
    /// # Errors
    /// As there.
    pub fn content_hash(&self, revision: i64) -> Result<ContentHash> {
        self.reading(Wanted::ALWAYS).content_hash(revision)
    }
}
