//! The running set of mechanisms over one node: what the server talks to.
//!
//! [`System`] owns the catalog, the volumes with their loops, and the plugin lifecycle. Reads of its state
//! take no lock. Changes run in tasks of their own: a caller who goes away leaves nothing half-done.
//! They take a [`Cause`]: who asks and why, for the history. What is refused of those that are about a plugin
//! leaves a row there, too; the creation and the conversion of a volume are about the plugin of its format.
//!
//! | file | what |
//! |---|---|
//! | `start` | the order in which a node starts |
//! | `config`, `info` | what the mechanisms are configured with, and what they tell |
//! | `jobs`, `shadow` | the calls about jobs and about shadows |

mod config;
mod info;
mod jobs;
mod shadow;
mod start;

#[cfg(test)]
mod opening_tests;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use mortise_kernel::node::Volume;
use mortise_plugin_runtime::{Limits, World};
use parking_lot::Mutex;

pub use config::{NewPlugin, ShippedPlugin, SystemConfig};
pub use info::{
    Activation, BindingInfo, CandidateInfo, ConfigInfo, FaultInfo, HistoryInfo, KeptInfo, PluginDetail,
    PluginInfo, QuarantineInfo, StandingInfo, StrategyInfo, VolumeInfo, VolumeReport,
};
pub use shadow::{CallTimes, ShadowExample, ShadowInfo, ShadowReport};

use crate::catalog::{Catalog, Origin};
use crate::cause::Cause;
use crate::plugins::{Addition, Capabilities, Judged, Lifecycle, Step, capability_named};
use crate::rebuild::{Jobs, WantedFormat};
use crate::recording::{Recorded, RecordingInfo};
use crate::volumes::{DEFAULT, Opening, Volumes};
use crate::{Error, Result};

/// Name of the strategy that is part of the program. It needs no plugin and always works.
pub const NATIVE_STRATEGY: &str = "native";

/// The running set of mechanisms over one node.
pub struct System {
    catalog: Arc<Catalog>,
    lifecycle: Arc<Lifecycle>,
    volumes: Arc<Volumes>,
    jobs: Arc<Jobs>,
    /// What the start has begun to open.
    opening: Mutex<Opening>,
    /// How long codecs are waited for.
    patience: Duration,
    stop_grace: Duration,
}

impl std::fmt::Debug for System {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("System").finish_non_exhaustive()
    }
}

impl System {
    /// The volume called `name`, or `default`. Cheap: this is on the path of every request.
    ///
    /// # Errors
    /// [`Error::NoSuchVolume`]; [`Error::VolumeFailed`] when it could not be opened.
    pub fn resolve(&self, name: Option<&str>) -> Result<Arc<Volume>> {
        self.volumes.opened(name.unwrap_or(DEFAULT)).map(|open| Arc::clone(&open.volume))
    }

    /// Whether there is a volume of this name that is served, or would be if it could be opened. One that
    /// could not must be refused by name: whoever means it must not get another one.
    #[must_use]
    pub fn has_volume(&self, name: &str) -> bool {
        self.volumes.has(name)
    }

    /// Creates a volume in a format; it is served when this returns.
    ///
    /// # Errors
    /// [`Error::VolumeName`], [`Error::VolumeExists`], [`Error::VolumeInTransition`], [`Error::NoSuchPlugin`]
    /// and [`Error::NoFormat`] for a format that is none, and those of the kernel.
    pub async fn create_volume(&self, name: &str, format: WantedFormat, cause: Cause) -> Result<VolumeInfo> {
        let (volumes, name) = (Arc::clone(&self.volumes), name.to_owned());
        detached(async move { volumes.create(&name, &format, &cause).await }).await
    }

    /// All volumes of the catalog, by name.
    #[must_use]
    pub fn list_volumes(&self) -> Vec<VolumeInfo> {
        self.volumes.list()
    }

    /// Deletes a volume with everything in it. Repeating it finishes a deletion that failed half-way.
    ///
    /// # Errors
    /// [`Error::NoSuchVolume`], [`Error::VolumeProtected`], [`Error::VolumeInTransition`], and those of the
    /// kernel.
    pub async fn delete_volume(&self, name: &str, cause: Cause) -> Result<()> {
        let (volumes, name) = (Arc::clone(&self.volumes), name.to_owned());
        let jobs = Arc::clone(&self.jobs);
        detached(async move {
            cause.check()?;
            volumes.deletable(&name)?;
            jobs.cancel_on(&name, &cause).await;
            volumes.delete(&name, &cause).await
        })
        .await
    }

    /// Everything about one open volume.
    ///
    /// # Errors
    /// As [`System::resolve`].
    pub fn volume_report(&self, name: &str) -> Result<VolumeReport> {
        let mut report = self.volumes.report(name)?;
        report.job = self.jobs.on(name);
        Ok(report)
    }

