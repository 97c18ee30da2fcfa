//! Reads that began before a switch, also one of formats, and the files that they need.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use bytes::Bytes;
use fail::FailScenario;
use mortise_kernel::Result;
use mortise_kernel::format::FormatId;
use mortise_kernel::kv::{RangeRequest, RangeResponse};
use mortise_kernel::node::{Consistency, Volume};
use mortise_kernel::rebuild::RebuildOptions;
use mortise_kernel::seams::fault::Point;
use parking_lot::Mutex;
use tokio::task::JoinHandle;

use crate::node_support::{put, soon};
use crate::test_codecs::{TestCodecs, codec, format};
use crate::{Bench, end, hear};

pub(crate) fn all(revision: i64) -> RangeRequest {
    let end = Bytes::from_static(b"\0");
    RangeRequest { key: end.clone(), range_end: end, revision, ..RangeRequest::default() }
}

async fn read(volume: &Volume, revision: i64) -> RangeResponse {
    volume.range(all(revision), Consistency::Serializable, soon()).await.expect("read")
}

/// What was read, to compare; the header tells of the present.
fn found(response: &RangeResponse) -> Vec<String> {
    response.kvs.iter().map(|kv| format!("{kv:?}")).collect()
}

/// A read that has opened its iterators and walks none before it is let on.
struct Standing {
    reading: JoinHandle<Result<RangeResponse>>,
    go_on: Sender<()>,
}

impl Standing {
    /// Begins it. Later reads pass.
    async fn begin(volume: &Arc<Volume>, revision: i64) -> Self {
        let (opened, mut is_open) = tokio::sync::mpsc::unbounded_channel();
        let (go_on, wait) = channel::<()>();
        let (first, wait) = (AtomicBool::new(true), Mutex::new(wait));
        fail::cfg_callback(Point::ReadOpened.name(), move || {
            if first.swap(false, Ordering::SeqCst) {
                let _ = opened.send(());
                let _ = wait.lock().recv();
            }
        })
        .expect("a callback");
        let volume = Arc::clone(volume);
        let reading =
            tokio::spawn(async move { volume.range(all(revision), Consistency::Serializable, soon()).await });
        is_open.recv().await.expect("the read is open");
        Self { reading, go_on }
    }

    /// Lets it read on to its end.
    async fn end(self) -> RangeResponse {
        self.go_on.send(()).expect("the read waits");
        self.reading.await.expect("no panic").expect("read")
    }
}

