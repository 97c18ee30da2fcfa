//! A compiled component, ready to be instantiated.
//!
//! Every call that a world makes goes through `Component::call` or, with an instance that is used again,
//! through its parts: a store under limits, the beginning that bounds it, the end that records what it used
//! and sorts what went wrong. So no call escapes its limits or the figures. After a fault the instance is
//! dropped; the component stays as it is.
//!
//! A component is of one world and one version of the contract, found once when it is loaded. What it says
//! about itself is checked by the contract's rules before anybody sees it.

use std::sync::Arc;

use wasmtime::Store;
use wasmtime::component::{Component as Compiled, Instance, InstancePre};

use crate::compaction::CompactionStrategy;
use crate::exports::{Exports, Serves};
use crate::format::Format;
use crate::log::LogGate;
use crate::runtime::{Bound, CallState, Shared, unfit};
use crate::usage::Meter;
use crate::{
    CallUsage, Description, Error, Fault, FaultKind, Grants, ILLEGAL, Limits, Result, SharedLimits, Usage,
    World, identity,
};

pub use crate::bindings::exports::mortise::plugin::compaction::Call;
pub use crate::bindings::exports::mortise::plugin::plugin::Identity;

/// A component that was checked and compiled. Cheap to clone; calls don't share instances, except a format's.
#[derive(Clone)]
pub struct Component(Arc<Loaded>);

struct Loaded {
    shared: Arc<Shared>,
    description: Description,
    pre: InstancePre<CallState>,
    exports: Exports,
    gate: Arc<LogGate>,
    meter: Meter,
}

/// What the host itself needs to know of what a call hands to the plugin.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Given {
    /// Bytes handed over.
    pub(crate) bytes: u64,
    /// Unix time in milliseconds, 0 where a world has none.
    pub(crate) now: u64,
    /// The seed of the call, 0 where a world has none.
    pub(crate) seed: u64,
}

impl Component {
    pub(crate) fn new(
        shared: Arc<Shared>,
        description: Description,
        grants: Grants,
        compiled: &Compiled,
    ) -> Result<Self> {
        let exports = Exports::find(compiled, &description)?;
        let pre = shared
            .linker(grants)
            .instantiate_pre(compiled)
            .map_err(|error| unfit(description.world, &error))?;
        let gate = Arc::new(LogGate::new(description.digest));
        Ok(Self(Arc::new(Loaded { shared, description, pre, exports, gate, meter: Meter::new() })))
    }

    /// What the component says about itself.
    #[must_use]
    pub fn description(&self) -> &Description {
        &self.0.description
    }

    /// Asks the plugin who it is. Runs the plugin on the calling thread, up to its deadline.
    ///
    /// # Errors
    /// The plugin's fault; an identity that breaks the contract's rules is [`FaultKind::InvalidAnswer`].
    pub fn identity(&self, limits: &Limits) -> Result<Identity, Fault> {
        let describe = &self.0.exports.describe;
        let (identity,) = self.call(limits, Given::default(), weight_of_identity, |instance, store| {
            instance.get_typed_func::<(), (Identity,)>(&mut *store, describe)?.call(store, ())
        })?;
        identity::check(&identity).inspect_err(|fault| self.count_fault(fault.kind))?;
        Ok(identity)
    }

