//! Writing and reading through volumes: acknowledgements, consistency, compaction, many volumes at once.

mod node_support;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use mortise_kernel::kv::{Command, CommandResponse, RangeRequest, TxnRequest};
use mortise_kernel::node::{Consistency, VolumeId};
use mortise_kernel::seams::Deadline;
use mortise_kernel::store::Step;
use mortise_kernel::{Error, ErrorKind};
use node_support::{config, get, get_as, open, put, put_command, soon, volume};

#[tokio::test(flavor = "multi_thread")]
async fn a_new_volume_leads_at_once_and_serves() {
    let dir = tempfile::tempdir().expect("a directory");
    let node = open(config(dir.path())).await;
    let one = node.create_volume(volume(2)).await.expect("created");
    assert_eq!((one.id(), one.name()), (VolumeId(2), "volume-2"));
    assert_eq!(
        put(&one, "a", "1").await.expect("written"),
        2,
        "the first write makes revision 2, as in etcd"
    );
    assert_eq!(put(&one, "a", "2").await.expect("written"), 3);
    assert_eq!(get(&one, "a").await.as_deref(), Some("2"));
    assert_eq!(get(&one, "b").await, None);

    let status = one.status();
    assert_eq!((status.revision, status.leader, status.node_id), (3, Some(node.node_id()), node.node_id()));
    assert_eq!((status.generation, status.raft_applied_index), (1, status.raft_index));
    assert_eq!(one.counters().commands, 2);

    let all = RangeRequest {
        key: Bytes::from_static(&[0]),
        range_end: Bytes::from_static(&[0]),
        ..RangeRequest::default()
    };
    let found = one.range(all, Consistency::Serializable, soon()).await.expect("read");
    assert_eq!((found.count, found.revision), (1, 3));
    one.confirm_leadership(soon()).await.expect("leads");
    let empty = one.read_txn(TxnRequest::default(), Consistency::Linearizable, soon()).await.expect("read");
    assert!(empty.succeeded);
    node.shutdown().await.expect("stopped");
    let refused = one.propose(put_command("a", "3"), soon()).await;
    assert!(matches!(refused, Err(Error::ShuttingDown(_))), "{refused:?}");
    node.shutdown().await.expect("a second stop changes nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_command_fails_alone_in_its_batch() {
    let dir = tempfile::tempdir().expect("a directory");
    let node = open(config(dir.path())).await;
    let one = node.create_volume(volume(2)).await.expect("created");
    let writes = (0..50).map(|index| {
        let one = Arc::clone(&one);
        tokio::spawn(async move {
            let command = if index % 5 == 0 {
                Command::Compact { revision: 1_000_000 }
            } else {
                put_command(&format!("k{index}"), "v")
            };
            one.propose(command, soon()).await
        })
    });
    let writes: Vec<_> = writes.collect();
    for (index, write) in writes.into_iter().enumerate() {
        match write.await.expect("joined") {
            Err(error) => assert!(index % 5 == 0 && matches!(error, Error::FutureRevision { .. }), "{error}"),
            Ok(answer) => assert!(index % 5 != 0 && matches!(answer, CommandResponse::Put(_)), "{answer:?}"),
        }
    }
    assert_eq!(one.status().revision, 41);
    let empty = one.propose(put_command("", "v"), soon()).await;
    assert!(matches!(empty, Err(Error::EmptyKey)));
    let large = one.propose(put_command("k", vec![0; 2 << 20]), soon()).await;
    assert!(matches!(large, Err(Error::RequestTooLarge { .. })));
    assert_eq!(one.status().revision, 41);
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_writers_read_their_own_and_all_earlier_writes() {
    let dir = tempfile::tempdir().expect("a directory");
    let node = open(config(dir.path())).await;
    let one = node.create_volume(volume(2)).await.expect("created");
    let tasks: Vec<_> = (0..32)
        .map(|writer| {
            let one = Arc::clone(&one);
            tokio::spawn(async move {
                for round in 0..50 {
                    let key = format!("w{writer}");
                    let revision = put(&one, &key, round.to_string()).await.expect("written");
                    let found = get_as(&one, &key, Consistency::Linearizable).await.expect("read");
                    let found = found.expect("it was just written");
                    assert_eq!(found.value, round.to_string().as_bytes());
                    assert_eq!(found.mod_revision, revision);
                    let other = format!("w{}", (writer + 1) % 32);
                    let neighbour = get_as(&one, &other, Consistency::Linearizable);
                    if let Some(neighbour) = neighbour.await.expect("read") {
                        assert!(neighbour.mod_revision <= one.status().revision);
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("joined");
    }
    assert_eq!(one.status().revision, 1 + 32 * 50, "revisions must be contiguous");
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_volumes_write_interleaved_and_survive_a_restart() {
    let dir = tempfile::tempdir().expect("a directory");
    let node = open(config(dir.path())).await;
    let made = futures::future::join_all((10..60).map(|id| node.create_volume(volume(id)))).await;
    let volumes: Vec<_> = made.into_iter().map(|made| made.expect("created")).collect();
    for round in 0..10 {
        let writes = volumes.iter().map(|one| put(one, "key", format!("{}-{round}", one.id())));
        for written in futures::future::join_all(writes).await {
            assert_eq!(written.expect("written"), round + 2);
        }
    }
    node.shutdown().await.expect("stopped");
    drop((volumes, node));

    let node = open(config(dir.path())).await;
    let on_disk = node.volumes_on_disk().expect("listed");
    assert_eq!(on_disk, (10..60).map(VolumeId).collect::<Vec<_>>());
    let opened = futures::future::join_all((10..60).map(|id| node.open_volume(volume(id)))).await;
    for one in opened {
        let one = one.expect("opened");
        assert_eq!(get(&one, "key").await, Some(format!("{}-9", one.id())));
        assert_eq!(one.status().revision, 11);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_physical_compaction_returns_when_old_revisions_are_gone() {
    let dir = tempfile::tempdir().expect("a directory");
    let node = open(config(dir.path())).await;
    let one = node.create_volume(volume(2)).await.expect("created");
    for round in 0..1500 {
        put(&one, "key", format!("{round}")).await.expect("written");
    }
    let before = one.content_hash(1400).await.expect("hashed");
    let revision = one.compact(1400, true, soon()).await.expect("compacted");
    assert_eq!(revision, 1501);
    let after = one.content_hash(1400).await.expect("hashed");
    assert_eq!((before.hash, before.keys), (after.hash, after.keys));
    assert_eq!(after.compact_revision, 1400);
    let old = RangeRequest { key: Bytes::from_static(b"key"), revision: 1399, ..RangeRequest::default() };
    let refused = one.range(old, Consistency::Serializable, soon()).await;
    assert!(matches!(refused, Err(Error::Compacted { requested: 1399, compacted: 1400 })), "{refused:?}");
    // Written twice, the current version and 101 superseded ones are all that is left in the tree.
    one.flush().await.expect("flushed");
    one.compact_step(Step::Major { table_bytes: 1 << 20 }).await.expect("merged");
    let entries: u64 = one
        .shape()
        .levels
        .iter()
        .flat_map(|level| &level.runs)
        .flat_map(|run| &run.tables)
        .map(|table| table.entries)
        .sum();
    assert!(entries < 400, "{entries} entries are left of 1,500 revisions of which 1,400 are compacted");
    let again = one.compact(1400, true, soon()).await;
    assert!(matches!(again, Err(Error::Compacted { .. })), "{again:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shape_channel_fires_after_a_flush_and_a_step() {
    let dir = tempfile::tempdir().expect("a directory");
    let node = open(config(dir.path())).await;
    let one = node.create_volume(volume(2)).await.expect("created");
    let mut changes = one.shape_changes();
    for key in ["a", "b"] {
        put(&one, key, "1").await.expect("written");
        one.flush().await.expect("flushed");
        changes.changed().await.expect("a change");
    }
    assert_eq!(one.shape().levels[0].runs.len(), 2);
    one.compact_step(Step::Merge { from: 0, to: 1 }).await.expect("merged");
    changes.changed().await.expect("a change");
    assert_eq!(one.shape().levels[0].runs.len(), 0);
    let illegal = one.compact_step(Step::Move { from: 0, to: 1 }).await;
    assert_eq!(illegal.map_err(|error| error.kind()), Err(ErrorKind::FailedPrecondition));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_purged_behind_a_flush() {
    let dir = tempfile::tempdir().expect("a directory");
    let node = open(config(dir.path())).await;
    let one = node.create_volume(volume(2)).await.expect("created");
    for round in 0..20 {
        put(&one, "key", round.to_string()).await.expect("written");
    }
    assert_eq!((one.purged_index(), one.status().flushed_index), (0, 0));
    one.flush().await.expect("flushed");
    let flushed = one.status().flushed_index;
    assert_eq!(flushed, one.status().raft_applied_index);
    // The next write makes raft report what it has purged.
    while one.purged_index() < flushed {
        put(&one, "key", "more").await.expect("written");
    }
    assert_eq!(one.purged_index(), flushed, "nothing above the flushed index may be purged");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_passed_deadline_gives_up_and_leaks_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let node = open(config(dir.path())).await;
    let one = node.create_volume(volume(2)).await.expect("created");
    let passed = Deadline::after(Duration::ZERO);
    let mut gave_up = 0;
    for index in 0..20_000 {
        // More than the queue holds: places of callers that gave up must come free.
        match one.propose(put_command(&format!("k{index}"), "v"), passed).await {
            Err(Error::DeadlineExceeded { .. }) => gave_up += 1,
            Err(Error::Busy(_)) => tokio::task::yield_now().await,
            Ok(_) => {}
            Err(other) => panic!("{other}"),
        }
    }
    assert!(gave_up > 0);
    // The last callers' places come free once the group has taken their writes; leaked ones never would.
    while let Err(error) = put(&one, "after", "1").await {
        assert!(matches!(error, Error::Busy(_)), "{error}");
        tokio::task::yield_now().await;
    }
    assert_eq!(get(&one, "after").await.as_deref(), Some("1"));
}
