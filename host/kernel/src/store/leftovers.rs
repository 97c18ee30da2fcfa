//! Table files that failed maintenance leaves behind.
//!
//! A flush or a step that fails, most likely for want of space, leaves the tables that it had begun. The
//! library removes such orphans when the tree is opened; on a full disk they must go at once, or each
//! further attempt would take what space was freed. Files are removed only while neither a flush nor a step
//! runs, and only when neither the tree in memory nor the manifest on disk knows them: after a failure the
//! two may differ, and a restart goes by the manifest.

use std::ops::Range;

use lsm_tree::AbstractTree;

use super::handle::Store;
use crate::{Result, manifest};

/// Runs one piece of maintenance; when it fails, remembers which tables it may have begun and removes them as
/// soon as nothing else can be writing tables. `work` takes the turns that it needs by itself.
pub(super) fn guard<T>(store: &Store, work: impl FnOnce() -> Result<T>) -> Result<T> {
    sweep(store);
    let first = store.tree.library().next_table_id();
    let result = work();
    if result.is_err() {
        let begun = first..store.tree.library().next_table_id();
        if !begun.is_empty() {
            store.leftovers.lock().push(begun);
            sweep(store);
        }
    }
    result
}

fn sweep(store: &Store) {
    if store.leftovers.lock().is_empty() {
        return;
    }
    let Some(_step) = store.step_turn.try_lock() else { return };
    let Some(_flush) = store.flush_turn.try_lock() else { return };
    let mut leftovers = store.leftovers.lock();
    match remove(store, &leftovers) {
        Ok(()) => leftovers.clear(),
        Err(error) => tracing::warn!(%error, "files of failed maintenance could not be removed yet"),
    }
}

fn remove(store: &Store, leftovers: &[Range<u64>]) -> Result<()> {
    let path = store.tree.path();
    let mut known = manifest::listed_ids(&path)?;
    known.extend(store.tree.library().current_version().iter_tables().map(lsm_tree::Table::id));
    for id in leftovers.iter().cloned().flatten().filter(|id| !known.contains(id)) {
        let file = manifest::table_path(&path, id);
        match std::fs::remove_file(&file) {
            Ok(()) => tracing::info!(file = %file.display(), "removed a table that failed maintenance left"),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(source) => {
                return Err(crate::Error::Io { context: format!("removing {}", file.display()), source });
            }
        }
    }
    Ok(())
}
