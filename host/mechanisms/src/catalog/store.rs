//! The catalog: rows in the system volume, and a model of them in memory that readers share without a lock.
//!
//! A change is a pure function from the model to a [`Change`]; [`Catalog::commit`] makes it in one
//! transaction, and decides anew when somebody else was faster. Changes of this process are ordered by a
//! lock, so only strangers can cause a second try. When a transaction's revision shows that a stranger wrote
//! in between, the model is loaded anew instead of guessed.

use std::sync::Arc;
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
use crate::cause::Cause;
use crate::{Error, Result};

/// Tries of one change before giving up. Each failed one means that somebody else's change was made.
const TRIES: usize = 100;

/// What the catalog needs of the system volume.
pub(crate) trait Rows: Send + Sync + 'static {
    /// Reads a range, linearizably.
    fn range(&self, request: RangeRequest) -> BoxFuture<'_, Result<RangeResponse>>;
    /// Runs a transaction that may write.
    fn txn(&self, request: TxnRequest) -> BoxFuture<'_, Result<TxnResponse>>;
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
}

/// The catalog.
pub(crate) struct Catalog {
    rows: Box<dyn Rows>,
    model: ArcSwap<Model>,
    /// Held while a change is made.
    changing: Mutex<()>,
    clock: SharedClock,
    keep: Keep,
}

impl Catalog {
    /// Loads the catalog. An empty system volume gives an empty catalog.
    pub(crate) async fn load(rows: Box<dyn Rows>, clock: SharedClock, keep: Keep) -> Result<Self> {
        let model = load(rows.as_ref()).await?;
        for (key, detail) in &model.unreadable {
            tracing::error!(%key, detail, "a catalog row cannot be read and is passed over");
        }
        Ok(Self { rows, model: ArcSwap::from_pointee(model), changing: Mutex::new(()), clock, keep })
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
        mut decide: impl FnMut(&Model) -> Result<(Change, T)> + Send,
    ) -> Result<T>
    where
        T: Send,
    {
        let _order = self.changing.lock().await;
        for _ in 0..TRIES {
            let model = self.model.load_full();
            let (mut change, result) = match decide(&model) {
                Ok(decided) => decided,
                Err(refusal) => {
                    // A refusal counts only when it is about the rows as they are.
                    self.reload_after(&refusal).await;
                    if self.model.load().revision == model.revision {
                        return Err(refusal);
                    }
                    continue;
                }
            };
            if change.is_empty() {
                return Ok(result);
            }
            change.write_history(&model, self.clock.unix_millis(), self.keep)?;
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
