//! Steps change the shape and never the content; illegal ones change nothing.

use std::sync::Arc;

use lsm_tree::Cache;
use mortise_kernel::Error;
use mortise_kernel::kv::{Command, DeleteRangeRequest};
use mortise_kernel::store::{IllegalStep, Step, StepOutcome, Store, StoreConfig, TABLE_BYTES};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::{METER, apply, everything, open, put};

const SMALL: u64 = *TABLE_BYTES.start();

/// A value that compression does not shrink.
fn noise(round: u32, number: u32) -> Vec<u8> {
    let mut value = vec![0; 1000];
    StdRng::seed_from_u64(u64::from(round) << 32 | u64::from(number)).fill(&mut value[..]);
    value
}

/// Puts two hundred keys, deletes some, and flushes them as one run.
fn flush_run(store: &Store, round: u32) {
    for number in 0..200_u32 {
        apply(store, put(format!("key {number:04}"), noise(round, number))).expect("a put");
    }
    let delete = DeleteRangeRequest {
        key: format!("key {:04}", round * 10).into(),
        range_end: format!("key {:04}", round * 10 + 5).into(),
        prev_kv: false,
    };
    apply(store, Command::DeleteRange(delete)).expect("a delete");
    assert!(store.seal().expect("sealed"));
    let flushed = store.flush().expect("flushed").expect("a sealed memtable");
    assert!(flushed.bytes > 0);
}

fn runs(store: &Store) -> Vec<usize> {
    store.shape().levels.iter().map(|level| level.runs.len()).collect()
}

fn hashes(store: &Store) -> Vec<u64> {
    let oldest = store.compact_revision().max(1);
    (oldest..=store.revision())
        .step_by(37)
        .chain([0])
        .map(|revision| store.content_hash(revision).expect("a readable revision").hash)
        .collect()
}

fn run(store: &Store, step: Step, expected_runs: [usize; 7]) -> StepOutcome {
    let before = hashes(store);
    let outcome = store.run_step(&step).expect("a legal step");
    assert_eq!(hashes(store), before, "content after {step:?}");
    assert_eq!(runs(store), expected_runs, "runs after {step:?}");
    outcome
}

#[test]
fn every_kind_of_step_keeps_the_content() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(&directory);
    for round in 0..3 {
        flush_run(&store, round);
    }
    assert_eq!(runs(&store), [3, 0, 0, 0, 0, 0, 0]);
    let merged = run(&store, Step::Merge { from: 0, to: 0 }, [1, 0, 0, 0, 0, 0, 0]);
    assert_eq!((merged.tables_in, merged.tables_out), (3, 1));
    assert!(merged.bytes_in > 0 && merged.bytes_out > 0);
    let moved = run(&store, Step::Move { from: 0, to: 3 }, [0, 0, 0, 1, 0, 0, 0]);
    assert_eq!((moved.tables_in, moved.tables_out, moved.bytes_out), (1, 1, 0));
    flush_run(&store, 3);
    flush_run(&store, 4);
    run(&store, Step::Merge { from: 0, to: 2 }, [0, 0, 1, 1, 0, 0, 0]);
    run(&store, Step::Merge { from: 2, to: 3 }, [0, 0, 0, 1, 0, 0, 0]);
    flush_run(&store, 5);
    apply(&store, Command::Compact { revision: store.revision() - 60 }).expect("a compaction");
    while !store.scrub(100).expect("a scrub").done {}
    assert!(store.scrub(1).expect("a scrub").done);
    store.seal().expect("sealed");
    store.flush().expect("flushed");
    let partial = Step::Partial { l0_threshold: 1, level_ratio: 2.0, table_bytes: SMALL };
    let before = hashes(&store);
    let outcome = store.run_step(&partial).expect("a legal step");
    assert_eq!((outcome.tables_in, outcome.bytes_out), (1, 0), "a gap is closed by a move");
    assert_eq!(runs(&store)[1..], [0, 0, 0, 0, 0, 1]);
    let outcome = store.run_step(&partial).expect("a legal step");
    assert!(outcome.bytes_out > 0);
    assert_eq!(store.l0_runs(), 0);
    while store.run_step(&partial).expect("a legal step") != StepOutcome::default() {}
    assert_eq!(hashes(&store), before);
    let bytes = store.shape().disk_bytes();
    let major = run(&store, Step::Major { table_bytes: SMALL }, [0, 0, 0, 0, 0, 0, 1]);
    assert!(major.tables_out > 1, "the target size cuts the run into tables");
    assert!(store.shape().disk_bytes() < bytes, "what was scrubbed is gone");
    let counters = store.counters();
    assert!(counters.compaction_in_bytes > counters.compaction_out_bytes);
    assert!(counters.flushed_bytes > 0 && counters.written_bytes > 0 && counters.commands > 1000);
}

