//! A codec that takes long keeps nobody waiting but those who asked it.
//!
//! The runtime has one thread for all that is not allowed to block: whoever blocks it stops every volume. So
//! a request that passes while a codec stands still proves that the codec does not stand there.

mod node_support;
mod test_codecs;

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mortise_kernel::ErrorKind;
use mortise_kernel::format::{Coder, Meter};
use mortise_kernel::kv::{
    Command, CommandResponse, Compare, CompareResult, CompareTarget, Op, OpResponse, PutRequest,
    RangeRequest, SortOrder, SortTarget, TxnRequest, TxnResponse,
};
use mortise_kernel::node::{Node, Volume};
use mortise_kernel::seams::{Deadline, Seams, SystemClock};
use mortise_kernel::store::{Applied, Store, StoreConfig};
use node_support::{config, get, put, put_command, soon, volume};
use test_codecs::{TestCodec, TestCodecs, codec, format};
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

/// A codec that stands still once, in the first call with this many records or more. It tells when it does,
/// and goes on when it is told to.
fn standing(codec: &TestCodec, records: usize) -> (Receiver<()>, Sender<()>) {
    let (entered, inside) = channel();
    let (let_go, gate) = channel::<()>();
    let first = Mutex::new(Some((entered, gate)));
    codec.controls.sabotage(move |_, count| {
        let first = (count >= records).then(|| first.lock().expect("no panic").take()).flatten();
        if let Some((entered, gate)) = first {
            entered.send(()).expect("the test waits");
            gate.recv().expect("it is let go");
        }
        None
    });
    (inside, let_go)
}

#[test]
fn while_a_codec_decodes_what_a_transaction_orders_other_writes_go_on() {
    const KEYS: usize = 16;
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(1).enable_all().build().expect("a runtime");
    let dir = tempfile::tempdir().expect("a directory");
    let prefixed = codec("prefixed");
    let codecs = TestCodecs::with(&[&prefixed]);
    let (node, coded) = runtime.block_on(async {
        let seams = Seams { codecs: codecs as _, ..Seams::with_clock(Arc::new(SystemClock)) };
        let node = Node::open_with(config(dir.path()), seams).await.expect("the node opens");
        let coded = node.create_volume_with(volume(5), format("prefixed")).await.expect("created");
        for number in 0..KEYS {
            put(&coded, &format!("key-{number:02}"), format!("value-{number}")).await.expect("written");
        }
        (node, coded)
    });
    let (inside, let_go) = standing(&prefixed, KEYS);
    let all_are_greater = Compare {
        key: "key-".into(),
        range_end: "key.".into(),
        target: CompareTarget::Value("value".into()),
        result: CompareResult::Greater,
    };
    let written = PutRequest { key: "ordered".into(), value: "yes".into(), ..PutRequest::default() };
    let by_value = RangeRequest {
        key: "key-".into(),
        range_end: "key.".into(),
        sort_target: SortTarget::Value,
        sort_order: SortOrder::Descend,
        limit: 1,
        ..RangeRequest::default()
    };
    let txn = TxnRequest {
        compare: vec![all_are_greater],
        success: vec![Op::Put(written), Op::Range(by_value)],
        failure: vec![],
    };
    let ordering = runtime.spawn({
        let coded = Arc::clone(&coded);
        async move { coded.propose(Command::Txn(txn), soon()).await }
    });
    inside.recv_timeout(STUCK).expect("the codec is called for the values");
    assert!(ends(&runtime, put_and_get(Arc::clone(&coded))), "the volume's other writes stand still, too");
    // What was written since is taken into account: it is the greatest value now.
    let late = {
        let coded = Arc::clone(&coded);
        async move { put(&coded, "key-late", "value-late").await.map(drop).expect("written") }
    };
    assert!(ends(&runtime, late));
    assert!(!ordering.is_finished());

    let_go.send(()).expect("it waits");
    let answer = runtime.block_on(ordering).expect("no panic").expect("run");
    let CommandResponse::Txn(TxnResponse { succeeded: true, responses, .. }) = &answer else {
        panic!("{answer:?}");
    };
    let [_, OpResponse::Range(found)] = &responses[..] else { panic!("{responses:?}") };
    assert_eq!(found.kvs[0].key, "key-late");
    let (_, in_apply) = prefixed.controls.calls();
    assert_eq!(in_apply, 2, "the guard and the sort decode what was written since, and nothing else");
    runtime.block_on(async {
        assert_eq!(get(&coded, "ordered").await.as_deref(), Some("yes"));
        drop(coded);
        node.shutdown().await.expect("a stop");
    });
}

/// The first of many calls for one answer takes until nobody waits for it any more.
#[test]
fn a_codec_is_not_called_again_for_a_request_whose_deadline_has_passed() {
    const KEYS: usize = 2000;
    let dir = tempfile::tempdir().expect("a directory");
    let prefixed = codec("prefixed");
    let coder = Coder::new(Arc::clone(&prefixed) as _);
    let store = Store::open(StoreConfig { coder, ..StoreConfig::new(dir.path()) }).expect("opened");
    let puts: Vec<_> = (0..KEYS).map(|number| put_command(&format!("key-{number}"), "value")).collect();
    store.apply(Applied { index: 1, ..Applied::default() }, &puts).expect("applied");
    let deadline = Deadline::after(LONG);
    prefixed.controls.sabotage(move |_, records| {
        while records > 1 && !deadline.left().is_zero() {
            std::hint::spin_loop();
        }
        None
    });
    let (before, _) = prefixed.controls.calls();
    let all = RangeRequest { key: "\0".into(), range_end: "\0".into(), ..RangeRequest::default() };
    let late = store.range(&all, Meter::Request(deadline)).map(|found| found.count);
    let error = late.expect_err("its time is over");
    assert_eq!(error.kind(), ErrorKind::DeadlineExceeded, "{error}");
    assert_eq!(prefixed.controls.calls().0 - before, 1);
    prefixed.controls.heal();
    let found = store.range(&all, Meter::Request(soon())).expect("read");
    assert_eq!(found.kvs.len(), KEYS);
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
    let (inside, let_go) = standing(&prefixed, 0);
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
