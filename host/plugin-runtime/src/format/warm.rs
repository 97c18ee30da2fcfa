//! Instances that wait for the next call.
//!
//! A pool has at most [`MAX_INSTANCES`], whether they work or wait; who finds none free waits for one, with a
//! deadline. An instance goes when a call of it faulted, after [`MAX_CALLS`] calls, when its memory has grown
//! by more than [`MAX_GROWTH`], and when the runtime needs its slot for something else. What an instance
//! keeps in memory can thus at worst make a plugin slower for a while.

use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use wasmtime::Store;
use wasmtime::component::{ComponentExportIndex, Func, Instance, TypedFunc};

use super::codec::{CodecExports, Function, Part, Properties, Translated};
use super::fuel::Fuel;
use crate::runtime::{Bound, CallState};
use crate::{Component, Fault, FaultKind, Limits, Result};

/// Instances of one format.
const MAX_INSTANCES: usize = 8;

/// Calls that an instance serves.
const MAX_CALLS: u32 = 100_000;

/// Bytes by which the memory of an instance may grow: enough for a batch, and little to keep for nothing.
const MAX_GROWTH: u64 = 4 * 1024 * 1024;

/// What a batch is called with: the configuration, keys, values.
type BatchParams<'a> = (&'a str, &'a [&'a [u8]], &'a [&'a [u8]]);

/// A function that takes a batch. Its types were compared when the instance was started.
type Batch = TypedFunc<BatchParams<'static>, (Translated,)>;

/// What a call runs under.
pub(super) struct CallTerms {
    pub(super) limits: Limits,
    /// What ends the start of an instance; a call that follows has the same time and fuel of its own.
    pub(super) bound: Bound,
}

/// An instance that has been started.
pub(super) struct Warm {
    store: Store<CallState>,
    properties: TypedFunc<(&'static str,), (Result<Properties, String>,)>,
    batches: [Batch; 2],
    calls: u32,
    first_bytes: u64,
    /// Fuel that calls took beyond their due.
    drawn: u64,
}

impl Warm {
    /// Starts an instance, which may run code of the plugin.
    pub(super) fn start(
        component: &Component,
        exports: &CodecExports,
        terms: &CallTerms,
    ) -> Result<Self, Fault> {
        let CallTerms { limits, bound } = terms;
        let mut store = component.store(limits);
        let _running = component.shared().begin(&mut store, limits, *bound);
        let started = component.instantiate(&mut store).and_then(|instance| {
            let properties = find(&instance, &mut store, &exports.properties)?.typed(&store)?;
            let [encode, decode] = &exports.batches;
            let mut batch = |export| find(&instance, &mut store, export)?.typed(&store);
            Ok((properties, [batch(encode)?, batch(decode)?]))
        });
        match started {
            Ok((properties, batches)) => {
                let first_bytes = store.data().memory_bytes();
                Ok(Self { store, properties, batches, calls: 0, first_bytes, drawn: 0 })
            }
            Err(error) => component.end(&mut store, limits, 0, |_| 0, Err(error)),
        }
    }

    /// Asks what the format promises.
    pub(super) fn properties(
        &mut self,
        component: &Component,
        terms: &CallTerms,
        config: &str,
    ) -> Result<Result<Properties, String>, Fault> {
        self.calls += 1;
        let (Self { store, properties, .. }, CallTerms { limits, bound }) = (self, terms);
        let _running = component.shared().begin(store, limits, *bound);
        let properties: TypedFunc<(&str,), _> = *properties;
        let outcome = properties.call(&mut *store, (config,));
        component.end(store, limits, config.len() as u64, |_| 1, outcome.map(|(answer,)| answer))
    }

