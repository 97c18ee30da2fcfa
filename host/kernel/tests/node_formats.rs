//! Volumes in formats of their own: what users see, what is refused, what a fault may and may not do.

mod node_support;
mod test_codecs;

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use mortise_kernel::format::{CodecFault, Meter, RefusedPart};
use mortise_kernel::kv::{
    Command, CommandResponse, Compare, CompareResult, CompareTarget, DeleteRangeRequest, MAX_KEY_BYTES, Op,
    OpResponse, PutRequest, RangeRequest, SortOrder, SortTarget, TxnRequest,
};
use mortise_kernel::node::{Consistency, Node, Volume};
use mortise_kernel::seams::{Seams, SystemClock};
use mortise_kernel::store::MOST_ORDERED_BYTES;
use mortise_kernel::{Error, ErrorKind};
use node_support::{config, get, life, put, put_command, soon, volume};
use test_codecs::{TestCodecs, codec, format};

async fn open_with(path: &Path, codecs: &Arc<TestCodecs>) -> Arc<Node> {
    let seams = Seams { codecs: Arc::clone(codecs) as _, ..Seams::with_clock(Arc::new(SystemClock)) };
    Node::open_with(config(path), seams).await.expect("the node opens")
}

fn text(bytes: &Bytes) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Keys and values of a range, in the order of the answer.
async fn range(volume: &Volume, request: RangeRequest) -> Vec<(String, String)> {
    let found = volume.range(request, Consistency::Linearizable, soon()).await.expect("readable");
    found.kvs.iter().map(|kv| (text(&kv.key), text(&kv.value))).collect()
}

async fn keys(volume: &Volume, key: &str, range_end: &str) -> Vec<String> {
    let request = RangeRequest {
        key: key.to_owned().into(),
        range_end: range_end.to_owned().into(),
        keys_only: true,
        ..RangeRequest::default()
    };
    range(volume, request).await.into_iter().map(|(key, _)| key).collect()
}

fn everything() -> RangeRequest {
    RangeRequest { key: "\0".into(), range_end: "\0".into(), ..RangeRequest::default() }
}

#[tokio::test]
async fn users_see_their_own_keys_and_values_in_the_order_of_stored_keys() {
    let dir = tempfile::tempdir().expect("a directory");
    let reversed = codec("reversed");
    let node = open_with(dir.path(), &TestCodecs::with(&[&reversed])).await;
    let one = node.create_volume_with(volume(5), format("reversed")).await.expect("created");
    assert_eq!(one.format(), format("reversed"));
    for (key, value) in [("az", "zone"), ("by", "yes"), ("cx", ""), ("dw", "axe")] {
        put(&one, key, value).await.expect("written");
    }
    assert_eq!(get(&one, "az").await.as_deref(), Some("zone"));
    assert_eq!(keys(&one, "\0", "\0").await, ["dw", "cx", "by", "az"]);
    assert_eq!(keys(&one, "cx", "az").await, ["cx", "by"], "what lies between the stored bounds");
    assert_eq!(keys(&one, "by", "\0").await, ["by", "az"], "from the stored form of `by` on");
    let by_value = RangeRequest {
        sort_target: SortTarget::Value,
        sort_order: SortOrder::Descend,
        limit: 2,
        ..everything()
    };
    let found = [("az", "zone"), ("by", "yes")].map(|(key, value)| (key.to_owned(), value.to_owned()));
    assert_eq!(range(&one, by_value).await, found, "values order as users wrote them");
    let greater = |value: &str| Compare {
        key: "az".into(),
        range_end: Bytes::new(),
        target: CompareTarget::Value(value.to_owned().into()),
        result: CompareResult::Greater,
    };
    let old = DeleteRangeRequest { key: "cx".into(), range_end: "az".into(), prev_kv: true };
    let txn = TxnRequest {
        compare: vec![greater("zebra")],
        success: vec![Op::DeleteRange(old), Op::Range(RangeRequest { keys_only: true, ..everything() })],
        failure: Vec::new(),
    };
    let CommandResponse::Txn(answer) = one.propose(Command::Txn(txn), soon()).await.expect("run") else {
        panic!("a transaction's answer");
    };
    assert!(answer.succeeded, "`zone` is greater than `zebra`");
    let [OpResponse::DeleteRange(deleted), OpResponse::Range(left)] = &answer.responses[..] else {
        panic!("{:?}", answer.responses);
    };
    let kvs: Vec<_> = deleted.prev_kvs.iter().map(|kv| (text(&kv.key), text(&kv.value))).collect();
    assert_eq!(kvs, [("cx".to_owned(), String::new()), ("by".to_owned(), "yes".to_owned())]);
    assert_eq!(left.kvs.iter().map(|kv| text(&kv.key)).collect::<Vec<_>>(), ["dw", "az"]);
    let (_, in_apply) = reversed.controls.calls();
    assert_eq!(in_apply, 0, "what a guard orders was decoded before the proposal, too");
}

