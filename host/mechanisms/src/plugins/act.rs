//! The plugin lifecycle: components come in, are bound to volumes, are swapped while they serve, and go.
//!
//! [`Lifecycle`] holds what runs: the compiled components and one [`Slot`] per volume. Changes of one
//! volume's binding are ordered by a lock per volume; the catalog's transactions order them against everybody
//! else. The catalog is always changed first and the slot after it, so that what serves after a restart is
//! what served before it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use mortise_kernel::format::FormatId;
use mortise_kernel::seams::SharedClock;
use mortise_plugin_runtime::World;
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::arriving::Arriving;
use super::attached::AttachedVolumes;
use super::choose::{self, Chosen};
use super::codec_watch::CodecWatch;
use super::compiled::Compiling;
use super::decide::{self, Attempt, Convict};
use super::faults::RememberedFaults;
use super::host::{Host, Loaded};
use super::in_service::FormatsInService;
use super::shadow::EndedShadow;
use super::signature::Trust;
use crate::catalog::{Blobs, Catalog, HistoryRow, Origin, Target};
use crate::compaction::{Candidate, Strategy};
use crate::system::StrategyInfo;
use crate::{Error, NATIVE_STRATEGY, Result, telemetry};

/// The only world so far that a volume is bound for.
pub(crate) const WORLD: World = World::CompactionStrategy;

/// How the lifecycle of a node is set.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// What serves a volume without a binding of its own.
    pub default_strategy: String,
    pub max_component_bytes: usize,
    pub trust: Trust,
    /// How long the first fault of a newly active version takes it back; nothing: not at all.
    pub watch: Duration,
}

/// The plugin lifecycle.
pub(crate) struct Lifecycle {
    pub(super) host: Arc<dyn Host>,
    pub(super) catalog: Arc<Catalog>,
    pub(super) blobs: Arc<Blobs>,
    pub(super) clock: SharedClock,
    pub(super) default_strategy: String,
    pub(super) max_component_bytes: usize,
    pub(super) trust: Trust,
    pub(super) watch: Duration,
    /// Held while a component is compiled: compiling takes a core and much memory, and further ones wait.
    /// Whoever compiles takes the permit along to the blocking thread, which works on when nobody waits.
    pub(super) compiling: Arc<Semaphore>,
    /// Held while a component's file and its row come or go, which are one thing to everybody else.
    pub(super) files: Arc<tokio::sync::Mutex<()>>,
    /// Compiled components by digest.
    pub(super) components: Mutex<HashMap<String, Arc<dyn Loaded>>>,
    pub(super) attached: AttachedVolumes,
    /// Verdicts that could not be written into the catalog yet, by volume and digest.
    pub(super) unsaved: Mutex<BTreeMap<(String, String), Convict>>,
    /// Shadows whose end could not be written yet, by volume.
    pub(super) ended_shadows: Mutex<BTreeMap<String, EndedShadow>>,
    pub(super) faults: Arc<RememberedFaults>,
    /// Watches over the codecs that were asked for, by digest.
    pub(super) codecs: Mutex<BTreeMap<String, Arc<CodecWatch>>>,
    pub(super) formats: FormatsInService,
    /// Digests of the components that come with this program.
    pub(super) shipped: Mutex<BTreeSet<String>>,
    pub(super) arriving: Arriving,
}

impl Lifecycle {
    pub(crate) fn new(
        host: Arc<dyn Host>,
        catalog: Arc<Catalog>,
        blobs: Blobs,
        clock: SharedClock,
        settings: Settings,
    ) -> Self {
        let Settings { default_strategy, max_component_bytes, trust, watch } = settings;
        Self {
            host,
            catalog,
            blobs: Arc::new(blobs),
            clock,
            default_strategy,
            max_component_bytes,
            trust,
            watch,
            compiling: Arc::new(Semaphore::new(1)),
            files: Arc::default(),
            components: Mutex::default(),
            attached: AttachedVolumes::default(),
            unsaved: Mutex::default(),
            ended_shadows: Mutex::default(),
            faults: Arc::default(),
            codecs: Mutex::default(),
            formats: FormatsInService::default(),
            shipped: Mutex::default(),
            arriving: Arriving::default(),
        }
    }

