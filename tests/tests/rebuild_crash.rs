//! Rebuilds and conversions of the real binary under writers, ended at every fault point and by SIGKILL.
//!
//! For each point the binary with fault points serves a volume that writers write to while job follows job,
//! until the point aborts the process, where it lies within a write also with half of that write on the disk;
//! then the normal binary opens the directory. Every acknowledged write
//! must be there and the hashes equal the model's ([`History::verify`]); exactly one generation is current,
//! written in one format; nothing else is left; and `mortise doctor` finds nothing to say. All points work on
//! one directory, one after the other, so that what one leaves unnoticed meets the next. The table of
//! points is printed.
//!
//! `MORTISE_REBUILD_CRASH_ROUNDS` sets the number of SIGKILLs, `MORTISE_SEED` repeats the draws.

use std::fs;
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use mortise_kernel::seams::fault::Point;
use mortise_tests::{Attempt, Client, History, Load, Mortise, mortise_binary, mortise_cli, seed};
use rand::Rng as _;
use rand::rngs::StdRng;
use serde_json::Value;
use tempfile::TempDir;
use tokio::task::JoinHandle;

const END: Duration = Duration::from_secs(120);
const WRITERS: u32 = 4;
const SIGABRT: i32 = 6;
/// Jobs in which a point has to come up.
const JOBS: usize = 40;
/// Reads in which their point has to come up; a start reads, too, and passes it a few times.
const READS: usize = 100;
/// Tries to meet a point while the node serves, and not already while it starts.
const TRIES: u32 = 6;
const KILLS: usize = 10;
/// So slow that a job outlasts whatever is done beside it: bytes that it copies in a second.
const SLOW: &str = "1KiB";
/// Small memtables, so that flushes and compactions happen, too.
const SETTINGS: [&str; 2] = ["--memtable-size", "256KiB"];

/// What is under way while the process ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Work {
    Defragmentation,
    Conversion,
}

impl Work {
    /// The command that begins job number `round` and waits for its end.
    fn job(self, round: usize) -> Vec<&'static str> {
        match self {
            Self::Defragmentation => vec!["volume", "rebuild", "default"],
            Self::Conversion => {
                let to = ["hierarchical", "natural"][round % 2];
                vec!["volume", "convert", "default", "--to", to]
            }
        }
    }
}

/// Times that a point is passed before it aborts, once for each way to meet it. Starting passes those of the
/// log a few times, writers do by the hundred. A rebuild passes those of files for each file and directory
/// that it makes: the third renaming is the flip.
fn passes(point: Point, rng: &mut StdRng) -> Vec<u32> {
    match point {
        _ if point.name().starts_with("log-") => vec![rng.random_range(30..120)],
        Point::FileSyncBefore | Point::FileSyncAfter => vec![0, 1],
        _ if point.is_of_files() => vec![0, 1, 2],
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
    /// Aborted while it served; what the writers asked for.
    Serving(Vec<Attempt>),
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
        Err(_) if slow.is_some() => return aborted(&mut mortise, action, Vec::new()),
        Err(error) => return Err(error),
    };
    let volume = format!("volume-{}", rng.random::<u32>());
    let jobs = tokio::task::spawn_blocking(move || match beside {
        Some(Beside::NewVolume) => refusal(&endpoint, &["volume", "create", &volume]),
        Some(Beside::Read) => {
            let read = || refusal(&endpoint, &["kv", "get", "key-", "--prefix"]).transpose();
            (0..READS).find_map(|_| read()).transpose()
        }
        Some(Beside::Writers) => Ok(None),
        None => work_off(&endpoint, work),
    });
    let mut refused = jobs.await??;
    if let Some(slow) = slow {
        let ended = slow.await??;
        ensure!(ended.is_some(), "{action}: the slow job ended well, so nothing happened beside it");
        refused = refused.or(ended);
    }
    let attempts = load.finish().await?;
    if let Some(refused) = refused {
        return aborted(&mut mortise, action, attempts).context(refused);
    }
    mortise.kill()?;
    Ok(End::Alive)
}

/// The process ends as its point says.
fn aborted(mortise: &mut Mortise, action: &str, attempts: Vec<Attempt>) -> Result<End> {
    let (status, log) = mortise.process().wait_end(END)?;
    ensure!(status.signal() == Some(SIGABRT), "{action}: {status}: {log}");
    Ok(End::Serving(attempts))
}

