//! Rebuilds and conversions of the real binary under writers, ended at every fault point and by SIGKILL.
//!
//! For each point the binary with fault points serves a volume that writers write to while job follows job,
//! until the point aborts the process, where it lies within a write also with half of that write on the disk;
//! then the normal binary opens the directory. Every acknowledged write must be there and the hashes equal
//! the model's ([`mortise_tests::History::verify`]); exactly one generation is current, written in one
//! format; nothing else is left; and `mortise doctor` finds nothing to say. Conversions keep the previous
//! generation, and every third one is undone: what is kept is what was kept before the job, or what the job
//! was to keep, and the way back to it is gone. All points work on one directory, one after the other,
//! so that what one leaves unnoticed meets the next. The table of points is printed.
//!
//! `MORTISE_REBUILD_CRASH_ROUNDS` sets the number of SIGKILLs, `MORTISE_SEED` repeats the draws.

mod jobs;
mod judge;

use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use mortise_kernel::seams::fault::Point;
use mortise_tests::{Attempt, Client, Load, Mortise, mortise_binary, seed};
use rand::Rng as _;
use rand::rngs::StdRng;
use tempfile::TempDir;

use crate::jobs::{Begun, JOBS, Work, refusal, slow_job, work_off};
use crate::judge::Known;

const END: Duration = Duration::from_secs(120);
const WRITERS: u32 = 4;
const SIGABRT: i32 = 6;
/// Reads in which their point has to come up; a start reads, too, and passes it a few times.
const READS: usize = 100;
/// Tries to meet a point while the node serves, and not already while it starts.
const TRIES: u32 = 6;
const KILLS: usize = 10;
/// Small memtables, so that flushes and compactions happen, too.
const SETTINGS: [&str; 2] = ["--memtable-size", "256KiB"];

/// Times that a point is passed before it aborts, once for each way to meet it. Starting passes those of the
/// log a few times, writers do by the hundred. A rebuild passes those of files for each file and directory
/// that it makes: the third renaming is the flip. One that keeps the previous generation has the note of that
/// before it, and once more behind it; the kernel's own matrix goes through all of those.
fn passes(point: Point, work: Work, rng: &mut StdRng) -> Vec<u32> {
    let keeps = work == Work::Conversion;
    match point {
        // Of a creation that was cut off, which a directory has behind it: see the test of its own.
        Point::LogRemainsBefore | Point::LogRemainsAfter => vec![],
        _ if point.is_of_openings() || point.name().starts_with("log-purge-") => vec![0],
        _ if point.name().starts_with("log-") => vec![rng.random_range(30..120)],
        Point::FileSyncBefore | Point::FileSyncAfter if keeps => vec![1, 2, 3],
        Point::FileSyncBefore | Point::FileSyncAfter => vec![0, 1],
        Point::RenameBefore | Point::RenameAfter if keeps => vec![1, 2, 3, 4],
        Point::DirectorySyncBefore | Point::DirectorySyncAfter if keeps => vec![0, 5, 6, 7],
        _ if point.is_of_files() => vec![0, 1, 2],
        _ if point.is_of_keeping() && !keeps => vec![],
        _ => vec![0],
    }
}

/// What meets a point that jobs alone may not pass: it is done while a slow job is under way.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Beside {
    /// Writers, and nothing more.
    Writers,
    /// A volume is made: a group of one voter writes a vote then, and never again.
    NewVolume,
    /// A range is read.
    Read,
}

fn beside(point: Point) -> Option<Beside> {
    if point.is_of_openings() || point.name().starts_with("log-purge-") {
        return None;
    }
    match point.name().split('-').next() {
        Some("log" | "flush") => Some(Beside::Writers),
        Some("vote") => Some(Beside::NewVolume),
        Some("read") => Some(Beside::Read),
        _ => None,
    }
}

/// The binary with fault points, which lies beside the normal one.
fn faulty(directory: &Path, action: &str) -> Result<Command> {
    let path = mortise_binary()?.with_file_name("mortise-fault-points");
    ensure!(
        path.is_file(),
        "{} is missing: build it with `cargo build --workspace --bins --features mortise/fault-points` and \
         copy `mortise` there, as `make test` does",
        path.display()
    );
    let mut command = Command::new(path);
    command.args(Mortise::command(directory, &SETTINGS)?.get_args()).env("FAILPOINTS", action);
    Ok(command)
}

/// How a process with an armed point ended.
enum End {
    /// Aborted while it started.
    Starting,
    /// Aborted while it served; what the writers asked for, and the job that was begun last.
    Serving(Vec<Attempt>, Option<Begun>),
    /// Not at all.
    Alive,
}

