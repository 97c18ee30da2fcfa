//! Key-value calls through the generated client.

use mortise::pb::etcdserverpb as pb;
use mortise::pb::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use mortise::pb::etcdserverpb::maintenance_client::MaintenanceClient;
use mortise::pb::etcdserverpb::request_op::Request;
use mortise::pb::etcdserverpb::response_op::Response;
use tonic::{Code, Status};

use crate::support::{Running, get, on_volume, put, value};

#[tokio::test]
async fn headers_tell_cluster_member_revision_and_term() {
    let running = Running::start().await;
    let mut kv = running.kv().await;
    let first = kv.put(put("a", "1")).await.expect("a put").into_inner().header.expect("a header");
    let second = kv.put(put("a", "2")).await.expect("a put").into_inner().header.expect("a header");
    assert_eq!((first.revision, second.revision), (2, 3));
    assert!(first.cluster_id != 0 && first.member_id != 0 && first.raft_term > 0, "{first:?}");
    assert_eq!(pb::ResponseHeader { revision: 3, ..first }, second);
    let read = kv.range(get("a")).await.expect("a read").into_inner();
    assert_eq!(read.header, Some(second));
    running.stop().await;
}

fn op(request: Request) -> pb::RequestOp {
    pb::RequestOp { request: Some(request) }
}

fn value_is(key: &str, value: &str) -> pb::Compare {
    pb::Compare {
        result: CompareResult::Equal.into(),
        target: CompareTarget::Value.into(),
        key: key.to_owned().into(),
        target_union: Some(TargetUnion::Value(value.to_owned().into())),
        ..Default::default()
    }
}

#[tokio::test]
async fn a_transaction_takes_one_branch_at_one_revision() {
    let running = Running::start().await;
    let mut kv = running.kv().await;
    kv.put(put("lock", "free")).await.expect("a put");
    let take = pb::TxnRequest {
        compare: vec![value_is("lock", "free")],
        success: vec![op(Request::RequestPut(put("lock", "mine"))), op(Request::RequestRange(get("lock")))],
        failure: vec![op(Request::RequestRange(get("lock")))],
    };
    let taken = kv.txn(take.clone()).await.expect("a transaction").into_inner();
    assert!(taken.succeeded);
    assert_eq!(taken.header.expect("a header").revision, 3);
    let inner = pb::ResponseHeader { revision: 3, ..Default::default() };
    match &taken.responses[1].response {
        Some(Response::ResponseRange(range)) => {
            assert_eq!(range.header, Some(inner));
            assert_eq!(&range.kvs[0].value[..], b"mine");
        }
        other => panic!("not a range: {other:?}"),
    }
    let again = kv.txn(take).await.expect("a transaction").into_inner();
    assert!(!again.succeeded);
    assert_eq!(again.header.expect("a header").revision, 3, "a branch that only reads makes no revision");
    running.stop().await;
}

async fn refusal<T: std::fmt::Debug>(
    call: impl Future<Output = Result<tonic::Response<T>, Status>>,
) -> (Code, String) {
    let status = call.await.expect_err("a refusal");
    (status.code(), status.message().to_owned())
}

#[tokio::test]
async fn refusals_are_worded_as_etcd_words_them() {
    let running = Running::start().await;
    let mut kv = running.kv().await;
    let invalid = |text: &str| (Code::InvalidArgument, format!("etcdserver: {text}"));
    assert_eq!(refusal(kv.put(put("", "v"))).await, invalid("key is not provided"));
    let keep = pb::PutRequest { ignore_value: true, ..put("missing", "") };
    assert_eq!(refusal(kv.put(keep)).await, invalid("key not found"));
    let both = pb::PutRequest { ignore_value: true, ..put("k", "v") };
    assert_eq!(refusal(kv.put(both)).await, invalid("value is provided"));
    let twice = vec![op(Request::RequestPut(put("k", "1"))), op(Request::RequestPut(put("k", "2")))];
    let txn = pb::TxnRequest { success: twice, ..Default::default() };
    assert_eq!(refusal(kv.txn(txn)).await, invalid("duplicate key given in txn request"));
    let many = (0..129).map(|n| op(Request::RequestPut(put(&format!("k{n}"), "")))).collect();
    let txn = pb::TxnRequest { success: many, ..Default::default() };
    assert_eq!(refusal(kv.txn(txn)).await, invalid("too many operations in txn request"));
    let sort = pb::RangeRequest { sort_order: 9, ..get("k") };
    assert_eq!(refusal(kv.range(sort)).await, invalid("invalid sort option"));
    let future = pb::RangeRequest { revision: 99, ..get("k") };
    let out = |text: &str| (Code::OutOfRange, format!("etcdserver: mvcc: required revision {text}"));
    assert_eq!(refusal(kv.range(future)).await, out("is a future revision"));
    running.stop().await;
}