/// Keys with an older revision, half of them in tables; that revision.
async fn overwritten(bench: &Bench) -> i64 {
    bench.volume.flush().await.expect("flushed");
    let before = bench.volume.status().revision;
    for number in 0..40 {
        put(&bench.volume, &format!("key-{number}"), "changed").await.expect("written");
    }
    before
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_that_began_before_the_switch_is_right_and_keeps_its_files() {
    for older in [false, true] {
        let scenario = FailScenario::setup();
        let bench = Bench::new().await;
        let before = overwritten(&bench).await;
        let revision = if older { before } else { 0 };
        let expected = read(&bench.volume, revision).await;
        let standing = Standing::begin(&bench.volume, revision).await;

        let mut removed = hear(Point::PreviousRemoveAfter);
        let rebuilt = bench.volume.rebuild(RebuildOptions::default()).expect("begun").wait().await;
        assert_eq!(rebuilt.expect("rebuilt").generation, 2);
        put(&bench.volume, "key-0", "after the switch").await.expect("written");
        bench.volume.flush().await.expect("flushed");
        assert_eq!(bench.names(), ["CURRENT", "gen-000001", "gen-000002"]);
        removed.try_recv().expect_err("a read still needs the files");

        assert_eq!(found(&standing.end().await), found(&expected));
        removed.recv().await.expect("the files go with their last reader");
        assert_eq!(bench.names(), ["CURRENT", "gen-000002"]);
        end(&bench.node).await;
        scenario.teardown();
    }
}

/// One switch of formats.
#[derive(Clone, Copy, Debug)]
enum Switch {
    To(&'static str),
    KeepAndTo(&'static str),
    Back,
}

impl Switch {
    async fn run(self, volume: &Volume) {
        let (name, keep_previous) = match self {
            Self::To(name) => (name, None),
            Self::KeepAndTo(name) => (name, Some(Duration::from_secs(3600))),
            Self::Back => {
                volume.undo(None).expect("begun").wait().await.expect("gone back");
                return;
            }
        };
        let to = if name == "natural" { FormatId::natural() } else { format(name) };
        let transform = Some(Arc::new(volume.conversion(&to).await.expect("a codec")) as _);
        let options = RebuildOptions { transform, keep_previous, ..RebuildOptions::default() };
        volume.rebuild(options).expect("begun").wait().await.expect("converted");
        assert_eq!(volume.format(), to);
    }
}

/// The read decodes with the codec of the generation that it began in, whatever serves by then. What is kept
/// stays when it lets go; everything else goes then, and not before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_that_began_before_a_switch_of_formats_reads_on_in_its_own_and_keeps_its_files() {
    let switches =
        [Switch::To("reversed"), Switch::KeepAndTo("prefixed"), Switch::Back, Switch::To("natural")];
    for older in [false, true] {
        let scenario = FailScenario::setup();
        let bench = Bench::with(TestCodecs::with(&[&codec("reversed"), &codec("prefixed")])).await;
        let before = overwritten(&bench).await;
        let revision = if older { before } else { 0 };
        for (number, switch) in switches.into_iter().enumerate() {
            let what = format!("{switch:?}, older: {older}");
            let expected = read(&bench.volume, revision).await;
            assert_eq!(expected.kvs.len(), if older { 40 } else { 40 + number }, "{what}");
            let left = bench.volume.status().generation;
            let standing = Standing::begin(&bench.volume, revision).await;

            let mut removed = hear(Point::PreviousRemoveAfter);
            switch.run(&bench.volume).await;
            put(&bench.volume, "key-0", what.clone()).await.expect("written");
            put(&bench.volume, &format!("since-{number}"), "new").await.expect("written");
            bench.volume.flush().await.expect("flushed");
            let name = |generation: u64| format!("gen-{generation:06}");
            let serving = bench.volume.status().generation;
            assert_ne!(serving, left, "{what}");
            let mut both = vec!["CURRENT".to_owned(), name(left), name(serving)];
            both.sort();
            assert_eq!(bench.names(), both, "{what}");
            removed.try_recv().expect_err("a read still needs the files");

            assert_eq!(found(&standing.end().await), found(&expected), "{what}");
            if matches!(switch, Switch::KeepAndTo(_)) {
                assert_eq!(bench.volume.kept().expect("kept").generation, left, "{what}");
                assert_eq!(bench.names(), both, "{what}");
                continue;
            }
            removed.recv().await.expect("the files go with their last reader");
            assert_eq!(bench.names(), ["CURRENT".to_owned(), name(serving)], "{what}");
        }
        end(&bench.node).await;
        scenario.teardown();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_that_nobody_waits_for_ends_and_gives_its_slot_back() {
    /// More than a node reads ranges at a time.
    const READS: usize = 20;
    const ROWS: usize = 2000;
    let scenario = FailScenario::setup();
    let bench = Bench::new().await;
    for number in 0..ROWS {
        put(&bench.volume, &format!("row-{number:04}"), "x").await.expect("written");
    }
    // Reads stop with their iterators open, until the gate is opened for all of them.
    let (go_on, wait) = channel::<()>();
    let wait = Mutex::new(wait);
    let (opened, mut is_open) = tokio::sync::mpsc::unbounded_channel();
    fail::cfg_callback(Point::ReadOpened.name(), move || {
        let _ = opened.send(());
        // An error says that all may go on.
        let _ = wait.lock().recv();
    })
    .expect("a callback");
    let mut walked = hear(Point::ReadMiddle);
    let reads: Vec<_> = (0..READS)
        .map(|_| {
            let volume = std::sync::Arc::clone(&bench.volume);
            tokio::spawn(async move { volume.range(all(0), Consistency::Serializable, soon()).await })
        })
        .collect();
    for _ in 0..16 {
        is_open.recv().await.expect("as many as there are slots");
    }
    for read in reads {
        read.abort();
        assert!(read.await.expect_err("given up").is_cancelled());
    }
    drop(go_on);
    // All slots are needed again, by readers who wait for their answers.
    fail::remove(Point::ReadOpened.name());
    let again = (0..16).map(|_| bench.volume.range(all(0), Consistency::Serializable, soon()));
    let mut looked = 0;
    for found in futures::future::join_all(again).await {
        assert_eq!(found.expect("read").kvs.len(), ROWS + 40);
        looked += (ROWS + 40).div_ceil(256);
    }
    let mut heard = 0;
    while walked.try_recv().is_ok() {
        heard += 1;
    }
    assert!(heard <= looked + 16, "{heard} looks, {looked} of the reads that were wanted");
    end(&bench.node).await;
    scenario.teardown();
}
