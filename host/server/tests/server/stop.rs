//! A stop under load: whatever was acknowledged is there afterwards.

use std::error::Error as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::support::{Running, put, value};

const WRITERS: u64 = 8;
const BEFORE_STOP: u64 = 200;

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_under_load_loses_nothing_and_cuts_nothing_off() {
    let running = Running::start().await;
    let (written, enough) = (Arc::new(AtomicU64::new(0)), Arc::new(Notify::new()));
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let (mut kv, written, enough) = (running.kv().await, written.clone(), enough.clone());
        writers.spawn(async move {
            let mut acknowledged = 0_u64;
            loop {
                let key = format!("{writer}/{acknowledged}");
                match kv.put(put(&key, &key)).await {
                    Ok(_) => acknowledged += 1,
                    Err(status) => return (writer, acknowledged, status),
                }
                if written.fetch_add(1, Ordering::Relaxed) + 1 == BEFORE_STOP {
                    enough.notify_one();
                }
            }
        });
    }
    enough.notified().await;
    let Running { daemon, directory } = running;
    let stopped = daemon.stop().await.expect("a stop");
    assert_eq!(stopped.cut_off, 0);
    let results = writers.join_all().await;
    let daemon = mortise::wiring::Daemon::start(crate::support::options(&directory)).await.expect("a start");
    let running = Running { daemon, directory };
    let mut kv = running.kv().await;
    for (writer, acknowledged, status) in results {
        // The last call of a writer found its connection closing. The client words that in several ways, but
        // the failure is always its transport's own, and what was not acknowledged was not done either: no
        // call that was under way was cut off.
        assert!(status.source().is_some(), "writer {writer} was answered with {status:?}");
        let unsent = format!("{writer}/{acknowledged}");
        assert_eq!(value(&mut kv, &unsent).await, None, "{unsent} was done and not acknowledged");
        for number in 0..acknowledged {
            let key = format!("{writer}/{number}");
            assert_eq!(value(&mut kv, &key).await.as_deref(), Some(key.as_str()));
        }
    }
    running.stop().await;
}

#[tokio::test]
async fn data_and_revisions_survive_a_restart() {
    let running = Running::start().await;
    let first = running.kv().await.put(put("k", "v")).await.expect("a put").into_inner();
    let running = running.restart().await;
    let mut kv = running.kv().await;
    assert_eq!(value(&mut kv, "k").await.as_deref(), Some("v"));
    let second = kv.put(put("k", "w")).await.expect("a put").into_inner();
    let (first, second) = (first.header.expect("a header"), second.header.expect("a header"));
    assert_eq!(second.revision, first.revision + 1);
    assert_eq!((second.cluster_id, second.member_id), (first.cluster_id, first.member_id));
    running.stop().await;
}
