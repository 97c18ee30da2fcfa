//! The process aborts at every point, under write load, amid rebuilds and ways back; what was acknowledged
//! is there afterwards, in exactly one current generation, with nothing left over.
//!
//! The test starts itself again as a child, which takes its faults from `FAILPOINTS`, tells of every
//! acknowledged write, and dies. Point by point all children work on one directory.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::ops::Range;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use fail::FailScenario;
use mortise_kernel::node::{Node, Volume};
use mortise_kernel::rebuild::RebuildOptions;
use mortise_kernel::seams::fault::{self, Point};

use crate::node_support::{config, get, life, open, put, volume};

/// Names the directory to the child.
const DIRECTORY: &str = "MORTISE_CRASH_DIRECTORY";
/// Says that its rounds are those of [`crate::keeping`].
const KEEPING: &str = "MORTISE_CRASH_KEEPING";
/// Where its keys begin.
const FIRST_KEY: &str = "MORTISE_CRASH_FIRST_KEY";
/// Different keys that a child writes in the rounds of [`crate::keeping`].
pub(crate) const KEYS_OF_KEEPING: u64 = 40;
const WRITERS: u64 = 4;
const SIGABRT: i32 = 6;
/// Rounds of a child in which its point has to come up.
const ROUNDS: usize = 6;

/// Rebuilds under writers until a fault point ends it. Only ever run by the test below.
#[test]
#[ignore = "this is what the crash test starts and kills"]
fn child() {
    let directory = PathBuf::from(std::env::var(DIRECTORY).expect("a directory"));
    let first: u64 = std::env::var(FIRST_KEY).expect("a first key").parse().expect("a number");
    fault::arm();
    life(async move {
        let node = open(config(&directory)).await;
        let one = node.open_volume(volume(2)).await.expect("opened");
        let next = Arc::new(AtomicU64::new(0));
        let keeping = std::env::var_os(KEEPING).is_some();
        let keys = first..if keeping { first + KEYS_OF_KEEPING } else { u64::MAX };
        let writers: Vec<_> = (0..WRITERS)
            .map(|_| tokio::spawn(write(Arc::clone(&one), Arc::clone(&next), keys.clone())))
            .collect();
        for _ in 0..ROUNDS {
            if keeping {
                crate::keeping::go_round(&one).await;
            } else {
                go_round(&node, &one).await;
            }
        }
        writers.iter().for_each(tokio::task::JoinHandle::abort);
    });
}

/// Writes keys of this range, and tells of each acknowledgement, without end.
async fn write(one: Arc<Volume>, next: Arc<AtomicU64>, keys: Range<u64>) {
    loop {
        let key = keys.start + next.fetch_add(1, Ordering::SeqCst) % (keys.end - keys.start);
        put(&one, &format!("key-{key}"), key.to_string()).await.expect("written");
        #[expect(clippy::print_stdout, reason = "the parent listens")]
        {
            println!("acknowledged {key}");
        }
    }
}

/// A rebuild, one that keeps the previous generation, the way back, and what else passes fault points.
async fn go_round(node: &Arc<Node>, one: &Arc<Volume>) {
    let keeping =
        RebuildOptions { keep_previous: Some(Duration::from_secs(3600)), ..RebuildOptions::default() };
    for options in [RebuildOptions::default(), keeping] {
        one.rebuild(options).expect("begun").wait().await.expect("rebuilt");
        one.flush().await.expect("flushed");
        one.content_hash(0).await.expect("hashed");
        get(one, "key-0").await.expect("there");
    }
    one.undo(None).expect("begun").wait().await.expect("gone back");
    // The child before may have died while it had this one.
    node.remove_volume(volume(3).id).await.expect("removed");
    node.create_volume(volume(3)).await.expect("created");
    node.remove_volume(volume(3).id).await.expect("removed");
}

/// What a child told before it died: the keys that it had written, and other lines.
pub(crate) struct Told {
    pub(crate) keys: Vec<u64>,
    pub(crate) lines: Vec<String>,
}

/// Runs a child until it dies.
pub(crate) fn die_at(directory: &Path, action: &str, keeping: bool, first_key: u64) -> Told {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command
        .args(["--exact", "crash::child", "--ignored", "--nocapture"])
        .env(DIRECTORY, directory)
        .env(FIRST_KEY, first_key.to_string())
        .env("FAILPOINTS", action)
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    if keeping {
        command.env(KEEPING, "1");
    }
    let mut child = command.spawn().expect("a child");
    let output = BufReader::new(child.stdout.take().expect("its output"));
    let mut told = Told { keys: Vec::new(), lines: Vec::new() };
    for line in output.lines().map_while(Result::ok) {
        // A line that the end cut off is not a number; its write may or may not be there.
        match line.strip_prefix("acknowledged ") {
            Some(key) => told.keys.extend(key.parse::<u64>()),
            None => told.lines.push(line),
        }
    }
    let ended = child.wait().expect("its end");
    assert_eq!(ended.signal(), Some(SIGABRT), "{action}: {ended:?}");
    told
}

/// Appends the beginning of a batch to the newest journal of a log that is not open.
pub(crate) fn tear_the_log(directory: &Path) {
    let path = newest_journal(directory);
    let mut bytes = std::fs::read(&path).expect("readable");
    let written = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    bytes.truncate(written);
    // What a batch begins with: its tag, one item, a sequence number that is larger than any here.
    bytes.extend([1, 1, 0, 0, 0, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0]);
    std::fs::write(path, bytes).expect("written");
}

