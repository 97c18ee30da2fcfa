//! A system volume in memory, for tests of the catalog and of what is built on it.
//!
//! It understands only what the catalog asks for, comparisons of modification revisions and changes of single
//! keys, and panics at anything else, so that no test passes by semantics that a real volume does not have.
//! The kernel's limit on operations holds. Between a decision and its transaction other tasks get a turn, so
//! that races happen.
//!
//! A test can make it refuse writes, write behind the catalog's back, or stop it before or after a given
//! write as a kill would.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use mortise_kernel::kv::{
    CompareResult, CompareTarget, KeyValue, Op, RangeRequest, RangeResponse, TxnRequest, TxnResponse,
};
use mortise_kernel::seams::{Clock, SharedClock};
use parking_lot::Mutex;

use super::{Catalog, Keep, Rows};
use crate::{Error, Result};

/// As many as the kernel allows by default.
const MAX_OPERATIONS: usize = 128;

#[derive(Debug, Default)]
struct State {
    revision: i64,
    rows: BTreeMap<Bytes, (Bytes, i64)>,
    /// Writes fail as long as this is set.
    full: bool,
    /// Writes made so far.
    writes: usize,
    /// Revisions below this one were let go of.
    forgotten: i64,
    /// Rows read so far.
    rows_read: usize,
    /// What becomes of the writes from this one on.
    stop: Option<(usize, Stop)>,
}

/// How the system volume stops taking writes, as a node does that is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The write is not made.
    Before,
    /// The first write is made, but its answer is lost; the further ones are not made.
    After,
    /// No write is made, and no answer comes.
    Silent,
}

/// Rows that can be shared by several catalogs, as two administrators share a system volume.
#[derive(Clone, Debug, Default)]
pub(crate) struct MemoryRows(Arc<Mutex<State>>);

impl MemoryRows {
    /// Writes a row behind the catalog's back.
    pub(crate) fn put(&self, key: &str, value: &str) {
        let mut state = self.0.lock();
        state.revision += 1;
        let revision = state.revision;
        state.rows.insert(Bytes::from(key.to_owned()), (Bytes::from(value.to_owned()), revision));
    }

    pub(crate) fn set_full(&self, full: bool) {
        self.0.lock().full = full;
    }

    /// Lets the `n`-th write from now, counted from 0, and all after it fail; `None` lets all pass.
    pub(crate) fn stop_at(&self, n: Option<(usize, Stop)>) {
        let mut state = self.0.lock();
        state.stop = n.map(|(n, stop)| (state.writes + n, stop));
    }

    /// Revisions below this one were let go of.
    pub(crate) fn forgotten(&self) -> i64 {
        self.0.lock().forgotten
    }

    /// Rows read so far.
    pub(crate) fn rows_read(&self) -> usize {
        self.0.lock().rows_read
    }

    /// Number of rows below a prefix.
    pub(crate) fn count(&self, prefix: &str) -> usize {
        self.0.lock().rows.keys().filter(|key| key.starts_with(prefix.as_bytes())).count()
    }

    pub(crate) async fn catalog(&self) -> Catalog {
        let keep = Keep { per_plugin: 8, in_all: 10 };
        Catalog::load(Box::new(self.clone()), fixed_clock(), keep).await.unwrap()
    }
}

/// A clock that stands still.
pub(crate) fn fixed_clock() -> SharedClock {
    struct Fixed;
    impl Clock for Fixed {
        fn unix_millis(&self) -> u64 {
            1_700_000_000_000
        }
    }
    Arc::new(Fixed)
}

impl Rows for MemoryRows {
    fn range(&self, request: RangeRequest) -> BoxFuture<'_, Result<RangeResponse>> {
        let mut state = self.0.lock();
        let kvs = state.rows.range(request.key..request.range_end).map(|(key, (value, revision))| KeyValue {
            key: key.clone(),
            value: value.clone(),
            mod_revision: *revision,
            ..KeyValue::default()
        });
        let kvs: Vec<_> = kvs.collect();
        state.rows_read += kvs.len();
        let count = i64::try_from(kvs.len()).unwrap();
        let answer = RangeResponse { revision: state.revision, kvs, more: false, count };
        Box::pin(async move { Ok(answer) })
    }

    fn txn(&self, request: TxnRequest) -> BoxFuture<'_, Result<TxnResponse>> {
        // The yield lets other tasks in between a decision and its transaction.
        Box::pin(async move {
            tokio::task::yield_now().await;
            let mut state = self.0.lock();
            let refused = || Err(Error::Kernel(mortise_kernel::Error::NoSpace("test".into())));
            let stopped = state.stop.filter(|(first, _)| state.writes >= *first);
            let lost = stopped == Some((state.writes, Stop::After));
            let silent = || {
                let (what, after) = ("a test", std::time::Duration::ZERO);
                Err(Error::Kernel(mortise_kernel::Error::DeadlineExceeded { what, after }))
            };
            if stopped.is_some_and(|(_, stop)| stop == Stop::Silent) {
                return silent();
            }
            if state.full || (stopped.is_some() && !lost) {
                return refused();
            }
            let found = request.compare.len().max(request.success.len());
            if found > MAX_OPERATIONS {
                let limit = MAX_OPERATIONS;
                return Err(Error::Kernel(mortise_kernel::Error::TooManyOperations { found, limit }));
            }
            let succeeded = request.compare.iter().all(|guard| {
                let CompareTarget::ModRevision(given) = guard.target else {
                    unreachable!("the catalog compares nothing but revisions")
                };
                if guard.result == CompareResult::Less {
                    let range = guard.key.clone()..guard.range_end.clone();
                    return state.rows.range(range).all(|(_, (_, revision))| *revision < given);
                }
                state.rows.get(&guard.key).map_or(0, |(_, revision)| *revision) == given
            });
            if succeeded {
                state.revision += 1;
                state.writes += 1;
                let revision = state.revision;
                for op in request.success {
                    match op {
                        Op::Put(put) => drop(state.rows.insert(put.key, (put.value, revision))),
                        Op::DeleteRange(delete) => drop(state.rows.remove(&delete.key)),
                        other => unreachable!("the catalog does not use {other:?}"),
                    }
                }
            }
            if lost {
                return silent();
            }
            Ok(TxnResponse { revision: state.revision, succeeded, responses: Vec::new() })
        })
    }

    fn forget(&self, revision: i64) -> BoxFuture<'_, Result<()>> {
        let mut state = self.0.lock();
        let refused = state.full.then(|| Error::Kernel(mortise_kernel::Error::NoSpace("test".into())));
        if refused.is_none() {
            state.forgotten = state.forgotten.max(revision);
        }
        Box::pin(async move { refused.map_or(Ok(()), Err) })
    }
}
