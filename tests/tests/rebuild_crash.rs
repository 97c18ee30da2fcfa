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
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use mortise_kernel::seams::fault::Point;
use mortise_tests::{Attempt, Client, History, Load, Mortise, mortise_binary, mortise_cli, seed};
use rand::Rng as _;
use rand::rngs::StdRng;
use tempfile::TempDir;

const END: Duration = Duration::from_secs(120);
const WRITERS: u32 = 4;
const SIGABRT: i32 = 6;
/// Jobs in which a point has to come up.
const JOBS: usize = 40;
/// Tries to meet a point while the node serves, and not already while it starts.
const TRIES: u32 = 6;
const KILLS: usize = 10;
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

/// Times that a point is passed before it aborts. Starting passes those of the log a few times, writers do by
/// the hundred.
fn first_passes(point: Point, rng: &mut StdRng) -> u32 {
    let name = point.name();
    if name.starts_with("log-") { rng.random_range(30..120) } else { 0 }
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
async fn run(directory: &Path, action: &str, work: Work, name: &str, rng: &mut StdRng) -> Result<End> {
    let mut mortise = match Mortise::from_command(faulty(directory, action)?) {
        Ok(mortise) => mortise,
        Err(error) if format!("{error:#}").contains("aborts the process") => return Ok(End::Starting),
        Err(error) => return Err(error),
    };
    let endpoint = mortise.endpoint();
    let load = Load::start(&endpoint, name, WRITERS, rng).await?;
    // A group of one voter writes a vote when its volume is made, and then never again.
    let first = action.starts_with("vote-").then(|| format!("volume-{}", rng.random::<u32>()));
    let jobs = tokio::task::spawn_blocking(move || work_off(&endpoint, work, first));
    let refused = jobs.await??;
    let attempts = load.finish().await?;
    if let Some(refused) = refused {
        let (status, log) = mortise.process().wait_end(END).context(refused)?;
        ensure!(status.signal() == Some(SIGABRT), "{action}: {status}: {log}");
        return Ok(End::Serving(attempts));
    }
    mortise.kill()?;
    Ok(End::Alive)
}

/// One job after the other, with a read before each, and another volume made before all if one is named; how
/// the first one failed that did.
fn work_off(endpoint: &str, work: Work, volume: Option<String>) -> Result<Option<String>> {
    if let Some(volume) = volume {
        let created = mortise_cli(endpoint, &["volume", "create", &volume])?;
        if !created.success() {
            return Ok(Some(created.stderr));
        }
    }
    for round in 0..JOBS {
        for command in [vec!["kv", "get", "key-", "--prefix"], work.job(round)] {
            let finished = mortise_cli(endpoint, &command)?;
            // The life before may have ended in the format that is asked for.
            let already = finished.stderr.contains("already");
            if !finished.success() && !already {
                return Ok(Some(finished.stderr));
            }
        }
    }
    Ok(None)
}

/// Opens the directory as an operator would and judges what is there.
async fn judge(
    directory: &Path,
    history: &mut History,
    attempts: Vec<Attempt>,
    rng: &mut StdRng,
) -> Result<usize> {
    let mortise = Mortise::start_with(directory, &SETTINGS)?;
    let mut client = Client::connect(&mortise.endpoint()).await?;
    let verdict = history.verify(&mut client, attempts, rng).await?;
    history.compact(&mut client, history.revision() - 50).await?;
    mortise.stop()?;
    whole(directory)?;
    Ok(verdict.acknowledged)
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

#[expect(clippy::print_stdout, reason = "the table of points is a result")]
async fn matrix(work: Work, test: &str) -> Result<()> {
    let mut rng = seed::rng(test);
    let directory = TempDir::new()?;
    let mut history = History::default();
    let (mut acknowledged, mut round) = (0, 0);
    println!("{:<26} {:<6} {:>8}  {:<8} {:>12}", "ended at", "how", "passes", "while", "acknowledged");
    let ends = |point: &Point| if point.is_within_a_write() { &["abort", "torn"][..] } else { &["abort"] };
    let faults = Point::ALL.iter().flat_map(|point| ends(point).iter().map(|end| (*point, *end)));
    for (point, end) in faults {
        let mut passes = first_passes(point, &mut rng);
        for attempt in 1.. {
            let action = format!("{}={passes}*off->return({end})", point.name());
            round += 1;
            let ended = run(directory.path(), &action, work, &round.to_string(), &mut rng).await?;
            let (when, attempts) = match ended {
                End::Starting => ("starting", Vec::new()),
                End::Serving(attempts) => ("serving", attempts),
                End::Alive => bail!("{action}: the point was not reached in {JOBS} jobs"),
            };
            let found = judge(directory.path(), &mut history, attempts, &mut rng)
                .await
                .with_context(|| format!("after {action}, {when}"))?;
            acknowledged += found;
            println!("{:<26} {end:<6} {passes:>8}  {when:<8} {found:>12}", point.name());
            if when == "serving" {
                break;
            }
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
    let mut acknowledged = 0;
    for round in 0..seed::count("MORTISE_REBUILD_CRASH_ROUNDS", KILLS) {
        let work = if round % 2 == 0 { Work::Defragmentation } else { Work::Conversion };
        let mortise = Mortise::start_with(directory.path(), &SETTINGS)?;
        let endpoint = mortise.endpoint();
        let mut load = Load::start(&endpoint, &round.to_string(), WRITERS, &mut rng).await?;
        let jobs = tokio::task::spawn_blocking(move || work_off(&endpoint, work, None));
        load.reach(rng.random_range(1..800)).await?;
        mortise.kill()?;
        let attempts = load.finish().await?;
        // Whether the jobs were all done before is a matter of luck; some are under way in most rounds.
        drop(jobs.await??);
        acknowledged += judge(directory.path(), &mut history, attempts, &mut rng).await?;
    }
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
