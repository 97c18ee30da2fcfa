//! Threads driven into the races that the gate and the turns exclude, and scans that outlive maintenance.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;

use super::columns::Span;
use super::scan::Scan;
use super::source::Source;
use super::view::hooks::Stage;
use super::{Applied, Step, Store, StoreConfig, TABLE_BYTES};
use crate::format::Meter;
use crate::kv::{Command, KeyValue, PutRequest, RangeRequest};

/// How long the absence of an event is watched. Only a defect makes a test depend on it.
const ABSENCE: Duration = Duration::from_millis(300);

fn store() -> (tempfile::TempDir, Arc<Store>) {
    let directory = tempfile::tempdir().expect("a directory");
    let store = Store::open(StoreConfig::new(directory.path())).expect("the store opens");
    (directory, Arc::new(store))
}

fn put(store: &Store, key: &str, value: &str) {
    let command = Command::Put(PutRequest {
        key: Bytes::copy_from_slice(key.as_bytes()),
        value: Bytes::copy_from_slice(value.as_bytes()),
        ..PutRequest::default()
    });
    let position = Applied { index: store.applied().index + 1, opaque: Bytes::new() };
    store.apply(position, &[command]).expect("the storage works").remove(0).expect("a put");
}

fn get(store: &Store, key: &str) -> Option<KeyValue> {
    let request = RangeRequest { key: Bytes::copy_from_slice(key.as_bytes()), ..RangeRequest::default() };
    store.range(&request, Meter::Apply).expect("a readable revision").kvs.pop()
}

fn seal_and_flush(store: &Store) {
    store.seal().expect("sealed");
    store.flush().expect("flushed");
}

/// Stops the first thread called `name` that reaches `stage`; the receiver hears of it, and the sender lets
/// it go.
fn stop_at(store: &Store, name: &'static str, stage: Stage) -> (Receiver<()>, Sender<()>) {
    let (reached, hear) = channel();
    let (go, wait) = channel();
    let once = Mutex::new(Some((reached, wait)));
    store.gate.hooks.set(move |at| {
        if at == stage && thread::current().name() == Some(name) {
            let stop = once.lock().take();
            if let Some((reached, wait)) = stop {
                reached.send(()).expect("the test listens");
                wait.recv().expect("the test lets go");
            }
        }
    });
    (hear, go)
}

fn spawn<T: Send + 'static>(
    name: &str,
    store: &Arc<Store>,
    work: impl FnOnce(&Store) -> T + Send + 'static,
) -> (thread::JoinHandle<T>, Receiver<()>) {
    let (done, finished) = channel();
    let store = Arc::clone(store);
    let run = move || {
        let result = work(&store);
        let _ = done.send(());
        result
    };
    (thread::Builder::new().name(name.to_owned()).spawn(run).expect("a thread"), finished)
}

/// A reader stands between choosing its view and opening what it reads, and then both versions of its key are
/// flushed: without the gate the super-version that serves it would be gone.
#[test]
fn maintenance_waits_for_a_reader_that_has_chosen_its_view() {
    let (_directory, store) = store();
    put(&store, "key", "first");
    let (standing, go) = stop_at(&store, "reader", Stage::ViewLoaded);
    let (reader, _) = spawn("reader", &store, |store| get(store, "key"));
    standing.recv().expect("the reader stands in the gate");
    put(&store, "key", "second");
    let (flusher, flushed) = spawn("flusher", &store, seal_and_flush);
    let passed = flushed.recv_timeout(ABSENCE).is_ok();
    go.send(()).expect("the reader waits");
    let read = reader.join().expect("the reader finds its version").expect("the key");
    assert_eq!(read.value, "first", "the reader sees its view");
    assert!(!passed, "the flush waited for the reader");
    flusher.join().expect("the flush goes on");
    assert_eq!(get(&store, "key").expect("the key").value, "second");
}

