//! A rebuild from beginning to end, and what is cleaned up when it fails.
//!
//! The *attempt* runs in a task of its own, and whatever blocks in it on threads that may; so a panic ends
//! nothing but the attempt. What it holds (the log, the pinned iterator) goes with it; what it left on disk
//! is removed afterwards by [`run`]. An attempt answers as soon as nothing can fail any more.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::Instant;

use super::catch_up::{CatchUp, Slowdown};
use super::copy::{self, Copy};
use super::pace::Pace;
use super::site::{Generation, Site};
use super::{Cancel, Phase, Progress, RebuildOptions, RebuildOutcome, SWITCH_BYTES, SWITCH_ENTRIES};
use super::{SWITCH_WEIGHT, Verify};
use crate::raft::{Exchange, Limits, LogHold, Postponed, Replay};
use crate::seams::fault::{Point, pass};
use crate::store::{RowSum, Served};
use crate::{Error, Result};

/// Pause between two tries to make a flip durable.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Where the next generation comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// It is copied from the present one.
    Copy,
    /// It is the previous one, which was kept.
    Kept,
}

/// A rebuild of one volume.
#[derive(Clone)]
pub(crate) struct Task {
    pub(crate) site: Arc<dyn Site>,
    pub(crate) source: Source,
    pub(crate) options: RebuildOptions,
    pub(crate) cancel: Cancel,
    pub(crate) progress: watch::Sender<Progress>,
}

/// No generation was begun.
const NONE: u64 = 0;

/// Runs blocking work to its end, even when nobody waits for it any more.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(Error::Internal(format!("a rebuild ended early: {error}"))))
}

/// Rebuilds, and cleans up after a failure. Returns when nothing of it is under way any more.
pub(crate) async fn run(task: Task) -> Result<RebuildOutcome> {
    let begun = Arc::new(AtomicU64::new(NONE));
    let label = task.site.label().to_owned();
    tracing::info!(volume = label, options = ?task.options, "rebuilding into a new generation");
    // A counter that is there from the first rebuild on tells that writers were not slowed.
    drop(metrics::counter!("mortise_rebuild_slowdowns_total", "volume" => label.clone()));
    let attempt = tokio::spawn(attempt(task.clone(), Arc::clone(&begun)));
    let result =
        attempt.await.unwrap_or_else(|error| Err(Error::Internal(format!("a rebuild ended early: {error}"))));
    task.site.slow_writers(0);
    let phase = if result.is_ok() { Phase::Done } else { Phase::Failed };
    if let Err(error) = &result {
        tracing::warn!(volume = label, %error, "a rebuild ended without a switch; the volume is as it was");
        clean_up(&task.site, begun.load(Ordering::Acquire)).await;
    }
    task.progress.send_modify(|progress| {
        progress.phase = phase;
        progress.slows_writers = false;
        progress.remaining = None;
    });
    let outcome = if result.is_ok() { "done" } else { "failed" };
    metrics::counter!("mortise_rebuilds_total", "volume" => label, "outcome" => outcome).increment(1);
    result
}

/// Removes what a failed attempt has left on disk, and lets the log be purged again.
async fn clean_up(site: &Arc<dyn Site>, begun: u64) {
    let abandoned = Arc::clone(site);
    let building = (begun != NONE).then_some(begun);
    if let Err(error) = blocking(move || abandoned.abandon(building)).await {
        tracing::warn!(%error, ?building, "what a rebuild left is removed at the next opening");
    }
    site.group().purge_flushed().await;
}

/// A store that is copied and open under its final name.
struct Copied {
    generation: u64,
    store: Arc<Served>,
    sum: RowSum,
    took: Duration,
}

