//! Opening the volumes of the catalog when the node starts.
//!
//! The node serves when its volumes do, each or its reason why not. Natural ones take as long as they take.
//! One with a codec replays what is not flushed by that codec, and a codec that faults is tried again for a
//! while: no other volume waits for that longer than [`PATIENCE`]. Such a volume is served as soon as it is
//! open.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use mortise_kernel::format::FormatId;

use super::act::Volumes;
use super::decide::StartPlan;
use crate::catalog::HistoryRow;

/// Volumes that are opened at once.
const OPENED_AT_ONCE: usize = 8;

/// How long the node waits for a volume whose format has a codec.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is said of such a volume meanwhile.
const OPENING: &str = "it is being opened: its codec has to replay what is not flushed, and is asked again for a \
    minute when it faults; the log of the node says more";

impl Volumes {
    /// Carries out what was decided at the start. A volume that cannot be opened is set aside with its
    /// reason, and the others are served.
    pub(crate) async fn start(self: &Arc<Self>, plan: StartPlan) {
        for id in plan.strangers {
            let directory = self.node.config().data_dir.join("volumes").join(id.to_string());
            tracing::error!(
                id,
                directory = %directory.display(),
                "no row of the catalog names this volume's directory; it was left alone and is not served: \
                 if its data is wanted, restore the catalog (the system volume) that names it, \
                 else stop the node and move the directory away"
            );
        }
        for (name, id) in plan.remove {
            tracing::info!(volume = name, id, "finishing a deletion that was interrupted");
            if let Err(error) =
                self.remove_files_and_rows(&name, id, &HistoryRow::node("volume-delete", "interrupted")).await
            {
                tracing::error!(volume = name, id, %error, "the deletion could not be finished");
            }
        }
        let complete = plan.complete.into_iter().map(|(name, id, format)| (name, id, Some(format)));
        let open = plan.open.into_iter().map(|(name, id)| (name, id, None));
        futures::stream::iter(complete.chain(open))
            .for_each_concurrent(OPENED_AT_ONCE, |(name, id, incomplete)| async move {
                let model = self.catalog.model();
                let row = model.volumes.get(&name);
                if row.is_some_and(|row| !row.format_id().is_natural()) {
                    self.open_beside(name, id, incomplete).await;
                } else {
                    self.open_or_tell(&name, id, incomplete).await;
                }
            })
            .await;
    }

    /// Opens a volume in a task of its own and waits for it a little.
    async fn open_beside(self: &Arc<Self>, name: String, id: u64, incomplete: Option<FormatId>) {
        // Said before the task begins, which takes it back when it ends.
        self.failed.lock().insert(name.clone(), OPENING.to_owned());
        let (volumes, volume) = (Arc::clone(self), name.clone());
        let opening = tokio::spawn(async move {
            if let Ok(_claim) = volumes.claim(&volume) {
                volumes.open_or_tell(&volume, id, incomplete).await;
            }
        });
        if tokio::time::timeout(PATIENCE, opening).await.is_err() {
            tracing::warn!(volume = name, id, "the volume is still being opened; the others are served");
        }
    }

    async fn open_or_tell(&self, name: &str, id: u64, incomplete: Option<FormatId>) {
        let opened = match incomplete {
            Some(format) => self.complete(name, id, format).await,
            None => self.open_one(name, id).await,
        };
        match opened {
            Ok(()) => drop(self.failed.lock().remove(name)),
            Err(error) => {
                tracing::error!(volume = name, id, %error, "the volume cannot be served; the others are");
                self.failed.lock().insert(name.to_owned(), error.to_string());
            }
        }
    }
}