    /// Whether a verdict that the catalog does not show yet keeps a target from serving a volume.
    pub(super) fn is_barred(&self, volume: &str, target: &Target, digest: &str) -> bool {
        let unsaved = self.unsaved.lock();
        unsaved.get(&(volume.into(), digest.into())).is_some_and(|convict| convict.bars(target, digest))
    }

    /// As [`Self::best`]; where something else serves than is bound, the history tells.
    pub(super) async fn best_and_told(&self, volume: &str) -> Candidate {
        let best = self.best(volume).await;
        if let Some(problem) = &best.problem {
            let bound = self.binding(volume).map_or(Target::Default, |row| row.current);
            let bound = self.describe(&bound);
            let serving = format!("{} {}", best.info.plugin, best.info.version);
            let row = HistoryRow::node("fallback", problem)
                .volume(volume)
                .plugin(&bound.plugin, &bound.version, &bound.digest)
                .outcome(format!("{} serves", serving.trim_end()));
            self.audit(row).await;
        }
        best
    }

    /// Does what an administrator asks for. When that comes to nothing, the history tells; when the history
    /// cannot be written, because the disk is full say, the answer is the same.
    pub(super) async fn told<T>(
        &self,
        attempt: Attempt<'_>,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let done = match attempt.cause.check() {
            Ok(()) => work.await,
            Err(refused) => Err(refused.into()),
        };
        if let Err(error) = &done
            && !matches!(error, Error::ShuttingDown)
        {
            let place = attempt.volume.map(|volume| self.place(volume));
            self.audit(decide::refused(&self.catalog.model(), place, &attempt, error)).await;
        }
        done
    }

    /// As [`Self::told`], of the plugin that a format is of, by the format's name. What is about native
    /// formats alone is not told: no plugin has to do with it.
    pub(crate) async fn told_of_format<T>(
        &self,
        attempt: Attempt<'_>,
        format: &str,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        if format == FormatId::natural().name {
            attempt.cause.check()?;
            return work.await;
        }
        let plugin = choose::plugin_meant(&self.catalog.model(), format);
        self.told(attempt.plugin(&plugin, attempt.version), work).await
    }

    /// What serves where no volume has a binding of its own.
    pub(crate) fn default_strategy(&self) -> &str {
        &self.default_strategy
    }

    /// Writes an audit row of its own. Its failure is only logged.
    pub(super) async fn audit(&self, row: HistoryRow) {
        audit(&self.catalog, row).await;
    }

    /// The best strategy that can serve a volume. It never fails: the native one is always there.
    async fn best(&self, volume: &str) -> Candidate {
        self.best_of(volume, Compiling::Awaited).await
    }

    /// The best strategy that can serve a volume now, without waiting for the compiler: others may have given
    /// it minutes of work.
    pub(super) async fn best_at_hand(&self, volume: &str) -> Candidate {
        self.best_of(volume, Compiling::Never).await
    }

    async fn best_of(&self, volume: &str, compiling: Compiling) -> Candidate {
        let model = self.catalog.model();
        let barred = |target: &Target, digest: &str| self.is_barred(volume, target, digest);
        let preference = choose::prefer(&model, volume, WORLD.as_str(), &self.default_strategy, barred);
        let mut problem = preference.problem;
        for (chosen, config) in preference.plugins {
            match self.strategy_by(&chosen, compiling).await {
                Ok(strategy) => {
                    let row = self.binding(volume).filter(|row| row.current == chosen.target(&config));
                    let watched_until_unix_ms = row.map_or(0, |row| row.watch_until_unix_ms);
                    let best = candidate(&chosen, &config, strategy, problem);
                    return Candidate { watched_until_unix_ms, ..best };
                }
                Err(error) => {
                    let (plugin, version) = (&chosen.name, &chosen.version);
                    tracing::error!(volume, plugin, version, %error, "the plugin cannot serve; another does");
                    problem.get_or_insert(error.to_string());
                }
            }
        }
        if let Some(problem) = &problem {
            tracing::warn!(volume, problem, "the native compaction strategy serves");
        }
        Candidate::native(problem)
    }

    /// Whether a version may run on this node as it is configured.
    fn permit(&self, chosen: &Chosen) -> Result<()> {
        if chosen.row.world != WORLD.as_str() {
            return Err(Error::WrongWorld {
                name: chosen.name.clone(),
                version: chosen.version.clone(),
                expected: WORLD.to_string(),
                found: chosen.row.world.clone(),
                cure: "it decides nothing about compaction; a format is chosen with `mortise volume convert`",
            });
        }
        // What comes with the program is trusted like the program.
        if chosen.row.origin == Origin::Shipped { Ok(()) } else { self.trust.permits(&chosen.row.signature) }
    }

    /// A plugin version, ready to be asked: from memory, else from its file.
    pub(super) async fn strategy(&self, chosen: &Chosen) -> Result<Arc<dyn Strategy>> {
        self.strategy_by(chosen, Compiling::Awaited).await
    }

    async fn strategy_by(&self, chosen: &Chosen, compiling: Compiling) -> Result<Arc<dyn Strategy>> {
        self.permit(chosen)?;
        let component = self.compiled(chosen, compiling).await?;
        let (name, version) = telemetry::labelled(&chosen.name, &chosen.version);
        component.name_for_metrics(name, version);
        let limits = chosen.row.limits;
        blocking(move || component.strategy(limits)).await
    }

    /// Names of the volumes that a component serves right now, is about to, or shadows.
    pub(crate) fn serving(&self, digest: &str) -> Vec<String> {
        let all = self.attached.load();
        let serves = all.iter().filter(|(_, attached)| {
            let (candidate, shadow) = (attached.slot.candidate(), attached.slot.shadow());
            attached.slot.load().info.digest == digest
                || candidate.is_some_and(|candidate| candidate.info.digest == digest)
                || shadow.is_some_and(|shadow| shadow.candidate.info.digest == digest)
        });
        serves.map(|(name, _)| name.clone()).collect()
    }

    /// A target as it is shown.
    pub(crate) fn describe(&self, target: &Target) -> StrategyInfo {
        let native = || crate::compaction::native_info();
        match target {
            Target::Plugin { plugin, version, digest, config } => StrategyInfo {
                plugin: plugin.clone(),
                version: version.clone(),
                digest: digest.clone(),
                config: config.clone(),
            },
            Target::Native => native(),
            Target::Default => match choose::resolve(&self.catalog.model(), target, &self.default_strategy) {
                Ok(Some((chosen, config))) => info(&chosen, &config),
                Ok(None) => native(),
                Err(_) => StrategyInfo { plugin: self.default_strategy.clone(), ..native() },
            },
        }
    }
}

