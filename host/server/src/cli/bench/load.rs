//! Many clients in a closed loop: each sends its next request when the last one is answered.
//!
//! Latencies are those that a client waits, from handing its request over to the end of the answer, without
//! the making of the request. Failed requests are counted and have no latency. Because clients wait for their
//! answers, a server that stalls is asked less meanwhile, and the quantiles tell less of the stall than an
//! open loop would. A load that makes no progress for too long ends with an error rather than hang.

use std::io::IsTerminal as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::bail;
use hdrhistogram::Histogram;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::task::JoinSet;

use super::plan::Plan;
use super::wire::Connection;

/// Longest latency told apart, in nanoseconds.
const LONGEST: u64 = 600_000_000_000;
/// The bar moves and stalls are noticed this often.
const TICK: Duration = Duration::from_millis(100);

/// What was measured.
pub(super) struct Measured {
    /// Latencies of requests that went well, in nanoseconds.
    pub(super) latency: Histogram<u64>,
    /// Requests that failed.
    pub(super) errors: u64,
    /// The first failure.
    pub(super) first_error: Option<String>,
    /// From the first request to the last answer.
    pub(super) elapsed: Duration,
}

/// Counters that all clients share.
struct Progress {
    started: AtomicU64,
    finished: AtomicU64,
}

/// Sends the first `total` requests of `plan` from `clients` clients.
///
/// # Errors
/// When no request finishes for `stall`.
pub(super) async fn run(
    name: &'static str,
    connections: &[Connection],
    plan: &Plan,
    clients: usize,
    total: u64,
    stall: Duration,
) -> anyhow::Result<Measured> {
    let progress = Arc::new(Progress { started: AtomicU64::new(0), finished: AtomicU64::new(0) });
    let plan = Arc::new(plan.clone());
    let begun = Instant::now();
    let mut tasks = JoinSet::new();
    for connection in connections.iter().cycle().take(clients) {
        tasks.spawn(client(connection.clone(), plan.clone(), progress.clone(), total));
    }
    let bar = bar(name, total);
    let mut watch = tokio::time::interval(TICK);
    let (mut seen, mut moved) = (0, Instant::now());
    let mut all = Measured { latency: histogram()?, errors: 0, first_error: None, elapsed: Duration::ZERO };
    loop {
        tokio::select! {
            done = tasks.join_next() => match done {
                Some(part) => all.add(part??)?,
                None => break,
            },
            _ = watch.tick() => {
                let finished = progress.finished.load(Ordering::Relaxed);
                bar.set_position(finished);
                if finished != seen {
                    (seen, moved) = (finished, Instant::now());
                } else if moved.elapsed() > stall {
                    bail!("no request finished for {stall:?}; {finished} of {total} were answered before");
                }
            }
        }
    }
    all.elapsed = begun.elapsed();
    bar.finish_and_clear();
    Ok(all)
}

impl Measured {
    fn add(&mut self, part: Measured) -> anyhow::Result<()> {
        self.latency.add(part.latency)?;
        self.errors += part.errors;
        self.first_error = self.first_error.take().or(part.first_error);
        Ok(())
    }
}

fn histogram() -> anyhow::Result<Histogram<u64>> {
    Ok(Histogram::new_with_bounds(1, LONGEST, 3)?)
}

async fn client(
    connection: Connection,
    plan: Arc<Plan>,
    progress: Arc<Progress>,
    total: u64,
) -> anyhow::Result<Measured> {
    let head = connection.head(plan.kind.path())?;
    let mut part = Measured { latency: histogram()?, errors: 0, first_error: None, elapsed: Duration::ZERO };
    loop {
        let n = progress.started.fetch_add(1, Ordering::Relaxed);
        if n >= total {
            return Ok(part);
        }
        let frame = plan.frame(n);
        let begun = Instant::now();
        match connection.call(&head, frame).await {
            Ok(()) => {
                let nanos = u64::try_from(begun.elapsed().as_nanos()).unwrap_or(LONGEST);
                part.latency.saturating_record(nanos);
            }
            Err(error) => {
                part.errors += 1;
                part.first_error.get_or_insert_with(|| format!("{error:#}"));
            }
        }
        progress.finished.fetch_add(1, Ordering::Relaxed);
    }
}

fn bar(name: &'static str, total: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{prefix} {wide_bar} {pos}/{len} {per_sec} {eta}");
    let bar = ProgressBar::new(total).with_prefix(name);
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
