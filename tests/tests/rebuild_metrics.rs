//! What an operator sees of a rebuild while it runs: its phase, rows, bytes, lag and remaining time on the
//! page of metrics, and a warning where writers outrun it.
//!
//! Fault points hold the rebuild wherever the test looks ([`Gate`]).

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use mortise_tests::{Client, Gate, Mortise, Standing, mortise_binary, mortise_cli, page, sample, seed};
use rand::Rng as _;
use serde_json::Value;
use tempfile::TempDir;
use tokio::task::JoinHandle;

/// How long the page may take to show what is.
const BOUND: Duration = Duration::from_secs(60);
const PHASES: [&str; 5] = ["preparing", "copying", "verifying", "catching-up", "switching"];
/// Values of 64 KiB: some portions of a copy.
const VALUES: usize = 64;
const SIZE: usize = 64 << 10;
/// More than what a switch may apply.
const BURST: usize = 20;

/// A node whose default volume holds [`VALUES`], with these actions at its fault points.
async fn node(directory: &Path, actions: &str) -> Result<(Mortise, Client)> {
    let mut command = Mortise::command(directory, &["--memtable-size", "1MiB"])?;
    let faulty = mortise_binary()?.with_file_name("mortise-fault-points");
    let arguments: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
    command = std::process::Command::new(faulty);
    command.args(arguments).env("FAILPOINTS", actions);
    let mortise = Mortise::from_command(command)?;
    let mut client = Client::connect(&mortise.endpoint()).await?;
    // What is to be copied is estimated by what it takes on the disk, where values that repeat take less.
    let mut rng = seed::rng("rebuild_metrics");
    for number in 0..VALUES {
        let value: Vec<u8> = (0..SIZE).map(|_| rng.random()).collect();
        client.put(format!("key-{number:03}"), value).await.ok().context("a put is accepted")?;
    }
    Ok((mortise, client))
}

fn rebuild(mortise: &Mortise) -> JoinHandle<Result<Value>> {
    let endpoint = mortise.endpoint();
    tokio::task::spawn_blocking(move || {
        let done = mortise_cli(&endpoint, &["volume", "rebuild", "default", "--output", "json"])?;
        ensure!(done.success(), "{done:?}");
        Ok(serde_json::from_str(&done.stdout)?)
    })
}

/// What the page says of the volume's rebuild.
#[derive(Debug)]
struct Seen {
    phases: Vec<&'static str>,
    running: f64,
    rows: f64,
    bytes: f64,
    estimate: f64,
    lag: f64,
    remaining: f64,
}

fn seen(mortise: &Mortise) -> Result<Seen> {
    let page = page(&mortise.http, "/metrics")?;
    let of = |name: &str| sample(&page, name, &[("volume", "default"), ("kind", "rebuild")]).unwrap_or(0.0);
    let stands = |phase: &&str| {
        let labels = [("volume", "default"), ("kind", "rebuild"), ("phase", *phase)];
        sample(&page, "mortise_rebuild_phase", &labels) == Some(1.0)
    };
    Ok(Seen {
        phases: PHASES.into_iter().filter(stands).collect(),
        running: of("mortise_rebuild_running"),
        rows: of("mortise_rebuild_rows"),
        bytes: of("mortise_rebuild_bytes"),
        estimate: of("mortise_rebuild_estimated_bytes"),
        lag: of("mortise_rebuild_lag_entries"),
        remaining: of("mortise_rebuild_remaining_seconds"),
    })
}

