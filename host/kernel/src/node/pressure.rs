//! How writers are slowed when flushes or compaction do not keep up.
//!
//! Two counts make pressure: sealed memtables that wait for their flush, and runs of level 0, which every
//! read has to look into. Each has a limit from which writers are slowed. The delay of an entry is
//! `100 ms × x²`, where `x` grows evenly from just above 0 at the limit to 1 at one below twice the limit; at
//! twice the limit entries wait until the pressure recedes. The square makes the beginning gentle: an entry
//! carries up to 256 commands, so even the longest delay leaves some 2,500 writes a second.
//!
//! A rebuild that writers outrun slows them by degrees: 1 ms for an entry, then 2, 4 and so on.
//!
//! A write is never failed here. Its caller's deadline decides how long it is willing to be slowed.

use std::time::Duration;

use futures::future::BoxFuture;
use metrics::{Counter, Histogram};
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::watch;
use tokio::time::Instant;

use super::NodeConfig;
use crate::raft::Throttle;
use crate::store::Store;

/// Longest delay of an entry, short of a stop.
const LONGEST_DELAY: Duration = Duration::from_millis(100);

/// Delay of an entry by the first degree of a rebuild; each further one doubles it.
const GENTLEST_DELAY: Duration = Duration::from_millis(1);

/// What weighs on a store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pressure {
    /// Memtables that wait for their flush.
    pub sealed_memtables: usize,
    /// Runs of level 0.
    pub l0_runs: usize,
    /// The last flush failed; it is tried again.
    pub flushes_fail: bool,
    /// Degrees by which a rebuild that writers outrun slows them; 0 not at all.
    pub rebuild_degree: u8,
}

/// What happens to the next entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It goes at once.
    Go,
    /// It waits this long, or until the pressure recedes.
    Delay(Duration),
    /// It waits until the pressure recedes.
    Stop,
}

fn verdict_for(count: usize, limit: usize) -> Verdict {
    let limit = limit.max(1);
    if count < limit {
        return Verdict::Go;
    }
    if count >= limit.saturating_mul(2) {
        return Verdict::Stop;
    }
    #[expect(clippy::cast_precision_loss, reason = "small counts")]
    let share = (count - limit + 1) as f64 / limit as f64;
    Verdict::Delay(LONGEST_DELAY.mul_f64(share * share))
}

impl Pressure {
    /// With what is measured of a store.
    pub(super) fn measured(self, store: &Store) -> Self {
        Self { sealed_memtables: store.sealed_memtables(), l0_runs: store.l0_runs(), ..self }
    }

    /// The heaviest of the three decides.
    #[must_use]
    pub fn verdict(&self, config: &NodeConfig) -> Verdict {
        let sealed = verdict_for(self.sealed_memtables, config.slow_sealed_memtables);
        let l0 = verdict_for(self.l0_runs, config.slow_l0_runs);
        let rebuild = match self.rebuild_degree {
            0 => Verdict::Go,
            degree => Verdict::Delay(GENTLEST_DELAY * 2_u32.saturating_pow(u32::from(degree) - 1)),
        };
        [sealed, l0, rebuild].into_iter().fold(Verdict::Go, Verdict::heavier)
    }
}

impl Verdict {
    fn heavier(self, other: Self) -> Self {
        match (self, other) {
            (Verdict::Stop, _) | (_, Verdict::Stop) => Verdict::Stop,
            (Verdict::Delay(one), Verdict::Delay(other)) => Verdict::Delay(one.max(other)),
            (Verdict::Go, other) | (other, Verdict::Go) => other,
        }
    }
}

/// Slows the entries of one volume.
pub(super) struct Brake {
    config: NodeConfig,
    pressure: watch::Receiver<Pressure>,
    slowed: AtomicU64,
    slowed_total: Counter,
    delay_seconds: Histogram,
}

impl Brake {
    pub(super) fn new(config: NodeConfig, pressure: watch::Receiver<Pressure>, volume: &str) -> Self {
        let delay_seconds = metrics::histogram!("mortise_write_delay_seconds", "volume" => volume.to_owned());
        let slowed_total =
            metrics::counter!("mortise_volume_slowed_writes_total", "volume" => volume.to_owned());
        Self { config, pressure, slowed: AtomicU64::new(0), slowed_total, delay_seconds }
    }

    /// Commands held back so far.
    pub(super) fn slowed_writes(&self) -> u64 {
        self.slowed.load(Ordering::Relaxed)
    }