/// Whether the log's newest journal ends within a batch; a complete one ends with fjall's trailer.
fn has_a_torn_batch(directory: &Path) -> bool {
    let bytes = std::fs::read(newest_journal(directory)).expect("readable");
    let written = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    written > 0 && !bytes[..written].ends_with(b"FJL\x03")
}

fn newest_journal(directory: &Path) -> PathBuf {
    let files =
        std::fs::read_dir(directory.join("log")).expect("a log").map(|file| file.expect("a file").path());
    let journals = files.filter(|path| path.extension().is_some_and(|extension| extension == "jnl"));
    let number = |path: &PathBuf| path.file_stem().and_then(|stem| stem.to_str()?.parse::<u64>().ok());
    journals.max_by_key(number).expect("a journal")
}

/// Leaves what a first start leaves that was killed while it created the log.
pub(crate) async fn cut_off_the_creation(directory: &Path) {
    let node = open(config(directory)).await;
    crate::end(&node).await;
    drop(node);
    let log = directory.join("log");
    std::fs::remove_dir_all(&log).expect("removed");
    std::fs::create_dir(&log).expect("made");
    std::fs::write(log.join("0.jnl"), "").expect("written");
}

/// Opens the volume and checks everything; the first key that no child has used.
async fn check(directory: &Path, acknowledged: &BTreeMap<u64, &'static str>, what: &str) -> u64 {
    let node = open(config(directory)).await;
    let one = node.open_volume(volume(2)).await.unwrap_or_else(|error| panic!("{what}: {error}"));
    let names = crate::names(directory);
    let generations = names.iter().filter(|name| name.starts_with("gen-")).count();
    let kept = usize::from(one.kept().is_some());
    assert_eq!((names.len(), generations), (2 + kept, 1 + kept), "{what}: {names:?}");
    for (key, point) in acknowledged {
        let found = get(&one, &format!("key-{key}")).await;
        assert_eq!(found, Some(key.to_string()), "{what}: key {key}, acknowledged before {point}");
    }
    let keys = one.content_hash(0).await.expect("hashed").keys;
    let known = acknowledged.len() as u64;
    assert!(keys >= known, "{what}: {keys} keys, {known} were acknowledged");
    put(&one, "check", what.to_owned()).await.expect("written");
    node.shutdown().await.expect("stopped");
    acknowledged.last_key_value().map_or(0, |(key, _)| key + 2 * WRITERS)
}

#[test]
fn whatever_point_the_process_dies_at_nothing_acknowledged_is_lost_and_nothing_is_left_over() {
    // Keeps the faults of other tests away from what is opened here.
    let scenario = FailScenario::setup();
    let directory = tempfile::tempdir().expect("a directory");
    let mut acknowledged = BTreeMap::new();
    let path = directory.path().to_path_buf();
    life(async move {
        let node = open(config(&path)).await;
        let one = node.create_volume(volume(2)).await.expect("created");
        put(&one, "key-0", "0").await.expect("written");
        node.shutdown().await.expect("stopped");
    });
    acknowledged.insert(0, "the beginning");
    let mut next = 1;
    // A file is removed only where what is kept changes, as `keeping` does, or of an interrupted creation.
    let elsewhere = |point: &&Point| {
        matches!(
            point,
            Point::FileRemoveBefore
                | Point::FileRemoveAfter
                | Point::LogRemainsBefore
                | Point::LogRemainsAfter
        )
    };
    for point in Point::ALL.iter().filter(|point| !elsewhere(point)) {
        for (passes, end) in [(0, "abort"), (1, "abort"), (2, "abort"), (0, "torn"), (2, "torn")] {
            // A volume votes once, when it is opened.
            let voted = passes > 0 && matches!(point, Point::VoteBefore | Point::VoteMiddle);
            // The second renaming of a rebuild gives the generation its name, the third one is the flip.
            let once_is_enough = passes == 1 && !point.is_of_files();
            if voted || once_is_enough || (end == "torn" && !point.is_within_a_write()) {
                continue;
            }
            if point.is_of_openings() {
                if passes > 0 {
                    continue;
                }
                tear_the_log(directory.path());
            }
            let action = format!("{}={passes}*off->return({end})", point.name());
            let told = die_at(directory.path(), &action, false, next).keys;
            // An abort elsewhere may tear one as well, when the log's thread is amid a write at that moment.
            assert!(end != "torn" || has_a_torn_batch(directory.path()), "{}", point.name());
            #[expect(clippy::print_stdout, reason = "the table of points")]
            {
                println!("{:>26} {end} after {passes}: {:>5} acknowledged", point.name(), told.len());
            }
            acknowledged.extend(told.into_iter().map(|key| (key, point.name())));
            let (path, expected, what) = (directory.path().to_path_buf(), acknowledged.clone(), point.name());
            next = next.max(life(async move { check(&path, &expected, what).await }));
        }
    }
    scenario.teardown();
}

#[test]
fn a_creation_of_the_log_that_was_cut_off_twice_begins_again() {
    let scenario = FailScenario::setup();
    for point in [Point::LogRemainsBefore, Point::LogRemainsAfter] {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().to_path_buf();
        life(async move { cut_off_the_creation(&path).await });
        die_at(directory.path(), &format!("{}=return(abort)", point.name()), false, 0);
        let path = directory.path().to_path_buf();
        life(async move {
            let node = open(config(&path)).await;
            let one = node.create_volume(volume(2)).await.expect("created");
            put(&one, "key", "value").await.expect("written");
            node.shutdown().await.expect("stopped");
        });
    }
    scenario.teardown();
}
