//! The catalog: rows in the system volume, and a model of them in memory that readers share without a lock.
//!
//! A change is a pure function from the model to a [`Change`]; [`Catalog::commit`] makes it in one
//! transaction, and decides anew when somebody else was faster. Changes of this process are ordered by a
//! lock, so only strangers can cause a second try. When a transaction's revision shows that a stranger wrote
//! in between, the model is loaded anew instead of guessed.
//!
//! Nobody reads old revisions of the rows for long, so the catalog lets go of them as it writes: the system
//! volume holds the rows as they are and [`KEPT_REVISIONS`] to [`KEPT_REVISIONS`] + [`FORGET_EVERY`] changes.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use futures::future::BoxFuture;
use mortise_kernel::kv::{Command, CommandResponse, RangeRequest, RangeResponse, TxnRequest, TxnResponse};
use mortise_kernel::node::{Consistency, Volume};
use mortise_kernel::seams::{Deadline, SharedClock};
use tokio::sync::Mutex;

use super::change::Change;
use super::keep::Keep;
use super::keys::{Key, PREFIX, prefix_end};
use super::model::Model;
use super::refusals::Refusals;
use crate::cause::Cause;
use crate::{Error, Result};

/// Tries of one change before giving up. Each failed one means that somebody else's change was made.
const TRIES: usize = 100;

/// Revisions of the system volume that stay readable at least, for whoever looks up what a row was.
pub(super) const KEPT_REVISIONS: i64 = 1000;

/// Changes after which older revisions are let go of.
pub(super) const FORGET_EVERY: i64 = 250;

/// What the catalog needs of the system volume.
pub(crate) trait Rows: Send + Sync + 'static {
    /// Reads a range, linearizably.
    fn range(&self, request: RangeRequest) -> BoxFuture<'_, Result<RangeResponse>>;
    /// Runs a transaction that may write.
    fn txn(&self, request: TxnRequest) -> BoxFuture<'_, Result<TxnResponse>>;
    /// Makes revisions below this one unreadable, so that their space is given back.
    fn forget(&self, revision: i64) -> BoxFuture<'_, Result<()>>;
}

/// The system volume with a deadline for each access.
pub(crate) struct SystemVolume {
    pub volume: Arc<Volume>,
    pub deadline: Duration,
}

impl Rows for SystemVolume {
    fn range(&self, request: RangeRequest) -> BoxFuture<'_, Result<RangeResponse>> {
        let deadline = Deadline::after(self.deadline);
        Box::pin(async move { Ok(self.volume.range(request, Consistency::Linearizable, deadline).await?) })
    }

    fn txn(&self, request: TxnRequest) -> BoxFuture<'_, Result<TxnResponse>> {
        let deadline = Deadline::after(self.deadline);
        Box::pin(async move {
            match self.volume.propose(Command::Txn(request), deadline).await? {
                CommandResponse::Txn(answer) => Ok(answer),
                other => Err(Error::Internal(format!("a transaction was answered with {other:?}"))),
            }
        })
    }

    fn forget(&self, revision: i64) -> BoxFuture<'_, Result<()>> {
        let deadline = Deadline::after(self.deadline);
        Box::pin(async move {
            match self.volume.compact(revision, false, deadline).await {
                // Done before, by this process or by an earlier one.
                Err(mortise_kernel::Error::Compacted { .. }) => Ok(()),
                done => Ok(done.map(drop)?),
            }
        })
    }
}

/// The catalog.
pub(crate) struct Catalog {
    rows: Box<dyn Rows>,
    model: ArcSwap<Model>,
    /// Held while a change is made.
    changing: Mutex<()>,
    clock: SharedClock,
    keep: Keep,
    refusals: Refusals,
    /// Revision from which on older ones are let go of.
    forget_at: AtomicI64,
}

impl Catalog {
    /// Loads the catalog. An empty system volume gives an empty catalog.
    pub(crate) async fn load(rows: Box<dyn Rows>, clock: SharedClock, keep: Keep) -> Result<Self> {
        let model = load(rows.as_ref()).await?;
        for (key, detail) in &model.unreadable {
            tracing::error!(%key, detail, "a catalog row cannot be read and is passed over");
        }
        let refusals = Refusals::new(clock.unix_millis());
        let forget_at = AtomicI64::new(KEPT_REVISIONS + FORGET_EVERY);
        let (model, changing) = (ArcSwap::from_pointee(model), Mutex::new(()));
        Ok(Self { rows, model, changing, clock, keep, refusals, forget_at })
    }

    /// What the rows said after the last change.
    pub(crate) fn model(&self) -> Arc<Model> {
        self.model.load_full()
    }