    async fn hold(&self) -> bool {
        let mut pressure = self.pressure.clone();
        let started = Instant::now();
        loop {
            let verdict = pressure.borrow_and_update().verdict(&self.config);
            let wake_at = match verdict {
                Verdict::Go => break,
                Verdict::Delay(delay) if started.elapsed() >= delay => break,
                Verdict::Delay(delay) => Some(started + delay),
                Verdict::Stop => None,
            };
            let changed = pressure.changed();
            let alive = match wake_at {
                Some(at) => tokio::time::timeout_at(at, changed).await.unwrap_or(Ok(())),
                None => changed.await,
            };
            // The volume is closing: nobody will relieve the pressure any more.
            if alive.is_err() {
                break;
            }
        }
        let waited = started.elapsed();
        self.delay_seconds.record(waited);
        !waited.is_zero()
    }
}

impl Throttle for Brake {
    fn pause(&self) -> BoxFuture<'_, bool> {
        // The common case costs neither a clock nor an allocation of more than the box.
        if self.pressure.borrow().verdict(&self.config) == Verdict::Go {
            return Box::pin(std::future::ready(false));
        }
        Box::pin(self.hold())
    }

    fn slowed(&self, commands: usize) {
        self.slowed.fetch_add(commands as u64, Ordering::Relaxed);
        self.slowed_total.increment(commands as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> NodeConfig {
        NodeConfig { slow_sealed_memtables: 4, slow_l0_runs: 24, ..NodeConfig::new("unused") }
    }

    #[test]
    fn a_rebuild_that_is_outrun_doubles_the_delay_with_each_degree() {
        let verdict = |rebuild_degree| Pressure { rebuild_degree, ..Pressure::default() }.verdict(&config());
        assert_eq!(verdict(0), Verdict::Go);
        for degree in 1..8_u8 {
            let expected = GENTLEST_DELAY * (1 << (degree - 1));
            assert_eq!(verdict(degree), Verdict::Delay(expected), "degree {degree}");
        }
        let both = Pressure { rebuild_degree: 1, l0_runs: 48, ..Pressure::default() };
        assert_eq!(both.verdict(&config()), Verdict::Stop, "the heaviest decides");
    }

    #[test]
    fn the_delay_grows_smoothly_from_the_limit_to_the_stop() {
        let delays: Vec<Verdict> = (0..=9)
            .map(|sealed_memtables| {
                Pressure { sealed_memtables, l0_runs: 0, ..Pressure::default() }.verdict(&config())
            })
            .collect();
        let millis = |micros| Verdict::Delay(Duration::from_micros(micros));
        assert_eq!(delays[..4], [Verdict::Go; 4]);
        assert_eq!(delays[4..8], [millis(6250), millis(25_000), millis(56_250), millis(100_000)]);
        assert_eq!(delays[8..], [Verdict::Stop; 2]);
    }

    #[test]
    fn the_heavier_pressure_decides() {
        let light = Pressure { sealed_memtables: 4, l0_runs: 47, ..Pressure::default() };
        assert_eq!(light.verdict(&config()), Verdict::Delay(LONGEST_DELAY));
        assert_eq!(
            Pressure { sealed_memtables: 1, l0_runs: 48, ..Pressure::default() }.verdict(&config()),
            Verdict::Stop
        );
        assert_eq!(
            Pressure { sealed_memtables: 3, l0_runs: 23, ..Pressure::default() }.verdict(&config()),
            Verdict::Go
        );
    }

    #[tokio::test(start_paused = true)]
    async fn an_entry_waits_for_its_delay_or_for_relief() {
        let (sender, receiver) =
            watch::channel(Pressure { sealed_memtables: 5, l0_runs: 0, ..Pressure::default() });
        let write_throttle = Brake::new(config(), receiver, "test");
        let started = Instant::now();
        assert!(write_throttle.pause().await);
        assert_eq!(started.elapsed(), Duration::from_millis(25));

        sender.send_replace(Pressure { sealed_memtables: 8, l0_runs: 0, ..Pressure::default() });
        let mut stopped = tokio::spawn(async move { write_throttle.pause().await });
        let waited = tokio::time::timeout(Duration::from_secs(3600), &mut stopped).await;
        assert!(waited.is_err(), "a stop must hold until the pressure recedes");
        sender.send_replace(Pressure::default());
        assert!(stopped.await.expect("the pause ends"));
    }
}