async fn attempt(task: Task, begun: Arc<AtomicU64>) -> Result<RebuildOutcome> {
    let started = Instant::now();
    let previous = task.site.current();
    let disk_bytes_before = task.site.store().load().shape().disk_bytes();
    if task.source == Source::Copy {
        task.prepare().await?;
    }
    let hold = Arc::new(task.site.group().hold());
    let copied = match task.source {
        Source::Copy => task.copy(Arc::clone(&hold), begun).await?,
        Source::Kept => task.open_kept().await?,
    };
    let (generation, sum, copy_took) = (copied.generation, copied.sum, copied.took);
    let replay = task.site.group().replay(copied.store)?;
    let switched = task.catch_up_and_switch(replay, Arc::clone(&hold), generation).await?;
    task.settle().await;
    let switch_held = switched.quiet.map_or(switched.exchange.held, |quiet| quiet.since.elapsed());
    let kept = task.keep(switched.previous).await;
    drop((hold, switched.held));
    task.site.group().purge_flushed().await;
    if !kept {
        task.site.retire(previous);
    }
    let progress = task.progress.borrow().clone();
    let outcome = RebuildOutcome {
        generation,
        previous,
        kept,
        records: sum.rows,
        bytes: sum.bytes,
        disk_bytes_before,
        disk_bytes_after: task.site.store().load().shape().disk_bytes(),
        entries: progress.entries,
        rounds: progress.rounds,
        switch_entries: switched.exchange.entries,
        switch_bytes: switched.exchange.bytes,
        switch_held,
        copy_took,
        took: started.elapsed(),
        slowed_writers: switched.slowed_writers,
    };
    let volume = task.site.label();
    metrics::histogram!("mortise_rebuild_switch_seconds", "volume" => volume.to_owned())
        .record(outcome.switch_held);
    tracing::info!(volume, ?outcome, "the new generation serves");
    Ok(outcome)
}

/// What came of a switch.
struct Switched {
    exchange: Exchange,
    previous: Arc<Served>,
    /// Keeps the log behind what the previous store had in tables: a power failure may bring that one back,
    /// and by then the flushes of the new store are what the log is purged by.
    held: LogHold,
    slowed_writers: bool,
    /// Where the format changed, nothing was proposed since before the switch: until the flip is durable,
    /// the log must hold nothing that only the new format can store.
    quiet: Option<Quiet>,
}

/// Nothing is proposed while it lives.
struct Quiet {
    since: Instant,
    _permit: OwnedSemaphorePermit,
}

impl Task {
    /// Waits for superseded revisions to go, brings everything into tables, from which it is copied, and sees
    /// that the copy will fit.
    async fn prepare(&self) -> Result<()> {
        tokio::select! {
            () = self.site.scrubbed() => {}
            () = self.cancel.requested() => {}
        }
        self.cancel.check()?;
        self.site.flush().await?;
        self.cancel.check()?;
        let site = Arc::clone(&self.site);
        blocking(move || {
            let shape = site.store().load().shape();
            site.check_room(shape.disk_bytes() + shape.memtable_bytes)
        })
        .await
    }

    /// The first phase.
    async fn copy(&self, hold: Arc<LogHold>, begun: Arc<AtomicU64>) -> Result<Copied> {
        let started = Instant::now();
        let pace = Pace::new(self.options.rate, self.cancel.clone());
        let task = self.clone();
        blocking(move || {
            let format = task.options.transform.as_ref().map(|transform| transform.format());
            let building = task.site.begin(format, &|number| begun.store(number, Ordering::Release))?;
            let sum = task.copy_into(&building, &hold, pace)?;
            pass(Point::RebuildCopied)?;
            let store = task.site.name(&building)?;
            pass(Point::RebuildNamed)?;
            Ok(Copied { generation: building.number, store, sum, took: started.elapsed() })
        })
        .await
    }

    /// Opens what was kept, which takes the place of a copy, as soon as nothing that began before the switch
    /// works on it any more: a step may take long, and a switch waits for nobody.
    async fn open_kept(&self) -> Result<Copied> {
        let generation = self.site.lend_kept()?;
        tokio::select! {
            () = self.site.vacated(generation) => {}
            () = self.cancel.requested() => return Err(Error::Cancelled("the rebuild")),
        }
        let site = Arc::clone(&self.site);
        blocking(move || {
            let store = site.open_kept(generation)?;
            Ok(Copied { generation, store, sum: RowSum::default(), took: Duration::ZERO })
        })
        .await
    }

    /// Keeps the previous generation if that was asked for; whether it is kept. It gets its last entries
    /// into tables, so that little of the log is held for it.
    async fn keep(&self, store: Arc<Served>) -> bool {
        let kept = self.site.keep();
        if kept {
            let site = Arc::clone(&self.site);
            let advanced = blocking(move || {
                store.close()?;
                site.advance_kept(store.flushed())
            });
            if let Err(error) = advanced.await {
                let volume = self.site.label();
                tracing::warn!(volume, %error, "more of the log is held than the previous generation needs");
            }
        }
        kept
    }