    /// Makes the change that `decide` derives from the model, and returns what it returned.
    ///
    /// # Errors
    /// Those of `decide`; [`Error::CatalogContention`] when others kept changing the same rows; those of the
    /// system volume, and then the change may or may not have been made, and the model was loaded anew.
    pub(crate) async fn commit<T>(
        &self,
        decide: impl FnMut(&Model) -> Result<(Change, T)> + Send,
    ) -> Result<T>
    where
        T: Send,
    {
        let _order = self.changing.lock().await;
        let made = self.make(decide).await;
        if made.is_ok() {
            self.forget_old().await;
        }
        made
    }

    async fn make<T: Send>(&self, mut decide: impl FnMut(&Model) -> Result<(Change, T)> + Send) -> Result<T> {
        // What one change tells of refusals takes room once, however often it is decided.
        let mut room = None;
        for _ in 0..TRIES {
            let model = self.model.load_full();
            let (mut change, result) = match decide(&model) {
                Ok(decided) => decided,
                Err(refusal) => {
                    // A refusal counts only when it is about the rows as they are.
                    if !self.catch_up(&model).await {
                        return Err(refusal);
                    }
                    continue;
                }
            };
            let unix_ms = self.clock.unix_millis();
            if change.tells_of_refusals() {
                change.limit_refusals(*room.get_or_insert_with(|| self.refusals.admit(unix_ms)));
            }
            if change.is_empty() {
                return Ok(result);
            }
            change.write_history(&model, unix_ms, self.keep)?;
            let answer = match self.rows.txn(change.to_txn()).await {
                Ok(answer) => answer,
                Err(error) => {
                    self.reload_after(&error).await;
                    return Err(error);
                }
            };
            if answer.succeeded && answer.revision == model.revision + 1 {
                let mut next = Model::clone(&model);
                change.apply(&mut next, answer.revision);
                self.model.store(Arc::new(next));
                return Ok(result);
            }
            self.model.store(Arc::new(load(self.rows.as_ref()).await?));
            if answer.succeeded {
                return Ok(result);
            }
        }
        Err(Error::CatalogContention(TRIES))
    }

    /// Loads the model anew where the rows have changed since; whether they have.
    async fn catch_up(&self, model: &Model) -> bool {
        // Any row tells the revision of all.
        let key = Key::NextVolumeId.encode();
        let range_end = [&key[..], &[0]].concat().into();
        let request = RangeRequest { key, range_end, limit: 1, ..RangeRequest::default() };
        match self.rows.range(request).await {
            Ok(answer) if answer.revision == model.revision => return false,
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(%error, "the catalog could not be read anew");
                return false;
            }
        }
        match load(self.rows.as_ref()).await {
            Ok(now) => {
                let changed = now.revision != model.revision;
                self.model.store(Arc::new(now));
                changed
            }
            Err(error) => {
                tracing::warn!(%error, "the catalog could not be read anew");
                false
            }
        }
    }

    /// Lets go of what the rows were many changes ago. When that fails it is tried again some changes later:
    /// whoever made the last one must not pay for it again and again.
    async fn forget_old(&self) {
        let revision = self.model.load().revision;
        if revision < self.forget_at.load(Ordering::Relaxed) {
            return;
        }
        self.forget_at.store(revision + FORGET_EVERY, Ordering::Relaxed);
        if let Err(error) = self.rows.forget(revision - KEPT_REVISIONS).await {
            tracing::warn!(%error, "old revisions of the catalog could not be let go of; trying again later");
        }
    }

    /// As [`Catalog::commit`]; the history names who asked for it, and why.
    pub(crate) async fn commit_for<T: Send>(
        &self,
        cause: &Cause,
        mut decide: impl FnMut(&Model) -> Result<(Change, T)> + Send,
    ) -> Result<T> {
        self.commit(|model| decide(model).map(|(change, result)| (change.caused_by(cause), result))).await
    }

    /// After a failure of unknown outcome the model must not claim that nothing happened. When even this
    /// fails, the model stays as it is: its guards keep it from doing harm.
    async fn reload_after(&self, cause: &Error) {
        match load(self.rows.as_ref()).await {
            Ok(model) => self.model.store(Arc::new(model)),
            Err(error) => {
                tracing::warn!(%cause, %error, "the catalog could not be read anew")
            }
        }
    }
}

async fn load(rows: &dyn Rows) -> Result<Model> {
    let request = RangeRequest {
        key: Bytes::from_static(PREFIX.as_bytes()),
        range_end: prefix_end(PREFIX),
        ..RangeRequest::default()
    };
    let answer = rows.range(request).await?;
    let mut model = Model::default();
    model.revision = answer.revision;
    for kv in answer.kvs {
        if let Some(key) = Key::parse(&kv.key) {
            model.set(key, &kv.value, kv.mod_revision);
        }
    }
    Ok(model)
}