/// Waits until the page shows what is expected while the rebuild stands.
fn shows(mortise: &Mortise, what: &str, expected: impl Fn(&Seen) -> bool) -> Result<Seen> {
    let end = Instant::now() + BOUND;
    loop {
        let seen = seen(mortise)?;
        if expected(&seen) {
            return Ok(seen);
        }
        ensure!(Instant::now() < end, "{what} was expected, the page shows {seen:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn phase_rows_bytes_lag_and_remaining_time_move() -> Result<()> {
    let directory = TempDir::new()?;
    let [copy, verify, catch_up, switch] = [Gate::new()?, Gate::new()?, Gate::new()?, Gate::new()?];
    let actions = [
        ("rebuild-copy-middle=1*off->2*", &copy),
        ("rebuild-verify-middle=1*", &verify),
        ("rebuild-catch-up-middle=2*", &catch_up),
        ("rebuild-switch-held=1*", &switch),
    ];
    let actions = actions.map(|(point, gate)| format!("{point}{}", gate.action())).join(";");
    let (mortise, mut client) = node(directory.path(), &actions).await?;
    let job = rebuild(&mortise);

    let standing = copy.arrival()?;
    let copying = |seen: &Seen| seen.phases == ["copying"] && seen.running == 1.0 && seen.rows > 0.0;
    let first = shows(&mortise, "a part of the copy", copying)?;
    ensure!(first.bytes > 0.0 && first.bytes < first.estimate && first.remaining > 0.0, "{first:?}");
    for number in 0..BURST {
        client.put(format!("since-{number}"), "value").await.ok().context("a put is accepted")?;
    }
    drop(standing);
    let standing = copy.arrival()?;
    let more = shows(&mortise, "more of it", |seen| copying(seen) && seen.rows > first.rows)?;
    ensure!(more.bytes > first.bytes, "{first:?}, then {more:?}");
    drop(standing);

    let standing = verify.arrival()?;
    let all = shows(&mortise, "the whole copy", |seen| seen.phases == ["verifying"])?;
    ensure!(all.rows >= VALUES as f64 && all.bytes >= (VALUES * SIZE) as f64, "{all:?}");
    drop(standing);

    // The first entry is applied and the lag is told when its round has ended, so others must come meanwhile.
    let mut standing = catch_up.arrival()?;
    for number in 0..BURST {
        client.put(format!("late-{number}"), "value").await.ok().context("a put is accepted")?;
    }
    shows(&mortise, "the phase of catching up", |seen| seen.phases == ["catching-up"])?;
    drop(standing);
    standing = catch_up.arrival()?;
    drop(standing);

    let standing = switch.arrival()?;
    shows(&mortise, "the switch", |seen| seen.phases == ["switching"] && seen.running == 1.0)?;
    drop(standing);

    let done = job.await??;
    ensure!(done["state"] == "done" && done["result"]["entries"].as_u64() >= Some(BURST as u64), "{done}");
    let idle = |seen: &Seen| seen.phases.is_empty() && seen.running == 0.0 && seen.rows + seen.lag == 0.0;
    shows(&mortise, "that nothing runs", |seen| idle(seen) && seen.bytes + seen.remaining == 0.0)?;
    let ended = [("volume", "default"), ("kind", "rebuild"), ("outcome", "done")];
    let jobs = sample(&page(&mortise.http, "/metrics")?, "mortise_rebuild_jobs_total", &ended);
    ensure!(jobs == Some(1.0), "{jobs:?}");
    mortise.stop()
}

/// Each entry that is caught up with makes a burst of new ones, until the rebuild says that it slows writers.
#[tokio::test(flavor = "multi_thread")]
async fn writers_that_outrun_a_rebuild_are_seen_in_the_log_and_on_the_page() -> Result<()> {
    let directory = TempDir::new()?;
    let [copied, catch_up] = [Gate::new()?, Gate::new()?];
    let actions = [("rebuild-copied=1*", &copied), ("rebuild-catch-up-middle=", &catch_up)];
    let actions = actions.map(|(point, gate)| format!("{point}{}", gate.action())).join(";");
    let (mut mortise, mut client) = node(directory.path(), &actions).await?;
    let slowdowns = |mortise: &Mortise| -> Result<f64> {
        let page = page(&mortise.http, "/metrics")?;
        let slowed = [("volume", "default")];
        Ok(sample(&page, "mortise_rebuild_slowdowns_total", &slowed).unwrap_or(0.0))
    };
    let job = rebuild(&mortise);
    let mut number = 0;
    let mut burst = async || -> Result<()> {
        for _ in 0..BURST {
            client.put(format!("burst-{}", number % 100), "value").await.ok().context("a put is accepted")?;
            number += 1;
        }
        Ok(())
    };
    let standing: Standing = copied.arrival()?;
    burst().await?;
    ensure!(slowdowns(&mortise)? == 0.0, "nobody is slowed yet");
    drop(standing);
    let mut arrivals = 0;
    let lag = loop {
        let standing = catch_up.arrival()?;
        arrivals += 1;
        if slowdowns(&mortise)? > 0.0 {
            break seen(&mortise)?.lag;
        }
        ensure!(arrivals < 2000, "writers were never slowed");
        // One burst for each round is enough to gain on it for good.
        if arrivals % (BURST / 2) == 1 {
            burst().await?;
        }
        drop(standing);
    };
    ensure!(lag > 0.0, "the lag is told: {lag}");
    let warned = |line: &str| line.contains("writers outrun the rebuild").then(|| line.to_owned());
    let line = mortise.process().wait_line("the warning", BOUND, warned)?;
    ensure!(line.contains("WARN") && line.contains("default") && line.contains("degree"), "{line}");
    drop(catch_up);
    let done = job.await??;
    ensure!(done["state"] == "done" && done["result"]["slowed_writers"] == true, "{done}");
    mortise.stop()
}