/// Runs jobs under writers until the process has gone.
async fn run(
    directory: &Path,
    action: &str,
    work: Work,
    beside: Option<Beside>,
    name: &str,
    rng: &mut StdRng,
) -> Result<End> {
    let mut mortise = match Mortise::from_command(faulty(directory, action)?) {
        Ok(mortise) => mortise,
        Err(error) if format!("{error:#}").contains("aborts the process") => return Ok(End::Starting),
        Err(error) => return Err(error),
    };
    let endpoint = mortise.endpoint();
    let slow = match beside {
        Some(_) => Some(slow_job(endpoint.clone(), work).await?),
        None => None,
    };
    let load = match Load::start(&endpoint, name, WRITERS, rng).await {
        Ok(load) => load,
        // The job itself has met the point.
        Err(error) => {
            let Some(slow) = slow else { return Err(error) };
            aborted(&mut mortise, action)?;
            return Ok(End::Serving(Vec::new(), slow.await??.1));
        }
    };
    let volume = format!("volume-{}", rng.random::<u32>());
    let jobs = tokio::task::spawn_blocking(move || match beside {
        Some(Beside::NewVolume) => Ok((refusal(&endpoint, &["volume", "create", &volume])?, None)),
        Some(Beside::Read) => {
            let read = || refusal(&endpoint, &["kv", "get", "key-", "--prefix"]).transpose();
            Ok(((0..READS).find_map(|_| read()).transpose()?, None))
        }
        Some(Beside::Writers) => Ok((None, None)),
        None => work_off(&endpoint, work),
    });
    let (mut refused, mut begun) = jobs.await??;
    if let Some(slow) = slow {
        let (ended, slow) = slow.await??;
        ensure!(ended.is_some(), "{action}: the slow job ended well, so nothing happened beside it");
        refused = refused.or(ended);
        begun = slow;
    }
    let attempts = load.finish().await?;
    if let Some(refused) = refused {
        aborted(&mut mortise, action).context(refused)?;
        return Ok(End::Serving(attempts, begun));
    }
    mortise.kill()?;
    Ok(End::Alive)
}

/// The process ends as its point says.
fn aborted(mortise: &mut Mortise, action: &str) -> Result<()> {
    let (status, log) = mortise.process().wait_end(END)?;
    ensure!(status.signal() == Some(SIGABRT), "{action}: {status}: {log}");
    Ok(())
}

/// Prints a line of the table of points, also where the output of tests is captured.
fn tell(line: &str) -> Result<()> {
    Ok(writeln!(std::io::stdout(), "{line}")?)
}

