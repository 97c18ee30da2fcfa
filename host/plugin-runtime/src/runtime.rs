//! The runtime: one engine with its clock, its threads and its compile cache.
//!
//! Loading a component checks it, compiles it or takes it from the cache, and runs none of its code. It
//! blocks, for seconds when a large component is compiled, and must not happen on a worker of an async
//! runtime. What is in the cache is believed only when it is authenticated, and anything else is compiled
//! anew.
//!
//! Every store is made here, with its memory limited, and every call begins here, with its time, fuel and
//! passed bytes bounded before any code of the plugin can run, instantiation included. When slots for
//! instances run out, those that only wait for work are given up first.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use metrics::counter;
use parking_lot::Mutex;
use tracing::debug;
use wasmtime::component::{Component as Compiled, Linker};
use wasmtime::{Engine, Store, UpdateDeadline};

use crate::cache::Cache;
use crate::format::WarmPool;
use crate::log::{self, LogGate};
use crate::pool::Pool;
use crate::present::presentable;
use crate::ticker::{Running, Ticker, ticks};
use crate::{
    Compiler, Component, Description, Error, Grants, Limits, Result, RuntimeConfig, World, engine, inspect,
    wasi,
};

pub(crate) use crate::state::{Bound, CallState};

/// Runs plugins. One per process is enough; components and strategies keep it alive.
#[derive(Debug)]
pub struct Runtime {
    cache: Option<Cache>,
    compiler: Compiler,
    compilations: AtomicU64,
    shared: Arc<Shared>,
}

/// What a component needs of the runtime for its calls.
pub(crate) struct Shared {
    pub(crate) engine: Engine,
    pub(crate) pool: Pool,
    /// For calls that nobody waits for.
    pub(crate) aside: Pool,
    ticker: Ticker,
    /// For components that are granted nothing but the log.
    plain: Linker<CallState>,
    /// For components that are granted [`crate::Capability::WasiMinimal`], too.
    with_wasi: Linker<CallState>,
    /// The pools whose idle instances can be given up when slots for instances run out.
    warm: Mutex<Vec<Weak<WarmPool>>>,
}

impl Runtime {
    /// Starts the engine, its clock and its threads, and opens the compile cache. Where that cannot be
    /// opened, because the disk is full say, components are compiled at every start, which the log says.
    ///
    /// # Errors
    /// [`Error::Engine`] when a thread or the engine cannot start.
    pub fn new(config: RuntimeConfig) -> Result<Arc<Self>> {
        let engine = engine::start(&config)?;
        let cache = config.cache_dir.as_deref().and_then(|dir| Cache::open_if_possible(dir, &engine));
        let mut linker = Linker::new(&engine);
        log::add_to_linker(&mut linker).map_err(engine_error)?;
        let mut with_wasi = linker.clone();
        wasi::add_to_linker(&mut with_wasi).map_err(engine_error)?;
        let shared = Shared {
            pool: Pool::start("mortise-plugin", config.max_parallel_calls, config.max_queued_calls)?,
            aside: Pool::start("mortise-aside", 1, config.max_queued_calls)?,
            ticker: Ticker::start(engine.clone(), config.tick)?,
            engine,
            plain: linker,
            with_wasi,
            warm: Mutex::default(),
        };
        Ok(Arc::new(Self {
            cache,
            compiler: config.compiler,
            compilations: AtomicU64::new(0),
            shared: Arc::new(shared),
        }))
    }

    /// Reads and checks a component: its size, world, version and imports. Neither compiles nor runs it.
    ///
    /// # Errors
    /// Why the component is refused.
    pub fn inspect(&self, bytes: &[u8]) -> Result<Description> {
        inspect::inspect(bytes)
    }

    /// Loads a component that is granted nothing but the log; see [`Self::load_granted`].
    ///
    /// # Errors
    /// Why the component is refused.
    pub fn load(&self, bytes: &[u8]) -> Result<Component> {
        self.load_granted(bytes, Grants::default())
    }

    /// Checks a component, then compiles it or takes it from the cache. Blocks: compiling takes tens of
    /// milliseconds for a small component, seconds for one that carries a language's whole runtime.
    ///
    /// # Errors
    /// Why the component is refused; [`Error::NotGranted`] when it needs more than the grants.
    pub fn load_granted(&self, bytes: &[u8], grants: Grants) -> Result<Component> {
        self.prepare(bytes, grants, self.cache.as_ref())
    }