/// How a command failed, if it did.
fn refusal(endpoint: &str, command: &[&str]) -> Result<Option<String>> {
    let finished = mortise_cli(endpoint, command)?;
    Ok((!finished.success()).then_some(finished.stderr))
}

/// One job after the other; how the first one failed that did.
fn work_off(endpoint: &str, work: Work) -> Result<Option<String>> {
    for round in 0..JOBS {
        // The life before may have ended in the format that is asked for.
        let refused = refusal(endpoint, &work.job(round))?.filter(|refused| !refused.contains("already"));
        if refused.is_some() {
            return Ok(refused);
        }
    }
    Ok(None)
}

/// Begins a job that takes long; returns while it copies, with how it will have failed if it does.
async fn slow_job(endpoint: String, work: Work) -> Result<JoinHandle<Result<Option<String>>>> {
    let copies = endpoint.clone();
    let job = tokio::task::spawn_blocking(move || {
        let mut refused = None;
        for round in 0..2 {
            refused = refusal(&endpoint, &[&work.job(round)[..], &["--rate", SLOW]].concat())?;
            if refused.as_ref().is_none_or(|refused| !refused.contains("already")) {
                break;
            }
        }
        Ok(refused)
    });
    let began = tokio::task::spawn_blocking(move || -> Result<()> {
        for _ in 0..1000 {
            let listed = mortise_cli(&copies, &["volume", "jobs", "--output", "json"])?;
            // Without an answer the job has met the point already.
            let Ok(jobs) = serde_json::from_str::<Value>(&listed.stdout) else { return Ok(()) };
            let mut jobs = jobs.as_array().into_iter().flatten();
            if jobs.any(|job| job["state"] == "running" && job["progress"]["phase"] == "copying") {
                return Ok(());
            }
        }
        bail!("the slow job never copied")
    });
    began.await??;
    Ok(job)
}

/// Opens the directory as an operator would and judges what is there.
async fn judge(
    directory: &Path,
    history: &mut History,
    attempts: Vec<Attempt>,
    rng: &mut StdRng,
) -> Result<(usize, (u64, String))> {
    let mortise = Mortise::start_with(directory, &SETTINGS)?;
    let mut client = Client::connect(&mortise.endpoint()).await?;
    let verdict = history.verify(&mut client, attempts, rng).await?;
    history.compact(&mut client, history.revision() - 50).await?;
    let job = newest_job(&mortise)?;
    every_record_decodes(&mortise)?;
    mortise.stop()?;
    whole(directory)?;
    Ok((verdict.acknowledged, job))
}

/// Number and state of the newest job that was to change something.
fn newest_job(mortise: &Mortise) -> Result<(u64, String)> {
    let jobs = mortise.cli_json(&["volume", "jobs"])?;
    let jobs = jobs.as_array().into_iter().flatten().filter(|job| job["dry_run"] == false);
    let newest = jobs.max_by_key(|job| job["id"].as_u64());
    let Some(newest) = newest else { return Ok((0, "none".to_owned())) };
    let state = newest["state"].as_str().context("a state")?;
    ensure!(state != "running", "no job runs after a start: {newest}");
    Ok((newest["id"].as_u64().context("a number")?, state.to_owned()))
}

/// A dry run decodes every record with the codec of the format that the generation names.
fn every_record_decodes(mortise: &Mortise) -> Result<()> {
    for format in ["hierarchical", "natural"] {
        let tried = mortise.cli(&["volume", "convert", "default", "--to", format, "--dry-run"])?;
        if !tried.stderr.contains("already") {
            ensure!(tried.success(), "a record is in another format: {}{}", tried.stdout, tried.stderr);
            return Ok(());
        }
    }
    bail!("the volume is in two formats at once")
}

/// Exactly one generation is there and is current, and the doctor finds nothing to say.
fn whole(directory: &Path) -> Result<()> {
    let volume = directory.join("volumes/2");
    let mut names = Vec::new();
    for entry in fs::read_dir(&volume)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    let current = fs::read_to_string(volume.join("CURRENT"))?;
    ensure!(names == ["CURRENT", current.trim()], "orphans: {names:?}, current is {current}");
    let mut doctor = Command::new(mortise_binary()?);
    let told = mortise_tests::run(doctor.arg("doctor").arg(directory), b"", END)?;
    ensure!(told.success(), "the doctor finds:\n{}{}", told.stdout, told.stderr);
    Ok(())
}

/// Prints a line of the table of points, also where the output of tests is captured.
fn tell(line: &str) -> Result<()> {
    Ok(writeln!(std::io::stdout(), "{line}")?)
}

