//! A disk that fails at a random sync: the group stops with a clear error, reads go on, and everything that
//! was acknowledged is there after the next opening.

mod node_support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use mortise_kernel::Result;
use mortise_kernel::format::Meter;
use mortise_kernel::kv::{CommandResponse, RangeRequest};
use mortise_kernel::log::{Log, LogConfig, Sink, Write};
use mortise_kernel::node::VolumeId;
use mortise_kernel::raft::{Group, GroupConfig, ProposerConfig, Throttle, Upkeep};
use mortise_kernel::store::{Applied, CurrentStore, Reaper, Served, Store, StoreConfig};
use node_support::{life, put_command, seed, soon};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Syncs this many times and then never again.
struct Failing {
    inner: Box<dyn Sink>,
    left: u32,
}

impl Sink for Failing {
    fn write(&mut self, batch: Vec<Write>) -> std::result::Result<(), String> {
        self.inner.write(batch)
    }

    fn sync(&mut self) -> std::result::Result<(), String> {
        self.left = self.left.checked_sub(1).ok_or("injected: the disk is gone")?;
        self.inner.sync()
    }
}

/// Nothing is sealed, slowed or removed here.
struct Quiet;

impl Upkeep for Quiet {
    fn entry_applied(&self, _stored_bytes: usize) -> bool {
        false
    }

    fn sealed(&self) {}

    fn compacted(&self) {}

    fn room(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

impl Throttle for Quiet {
    fn pause(&self) -> BoxFuture<'_, bool> {
        Box::pin(std::future::ready(false))
    }

    fn slowed(&self, _commands: usize) {}
}

/// Frees a store where it is let go.
struct AtOnce;

impl Reaper for AtOnce {
    fn bury(&self, store: Box<Store>) {
        drop(store);
    }
}

async fn open_group(path: &Path, syncs: u32) -> (Arc<CurrentStore>, Result<Group>) {
    let config = LogConfig::new(path.join("log"));
    let log = Log::open_with(config, |inner| Failing { inner, left: syncs }).expect("the log opens");
    let store = Store::open(StoreConfig::new(path.join("store"))).expect("the store opens");
    let store = CurrentStore::new(Served::new(store, Arc::new(AtOnce)));
    let group = Group::open(GroupConfig {
        volume: VolumeId(2),
        node_id: 7,
        log,
        log_path: path.join("log"),
        store: Arc::clone(&store),
        upkeep: Arc::new(Quiet),
        throttle: Arc::new(Quiet),
        proposer: ProposerConfig::default(),
        round_limit: Duration::from_secs(5),
    });
    (store, group.await)
}

type Acknowledged = BTreeMap<String, i64>;

/// Writes until the disk fails; what was acknowledged.
async fn write_until_failure(path: PathBuf, syncs: u32) -> Acknowledged {
    let (store, group) = open_group(&path, syncs).await;
    let group = match group {
        Ok(group) => Arc::new(group),
        Err(error) => {
            assert!(error.to_string().contains("injected"), "{error}");
            return Acknowledged::new();
        }
    };
    let writers = (0..16).map(|writer| {
        let group = Arc::clone(&group);
        tokio::spawn(async move {
            let mut acknowledged = Acknowledged::new();
            for round in 0.. {
                let key = format!("w{writer}-{}", round % 20);
                let answer = group.propose(put_command(&key, "v"), None, soon()).await;
                match answer.and_then(|answer| answer.decode(Meter::Apply)) {
                    Ok(CommandResponse::Put(put)) => acknowledged.insert(key, put.revision),
                    Ok(other) => panic!("{other:?}"),
                    Err(error) => {
                        assert!(error.to_string().contains("injected"), "{error}");
                        break;
                    }
                };
            }
            acknowledged
        })
    });
    let writers: Vec<_> = writers.collect();
    let mut all = Acknowledged::new();
    for writer in writers {
        all.extend(writer.await.expect("joined"));
    }
    group.read_barrier(soon()).await.expect("reads go on");
    check(&store.load(), &all);
    all
}

fn check(store: &Store, acknowledged: &Acknowledged) {
    for (key, revision) in acknowledged {
        let request = RangeRequest { key: Bytes::copy_from_slice(key.as_bytes()), ..RangeRequest::default() };
        let found = store.range(&request, Meter::Apply).expect("read").kvs;
        let found = found.first().unwrap_or_else(|| panic!("{key} is lost"));
        assert!(found.mod_revision >= *revision, "{key} fell back to {}", found.mod_revision);
    }
}

#[test]
fn acknowledged_writes_survive_a_disk_that_fails_at_any_sync() {
    let mut random = StdRng::seed_from_u64(seed());
    let dir = tempfile::tempdir().expect("a directory");
    let mut acknowledged = Acknowledged::new();
    for _ in 0..15 {
        let (path, syncs) = (dir.path().to_path_buf(), random.random_range(0..40));
        acknowledged.extend(life(write_until_failure(path, syncs)));
        let (path, expected, flush) =
            (dir.path().to_path_buf(), acknowledged.clone(), random.random_bool(0.3));
        life(async move {
            let (store, group) = open_group(&path, u32::MAX).await;
            let group = group.expect("the group opens");
            check(&store.load(), &expected);
            if flush {
                store.load().close().expect("flushed");
                group.purge_flushed().await;
            }
        });
    }
    assert!(!acknowledged.is_empty());
}

/// Waits until the log is purged up to `index`.
async fn purged(group: &Group, index: u64) {
    while group.purged_index() < index {
        tokio::task::yield_now().await;
    }
    assert_eq!(group.purged_index(), index);
}

#[test]
fn what_was_held_over_a_restart_is_purged_without_another_flush() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().to_path_buf();
    life(async move {
        let (store, group) = open_group(&path, u32::MAX).await;
        let group = group.expect("the group opens");
        for number in 0..20 {
            group.propose(put_command(&format!("key-{number}"), "v"), None, soon()).await.expect("written");
        }
        store.load().close().expect("flushed");
    });
    let path = dir.path().to_path_buf();
    life(async move {
        let (store, group) = open_group(&path, u32::MAX).await;
        let group = group.expect("the group opens");
        let flushed = store.load().flushed().index;
        assert!(flushed > 20 && group.purged_index() == 0);
        let at = |index| Applied { index, ..Applied::default() };
        let (lower, higher) = (group.hold_at(at(5)).expect("held"), group.hold_at(at(9)).expect("held"));
        group.purge_flushed().await;
        purged(&group, 5).await;
        drop(lower);
        group.purge_flushed().await;
        // It may be under way still, and is known nevertheless.
        assert!(group.hold_at(at(8)).is_none(), "a hold that comes too late is refused");
        purged(&group, 9).await;
        drop(higher);
        group.purge_flushed().await;
        purged(&group, flushed).await;
        assert_eq!(store.load().flushed().index, flushed, "nothing was flushed meanwhile");
    });
}
