//! The volumes whose strategies the lifecycle looks after, from their opening to their end.
//!
//! A volume is chosen by its name and is another one when it was deleted and made anew: [`Attached`] has the
//! id, and what was begun for one is never done to the other ([`Lifecycle::place_of`]).

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use super::act::{Lifecycle, WORLD};
use super::decide::Place;
use crate::compaction::{Observer, Slot};
use crate::system::StrategyInfo;
use crate::{Error, Result};

/// A volume whose strategy the lifecycle looks after.
pub(crate) struct Attached {
    /// A name can be another volume's later.
    pub volume_id: u64,
    pub observer: Arc<Observer>,
    pub slot: Arc<Slot>,
    /// Held while the binding is changed.
    pub changing: tokio::sync::Mutex<()>,
}

/// All of them, by name. Reading never waits.
#[derive(Default)]
pub(super) struct AttachedVolumes {
    all: ArcSwap<BTreeMap<String, Arc<Attached>>>,
    changing: Mutex<()>,
}

impl AttachedVolumes {
    /// Those that are open now.
    pub(super) fn load(&self) -> Arc<BTreeMap<String, Arc<Attached>>> {
        self.all.load_full()
    }

    fn insert(&self, entry: Arc<Attached>) {
        self.change(|all| drop(all.insert(entry.slot.volume().into(), entry)));
    }

    fn remove(&self, volume: &str) {
        self.change(|all| drop(all.remove(volume)));
    }

    fn change(&self, change: impl FnOnce(&mut BTreeMap<String, Arc<Attached>>)) {
        let _order = self.changing.lock();
        let mut all = BTreeMap::clone(&self.all.load());
        change(&mut all);
        self.all.store(Arc::new(all));
    }
}

impl Lifecycle {
    /// Begins to look after a volume: its binding's strategy is put into service, or the next best.
    pub(crate) async fn attach(&self, volume: &str, volume_id: u64, observer: Arc<Observer>) -> Arc<Slot> {
        let chosen_from = self.catalog.model();
        let first = self.best_and_told(volume).await;
        let slot = Arc::new(Slot::new(volume, first, self.clock.unix_millis()));
        slot.recorder().keep(self.recording(volume));
        let changing = tokio::sync::Mutex::default();
        let entry = Arc::new(Attached { volume_id, observer, slot: Arc::clone(&slot), changing });
        self.resume_shadow(&entry).await;
        self.attached.insert(Arc::clone(&entry));
        // Whoever changed a plugin's limits before has not seen this volume.
        let now = self.catalog.model();
        let shadow = slot.shadow().map(|shadow| shadow.candidate.info.clone());
        let serving = [Some(slot.load().info.clone()), shadow];
        for StrategyInfo { plugin, version, .. } in serving.into_iter().flatten() {
            let address = (plugin, version);
            if now.plugins.get(&address) != chosen_from.plugins.get(&address) {
                self.renew(&entry, &address.0).await;
            }
        }
        slot
    }

    /// Puts what a volume has of a plugin back into service as its rows are now: other limits, say.
    pub(super) async fn renew(&self, attached: &Attached, plugin: &str) {
        let _order = attached.changing.lock().await;
        let active = attached.slot.load();
        if active.info.plugin == plugin {
            let next = self.best_and_told(attached.slot.volume()).await;
            attached.slot.replace_if(active.activation, next, self.clock.unix_millis());
        }
        if attached.slot.shadow().is_some_and(|shadow| shadow.candidate.info.plugin == plugin) {
            self.resume_shadow(attached).await;
        }
    }

    /// Forgets a volume that is closed.
    pub(crate) fn detach(&self, volume: &str) {
        if let Some(gone) = self.attached.load().get(volume) {
            gone.slot.retire();
        }
        self.attached.remove(volume);
        self.unsaved.lock().retain(|(name, _), _| name != volume);
        self.ended_shadows.lock().remove(volume);
        self.format_is_gone(volume);
    }

    /// The volume, when it is open.
    pub(super) fn attached(&self, volume: &str) -> Result<Arc<Attached>> {
        let all = self.attached.load();
        all.get(volume).cloned().ok_or_else(|| Error::NoSuchVolume(volume.into()))
    }

    /// The binding of whichever volume has this name.
    pub(super) fn place<'a>(&'a self, volume: &'a str) -> Place<'a> {
        Place { volume, volume_id: None, world: WORLD.as_str(), default_strategy: &self.default_strategy }
    }

    /// The binding of this very volume.
    pub(super) fn place_of<'a>(&'a self, attached: &'a Attached) -> Place<'a> {
        Place { volume_id: Some(attached.volume_id), ..self.place(attached.slot.volume()) }
    }
}
