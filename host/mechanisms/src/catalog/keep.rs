//! How much of the history is kept.
//!
//! Every plugin has so many rows, and all of them together. Anybody can be refused any number of times, so
//! rows about refusals are kept in smaller numbers: those of a plugin may take up a quarter of its share, and
//! those about names that nobody has a share of their own, which is no part of the whole. A flood of
//! either pushes out its own kind, and little of what was done.

use std::collections::HashMap;

use super::history_rows::HistoryRow;
use super::model::Model;

/// Old rows that one change removes at most; a transaction has room for 128 operations.
const PRUNED_AT_ONCE: usize = 24;

/// How many audit rows are kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keep {
    /// Of each plugin; of all names together that nobody has.
    pub per_plugin: usize,
    /// Of all plugins and volumes together.
    pub in_all: usize,
}

/// Rows that are kept so far, going back from the newest.
#[derive(Default)]
struct Kept<'a> {
    in_all: usize,
    strangers: usize,
    /// Of each plugin: all rows, and those about refusals.
    plugins: HashMap<&'a str, (usize, usize)>,
}

impl<'a> Kept<'a> {
    fn has_room(&self, row: &HistoryRow, keep: Keep) -> bool {
        if row.stranger {
            return self.strangers < keep.per_plugin;
        }
        let of_plugin = row.plugin.as_deref().and_then(|plugin| self.plugins.get(plugin));
        let (all, refused) = of_plugin.copied().unwrap_or_default();
        let refused = if row.refused { refused } else { 0 };
        self.in_all < keep.in_all && all < keep.per_plugin && refused < keep.per_plugin.div_ceil(4)
    }

    fn count(&mut self, row: &'a HistoryRow) {
        if row.stranger {
            self.strangers += 1;
            return;
        }
        self.in_all += 1;
        if let Some(plugin) = row.plugin.as_deref() {
            let (all, refused) = self.plugins.entry(plugin).or_default();
            *all += 1;
            *refused += usize::from(row.refused);
        }
    }
}

impl Keep {
    /// Rows that are too many once `new` ones are there, the oldest first, at most [`PRUNED_AT_ONCE`]. What
    /// is left over is for the next change.
    pub(super) fn excess(self, model: &Model, new: &[HistoryRow]) -> Vec<u64> {
        let mut kept = Kept::default();
        new.iter().for_each(|row| kept.count(row));
        let mut excess = Vec::new();
        for (sequence, row) in model.history.iter().rev() {
            if kept.has_room(row, self) {
                kept.count(row);
            } else {
                excess.push(*sequence);
            }
        }
        excess.reverse();
        excess.truncate(PRUNED_AT_ONCE);
        excess
    }
}
