//! Reads that began before a switch, and the files that they need.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;

use bytes::Bytes;
use fail::FailScenario;
use mortise_kernel::kv::RangeRequest;
use mortise_kernel::node::Consistency;
use mortise_kernel::rebuild::RebuildOptions;
use mortise_kernel::seams::fault::Point;
use parking_lot::Mutex;

use crate::node_support::{put, soon};
use crate::{Bench, hear};

pub(crate) fn all(revision: i64) -> RangeRequest {
    let end = Bytes::from_static(b"\0");
    RangeRequest { key: end.clone(), range_end: end, revision, ..RangeRequest::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_that_began_before_the_switch_is_right_and_keeps_its_files() {
    for older in [false, true] {
        let scenario = FailScenario::setup();
        let bench = Bench::new().await;
        bench.volume.flush().await.expect("flushed");
        let before = bench.volume.status().revision;
        for number in 0..40 {
            put(&bench.volume, &format!("key-{number}"), "changed").await.expect("written");
        }
        let expected =
            bench.volume.range(all(before), Consistency::Serializable, soon()).await.expect("read");
        let newest = bench.volume.range(all(0), Consistency::Serializable, soon()).await.expect("read");

        // The first read stops with its iterators open; later ones pass.
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
        let reading = tokio::spawn({
            let volume = std::sync::Arc::clone(&bench.volume);
            let request = all(if older { before } else { 0 });
            async move { volume.range(request, Consistency::Serializable, soon()).await }
        });
        is_open.recv().await.expect("the read is open");

        let mut removed = hear(Point::PreviousRemoveAfter);
        let rebuilt = bench.volume.rebuild(RebuildOptions::default()).expect("begun").wait().await;
        assert_eq!(rebuilt.expect("rebuilt").generation, 2);
        put(&bench.volume, "key-0", "after the switch").await.expect("written");
        bench.volume.flush().await.expect("flushed");
        assert_eq!(bench.names(), ["CURRENT", "gen-000001", "gen-000002"]);
        removed.try_recv().expect_err("a read still needs the files");

        go_on.send(()).expect("the read waits");
        let found = reading.await.expect("no panic").expect("read");
        let expected = if older { &expected } else { &newest };
        assert_eq!(format!("{:?}", found.kvs), format!("{:?}", expected.kvs));
        removed.recv().await.expect("the files go with their last reader");
        assert_eq!(bench.names(), ["CURRENT", "gen-000002"]);
        scenario.teardown();
    }
}