    /// Verifies, compiles and stores a component under the name given, or under the one that it gives itself.
    /// The same component may be added again.
    ///
    /// # Errors
    /// [`Error::ComponentTooLarge`], [`Error::ComponentRefused`], [`Error::DescribeFailed`],
    /// [`Error::Unsigned`], [`Error::WrongSignature`], [`Error::NotGranted`], [`Error::NoSuchCapability`],
    /// [`Error::PluginName`], [`Error::PluginVersion`], [`Error::PluginConflict`], and those of the catalog.
    pub async fn plugin_add(&self, new: NewPlugin, cause: Cause) -> Result<PluginInfo> {
        let (lifecycle, volumes) = (Arc::clone(&self.lifecycle), Arc::clone(&self.volumes));
        let (grants, addition) = addition(new, cause);
        detached(async move {
            if let Err(error) = grants {
                lifecycle.turn_away(&addition, &error).await;
                return Err(error);
            }
            let chosen = lifecycle.add(addition).await?;
            if chosen.row.world == World::Format.as_str() {
                volumes.open_failed().await;
            }
            lifecycle.info_of(&chosen)
        })
        .await
    }

    /// Says what [`System::plugin_add`] would, and leaves nothing behind.
    ///
    /// # Errors
    /// What is not the component's doing, such as [`Error::ShuttingDown`].
    pub async fn plugin_check(&self, new: NewPlugin) -> Result<Judged> {
        let (grants, addition) = addition(new, Cause::default());
        match grants {
            Ok(()) => self.lifecycle.check(addition).await,
            Err(error) => Judged::refused(Step::Capabilities, error),
        }
    }

    /// Tells the history that a component was refused because it is larger than allowed, and was not read to
    /// its end. Returns the refusal.
    pub async fn plugin_oversized(&self, name: Option<&str>, cause: Cause) -> Error {
        let (lifecycle, name) = (Arc::clone(&self.lifecycle), name.map(str::to_owned));
        let told = async move { Ok(lifecycle.refuse_oversized(name.as_deref(), &cause).await) };
        detached(told).await.unwrap_or_else(|error| error)
    }

    /// Tells the history that a component was not received to its end, and what was answered.
    pub async fn plugin_not_received(&self, name: Option<&str>, answer: &str, cause: Cause) {
        let (lifecycle, name) = (Arc::clone(&self.lifecycle), name.map(str::to_owned));
        let outcome = format!("failed: {answer}");
        let told = async move {
            lifecycle.tell_unread(name.as_deref(), &outcome, &cause).await;
            Ok(())
        };
        drop(detached(told).await);
    }

    /// All versions of all plugins, by name, newest first.
    #[must_use]
    pub fn plugin_list(&self) -> Vec<PluginInfo> {
        self.lifecycle.list()
    }

    /// Everything about one plugin.
    ///
    /// # Errors
    /// [`Error::NoSuchPlugin`].
    pub fn plugin_show(&self, name: &str) -> Result<PluginDetail> {
        self.lifecycle.show(name)
    }

    /// The audit rows about a plugin, or about all plugins, newest first.
    ///
    /// # Errors
    /// [`Error::NoSuchPlugin`] when there is neither such a plugin nor a row about one.
    pub fn plugin_history(&self, name: Option<&str>) -> Result<Vec<HistoryInfo>> {
        self.lifecycle.history(name)
    }

    /// Binds a volume to a version of a plugin (the newest when none is given), or to [`NATIVE_STRATEGY`].
    /// Verifies, compiles and rehearses first; returns when the new version serves. A call that is under way
    /// finishes on the old version. Naming a version in quarantine explicitly gives it another chance.
    ///
    /// # Errors
    /// [`Error::NoSuchPlugin`], [`Error::NoSuchVolume`], [`Error::ConfigSyntax`], [`Error::Blob`],
    /// [`Error::Rehearsal`], and those of the catalog. On every error the volume keeps its strategy, except
    /// when the catalog's answer was lost: then the next start decides.
    pub async fn plugin_use(
        &self,
        name: &str,
        version: Option<&str>,
        volume: &str,
        config_json: Option<String>,
        cause: Cause,
    ) -> Result<Activation> {
        let lifecycle = Arc::clone(&self.lifecycle);
        let (name, version, volume) = (name.to_owned(), version.map(str::to_owned), volume.to_owned());
        detached(async move { lifecycle.bind(&name, version.as_deref(), &volume, config_json, &cause).await })
            .await
    }

    /// Takes a volume back to its earlier binding; returns when that serves.
    ///
    /// # Errors
    /// [`Error::NothingToRollBack`], [`Error::NoSuchVolume`], [`Error::Blob`], and those of the catalog.
    pub async fn plugin_rollback(&self, volume: &str, cause: Cause) -> Result<Activation> {
        let (lifecycle, volume) = (Arc::clone(&self.lifecycle), volume.to_owned());
        detached(async move { lifecycle.roll_back(&volume, &cause).await }).await
    }

    /// Removes one version of a plugin, or all.
    ///
    /// # Errors
    /// [`Error::NoSuchPlugin`], [`Error::PluginInUse`], [`Error::PluginShipped`], and those of the catalog.
    pub async fn plugin_remove(&self, name: &str, version: Option<&str>, cause: Cause) -> Result<()> {
        let (lifecycle, volumes) = (Arc::clone(&self.lifecycle), Arc::clone(&self.volumes));
        let (name, version) = (name.to_owned(), version.map(str::to_owned));
        // What a volume needs may have become less by itself, when a kept generation went.
        volumes.note_formats().await;
        detached(async move { lifecycle.remove(&name, version.as_deref(), &cause).await }).await
    }

