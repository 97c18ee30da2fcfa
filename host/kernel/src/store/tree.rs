//! The lsm-tree of one store, with the library's errors made into the kernel's.
//!
//! Opening checks what the library leaves unchecked: that the manifest is the one whose checksum `current`
//! names. Without that, one flipped bit in the manifest could make a table look like an orphan, and the
//! library removes orphans. Some damage makes the library panic instead of answering with an error; those
//! panics are caught here, while no other part of the store exists yet.
//!
//! This module knows files and sequence numbers. It must not know columns or records.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use lsm_tree::{AbstractTree, AnyTree, Guard, InternalValue, SeqNo, SequenceNumberCounter, ValueType};

use super::StoreConfig;
use super::damage::{self, Suspicion};
use crate::{Error, Result, manifest};

/// Rows of the tree in key order, as of one sequence number.
pub(super) type TreeRows = Box<dyn DoubleEndedIterator<Item = lsm_tree::IterGuardImpl> + Send>;

/// What is done to one key of the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// The key gets this value.
    Put(Bytes),
    /// The key goes.
    Remove,
    /// The key, which was put exactly once, goes: tombstone and value vanish where they meet.
    RemoveOnce,
}

/// A handle on the tree; clones share it.
#[derive(Clone)]
pub(super) struct Tree {
    tree: lsm_tree::Tree,
    path: Arc<Path>,
    seqno: SequenceNumberCounter,
    _tenure: Option<Arc<dyn Any + Send + Sync>>,
    suspicion: Arc<Suspicion>,
    /// Whether an error is looked into by whoever meets it.
    patient: bool,
}

impl Tree {
    /// Opens the tree in the directory, or creates it there.
    pub(super) fn open(config: &StoreConfig) -> Result<Self> {
        let path: Arc<Path> = config.path.clone().into();
        manifest::check(&path)?;
        let seqno = SequenceNumberCounter::new(1);
        let visible = SequenceNumberCounter::new(1);
        let library = lsm_tree::Config::new(&path, seqno.clone(), visible.clone())
            .use_cache(Arc::clone(&config.cache))
            .use_descriptor_table(config.descriptors.clone());
        let opened = catch_unwind(AssertUnwindSafe(|| library.open()));
        let tree = match opened {
            Ok(Ok(AnyTree::Standard(tree))) => tree,
            Ok(Ok(AnyTree::Blob(_))) => {
                let detail = "expected a plain tree, found one with separated values".to_owned();
                return Err(Error::Corrupt { path: path.to_path_buf(), detail });
            }
            Ok(Err(error)) => return Err(damage::explain(&path, "opening the tree", &error)),
            Err(_) => return Err(damage::locate(&path, "its tables cannot be decoded")),
        };
        if let Some(highest) = tree.get_highest_persisted_seqno() {
            seqno.set(highest + 1);
            visible.set(highest + 1);
        }
        let suspicion = Arc::default();
        Ok(Self { tree, path, seqno, _tenure: config.tenure.clone(), suspicion, patient: true })
    }

    /// The same tree for somebody who must not wait while tables are read: errors leave that to
    /// [`Self::find_damage`].
    pub(super) fn impatient(&self) -> Self {
        Self { patient: false, ..self.clone() }
    }

    /// Its directory.
    pub(super) fn path(&self) -> PathBuf {
        self.path.to_path_buf()
    }

    /// The library's tree, for maintenance.
    pub(super) fn library(&self) -> &lsm_tree::Tree {
        &self.tree
    }

    /// The sequence number that the next write will get; everything complete lies below it, as long as no
    /// write is under way.
    pub(super) fn next_seqno(&self) -> SeqNo {
        self.seqno.get()
    }

    /// The value of one key as of `seqno`.
    pub(super) fn get(&self, key: &[u8], seqno: SeqNo) -> Result<Option<Bytes>> {
        match self.tree.get(key, seqno) {
            Ok(value) => Ok(value.map(Bytes::from)),
            Err(error) => Err(self.explain("reading a key", &error)),
        }
    }

    /// The rows from `start` (inclusive) to `end` (exclusive) as of `seqno`. The iterator pins what it reads.
    pub(super) fn rows(&self, start: &Bytes, end: &Bytes, seqno: SeqNo) -> TreeRows {
        self.tree.range(&start[..]..&end[..], seqno, None)
    }

    /// Key and value of one item of [`Self::rows`].
    pub(super) fn row(&self, item: lsm_tree::IterGuardImpl) -> Result<(Bytes, Bytes)> {
        match item.into_inner() {
            Ok((key, value)) => Ok((key.into(), value.into())),
            Err(error) => Err(self.explain("reading a range", &error)),
        }
    }

    /// Inserts the changes into the active memtable under one new sequence number. The caller keeps others
    /// from writing and sealing meanwhile. Returns the bytes of keys and values written and the size of the
    /// memtable.
    pub(super) fn insert(&self, changes: impl IntoIterator<Item = (Bytes, Change)>) -> (u64, u64) {
        let seqno = self.seqno.next();
        let memtable = self.tree.active_memtable();
        let (mut written, mut size) = (0, memtable.size());
        for (key, change) in changes {
            let (value, kind) = match change {
                Change::Put(value) => (value, ValueType::Value),
                Change::Remove => (Bytes::new(), ValueType::Tombstone),
                Change::RemoveOnce => (Bytes::new(), ValueType::WeakTombstone),
            };
            written += (key.len() + value.len()) as u64;
            (_, size) = memtable.insert(InternalValue::from_components(key, value, seqno, kind));
        }
        (written, size)
    }

    /// The kernel's error for an error of the library. Names the damaged file, if that is the reason, where
    /// it may be searched for here, or was found before.
    pub(super) fn explain(&self, context: &'static str, error: &lsm_tree::Error) -> Error {
        let raised = self.suspicion.raise(&self.path, context, error);
        if !self.patient || matches!(raised, Error::NoSpace(_)) {
            return raised;
        }
        self.find_damage().unwrap_or_else(|| damage::unexplained(raised))
    }

    /// The damage that errors since the opening led to, or lead to now. Blocks while tables are read, which
    /// happens once and then again no earlier than after some minutes.
    pub(super) fn find_damage(&self) -> Option<Error> {
        self.suspicion.look_into(|| damage::first_damaged(&self.path))
    }

    /// The error for a row that cannot be decoded although its block's checksum is right.
    pub(super) fn undecodable(&self, key: &[u8]) -> Error {
        let detail = format!("the row with the key {} cannot be decoded", key.escape_ascii());
        Error::Corrupt { path: self.path(), detail }
    }
}
