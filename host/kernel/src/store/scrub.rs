//! Logical compaction: removes what no readable revision can show any more.
//!
//! A version that revision `s` superseded is the answer for revisions below `s` only. Once `s` is at or
//! below the compacted revision, nobody can ask for those. So for each revision up to the compacted one,
//! oldest first, its row says what goes: the version it superseded, its own tombstone where it deleted the
//! key (every older version of that key went before), and the row itself.
//!
//! Scrubbing writes through the ordinary path, under the write lock, a few revisions at a time, and changes
//! no answer. It needs no position of its own: what a crash takes back, it takes back together with the row
//! that asks for it, and a restart finds work left exactly when the oldest row is not above the compacted
//! revision.

use super::handle::Store;
use super::records;
use super::source::{Source, Staged};
use super::tree::Change;
use super::{ScrubProgress, columns};
use crate::Result;

/// Scrubs up to `max_revisions` revisions.
pub(super) fn step(store: &Store, max_revisions: usize) -> Result<ScrubProgress> {
    let mut writer = store.writer.lock();
    let compacted = writer.state.compacted;
    if writer.scrubbed >= compacted {
        return Ok(ScrubProgress { done: true, removed: 0 });
    }
    let nothing = Staged::new();
    let source = Source::newest(&store.tree, &nothing);
    // Starting behind what is done spares a walk over the tombstones of all rows ever removed.
    let bounds = (columns::revision(writer.scrubbed + 1), columns::revision(compacted + 1));
    let mut staged = Staged::new();
    let mut progress = ScrubProgress { done: true, removed: 0 };
    let mut scrubbed = compacted;
    let mut last = writer.scrubbed;
    for (count, row) in source.rows(Some(bounds)).enumerate() {
        let (key, value) = row?;
        if count == max_revisions {
            progress.done = false;
            scrubbed = last;
            break;
        }
        let undecodable = || store.tree.undecodable(&key);
        let revision = columns::decode_revision(&key).ok_or_else(undecodable)?;
        for touch in records::decode_touches(&value).ok_or_else(undecodable)? {
            if touch.previous != 0 {
                staged.insert(columns::history(&touch.key, touch.previous), Change::RemoveOnce);
                progress.removed += 1;
            }
            if touch.deleted {
                staged.insert(columns::history(&touch.key, revision), Change::RemoveOnce);
                progress.removed += 1;
            }
        }
        staged.insert(columns::revision(revision), Change::RemoveOnce);
        last = revision;
    }
    if !staged.is_empty() {
        let state = writer.state.clone();
        store.commit(&mut writer, staged, state);
    }
    writer.scrubbed = scrubbed;
    Ok(progress)
}
