//! Going back to the previous generation, while it is kept.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mortise_kernel::format::FormatId;
use mortise_kernel::node::{Node, Volume};
use mortise_kernel::rebuild::RebuildOptions;
use mortise_kernel::seams::{Clock, Seams};
use mortise_kernel::{Error, ErrorKind};

use crate::names;
use crate::node_support::{FakeDisk, config, get, open, open_with_disk, put, volume};

const HOUR: Duration = Duration::from_secs(3600);

fn keeping() -> RebuildOptions {
    RebuildOptions { keep_previous: Some(HOUR), ..RebuildOptions::default() }
}

async fn rebuilt(one: &Volume, options: RebuildOptions) -> mortise_kernel::rebuild::RebuildOutcome {
    one.rebuild(options).expect("begun").wait().await.expect("rebuilt")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn going_back_keeps_what_was_written_since_also_over_a_restart() {
    for restart in [false, true] {
        let dir = tempfile::tempdir().expect("a directory");
        let mut node = open(config(dir.path())).await;
        let mut one = node.create_volume(volume(2)).await.expect("created");
        for number in 0..30 {
            put(&one, &format!("a{number}"), "before").await.expect("written");
        }
        assert!(one.kept().is_none());
        assert!(rebuilt(&one, keeping()).await.kept);
        let kept = one.kept().expect("kept");
        assert_eq!(kept.generation, 1);
        for number in 0..30 {
            put(&one, &format!("b{number}"), "since").await.expect("written");
        }
        one.flush().await.expect("flushed");
        let (before, revision) = (one.content_hash(0).await.expect("hashed"), one.status().revision);
        if restart {
            node.shutdown().await.expect("stopped");
            drop((one, node));
            node = open(config(dir.path())).await;
            one = node.open_volume(volume(2)).await.expect("opened");
            one.flush().await.expect("flushed");
            assert_eq!(one.kept(), Some(kept));
        }
        assert_eq!(names(dir.path()), ["CURRENT", "gen-000001", "gen-000002"]);
        let outcome = one.undo(None).expect("begun").wait().await.expect("gone back");
        assert_eq!((outcome.previous, outcome.generation, outcome.kept), (2, 1, false));
        assert_eq!(outcome.records, 0, "nothing is copied");
        assert_eq!(one.content_hash(0).await.expect("hashed"), before);
        assert_eq!(one.status().revision, revision);
        assert!(one.kept().is_none());
        put(&one, "c", "after").await.expect("written");
        node.shutdown().await.expect("stopped");
        drop((one, node));
        let node = open(config(dir.path())).await;
        let one = node.open_volume(volume(2)).await.expect("opened");
        assert_eq!(get(&one, "b29").await.as_deref(), Some("since"));
        assert_eq!(get(&one, "c").await.as_deref(), Some("after"));
        assert_eq!(names(dir.path()), ["CURRENT", "gen-000001"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_is_held_for_what_is_kept_and_released_with_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let node = open(config(dir.path())).await;
    let one = node.create_volume(volume(2)).await.expect("created");
    put(&one, "a", "1").await.expect("written");
    rebuilt(&one, keeping()).await;
    let switched_at = one.status().raft_applied_index;
    for number in 0..10 {
        put(&one, &format!("b{number}"), "2").await.expect("written");
        one.flush().await.expect("flushed");
    }
    assert!(one.purged_index() <= switched_at);
    one.discard_kept().await.expect("discarded");
    assert_eq!(one.undo(None).expect_err("nothing kept").kind(), ErrorKind::FailedPrecondition);
    while one.purged_index() <= switched_at {
        put(&one, "again", "3").await.expect("written");
        one.flush().await.expect("flushed");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn there_and_back_and_there_again() {
    let dir = tempfile::tempdir().expect("a directory");
    let node = open(config(dir.path())).await;
    let one = node.create_volume(volume(2)).await.expect("created");
    let mut expected = Vec::new();
    for round in 0..3 {
        put(&one, &format!("a{round}"), "1").await.expect("written");
        rebuilt(&one, keeping()).await;
        put(&one, &format!("b{round}"), "1").await.expect("written");
        one.undo(Some(HOUR)).expect("begun").wait().await.expect("gone back");
        put(&one, &format!("c{round}"), "1").await.expect("written");
        // What served a moment ago is kept in its turn.
        one.undo(None).expect("begun").wait().await.expect("and forth");
        expected.extend(["a", "b", "c"].map(|name| format!("{name}{round}")));
        for key in &expected {
            assert_eq!(get(&one, key).await.as_deref(), Some("1"), "{key} in round {round}");
        }
    }
}

/// A clock that the test sets.
struct FakeClock(AtomicU64);

impl Clock for FakeClock {
    fn unix_millis(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_kept_goes_when_its_time_is_over_or_space_is_short() {
    for by_time in [true, false] {
        let dir = tempfile::tempdir().expect("a directory");
        let clock = Arc::new(FakeClock(AtomicU64::new(1_000_000)));
        let disk = Arc::new(FakeDisk(AtomicU64::new(u64::MAX)));
        let seams = Seams { disk: Arc::clone(&disk) as _, ..Seams::with_clock(Arc::clone(&clock) as _) };
        let node = Node::open_with(config(dir.path()), seams).await.expect("the node opens");
        let one = node.create_volume(volume(2)).await.expect("created");
        put(&one, "a", "1").await.expect("written");
        rebuilt(&one, keeping()).await;
        assert_eq!(one.kept().expect("kept").until_unix_millis, 1_000_000 + 3_600_000);
        put(&one, "b", "2").await.expect("written");
        if by_time {
            clock.0.store(1_000_000 + 3_600_000, Ordering::SeqCst);
        } else {
            disk.0.store(0, Ordering::SeqCst);
        }
        // Every flush is a moment to look.
        one.flush().await.expect("flushed");
        while one.kept().is_some() {
            tokio::task::yield_now().await;
        }
        one.undo(None).expect_err("nothing is kept");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_goes_right_after_a_restart_frees_the_log_without_a_write() {
    let dir = tempfile::tempdir().expect("a directory");
    let disk = Arc::new(FakeDisk(AtomicU64::new(u64::MAX)));
    let node = open_with_disk(config(dir.path()), Arc::clone(&disk)).await;
    let one = node.create_volume(volume(2)).await.expect("created");
    put(&one, "a", "1").await.expect("written");
    rebuilt(&one, keeping()).await;
    put(&one, "b", "2").await.expect("written");
    one.flush().await.expect("flushed");
    node.shutdown().await.expect("stopped");
    drop((one, node));
    // Enough for the log, and too little for writes: space is to come from what is kept.
    disk.0.store(3 << 20, Ordering::SeqCst);
    let node = open_with_disk(config(dir.path()), Arc::clone(&disk)).await;
    let one = node.open_volume(volume(2)).await.expect("opened");
    let flushed = one.status().flushed_index;
    while one.kept().is_some() || one.purged_index() < flushed {
        tokio::task::yield_now().await;
    }
    assert_eq!(one.status().flushed_index, flushed, "nothing was flushed meanwhile");
    assert!(matches!(put(&one, "c", "3").await, Err(Error::NoSpace(_))), "space is short still");
}

/// Work on the store that serves now, as a long step would be, until the answer is dropped.
async fn held(one: &Arc<Volume>) -> (std::sync::mpsc::Sender<()>, tokio::task::JoinHandle<()>) {
    let natural = one.conversion(&FormatId::natural()).await.expect("a conversion");
    let (arrive, mut arrived) = tokio::sync::mpsc::unbounded_channel();
    let (release, held) = std::sync::mpsc::channel::<()>();
    let held = parking_lot::Mutex::new(held);
    let one = Arc::clone(one);
    let work = tokio::spawn(async move {
        let each = move |_| {
            let _ = arrive.send(());
            // An error says that the test has dropped its side.
            let _ = held.lock().recv();
            Ok(())
        };
        one.survey(Arc::new(natural), each).await.expect("surveyed");
    });
    arrived.recv().await.expect("it works");
    (release, work)
}

/// Gives whatever runs beside this time enough, measured in work.
async fn some_flushes(one: &Volume) {
    for number in 0..20 {
        put(one, &format!("meanwhile-{number}"), "1").await.expect("written");
        one.flush().await.expect("flushed");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn going_back_waits_for_what_still_works_on_the_kept_generation() {
    let dir = tempfile::tempdir().expect("a directory");
    let node = open(config(dir.path())).await;
    let one = node.create_volume(volume(2)).await.expect("created");
    put(&one, "a", "1").await.expect("written");
    one.flush().await.expect("flushed");
    let (release, work) = held(&one).await;
    assert!(rebuilt(&one, keeping()).await.kept);

    let undo = one.undo(None).expect("begun");
    some_flushes(&one).await;
    assert_eq!(one.status().generation, 2, "two trees would work in one directory");
    undo.canceller().request();
    let error = undo.wait().await.expect_err("cancelled");
    assert!(matches!(error, Error::Cancelled(_)), "{error}");
    assert_eq!(one.kept().expect("still kept").generation, 1);

    let undo = one.undo(None).expect("begun");
    some_flushes(&one).await;
    assert_eq!(one.status().generation, 2);
    drop(release);
    assert_eq!(undo.wait().await.expect("gone back").generation, 1);
    work.await.expect("no panic");
    assert_eq!(get(&one, "meanwhile-19").await.as_deref(), Some("1"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_volume_goes_back_to_is_not_let_go_meanwhile() {
    let dir = tempfile::tempdir().expect("a directory");
    let clock = Arc::new(FakeClock(AtomicU64::new(1_000_000)));
    let node = Node::open_with(config(dir.path()), Seams::with_clock(Arc::clone(&clock) as _)).await;
    let node = node.expect("the node opens");
    let one = node.create_volume(volume(2)).await.expect("created");
    put(&one, "a", "1").await.expect("written");
    one.flush().await.expect("flushed");
    let (release, work) = held(&one).await;
    rebuilt(&one, keeping()).await;
    let undo = one.undo(None).expect("begun");
    some_flushes(&one).await;
    // Its time is over while the way back has begun, and every flush is a moment to look.
    clock.0.fetch_add(4_000_000, Ordering::SeqCst);
    some_flushes(&one).await;
    assert_eq!(one.kept().expect("still kept").generation, 1);
    assert_eq!(one.discard_kept().await.expect_err("busy").kind(), ErrorKind::Busy);
    drop(release);
    assert_eq!(undo.wait().await.expect("gone back").generation, 1);
    work.await.expect("no panic");

    // It serves, and is kept again as any other would be.
    assert!(rebuilt(&one, keeping()).await.kept);
    some_flushes(&one).await;
    assert!(names(dir.path()).contains(&"gen-000001".to_owned()));
    assert_eq!(one.undo(None).expect("begun").wait().await.expect("gone back").generation, 1);
}
