//! What can be said about volumes: catalog rows joined with what is open, and with what is on the disk.
//!
//! A row says that a volume exists; whether it is served, in which generation and in which format is asked of
//! the open volume. A volume that should be served and isn't is told as failed, with the reason. The job of a
//! volume is not known here: whoever knows the jobs adds it.
//!
//! Nothing here waits for a volume or changes one.

use std::collections::BTreeSet;

use mortise_kernel::node::Node;

use super::act::Volumes;
use crate::catalog::{Model, VolumeRow, VolumeState};
use crate::compaction::write_amplification;
use crate::rebuild::kept_info;
use crate::system::{VolumeInfo, VolumeReport};
use crate::{Error, Result};

/// Ids of the volumes that have a directory.
pub(crate) fn on_disk(node: &Node) -> Result<BTreeSet<u64>> {
    Ok(node.volumes_on_disk()?.into_iter().map(|id| id.0).collect())
}

impl Volumes {
    /// All volumes of the catalog, by name.
    pub(crate) fn list(&self) -> Vec<VolumeInfo> {
        let model = self.catalog.model();
        model.volumes.iter().map(|(name, row)| self.info(name, row)).collect()
    }

    /// One volume of the catalog.
    pub(crate) fn info_of(&self, model: &Model, name: &str) -> Result<VolumeInfo> {
        let row = model.volumes.get(name).ok_or_else(|| Error::NoSuchVolume(name.into()))?;
        Ok(self.info(name, row))
    }

    /// Whether the catalog has a volume of this name.
    pub(crate) fn known(&self, name: &str) -> Result<()> {
        self.info_of(&self.catalog.model(), name).map(drop)
    }

    fn info(&self, name: &str, row: &VolumeRow) -> VolumeInfo {
        let open = self.open.load();
        let open = open.get(name).map(|open| (open.volume.status(), open.volume.format()));
        let problem = self.failed.lock().get(name).cloned();
        let failed = problem.is_some() && row.state == VolumeState::Ready;
        let suspicion = || open.as_ref().and_then(|(_, format)| self.lifecycle.suspicion(format));
        VolumeInfo {
            name: name.into(),
            id: row.id,
            created_unix_ms: row.created_unix_ms,
            generation: open.as_ref().map_or(0, |(status, _)| status.generation),
            format: open.as_ref().map_or_else(|| row.format.clone(), |(_, format)| format.name.clone()),
            state: if failed { "failed".into() } else { row.state.as_str().into() },
            problem: problem.or_else(suspicion),
        }
    }

    /// Everything about one open volume.
    pub(crate) fn report(&self, name: &str) -> Result<VolumeReport> {
        let open = self.opened(name)?;
        let observed = open.observer.observe();
        Ok(VolumeReport {
            info: self.info_of(&self.catalog.model(), name)?,
            status: open.volume.status(),
            format: open.volume.format(),
            kept: kept_info(&open.volume),
            job: None,
            strategy: self.lifecycle.binding_info(name)?,
            write_rate: observed.write_rate,
            write_amplification: write_amplification(&observed.counters),
            counters: observed.counters,
            shape: observed.shape,
        })
    }
}