    /// As [`Self::load_granted`], for a component that may never be wanted again: what is compiled of it is
    /// not kept in the cache.
    ///
    /// # Errors
    /// As [`Self::load_granted`].
    pub fn try_out_granted(&self, bytes: &[u8], grants: Grants) -> Result<Component> {
        self.prepare(bytes, grants, None)
    }

    /// Checks and compiles a component; what was compiled is kept in `keep`.
    fn prepare(&self, bytes: &[u8], grants: Grants, keep: Option<&Cache>) -> Result<Component> {
        let description = inspect::inspect(bytes)?;
        grants.cover(&description.capabilities, &description.imports)?;
        let compiled = self.compile(bytes, &description, keep)?;
        Component::new(self.shared.clone(), description, grants, &compiled)
    }

    /// As [`Self::load_granted`], and never compiles: `None` when the cache doesn't have the component.
    /// Blocks for as long as its file takes to be read.
    ///
    /// # Errors
    /// As [`Self::load_granted`].
    pub fn load_compiled(&self, bytes: &[u8], grants: Grants) -> Result<Option<Component>> {
        let description = inspect::inspect(bytes)?;
        grants.cover(&description.capabilities, &description.imports)?;
        let Some(compiled) = self.cached(&description) else { return Ok(None) };
        Component::new(self.shared.clone(), description, grants, &compiled).map(Some)
    }

    /// Components compiled since the start, failures included; those taken from the cache don't count.
    #[must_use]
    pub fn compilations(&self) -> u64 {
        self.compilations.load(Ordering::Relaxed)
    }

    /// Removes what the compile cache keeps of a component. What was loaded of it goes on to work.
    pub fn evict(&self, digest: &str) {
        if let Some(cache) = &self.cache {
            cache.remove(digest);
        }
    }

    /// Removes what the compile cache keeps of all components whose digests are not `named`.
    pub fn evict_all_but(&self, named: &BTreeSet<String>) {
        if let Some(cache) = &self.cache {
            cache.remove_all_but(named);
        }
    }

    fn cached(&self, description: &Description) -> Option<Compiled> {
        let compiled = self.cache.as_ref()?.load(&self.shared.engine, &description.digest)?;
        counter!("mortise_plugin_compile_cache_hits_total").increment(1);
        Some(compiled)
    }

    fn compile(&self, bytes: &[u8], description: &Description, keep: Option<&Cache>) -> Result<Compiled> {
        if let Some(compiled) = self.cached(description) {
            return Ok(compiled);
        }
        let (engine, digest) = (&self.shared.engine, &description.digest);
        debug!(%digest, "compiling a plugin");
        self.compilations.fetch_add(1, Ordering::Relaxed);
        counter!("mortise_plugin_compilations_total").increment(1);
        let artifact = self.compiler.compile(engine, bytes)?;
        let compiled = artifact.revive(engine).map_err(|error| does_not_fit(&error))?;
        if let Some(cache) = keep {
            cache.store(digest, &artifact);
        }
        Ok(compiled)
    }
}

impl Shared {
    pub(crate) fn linker(&self, grants: Grants) -> &Linker<CallState> {
        if grants.wasi_minimal { &self.with_wasi } else { &self.plain }
    }

    /// A store for an instance, bounded in memory. Nothing runs in it before [`Shared::begin`].
    pub(crate) fn store(&self, limits: &Limits, gate: Arc<LogGate>) -> Store<CallState> {
        let mut store = Store::new(&self.engine, CallState::new(limits, gate));
        store.limiter(|state| &mut state.memory);
        // Ticks only estimate the time: those that the clock is late with come at once, and some of them may
        // be about a time before this call.
        let tick = self.ticker.tick();
        store.epoch_deadline_callback(move |context| {
            Ok(match context.data().ticks_left(tick) {
                0 => UpdateDeadline::Interrupt,
                left => UpdateDeadline::Continue(left),
            })
        });
        store
    }

