//! A codec that takes long keeps nobody waiting but those who asked it.
//!
//! The runtime has one thread for all that is not allowed to block: whoever blocks it stops every volume. So
//! a request that passes while a codec stands still proves that the codec does not stand there.

mod node_support;
mod test_codecs;

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mortise_kernel::node::{Node, Volume};
use mortise_kernel::seams::{Seams, SystemClock};
use node_support::{config, get, put, volume};
use test_codecs::{TestCodecs, codec, format};
use tokio::runtime::Runtime;
use tokio::time::Instant;

/// How long a request beside may take before it counts as stuck.
const STUCK: Duration = Duration::from_secs(60);

/// Longer than a codec may take without being called slow.
const LONG: Duration = Duration::from_millis(20);

/// Runs `request` on the runtime's only thread; false when it does not come to an end.
fn ends(runtime: &Runtime, request: impl Future<Output = ()> + Send + 'static) -> bool {
    let (ended, end) = channel();
    runtime.spawn(async move {
        request.await;
        ended.send(()).expect("the test waits");
    });
    end.recv_timeout(STUCK) != Err(RecvTimeoutError::Timeout)
}

fn spin() {
    let begun = Instant::now();
    while begun.elapsed() < LONG {
        std::hint::spin_loop();
    }
}

async fn put_and_get(volume: Arc<Volume>) {
    put(&volume, "beside", "value").await.expect("written");
    assert_eq!(get(&volume, "beside").await.as_deref(), Some("value"));
}

#[test]
fn while_a_slow_codec_stands_still_other_volumes_and_other_requests_go_on() {
    stands_still_after(0);
}

/// Sixty-four quick calls earn a codec the right to be called on the thread that must not block; one that is
/// not quick loses it.
#[test]
fn a_codec_that_turns_slow_is_not_trusted_any_more() {
    stands_still_after(40);
}

/// Makes a codec slow after so many quick puts and gets, and lets it stand still then.
fn stands_still_after(quick: usize) {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(1).enable_all().build().expect("a runtime");
    let dir = tempfile::tempdir().expect("a directory");
    let prefixed = codec("prefixed");
    let codecs = TestCodecs::with(&[&prefixed]);
    let (node, coded, natural) = runtime.block_on(async {
        let seams = Seams { codecs: codecs as _, ..Seams::with_clock(Arc::new(SystemClock)) };
        let node = Node::open_with(config(dir.path()), seams).await.expect("the node opens");
        let coded = node.create_volume_with(volume(5), format("prefixed")).await.expect("created");
        let natural = node.create_volume(volume(6)).await.expect("created");
        (node, coded, natural)
    });

    for _ in 0..quick {
        assert!(ends(&runtime, put_and_get(Arc::clone(&coded))));
    }

    // Once it takes long, which a request has to bear.
    prefixed.controls.sabotage(|_, _| {
        spin();
        None
    });
    assert!(ends(&runtime, put_and_get(Arc::clone(&coded))));

    // From now on the first call stands still until it is let go; the others are quick again.
    let (entered, inside) = channel();
    let (let_go, gate) = channel::<()>();
    let first = Mutex::new(Some((entered, gate)));
    prefixed.controls.sabotage(move |_, _| {
        let first = first.lock().expect("no panic").take();
        if let Some((entered, gate)) = first {
            entered.send(()).expect("the test waits");
            gate.recv().expect("it is let go");
        }
        None
    });
    let stuck = runtime.spawn({
        let coded = Arc::clone(&coded);
        async move { put(&coded, "stuck", "value").await }
    });
    inside.recv_timeout(STUCK).expect("the codec is called");
    assert!(ends(&runtime, put_and_get(natural)), "another volume stands still, too");
    assert!(ends(&runtime, put_and_get(Arc::clone(&coded))), "the volume's other requests stand still, too");
    assert!(!stuck.is_finished());

    let_go.send(()).expect("it waits");
    let written = runtime.block_on(stuck).expect("no panic");
    written.expect("a slow codec is no wrong one");
    runtime.block_on(async {
        assert_eq!(get(&coded, "stuck").await.as_deref(), Some("value"));
        drop(coded);
        node.shutdown().await.expect("a stop");
    });
}
