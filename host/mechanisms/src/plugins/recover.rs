//! What a stop interrupted is undone or finished, before anything is registered or served.
//!
//! | found | then |
//! |---|---|
//! | an arrival: a component that was being verified | undone: it may be what stopped the node |
//! | a candidate in stage `rehearsed` | undone: whoever asked for it was not answered |
//! | a row in stage `removed` | finished: nobody can bind it any more |
//!
//! What cannot be written now, because the disk is full say, is found again by the next start and does no
//! harm until then.

use super::act::Lifecycle;
use super::decide;
use crate::Result;

impl Lifecycle {
    /// Undoes or finishes what a stop interrupted, and removes the files that are left without a row.
    pub(crate) async fn recover(&self) {
        if let Err(error) = self.resume().await {
            tracing::error!(%error, "what the last stop interrupted could not be tidied up; the next start will");
        }
        self.remove_unnamed_files().await;
    }

    async fn resume(&self) -> Result<()> {
        while self.catalog.commit(decide::interrupted_arrivals).await? {}
        let default = self.default_strategy.as_str();
        while self.catalog.commit(|model| decide::interrupted_candidates(model, default)).await? {}
        self.finish_removals().await
    }
}
