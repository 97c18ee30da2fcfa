//! Converting volumes there and back while they are written to; what a refusal leaves behind.

mod node_support;
mod test_codecs;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;

use mortise_kernel::format::{CodecFault, FormatId};
use mortise_kernel::kv::Command;
use mortise_kernel::node::{Node, Volume};
use mortise_kernel::rebuild::{RebuildOptions, RebuildOutcome, Verify};
use mortise_kernel::seams::{Seams, SystemClock};
use mortise_kernel::{Error, Result};
use node_support::{config, get, life, put, soon, volume};
use test_codecs::{TestCodec, TestCodecs, codec, format};
use tokio::task::JoinHandle;

async fn open_with(path: &Path, codecs: &Arc<TestCodecs>) -> Arc<Node> {
    let seams = Seams { codecs: Arc::clone(codecs) as _, ..Seams::with_clock(Arc::new(SystemClock)) };
    Node::open_with(config(path), seams).await.expect("the node opens")
}

async fn convert(volume: &Volume, to: &FormatId) -> Result<RebuildOutcome> {
    let transform = Arc::new(volume.conversion(to).await?);
    let options = RebuildOptions { transform: Some(transform), ..RebuildOptions::default() };
    volume.rebuild(options)?.wait().await
}

/// A volume with overwritten, deleted and re-created keys, half of it in tables, some of it compacted.
async fn filled(node: &Node) -> Arc<Volume> {
    let one = node.create_volume(volume(5)).await.expect("created");
    for round in 0..6 {
        for number in 0..40 {
            put(&one, &format!("/a/{number}\0{round}"), format!("{round} {number}").repeat(20))
                .await
                .expect("written");
            put(&one, &format!("key {number}"), format!("value {round}")).await.expect("written");
        }
        let delete = mortise_kernel::kv::DeleteRangeRequest {
            key: "key 1".into(),
            range_end: "key 3".into(),
            prev_kv: false,
        };
        one.propose(Command::DeleteRange(delete), soon()).await.expect("deleted");
        if round == 2 {
            one.flush().await.expect("flushed");
            one.compact(100, true, soon()).await.expect("compacted");
        }
    }
    one
}

async fn hashes(volume: &Volume) -> Vec<u64> {
    let newest = volume.status().revision;
    let mut found = Vec::new();
    for revision in (100..=newest).step_by(23).chain([newest]) {
        found.push(volume.content_hash(revision).await.expect("hashed").hash);
    }
    found
}