/// As [`Lifecycle::audit`].
pub(super) async fn audit(catalog: &Catalog, row: HistoryRow) {
    let written = catalog.commit(|_| {
        let mut change = crate::catalog::Change::default();
        change.audit(row.clone());
        Ok((change, ()))
    });
    if let Err(error) = written.await {
        tracing::warn!(%error, "the audit row could not be written");
    }
}

/// A plugin version that is about to serve. It is not watched yet.
pub(super) fn candidate(
    chosen: &Chosen,
    config: &str,
    strategy: Arc<dyn Strategy>,
    problem: Option<String>,
) -> Candidate {
    Candidate { info: info(chosen, config), strategy, problem, watched_until_unix_ms: 0 }
}

fn info(chosen: &Chosen, config: &str) -> StrategyInfo {
    StrategyInfo {
        plugin: chosen.name.clone(),
        version: chosen.version.clone(),
        digest: chosen.row.digest.clone(),
        config: config.into(),
    }
}

/// Whether `name` is the built-in strategy rather than a plugin.
pub(super) fn is_native(name: &str) -> bool {
    name == NATIVE_STRATEGY
}

/// Runs blocking work on a thread for it.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) if error.is_panic() => Err(Error::Internal(format!("blocking work panicked: {error}"))),
        Err(_) => Err(Error::ShuttingDown),
    }
}
