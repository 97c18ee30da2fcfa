//! After a crash the tables hold the state at one position, and replaying the log from there leads to the
//! same content from wherever it starts.

use mortise_kernel::kv::Command;
use mortise_kernel::store::{Applied, Store};
use rand::Rng;
use rand::rngs::StdRng;

use crate::model::{Model, hash};
use crate::{open, position, with_seeds, workload};

const ENTRIES: u64 = 60;

fn log(rng: &mut StdRng) -> (Vec<Vec<Command>>, Model) {
    let mut model = Model::default();
    let entries = (0..ENTRIES)
        .map(|_| {
            let commands = rng.random_range(0..3);
            (0..commands)
                .map(|_| {
                    let command = workload::command(rng, model.revision());
                    let _ = model.apply(&command);
                    command
                })
                .collect()
        })
        .collect();
    (entries, model)
}

fn feed(store: &Store, log: &[Vec<Command>], from: u64, to: u64) {
    for index in from + 1..=to {
        store.apply(position(index), &log[index as usize - 1]).expect("the storage works");
    }
}

/// Applies up to `flushed`, flushes, applies up to `lost`, scrubs, crashes, replays the rest.
fn crash(log: &[Vec<Command>], model: &Model, flushed: u64, lost: u64) {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(&directory);
    feed(&store, log, 0, flushed);
    store.scrub(3).expect("a scrub");
    store.close().expect("closed");
    let content = store.content_hash(0).expect("a hash");
    feed(&store, log, flushed, lost);
    store.scrub(7).expect("a scrub");
    // Sealed but not flushed is lost as well.
    store.seal().expect("sealed");
    drop(store);

    let store = open(&directory);
    let expected = if flushed == 0 { Applied::default() } else { position(flushed) };
    assert_eq!(store.applied(), expected);
    assert_eq!(store.flushed(), expected);
    assert_eq!(store.content_hash(0).expect("a hash"), content);
    feed(&store, log, flushed, ENTRIES);
    assert_eq!(store.revision(), model.revision());
    for round in 0..2 {
        for (&revision, content) in &model.revisions {
            let found = store.content_hash(revision).expect("a readable revision");
            assert_eq!(found.hash, hash(content), "revision {revision}, flushed {flushed}, round {round}");
        }
        while !store.scrub(5).expect("a scrub").done {}
    }
}

#[test]
fn replaying_from_every_prefix_leads_to_the_same_content() {
    with_seeds(1, |rng| {
        let (log, model) = log(rng);
        for flushed in 0..=ENTRIES {
            let lost = rng.random_range(flushed..=ENTRIES);
            crash(&log, &model, flushed, lost);
        }
    });
}

#[test]
fn positions_follow_seals_and_flushes() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(&directory);
    store.set_position(position(1)).expect("set");
    assert_eq!((store.applied(), store.flushed()), (position(1), Applied::default()));
    assert!(store.seal().expect("sealed"));
    store.set_position(position(2)).expect("set");
    assert!(store.seal().expect("sealed"));
    store.set_position(position(3)).expect("set");
    assert_eq!(store.sealed_memtables(), 2);
    assert_eq!(store.flushed(), Applied::default());
    assert!(store.flush().expect("flushed").is_some());
    assert_eq!((store.applied(), store.flushed()), (position(3), position(2)));
    assert_eq!((store.sealed_memtables(), store.l0_runs()), (0, 1));
    assert_eq!(store.flush().expect("flushed"), None);
    drop(store);
    assert_eq!(open(&directory).applied(), position(2));
}

#[test]
fn a_memtable_is_full_at_its_size_until_it_is_sealed() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(&directory);
    assert!(!store.memtable_full());
    crate::apply(&store, crate::put("large", vec![7; 64 * 1024])).expect("a put");
    assert!(store.memtable_full());
    let bytes = store.shape().memtable_bytes;
    assert!(bytes > 64 * 1024);
    store.seal().expect("sealed");
    assert!(!store.memtable_full());
    let shape = store.shape();
    assert_eq!((shape.memtable_bytes, shape.sealed_memtables), (bytes, 1));
}

#[test]
fn a_failed_flush_leaves_nothing_behind_and_may_be_repeated() {
    let directory = tempfile::tempdir().expect("a directory");
    let tree = directory.path().join("tree");
    let tables = || std::fs::read_dir(tree.join("tables")).expect("the tables").count();
    let store = open(&directory);
    crate::apply(&store, crate::put("key", "value")).expect("a put");
    store.seal().expect("sealed");
    // The table is written before the manifest, which a directory in its place makes fail.
    let obstacle = tree.join("v1");
    std::fs::create_dir(&obstacle).expect("created");
    for _attempt in 0..3 {
        assert!(matches!(store.flush(), Err(mortise_kernel::Error::Io { .. })));
        assert_eq!(tables(), 0, "the table of the failed flush is removed");
        assert_eq!((store.sealed_memtables(), store.flushed()), (1, Applied::default()));
    }
    std::fs::remove_dir(&obstacle).expect("removed");
    assert!(store.flush().expect("flushed").is_some());
    assert_eq!((tables(), store.flushed()), (1, position(1)));
    let hash = store.content_hash(0).expect("a hash");
    drop(store);
    assert_eq!(open(&directory).content_hash(0).expect("a hash"), hash);
}
