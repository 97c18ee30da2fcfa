//! What surrounds a rebuild: the empty volume, the log, counters, the next rebuild, the next opening.

use mortise_kernel::ErrorKind;
use mortise_kernel::rebuild::{Phase, RebuildOptions};

use crate::gated::gated;
use crate::node_support::{config, get, open, put, volume};
use crate::{names, through};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_volume_is_rebuilt_and_stays_usable() {
    let dir = tempfile::tempdir().expect("a directory");
    let node = open(config(dir.path())).await;
    let one = node.create_volume(volume(2)).await.expect("created");
    let before = one.content_hash(0).await.expect("hashed");
    let outcome = one.rebuild(RebuildOptions::default()).expect("begun").wait().await.expect("rebuilt");
    assert_eq!((outcome.previous, outcome.generation), (1, 2));
    assert_eq!(one.content_hash(0).await.expect("hashed"), before);
    put(&one, "a", "1").await.expect("written");
    assert_eq!(get(&one, "a").await.as_deref(), Some("1"));
    node.shutdown().await.expect("stopped");
    drop((one, node));
    let node = open(config(dir.path())).await;
    let one = node.open_volume(volume(2)).await.expect("opened");
    assert_eq!(get(&one, "a").await.as_deref(), Some("1"));
    assert_eq!(names(dir.path()), ["CURRENT", "gen-000002"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_rebuild_is_busy_until_the_first_has_ended() {
    let dir = tempfile::tempdir().expect("a directory");
    let node = open(config(dir.path())).await;
    let one = node.create_volume(volume(2)).await.expect("created");
    put(&one, "a", "1").await.expect("written");
    let (transform, mut gate) = gated(true);
    let first = one.rebuild(through(transform)).expect("begun");
    assert!(gate.arrival().await);
    let refused = one.rebuild(RebuildOptions::default()).expect_err("one at a time");
    assert_eq!(refused.kind(), ErrorKind::Busy);
    assert_eq!(one.rebuild_progress().expect("under way").borrow().phase, Phase::Copying);
    // Another volume is not concerned.
    let two = node.create_volume(volume(3)).await.expect("created");
    two.rebuild(RebuildOptions::default()).expect("begun").wait().await.expect("rebuilt");
    gate.open();
    let progress = first.progress();
    first.wait().await.expect("rebuilt");
    assert_eq!(progress.borrow().phase, Phase::Done);
    assert!(one.rebuild_progress().is_none());
    one.rebuild(RebuildOptions::default()).expect("begun").wait().await.expect("rebuilt");
    assert_eq!(one.status().generation, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_is_held_while_the_copy_runs_and_purged_afterwards() {
    let dir = tempfile::tempdir().expect("a directory");
    let node = open(config(dir.path())).await;
    let one = node.create_volume(volume(2)).await.expect("created");
    put(&one, "a", "1").await.expect("written");
    one.flush().await.expect("flushed");
    let (transform, mut gate) = gated(true);
    let rebuild = one.rebuild(through(transform)).expect("begun");
    assert!(gate.arrival().await);
    let copied_at = one.status().raft_applied_index;
    for number in 0..20 {
        put(&one, &format!("b{number}"), "2").await.expect("written");
    }
    one.flush().await.expect("flushed");
    assert!(one.status().flushed_index > copied_at);
    assert!(one.purged_index() <= copied_at, "the entries after the copy are still needed");
    gate.open();
    let outcome = rebuild.wait().await.expect("rebuilt");
    assert!(outcome.entries + outcome.switch_entries >= 20, "{outcome:?}");
    assert!(outcome.switch_entries <= mortise_kernel::rebuild::SWITCH_ENTRIES);
    assert_eq!(get(&one, "b19").await.as_deref(), Some("2"));
    put(&one, "c", "3").await.expect("written");
    one.flush().await.expect("flushed");
    purged_up_to(&one, copied_at + 20).await;
}

/// Waits until the log is purged up to an index: each flush asks for it again.
async fn purged_up_to(volume: &mortise_kernel::node::Volume, index: u64) {
    while volume.purged_index() < index {
        put(volume, "again", "x").await.expect("written");
        volume.flush().await.expect("flushed");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counters_never_fall_and_writes_count_once() {
    let dir = tempfile::tempdir().expect("a directory");
    let node = open(config(dir.path())).await;
    let one = node.create_volume(volume(2)).await.expect("created");
    for number in 0..30 {
        put(&one, &format!("a{number}"), "1").await.expect("written");
    }
    let (transform, mut gate) = gated(true);
    let rebuild = one.rebuild(through(transform)).expect("begun");
    assert!(gate.arrival().await);
    for number in 0..30 {
        put(&one, &format!("b{number}"), "2").await.expect("written");
    }
    let before = one.counters();
    gate.open();
    rebuild.wait().await.expect("rebuilt");
    let after = one.counters();
    assert_eq!((after.commands, after.written_bytes), (before.commands, before.written_bytes));
    put(&one, "c", "3").await.expect("written");
    assert_eq!(one.counters().commands, before.commands + 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_compaction_waits_for_the_store_that_serves() {
    let dir = tempfile::tempdir().expect("a directory");
    let node = open(config(dir.path())).await;
    let one = node.create_volume(volume(2)).await.expect("created");
    for number in 0..50 {
        put(&one, "same", format!("{number}")).await.expect("written");
    }
    let (transform, mut gate) = gated(true);
    let rebuild = one.rebuild(through(transform)).expect("begun");
    assert!(gate.arrival().await);
    let revision = one.status().revision;
    one.compact(revision, true, crate::node_support::soon()).await.expect("compacted");
    gate.open();
    rebuild.wait().await.expect("rebuilt");
    // The copy was taken before; what the compaction removed has to go from the new store as well.
    one.compact(one.status().revision + 1, true, crate::node_support::soon()).await.expect_err("the future");
    put(&one, "same", "last").await.expect("written");
    let revision = one.status().revision;
    one.compact(revision, true, crate::node_support::soon()).await.expect("compacted");
    let outcome = one.rebuild(RebuildOptions::default()).expect("begun").wait().await.expect("rebuilt");
    assert_eq!(outcome.records, 2, "the newest version and the state");
    assert_eq!(get(&one, "same").await.as_deref(), Some("last"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_left_of_a_copy_is_told_in_the_bytes_that_are_copied_and_not_in_those_of_compressed_tables() {
    let dir = tempfile::tempdir().expect("a directory");
    let node = open(config(dir.path())).await;
    let one = node.create_volume(volume(2)).await.expect("created");
    for number in 0..64 {
        put(&one, &format!("key-{number:02}"), vec![b'v'; 8 << 10]).await.expect("written");
    }
    let rebuild = one.rebuild(RebuildOptions::default()).expect("begun");
    let progress = rebuild.progress();
    rebuild.wait().await.expect("rebuilt");
    let told = progress.borrow().clone();
    assert!(told.bytes > 64 * (8 << 10), "{told:?}");
    assert!((told.bytes..=told.bytes * 2).contains(&told.bytes_estimate), "{told:?}");
}
