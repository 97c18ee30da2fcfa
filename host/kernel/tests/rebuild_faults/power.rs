//! A power failure that takes a flip back: the renaming of `CURRENT` had happened and was not durable.

use std::path::Path;
use std::sync::Arc;

use fail::FailScenario;
use mortise_kernel::format::FormatId;
use mortise_kernel::node::Node;
use mortise_kernel::rebuild::RebuildOptions;
use mortise_kernel::seams::fault::Point;
use mortise_kernel::seams::{Seams, SystemClock};
use tokio::runtime::Handle;

use crate::node_support::{config, get, life, open, put, volume};
use crate::test_codecs::{TestCodecs, codec, format};
use crate::{names, set};

/// Flushes after the switch, each of which lets the log be purged as far as it may be.
const FLUSHES: usize = 40;

/// Switches to generation 2 without ever making that durable, and lets the log be purged meanwhile. Returns
/// up to where the first generation was in tables, and up to where the log was purged.
async fn switch_and_purge(path: &Path) -> (u64, u64) {
    let node = open(config(path)).await;
    let one = node.create_volume(volume(2)).await.expect("created");
    put(&one, "flushed", "1").await.expect("written");
    // Written when all that came before is in tables and copied.
    let (runtime, writer) = (Handle::current(), Arc::clone(&one));
    fail::cfg_callback(Point::RebuildCopied.name(), move || {
        for number in 0..40 {
            let written = runtime.block_on(put(&writer, &format!("key-{number}"), "in memory only"));
            written.expect("written");
        }
    })
    .expect("a callback");
    let _never_ends = one.rebuild(RebuildOptions::default()).expect("begun");
    let mut flushed = 0;
    loop {
        let status = one.status();
        if status.generation == 2 {
            break;
        }
        flushed = status.flushed_index;
        tokio::task::yield_now().await;
    }
    fail::remove(Point::RebuildCopied.name());
    for number in 0..FLUSHES {
        put(&one, &format!("since-{number}"), "2").await.expect("written");
        one.flush().await.expect("flushed");
    }
    (flushed, one.purged_index())
}

#[test]
fn a_flip_that_a_power_failure_takes_back_loses_nothing() {
    let scenario = FailScenario::setup();
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().to_path_buf();
    set(Point::RebuildFlipped, "return");
    let (flushed, purged) = life({
        let path = path.clone();
        async move { switch_and_purge(&path).await }
    });
    fail::remove(Point::RebuildFlipped.name());
    assert!(purged <= flushed, "the log is purged up to {purged}, the old generation has up to {flushed}");
    assert_eq!(names(&path), ["CURRENT", "gen-000001", "gen-000002"]);

    let current = path.join("volumes").join("2").join("CURRENT");
    let named = std::fs::read_to_string(&current).expect("readable");
    assert!(named.contains("gen-000002"), "{named}");
    std::fs::write(&current, named.replace("gen-000002", "gen-000001")).expect("written");
    life(async move {
        let node = open(config(&path)).await;
        let one = node.open_volume(volume(2)).await.expect("the old generation opens");
        assert_eq!(one.status().generation, 1);
        for number in 0..40 {
            assert!(get(&one, &format!("key-{number}")).await.is_some(), "key-{number}");
        }
        for number in 0..FLUSHES {
            assert!(get(&one, &format!("since-{number}")).await.is_some(), "since-{number}");
        }
        node.shutdown().await.expect("stopped");
        assert_eq!(names(&path), ["CURRENT", "gen-000001"]);
    });
    scenario.teardown();
}

/// Puts through this volume while another one's flip is not durable: were its put not held, it would be in
/// the log long before these are.
const PUTS_BESIDE: usize = 100;

