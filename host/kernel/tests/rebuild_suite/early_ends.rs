//! Rebuilds that end early leave the volume as it was, and nothing behind.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use mortise_kernel::format::FormatId;
use mortise_kernel::node::Volume;
use mortise_kernel::rebuild::{Phase, RebuildOptions, Verify};
use mortise_kernel::store::Transform;
use mortise_kernel::{Error, ErrorKind, Result};

use crate::gated::gated;
use crate::node_support::{FakeDisk, config, get, open, open_with_disk, put, volume};
use crate::{names, through};

async fn fill(one: &Volume) {
    for number in 0..40 {
        put(one, &format!("key-{number}"), "x".repeat(100)).await.expect("written");
    }
}

/// The volume serves as before, holds nothing of the rebuild, and can be rebuilt.
async fn check_untouched(one: &Volume, root: &std::path::Path, generation: u64) {
    assert_eq!(one.status().generation, generation);
    assert_eq!(names(root), ["CURRENT".to_owned(), format!("gen-{generation:06}")]);
    assert_eq!(get(one, "key-0").await, Some("x".repeat(100)));
    put(one, "after", "1").await.expect("written");
    one.flush().await.expect("flushed");
    let before = one.content_hash(0).await.expect("hashed");
    one.rebuild(RebuildOptions::default()).expect("begun").wait().await.expect("rebuilt");
    assert_eq!(one.content_hash(0).await.expect("hashed"), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_is_cancelled_leaves_nothing_behind() {
    let dir = tempfile::tempdir().expect("a directory");
    let node = open(config(dir.path())).await;
    let one = node.create_volume(volume(2)).await.expect("created");
    fill(&one).await;
    let (transform, mut gate) = gated(true);
    let rebuild = one.rebuild(through(transform)).expect("begun");
    assert!(gate.arrival().await);
    assert_eq!(names(dir.path()), ["CURRENT", "gen-000001", "gen-000002.building"]);
    rebuild.cancel();
    gate.open();
    let progress = rebuild.progress();
    assert!(matches!(rebuild.wait().await, Err(Error::Cancelled(_))));
    assert_eq!(progress.borrow().phase, Phase::Failed);
    check_untouched(&one, dir.path(), 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_waits_for_its_rate_is_cancelled_at_once() {
    let dir = tempfile::tempdir().expect("a directory");
    let node = open(config(dir.path())).await;
    let one = node.create_volume(volume(2)).await.expect("created");
    fill(&one).await;
    // At a byte a second the copy would take more than an hour.
    let options = RebuildOptions { rate: NonZeroU64::new(1), ..RebuildOptions::default() };
    let rebuild = one.rebuild(options).expect("begun");
    let mut progress = rebuild.progress();
    progress.wait_for(|progress| progress.phase == Phase::Copying).await.expect("it copies");
    rebuild.cancel();
    assert!(matches!(rebuild.wait().await, Err(Error::Cancelled(_))));
    check_untouched(&one, dir.path(), 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_without_room_refuses_the_rebuild_before_it_begins() {
    let dir = tempfile::tempdir().expect("a directory");
    let disk = Arc::new(FakeDisk(AtomicU64::new(u64::MAX)));
    let node = open_with_disk(config(dir.path()), Arc::clone(&disk)).await;
    let one = node.create_volume(volume(2)).await.expect("created");
    fill(&one).await;
    let needed = one.status().disk_bytes + one.status().memtable_bytes;
    disk.0.store(node.config().reserve_disk_bytes + needed - 1, Ordering::SeqCst);
    let refused = one.rebuild(RebuildOptions::default()).expect("begun").wait().await;
    assert!(matches!(&refused, Err(Error::NoSpace(_))), "{refused:?}");
    disk.0.store(u64::MAX, Ordering::SeqCst);
    check_untouched(&one, dir.path(), 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopping_the_node_ends_the_rebuild_and_the_next_opening_finds_the_volume_as_it_was() {
    let dir = tempfile::tempdir().expect("a directory");
    let node = open(config(dir.path())).await;
    let one = node.create_volume(volume(2)).await.expect("created");
    fill(&one).await;
    let (transform, mut gate) = gated(true);
    let rebuild = one.rebuild(through(transform)).expect("begun");
    assert!(gate.arrival().await);
    let stopping = tokio::spawn({
        let node = Arc::clone(&node);
        async move { node.shutdown().await }
    });
    let cancelled = rebuild.canceller();
    // The stop asks for the end; only then the copy goes on, and finds that out.
    while !cancelled.is_requested() {
        tokio::task::yield_now().await;
    }
    gate.open();
    assert!(matches!(rebuild.wait().await, Err(Error::Cancelled(_))));
    stopping.await.expect("no panic").expect("stopped");
    assert_eq!(one.rebuild(RebuildOptions::default()).expect_err("closed").kind(), ErrorKind::Unavailable);
    drop((one, node));
    let node = open(config(dir.path())).await;
    let one = node.open_volume(volume(2)).await.expect("opened");
    check_untouched(&one, dir.path(), 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn removing_the_volume_ends_the_rebuild() {
    let dir = tempfile::tempdir().expect("a directory");
    let node = open(config(dir.path())).await;
    let one = node.create_volume(volume(2)).await.expect("created");
    fill(&one).await;
    let (transform, mut gate) = gated(false);
    let rebuild = one.rebuild(through(transform)).expect("begun");
    assert!(gate.arrival().await);
    let removing = tokio::spawn({
        let node = Arc::clone(&node);
        async move { node.remove_volume(mortise_kernel::node::VolumeId(2)).await }
    });
    let cancelled = rebuild.canceller();
    while !cancelled.is_requested() {
        tokio::task::yield_now().await;
    }
    gate.open();
    assert!(matches!(rebuild.wait().await, Err(Error::Cancelled(_))));
    removing.await.expect("no panic").expect("removed");
    assert!(node.volumes_on_disk().expect("listed").is_empty());
}

/// Makes one mistake.
#[derive(Clone, Copy, Debug)]
enum Mistake {
    Refuses,
    Panics,
    AnswersTooLittle,
    MergesKeys,
    /// The last key becomes the first one.
    MergesTwo,
    KeepsNoOrder,
    RefusesAtTheEnd,
}

struct Mistaken(Mistake);

impl Transform for Mistaken {
    fn format(&self) -> FormatId {
        FormatId::natural()
    }

    fn keeps_order(&self) -> bool {
        !matches!(self.0, Mistake::MergesKeys | Mistake::MergesTwo)
    }

    fn keys(&self, stored: &[Bytes]) -> Result<Vec<Bytes>> {
        match self.0 {
            Mistake::Refuses => Err(Error::Internal("a key is refused".into())),
            Mistake::Panics => panic!("a transform panics"),
            Mistake::AnswersTooLittle => Ok(stored.iter().skip(1).cloned().collect()),
            Mistake::MergesKeys => Ok(stored.iter().map(|_| Bytes::from_static(b"one")).collect()),
            Mistake::MergesTwo => {
                let merged =
                    |key: &Bytes| Bytes::from(if *key == "last" { "first" } else { return key.clone() });
                Ok(stored.iter().map(merged).collect())
            }
            Mistake::KeepsNoOrder => {
                Ok(stored.iter().map(|key| key.iter().rev().copied().collect()).collect())
            }
            Mistake::RefusesAtTheEnd => Ok(stored.to_vec()),
        }
    }

    fn values(&self, stored: &[Bytes]) -> Result<Vec<Bytes>> {
        Ok(stored.to_vec())
    }

    fn finish(&self) -> Result<()> {
        match self.0 {
            Mistake::RefusesAtTheEnd => Err(Error::Internal("too much was refused".into())),
            _ => Ok(()),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transform_that_is_wrong_changes_nothing() {
    let mistakes = [
        Mistake::Refuses,
        Mistake::Panics,
        Mistake::AnswersTooLittle,
        Mistake::MergesKeys,
        Mistake::KeepsNoOrder,
        Mistake::RefusesAtTheEnd,
    ];
    for mistake in mistakes {
        let dir = tempfile::tempdir().expect("a directory");
        let node = open(config(dir.path())).await;
        let one = node.create_volume(volume(2)).await.expect("created");
        fill(&one).await;
        let failed = one.rebuild(through(Arc::new(Mistaken(mistake)))).expect("begun").wait().await;
        assert_eq!(failed.expect_err("a mistake").kind(), ErrorKind::Internal, "{mistake:?}");
        check_untouched(&one, dir.path(), 1).await;
    }
}

/// Rows in another order come in portions, each of them sorted by itself, so that two rows with one key may
/// meet only when they are read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_become_one_far_from_each_other_are_found_at_every_level_of_verification() {
    let dir = tempfile::tempdir().expect("a directory");
    let node = open(config(dir.path())).await;
    let one = node.create_volume(volume(2)).await.expect("created");
    let mebibyte = "x".repeat(1024 * 1024);
    put(&one, "first", "1").await.expect("written");
    put(&one, "last", "2").await.expect("written");
    for number in 0..18 {
        put(&one, &format!("in between {number}"), mebibyte.clone()).await.expect("written");
    }
    for verify in [Verify::Count, Verify::Full] {
        let transform: Arc<dyn Transform> = Arc::new(Mistaken(Mistake::MergesTwo));
        let options = RebuildOptions { verify, ..through(transform) };
        let failed = one.rebuild(options).expect("begun").wait().await.expect_err("a key is lost");
        let rows = |text: &str| text.contains("rows were written") && text.contains("are found there");
        assert!(rows(&failed.to_string()), "{verify:?}: {failed}");
        assert_eq!(names(dir.path()), ["CURRENT", "gen-000001"]);
        assert_eq!(get(&one, "last").await.as_deref(), Some("2"));
    }
}
