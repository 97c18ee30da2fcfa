//! A full disk and a store that does not keep up.

mod node_support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mortise_kernel::kv::{Command, DeleteRangeRequest, Op, TxnRequest};
use mortise_kernel::node::{Consistency, NodeConfig, Volume};
use mortise_kernel::seams::Deadline;
use mortise_kernel::store::Step;
use mortise_kernel::{Error, ErrorKind};
use node_support::{
    FakeDisk, config, get, get_as, life, open, open_with_disk, put, put_command, soon, volume,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_writes_serves_reads_and_recovers_by_itself() {
    let dir = tempfile::tempdir().expect("a directory");
    let disk = Arc::new(FakeDisk(AtomicU64::new(1 << 40)));
    let node = open_with_disk(config(dir.path()), Arc::clone(&disk)).await;
    let one = node.create_volume(volume(2)).await.expect("created");
    put(&one, "a", "1").await.expect("written");
    assert_eq!(node.free_disk_bytes().expect("known"), 1 << 40);

    disk.0.store(node.config().reserve_disk_bytes - 1, Ordering::SeqCst);
    // A flush makes the next write look at the disk again.
    one.flush().await.expect("flushed");
    for _ in 0..3 {
        let error = put(&one, "a", "2").await.expect_err("refused");
        assert!(matches!(error, Error::NoSpace(_)), "{error}");
        assert_eq!(error.kind(), ErrorKind::Unavailable);
    }
    assert_eq!(get(&one, "a").await.as_deref(), Some("1"), "reads go on");

    disk.0.store(node.config().reserve_disk_bytes, Ordering::SeqCst);
    let revision = loop {
        match put(&one, "a", "2").await {
            Ok(revision) => break revision,
            Err(Error::NoSpace(_)) => tokio::task::yield_now().await,
            Err(other) => panic!("{other}"),
        }
    };
    assert_eq!(revision, 3, "no refused write may have happened");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_might_not_fit_is_refused_before_it_takes_the_space_of_writes() {
    let dir = tempfile::tempdir().expect("a directory");
    let disk = Arc::new(FakeDisk(AtomicU64::new(1 << 40)));
    let node = open_with_disk(config(dir.path()), Arc::clone(&disk)).await;
    let one = node.create_volume(volume(2)).await.expect("created");
    for round in 0..2 {
        put(&one, "a", round.to_string()).await.expect("written");
        one.flush().await.expect("flushed");
    }
    let before = one.shape();

    disk.0.store(node.config().reserve_disk_bytes + before.disk_bytes() - 1, Ordering::SeqCst);
    for step in [Step::Major { table_bytes: 1 << 20 }, Step::Merge { from: 0, to: 0 }] {
        let error = one.compact_step(step).await.expect_err("refused");
        assert!(matches!(error, Error::NoSpace(_)), "{error}");
    }
    assert_eq!(one.shape(), before);
    put(&one, "a", "2").await.expect("writes go on");

    disk.0.store(node.config().reserve_disk_bytes + before.disk_bytes(), Ordering::SeqCst);
    one.compact_step(Step::Merge { from: 0, to: 0 }).await.expect("enough room");
    assert_eq!(one.shape().levels[0].runs.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_are_slowed_then_stopped_then_released() {
    let dir = tempfile::tempdir().expect("a directory");
    let node = open(NodeConfig { slow_l0_runs: 2, ..config(dir.path()) }).await;
    let one = node.create_volume(volume(2)).await.expect("created");
    for round in 0..2 {
        put(&one, "a", round.to_string()).await.expect("written");
        one.flush().await.expect("flushed");
    }
    assert_eq!(one.counters().slowed_writes, 0);
    put(&one, "a", "slowed").await.expect("a slowed write does not fail");
    assert_eq!(one.counters().slowed_writes, 1);
    one.flush().await.expect("flushed");
    put(&one, "b", "1").await.expect("a slowed write does not fail");
    assert_eq!(one.counters().slowed_writes, 2);
    one.flush().await.expect("flushed");
    assert_eq!(one.shape().levels[0].runs.len(), 4);
    // At twice the limit nothing goes through, whatever the caller's patience; nothing fails for another
    // reason.
    let stopped = one.propose(put_command("c", "1"), Deadline::after(Duration::from_millis(300))).await;
    assert!(matches!(stopped, Err(Error::DeadlineExceeded { .. })), "{stopped:?}");
    assert_eq!(get(&one, "c").await, None);
    let waiting = Arc::clone(&one);
    let waiting = tokio::spawn(async move { put(&waiting, "d", "1").await });
    one.compact_step(Step::Merge { from: 0, to: 1 }).await.expect("merged");
    waiting.await.expect("joined").expect("released");
    assert_eq!(get(&one, "c").await, None, "a write whose caller gave up before it was taken never happens");
}

#[tokio::test(flavor = "multi_thread")]
async fn memtables_are_sealed_and_flushed_as_they_fill_and_the_log_follows() {
    let dir = tempfile::tempdir().expect("a directory");
    let node = open(NodeConfig { memtable_bytes: 64 << 10, slow_l0_runs: 200, ..config(dir.path()) }).await;
    let one = node.create_volume(volume(2)).await.expect("created");
    let mut changes = one.shape_changes();
    for round in 0..600 {
        put(&one, &format!("k{round}"), vec![0; 1024]).await.expect("written");
    }
    changes.changed().await.expect("a flush");
    assert!(one.counters().flushed_bytes > 0);
    while one.purged_index() == 0 {
        put(&one, "more", "1").await.expect("written");
    }
    assert!(one.purged_index() <= one.status().flushed_index);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_is_busy_and_what_waits_in_it_is_written_after_the_relief() {
    let dir = tempfile::tempdir().expect("a directory");
    // The memtable takes all of it, so that no further flush brings the pressure back.
    let node = open(NodeConfig { slow_l0_runs: 1, memtable_bytes: 64 << 20, ..config(dir.path()) }).await;
    let one = node.create_volume(volume(2)).await.expect("created");
    for round in 0..2 {
        put(&one, "a", round.to_string()).await.expect("written");
        one.flush().await.expect("flushed");
    }
    // Level 0 has twice its limit of runs: nothing is taken from the queue.
    let mut waiting: Vec<_> = Vec::new();
    let mut busy = 0;
    for number in 0..9000 {
        let mut write = Box::pin(put(&one, "b", number.to_string()));
        match futures::poll!(&mut write) {
            std::task::Poll::Pending => waiting.push(write),
            std::task::Poll::Ready(Err(Error::Busy(_))) => busy += 1,
            std::task::Poll::Ready(other) => panic!("{other:?}"),
        }
    }
    assert!(busy > 0 && !waiting.is_empty(), "{busy} were refused, {} wait", waiting.len());
    one.compact_step(Step::Merge { from: 0, to: 1 }).await.expect("merged");
    let accepted = waiting.len();
    for written in futures::future::join_all(waiting).await {
        written.expect("written");
    }
    let written = get_as(&one, "b", Consistency::Linearizable).await.expect("read").expect("there");
    assert_eq!(written.version, i64::try_from(accepted).expect("small"));
}

fn delete(key: &str, end: &str) -> DeleteRangeRequest {
    let [key, range_end] = [key, end].map(|text| bytes::Bytes::copy_from_slice(text.as_bytes()));
    DeleteRangeRequest { key, range_end, prev_kv: true }
}

async fn write_large(one: &Volume, keys: usize) {
    for number in 0..keys {
        put(one, &format!("large-{number:02}"), vec![b'x'; 200 << 10]).await.expect("written");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_moves_too_much_at_once_is_refused_and_smaller_ranges_are_not() {
    const LIMIT: u64 = 2 << 20;
    let dir = tempfile::tempdir().expect("a directory");
    let node = open(NodeConfig { max_write_bytes: LIMIT, ..config(dir.path()) }).await;
    let one = node.create_volume(volume(2)).await.expect("created");
    write_large(&one, 16).await;
    let before = (one.status().revision, one.content_hash(0).await.expect("hashed"));
    let all = delete("\0", "\0");
    let in_a_txn = TxnRequest { failure: vec![Op::DeleteRange(all.clone())], ..TxnRequest::default() };
    let nested = TxnRequest { success: vec![Op::Txn(in_a_txn.clone())], ..TxnRequest::default() };
    for command in [Command::DeleteRange(all.clone()), Command::Txn(in_a_txn), Command::Txn(nested)] {
        let error = one.propose(command, soon()).await.expect_err("too much");
        assert!(matches!(error, Error::TooMuchAtOnce { limit: LIMIT, .. }), "{error}");
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    }
    assert_eq!((one.status().revision, one.content_hash(0).await.expect("hashed")), before);

    // Eight fit, and so do two times eight at once: heavy writes go one after the other.
    let halves = [delete("large-00", "large-08"), delete("large-08", "large-99")];
    let done = halves.map(|half| one.propose(Command::DeleteRange(half), soon()));
    for answer in futures::future::join_all(done).await {
        let mortise_kernel::kv::CommandResponse::DeleteRange(answer) = answer.expect("deleted") else {
            panic!("another answer")
        };
        assert_eq!((answer.deleted, answer.prev_kvs.len()), (8, 8));
        assert!(answer.prev_kvs.iter().all(|kv| kv.value.len() == 200 << 10));
    }
    one.propose(Command::DeleteRange(all), soon()).await.expect("nothing is left that could be too much");
    assert_eq!(one.content_hash(0).await.expect("hashed").keys, 0);
}

#[test]
fn a_delete_that_the_log_holds_is_replayed_whatever_it_moves() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().to_path_buf();
    life(async move {
        let node = open(NodeConfig { memtable_bytes: 64 << 20, ..config(&path) }).await;
        let one = node.create_volume(volume(2)).await.expect("created");
        write_large(&one, 16).await;
        one.propose(Command::DeleteRange(delete("\0", "\0")), soon()).await.expect("deleted");
        put(&one, "after", "1").await.expect("written");
        assert_eq!(one.status().flushed_index, 0, "all of it is to be replayed");
    });
    let path = dir.path().to_path_buf();
    life(async move {
        let node = open(NodeConfig { max_write_bytes: 1 << 20, ..config(&path) }).await;
        let one = node.open_volume(volume(2)).await.expect("opened");
        assert_eq!(get(&one, "after").await.as_deref(), Some("1"));
        assert_eq!(one.content_hash(0).await.expect("hashed").keys, 1);
        node.shutdown().await.expect("stopped");
    });
}
