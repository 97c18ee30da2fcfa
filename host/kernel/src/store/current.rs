//! The store that serves a volume, and its exchange for another.
//!
//! Whoever works on the store loads it at the beginning of a piece of work and keeps it to the end: work on
//! a store that was exchanged meanwhile is harmless, and right for a reader that began before. An exchange
//! never waits for anybody.
//!
//! Freeing a store means freeing its memtables, which takes tens of milliseconds. Whoever lets go last only
//! hands it to a reaper, off the path of requests.

use std::ops::Deref;
use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use parking_lot::Mutex;

use super::{Store, StoreCounters};

/// Frees stores that nobody uses any more.
pub trait Reaper: Send + Sync + 'static {
    /// Takes over a store, to free it elsewhere.
    fn bury(&self, store: Box<Store>);
}

/// A store in use.
pub struct Served {
    /// `None` only while it is dropped.
    store: Option<Box<Store>>,
    reaper: Arc<dyn Reaper>,
}

impl Served {
    /// A store that `reaper` gets when nobody uses it any more.
    #[must_use]
    pub fn new(store: Store, reaper: Arc<dyn Reaper>) -> Arc<Self> {
        Arc::new(Self { store: Some(Box::new(store)), reaper })
    }
}

impl Deref for Served {
    type Target = Store;

    #[expect(clippy::expect_used, reason = "the store is taken out by `drop` only")]
    fn deref(&self) -> &Store {
        self.store.as_ref().expect("a store that is in use")
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        if let Some(store) = self.store.take() {
            self.reaper.bury(store);
        }
    }
}

impl std::fmt::Debug for Served {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Served").field(&self.store).finish()
    }
}

/// The store that serves a volume.
#[derive(Debug)]
pub struct CurrentStore {
    store: ArcSwap<Served>,
    /// What the stores before it counted, less what it had counted itself when it began to serve.
    before: Mutex<StoreCounters>,
}

impl CurrentStore {
    /// Begins with `store`.
    #[must_use]
    pub fn new(store: Arc<Served>) -> Arc<Self> {
        Arc::new(Self { store: ArcSwap::new(store), before: Mutex::default() })
    }

    /// The store, for a short piece of work.
    #[must_use]
    pub fn load(&self) -> Guard<Arc<Served>> {
        self.store.load()
    }

    /// The store, for a long piece of work.
    #[must_use]
    pub fn keep(&self) -> Arc<Served> {
        self.store.load_full()
    }

    /// Whether this very store serves now.
    #[must_use]
    pub fn serves(&self, store: &Arc<Served>) -> bool {
        Arc::ptr_eq(&self.store.load(), store)
    }

    /// Lets `next` serve from now on, and returns the one before.
    pub fn exchange(&self, next: Arc<Served>) -> Arc<Served> {
        let mut before = self.before.lock();
        let counted = next.counters();
        let previous = self.store.swap(next);
        *before = before.plus(previous.counters()).minus(counted);
        previous
    }

    /// Counts of all stores that served, each for its time. They only grow.
    #[must_use]
    pub fn counters(&self) -> StoreCounters {
        let before = self.before.lock();
        before.plus(self.load().counters())
    }
}
