//! Writers that are faster than the catching up.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use fail::FailScenario;
use mortise_kernel::rebuild::{SWITCH_BYTES, SWITCH_ENTRIES};
use mortise_kernel::seams::fault::Point;
use tokio::runtime::Handle;

use crate::Bench;
use crate::node_support::{get, put};

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
