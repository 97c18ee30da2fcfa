//! What a rebuild leaves alone of the memory that requests share.

use mortise_kernel::node::{Node, NodeConfig, Volume};
use mortise_kernel::rebuild::{RebuildOptions, Verify};
use mortise_kernel::store::{Conversion, Transform};
use std::sync::Arc;

use crate::node_support::{config, get, open, put, volume};

/// Bytes of values in the volume.
const VALUES: usize = 4 << 20;
const VALUE: usize = 4096;
/// What may come into the cache beside what requests read: blocks with the state's row.
const SLACK: u64 = 256 << 10;

/// A volume whose rows lie in several tables and in the memtable, opened with an empty cache that could hold
/// all of them.
async fn cold(root: &std::path::Path) -> (Arc<Node>, Arc<Volume>) {
    let roomy = || NodeConfig { cache_bytes: 64 << 20, ..config(root) };
    let node = open(roomy()).await;
    let one = node.create_volume(volume(2)).await.expect("created");
    for number in 0..VALUES / VALUE {
        put(&one, &format!("key-{number:06}"), vec![b'v'; VALUE]).await.expect("written");
        if number % 256 == 255 {
            one.flush().await.expect("flushed");
        }
    }
    node.shutdown().await.expect("stopped");
    drop((one, node));
    let node = open(roomy()).await;
    let one = node.open_volume(volume(2)).await.expect("opened");
    put(&one, "in the memtable", "too").await.expect("written");
    (node, one)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rebuild_reads_and_verifies_everything_past_the_block_cache() {
    for converts in [false, true] {
        let dir = tempfile::tempdir().expect("a directory");
        let (node, one) = cold(dir.path()).await;
        let before = node.cached_bytes();
        let transform = if converts {
            // It compares the content of both generations, too.
            let natural = mortise_kernel::format::Coder::natural;
            Some(Arc::new(Conversion::new(natural(), natural())) as Arc<dyn Transform>)
        } else {
            None
        };
        let options = RebuildOptions { transform, verify: Verify::Full, ..RebuildOptions::default() };
        let outcome = one.rebuild(options).expect("begun").wait().await.expect("rebuilt");
        assert!(outcome.bytes > VALUES as u64, "{outcome:?}");
        let grown = node.cached_bytes().saturating_sub(before);
        assert!(grown < SLACK, "the rebuild put {grown} bytes of {VALUES} into the cache, {converts}");

        // A request does fill it: the measure is not blind.
        let before = node.cached_bytes();
        let hash = one.content_hash(0).await.expect("hashed");
        assert_eq!(hash.keys, (VALUES / VALUE) as u64 + 1);
        assert!(node.cached_bytes() - before > VALUES as u64 / 2);
        assert_eq!(get(&one, "in the memtable").await.as_deref(), Some("too"));
        node.shutdown().await.expect("stopped");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dry_run_reads_past_the_block_cache_and_sees_what_is_in_memory() {
    let dir = tempfile::tempdir().expect("a directory");
    let (node, one) = cold(dir.path()).await;
    let before = node.cached_bytes();
    let conversion = Arc::new(one.conversion(&one.format()).await.expect("a codec"));
    let survey = one.survey(conversion, |_| Ok(())).await.expect("looked at");
    assert_eq!(survey.records, (VALUES / VALUE) as u64 + 1);
    let grown = node.cached_bytes().saturating_sub(before);
    assert!(grown < SLACK, "the dry run put {grown} bytes of {VALUES} into the cache");
    node.shutdown().await.expect("stopped");
}