    /// Begins a call: what the store may do from now on, instantiation included, is bounded anew. The clock
    /// runs while the guard lives.
    pub(crate) fn begin(&self, store: &mut Store<CallState>, limits: &Limits, bound: Bound) -> Running<'_> {
        let running = self.ticker.run();
        store.data_mut().begin(limits, bound);
        store.set_hostcall_fuel(limits.answer_bytes);
        let fuel = store.data().tank();
        store.set_epoch_deadline(ticks(bound.time(), self.ticker.tick()));
        store.set_fuel(fuel).expect("the engine meters fuel");
        running
    }

    /// Lets the instances of a pool be given up when slots run out.
    pub(crate) fn register(&self, pool: &Arc<WarmPool>) {
        let mut warm = self.warm.lock();
        warm.retain(|other| other.strong_count() > 0);
        warm.push(Arc::downgrade(pool));
    }

    /// Gives up all instances that wait for work, so that others find slots. Returns whether there were any.
    pub(crate) fn reclaim(&self) -> bool {
        let pools: Vec<_> = self.warm.lock().iter().filter_map(Weak::upgrade).collect();
        pools.iter().filter(|pool| pool.clear()).count() > 0
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("pool", &self.pool).finish_non_exhaustive()
    }
}

fn engine_error(error: wasmtime::Error) -> Error {
    Error::Engine { detail: format!("{error:#}") }
}

/// The error of a component that was compiled and yet cannot be used.
fn does_not_fit(error: &wasmtime::Error) -> Error {
    let detail = presentable(&format!("{error:#}"));
    // wasmtime has no type for this error; a test holds the text in place.
    if detail.contains("pooling allocator") {
        Error::NoRoom { detail }
    } else {
        Error::Compiler { detail: format!("what the compiler made does not fit this program: {detail}") }
    }
}

/// The error of a component whose types don't fit its world.
pub(crate) fn unfit(world: World, error: &wasmtime::Error) -> Error {
    Error::Unfit { world: world.as_str(), detail: presentable(&format!("{error:#}")) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use wasmtime::{Instance, Module, Trap};

    use super::*;

    const LOOPS: &str = r#"(module
        (func (export "count") (local i32)
            (loop (local.set 0 (i32.add (local.get 0) (i32.const 1)))
                  (br_if 0 (i32.lt_u (local.get 0) (i32.const 100000)))))
        (func (export "endless") (loop (br 0))))"#;

    #[test]
    fn ticks_that_come_all_at_once_end_no_call_before_its_time() {
        let runtime = Runtime::new(RuntimeConfig::default()).unwrap();
        let shared = &runtime.shared;
        let module = Module::new(&shared.engine, wat::parse_str(LOOPS).unwrap()).unwrap();
        let call = |name: &str, deadline: Duration| {
            let gate = Arc::new(LogGate::new(crate::Digest::of(b"test")));
            let limits = Limits { deadline, ..Limits::default() };
            let mut store = shared.store(&limits, gate);
            let _running = shared.begin(&mut store, &limits, Bound::Deadline(deadline));
            let instance = Instance::new(&mut store, &module, &[]).unwrap();
            let function = instance.get_typed_func::<(), ()>(&mut store, name).unwrap();
            for _ in 0..100_000 {
                shared.engine.increment_epoch();
            }
            function.call(&mut store, ())
        };
        call("count", Duration::from_secs(60)).unwrap();
        let error = call("endless", Duration::from_millis(20)).unwrap_err();
        assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::Interrupt));
    }

    #[test]
    fn fuel_ends_a_call_at_the_same_place_and_no_tick_does() {
        let runtime = Runtime::new(RuntimeConfig::default()).unwrap();
        let shared = &runtime.shared;
        let module = Module::new(&shared.engine, wat::parse_str(LOOPS).unwrap()).unwrap();
        let call = |name: &str, fuel: u64, backstop: Duration| {
            let limits = Limits::default();
            let mut store = shared.store(&limits, Arc::new(LogGate::new(crate::Digest::of(b"test"))));
            let _running = shared.begin(&mut store, &limits, Bound::Fuel { fuel, backstop });
            let instance = Instance::new(&mut store, &module, &[]).unwrap();
            let function = instance.get_typed_func::<(), ()>(&mut store, name).unwrap();
            for _ in 0..100_000 {
                shared.engine.increment_epoch();
            }
            (function.call(&mut store, ()), store.get_fuel().unwrap())
        };
        let minute = Duration::from_secs(60);
        let (outcome, left) = call("count", 10_000_000, minute);
        outcome.unwrap();
        assert_eq!(call("count", 10_000_000, minute).1, left, "the same work costs the same");
        let error = call("endless", 1_000_000, minute).0.unwrap_err();
        assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::OutOfFuel));
        // What has more fuel than time is ended by the backstop.
        let error = call("endless", u64::MAX, Duration::from_millis(50)).0.unwrap_err();
        assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::Interrupt));
    }
}