/// A volume in `reversed` is converted to `natural` and stands between the flip and its sync, when a key is
/// put that only `natural` takes. Returns once that would be in the log if it were not held; then lets the
/// conversion end in good order, after `failure` has seen the directory.
async fn put_between_flip_and_settle(path: &Path, failure: impl FnOnce() + Send) {
    let codecs = TestCodecs::with(&[&codec("reversed")]);
    let seams = Seams { codecs, ..Seams::with_clock(Arc::new(SystemClock)) };
    let node = Node::open_with(config(path), seams).await.expect("the node opens");
    let one = node.create_volume_with(volume(2), format("reversed")).await.expect("created");
    let beside = node.create_volume(volume(3)).await.expect("created");
    put(&one, "before", "1").await.expect("written");
    put(&one, "late!", "1").await.expect_err("its format takes no exclamation");

    let (arrived, mut arrivals) = tokio::sync::mpsc::unbounded_channel();
    let (let_go, gate) = std::sync::mpsc::channel::<()>();
    let gate = parking_lot::Mutex::new(gate);
    fail::cfg_callback(Point::RebuildFlipped.name(), move || {
        arrived.send(()).expect("the test waits");
        // An error says that the test has let go.
        let _ = gate.lock().recv();
    })
    .expect("a callback");
    let transform = Some(Arc::new(one.conversion(&FormatId::natural()).await.expect("a codec")) as _);
    let conversion = one.rebuild(RebuildOptions { transform, ..RebuildOptions::default() }).expect("begun");
    arrivals.recv().await.expect("the flip has happened");
    assert_eq!((one.format(), one.status().generation), (FormatId::natural(), 2), "the new one serves");
    let log = one.status().raft_applied_index;
    let late = tokio::spawn({
        let one = Arc::clone(&one);
        async move { put(&one, "late!", "2").await }
    });
    for number in 0..PUTS_BESIDE {
        put(&beside, &format!("beside-{number}"), "1").await.expect("other volumes are written to");
    }
    assert_eq!(get(&one, "before").await.as_deref(), Some("1"), "reads go on");
    assert!(!late.is_finished(), "a put was answered before the flip was durable");
    assert_eq!(one.status().raft_applied_index, log, "nothing is applied");
    failure();
    drop(let_go);
    late.await.expect("no panic").expect("written when the flip is durable");
    conversion.wait().await.expect("converted");
    assert_eq!(get(&one, "late!").await.as_deref(), Some("2"));
    fail::remove(Point::RebuildFlipped.name());
    node.shutdown().await.expect("stopped");
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).expect("made");
    for entry in std::fs::read_dir(from).expect("listed") {
        let (entry, place) = (entry.expect("an entry"), to.to_path_buf());
        let place = place.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            copy(&entry.path(), &place);
        } else {
            std::fs::copy(entry.path(), place).expect("copied");
        }
    }
}

#[test]
fn what_is_proposed_while_the_format_changes_waits_until_the_flip_is_durable() {
    let scenario = FailScenario::setup();
    let directory = tempfile::tempdir().expect("a directory");
    let (path, failed) = (directory.path().join("node"), directory.path().join("failed"));
    life({
        let (path, failed) = (path.clone(), failed.clone());
        async move { put_between_flip_and_settle(&path, || copy(&path, &failed)).await }
    });
    // The power failed at that moment, and took the flip back.
    let current = failed.join("volumes").join("2").join("CURRENT");
    std::fs::write(&current, "gen-000001\n").expect("written");
    life(async move {
        let codecs = TestCodecs::with(&[&codec("reversed")]);
        let seams = Seams { codecs, ..Seams::with_clock(Arc::new(SystemClock)) };
        let node = Node::open_with(config(&failed), seams).await.expect("the node opens");
        let one = node.open_volume(volume(2)).await.expect("the log holds nothing that this format refuses");
        assert_eq!((one.format(), one.status().generation), (format("reversed"), 1));
        assert_eq!(get(&one, "before").await.as_deref(), Some("1"));
        put(&one, "after", "3").await.expect("it is written to");
        node.shutdown().await.expect("stopped");
    });
    scenario.teardown();
}