async fn matrix(work: Work, test: &str) -> Result<()> {
    let mut rng = seed::rng(test);
    let directory = TempDir::new()?;
    let mut history = History::default();
    let (mut acknowledged, mut round, mut last_job) = (0, 0, 0);
    tell(&format!(
        "{:<26} {:<6} {:>8}  {:<8} {:>12}  {:<11}  {test}",
        "ended at", "how", "passes", "while", "acknowledged", "the job"
    ))?;
    let mut faults = Vec::new();
    for &point in Point::ALL {
        let ends = if point.is_within_a_write() { &["abort", "torn"][..] } else { &["abort"] };
        let passes = passes(point, &mut rng);
        faults.extend(ends.iter().flat_map(|end| passes.iter().map(move |passes| (point, *end, *passes))));
    }
    for (point, end, mut passes) in faults {
        for attempt in 1.. {
            let action = format!("{}={passes}*off->return({end})", point.name());
            round += 1;
            let name = round.to_string();
            let ended = run(directory.path(), &action, work, beside(point), &name, &mut rng)
                .await
                .with_context(|| action.clone())?;
            let (when, attempts) = match ended {
                End::Starting => ("starting", Vec::new()),
                End::Serving(attempts) => ("serving", attempts),
                End::Alive => bail!("{action}: the point was not reached in {JOBS} jobs"),
            };
            let (found, (job, state)) = judge(directory.path(), &mut history, attempts, &mut rng)
                .await
                .with_context(|| format!("after {action}, {when}"))?;
            acknowledged += found;
            let name = point.name();
            tell(&format!("{name:<26} {end:<6} {passes:>8}  {when:<8} {found:>12}  {state:<11}"))?;
            if when == "serving" {
                ensure!(job > last_job, "{action}: no job was begun");
                last_job = job;
                break;
            }
            last_job = job;
            ensure!(attempt < TRIES, "{action}: the node never served before it aborted");
            passes += 3;
        }
    }
    ensure!(acknowledged > 0, "nothing was acknowledged, so nothing was tested");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn aborts_at_every_point_of_a_defragmentation_lose_nothing() -> Result<()> {
    matrix(Work::Defragmentation, "aborts_at_every_point_of_a_defragmentation_lose_nothing").await
}

#[tokio::test(flavor = "multi_thread")]
async fn aborts_at_every_point_of_a_conversion_lose_nothing() -> Result<()> {
    matrix(Work::Conversion, "aborts_at_every_point_of_a_conversion_lose_nothing").await
}

#[tokio::test(flavor = "multi_thread")]
async fn sigkill_amid_rebuilds_and_conversions_loses_nothing() -> Result<()> {
    let mut rng = seed::rng("sigkill_amid_rebuilds_and_conversions_loses_nothing");
    let directory = TempDir::new()?;
    let mut history = History::default();
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
        jobs.await??;
        let (found, (_, state)) = judge(directory.path(), &mut history, attempts, &mut rng).await?;
        ensure!(round % 3 != 1 || state == "interrupted", "the slow job is {state}");
        acknowledged += found;
        interrupted += usize::from(state == "interrupted");
    }
    tell(&format!("SIGKILL interrupted {interrupted} jobs"))?;
    ensure!(acknowledged > 0, "nothing was acknowledged, so nothing was tested");
    Ok(())
}

/// Whether a file holds these bytes.
fn holds(file: &[u8], name: &str) -> bool {
    file.windows(name.len()).any(|window| window == name.as_bytes())
}

#[test]
fn no_trace_of_fault_points_is_in_a_normal_binary() -> Result<()> {
    let normal = mortise_binary()?;
    // The names are found where they are, or else their absence would say nothing.
    let faulty = fs::read(normal.with_file_name("mortise-fault-points"))?;
    ensure!(Point::ALL.iter().any(|point| holds(&faulty, point.name())), "the search finds nothing");
    let release = normal.parent().and_then(Path::parent).map(|target| target.join("release/mortise"));
    for binary in [Some(normal), release].into_iter().flatten().filter(|path| path.is_file()) {
        let bytes = fs::read(&binary)?;
        for point in Point::ALL {
            let name = point.name();
            ensure!(!holds(&bytes, name), "{} holds {name:?}", binary.display());
        }
        ensure!(!holds(&bytes, "FAILPOINTS"), "{} reads FAILPOINTS", binary.display());
    }
    Ok(())
}
