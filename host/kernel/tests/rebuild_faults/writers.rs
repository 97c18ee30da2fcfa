//! Writers that are faster than the catching up, that write much at once, or that wait for the switch.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use fail::FailScenario;
use mortise_kernel::kv::{Command, DeleteRangeRequest};
use mortise_kernel::node::Volume;
use mortise_kernel::rebuild::{RebuildOptions, SWITCH_BYTES, SWITCH_ENTRIES, SWITCH_WEIGHT};
use mortise_kernel::seams::fault::Point;
use tokio::runtime::Handle;

use crate::node_support::{get, put, soon};
use crate::test_codecs::{TestCodecs, codec, format};
use crate::{Bench, end};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_that_outrun_the_rebuild_are_slowed_until_it_has_caught_up() {
    let scenario = FailScenario::setup();
    let bench = Bench::new().await;
    let (rebuild, mut gate) = bench.rebuild_halfway().await;
    // Every entry that is caught up with makes two new ones, until writers are slowed.
    let (runtime, progress) = (Handle::current(), rebuild.progress());
    let (volume, written) = (Arc::clone(&bench.volume), Arc::new(AtomicU64::new(0)));
    let slowed = Arc::new(AtomicU64::new(0));
    let outrun = {
        let (volume, written, slowed) = (Arc::clone(&volume), Arc::clone(&written), Arc::clone(&slowed));
        move || {
            if progress.borrow().slows_writers {
                // One more write, while the rebuild stands here: it has to be slowed.
                if slowed.load(Ordering::SeqCst) == 0 {
                    let before = volume.counters().slowed_writes;
                    runtime.block_on(put(&volume, "slowed", "z")).expect("written, if slowly");
                    slowed.store(1 + volume.counters().slowed_writes - before, Ordering::SeqCst);
                }
            } else {
                for _ in 0..2 {
                    let number = written.fetch_add(1, Ordering::SeqCst);
                    let done = runtime.block_on(put(&volume, &format!("fast-{number}"), "z"));
                    done.expect("written");
                }
            }
        }
    };
    fail::cfg_callback(Point::RebuildCatchUpMiddle.name(), outrun).expect("a callback");
    let mut progress = rebuild.progress();
    gate.open();
    progress.wait_for(|progress| progress.slows_writers).await.expect("writers are slowed");
    let outcome = rebuild.wait().await.expect("it finishes");
    assert!(outcome.slowed_writers);
    assert!(outcome.switch_entries <= SWITCH_ENTRIES);
    let expected = 20 + written.load(Ordering::SeqCst);
    assert!(outcome.entries + outcome.switch_entries >= expected, "{outcome:?}, {expected} written");
    assert!(slowed.load(Ordering::SeqCst) > 1, "the write was not slowed");
    // Nobody is slowed afterwards.
    let slowed = volume.counters().slowed_writes;
    put(&volume, "free", "z").await.expect("written");
    assert_eq!(volume.counters().slowed_writes, slowed);
    fail::remove(Point::RebuildCatchUpMiddle.name());
    drop(volume);
    bench.check_usable("outrun").await;
    scenario.teardown();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_written_right_before_the_switch_is_applied_by_it_unless_it_is_too_much() {
    let scenario = FailScenario::setup();
    let bench = Bench::new().await;
    let (rebuild, mut gate) = bench.rebuild_halfway().await;
    // At first more than a switch may apply, by number and then by bytes; then less.
    let (runtime, volume) = (Handle::current(), Arc::clone(&bench.volume));
    let calls = Arc::new(AtomicU64::new(0));
    let write = {
        let calls = Arc::clone(&calls);
        move || {
            let call = calls.fetch_add(1, Ordering::SeqCst);
            let half = usize::try_from(SWITCH_BYTES / 2).expect("small") + 1;
            let (writes, size) = match call {
                0 => (SWITCH_ENTRIES + 4, 1),
                1 => (2, half),
                _ => (3, 1),
            };
            for number in 0..writes {
                let key = format!("late-{call}-{number}");
                runtime.block_on(put(&volume, &key, "z".repeat(size))).expect("written");
            }
        }
    };
    fail::cfg_callback(Point::RebuildSwitchBefore.name(), write).expect("a callback");
    gate.open();
    let outcome = rebuild.wait().await.expect("rebuilt");
    fail::remove(Point::RebuildSwitchBefore.name());
    assert_eq!(calls.load(Ordering::SeqCst), 3, "the first two switches are refused");
    assert_eq!(outcome.switch_entries, 3);
    assert!(outcome.switch_bytes > 0);
    for key in ["since-19", "late-0-11", "late-1-1", "late-2-0", "late-2-2"] {
        assert!(get(&bench.volume, key).await.is_some(), "{key}");
    }
    bench.check_usable("written late").await;
    scenario.teardown();
}

/// Large values under one prefix, and the command that deletes them all: few bytes that move more than a
/// switch may.
async fn heap(volume: &Volume) -> Command {
    const VALUE: usize = 64 << 10;
    for number in 0..=SWITCH_WEIGHT as usize / VALUE {
        put(volume, &format!("heap-{number}"), vec![b'h'; VALUE]).await.expect("written");
    }
    let key = "heap-".into();
    Command::DeleteRange(DeleteRangeRequest { key, range_end: "heap.".into(), prev_kv: false })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_switch_leaves_what_moves_much_to_another_round() {
    let scenario = FailScenario::setup();
    let bench = Bench::new().await;
    let delete_heap = heap(&bench.volume).await;
    let (rebuild, mut gate) = bench.rebuild_halfway().await;
    // Right before the switch first a delete of much comes, then one large value, then two small ones.
    let (runtime, volume) = (Handle::current(), Arc::clone(&bench.volume));
    let calls = Arc::new(AtomicU64::new(0));
    let write = {
        let calls = Arc::clone(&calls);
        move || match calls.fetch_add(1, Ordering::SeqCst) {
            0 => {
                let deleted = runtime.block_on(volume.propose(delete_heap.clone(), soon()));
                deleted.expect("deleted");
            }
            1 => {
                let large = "z".repeat(usize::try_from(SWITCH_BYTES).expect("small") + 1);
                runtime.block_on(put(&volume, "large", large)).expect("written");
            }
            _ => {
                for key in ["late-0", "late-1"] {
                    runtime.block_on(put(&volume, key, "z")).expect("written");
                }
            }
        }
    };
    fail::cfg_callback(Point::RebuildSwitchBefore.name(), write).expect("a callback");
    gate.open();
    let outcome = rebuild.wait().await.expect("rebuilt");
    fail::remove(Point::RebuildSwitchBefore.name());
    assert_eq!(calls.load(Ordering::SeqCst), 3, "the first two switches are put off");
    assert_eq!(outcome.switch_entries, 2, "{outcome:?}");
    assert!(outcome.switch_bytes < SWITCH_BYTES, "{outcome:?}");
    assert_eq!(get(&bench.volume, "heap-7").await, None);
    for key in ["since-19", "large", "late-1"] {
        assert!(get(&bench.volume, key).await.is_some(), "{key}");
    }
    bench.check_usable("heavy").await;
    scenario.teardown();
}

/// One heavy write after the other: there is always one left, until writers pause.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rebuild_comes_to_its_end_under_writes_that_no_switch_may_apply() {
    let scenario = FailScenario::setup();
    let bench = Bench::new().await;
    let (rebuild, mut gate) = bench.rebuild_halfway().await;
    let (runtime, volume) = (Handle::current(), Arc::clone(&bench.volume));
    let calls = Arc::new(AtomicU64::new(0));
    let write = {
        let calls = Arc::clone(&calls);
        move || {
            if volume.counters().slowed_writes == 0 {
                let call = calls.fetch_add(1, Ordering::SeqCst);
                let large = "z".repeat(usize::try_from(SWITCH_BYTES).expect("small") + 1);
                runtime.block_on(put(&volume, &format!("large-{call}"), large)).expect("written");
            }
        }
    };
    fail::cfg_callback(Point::RebuildSwitchBefore.name(), write).expect("a callback");
    gate.open();
    let outcome = rebuild.wait().await.expect("it finishes");
    fail::remove(Point::RebuildSwitchBefore.name());
    assert!(outcome.slowed_writers, "{outcome:?}");
    assert_eq!(outcome.switch_entries, 0, "{outcome:?}");
    assert!(calls.load(Ordering::SeqCst) > 2, "writers are slowed after two rounds in vain");
    bench.check_usable("one heavy write after the other").await;
    scenario.teardown();
}

/// What waits while the format changes was not prepared for the new one. It is then, as every request is:
/// with the fuel of a request and within its deadline.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waited_for_a_switch_of_formats_is_encoded_as_requests_are() {
    let scenario = FailScenario::setup();
    let prefixed = codec("prefixed");
    let bench = Bench::with(TestCodecs::with(&[&prefixed])).await;
    let (runtime, volume) = (Handle::current(), Arc::clone(&bench.volume));
    let (queued, mut waits) = tokio::sync::mpsc::unbounded_channel();
    let write = move || {
        let volume = Arc::clone(&volume);
        let mut write = Box::pin(async move { put(&volume, "waited", "for the switch").await });
        // It is in the queue when it has been polled once; nothing is proposed at this moment.
        let polled = runtime.block_on(async { futures::poll!(&mut write) });
        assert!(polled.is_pending());
        let _ = queued.send(write);
    };
    fail::cfg_callback(Point::RebuildSwitchHeld.name(), write).expect("a callback");
    let transform = Some(Arc::new(bench.volume.conversion(&format("prefixed")).await.expect("a codec")) as _);
    let options = RebuildOptions { transform, ..RebuildOptions::default() };
    let converted = bench.volume.rebuild(options).expect("begun").wait().await;
    let outcome = converted.expect("converted");
    assert_eq!(outcome.entries + outcome.switch_entries, 0, "{outcome:?}");
    waits.recv().await.expect("a write waits").await.expect("written");
    fail::remove(Point::RebuildSwitchHeld.name());
    assert_eq!(get(&bench.volume, "waited").await.as_deref(), Some("for the switch"));
    assert_eq!(prefixed.controls.calls().1, 0, "it was encoded as if in apply, or there");
    end(&bench.node).await;
    scenario.teardown();
}