#[test]
fn every_revision_is_the_same_in_every_format_also_after_a_crash() {
    let dir = tempfile::tempdir().expect("a directory");
    let formats = ["reversed", "prefixed", "natural"];
    let path = dir.path().to_path_buf();
    let expected = life(async move {
        let node = open_with(&path, &TestCodecs::with(&[])).await;
        let one = filled(&node).await;
        hashes(&one).await
    });
    for name in formats {
        let path = dir.path().to_path_buf();
        let to = if name == "natural" { FormatId::natural() } else { format(name) };
        let before = expected.clone();
        life(async move {
            let codecs = TestCodecs::with(&[&codec("reversed"), &codec("prefixed")]);
            let node = open_with(&path, &codecs).await;
            let one = node.open_volume(volume(5)).await.expect("opened");
            assert_eq!(hashes(&one).await, before, "before the conversion to {name}");
            let outcome = convert(&one, &to).await.expect("converted");
            assert!(outcome.records > 0);
            assert_eq!((one.format(), hashes(&one).await), (to, before), "converted to {name}");
        });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_go_on_while_a_volume_is_converted_there_and_back() {
    let dir = tempfile::tempdir().expect("a directory");
    let codecs = TestCodecs::with(&[&codec("reversed"), &codec("prefixed")]);
    let node = open_with(dir.path(), &codecs).await;
    let one = filled(&node).await;
    let stop = Arc::new(AtomicBool::new(false));
    let writers = (0..8).map(|writer| {
        let (one, stop) = (Arc::clone(&one), Arc::clone(&stop));
        tokio::spawn(async move {
            let mut last = BTreeMap::new();
            for round in 0.. {
                if stop.load(Ordering::SeqCst) {
                    break;
                }
                let (key, value) = (format!("writer {writer} {}", round % 30), format!("{round}"));
                put(&one, &key, value.clone()).await.expect("written");
                assert_eq!(get(&one, &key).await.as_ref(), Some(&value), "reads its own write");
                last.insert(key, value);
            }
            last
        })
    });
    let writers: Vec<_> = writers.collect();
    for to in [format("reversed"), format("prefixed"), FormatId::natural(), format("reversed")] {
        convert(&one, &to).await.expect("converted");
        assert_eq!(one.format(), to);
    }
    stop.store(true, Ordering::SeqCst);
    for writer in writers {
        for (key, value) in writer.await.expect("joined") {
            assert_eq!(get(&one, &key).await, Some(value));
        }
    }
    let expected = one.content_hash(0).await.expect("hashed");
    node.shutdown().await.expect("stopped");
    let node = open_with(dir.path(), &codecs).await;
    let one = node.open_volume(volume(5)).await.expect("opened");
    assert_eq!(one.content_hash(0).await.expect("hashed"), expected);
}

#[tokio::test]
async fn one_refused_record_ends_a_conversion_which_tells_how_many_there_are() {
    let dir = tempfile::tempdir().expect("a directory");
    let reversed = codec("reversed");
    let node = open_with(dir.path(), &TestCodecs::with(&[&reversed])).await;
    let one = filled(&node).await;
    for (key, value) in [("m!", "1"), ("m!", "2"), ("n", "what?"), ("o!", "?")] {
        put(&one, key, value).await.expect("a natural volume takes all");
    }
    let (before, status) = (hashes(&one).await, one.status());
    let to = format("reversed");
    let survey = one.conversion(&to).await.expect("a codec");
    let survey = one.survey(Arc::new(survey), |_| Ok(())).await.expect("surveyed");
    assert_eq!(survey.refused, 4);
    let first = survey.first.clone().expect("the first");
    match convert(&one, &to).await.expect_err("refused") {
        Error::ConversionRefused { refused, first: found, .. } => {
            assert_eq!((refused, *found), (4, first.clone()));
            assert_eq!((first.key.as_str(), first.reason.as_str()), ("\"m!\"", "no exclamation, please"));
        }
        other => panic!("{other}"),
    }
    assert_eq!((one.format(), hashes(&one).await), (FormatId::natural(), before));
    assert_eq!(one.status().generation, status.generation);
    let names: Vec<_> = std::fs::read_dir(dir.path().join("volumes/5")).expect("listed").collect();
    assert_eq!(names.len(), 2, "CURRENT and one generation: {names:?}");

    put(&one, "still", "natural!?").await.expect("written");
    assert_eq!(get(&one, "still").await.as_deref(), Some("natural!?"));
    reversed.controls.sabotage(|_, _| Some(CodecFault::OutOfFuel));
    let error = convert(&one, &to).await.expect_err("a fault");
    assert!(matches!(error, Error::CodecFault { .. }), "{error}");
    let error = convert(&one, &format("unknown")).await.expect_err("no such codec");
    assert!(matches!(error, Error::CodecMissing { .. }), "{error}");
}

/// A sample verifies one record in sixteen; what is wrong with many is found all the same.
#[tokio::test]
async fn a_sample_asks_the_codec_for_little_and_finds_what_is_common() {
    let dir = tempfile::tempdir().expect("a directory");
    let reversed = codec("reversed");
    let node = open_with(dir.path(), &TestCodecs::with(&[&reversed, &codec("lossy")])).await;
    let one = filled(&node).await;
    let before = hashes(&one).await;
    let sampled = async |to: &FormatId| {
        let transform = Arc::new(one.conversion(to).await?.sampled());
        let options = RebuildOptions { transform: Some(transform), ..RebuildOptions::default() };
        one.rebuild(RebuildOptions { verify: Verify::Count, ..options })?.wait().await
    };
    let error = sampled(&format("lossy")).await.expect_err("its values do not come back");
    assert!(matches!(error, Error::ConversionRefused { .. }), "{error}");
    assert_eq!((one.format(), hashes(&one).await), (FormatId::natural(), before.clone()));

    sampled(&format("reversed")).await.expect("converted");
    let by_sample = reversed.controls.decoded();
    assert_eq!((one.format(), hashes(&one).await), (format("reversed"), before.clone()));
    convert(&one, &FormatId::natural()).await.expect("converted back");
    let known = reversed.controls.decoded();
    convert(&one, &format("reversed")).await.expect("converted");
    let in_full = reversed.controls.decoded() - known;
    assert!(by_sample > 0 && by_sample * 10 < in_full, "{by_sample} records were decoded of {in_full}");
    assert_eq!(hashes(&one).await, before);
}

/// A conversion to `reversed` that stands in its copy, with its rows pinned, until the sender is dropped.
async fn halfway(
    one: &Arc<Volume>,
    reversed: &TestCodec,
) -> (JoinHandle<Result<RebuildOutcome>>, Sender<()>) {
    let (arrived, mut arrivals) = tokio::sync::mpsc::unbounded_channel();
    let (let_on, permits) = std::sync::mpsc::channel::<()>();
    let permits = parking_lot::Mutex::new(permits);
    reversed.controls.sabotage(move |_, _| {
        // The first call comes from the copy. An error of the second channel says that the test has let go.
        if arrived.send(()).is_ok() {
            let _ = permits.lock().recv();
        }
        None
    });
    let one = Arc::clone(one);
    let converting = tokio::spawn(async move { convert(&one, &format("reversed")).await });
    arrivals.recv().await.expect("the copy has begun");
    (converting, let_on)
}

/// What is written behind the copy's back meets the new codec while the conversion catches up.
#[tokio::test]
async fn a_write_that_the_new_format_refuses_ends_a_conversion_that_catches_up() {
    let dir = tempfile::tempdir().expect("a directory");
    let reversed = codec("reversed");
    let node = open_with(dir.path(), &TestCodecs::with(&[&reversed])).await;
    let one = filled(&node).await;
    let (converting, let_on) = halfway(&one, &reversed).await;
    put(&one, "late!", "1").await.expect("a natural volume takes it");
    drop(let_on);
    match converting.await.expect("joined").expect_err("refused") {
        Error::Refused { refusal, .. } => assert_eq!(refusal.key, "\"late!\""),
        other => panic!("{other}"),
    }
    assert_eq!(one.format(), FormatId::natural());
    assert_eq!(get(&one, "late!").await.as_deref(), Some("1"));
    reversed.controls.heal();
    let delete = mortise_kernel::kv::DeleteRangeRequest { key: "late!".into(), ..Default::default() };
    one.propose(Command::DeleteRange(delete), soon()).await.expect("deleted");
    let revision = one.status().revision;
    one.compact(revision, true, soon()).await.expect("compacted");
    convert(&one, &format("reversed")).await.expect("nothing is left to refuse");
    assert_eq!(one.format(), format("reversed"));
}

/// A range holds other keys in another order, so what deleted one may not be repeated there.
#[tokio::test]
async fn a_delete_of_a_range_ends_a_conversion_to_another_order_that_catches_up_with_it() {
    let delete = |key: &'static [u8], range_end: &'static [u8]| {
        let (key, range_end) = (key.into(), range_end.into());
        Command::DeleteRange(mortise_kernel::kv::DeleteRangeRequest { key, range_end, prev_kv: false })
    };
    let refused = delete(b"key 30", b"key 35");
    let in_a_txn = mortise_kernel::kv::TxnRequest {
        compare: vec![mortise_kernel::kv::Compare {
            key: "/a/".into(),
            range_end: "/a0".into(),
            target: mortise_kernel::kv::CompareTarget::Version(1),
            result: mortise_kernel::kv::CompareResult::Equal,
        }],
        ..Default::default()
    };
    for (command, ends) in [
        (refused, true),
        (Command::Txn(in_a_txn), true),
        (delete(b"\0", b"\0"), false),
        (delete(b"key 3", b""), false),
    ] {
        let dir = tempfile::tempdir().expect("a directory");
        let reversed = codec("reversed");
        let node = open_with(dir.path(), &TestCodecs::with(&[&reversed])).await;
        let one = filled(&node).await;
        let (converting, let_on) = halfway(&one, &reversed).await;
        one.propose(command.clone(), soon()).await.expect("a natural volume takes it");
        let before = one.content_hash(0).await.expect("hashed");
        drop(let_on);
        let converted = converting.await.expect("joined");
        if ends {
            let error = converted.expect_err("the range means other keys");
            assert!(matches!(error, Error::FailedPrecondition(_)), "{command:?}: {error}");
            assert_eq!(one.format(), FormatId::natural());
            convert(&one, &format("reversed")).await.expect("nothing comes meanwhile");
        } else {
            converted.expect("it means the same");
        }
        assert_eq!(one.format(), format("reversed"));
        assert_eq!(one.content_hash(0).await.expect("hashed"), before, "{command:?}");
    }
}

/// A way back replays what was logged in an order that is not the one in force any more, and nothing would
/// tell: ranges deleted meanwhile would come to be other keys.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_kept_goes_when_the_order_of_keys_changes_without_another_being_kept() {
    let dir = tempfile::tempdir().expect("a directory");
    let node = open_with(dir.path(), &TestCodecs::with(&[&codec("reversed")])).await;
    let one = filled(&node).await;
    let keeping = RebuildOptions {
        transform: Some(Arc::new(one.conversion(&format("reversed")).await.expect("a codec"))),
        keep_previous: Some(std::time::Duration::from_secs(3600)),
        ..RebuildOptions::default()
    };
    one.rebuild(keeping).expect("begun").wait().await.expect("converted");
    let kept = one.kept().expect("kept").generation;
    one.rebuild(RebuildOptions::default()).expect("begun").wait().await.expect("rebuilt");
    assert_eq!(one.kept().expect("the order is the same").generation, kept);
    // In this order there are other keys between the bounds than in that of bytes.
    let delete = mortise_kernel::kv::DeleteRangeRequest {
        key: "key 30".into(),
        range_end: "key 39".into(),
        prev_kv: false,
    };
    one.propose(Command::DeleteRange(delete), soon()).await.expect("deleted");
    assert_eq!(get(&one, "key 5").await, None, "it is one of them");
    let before = hashes(&one).await;
    let refused = one.undo(None).expect("begun").wait().await.expect_err("it meets the range");
    assert!(refused.to_string().contains("convert in the other direction"), "{refused}");
    assert_eq!((hashes(&one).await, one.kept().map(|kept| kept.generation)), (before.clone(), Some(kept)));

    convert(&one, &FormatId::natural()).await.expect("converted");
    assert_eq!((hashes(&one).await, one.kept()), (before.clone(), None));
    assert!(matches!(one.undo(None), Err(Error::FailedPrecondition(_))), "there is nothing to go back to");
    assert_eq!((one.format(), hashes(&one).await), (FormatId::natural(), before));
}