#[tokio::test]
async fn a_write_orders_a_bounded_number_of_values() {
    const VALUE: usize = 512 << 10;
    let dir = tempfile::tempdir().expect("a directory");
    let prefixed = codec("prefixed");
    let node = open_with(dir.path(), &TestCodecs::with(&[&prefixed])).await;
    let one = node.create_volume_with(volume(5), format("prefixed")).await.expect("created");
    // Each is stored with twice its bytes, and counts once, however many keys have it.
    for number in 0..=MOST_ORDERED_BYTES / VALUE / 2 {
        for copy in 0..2 {
            let value = vec![b'a' + u8::try_from(number).expect("few"); VALUE];
            put(&one, &format!("key-{number}-{copy}"), value).await.expect("written");
        }
    }
    let write = |end: &str, result| {
        let everything = Compare {
            key: "key-0".into(),
            range_end: end.to_owned().into(),
            target: CompareTarget::Value("Z".into()),
            result,
        };
        let put = PutRequest { key: "written".into(), value: "yes".into(), ..PutRequest::default() };
        Command::Txn(TxnRequest { compare: vec![everything], success: vec![Op::Put(put)], failure: vec![] })
    };
    let refused = one.propose(write("key-9", CompareResult::Greater), soon()).await.expect_err("too many");
    assert!(matches!(refused, Error::TooManyValues { bytes: MOST_ORDERED_BYTES, .. }), "{refused}");
    assert_eq!(refused.kind(), ErrorKind::InvalidArgument);
    assert!(refused.to_string().contains("name a smaller range"), "{refused}");
    let sorted = RangeRequest { sort_target: SortTarget::Value, ..everything() };
    let delete = DeleteRangeRequest { key: "written".into(), ..DeleteRangeRequest::default() };
    let success = vec![Op::Range(sorted.clone()), Op::DeleteRange(delete)];
    let sorts = TxnRequest { success, ..TxnRequest::default() };
    let refused = one.propose(Command::Txn(sorts), soon()).await.expect_err("too many");
    assert!(matches!(refused, Error::TooManyValues { .. }), "{refused}");
    assert_eq!(get(&one, "written").await, None);

    // Equality needs no codec, a smaller range is let in, and what is only read is not bounded.
    for (end, result) in [("key-9", CompareResult::NotEqual), ("key-3", CompareResult::Greater)] {
        let CommandResponse::Txn(answer) = one.propose(write(end, result), soon()).await.expect("run") else {
            panic!("a transaction's answer");
        };
        assert!(answer.succeeded, "{end}");
    }
    assert_eq!(get(&one, "written").await.as_deref(), Some("yes"));
    assert!(range(&one, sorted).await.len() > MOST_ORDERED_BYTES / VALUE);
    assert_eq!(prefixed.controls.calls().1, 0, "none of this was decoded in apply");
}

#[tokio::test]
async fn the_codec_runs_before_the_proposal_and_not_again_in_apply() {
    let dir = tempfile::tempdir().expect("a directory");
    let reversed = codec("reversed");
    let node = open_with(dir.path(), &TestCodecs::with(&[&reversed])).await;
    let one = node.create_volume_with(volume(5), format("reversed")).await.expect("created");
    for number in 0..100 {
        put(&one, &format!("key {number}"), "value").await.expect("written");
    }
    let (requests, in_apply) = reversed.controls.calls();
    assert_eq!(in_apply, 0);
    assert_eq!(requests, 200, "key and value are encoded together and verified together");
    for (key, found) in [("key 7", Some("value")), ("no key", None)] {
        assert_eq!(get(&one, key).await.as_deref(), found);
    }
    let (requests, _) = reversed.controls.calls();
    assert_eq!(requests, 204, "the key is encoded, then verified with the value that was found, if any");
}

