//! Where reads come from: the tree as of a sequence number, under changes that are not in it yet.
//!
//! A reader looks at the tree as of its view. An entry being applied looks at the newest state of the tree
//! with its own changes on top, so that each command sees the effects of those before it. Everything above
//! this module reads through a [`Source`] and needs not care which of the two it is.

use std::collections::BTreeMap;
use std::iter::Peekable;

use bytes::Bytes;
use lsm_tree::SeqNo;

use super::columns::Bounds;
use super::reading::Wanted;
use super::tree::{Change, Tree, TreeRows};
use crate::Result;

/// Rows that are walked between two looks at whether that is still wanted; well below a millisecond.
const ROWS_UNASKED: u32 = 256;

/// Changes that are not in the tree yet, by tree key.
pub(super) type Staged = BTreeMap<Bytes, Change>;

/// A state that can be read.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    tree: &'a Tree,
    seqno: SeqNo,
    staged: Option<&'a Staged>,
    wanted: Option<&'a Wanted>,
}

impl<'a> Source<'a> {
    /// The tree as of `seqno`. The caller stands in the gate.
    pub(super) fn at(tree: &'a Tree, seqno: SeqNo) -> Self {
        Self { tree, seqno, staged: None, wanted: None }
    }

    /// The newest state of the tree under `staged`. The caller holds the write lock. Super-versions that
    /// maintenance may remove are never the newest, so that the gate is not needed.
    pub(super) fn newest(tree: &'a Tree, staged: &'a Staged) -> Self {
        Self { tree, seqno: SeqNo::MAX, staged: Some(staged), wanted: None }
    }

    /// The same, for walks that end when they are not wanted any more.
    pub(super) fn wanted(self, wanted: &'a Wanted) -> Self {
        Self { wanted: Some(wanted), ..self }
    }

    /// The tree, for its errors.
    pub(super) fn tree(&self) -> &'a Tree {
        self.tree
    }

    /// The value of one tree key.
    pub(super) fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
        match self.staged.and_then(|staged| staged.get(key)) {
            Some(Change::Put(value)) => Ok(Some(value.clone())),
            Some(Change::Remove | Change::RemoveOnce) => Ok(None),
            None => self.tree.get(key, self.seqno),
        }
    }

    /// The rows within `bounds`; `None` holds none. The rows own what they need.
    pub(super) fn rows(&self, bounds: Option<Bounds>) -> Rows {
        let Some((start, end)) = bounds else { return Rows::empty(self.tree) };
        let staged = match self.staged {
            Some(staged) if !staged.is_empty() => staged
                .range(start.clone()..end.clone())
                .map(|(key, change)| (key.clone(), change.clone()))
                .collect::<Vec<_>>(),
            _ => Vec::new(),
        };
        Rows {
            below: self.tree.rows(&start, &end, self.seqno),
            ahead: None,
            staged: staged.into_iter().peekable(),
            wanted: self.wanted.cloned().unwrap_or(Wanted::ALWAYS),
            walked: 0,
            tree: self.tree.clone(),
        }
    }
}

/// Tree rows in key order.
pub(super) struct Rows {
    below: TreeRows,
    /// The next row of `below`, when it was read to be compared with a staged one.
    ahead: Option<(Bytes, Bytes)>,
    staged: Peekable<std::vec::IntoIter<(Bytes, Change)>>,
    wanted: Wanted,
    walked: u32,
    /// The last to be dropped: whoever waits for the end of its tenure waits for the iterator.
    tree: Tree,
}

impl Rows {
    fn empty(tree: &Tree) -> Self {
        Self {
            below: Box::new(std::iter::empty()),
            ahead: None,
            staged: Vec::new().into_iter().peekable(),
            wanted: Wanted::ALWAYS,
            walked: 0,
            tree: tree.clone(),
        }
    }

    /// The tree, for its errors.
    pub(super) fn tree(&self) -> &Tree {
        &self.tree
    }

    fn next_below(&mut self) -> Result<Option<(Bytes, Bytes)>> {
        if let Some(row) = self.ahead.take() {
            return Ok(Some(row));
        }
        self.below.next().map(|item| self.tree.row(item)).transpose()
    }

    fn merged(&mut self) -> Result<Option<(Bytes, Bytes)>> {
        loop {
            let below = self.next_below()?;
            let Some((key, _)) = self.staged.peek() else { return Ok(below) };
            if let Some(row) = below {
                if row.0 < *key {
                    return Ok(Some(row));
                }
                if row.0 > *key {
                    self.ahead = Some(row);
                }
            }
            if let Some((key, Change::Put(value))) = self.staged.next() {
                return Ok(Some((key, value)));
            }
        }
    }
}

impl Iterator for Rows {
    type Item = Result<(Bytes, Bytes)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.walked.is_multiple_of(ROWS_UNASKED)
            && let Err(unwanted) = self.wanted.check()
        {
            return Some(Err(unwanted));
        }
        self.walked = self.walked.wrapping_add(1);
        self.merged().transpose()
    }
}
