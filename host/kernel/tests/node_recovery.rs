//! Lives of a node that end without farewell, and directories in every state that a crash can leave.

mod node_support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mortise_kernel::Error;
use mortise_kernel::log::{Log, LogConfig};
use mortise_kernel::node::{Consistency, Node, NodeConfig, Volume, VolumeId};
use mortise_kernel::seams::SystemClock;
use mortise_kernel::store::Step;
use node_support::{config, get, get_as, life, open, put, seed, volume};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Tiny memtables, so that flushes and purges happen all the time.
fn small(path: &Path) -> NodeConfig {
    NodeConfig { memtable_bytes: 8 * 1024, ..config(path) }
}

/// Acknowledged writes of one volume: key → value and revision.
type Acknowledged = BTreeMap<String, (String, i64)>;

/// Keeps level 0 small, as the compaction loop outside the kernel does.
async fn keep_compacted(one: Arc<Volume>) {
    let mut changes = one.shape_changes();
    while changes.changed().await.is_ok() {
        if one.shape().levels[0].runs.len() > 4 {
            one.compact_step(Step::Merge { from: 0, to: 1 }).await.expect("merged");
        }
    }
}

/// Writes from a few tasks until `stop`, then returns what was acknowledged.
async fn write_for_a_while(path: PathBuf, life: u64, writes: usize) -> Acknowledged {
    let node = open(small(&path)).await;
    let one = match node.open_volume(volume(2)).await {
        Ok(one) => one,
        Err(Error::VolumeNotFound(_)) => node.create_volume(volume(2)).await.expect("created"),
        Err(error) => panic!("{error}"),
    };
    tokio::spawn(keep_compacted(Arc::clone(&one)));
    let stop = Arc::new(AtomicBool::new(false));
    let tasks: Vec<_> = (0..8)
        .map(|task| {
            let (one, stop) = (Arc::clone(&one), Arc::clone(&stop));
            tokio::spawn(async move {
                let mut acknowledged = Acknowledged::new();
                let mut round = 0;
                while !stop.load(Ordering::Relaxed) {
                    let (key, value) = (format!("t{task}-{}", round % 37), format!("{life}-{round}"));
                    let Ok(revision) = put(&one, &key, value.clone()).await else { break };
                    acknowledged.insert(key, (value, revision));
                    round += 1;
                }
                acknowledged
            })
        })
        .collect();
    while one.counters().commands < writes as u64 {
        tokio::task::yield_now().await;
    }
    stop.store(true, Ordering::Relaxed);
    let mut all = Acknowledged::new();
    for task in tasks {
        all.extend(task.await.expect("joined"));
    }
    all
}

#[test]
fn nothing_acknowledged_is_lost_over_many_sudden_ends() {
    let mut random = StdRng::seed_from_u64(seed());
    let dir = tempfile::tempdir().expect("a directory");
    let mut acknowledged = Acknowledged::new();
    for number in 0..8 {
        let (path, writes) = (dir.path().to_path_buf(), random.random_range(1..1200));
        acknowledged.extend(life(write_for_a_while(path, number, writes)));
        let (path, expected) = (dir.path().to_path_buf(), acknowledged.clone());
        let flush_first = random.random_bool(0.3);
        life(async move {
            let node = open(small(&path)).await;
            let one = node.open_volume(volume(2)).await.expect("opened");
            for (key, (value, revision)) in &expected {
                let found = get_as(&one, key, Consistency::Linearizable).await.expect("read");
                let found = found.unwrap_or_else(|| panic!("{key} is lost"));
                // A task's last write may have happened without its acknowledgement.
                assert!(found.mod_revision >= *revision, "{key} fell back to {}", found.mod_revision);
                if found.mod_revision == *revision {
                    assert_eq!(found.value, value.as_bytes());
                }
            }
            let status = one.status();
            let newest = expected.values().map(|(_, revision)| *revision).max().unwrap_or(0);
            assert!(status.revision >= newest);
            assert!(status.flushed_index <= status.raft_applied_index);
            if flush_first {
                one.flush().await.expect("flushed");
            }
        });
    }
}