#[tokio::test]
async fn requests_that_are_too_large_are_refused_and_nothing_is_lost() {
    let running = Running::start().await;
    let mut kv = running.kv().await;
    kv.put(put("k", "before")).await.expect("a put");
    let little = put("k", &"x".repeat(1600 * 1024));
    let expected = (Code::InvalidArgument, "etcdserver: request is too large".to_owned());
    assert_eq!(refusal(kv.put(little)).await, expected);
    let (code, message) = refusal(kv.put(put("k", &"x".repeat(4 * 1024 * 1024)))).await;
    assert_eq!(code, Code::OutOfRange, "{message}");
    assert!(message.contains("limit"), "{message}");
    assert_eq!(value(&mut kv, "k").await.as_deref(), Some("before"));
    let fits = put("k", &"x".repeat(1500 * 1024));
    kv.put(fits).await.expect("a request just below the limit");
    running.stop().await;
}

#[tokio::test]
async fn compacted_revisions_cannot_be_read_and_hashes_agree_with_themselves() {
    let running = Running::start().await;
    let mut kv = running.kv().await;
    let mut maintenance = MaintenanceClient::new(running.channel().await);
    for number in 0..5 {
        kv.put(put("k", &number.to_string())).await.expect("a put");
    }
    let at = |revision| pb::HashKvRequest { revision };
    let before = maintenance.hash_kv(at(6)).await.expect("a hash").into_inner();
    let compact = pb::CompactionRequest { revision: 4, physical: true };
    kv.compact(compact).await.expect("a compaction");
    let old = refusal(kv.range(pb::RangeRequest { revision: 3, ..get("k") })).await;
    let compacted = "etcdserver: mvcc: required revision has been compacted";
    assert_eq!(old, (Code::OutOfRange, compacted.to_owned()));
    assert_eq!(refusal(kv.compact(compact)).await, (Code::OutOfRange, compacted.to_owned()));
    let kept = kv.range(pb::RangeRequest { revision: 4, ..get("k") }).await.expect("a read").into_inner();
    assert_eq!(&kept.kvs[0].value[..], b"2");
    let after = maintenance.hash_kv(at(6)).await.expect("a hash").into_inner();
    assert_eq!((after.hash, after.hash_revision), (before.hash, 6));
    assert_eq!(after.compact_revision, 4);
    let newest = maintenance.hash(pb::HashRequest {}).await.expect("a hash").into_inner();
    assert_eq!(newest.hash, after.hash);
    running.stop().await;
}

#[tokio::test]
async fn volumes_are_apart_and_an_unknown_one_says_how_to_make_it() {
    let running = Running::start().await;
    let create =
        mortise::pb::mortise::v1::CreateVolumeRequest { name: "tenant-a".into(), ..Default::default() };
    running.admin().await.create_volume(create).await.expect("created");
    let mut kv = running.kv().await;
    kv.put(on_volume("tenant-a", put("k", "a"))).await.expect("a put");
    assert_eq!(value(&mut kv, "k").await, None);
    let there = kv.range(on_volume("tenant-a", get("k"))).await.expect("a read").into_inner();
    assert_eq!(&there.kvs[0].value[..], b"a");
    let (code, message) = refusal(kv.put(on_volume("tenant-b", put("k", "b")))).await;
    assert_eq!(code, Code::NotFound);
    for part in ["\"tenant-b\"", "mortise volume create tenant-b"] {
        assert!(message.contains(part), "{message}");
    }
    running.stop().await;
}

#[tokio::test]
async fn the_system_volume_can_be_read_and_not_written() {
    let running = Running::start().await;
    let mut kv = running.kv().await;
    let all = pb::RangeRequest { key: vec![0].into(), range_end: vec![0].into(), ..Default::default() };
    let catalog = kv.range(on_volume("system", all)).await.expect("a read").into_inner();
    assert!(!catalog.kvs.is_empty(), "the catalog is empty");
    let (code, message) = refusal(kv.put(on_volume("system", put("k", "v")))).await;
    assert_eq!(code, Code::FailedPrecondition);
    assert!(message.contains("catalog"), "{message}");
    let txn = pb::TxnRequest { success: vec![op(Request::RequestPut(put("k", "v")))], ..Default::default() };
    assert_eq!(refusal(kv.txn(on_volume("system", txn))).await.0, Code::FailedPrecondition);
    running.stop().await;
}
