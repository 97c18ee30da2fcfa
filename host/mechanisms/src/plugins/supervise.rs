//! What follows faults: they are remembered, a version that faults too often is quarantined, and one that
//! faults while it is watched is taken back.
//!
//! The strategy is exchanged first and the catalog written after it, because a faulting strategy must go even
//! when the disk is full; nor does it wait for a successor to be compiled. A verdict that could not be
//! written is kept in memory, holds there, and is written as soon as the catalog takes it, at the latest
//! before an administrator's next use or promotion on that volume.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;

use super::act::Lifecycle;
use super::decide::{self, Convict, Penalty};
use crate::catalog::Target;
use crate::compaction::{Active, Shadow, Supervisor};
use crate::system::FaultInfo;
use crate::telemetry;

impl Supervisor for Lifecycle {
    fn fault(&self, volume: &str, active: &Active, kind: &'static str, detail: &str) {
        self.faults.push(FaultInfo {
            unix_ms: self.clock.unix_millis(),
            volume: volume.into(),
            plugin: active.info.plugin.clone(),
            version: active.info.version.clone(),
            kind: kind.into(),
            detail: detail.into(),
        });
    }

    fn quarantine<'a>(&'a self, volume: &'a str, active: &'a Active, reason: String) -> BoxFuture<'a, ()> {
        self.convict(volume, active, Penalty::Quarantine, reason).boxed()
    }

    fn take_back<'a>(&'a self, volume: &'a str, active: &'a Active, reason: String) -> BoxFuture<'a, ()> {
        self.convict(volume, active, Penalty::TakeBack, reason).boxed()
    }

    fn end_shadow<'a>(
        &'a self,
        volume: &'a str,
        shadow: &'a Arc<Shadow>,
        reason: String,
    ) -> BoxFuture<'a, ()> {
        self.fail_shadow(volume, shadow, reason).boxed()
    }

    fn settle<'a>(&'a self, volume: &'a str) -> BoxFuture<'a, ()> {
        self.save(volume).boxed()
    }
}

impl Lifecycle {
    async fn convict(&self, volume: &str, active: &Active, sentence: Penalty, reason: String) {
        let Ok(attached) = self.attached(volume) else { return };
        let key = (volume.to_owned(), active.info.digest.clone());
        let convict = Convict {
            sentence,
            plugin: active.info.plugin.clone(),
            version: active.info.version.clone(),
            digest: active.info.digest.clone(),
            config: active.info.config.clone(),
            reason,
            since_unix_ms: self.clock.unix_millis(),
        };
        self.unsaved.lock().insert(key.clone(), convict.clone());
        let mut next = self.best_at_hand(volume).await;
        let done = match sentence {
            Penalty::Quarantine => "was quarantined",
            Penalty::TakeBack => "was rolled back in its watch period",
        };
        next.problem = Some(format!("{} {} {done}: {}", convict.plugin, convict.version, convict.reason));
        let next_info = next.info.clone();
        if !attached.slot.replace_if(active.activation, next, self.clock.unix_millis()) {
            // Somebody bound another strategy, or the same one anew, while this one faulted for the last
            // time.
            self.unsaved.lock().remove(&key);
            return;
        }
        let message = match sentence {
            Penalty::Quarantine => {
                telemetry::quarantined(volume, &convict.plugin, &convict.version);
                "the plugin is quarantined for this volume"
            }
            Penalty::TakeBack => {
                telemetry::taken_back(volume, &convict.plugin, &convict.version);
                "the plugin is rolled back in its watch period"
            }
        };
        tracing::error!(
            volume,
            plugin = convict.plugin,
            version = convict.version,
            digest = convict.digest,
            reason = convict.reason,
            serving = next_info.plugin,
            serving_version = next_info.version,
            "{message}"
        );
        self.save(volume).await;
    }

    /// Writes the verdicts about a volume that the catalog does not show yet, and that its shadow ended.
    pub(super) async fn save(&self, volume: &str) {
        self.save_shadow(volume).await;
        let pending: Vec<Convict> = {
            let unsaved = self.unsaved.lock();
            let here = unsaved.iter().filter(|((name, _), _)| name == volume);
            here.map(|(_, convict)| convict.clone()).collect()
        };
        let barred = |target: &Target, digest: &str| self.is_barred(volume, target, digest);
        for convict in pending {
            let Ok(attached) = self.attached(volume) else { return };
            let active = attached.slot.load();
            let serving = format!("{} {}", active.info.plugin, active.info.version);
            let written = self.catalog.commit(|model| {
                // Whoever bound the version anew has cleared it, and the verdict must not come back.
                if !self.is_unsaved(volume, &convict) {
                    return Ok((crate::catalog::Change::default(), ()));
                }
                let place = self.place_of(&attached);
                match convict.sentence {
                    Penalty::Quarantine => {
                        decide::quarantine(model, place, &convict, &barred, serving.trim())
                    }
                    Penalty::TakeBack => decide::take_back(model, place, &convict, &barred),
                }
            });
            match written.await {
                Ok(()) => {
                    self.unsaved.lock().remove(&(volume.to_owned(), convict.digest.clone()));
                }
                Err(error) => {
                    let plugin = &convict.plugin;
                    tracing::warn!(volume, plugin, %error, "the verdict holds, but is not written yet");
                }
            }
        }
    }

    fn is_unsaved(&self, volume: &str, convict: &Convict) -> bool {
        let unsaved = self.unsaved.lock();
        unsaved.get(&(volume.to_owned(), convict.digest.clone())) == Some(convict)
    }
}