#[test]
fn scrubbing_and_a_major_step_leave_only_what_is_readable() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(&directory);
    for round in 0..5 {
        flush_run(&store, round);
    }
    let range = DeleteRangeRequest { key: "key".into(), range_end: "kez".into(), prev_kv: false };
    apply(&store, Command::DeleteRange(range)).expect("a delete");
    apply(&store, put("last", "one")).expect("a put");
    apply(&store, Command::Compact { revision: store.revision() }).expect("a compaction");
    while !store.scrub(64).expect("a scrub").done {}
    store.close().expect("closed");
    store.run_step(&Step::Major { table_bytes: SMALL }).expect("a legal step");
    let entries: u64 = tables(&store).iter().map(|table| table.entries).sum();
    assert_eq!(entries, 2, "the state row and the one live key are left");
}

fn tables(store: &Store) -> Vec<mortise_kernel::store::TableShape> {
    let levels = store.shape().levels;
    levels.into_iter().flat_map(|level| level.runs).flat_map(|run| run.tables).collect()
}

#[test]
fn illegal_steps_are_refused_and_change_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(&directory);
    flush_run(&store, 0);
    flush_run(&store, 1);
    let before = store.shape();
    let refused = |step: Step| match store.run_step(&step) {
        Err(Error::IllegalStep(why)) => why,
        other => panic!("{step:?}: {other:?}"),
    };
    assert_eq!(refused(Step::Move { from: 0, to: 1 }), IllegalStep::SeveralRuns { level: 0, runs: 2 });
    assert_eq!(refused(Step::Merge { from: 3, to: 4 }), IllegalStep::EmptySource { level: 3 });
    assert_eq!(refused(Step::Merge { from: 0, to: 7 }), IllegalStep::NoSuchLevel { found: 7 });
    assert!(matches!(refused(Step::Major { table_bytes: 1 }), IllegalStep::Knob { .. }));
    assert_eq!(store.shape(), before);
}

#[test]
fn an_empty_store_has_a_shape_and_takes_steps_that_do_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(&directory);
    assert_eq!(runs(&store), [0; 7]);
    assert_eq!(store.shape().memtable_bytes, 0);
    for step in [
        Step::Major { table_bytes: SMALL },
        Step::Partial { l0_threshold: 1, level_ratio: 2.0, table_bytes: SMALL },
    ] {
        assert_eq!(store.run_step(&step).expect("legal"), StepOutcome::default());
    }
    assert!(!store.seal().expect("sealed"));
    assert_eq!(store.flush().expect("flushed"), None);
}

#[test]
fn stores_that_share_a_cache_stay_within_its_one_budget() {
    let directory = tempfile::tempdir().expect("a directory");
    let cache = Arc::new(Cache::with_capacity_bytes(256 * 1024));
    let stores: Vec<_> = (0..3_u32)
        .map(|number| {
            let path = directory.path().join(number.to_string());
            let store = Store::open(StoreConfig { cache: Arc::clone(&cache), ..StoreConfig::new(path) });
            let store = store.expect("the store opens");
            for key in 0..500_u32 {
                // Each store alone is larger than the budget.
                apply(&store, put(format!("key-{key:03}"), noise(number, key))).expect("accepted");
            }
            store.seal().expect("sealed");
            store.flush().expect("flushed");
            store
        })
        .collect();
    let mut fullest = Vec::new();
    for store in &stores {
        assert!(store.shape().disk_bytes() > cache.capacity());
        assert_eq!(store.range(&everything(), METER).expect("readable").kvs.len(), 500);
        fullest.push(cache.size());
    }
    let (budget, used) = (cache.capacity(), fullest.iter().max().copied().unwrap_or_default());
    assert!(used > budget / 2, "a cache that keeps nothing would pass: {used} of {budget} bytes");
    assert!(fullest.iter().all(|&used| used <= budget), "{fullest:?} bytes of {budget}");
}