    /// What its calls used since it was loaded.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.0.meter.usage()
    }

    /// Puts its figures into the metrics, labelled with the name and version that the catalog knows it by.
    /// The first caller decides; until then the component has no metrics.
    pub fn name_for_metrics(&self, plugin: &str, version: &str) {
        self.0.meter.name(plugin, version);
    }

    /// Counts an answer that was well-typed and illegal, which only those who act on answers can know.
    pub fn count_illegal(&self) {
        self.0.meter.fault(ILLEGAL);
    }

    /// Counts a fault of a call that the sandbox itself took for a good one.
    pub(crate) fn count_fault(&self, kind: FaultKind) {
        self.0.meter.fault(kind.as_str());
    }

    /// The component as a compaction strategy under `limits`.
    ///
    /// # Errors
    /// [`Error::Limit`] when the limits are beyond what the runtime grants, [`Error::WrongWorld`] when the
    /// component is of another world.
    pub fn compaction_strategy(&self, limits: Limits) -> Result<CompactionStrategy> {
        limits.validate()?;
        match &self.0.exports.serves {
            Serves::Compaction(decide) => Ok(CompactionStrategy::new(self.clone(), decide.clone(), limits)),
            Serves::Format(_) => Err(self.wrong_world(World::CompactionStrategy)),
        }
    }

    /// The component as a format under `limits`, which may change while it serves, with the configuration
    /// that it is to be called with. Nothing is run: [`Format::properties`] is the first call that the plugin
    /// sees, and tells whether the configuration is one that it can use.
    ///
    /// # Errors
    /// [`Error::Limit`] when the limits are beyond what the runtime grants, [`Error::WrongWorld`] when the
    /// component is of another world.
    pub fn format(&self, limits: impl Into<SharedLimits>, config: &str) -> Result<Format> {
        let limits = limits.into();
        limits.get().validate()?;
        match &self.0.exports.serves {
            Serves::Format(codec) => Ok(Format::new(self.clone(), codec.clone(), limits, config)),
            Serves::Compaction(_) => Err(self.wrong_world(World::Format)),
        }
    }

    fn wrong_world(&self, wanted: World) -> Error {
        Error::WrongWorld { found: self.0.description.world.as_str(), wanted: wanted.as_str() }
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.0.shared
    }

    /// Makes a fresh instance and calls it; the store is gone afterwards, whatever happened. `weigh` tells
    /// the bytes of an answer.
    pub(crate) fn call<T>(
        &self,
        limits: &Limits,
        given: Given,
        weigh: fn(&T) -> u64,
        call: impl FnOnce(&Instance, &mut Store<CallState>) -> wasmtime::Result<T>,
    ) -> Result<T, Fault> {
        let mut store = self.store(limits);
        let _running = self.0.shared.begin(&mut store, limits, Bound::Deadline(limits.deadline));
        store.data_mut().wasi.begin(given.now, given.seed);
        let outcome = self.instantiate(&mut store).and_then(|instance| call(&instance, &mut store));
        self.end(&mut store, limits, given.bytes, weigh, outcome)
    }

    /// Ends a call: records what it used, and sorts what ended it early.
    pub(crate) fn end<T>(
        &self,
        store: &mut Store<CallState>,
        limits: &Limits,
        bytes_in: u64,
        weigh: impl FnOnce(&T) -> u64,
        outcome: wasmtime::Result<T>,
    ) -> Result<T, Fault> {
        store.data_mut().flush();
        let fuel_left = store.get_fuel().unwrap_or_default();
        let state = store.data();
        let outcome = outcome.map_err(|error| {
            let mut fault = Fault::from_wasmtime(&error, limits, state.bound());
            if let (FaultKind::Trap, Some(message)) = (fault.kind, state.last_error()) {
                fault.detail.push_str("; its last message: ");
                fault.detail.push_str(&message);
            }
            fault
        });
        let usage = CallUsage {
            memory_bytes: state.memory_bytes(),
            fuel: state.tank().saturating_sub(fuel_left),
            took: state.elapsed(),
            bytes_in,
            bytes_out: outcome.as_ref().map_or(0, weigh),
        };
        self.0.meter.record(&usage, outcome.as_ref().err().map(|fault| fault.kind));
        outcome
    }

    /// A store for an instance of this component; nothing runs in it before the runtime's `begin`.
    pub(crate) fn store(&self, limits: &Limits) -> Store<CallState> {
        self.0.shared.store(limits, self.0.gate.clone())
    }

    /// Makes an instance, which may run code of the plugin: under the bound that the store has.
    pub(crate) fn instantiate(&self, store: &mut Store<CallState>) -> wasmtime::Result<Instance> {
        self.0.meter.instantiated();
        match self.0.pre.instantiate(&mut *store) {
            Err(error) if error.is::<wasmtime::PoolConcurrencyLimitError>() && self.0.shared.reclaim() => {
                self.0.pre.instantiate(store)
            }
            outcome => outcome,
        }
    }
}

fn weight_of_identity((identity,): &(Identity,)) -> u64 {
    (identity.name.len() + identity.version.len() + identity.summary.len()) as u64
}

impl std::fmt::Debug for Component {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Component").field(self.description()).finish()
    }
}
