//! Errors, panics, cancellation and a full disk in every phase.

use std::sync::atomic::Ordering;
use std::time::Duration;

use fail::FailScenario;
use mortise_kernel::node::Consistency;
use mortise_kernel::rebuild::RebuildOptions;
use mortise_kernel::seams::fault::{self, Point};
use mortise_kernel::{Error, ErrorKind};

use crate::crash;
use crate::node_support::{config, open, put, soon, volume};
use crate::readers::all;
use crate::{Bench, end, hear, set};

const HOUR: Duration = Duration::from_secs(3600);

/// The points of a rebuild between the begin of its copy and the flip, in order.
const BEFORE_THE_FLIP: [Point; 10] = [
    Point::RebuildCopyMiddle,
    Point::RebuildVerifyMiddle,
    Point::RebuildCopied,
    Point::RebuildNamed,
    Point::RebuildCatchUpMiddle,
    Point::RebuildCaughtUp,
    Point::RebuildKeepNoted,
    Point::RebuildFlipPrepared,
    Point::RebuildSwitchBefore,
    Point::RebuildSwitchHeld,
];

/// The points of files, which a rebuild passes too, and how often before the flip.
const OF_FILES: [(Point, u32); 6] = [
    (Point::FileSyncBefore, 1),
    (Point::FileSyncAfter, 1),
    (Point::RenameBefore, 2),
    (Point::RenameAfter, 1),
    (Point::DirectorySyncBefore, 2),
    (Point::DirectorySyncAfter, 2),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_or_a_panic_before_the_copy_leaves_the_volume_as_it_was() {
    for point in [Point::RebuildBegin, Point::RebuildPrepared] {
        for action in ["1*return", "1*return(full)", "1*panic"] {
            let scenario = FailScenario::setup();
            let bench = Bench::new().await;
            put(&bench.volume, "since-19", "y").await.expect("written");
            set(point, action);
            let failed = bench.volume.rebuild(RebuildOptions::default()).expect("begun").wait().await;
            failed.expect_err("a fault");
            bench.check_untouched(1, &format!("{} {action}", point.name())).await;
            scenario.teardown();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_or_a_panic_before_the_flip_leaves_the_volume_as_it_was() {
    let points = BEFORE_THE_FLIP.map(|point| (point, 1));
    let twice =
        points.iter().chain(&OF_FILES).flat_map(|&(point, times)| (0..times).map(move |n| (point, n)));
    for (point, passes) in twice {
        for action in ["return", "return(full)", "panic"] {
            let scenario = FailScenario::setup();
            let bench = Bench::new().await;
            let (rebuild, mut gate) = bench.rebuild_halfway().await;
            let what = format!("{} after {passes}: {action}", point.name());
            // The copy stands behind its first portion's point; a second rebuild passes all of them.
            if point == Point::RebuildCopyMiddle {
                drop(gate);
                rebuild.wait().await.expect("rebuilt");
                set(point, &format!("1*{action}"));
                let failed = bench.volume.rebuild(RebuildOptions::default()).expect("begun").wait().await;
                failed.expect_err(&what);
                bench.check_untouched(2, &what).await;
            } else {
                set(point, &format!("{passes}*off->1*{action}"));
                gate.open();
                let error = rebuild.wait().await.expect_err(&what);
                let full = action == "return(full)" && BEFORE_THE_FLIP.contains(&point);
                assert_eq!(matches!(error, Error::NoSpace(_)), full, "{what}: {error}");
                bench.check_untouched(1, &what).await;
            }
            scenario.teardown();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_or_a_panic_after_the_flip_does_not_undo_it() {
    let points = [
        // The second renaming is the flip; once it has happened, an error of it is none.
        (Point::RenameAfter, 1, "return"),
        (Point::RebuildFlipped, 0, "return"),
        (Point::RebuildFlipped, 0, "panic"),
        (Point::DirectorySyncBefore, 2, "return"),
        (Point::RebuildSwitched, 0, "return"),
        (Point::RebuildSwitched, 0, "panic"),
        (Point::PreviousRemoveBefore, 0, "return"),
        (Point::RemoveBefore, 0, "return"),
        (Point::RemoveAfter, 0, "return"),
        (Point::PreviousRemoveAfter, 0, "return"),
        (Point::PreviousRemoveAfter, 0, "panic"),
    ];
    for (point, passes, action) in points {
        let scenario = FailScenario::setup();
        let bench = Bench::new().await;
        let (rebuild, mut gate) = bench.rebuild_halfway().await;
        let before = bench.hash().await;
        set(point, &format!("{passes}*off->1*{action}"));
        gate.open();
        let what = format!("{} {action}", point.name());
        let outcome = rebuild.wait().await.unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!((outcome.previous, outcome.generation), (1, 2), "{what}");
        assert_eq!(bench.hash().await, before, "{what}");
        bench.check_usable(&what).await;
        scenario.teardown();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rebuild_is_cancelled_in_every_phase_up_to_the_flip() {
    for point in [Point::RebuildBegin, Point::RebuildPrepared] {
        let scenario = FailScenario::setup();
        let bench = Bench::new().await;
        put(&bench.volume, "since-19", "y").await.expect("written");
        set(point, "pause");
        let rebuild = bench.volume.rebuild(RebuildOptions::default()).expect("begun");
        rebuild.canceller().request();
        fail::remove(point.name());
        let error = rebuild.wait().await.expect_err(point.name());
        assert!(matches!(error, Error::Cancelled(_)), "{}: {error}", point.name());
        bench.check_untouched(1, point.name()).await;
        scenario.teardown();
    }
    for point in BEFORE_THE_FLIP.into_iter().filter(|point| *point != Point::RebuildCopyMiddle) {
        let scenario = FailScenario::setup();
        let bench = Bench::new().await;
        let (rebuild, mut gate) = bench.rebuild_halfway().await;
        let cancel = rebuild.canceller();
        fail::cfg_callback(point.name(), move || cancel.request()).expect("a callback");
        gate.open();
        let error = rebuild.wait().await.expect_err(point.name());
        assert!(matches!(error, Error::Cancelled(_)), "{}: {error}", point.name());
        fail::remove(point.name());
        bench.check_untouched(1, point.name()).await;
        scenario.teardown();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_way_back_that_fails_leaves_both_generations_as_they_were() {
    let points = [
        (Point::RebuildCatchUpMiddle, "return"),
        (Point::RebuildCaughtUp, "return(full)"),
        (Point::RebuildKeepNoted, "return"),
        (Point::RebuildFlipPrepared, "panic"),
        (Point::RebuildSwitchBefore, "return"),
        (Point::RebuildSwitchHeld, "panic"),
    ];
    for (point, action) in points {
        let scenario = FailScenario::setup();
        let bench = Bench::new().await;
        let options = RebuildOptions { keep_previous: Some(HOUR), ..RebuildOptions::default() };
        bench.volume.rebuild(options).expect("begun").wait().await.expect("rebuilt");
        put(&bench.volume, "since-19", "y").await.expect("written");
        let before = bench.hash().await;
        set(point, &format!("1*{action}"));
        let failed = bench.volume.undo(None).expect("begun").wait().await;
        failed.expect_err(point.name());
        assert_eq!(bench.volume.status().generation, 2, "{}", point.name());
        assert_eq!(bench.names(), ["CURRENT", "gen-000001", "gen-000002"], "{}", point.name());
        assert_eq!(bench.hash().await, before);
        // The next attempt goes through, and loses nothing.
        let outcome = bench.volume.undo(None).expect("begun").wait().await.expect("gone back");
        assert_eq!(outcome.generation, 1);
        assert_eq!(bench.hash().await, before);
        bench.check_usable(point.name()).await;
        scenario.teardown();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancelling_after_the_flip_changes_nothing() {
    let scenario = FailScenario::setup();
    let bench = Bench::new().await;
    let (rebuild, mut gate) = bench.rebuild_halfway().await;
    let cancel = rebuild.canceller();
    fail::cfg_callback(Point::RebuildFlipped.name(), move || cancel.request()).expect("a callback");
    gate.open();
    assert_eq!(rebuild.wait().await.expect("rebuilt").generation, 2);
    fail::remove(Point::RebuildFlipped.name());
    bench.check_usable("cancelled too late").await;
    scenario.teardown();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_fills_up_ends_the_copy_and_the_catching_up() {
    for point in [Point::RebuildPrepared, Point::RebuildCopied, Point::RebuildCatchUpMiddle] {
        let scenario = FailScenario::setup();
        let bench = Bench::new().await;
        let disk = std::sync::Arc::clone(&bench.disk);
        let fill = move || disk.0.store(0, Ordering::SeqCst);
        let result = if point == Point::RebuildPrepared {
            put(&bench.volume, "since-19", "y").await.expect("written");
            fail::cfg_callback(point.name(), fill).expect("a callback");
            bench.volume.rebuild(RebuildOptions::default()).expect("begun").wait().await
        } else {
            let (rebuild, mut gate) = bench.rebuild_halfway().await;
            fail::cfg_callback(point.name(), fill).expect("a callback");
            gate.open();
            rebuild.wait().await
        };
        let error = result.expect_err(point.name());
        assert!(matches!(error, Error::NoSpace(_)), "{}: {error}", point.name());
        fail::remove(point.name());
        bench.disk.0.store(u64::MAX, Ordering::SeqCst);
        // The node samples free space a few times a second; writes are refused until then.
        while let Err(error) = put(&bench.volume, "room", "again").await {
            assert_eq!(error.kind(), ErrorKind::Unavailable);
            tokio::task::yield_now().await;
        }
        bench.check_untouched(1, point.name()).await;
        scenario.teardown();
    }
}

/// Goes where only purges and openings lead.
async fn purge_and_open(bench: &Bench) {
    while fault::reached(Point::LogPurgeMiddle) == 0 {
        put(&bench.volume, "again", "z").await.expect("written");
        bench.volume.flush().await.expect("flushed");
    }
    let others = tempfile::tempdir().expect("a directory");
    let (torn, begun) = (others.path().join("torn"), others.path().join("begun"));
    let node = open(config(&torn)).await;
    node.create_volume(volume(2)).await.expect("created");
    end(&node).await;
    drop(node);
    crash::tear_the_log(&torn);
    crash::cut_off_the_creation(&begun).await;
    for path in [torn, begun] {
        let node = open(config(&path)).await;
        end(&node).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_point_on_the_list_is_reached() {
    let scenario = FailScenario::setup();
    let bench = Bench::new().await;
    let mut removed = hear(Point::PreviousRemoveAfter);
    let (rebuild, mut gate) = bench.rebuild_halfway().await;
    gate.open();
    rebuild.wait().await.expect("rebuilt");
    removed.recv().await.expect("the previous generation is removed");
    // What is kept is noted; the note of a generation that is gone back to is removed.
    let keeping = RebuildOptions { keep_previous: Some(HOUR), ..RebuildOptions::default() };
    for _ in 0..2 {
        bench.volume.rebuild(keeping.clone()).expect("begun").wait().await.expect("rebuilt");
    }
    bench.volume.undo(None).expect("begun").wait().await.expect("gone back");
    bench.volume.range(all(0), Consistency::Serializable, soon()).await.expect("read");
    bench.volume.flush().await.expect("flushed");
    bench.hash().await;
    bench.node.create_volume(volume(3)).await.expect("created");
    bench.node.remove_volume(volume(3).id).await.expect("removed");
    purge_and_open(&bench).await;
    for point in Point::ALL {
        assert!(fault::reached(*point) > 0, "nothing reaches {}", point.name());
    }
    let mut names: Vec<_> = Point::ALL.iter().map(|point| point.name()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), Point::ALL.len(), "every point has a name of its own");
    end(&bench.node).await;
    scenario.teardown();
}
