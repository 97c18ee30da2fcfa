//! What readers see, and the gate between readers and maintenance.
//!
//! A *view* is a sequence number with the revisions that belong to it; it is published only when an entry
//! of the log is in the memtable as a whole. A reader loads the view and then asks the tree for keys or
//! iterators as of its sequence number. An iterator, once open, pins its memtables and tables and stays
//! right.
//!
//! # Why there is a gate
//! The library keeps a history of *super-versions* (active memtable, sealed memtables, tables), each with
//! the sequence number `s` at which it was registered, and serves a read as of `v` from the newest one with
//! `s < v`.
//!
//! *Any such super-version is complete for `v`.* Garbage collection in a flush or compaction drops an entry
//! only in favour of a newer entry of the same key among the inputs (lsm-tree issue #321: whatever lies
//! between that newer entry and the watermark). The inputs were written before the result was registered,
//! so the newer entry lies below `s`, and so below `v`: the reader sees it. Reads as of `v <= s` are served
//! by an older super-version, which still holds the inputs themselves.
//!
//! *So a read goes wrong only when the older super-version is gone.* Maintenance with watermark `w` removes
//! every super-version but the newest with `s < w` and what follows it: harmless for every `v >= w`. What
//! is left to exclude is a reader that loaded `v`, and then, before it opened its iterator, maintenance
//! with `w > v` ran. Readers therefore share the gate from loading the view to having opened their
//! iterators, and maintenance takes it alone for the moment in which it chooses `w`, the published sequence
//! number. Who stood in the gate has opened what it needs; who enters later loads a view of at least `w`.
//! This also settles when several pieces of maintenance run at a time: each holds `w <= v` for every reader
//! that has not opened yet.
//!
//! The argument needs two things from the rest of the store: memtables are sealed between two entries only,
//! and a sequence number is published only when everything below it is in the tree.

use lsm_tree::SeqNo;
use parking_lot::{RwLock, RwLockReadGuard};

/// What a reader may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ReadView {
    /// Entries below this sequence number are visible.
    pub(super) seqno: SeqNo,
    /// Current revision.
    pub(super) revision: i64,
    /// Oldest readable revision; -1 before the first compaction.
    pub(super) compacted: i64,
}

/// The published view and the gate to it.
pub(super) struct Gate {
    view: RwLock<ReadView>,
    passage: RwLock<()>,
    #[cfg(test)]
    pub(super) hooks: hooks::Hooks,
}

/// A reader between loading its view and having opened its iterators.
pub(super) struct Passage<'a> {
    /// The view loaded.
    pub(super) view: ReadView,
    _shared: RwLockReadGuard<'a, ()>,
}

impl Gate {
    pub(super) fn new(view: ReadView) -> Self {
        Self {
            view: RwLock::new(view),
            passage: RwLock::new(()),
            #[cfg(test)]
            hooks: hooks::Hooks::default(),
        }
    }

    /// Enters as a reader. Leave (drop the passage) as soon as the iterators are open, and never enter twice
    /// from one thread: a beginning that waits in between would wait for ever.
    pub(super) fn enter(&self) -> Passage<'_> {
        let shared = self.passage.read();
        let passage = Passage { view: self.view(), _shared: shared };
        #[cfg(test)]
        self.hooks.reach(hooks::Stage::ViewLoaded);
        passage
    }

    /// The published view, for those who only want to know the revisions.
    pub(super) fn view(&self) -> ReadView {
        *self.view.read()
    }

    /// Makes a view the one that readers load from now on.
    pub(super) fn publish(&self, view: ReadView) {
        *self.view.write() = view;
    }

    /// Begins maintenance: waits until no reader stands in the gate and returns the watermark.
    pub(super) fn begin(&self) -> SeqNo {
        #[cfg(test)]
        self.hooks.reach(hooks::Stage::Beginning);
        let _alone = self.passage.write();
        self.view().seqno
    }
}

#[cfg(test)]
pub(super) mod hooks {
    //! Lets a test stop a thread inside the gate.

    use std::sync::Arc;

    use parking_lot::Mutex;

    /// Where a thread may be stopped.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) enum Stage {
        /// A reader has loaded its view and opened nothing.
        ViewLoaded,
        /// Maintenance is about to ask for the gate.
        Beginning,
    }

    type Hook = Arc<dyn Fn(Stage) + Send + Sync>;

    /// The hook of one gate.
    #[derive(Default)]
    pub(crate) struct Hooks(Mutex<Option<Hook>>);

    impl Hooks {
        /// Calls `hook` at every stage from now on.
        pub(crate) fn set(&self, hook: impl Fn(Stage) + Send + Sync + 'static) {
            *self.0.lock() = Some(Arc::new(hook));
        }

        pub(crate) fn reach(&self, stage: Stage) {
            let hook = self.0.lock().clone();
            if let Some(hook) = hook {
                hook(stage);
            }
        }
    }
}
