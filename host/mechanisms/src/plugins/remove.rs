//! Plugins go: `plugin remove`, and the files that no row names.
//!
//! Rows go before files, so that no row ever names a file that is gone; a stop in between leaves files, which
//! the next start removes. The lock over files is held until they are gone, even when nobody waits any more,
//! so that a component that is added again at that moment keeps its file.
//!
//! A row that cannot be read may name any file. As long as there is one, files that seem to be nobody's stay.

use std::sync::Arc;

use super::act::{Lifecycle, blocking};
use super::decide::{self, Attempt};
use super::stage::Stage;
use crate::Result;
use crate::cause::Cause;

impl Lifecycle {
    /// Removes one version of a plugin, or all, unless one of them is in use.
    pub(crate) async fn remove(&self, name: &str, version: Option<&str>, cause: &Cause) -> Result<()> {
        let attempt = Attempt::new("plugin-remove", cause).plugin(name, version);
        self.told(attempt, self.try_remove(name, version, cause)).await
    }

    async fn try_remove(&self, name: &str, version: Option<&str>, cause: &Cause) -> Result<()> {
        let shipped: Vec<String> = self.shipped.lock().iter().cloned().collect();
        let serving = |digest: &str| self.serving(digest);
        let mark = |model: &_| decide::mark_removed(model, name, version, &shipped, &serving);
        while self.catalog.commit_for(cause, mark).await? {}
        self.finish_removals().await
    }

    /// Takes out what is marked as removed: rows, quarantines, files, compiled code.
    pub(super) async fn finish_removals(&self) -> Result<()> {
        let marked = || self.catalog.model().plugins.values().any(|row| row.stage == Stage::Removed);
        let mut more = marked();
        while more {
            let together = Arc::clone(&self.files).lock_owned().await;
            let cleared = self.catalog.commit(decide::clear_removed).await?;
            let digests = cleared.digests;
            more = cleared.more;
            digests.iter().for_each(|digest| self.forget(digest));
            self.unsaved.lock().retain(|(_, unsaved), _| !digests.contains(unsaved));
            let (host, blobs) = (Arc::clone(&self.host), Arc::clone(&self.blobs));
            // The lock goes along: the files must be gone before they can come again, even if nobody waits.
            let removed = blocking(move || {
                let _together = together;
                for digest in digests {
                    host.evict(&digest);
                    if let Err(error) = blobs.remove(&digest) {
                        tracing::warn!(digest, %error, "the removed plugin's file is left over");
                    }
                }
                Ok(())
            });
            removed.await?;
        }
        Ok(())
    }

    /// Removes the files that nothing names, neither a component's row nor a volume that is written in its
    /// format. Not when a row cannot be read: it may name one.
    pub(crate) async fn remove_unnamed_files(&self) {
        let model = self.catalog.model();
        if !model.unreadable.is_empty() {
            return;
        }
        let named = model.components().into_iter().map(str::to_owned).collect();
        let (host, blobs) = (Arc::clone(&self.host), Arc::clone(&self.blobs));
        let removed = blocking(move || {
            host.evict_all_but(&named);
            blobs.remove_all_but(&named)
        });
        if let Err(error) = removed.await {
            tracing::warn!(%error, "leftover plugin files could not be removed");
        }
    }
}
