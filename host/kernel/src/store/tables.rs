//! All rows of a tree's tables, read past the block cache.
//!
//! Whoever reads a whole volume once would fill the cache with what nobody asks for again, and drive out what
//! requests need. So tables are read here as compaction reads them: each from front to end, one table of a
//! run at a time, with a file and a small buffer of its own. The runs of one moment are merged, and of each
//! key its newest version is told, unless that is a tombstone.
//!
//! What is in tables is the state at exactly one position of the log (see [`super::handle`]). Memtables are
//! left out, so that none stays in memory because of a long read; who needs their rows flushes them before.
//!
//! This module must not know columns, but for the row that names the position.

use lsm_tree::merge::Merger;
use lsm_tree::table::Scanner;
use lsm_tree::{AbstractTree, InternalValue, Slice, Table};

use super::columns;
use super::convert::Row;
use super::records::State;
use super::tree::Tree;
use crate::{Error, Result};

/// The tables of one moment. Their files stay for as long as this lives, or rows of it.
pub(super) struct Tables {
    /// Runs, each of tables in key order that do not overlap.
    runs: Vec<Vec<Table>>,
    /// Dropped behind the tables, so that its tenure covers them.
    tree: Tree,
}

impl Tables {
    /// Those that the tree has now.
    pub(super) fn of(tree: &Tree) -> Self {
        let version = tree.library().current_version();
        let runs = version.iter_levels().flat_map(|level| level.iter());
        Self { runs: runs.map(|run| run.iter().cloned().collect()).collect(), tree: tree.clone() }
    }

    fn all(&self) -> impl Iterator<Item = &Table> {
        self.runs.iter().flatten()
    }

    /// Rows in them, superseded ones of the tree and its tombstones included.
    pub(super) fn count(&self) -> u64 {
        self.all().map(|table| table.metadata.item_count).sum()
    }

    /// Their bytes on disk.
    pub(super) fn bytes(&self) -> u64 {
        self.all().map(|table| table.metadata.file_size).sum()
    }

    /// The state that they hold; the default one when there are none.
    pub(super) fn state(&self) -> Result<State> {
        if self.runs.is_empty() {
            return Ok(State::default());
        }
        let key = Slice::from(columns::STATE);
        let mut newest: Option<InternalValue> = None;
        for table in self.all().filter(|table| table.metadata.key_range.contains_key(&key)) {
            for row in table.range(key.clone()..=key.clone()) {
                let row = row.map_err(|error| self.tree.explain("reading the position of tables", &error))?;
                if newest.as_ref().is_none_or(|newest| newest.key.seqno < row.key.seqno) {
                    newest = Some(row);
                }
            }
        }
        let Some(row) = newest else {
            let detail = "expected a row with the position of its tables, found none".to_owned();
            return Err(Error::Corrupt { path: self.tree.path(), detail });
        };
        State::decode(&row.value.into()).ok_or_else(|| self.tree.undecodable(columns::STATE))
    }

    /// Their rows in key order. Files are opened when the first row is asked for.
    pub(super) fn rows(&self) -> TableRows {
        let runs = self.runs.iter().map(|run| Run { waiting: run.clone().into_iter(), scanned: None });
        TableRows { merged: Merger::new(runs.collect()), last: None, tree: self.tree.clone() }
    }
}

/// One run, from its first table to its last.
struct Run {
    waiting: std::vec::IntoIter<Table>,
    scanned: Option<(Scanner, Table)>,
}

impl Iterator for Run {
    type Item = lsm_tree::Result<InternalValue>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some((scanner, _)) = &mut self.scanned
                && let Some(row) = scanner.next()
            {
                return Some(row);
            }
            self.scanned = None;
            let table = self.waiting.next()?;
            match table.scan() {
                Ok(scanner) => self.scanned = Some((scanner, table)),
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

/// The newest rows of tables, in key order.
pub(super) struct TableRows {
    merged: Merger<Run>,
    /// The key told last, or passed over.
    last: Option<Slice>,
    /// Dropped behind the tables, so that its tenure covers them.
    tree: Tree,
}

impl TableRows {
    /// The tree, for its errors.
    pub(super) fn tree(&self) -> &Tree {
        &self.tree
    }

    fn newest(&mut self) -> Result<Option<Row>> {
        for row in self.merged.by_ref() {
            let InternalValue { key, value } =
                row.map_err(|error| self.tree.explain("reading tables", &error))?;
            if self.last.as_ref() == Some(&key.user_key) {
                continue;
            }
            self.last = Some(key.user_key.clone());
            if !key.is_tombstone() {
                return Ok(Some((key.user_key.into(), value.into())));
            }
        }
        Ok(None)
    }
}

impl Iterator for TableRows {
    type Item = Result<Row>;

    fn next(&mut self) -> Option<Self::Item> {
        self.newest().transpose()
    }
}
