//! The runtime: one engine with its clock, its threads and its compile cache.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use metrics::counter;
use tracing::debug;
use wasmtime::component::{Component as Compiled, HasSelf, Linker};
use wasmtime::{Engine, Store, UpdateDeadline};

use crate::bindings;
use crate::cache::Cache;
use crate::limiter::MemoryLimiter;
use crate::log::{CallLog, LogGate};
use crate::pool::Pool;
use crate::ticker::{Running, Ticker, ticks};
use crate::{Component, Description, Error, Limits, Result, RuntimeConfig, World, engine, inspect};

/// Runs plugins. One per process is enough; components and strategies keep it alive.
#[derive(Debug)]
pub struct Runtime {
    cache: Option<Cache>,
    shared: Arc<Shared>,
}

/// What a component needs of the runtime for its calls.
pub(crate) struct Shared {
    pub(crate) engine: Engine,
    pub(crate) pool: Pool,
    ticker: Ticker,
    linker: Linker<CallState>,
}

/// What the host keeps for one call; the data of its store.
#[derive(Debug)]
pub(crate) struct CallState {
    memory: MemoryLimiter,
    log: CallLog,
}

impl CallState {
    pub(crate) fn last_error(&self) -> Option<&str> {
        self.log.last_error()
    }
}

impl Runtime {
    /// Starts the engine, its clock and its threads, and opens the compile cache.
    ///
    /// # Errors
    /// [`Error::Engine`] when a thread or the engine cannot start, [`Error::Cache`] when the cache directory
    /// cannot be made or its key not be read.
    pub fn new(config: RuntimeConfig) -> Result<Arc<Self>> {
        let engine = engine::start(&config)?;
        let cache = config.cache_dir.as_deref().map(|dir| Cache::open(dir, &engine)).transpose()?;
        let mut linker = Linker::new(&engine);
        bindings::mortise::plugin::log::add_to_linker::<_, HasSelf<CallLog>>(
            &mut linker,
            |state: &mut CallState| &mut state.log,
        )
        .map_err(|error| Error::Engine { detail: format!("{error:#}") })?;
        let shared = Shared {
            pool: Pool::start(config.max_parallel_calls, config.max_queued_calls)?,
            ticker: Ticker::start(engine.clone(), config.tick)?,
            engine,
            linker,
        };
        Ok(Arc::new(Self { cache, shared: Arc::new(shared) }))
    }

    /// Reads and checks a component: its size, world, version and imports. Neither compiles nor runs it.
    ///
    /// # Errors
    /// Why the component is refused.
    pub fn inspect(&self, bytes: &[u8]) -> Result<Description> {
        inspect::inspect(bytes)
    }

    /// Checks a component, then compiles it or takes it from the cache. Blocks: compiling takes tens of
    /// milliseconds for a small component, seconds for one that carries a language's whole runtime.
    ///
    /// # Errors
    /// Why the component is refused.
    pub fn load(&self, bytes: &[u8]) -> Result<Component> {
        let description = inspect::inspect(bytes)?;
        let compiled = self.compile(bytes, &description)?;
        Component::new(self.shared.clone(), description, &compiled)
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

    fn compile(&self, bytes: &[u8], description: &Description) -> Result<Compiled> {
        let digest = &description.digest;
        if let Some(compiled) = self.cache.as_ref().and_then(|cache| cache.load(&self.shared.engine, digest))
        {
            counter!("mortise_plugin_compile_cache_hits_total").increment(1);
            return Ok(compiled);
        }
        debug!(%digest, "compiling a plugin");
        counter!("mortise_plugin_compilations_total").increment(1);
        let compiled = Compiled::new(&self.shared.engine, bytes)
            .map_err(|error| Error::Malformed { detail: format!("{error:#}") })?;
        if let Some(cache) = &self.cache {
            cache.store(digest, &compiled);
        }
        Ok(compiled)
    }
}

impl Shared {
    pub(crate) fn linker(&self) -> &Linker<CallState> {
        &self.linker
    }

    /// A store for one call, with its limits set and the clock running while the guard lives.
    pub(crate) fn store(&self, limits: &Limits, gate: Arc<LogGate>) -> (Store<CallState>, Running<'_>) {
        let running = self.ticker.run();
        let state = CallState { memory: MemoryLimiter::new(limits.memory_bytes), log: CallLog::new(gate) };
        let mut store = Store::new(&self.engine, state);
        store.limiter(|state| &mut state.memory);
        store.set_hostcall_fuel(limits.answer_bytes);
        // One deadline spans instantiation, which runs code of the plugin too, and the call.
        store.set_epoch_deadline(ticks(limits.deadline, self.ticker.tick()));
        // Ticks only estimate the time: those that the clock is late with come at once, and some of them may
        // be about a time before this call.
        let (begun, deadline, tick) = (Instant::now(), limits.deadline, self.ticker.tick());
        store.epoch_deadline_callback(move |_| {
            let left = deadline.saturating_sub(begun.elapsed());
            Ok(if left.is_zero() {
                UpdateDeadline::Interrupt
            } else {
                UpdateDeadline::Continue(ticks(left, tick))
            })
        });
        (store, running)
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("pool", &self.pool).finish_non_exhaustive()
    }
}

/// The error of a component whose types don't fit its world.
pub(crate) fn unfit(world: World, error: &wasmtime::Error) -> Error {
    Error::Unfit { world: world.as_str(), detail: format!("{error:#}") }
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
            let (mut store, _running) = shared.store(&limits, gate);
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
}