async fn matrix(work: Work, test: &str) -> Result<()> {
    let mut rng = seed::rng(test);
    let directory = TempDir::new()?;
    let mut known = Known::default();
    let (mut acknowledged, mut round, mut last_job, mut ways_back) = (0, 0, 0, 0);
    tell(&format!(
        "{:<26} {:<6} {:>8}  {:<8} {:>12}  {:<11}  {:<4}  {test}",
        "ended at", "how", "passes", "while", "acknowledged", "the job", "kept"
    ))?;
    let mut faults = Vec::new();
    for &point in Point::ALL {
        let ends = if point.is_within_a_write() { &["abort", "torn"][..] } else { &["abort"] };
        let passes = passes(point, work, &mut rng);
        faults.extend(ends.iter().flat_map(|end| passes.iter().map(move |passes| (point, *end, *passes))));
    }
    for (point, end, mut passes) in faults {
        // A torn end of the log, which only the next opening sees.
        let (mut torn, mut begun_before) = (Vec::new(), None);
        if point.is_of_openings() {
            round += 1;
            let action = format!("log-append-middle={}*off->return(torn)", rng.random_range(30..120));
            let beside = Some(Beside::Writers);
            match run(directory.path(), &action, work, beside, &round.to_string(), &mut rng).await? {
                End::Serving(attempts, begun) => (torn, begun_before) = (attempts, begun),
                End::Starting | End::Alive => bail!("{action}: no write was torn"),
            }
        }
        for attempt in 1.. {
            let action = format!("{}={passes}*off->return({end})", point.name());
            round += 1;
            let name = round.to_string();
            let ended = run(directory.path(), &action, work, beside(point), &name, &mut rng)
                .await
                .with_context(|| action.clone())?;
            let (when, attempts, begun) = match ended {
                End::Starting => ("starting", std::mem::take(&mut torn), begun_before.take()),
                End::Serving(attempts, begun) => ("serving", attempts, begun),
                End::Alive => bail!("{action}: the point was not reached in {JOBS} jobs"),
            };
            let verdict = known.judge(directory.path(), attempts, begun.as_ref(), &mut rng).await;
            let found = verdict.with_context(|| format!("after {action}, {when}"))?;
            acknowledged += found.acknowledged;
            ways_back += usize::from(found.went_back);
            let (name, kept) = (point.name(), if found.went_back { "yes" } else { "no" });
            let (count, state) = (found.acknowledged, &found.state);
            tell(&format!("{name:<26} {end:<6} {passes:>8}  {when:<8} {count:>12}  {state:<11}  {kept:<4}"))?;
            let begun_one = found.job > last_job;
            last_job = found.last_job;
            if point.is_of_openings() {
                ensure!(when == "starting", "{action}: nothing was torn");
                break;
            }
            if when == "serving" {
                ensure!(begun_one, "{action}: no job was begun");
                break;
            }
            ensure!(attempt < TRIES, "{action}: the node never served before it aborted");
            passes += 3;
        }
    }
    ensure!(acknowledged > 0, "nothing was acknowledged, so nothing was tested");
    ensure!((ways_back > 0) == (work == Work::Conversion), "{ways_back} generations were kept");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn aborts_at_every_point_of_a_defragmentation_lose_nothing() -> Result<()> {
    matrix(Work::Defragmentation, "aborts_at_every_point_of_a_defragmentation_lose_nothing").await
}

#[tokio::test(flavor = "multi_thread")]
async fn aborts_at_every_point_of_conversions_and_ways_back_lose_nothing() -> Result<()> {
    matrix(Work::Conversion, "aborts_at_every_point_of_conversions_and_ways_back_lose_nothing").await
}

/// A first start that was killed while it made the log, and then at the removal of what it had left.
#[tokio::test(flavor = "multi_thread")]
async fn aborts_amid_the_removal_of_a_log_that_was_never_finished_lose_nothing() -> Result<()> {
    for point in [Point::LogRemainsBefore, Point::LogRemainsAfter] {
        let directory = TempDir::new()?;
        Mortise::start(directory.path())?.stop()?;
        for name in ["log", "volumes"] {
            std::fs::remove_dir_all(directory.path().join(name))?;
            std::fs::create_dir(directory.path().join(name))?;
        }
        std::fs::write(directory.path().join("log/0.jnl"), "")?;
        let action = format!("{}=return(abort)", point.name());
        let ended = Mortise::from_command(faulty(directory.path(), &action)?).err();
        let told = format!("{:#}", ended.with_context(|| format!("{action}: it was not reached"))?);
        ensure!(told.contains("aborts the process"), "{action}: {told}");
        let mortise = Mortise::start_with(directory.path(), &SETTINGS)?;
        let mut client = Client::connect(&mortise.endpoint()).await?;
        client.put("key", "value").await.ok().context("a put is accepted")?;
        mortise.stop()?;
        tell(&format!("{:<26} {:<6} {:>8}  {:<8}", point.name(), "abort", 0, "starting"))?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn sigkill_amid_rebuilds_and_conversions_loses_nothing() -> Result<()> {
    let mut rng = seed::rng("sigkill_amid_rebuilds_and_conversions_loses_nothing");
    let directory = TempDir::new()?;
    let mut known = Known::default();
    let (mut acknowledged, mut interrupted) = (0, 0);
    for round in 0..seed::count("MORTISE_REBUILD_CRASH_ROUNDS", KILLS) {
        let work = if round % 2 == 0 { Work::Defragmentation } else { Work::Conversion };
        let mortise = Mortise::start_with(directory.path(), &SETTINGS)?;
        let endpoint = mortise.endpoint();
        // In every third round a slow job is under way for certain; else job follows job, and luck decides.
        let jobs = if round % 3 == 1 {
            slow_job(endpoint.clone(), work).await?
        } else {
            let endpoint = endpoint.clone();
            tokio::task::spawn_blocking(move || work_off(&endpoint, work))
        };
        let mut load = Load::start(&endpoint, &round.to_string(), WRITERS, &mut rng).await?;
        load.reach(rng.random_range(1..800)).await?;
        mortise.kill()?;
        let attempts = load.finish().await?;
        let (_, begun) = jobs.await??;
        let found = known.judge(directory.path(), attempts, begun.as_ref(), &mut rng).await?;
        ensure!(round % 3 != 1 || found.state == "interrupted", "the slow job is {}", found.state);
        acknowledged += found.acknowledged;
        interrupted += usize::from(found.state == "interrupted");
    }
    tell(&format!("SIGKILL interrupted {interrupted} jobs"))?;
    ensure!(acknowledged > 0, "nothing was acknowledged, so nothing was tested");
    Ok(())
}