    /// Puts a version of a format (the newest when none is given) into quarantine: from now on no volume is
    /// created in it, converted to it or opened with it; whoever is refused it reads the reason.
    ///
    /// # Errors
    /// [`Error::NoSuchPlugin`], [`Error::WrongWorld`], [`Error::PluginInUse`] while the data of a volume is
    /// in it, and those of the catalog.
    pub async fn plugin_quarantine(
        &self,
        name: &str,
        version: Option<&str>,
        cause: Cause,
    ) -> Result<PluginInfo> {
        let (lifecycle, volumes) = (Arc::clone(&self.lifecycle), Arc::clone(&self.volumes));
        let (name, version) = (name.to_owned(), version.map(str::to_owned));
        detached(async move {
            volumes.note_formats().await;
            let chosen = lifecycle.quarantine_format(&name, version.as_deref(), &cause).await?;
            lifecycle.info_of(&chosen)
        })
        .await
    }

    /// Ends the quarantine of a version of a format; volumes that waited for it open.
    ///
    /// # Errors
    /// [`Error::NoSuchPlugin`], [`Error::WrongWorld`], [`Error::PluginStage`] when it is not in quarantine,
    /// and those of the catalog.
    pub async fn plugin_release(
        &self,
        name: &str,
        version: Option<&str>,
        cause: Cause,
    ) -> Result<PluginInfo> {
        let (lifecycle, volumes) = (Arc::clone(&self.lifecycle), Arc::clone(&self.volumes));
        let (name, version) = (name.to_owned(), version.map(str::to_owned));
        detached(async move {
            let chosen = lifecycle.release_format(&name, version.as_deref(), &cause).await?;
            volumes.open_failed().await;
            lifecycle.info_of(&chosen)
        })
        .await
    }

    /// Sets the limits of every version of a plugin to what `change` makes of those of its newest version;
    /// they hold from its next call on.
    ///
    /// # Errors
    /// [`Error::Limits`], [`Error::NoSuchPlugin`], and those of the catalog.
    pub async fn plugin_limits(
        &self,
        name: &str,
        change: impl FnOnce(Limits) -> Limits + Send + 'static,
        cause: Cause,
    ) -> Result<Vec<PluginInfo>> {
        let (lifecycle, name) = (Arc::clone(&self.lifecycle), name.to_owned());
        let owned = name.clone();
        detached(async move { lifecycle.limit(&owned, change, &cause).await }).await?;
        Ok(self.lifecycle.versions(&self.catalog.model(), &name))
    }

    /// Keeps the last `calls` calls of a volume's strategy from now on, in at most so many bytes of memory; 0
    /// bytes means the usual number, and 0 calls ends it. The setting survives a restart, the calls do not.
    ///
    /// # Errors
    /// [`Error::Limits`], [`Error::NoSuchVolume`], and those of the catalog.
    pub async fn record_plugin(
        &self,
        volume: &str,
        calls: u64,
        bytes: u64,
        cause: Cause,
    ) -> Result<RecordingInfo> {
        let (lifecycle, volume) = (Arc::clone(&self.lifecycle), volume.to_owned());
        detached(async move { lifecycle.record(&volume, calls, bytes, &cause).await }).await
    }

    /// The calls that are kept of a volume's strategy, the oldest first.
    ///
    /// # Errors
    /// [`Error::NoSuchVolume`].
    pub fn recorded_calls(&self, volume: &str) -> Result<Vec<Arc<Recorded>>> {
        self.lifecycle.recorded(volume)
    }

    /// Ends the jobs and the compaction loops. The volumes stay open: the node closes them.
    pub async fn shutdown(&self) {
        self.jobs.stop();
        if tokio::time::timeout(self.stop_grace, self.jobs.stopped()).await.is_err() {
            tracing::warn!("a job was still running when it was abandoned; the volume is as it was");
        }
        self.volumes.stop_loops().await;
    }
}

/// The component with the capabilities that its grants name, and whether there are such.
pub(crate) fn addition(new: NewPlugin, cause: Cause) -> (Result<()>, Addition) {
    let NewPlugin { bytes, name, signature, grants } = new;
    let (known, grants) = match grants.iter().map(|name| capability_named(name)).collect::<Result<_>>() {
        Ok(grants) => (Ok(()), grants),
        Err(error) => (Err(error), Capabilities::new()),
    };
    (known, Addition { bytes: bytes.into(), name, signature, grants, origin: Origin::Added, cause })
}

/// Runs `work` to its end even when the caller goes away.
async fn detached<T: Send + 'static>(work: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
    match tokio::spawn(work).await {
        Ok(result) => result,
        Err(error) if error.is_panic() => Err(Error::Internal(format!("a task panicked: {error}"))),
        Err(_) => Err(Error::ShuttingDown),
    }
}
