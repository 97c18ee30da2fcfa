//! The clock that stops plugins: a thread that advances the engine's epoch while calls are under way.
//!
//! wasmtime compares the epoch with a call's deadline at every loop and function entry. The thread ticks only
//! while there is a [`Running`] guard, and a little longer so that a burst of calls doesn't wake it each
//! time; an idle runtime wakes nobody.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use wasmtime::Engine;

use crate::{Error, Result};

/// Ticks without a call after which the thread sleeps until the next one.
const IDLE_TICKS: u32 = 200;

/// Owner of the ticking thread, which ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Ticker {
    shared: Arc<Shared>,
    tick: Duration,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    running: AtomicUsize,
    parked: AtomicBool,
    stop: Mutex<bool>,
    wake: Condvar,
}

/// Keeps the clock ticking while it lives.
#[derive(Debug)]
pub(crate) struct Running<'a>(&'a Shared);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, SeqCst);
    }
}

impl Ticker {
    pub(crate) fn start(engine: Engine, tick: Duration) -> Result<Self> {
        let tick = tick.max(Duration::from_millis(1));
        let shared = Arc::new(Shared::default());
        let thread = std::thread::Builder::new()
            .name("mortise-epoch".to_owned())
            .spawn({
                let shared = shared.clone();
                move || shared.run(&engine, tick)
            })
            .map_err(|error| Error::Engine { detail: format!("no thread for deadlines: {error}") })?;
        Ok(Self { shared, tick, thread: Some(thread) })
    }

    /// Marks a call as under way.
    pub(crate) fn run(&self) -> Running<'_> {
        self.shared.running.fetch_add(1, SeqCst);
        // Either the thread sees the count before it parks, or this sees that it is parked: both sides write
        // before they read, in one total order.
        if self.shared.parked.load(SeqCst) {
            let _stop = self.shared.stop.lock();
            self.shared.wake.notify_one();
        }
        Running(&self.shared)
    }

    /// The time between two ticks.
    pub(crate) fn tick(&self) -> Duration {
        self.tick
    }
}

/// Ticks from now that make up at least `duration`. The next tick may come at once, hence one more.
pub(crate) fn ticks(duration: Duration, tick: Duration) -> u64 {
    let ticks = duration.as_nanos().div_ceil(tick.as_nanos());
    u64::try_from(ticks).unwrap_or(u64::MAX / 2).saturating_add(1)
}

impl Drop for Ticker {
    fn drop(&mut self) {
        *self.shared.stop.lock() = true;
        self.shared.wake.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn run(&self, engine: &Engine, tick: Duration) {
        let mut idle = 0;
        let mut last = Instant::now();
        let mut stop = self.stop.lock();
        while !*stop {
            if idle < IDLE_TICKS {
                self.wake.wait_for(&mut stop, tick);
                // A busy machine wakes this thread late; the epoch follows the time, not the wake-ups.
                while last.elapsed() >= tick {
                    last += tick;
                    engine.increment_epoch();
                }
                idle = if self.running.load(SeqCst) == 0 { idle + 1 } else { 0 };
            } else {
                self.parked.store(true, SeqCst);
                if self.running.load(SeqCst) == 0 {
                    self.wake.wait(&mut stop);
                }
                self.parked.store(false, SeqCst);
                last = Instant::now();
                idle = 0;
            }
        }
    }
}