#[tokio::test]
async fn a_read_answers_about_its_key_or_not_at_all() {
    let dir = tempfile::tempdir().expect("a directory");
    let reversed = codec("reversed");
    let node = open_with(dir.path(), &TestCodecs::with(&[&reversed])).await;
    let one = node.create_volume_with(volume(5), format("reversed")).await.expect("created");
    for (key, value) in [("a", "of a"), ("b", "of b")] {
        put(&one, key, value).await.expect("written");
    }
    // From now on the codec takes every key for another one: one that is there, one that is not.
    for instead in ["b", "nobody"] {
        reversed.controls.confuse(instead);
        let single = |key: &str| RangeRequest { key: key.to_owned().into(), ..Default::default() };
        let requests = [
            single("a"),
            single("nothing"),
            RangeRequest { keys_only: true, ..single("a") },
            RangeRequest { count_only: true, ..single("a") },
            RangeRequest { revision: 2, ..single("a") },
        ];
        for request in requests {
            let txn = TxnRequest { success: vec![Op::Range(request.clone())], ..Default::default() };
            let read = one.range(request.clone(), Consistency::Linearizable, soon()).await;
            let error = read.expect_err("the answer would be about another key");
            assert!(error.to_string().contains("comes back changed"), "{request:?}: {error}");
            let error = one.read_txn(txn, Consistency::Linearizable, soon()).await.expect_err("the same");
            assert!(error.to_string().contains("comes back changed"), "{request:?}: {error}");
        }
        put(&one, "a", "of nobody").await.expect_err("a write would go to another key");
    }
    reversed.controls.heal();
    assert_eq!(get(&one, "a").await.as_deref(), Some("of a"));
}

#[tokio::test]
async fn what_the_codec_refuses_is_an_error_to_the_request_and_nothing_is_logged() {
    let dir = tempfile::tempdir().expect("a directory");
    let codecs = TestCodecs::with(&[&codec("prefixed"), &codec("lossy")]);
    let node = open_with(dir.path(), &codecs).await;
    let one = node.create_volume_with(volume(5), format("prefixed")).await.expect("created");
    let lossy = node.create_volume_with(volume(6), format("lossy")).await.expect("created");
    let before = (one.status(), lossy.status());
    let refused = |error: Error, part: RefusedPart, words: &[&str]| {
        let text = error.to_string();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{text}");
        assert!(words.iter().all(|word| text.contains(word)), "{text}");
        assert!(matches!(error, Error::Refused { refusal, .. } if refusal.part == part), "{text}");
    };
    let long = format!("{}!", "\u{1}".repeat(1000));
    refused(put(&one, &long, "").await.expect_err("refused"), RefusedPart::Key, &["\\x01…", "1001 bytes"]);
    refused(put(&one, "why", "?").await.expect_err("refused"), RefusedPart::Value, &["\"why\"", "questions"]);
    let longest = "a".repeat(MAX_KEY_BYTES);
    refused(put(&one, &longest, "").await.expect_err("refused"), RefusedPart::Key, &["32001", "32000"]);
    refused(put(&lossy, "a", "it is cut").await.expect_err("refused"), RefusedPart::Value, &["changed"]);
    let bound = RangeRequest { range_end: "z!".into(), ..everything() };
    let error = one.range(bound, Consistency::Linearizable, soon()).await.expect_err("refused");
    refused(error, RefusedPart::Key, &["\"z!\""]);
    assert_eq!(
        (one.status().raft_index, lossy.status().raft_index),
        (before.0.raft_index, before.1.raft_index)
    );
    put(&one, &longest[1..], "fits").await.expect("written");
}

#[tokio::test]
async fn keys_overlap_where_their_stored_forms_do() {
    let dir = tempfile::tempdir().expect("a directory");
    let node = open_with(dir.path(), &TestCodecs::with(&[&codec("reversed")])).await;
    let one = node.create_volume_with(volume(5), format("reversed")).await.expect("created");
    let propose = |key: &'static str| {
        let delete = DeleteRangeRequest { key: "ab".into(), range_end: "cb".into(), prev_kv: false };
        let put = PutRequest { key: key.into(), ..PutRequest::default() };
        let success = vec![Op::DeleteRange(delete), Op::Put(put)];
        one.propose(Command::Txn(TxnRequest { success, ..TxnRequest::default() }), soon())
    };
    propose("b").await.expect("`b` lies before `ba`, the stored form of `ab`");
    assert!(matches!(propose("xbb").await, Err(Error::DuplicateKey)), "`bbx` lies between `ba` and `bc`");
}

