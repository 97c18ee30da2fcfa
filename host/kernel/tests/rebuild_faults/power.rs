//! A power failure that takes a flip back: the renaming of `CURRENT` had happened and was not durable.

use std::path::Path;
use std::sync::Arc;

use fail::FailScenario;
use mortise_kernel::rebuild::RebuildOptions;
use mortise_kernel::seams::fault::Point;
use tokio::runtime::Handle;

use crate::node_support::{config, get, life, open, put, volume};
use crate::{names, set};

/// Flushes after the switch, each of which lets the log be purged as far as it may be.
const FLUSHES: usize = 40;

/// Switches to generation 2 without ever making that durable, and lets the log be purged meanwhile. Returns
/// up to where the first generation was in tables, and up to where the log was purged.
async fn switch_and_purge(path: &Path) -> (u64, u64) {
    let node = open(config(path)).await;
    let one = node.create_volume(volume(2)).await.expect("created");
    put(&one, "flushed", "1").await.expect("written");
    // Written when all that came before is in tables and copied.
    let (runtime, writer) = (Handle::current(), Arc::clone(&one));
    fail::cfg_callback(Point::RebuildCopied.name(), move || {
        for number in 0..40 {
            let written = runtime.block_on(put(&writer, &format!("key-{number}"), "in memory only"));
            written.expect("written");
        }
    })
    .expect("a callback");
    let _never_ends = one.rebuild(RebuildOptions::default()).expect("begun");
    let mut flushed = 0;
    loop {
        let status = one.status();
        if status.generation == 2 {
            break;
        }
        flushed = status.flushed_index;
        tokio::task::yield_now().await;
    }
    fail::remove(Point::RebuildCopied.name());
    for number in 0..FLUSHES {
        put(&one, &format!("since-{number}"), "2").await.expect("written");
        one.flush().await.expect("flushed");
    }
    (flushed, one.purged_index())
}

#[test]
fn a_flip_that_a_power_failure_takes_back_loses_nothing() {
    let scenario = FailScenario::setup();
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().to_path_buf();
    set(Point::RebuildFlipped, "return");
    let (flushed, purged) = life({
        let path = path.clone();
        async move { switch_and_purge(&path).await }
    });
    fail::remove(Point::RebuildFlipped.name());
    assert!(purged <= flushed, "the log is purged up to {purged}, the old generation has up to {flushed}");
    assert_eq!(names(&path), ["CURRENT", "gen-000001", "gen-000002"]);

    let current = path.join("volumes").join("2").join("CURRENT");
    let named = std::fs::read_to_string(&current).expect("readable");
    assert!(named.contains("gen-000002"), "{named}");
    std::fs::write(&current, named.replace("gen-000002", "gen-000001")).expect("written");
    life(async move {
        let node = open(config(&path)).await;
        let one = node.open_volume(volume(2)).await.expect("the old generation opens");
        assert_eq!(one.status().generation, 1);
        for number in 0..40 {
            assert!(get(&one, &format!("key-{number}")).await.is_some(), "key-{number}");
        }
        for number in 0..FLUSHES {
            assert!(get(&one, &format!("since-{number}")).await.is_some(), "since-{number}");
        }
        node.shutdown().await.expect("stopped");
        assert_eq!(names(&path), ["CURRENT", "gen-000001"]);
    });
    scenario.teardown();
}
