//! What the host keeps for an instance and the call that it is in, and what ends that call.
//!
//! An instance that serves several calls keeps its memory; everything else begins anew with each: the bound,
//! the fuel, the messages of the log, the virtual clock and the seed. Time is measured by the host's clock,
//! and the engine's ticks only make it look at that clock, so that ticks that come late or all at once end no
//! call before its time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::Limits;
use crate::limiter::MemoryLimiter;
use crate::log::{CallLog, LogGate};
use crate::ticker::ticks;
use crate::wasi::{Print, Virtual};

/// What ends a call that doesn't end by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bound {
    /// So much time, and the fuel that the limits state.
    Deadline(Duration),
    /// So many instructions, roughly, so that every node stops at the same place; and a time after which
    /// something must be wrong that fuel doesn't count.
    Fuel { fuel: u64, backstop: Duration },
}

impl Bound {
    /// The same with other fuel, which a deadline takes from the limits.
    pub(crate) fn with_fuel(self, fuel: u64) -> Self {
        match self {
            Self::Deadline(_) => self,
            Self::Fuel { backstop, .. } => Self::Fuel { fuel, backstop },
        }
    }

    /// Time after which the call ends.
    pub(crate) fn time(self) -> Duration {
        match self {
            Self::Deadline(time) | Self::Fuel { backstop: time, .. } => time,
        }
    }
}

/// The data of a store.
#[derive(Debug)]
pub(crate) struct CallState {
    pub(crate) memory: MemoryLimiter,
    pub(crate) log: CallLog,
    pub(crate) wasi: Virtual,
    begun: Instant,
    bound: Bound,
    tank: u64,
}

impl CallState {
    /// The state of an instance that no call has begun in.
    pub(crate) fn new(limits: &Limits, gate: Arc<LogGate>) -> Self {
        Self {
            memory: MemoryLimiter::new(limits.memory_bytes),
            log: CallLog::new(gate),
            wasi: Virtual::default(),
            begun: Instant::now(),
            bound: Bound::Deadline(Duration::ZERO),
            tank: 0,
        }
    }

    /// A call begins.
    pub(crate) fn begin(&mut self, limits: &Limits, bound: Bound) {
        self.memory.set_limit(limits.memory_bytes);
        self.log.begin();
        self.wasi.begin(0, 0);
        self.begun = Instant::now();
        self.bound = bound;
        self.tank = match bound {
            Bound::Deadline(_) => limits.tank(),
            Bound::Fuel { fuel, .. } => fuel,
        };
    }

    /// What ends the call.
    pub(crate) fn bound(&self) -> Bound {
        self.bound
    }

    /// Fuel that the call began with.
    pub(crate) fn tank(&self) -> u64 {
        self.tank
    }

    /// Time since the call began.
    pub(crate) fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    pub(crate) fn last_error(&self) -> Option<String> {
        self.log.last_error()
    }

    /// Bytes of the instance's memories and tables.
    pub(crate) fn memory_bytes(&self) -> u64 {
        self.memory.used()
    }

    /// How many ticks the call has left.
    pub(crate) fn ticks_left(&self, tick: Duration) -> u64 {
        let left = self.bound.time().saturating_sub(self.begun.elapsed());
        if left.is_zero() { 0 } else { ticks(left, tick) }
    }

    /// Puts what the plugin prints into its log, line by line.
    pub(crate) fn print(&mut self, to: Print, bytes: &[u8]) {
        let Self { wasi, log, .. } = self;
        wasi.print(to, bytes, |line| log.printed(to == Print::Err, line));
    }

    /// Puts what it printed last, without an end of line, into its log.
    pub(crate) fn flush(&mut self) {
        for (to, line) in self.wasi.last_lines() {
            self.log.printed(to == Print::Err, &line);
        }
    }
}
