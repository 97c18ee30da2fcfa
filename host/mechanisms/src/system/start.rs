//! Starting: the system volume, the catalog in it, the shipped plugins, then every volume.
//!
//! What is wrong with one volume or one plugin is reported and set aside. Only what puts data at risk, or
//! leaves nothing to serve, keeps the node from starting.

use std::collections::BTreeSet;
use std::sync::Arc;

use mortise_kernel::node::{Node, Volume, VolumeConfig, VolumeId};
use mortise_plugin_runtime::Runtime;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::{System, SystemConfig};
use crate::catalog::{Blobs, Catalog, Keep, SystemVolume};
use crate::plugins::{Host, Lifecycle, Settings};
use crate::rebuild::Jobs;
use crate::volumes::{
    LoopConfig, SYSTEM, SystemVolumeStart, Volumes, found, on_disk, start_plan, system_start,
};
use crate::{NATIVE_STRATEGY, Result};

impl System {
    /// Opens the system volume (or makes it, on a new node), finishes what a crash interrupted, opens the
    /// volumes of the catalog and starts their loops. Returns when the natural ones are served; those that
    /// need a codec follow, see [`System::opened`].
    ///
    /// # Errors
    /// [`Error::CatalogMissing`](crate::Error::CatalogMissing) when volumes are on the disk without the
    /// catalog that names them; those of the kernel concerning the system volume and the plugin directory.
    pub async fn start(node: Arc<Node>, runtime: Arc<Runtime>, config: SystemConfig) -> Result<Arc<Self>> {
        Self::start_over(node, runtime, config).await
    }

    /// [`System::start`] over any plugin host.
    pub(crate) async fn start_over(
        node: Arc<Node>,
        host: Arc<dyn Host>,
        config: SystemConfig,
    ) -> Result<Arc<Self>> {
        let ids = on_disk(&node)?;
        let system_volume = open_system_volume(&node, &ids).await?;
        let rows = SystemVolume { volume: Arc::clone(&system_volume), deadline: config.catalog_deadline };
        let clock = Arc::clone(&config.clock);
        let keep =
            Keep { per_plugin: config.history_rows_per_plugin.max(1), in_all: config.history_rows.max(1) };
        let catalog = Arc::new(Catalog::load(Box::new(rows), Arc::clone(&clock), keep).await?);
        let unix_ms = clock.unix_millis();
        catalog.commit(|model| found(model, &ids, unix_ms)).await?;

        let lifecycle = Arc::new(Lifecycle::new(
            host,
            Arc::clone(&catalog),
            Blobs::open(&node.subdirectory("plugins")?)?,
            Arc::clone(&clock),
            Settings {
                default_strategy: config.default_strategy.clone(),
                max_component_bytes: config.max_component_bytes,
                trust: config.trust.clone(),
                watch: config.plugin_watch,
            },
        ));
        config.codecs.serve(&lifecycle);
        lifecycle.recover().await;
        lifecycle.register_shipped(&config.shipped).await;
        if config.default_strategy == NATIVE_STRATEGY {
            tracing::info!("volumes without a binding are compacted natively, as configured");
        }

        let loops = LoopConfig {
            guard_l0_runs: config.guard_l0_runs,
            tick: config.safety_tick,
            stop_grace: config.shutdown_grace,
            codec_patience: config.codec_patience,
        };
        let jobs = Jobs::new(Arc::clone(&catalog), Arc::clone(&lifecycle), Arc::clone(&clock));
        jobs.recover().await;
        let volumes = Arc::new(Volumes::new(
            node,
            Arc::clone(&catalog),
            Arc::clone(&lifecycle),
            Arc::clone(&jobs),
            clock,
            config.max_parallel_steps,
            loops,
        ));
        volumes.serve(SYSTEM, system_volume).await;
        let opening = volumes.start(start_plan(&catalog.model(), &ids)).await;
        let opening = Mutex::new(opening.natural().await);
        let (patience, stop_grace) = (config.codec_patience, config.shutdown_grace);
        Ok(Arc::new(Self { catalog, lifecycle, volumes, jobs, opening, patience, stop_grace }))
    }
}

impl System {
    /// Waits until every volume that was there at the start is served or has its reason why not, but not
    /// long for codecs that do not answer; their volumes are served as soon as they are open.
    pub async fn opened(&self) {
        let opening = std::mem::take(&mut *self.opening.lock());
        opening.until(Instant::now() + self.patience).await;
    }
}

async fn open_system_volume(node: &Node, ids: &BTreeSet<u64>) -> Result<Arc<Volume>> {
    let config = || VolumeConfig { id: VolumeId::SYSTEM, name: SYSTEM.into() };
    Ok(match system_start(ids)? {
        SystemVolumeStart::Create => node.create_volume(config()).await?,
        SystemVolumeStart::Open => node.open_volume(config()).await?,
        SystemVolumeStart::OpenOrCreate => match node.create_volume(config()).await {
            Err(mortise_kernel::Error::VolumeExists(_)) => node.open_volume(config()).await?,
            other => other?,
        },
    })
}