    /// Fills and checks a generation in the making; its store is closed again when this returns.
    fn copy_into(&self, building: &Generation, hold: &LogHold, pace: Pace) -> Result<RowSum> {
        let target = self.site.open_building(building)?;
        pass(Point::RebuildPrepared)?;
        let (site, options) = (Arc::clone(&self.site), self.options.clone());
        let copy = Copy { site, options, pace, progress: self.progress.clone() };
        let copy::Filled { sum, in_order, content, mut pace } = copy.run(&target, hold)?;
        self.progress.send_modify(|progress| {
            progress.phase = Phase::Verifying;
            progress.remaining = None;
        });
        drop(target);
        let target = self.site.open_building(building)?;
        match self.options.verify {
            Verify::Full => copy::verify(&target, sum, &mut pace)?,
            Verify::Count => copy::verify_count(&target, sum, in_order, &mut pace)?,
        }
        if let (Verify::Full, Some(content)) = (self.options.verify, content) {
            copy::verify_content(content, &target, &mut pace)?;
        }
        Ok(sum)
    }

    /// The second and the third phase.
    async fn catch_up_and_switch(
        &self,
        mut replay: Replay,
        hold: Arc<LogHold>,
        generation: u64,
    ) -> Result<Switched> {
        let (site, cancel) = (Arc::clone(&self.site), self.cancel.clone());
        let progress = self.progress.clone();
        self.enter(Phase::CatchingUp);
        let mut catch_up = CatchUp { site, cancel, progress, slowdown: Slowdown::default() };
        let (prepared, keep) = (Arc::clone(&hold), self.options.keep_previous);
        (replay, catch_up) = blocking(move || {
            catch_up.run(&mut replay, &prepared)?;
            catch_up.flush(&replay, &prepared)?;
            pass(Point::RebuildCaughtUp)?;
            catch_up.site.prepare_flip(generation, keep, replay.keeps_order())?;
            Ok((replay, catch_up))
        })
        .await?;
        self.enter(Phase::Switching);
        loop {
            let hold = Arc::clone(&hold);
            (replay, catch_up) = blocking(move || {
                catch_up.run(&mut replay, &hold)?;
                pass(Point::RebuildSwitchBefore)?;
                Ok((replay, catch_up))
            })
            .await?;
            let quiet = self.quiet().await?;
            let (site, cancel) = (Arc::clone(&self.site), self.cancel.clone());
            let limits = Limits { entries: SWITCH_ENTRIES, bytes: SWITCH_BYTES, weight: SWITCH_WEIGHT };
            let flip = move || {
                pass(Point::RebuildSwitchHeld)?;
                cancel.check()?;
                site.flip(generation)
            };
            let held = self.site.group().hold();
            let postponed: Postponed = match replay.exchange(limits, flip).await? {
                Ok((exchange, previous)) => {
                    self.site.exchanged();
                    self.site.slow_writers(0);
                    let slowed_writers = catch_up.slowdown.was_used();
                    return Ok(Switched { exchange, previous, held, slowed_writers, quiet });
                }
                Err(postponed) => postponed,
            };
            replay = postponed.replay;
            catch_up.switch_refused(replay.lag(), postponed.excess);
        }
    }

    /// Keeps entries from being in flight while the format changes: each was prepared for the present one.
    async fn quiet(&self) -> Result<Option<Quiet>> {
        if self.options.transform.is_none() && self.source == Source::Copy {
            return Ok(None);
        }
        let since = Instant::now();
        tokio::select! {
            permit = self.site.group().quiet() => Ok(Some(Quiet { since, _permit: permit? })),
            () = self.cancel.requested() => Err(Error::Cancelled("the rebuild")),
        }
    }

    fn enter(&self, phase: Phase) {
        self.progress.send_modify(|progress| {
            progress.phase = phase;
            progress.remaining = None;
        });
    }

    /// Makes the flip durable, however long it takes. The log is held for both generations meanwhile: by the
    /// attempt where the new one's tables stand, by [`Switched`] where the previous one's do.
    async fn settle(&self) {
        loop {
            let site = Arc::clone(&self.site);
            let Err(error) = blocking(move || site.settle()).await else { break };
            tracing::warn!(volume = self.site.label(), %error, "the flip is not durable yet; it is tried again");
            tokio::time::sleep(RETRY_AFTER).await;
        }
    }
}