/// The result of a merge into level 0 goes in front of level 0; a flush in between would be hidden by it.
#[test]
fn no_flush_comes_between_judging_and_doing_a_step_of_level_0() {
    for step in [Step::Merge { from: 0, to: 0 }, Step::Move { from: 0, to: 3 }] {
        let (_directory, store) = store();
        put(&store, "key", "first");
        seal_and_flush(&store);
        if matches!(step, Step::Merge { .. }) {
            put(&store, "key", "second");
            seal_and_flush(&store);
        }
        put(&store, "key", "third");
        let (standing, go) = stop_at(&store, "stepper", Stage::Beginning);
        let (stepper, _) =
            spawn("stepper", &store, move |store| store.run_step(&step).expect("a legal step"));
        standing.recv().expect("the step was judged");
        let (flusher, flushed) = spawn("flusher", &store, seal_and_flush);
        let passed = flushed.recv_timeout(ABSENCE).is_ok();
        go.send(()).expect("the step waits");
        stepper.join().expect("the step is done");
        flusher.join().expect("the flush is done");
        assert_eq!(get(&store, "key").expect("the key").value, "third");
        assert!(!passed, "the flush waited for the step");
    }
}

/// Scans opened before any amount of maintenance show what they would have shown at once.
#[test]
fn an_open_scan_outlives_everything() {
    let (_directory, store) = store();
    for round in 0..3 {
        for number in 0..200 {
            put(&store, &format!("key {number:03}"), &format!("{round}"));
        }
        if round < 2 {
            seal_and_flush(&store);
        }
    }
    let revisions = [store.revision(), store.revision() - 100, 250];
    let open = |at| {
        let passage = store.gate.enter();
        let source = Source::at(&store.tree, passage.view.seqno);
        Scan::open(source, Span::ALL, at, passage.view.revision).expect("a scan")
    };
    let expected: Vec<Vec<KeyValue>> =
        revisions.iter().map(|&at| open(at).collect::<crate::Result<_>>().expect("rows")).collect();
    let mut scans: Vec<Scan> = revisions.iter().map(|&at| open(at)).collect();
    let mut found: Vec<Vec<KeyValue>> =
        scans.iter_mut().map(|scan| scan.take(5).collect::<crate::Result<_>>().expect("rows")).collect();
    for number in 0..200 {
        put(&store, &format!("key {number:03}"), "new");
        put(&store, &format!("other {number:03}"), "new");
    }
    seal_and_flush(&store);
    store.run_step(&Step::Merge { from: 0, to: 2 }).expect("a merge");
    let compact = Command::Compact { revision: store.revision() };
    let position = Applied { index: store.applied().index + 1, opaque: Bytes::new() };
    store.apply(position, &[compact]).expect("the storage works").remove(0).expect("a compaction");
    while !store.scrub(100).expect("a scrub").done {}
    seal_and_flush(&store);
    store.run_step(&Step::Major { table_bytes: *TABLE_BYTES.start() }).expect("a major step");
    for (scan, found) in scans.into_iter().zip(&mut found) {
        found.extend(scan.collect::<crate::Result<Vec<_>>>().expect("rows"));
    }
    assert!(expected.iter().all(|kvs| kvs.len() >= 200));
    assert_eq!(found, expected);
}

/// Nothing that maintenance replaced is kept once nobody reads it.
#[test]
fn maintenance_releases_what_it_replaced() {
    use lsm_tree::AbstractTree;
    let (directory, store) = store();
    for round in 0..5 {
        put(&store, "key", &format!("{round}"));
        seal_and_flush(&store);
        assert_eq!(store.tree.library().version_free_list_len(), 0, "flushed memtables are released");
    }
    store.run_step(&Step::Major { table_bytes: *TABLE_BYTES.start() }).expect("a major step");
    let files = std::fs::read_dir(directory.path().join("tables")).expect("the tables").count();
    assert_eq!(files, 1, "merged tables are removed at once");
}
