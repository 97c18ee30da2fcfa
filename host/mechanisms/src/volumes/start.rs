//! Opening the volumes of the catalog when the node starts, and those that could not be opened later on.
//!
//! Natural volumes take as long as they take, and wait for nobody but each other. One whose data may be
//! encoded by a codec replays what is not flushed by that codec, which may have to be compiled first, may be
//! slow, and is asked again for a while when it faults. So volumes queue in *lanes*, one for each set of
//! codecs: a codec that does not answer keeps nobody waiting but the volumes that need it, too. And of those
//! none waits long: a volume that is not open after [`SystemConfig::codec_patience`] goes on beside the
//! others and leaves its place in the lane to the next one. Each is served as soon as it is open.
//!
//! [`SystemConfig::codec_patience`]: crate::SystemConfig::codec_patience

use std::collections::HashMap;
use std::sync::Arc;

use futures::future::join_all;
use mortise_kernel::format::FormatId;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};

use super::act::Volumes;
use super::condemn::IN_DOUBT;
use super::decide::StartPlan;
use crate::catalog::{HistoryRow, Model, VolumeState};

/// Volumes of one lane that are opened at once.
const OPENED_AT_ONCE: usize = 8;

/// What is said of a volume meanwhile.
const OPENING: &str = "it is being opened: its codec has to replay what is not flushed, and is asked again \
    for a minute when it faults; the log of the node says more";

/// A volume that is to be opened, or whose creation is to be completed.
struct Wanted {
    name: String,
    id: u64,
    /// The format of a creation that was interrupted.
    incomplete: Option<FormatId>,
    /// Digests of the codecs that may have to be there for it; none for a natural volume.
    codecs: Vec<String>,
}

impl Wanted {
    fn new(model: &Model, name: String, id: u64, incomplete: Option<FormatId>) -> Self {
        let row = model.volumes.get(&name);
        // A conversion that was cut off leaves the data in either format.
        let named = row.into_iter().flat_map(|row| row.codec.iter().chain(&row.converting));
        let codecs = named.filter_map(|format| format.digest.clone()).collect();
        Self { name, id, incomplete, codecs }
    }
}

/// Volumes that are being opened, each in a task of its own that goes on when this is dropped.
#[derive(Default)]
pub(crate) struct Opening {
    natural: Vec<JoinHandle<()>>,
    encoded: Vec<JoinHandle<()>>,
}

impl Opening {
    /// Waits for the natural volumes; returns the others.
    pub(crate) async fn natural(self) -> Self {
        join_all(self.natural).await;
        Self { natural: Vec::new(), encoded: self.encoded }
    }

    /// Waits until every volume is open or has its reason why not, and until `end` at most.
    pub(crate) async fn until(self, end: Instant) {
        let all = join_all(self.natural.into_iter().chain(self.encoded));
        if timeout_at(end, all).await.is_err() {
            tracing::warn!(
                "volumes are still being opened: they replay what is not flushed, or their codecs do not \
                 answer; the others are served"
            );
        }
    }
}

impl Volumes {
    /// Carries out what was decided at the start. A volume that cannot be opened is set aside with its
    /// reason, and the others are served.
    pub(crate) async fn start(self: &Arc<Self>, plan: StartPlan) -> Opening {
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
        let model = self.catalog.model();
        let complete = plan.complete.into_iter().map(|(name, id, format)| (name, id, Some(format)));
        let open = plan.open.into_iter().map(|(name, id)| (name, id, None));
        let wanted = complete.chain(open);
        self.open_each(wanted.map(|(name, id, incomplete)| Wanted::new(&model, name, id, incomplete)))
    }

    /// Tries again to open the volumes that could not be opened, because what they lacked may be there now.
    pub(crate) async fn open_failed(self: &Arc<Self>) {
        let model = self.catalog.model();
        let failed: Vec<String> = self.failed.lock().keys().cloned().collect();
        let wanted = failed.into_iter().filter_map(|name| {
            let row = model.volumes.get(&name).filter(|row| row.state != VolumeState::Deleting)?;
            let incomplete = (row.state == VolumeState::Creating).then(|| row.format_id());
            Some(Wanted::new(&model, name, row.id, incomplete))
        });
        self.open_each(wanted).until(Instant::now() + self.config.codec_patience).await;
    }

    fn open_each(self: &Arc<Self>, wanted: impl Iterator<Item = Wanted>) -> Opening {
        let mut lanes: HashMap<Vec<String>, Arc<Semaphore>> = HashMap::new();
        let mut opening = Opening::default();
        for wanted in wanted {
            let lane = lanes.entry(wanted.codecs.clone());
            let lane = Arc::clone(lane.or_insert_with(|| Arc::new(Semaphore::new(OPENED_AT_ONCE))));
            let among = if wanted.codecs.is_empty() { &mut opening.natural } else { &mut opening.encoded };
            if !wanted.codecs.is_empty() {
                // Said before the task begins, which takes it back when it ends.
                self.failed.lock().entry(wanted.name.clone()).or_insert_with(|| OPENING.to_owned());
            }
            among.push(tokio::spawn(Arc::clone(self).open_in_turn(wanted, lane)));
        }
        opening
    }

    /// Opens a volume when there is a place for it in its lane.
    async fn open_in_turn(self: Arc<Self>, wanted: Wanted, lane: Arc<Semaphore>) {
        let place = lane.acquire().await;
        // A volume that somebody else works on, or a node that stops, needs nothing.
        let Ok(_claim) = self.claim(&wanted.name) else { return };
        if !self.is_still_wanted(&wanted) {
            let served = self.open.load().contains_key(&wanted.name);
            let mut failed = self.failed.lock();
            if failed.get(&wanted.name).is_some_and(|reason| served || reason == OPENING) {
                failed.remove(&wanted.name);
            }
            return;
        }
        let mut opened = std::pin::pin!(self.open_or_tell(&wanted));
        if wanted.codecs.is_empty() {
            return opened.await;
        }
        if timeout(self.config.codec_patience, &mut opened).await.is_err() {
            tracing::warn!(volume = wanted.name, id = wanted.id, "the volume waits for its codec");
            drop(place);
            opened.await;
        }
    }

    /// Whether a volume whose name is claimed now is still to be opened. While it waited for its place it may
    /// have been opened, deleted, or deleted for all that anybody knows.
    fn is_still_wanted(&self, wanted: &Wanted) -> bool {
        let model = self.catalog.model();
        let row = model.volumes.get(&wanted.name).filter(|row| row.id == wanted.id);
        let state = if wanted.incomplete.is_some() { VolumeState::Creating } else { VolumeState::Ready };
        row.is_some_and(|row| row.state == state)
            && !self.open.load().contains_key(&wanted.name)
            && self.failed.lock().get(&wanted.name).is_none_or(|reason| reason != IN_DOUBT)
    }

    async fn open_or_tell(&self, wanted: &Wanted) {
        let Wanted { name, id, .. } = wanted;
        let opened = match &wanted.incomplete {
            Some(format) => self.complete(name, *id, format.clone()).await,
            None => self.open_one(name, *id).await,
        };
        match opened {
            Ok(()) => {
                if self.failed.lock().remove(name).is_some() {
                    tracing::info!(volume = name, "the volume is served");
                }
            }
            Err(error) => {
                tracing::error!(volume = name, id, %error, "the volume cannot be served; the others are");
                self.failed.lock().insert(name.clone(), error.to_string());
            }
        }
    }
}