#[tokio::test]
async fn a_fault_is_an_error_to_its_request_alone() {
    let dir = tempfile::tempdir().expect("a directory");
    let (reversed, prefixed) = (codec("reversed"), codec("prefixed"));
    let node = open_with(dir.path(), &TestCodecs::with(&[&reversed, &prefixed])).await;
    let one = node.create_volume_with(volume(5), format("reversed")).await.expect("created");
    let other = node.create_volume_with(volume(6), format("prefixed")).await.expect("created");
    put(&one, "a", "1").await.expect("written");
    let index = one.status().raft_index;
    for (fault, kind) in [
        (CodecFault::OutOfFuel, ErrorKind::Unavailable),
        (CodecFault::TimedOut, ErrorKind::DeadlineExceeded),
        (CodecFault::Busy("all instances run".into()), ErrorKind::Busy),
        (CodecFault::Broken("two answers".into()), ErrorKind::Internal),
    ] {
        reversed.controls.sabotage(move |_, _| Some(fault.clone()));
        assert_eq!(put(&one, "a", "2").await.expect_err("a fault").kind(), kind);
        let read = one.range(everything(), Consistency::Linearizable, soon()).await;
        assert_eq!(read.expect_err("a fault").kind(), kind);
        put(&other, "b", "goes on").await.expect("written");
    }
    reversed.controls.heal();
    assert_eq!(one.status().raft_index, index, "nothing was logged");
    assert_eq!(get(&one, "a").await.as_deref(), Some("1"));
}

#[tokio::test]
async fn a_volume_whose_codec_is_missing_does_not_open_until_it_is_there() {
    let dir = tempfile::tempdir().expect("a directory");
    let reversed = codec("reversed");
    {
        let node = open_with(dir.path(), &TestCodecs::with(&[&reversed])).await;
        let one = node.create_volume_with(volume(5), format("reversed")).await.expect("created");
        put(&one, "a", "1").await.expect("written");
        node.create_volume(volume(6)).await.expect("created");
        node.shutdown().await.expect("stopped");
    }
    let codecs = TestCodecs::with(&[]);
    let node = open_with(dir.path(), &codecs).await;
    let leftover = dir.path().join("volumes/5/gen-000002.building");
    std::fs::create_dir(&leftover).expect("made");
    let missing = |error: Error, words: &str| {
        assert_eq!(error.kind(), ErrorKind::FailedPrecondition);
        assert!(error.to_string().contains(words), "{error}");
        assert!(matches!(error, Error::CodecMissing { format: needed, .. } if *needed == format("reversed")));
    };
    missing(node.open_volume(volume(5)).await.expect_err("refused"), "reversed 1.0.0");
    missing(node.create_volume_with(volume(7), format("reversed")).await.expect_err("refused"), "volumes/7");
    assert!(!dir.path().join("volumes/7").exists());
    codecs.replace("reversed");
    missing(node.open_volume(volume(5)).await.expect_err("refused"), &"ab".repeat(32));
    assert!(leftover.exists(), "a volume that does not open is not changed");
    let other = node.open_volume(volume(6)).await.expect("another volume opens");
    put(&other, "a", "1").await.expect("written");
    codecs.add(&reversed);
    let one = node.open_volume(volume(5)).await.expect("opened");
    assert_eq!(get(&one, "a").await.as_deref(), Some("1"));
    assert!(!leftover.exists());
}

/// Replay stops at a fault with the log intact, lets other volumes go on, and resumes where it stopped.
#[test]
fn a_replay_whose_codec_faults_stops_and_resumes() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().to_path_buf();
    let expected = life(async move {
        let node = open_with(&path, &TestCodecs::with(&[&codec("reversed")])).await;
        let one = node.create_volume_with(volume(5), format("reversed")).await.expect("created");
        let writes = (0..200).map(|number| {
            let command = put_command(&format!("key {}", number % 50), format!("value {number}"));
            one.propose(command, soon())
        });
        futures::future::try_join_all(writes).await.expect("written");
        node.create_volume(volume(6)).await.expect("created");
        one.content_hash(0).await.expect("hashed")
    });
    let path = dir.path().to_path_buf();
    let found = life(async move {
        let reversed = codec("reversed");
        // Nothing passes in apply at first.
        reversed.controls.sabotage(|meter, _| matches!(meter, Meter::Apply).then_some(CodecFault::OutOfFuel));
        let node = open_with(&path, &TestCodecs::with(&[&reversed])).await;
        let opening = tokio::spawn({
            let node = Arc::clone(&node);
            async move { node.open_volume(volume(5)).await }
        });
        let faults = reversed.controls.fault_after(0).await;
        reversed.controls.fault_after(faults + 2).await;
        assert!(!opening.is_finished(), "nothing is skipped");
        let other = node.open_volume(volume(6)).await.expect("opened");
        put(&other, "a", "goes on").await.expect("written");
        // Then only what comes alone, as it came when it was proposed.
        reversed.controls.sabotage(|_, records| (records > 2).then_some(CodecFault::OutOfFuel));
        let one = opening.await.expect("joined").expect("opened");
        reversed.controls.heal();
        one.content_hash(0).await.expect("hashed")
    });
    assert_eq!(found, expected);
}
