//! A plugin runtime on a desk: no daemon, no catalog, no cache.
//!
//! A component comes onto the workbench only when a node with default settings would take it, judged by the
//! same code as `plugin add`. So whatever runs here runs under the same limits and with the same capabilities
//! as in a node. What an author allows it beyond that is an [`Allowance`].
//!
//! Components are compiled as the caller says; where they may be a stranger's, by a process of its own. All
//! calls block.

use std::sync::Arc;
use std::time::Duration;

use mortise_plugin_runtime::compaction::CompactionStrategy;
use mortise_plugin_runtime::format::Format;
use mortise_plugin_runtime::{
    Compiler, Component, Description, Grants, Identity, Limits, Runtime, RuntimeConfig, Usage, World,
};

use super::battery::{Battery, Options, Outcome};
use super::check::{self, Checked};
use super::format;
use super::replay::{self, Replayed};
use super::strategy;
use super::trace::Record;
use crate::simulate::SimulatedStrategy;
use crate::{Error, NewPlugin, Result};

/// What a component is granted, and what its calls may use where it isn't what plugins of its world usually
/// may.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allowance {
    /// Bytes of memory of one call.
    pub memory_bytes: Option<u64>,
    /// Time of one call.
    pub deadline: Option<Duration>,
    /// What it may import beside the log.
    pub grants: Grants,
}

impl Allowance {
    /// The limits of a plugin of this world.
    #[must_use]
    pub fn limits(self, world: World) -> Limits {
        self.limits_from(world.default_limits())
    }

    /// The limits of a plugin that usually has these.
    pub(super) fn limits_from(self, usual: Limits) -> Limits {
        Limits {
            memory_bytes: self.memory_bytes.unwrap_or(usual.memory_bytes),
            deadline: self.deadline.unwrap_or(usual.deadline),
            ..usual
        }
    }
}

/// Runs components for their author. Its calls block and must not run on a worker of an async runtime.
#[derive(Debug)]
pub struct Workbench {
    runtime: Arc<Runtime>,
    compiler: Compiler,
}

/// A component on the workbench that a host would take.
#[derive(Debug)]
pub struct LoadedPlugin {
    bytes: Vec<u8>,
    compiler: Compiler,
    component: Component,
    identity: Identity,
    limits: Limits,
    allowance: Allowance,
}

impl Workbench {
    /// Starts a runtime whose components are compiled by this compiler: in a process of its own when the
    /// component may be a stranger's.
    ///
    /// # Errors
    /// [`Error::Runtime`] when the engine cannot start.
    pub fn new(compiler: Compiler) -> Result<Self> {
        let config = RuntimeConfig {
            compiler: compiler.clone(),
            max_parallel_calls: 1,
            tick: Duration::from_millis(1),
            ..RuntimeConfig::default()
        };
        Ok(Self { runtime: Runtime::new(config)?, compiler })
    }

    /// Says what a file is, and whether a host would take it and allow it so much, judged by the defaults.
    ///
    /// # Errors
    /// What is not the component's doing, such as [`Error::Runtime`] when it cannot be compiled because no
    /// process can be started.
    pub fn check(&self, bytes: &[u8], allowance: Allowance) -> Result<Checked> {
        self.check_new(NewPlugin { bytes: bytes.to_vec(), ..NewPlugin::default() }, allowance)
    }

    /// As [`Self::check`], with what would come with the file.
    ///
    /// # Errors
    /// As [`Self::check`].
    pub fn check_new(&self, new: NewPlugin, allowance: Allowance) -> Result<Checked> {
        let bytes = new.bytes.clone();
        Ok(Checked::of(&bytes, check::by_defaults(&self.runtime, new, allowance)?))
    }

    /// Puts a component on the workbench.
    ///
    /// # Errors
    /// [`Error::ComponentRefused`] with the reason and the usual cure.
    pub fn specimen(&self, bytes: Vec<u8>, allowance: Allowance) -> Result<LoadedPlugin> {
        if let Some(refusal) = self.check(&bytes, allowance)?.refusal {
            return Err(Error::ComponentRefused(refusal.to_string()));
        }
        let component = self.runtime.load_granted(&bytes, allowance.grants)?;
        let limits = allowance.limits(component.description().world);
        let identity = component.identity(&limits).map_err(Error::DescribeFailed)?;
        let compiler = self.compiler.clone();
        Ok(LoadedPlugin { bytes, compiler, component, identity, limits, allowance })
    }
}

impl LoadedPlugin {
    /// Name and version, as it gives them itself.
    #[must_use]
    pub fn label(&self) -> String {
        format!("{} {}", self.identity.name, self.identity.version)
    }

    /// Who it is.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// What its file says.
    #[must_use]
    pub fn description(&self) -> &Description {
        self.component.description()
    }

    /// What its calls may use.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// What its calls have used.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.component.usage()
    }

    /// Runs the conformance battery of its world.
    ///
    /// # Errors
    /// [`Error::Runtime`]; what the plugin does wrong is in the outcome.
    pub fn test(&self, options: &Options, progress: &mut dyn FnMut(&str, u64)) -> Result<Outcome> {
        let mut battery = Battery::new(self.label(), options, progress);
        let fresh = Workbench::new(self.compiler.clone())?.specimen(self.bytes.clone(), self.allowance)?;
        match self.description().world {
            World::CompactionStrategy => strategy::test(self, &fresh, &mut battery)?,
            World::Format => format::test(self, &fresh, &mut battery)?,
            other => return Err(no_battery(other)),
        }
        Ok(battery.finish(self))
    }

    /// Runs recorded calls again.
    ///
    /// # Errors
    /// [`Error::Runtime`]; [`Error::ComponentRefused`] when the records are of another world.
    pub fn replay(&self, records: &[Record], progress: &mut dyn FnMut(u64)) -> Result<Replayed> {
        replay::replay(self, records, progress)
    }

    /// Whether it is a compaction strategy.
    #[must_use]
    pub fn is_strategy(&self) -> bool {
        self.description().world == World::CompactionStrategy
    }

    /// The component as a strategy for a simulation.
    ///
    /// # Errors
    /// [`Error::ComponentRefused`] when it is of another world.
    pub fn contender(&self, config: &str) -> Result<SimulatedStrategy> {
        Ok(SimulatedStrategy::component(self.label(), config.to_owned(), self.strategy(self.limits)?))
    }

    /// The component as a compaction strategy.
    pub(super) fn strategy(&self, limits: Limits) -> Result<CompactionStrategy> {
        let world = self.description().world;
        if !self.is_strategy() {
            let expected = World::CompactionStrategy;
            return Err(Error::ComponentRefused(format!(
                "{} is of world {world}; expected one of world {expected}",
                self.label()
            )));
        }
        Ok(self.component.compaction_strategy(limits)?)
    }

    /// The component as a format.
    pub(super) fn format(&self, limits: Limits, config: &str) -> Result<Format> {
        Ok(self.component.format(limits, config)?)
    }
}

fn no_battery(world: World) -> Error {
    Error::ComponentRefused(format!("there is no battery for world {world}"))
}