#[test]
fn replay_from_any_flushed_position_gives_the_same_content() {
    let mut random = StdRng::seed_from_u64(seed());
    let dir = tempfile::tempdir().expect("a directory");
    let mut hash = None;
    for round in 0..12 {
        let path = dir.path().to_path_buf();
        let (writes, flush_at) = (random.random_range(0..200), random.random_range(0..300));
        let expected = hash;
        hash = life(async move {
            // Large enough that only the explicit flush moves the flushed position.
            let node = open(config(&path)).await;
            let one = match node.open_volume(volume(2)).await {
                Err(Error::VolumeNotFound(_)) => node.create_volume(volume(2)).await.expect("created"),
                opened => opened.expect("opened"),
            };
            if let Some(expected) = expected {
                assert_eq!(one.content_hash(0).await.expect("hashed"), expected, "round {round}");
            }
            for write in 0..writes {
                put(&one, &format!("k{}", write % 50), format!("{round}-{write}")).await.expect("written");
                if write == flush_at {
                    one.flush().await.expect("flushed");
                }
            }
            Some(one.content_hash(0).await.expect("hashed"))
        });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_serves_one_node_at_a_time() {
    let dir = tempfile::tempdir().expect("a directory");
    let node = open(config(dir.path())).await;
    let ids = (node.node_id(), node.cluster_id());
    let second = Node::open(config(dir.path()), Arc::new(SystemClock)).await;
    assert!(matches!(second, Err(Error::DirectoryInUse(_))), "{second:?}");
    node.shutdown().await.expect("stopped");
    let third = open(config(dir.path())).await;
    assert_eq!((third.node_id(), third.cluster_id()), ids);
    assert_eq!(
        node.create_volume(volume(2)).await.map_err(|error| error.to_string()).map(drop),
        Err("the node is shutting down".to_owned())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn volumes_come_go_and_come_again() {
    let dir = tempfile::tempdir().expect("a directory");
    let node = open(config(dir.path())).await;
    let missing = node.open_volume(volume(5)).await;
    assert!(matches!(missing, Err(Error::VolumeNotFound(VolumeId(5)))));
    let one = node.create_volume(volume(5)).await.expect("created");
    put(&one, "a", "1").await.expect("written");
    assert!(matches!(node.create_volume(volume(5)).await, Err(Error::VolumeExists(VolumeId(5)))));
    assert!(Arc::ptr_eq(&one, &node.open_volume(volume(5)).await.expect("open already")));

    node.remove_volume(VolumeId(5)).await.expect("removed");
    assert!(matches!(put(&one, "a", "2").await, Err(Error::ShuttingDown(_))));
    assert!(node.volume(VolumeId(5)).is_none());
    assert!(node.volumes_on_disk().expect("listed").is_empty());
    node.remove_volume(VolumeId(5)).await.expect("nothing is left to remove");
    let again = node.create_volume(volume(5)).await.expect("created anew");
    assert_eq!(get(&again, "a").await, None);
    assert_eq!(again.status().revision, 1);
}

/// Prepares a data directory with volume 5, lets `damage` loose on it, and opens it again.
fn after(damage: impl FnOnce(&Path)) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().to_path_buf();
    life(async move {
        let node = open(config(&path)).await;
        let one = node.create_volume(volume(5)).await.expect("created");
        put(&one, "a", "1").await.expect("written");
    });
    damage(dir.path());
    dir
}

#[test]
fn an_interrupted_removal_is_finished_at_the_next_opening() {
    let dir = after(|path| {
        fs::rename(path.join("volumes/5"), path.join("volumes/5.removing")).expect("renamed");
        fs::remove_file(path.join("volumes/5.removing/CURRENT")).expect("removed");
    });
    let path = dir.path().to_path_buf();
    life(async move {
        let node = open(config(&path)).await;
        assert!(!path.join("volumes/5.removing").exists());
        assert!(node.volumes_on_disk().expect("listed").is_empty());
        let again = node.create_volume(volume(5)).await.expect("created anew");
        assert_eq!(again.status().revision, 1, "no log entry of the removed volume may come back");
    });
}

#[test]
fn an_interrupted_creation_can_be_repeated() {
    let dir = after(|path| fs::remove_file(path.join("volumes/5/CURRENT")).expect("removed"));
    let path = dir.path().to_path_buf();
    life(async move {
        let node = open(config(&path)).await;
        assert_eq!(node.volumes_on_disk().expect("listed"), [VolumeId(5)]);
        assert!(matches!(node.open_volume(volume(5)).await, Err(Error::VolumeNotFound(_))));
        let again = node.create_volume(volume(5)).await.expect("created");
        assert_eq!(again.status().revision, 1);
        put(&again, "b", "1").await.expect("written");
    });
    let path = dir.path().to_path_buf();
    life(async move {
        let node = open(config(&path)).await;
        let again = node.open_volume(volume(5)).await.expect("opened");
        assert_eq!(get(&again, "b").await.as_deref(), Some("1"));
        assert_eq!(get(&again, "a").await, None);
    });
}

#[test]
fn a_volume_whose_group_was_never_begun_begins_it_when_opened() {
    let dir = after(|path| {
        // As if the crash had come between CURRENT and the first log entry.
        let log = Log::open(LogConfig::new(path.join("log"))).expect("opened");
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(log.forget(VolumeId(5))).expect("forgotten");
    });
    let path = dir.path().to_path_buf();
    life(async move {
        let node = open(config(&path)).await;
        let one = node.open_volume(volume(5)).await.expect("opened");
        assert_eq!(put(&one, "b", "1").await.expect("written"), 2);
    });
}

#[test]
fn damage_is_reported_and_other_volumes_open() {
    let dir = after(|path| {
        fs::write(path.join("volumes/5/CURRENT"), "gen-000099\n").expect("written");
        fs::create_dir(path.join("volumes/not-a-volume")).expect("made");
    });
    let path = dir.path().to_path_buf();
    life(async move {
        let node = open(config(&path)).await;
        let error = node.open_volume(volume(5)).await.expect_err("refused").to_string();
        assert!(error.contains("gen-000099") && error.contains("CURRENT"), "{error}");
        let other = node.create_volume(volume(6)).await.expect("created");
        put(&other, "a", "1").await.expect("written");
        assert_eq!(node.volumes_on_disk().expect("listed"), [VolumeId(5), VolumeId(6)]);
    });
    let unknown = after(|path| {
        let node = fs::read_to_string(path.join("NODE")).expect("read");
        fs::write(path.join("NODE"), node.replace("\"format\":1", "\"format\":7")).expect("written");
    });
    let path = unknown.path().to_path_buf();
    life(async move {
        let error = Node::open(config(&path), Arc::new(SystemClock)).await.expect_err("refused");
        assert!(matches!(&error, Error::UnknownFormat { found, .. } if found == "7"), "{error}");
    });
}

#[test]
fn a_missing_log_is_reported_instead_of_served_with_a_hole() {
    let dir = after(|path| fs::remove_dir_all(path.join("log")).expect("removed"));
    let path = dir.path().to_path_buf();
    life(async move {
        let error = Node::open(config(&path), Arc::new(SystemClock)).await.expect_err("refused");
        assert!(matches!(&error, Error::Corrupt { path, .. } if path.ends_with("log")), "{error}");
        assert!(!path.join("log").exists());
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_creation_whose_caller_gave_up_is_finished() {
    let dir = tempfile::tempdir().expect("a directory");
    let node = open(config(dir.path())).await;
    for id in 10..30 {
        let mut creation = Box::pin(node.create_volume(volume(id)));
        assert!(futures::poll!(&mut creation).is_pending());
        drop(creation);
        // Whoever asks first waits for the creation, or comes before it and has to ask again.
        let opened = loop {
            match node.open_volume(volume(id)).await {
                Err(Error::VolumeNotFound(_)) => tokio::task::yield_now().await,
                opened => break opened.expect("opened"),
            }
        };
        put(&opened, "a", "1").await.expect("written");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_under_load_keeps_what_was_acknowledged_and_answers_the_rest() {
    let dir = tempfile::tempdir().expect("a directory");
    let node = open(config(dir.path())).await;
    let one = node.create_volume(volume(2)).await.expect("created");
    let writers: Vec<_> = (0..64)
        .map(|writer| {
            let one = Arc::clone(&one);
            tokio::spawn(async move {
                let mut last = 0;
                for round in 1.. {
                    match put(&one, &format!("w{writer}"), round.to_string()).await {
                        Ok(_) => last = round,
                        Err(Error::ShuttingDown(_)) => break,
                        Err(other) => panic!("{other}"),
                    }
                }
                last
            })
        })
        .collect();
    while one.counters().commands < 2000 {
        tokio::task::yield_now().await;
    }
    node.shutdown().await.expect("stopped");
    let mut acknowledged = Vec::new();
    for writer in writers {
        acknowledged.push(writer.await.expect("joined"));
    }
    drop((one, node));
    let node = open(config(dir.path())).await;
    let one = node.open_volume(volume(2)).await.expect("opened");
    for (writer, last) in acknowledged.into_iter().enumerate() {
        let found = get(&one, &format!("w{writer}")).await.map_or(0, |text| text.parse().expect("a number"));
        assert!(found >= last, "w{writer} has {found}, acknowledged was {last}");
        assert!(found <= last + 1, "w{writer} has {found}, although only {last} rounds were answered");
    }
}