    /// Has a batch translated.
    pub(super) fn batch(
        &mut self,
        component: &Component,
        terms: &CallTerms,
        fuel: Fuel,
        function: Function,
        config: &str,
        part: Part<'_>,
    ) -> Result<Translated, Fault> {
        self.calls += 1;
        let Self { store, batches, drawn, .. } = self;
        let tank = fuel.tank(*drawn);
        let (limits, bound) = (&Limits { fuel: Some(tank), ..terms.limits }, terms.bound.with_fuel(tank));
        let _running = component.shared().begin(store, limits, bound);
        let batch: TypedFunc<BatchParams<'_>, _> = batches[function as usize];
        let outcome = batch.call(&mut *store, (config, part.keys, part.values));
        *drawn += fuel.draw(tank.saturating_sub(store.get_fuel().unwrap_or_default()));
        let given = config.len() + part.bytes();
        component.end(store, limits, given as u64, weight_of_answers, outcome.map(|(answers,)| answers))
    }

    /// Whether its memory is within limits that may have been lowered since it grew.
    pub(super) fn fits(&self, limits: &Limits) -> bool {
        self.store.data().memory_bytes() <= limits.memory_bytes
    }

    /// Whether it may serve another call.
    fn is_fit(&self) -> bool {
        let grown = self.store.data().memory_bytes().saturating_sub(self.first_bytes);
        self.calls < MAX_CALLS && grown <= MAX_GROWTH
    }
}

/// Bytes of what a plugin answered to a batch.
fn weight_of_answers(answers: &Translated) -> u64 {
    let weight = |answer: &Result<Vec<u8>, String>| answer.as_ref().map_or_else(String::len, Vec::len);
    answers.keys.iter().chain(&answers.values).map(weight).sum::<usize>() as u64
}

fn find(
    instance: &Instance,
    store: &mut Store<CallState>,
    export: &ComponentExportIndex,
) -> wasmtime::Result<Func> {
    instance.get_func(store, export).ok_or_else(|| wasmtime::Error::msg("a function of the world is missing"))
}

/// The instances of one format.
#[derive(Default)]
pub(crate) struct WarmPool {
    state: Mutex<State>,
    freed: Condvar,
}

#[derive(Default)]
struct State {
    /// The one used last is used next, so that the others can be missed.
    idle: Vec<Warm>,
    /// Those at work and those that wait.
    instances: usize,
}

/// The right to have an instance, and the instance if there was one.
pub(super) struct Lease<'a> {
    pub(super) instance: Option<Warm>,
    pub(super) place: Place<'a>,
}

/// The right to have an instance.
pub(super) struct Place<'a>(Option<&'a WarmPool>);

impl WarmPool {
    /// Takes an instance that waits or the right to make one. Waits at most `patience`.
    pub(super) fn take(&self, patience: Duration) -> Result<Lease<'_>, Fault> {
        let mut state = self.state.lock();
        let mut until = None;
        loop {
            if let Some(warm) = state.idle.pop() {
                return Ok(Lease { instance: Some(warm), place: Place(Some(self)) });
            }
            if state.instances < MAX_INSTANCES {
                state.instances += 1;
                return Ok(Lease { instance: None, place: Place(Some(self)) });
            }
            let until = *until.get_or_insert_with(|| Instant::now() + patience);
            let over = self.freed.wait_until(&mut state, until).timed_out();
            if over && state.idle.is_empty() && state.instances >= MAX_INSTANCES {
                let detail = format!("all {MAX_INSTANCES} instances of the format are busy; try again");
                return Err(Fault::new(FaultKind::Busy, detail));
            }
        }
    }

    /// Drops the instances that wait. Returns whether there were any.
    pub(crate) fn clear(&self) -> bool {
        let mut state = self.state.lock();
        let idle = std::mem::take(&mut state.idle);
        state.instances -= idle.len();
        drop(state);
        self.freed.notify_all();
        !idle.is_empty()
    }
}

impl Place<'_> {
    /// Lets the next call have the instance, if it may.
    pub(super) fn give_back(mut self, warm: Warm) {
        if !warm.is_fit() {
            return;
        }
        if let Some(pool) = self.0.take() {
            pool.state.lock().idle.push(warm);
            pool.freed.notify_one();
        }
    }
}

/// The instance is gone, or was never made.
impl Drop for Place<'_> {
    fn drop(&mut self) {
        if let Some(pool) = self.0.take() {
            pool.state.lock().instances -= 1;
            pool.freed.notify_one();
        }
    }
}
