//! What the lifecycle needs of the plugin runtime.
//!
//! Two traits stand between them, so that tests of the lifecycle run without WebAssembly. Everything here
//! blocks, for seconds where a component is compiled; async code calls it on a blocking thread. The
//! capabilities that a component is loaded with are all that it has for as long as it is loaded.

use std::collections::BTreeSet;
use std::sync::Arc;

use mortise_plugin_runtime::format::Format;
use mortise_plugin_runtime::{
    Component, Description, Fault, Identity, Limits, Runtime, SharedLimits, Usage, World,
};

use super::capability::{self, Capabilities};
use crate::compaction::Strategy;
use crate::{Error, Result};

/// Inspects and compiles components.
pub(crate) trait Host: Send + Sync + 'static {
    /// Reads what a component says about itself; none of its code runs.
    fn inspect(&self, bytes: &[u8]) -> Result<Description>;
    /// Verifies and compiles a component, or takes it from the cache. It gets these capabilities, no others.
    fn load(&self, bytes: &[u8], capabilities: &Capabilities) -> Result<Arc<dyn Loaded>>;
    /// As [`Self::load`], and keeps nothing on disk.
    fn try_out(&self, bytes: &[u8], capabilities: &Capabilities) -> Result<Arc<dyn Loaded>>;
    /// As [`Self::load`], and never compiles: `None` when the component is not compiled yet.
    fn load_compiled(&self, bytes: &[u8], capabilities: &Capabilities) -> Result<Option<Arc<dyn Loaded>>>;
    /// Drops what is kept on disk of a compiled component.
    fn evict(&self, digest: &str);
    /// Drops what is kept on disk of all compiled components that are not `named`.
    fn evict_all_but(&self, named: &BTreeSet<String>);
}

/// A component that can run.
pub(crate) trait Loaded: Send + Sync + 'static {
    /// Asks the component who it is.
    fn identity(&self, limits: &Limits) -> Result<Identity, Fault>;
    /// The component as a compaction strategy.
    fn strategy(&self, limits: Limits) -> Result<Arc<dyn Strategy>>;
    /// Whether the component can serve its world under these limits.
    fn fits(&self, world: World, limits: Limits) -> Result<()> {
        match world {
            World::CompactionStrategy => self.strategy(limits).map(drop),
            // What it makes of a configuration is asked when a volume is to have it.
            World::Format => self.format(limits.into(), "{}").map(drop),
            other => Err(Error::ComponentRefused(format!("this node has no use for world {other}"))),
        }
    }
    /// The component as a format with the given configuration, which it has not seen yet.
    fn format(&self, limits: SharedLimits, config: &str) -> Result<Format>;
    /// What its calls used since it was loaded.
    fn usage(&self) -> Usage {
        Usage::default()
    }
    /// Says by which name and version the catalog knows it, for the metrics.
    fn name_for_metrics(&self, _plugin: &str, _version: &str) {}
}

impl Host for Runtime {
    fn inspect(&self, bytes: &[u8]) -> Result<Description> {
        Self::inspect(self, bytes).map_err(Error::from)
    }

    fn load(&self, bytes: &[u8], capabilities: &Capabilities) -> Result<Arc<dyn Loaded>> {
        let grants = capability::as_grants(capabilities);
        Ok(Arc::new(self.load_granted(bytes, grants).map_err(Error::from)?))
    }

    fn try_out(&self, bytes: &[u8], capabilities: &Capabilities) -> Result<Arc<dyn Loaded>> {
        let grants = capability::as_grants(capabilities);
        Ok(Arc::new(self.try_out_granted(bytes, grants).map_err(Error::from)?))
    }

    fn load_compiled(&self, bytes: &[u8], capabilities: &Capabilities) -> Result<Option<Arc<dyn Loaded>>> {
        let grants = capability::as_grants(capabilities);
        let component = Self::load_compiled(self, bytes, grants).map_err(Error::from)?;
        Ok(component.map(|component| Arc::new(component) as Arc<dyn Loaded>))
    }

    fn evict(&self, digest: &str) {
        Self::evict(self, digest);
    }

    fn evict_all_but(&self, named: &BTreeSet<String>) {
        Self::evict_all_but(self, named);
    }
}

impl Loaded for Component {
    fn identity(&self, limits: &Limits) -> Result<Identity, Fault> {
        Self::identity(self, limits)
    }

    fn strategy(&self, limits: Limits) -> Result<Arc<dyn Strategy>> {
        Ok(Arc::new(self.compaction_strategy(limits).map_err(Error::from)?))
    }

    fn format(&self, limits: SharedLimits, config: &str) -> Result<Format> {
        Self::format(self, limits, config).map_err(Error::from)
    }

    fn usage(&self) -> Usage {
        Self::usage(self)
    }

    fn name_for_metrics(&self, plugin: &str, version: &str) {
        Self::name_for_metrics(self, plugin, version);
    }
}
