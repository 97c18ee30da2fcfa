//! Oddities of the protocol, one by one.

use tonic::Code;

use super::*;

fn wire_range(request: pb::RangeRequest) -> kv::RangeRequest {
    range(pb::RangeRequest { key: "k".into(), ..request }).expect("valid")
}

#[test]
fn negative_limits_and_revisions_mean_none() {
    let request = wire_range(pb::RangeRequest { limit: -3, revision: -1, ..Default::default() });
    assert_eq!((request.limit, request.revision), (0, 0));
}

#[test]
fn a_sort_target_without_an_order_is_left_to_the_kernel() {
    let by_mod = pb::RangeRequest { sort_target: SortTarget::Mod.into(), ..Default::default() };
    assert_eq!(wire_range(by_mod).sort_order, kv::SortOrder::None);
    assert_eq!(wire_range(pb::RangeRequest::default()).sort_order, kv::SortOrder::None);
}

#[test]
fn unknown_sort_options_are_refused_in_etcds_words() {
    for request in [
        pb::RangeRequest { sort_order: 3, ..Default::default() },
        pb::RangeRequest { sort_target: 5, ..Default::default() },
        pb::RangeRequest { sort_target: -1, ..Default::default() },
    ] {
        let status = range(request).expect_err("unknown");
        assert_eq!(status.code(), Code::InvalidArgument);
        assert_eq!(status.message(), "etcdserver: invalid sort option");
    }
}

#[test]
fn a_comparison_without_its_operand_compares_with_zero() {
    let targets = [
        (CompareTarget::Version, kv::CompareTarget::Version(0)),
        (CompareTarget::Create, kv::CompareTarget::CreateRevision(0)),
        (CompareTarget::Mod, kv::CompareTarget::ModRevision(0)),
        (CompareTarget::Value, kv::CompareTarget::Value(Bytes::new())),
        (CompareTarget::Lease, kv::CompareTarget::Lease(0)),
    ];
    for (target, expected) in targets {
        let request = pb::Compare { target: target.into(), key: "k".into(), ..Default::default() };
        assert_eq!(compare(request).expect("valid").target, expected);
    }
    let mismatch = pb::Compare { target_union: Some(TargetUnion::Lease(9)), ..Default::default() };
    assert_eq!(compare(mismatch).expect("valid").target, kv::CompareTarget::Version(0));
}

#[test]
fn unknown_comparisons_are_refused_naming_the_field() {
    let status = compare(pb::Compare { target: 5, ..Default::default() }).expect_err("unknown");
    assert!(status.message().contains("compare.target is 5"), "{status:?}");
    let status = compare(pb::Compare { result: 4, ..Default::default() }).expect_err("unknown");
    assert!(status.message().contains("compare.result is 4"), "{status:?}");
}

#[test]
fn an_empty_operation_is_a_missing_key() {
    let request = pb::TxnRequest { success: vec![pb::RequestOp::default()], ..Default::default() };
    let status = txn(request).expect_err("empty");
    assert_eq!(status.message(), "etcdserver: key not found");
}

#[test]
fn a_transaction_is_serializable_when_all_its_reads_are() {
    let read = |serializable| pb::RequestOp {
        request: Some(Request::RequestRange(pb::RangeRequest { serializable, ..Default::default() })),
    };
    let txn = |ops| pb::TxnRequest { success: ops, ..Default::default() };
    let nest = |inner| pb::RequestOp { request: Some(Request::RequestTxn(inner)) };
    assert!(is_serializable(&txn(vec![read(true), nest(txn(vec![read(true)]))])));
    assert!(!is_serializable(&txn(vec![read(true), read(false)])));
    assert!(!is_serializable(&txn(vec![nest(txn(vec![read(false)]))])));
}

#[test]
fn headers_inside_a_transaction_carry_the_revision_alone() {
    let answer = kv::TxnResponse {
        revision: 9,
        succeeded: true,
        responses: vec![
            kv::OpResponse::Put(kv::PutResponse { revision: 9, prev_kv: None }),
            kv::OpResponse::Txn(kv::TxnResponse { revision: 9, ..Default::default() }),
        ],
    };
    let top = pb::ResponseHeader { cluster_id: 1, member_id: 2, revision: 9, raft_term: 3 };
    let answer = txn_response(answer, top);
    assert_eq!(answer.header, Some(top));
    let headers = answer.responses.iter().map(|op| match &op.response {
        Some(Response::ResponsePut(put)) => put.header,
        Some(Response::ResponseTxn(txn)) => txn.header,
        other => panic!("unexpected {other:?}"),
    });
    let headers: Vec<_> = headers.collect();
    let revision = |revision| Some(pb::ResponseHeader { revision, ..Default::default() });
    assert_eq!(headers, [revision(9), revision(0)]);
}
