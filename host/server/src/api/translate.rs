//! etcd's messages to the kernel's types and back.
//!
//! Pure functions. Oddities of the protocol are settled here so that the kernel sees none: negative limits
//! mean no limit, an enumeration value that does not exist is an invalid argument, a comparison without an
//! operand compares with zero, and an operation without content is a missing key, as in etcd.

use bytes::Bytes;
use mortise_kernel::kv;
use tonic::Status;

use crate::pb::etcdserverpb as pb;
use crate::pb::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use crate::pb::etcdserverpb::range_request::{SortOrder, SortTarget};
use crate::pb::etcdserverpb::request_op::Request;
use crate::pb::etcdserverpb::response_op::Response;
use crate::pb::mvccpb;

pub(super) fn range(request: pb::RangeRequest) -> Result<kv::RangeRequest, Status> {
    let invalid = |_| Status::invalid_argument("etcdserver: invalid sort option");
    let order = SortOrder::try_from(request.sort_order).map_err(invalid)?;
    let target = SortTarget::try_from(request.sort_target).map_err(invalid)?;
    let order = match order {
        SortOrder::None => kv::SortOrder::None,
        SortOrder::Ascend => kv::SortOrder::Ascend,
        SortOrder::Descend => kv::SortOrder::Descend,
    };
    let target = match target {
        SortTarget::Key => kv::SortTarget::Key,
        SortTarget::Version => kv::SortTarget::Version,
        SortTarget::Create => kv::SortTarget::Create,
        SortTarget::Mod => kv::SortTarget::Mod,
        SortTarget::Value => kv::SortTarget::Value,
    };
    Ok(kv::RangeRequest {
        key: request.key,
        range_end: request.range_end,
        limit: request.limit.max(0),
        revision: request.revision.max(0),
        sort_order: order,
        sort_target: target,
        keys_only: request.keys_only,
        count_only: request.count_only,
        min_mod_revision: request.min_mod_revision,
        max_mod_revision: request.max_mod_revision,
        min_create_revision: request.min_create_revision,
        max_create_revision: request.max_create_revision,
    })
}

pub(super) fn put(request: pb::PutRequest) -> kv::PutRequest {
    kv::PutRequest {
        key: request.key,
        value: request.value,
        lease: request.lease,
        prev_kv: request.prev_kv,
        ignore_value: request.ignore_value,
        ignore_lease: request.ignore_lease,
    }
}

pub(super) fn delete_range(request: pb::DeleteRangeRequest) -> kv::DeleteRangeRequest {
    kv::DeleteRangeRequest { key: request.key, range_end: request.range_end, prev_kv: request.prev_kv }
}

pub(super) fn txn(request: pb::TxnRequest) -> Result<kv::TxnRequest, Status> {
    Ok(kv::TxnRequest {
        compare: request.compare.into_iter().map(compare).collect::<Result<_, _>>()?,
        success: request.success.into_iter().map(op).collect::<Result<_, _>>()?,
        failure: request.failure.into_iter().map(op).collect::<Result<_, _>>()?,
    })
}

/// Whether every read of a transaction accepts this replica's present state.
pub(super) fn is_serializable(request: &pb::TxnRequest) -> bool {
    request.success.iter().chain(&request.failure).all(|op| match &op.request {
        Some(Request::RequestRange(range)) => range.serializable,
        Some(Request::RequestTxn(txn)) => is_serializable(txn),
        _ => false,
    })
}

fn op(op: pb::RequestOp) -> Result<kv::Op, Status> {
    Ok(match op.request {
        Some(Request::RequestRange(request)) => kv::Op::Range(range(request)?),
        Some(Request::RequestPut(request)) => kv::Op::Put(put(request)),
        Some(Request::RequestDeleteRange(request)) => kv::Op::DeleteRange(delete_range(request)),
        Some(Request::RequestTxn(request)) => kv::Op::Txn(txn(request)?),
        None => return Err(Status::invalid_argument("etcdserver: key not found")),
    })
}

fn compare(compare: pb::Compare) -> Result<kv::Compare, Status> {
    let result = match CompareResult::try_from(compare.result) {
        Ok(CompareResult::Equal) => kv::CompareResult::Equal,
        Ok(CompareResult::Greater) => kv::CompareResult::Greater,
        Ok(CompareResult::Less) => kv::CompareResult::Less,
        Ok(CompareResult::NotEqual) => kv::CompareResult::NotEqual,
        Err(_) => return Err(unknown("compare.result", compare.result, "0 to 3")),
    };
    let union = compare.target_union;
    let target = match CompareTarget::try_from(compare.target) {
        Ok(CompareTarget::Version) => kv::CompareTarget::Version(match union {
            Some(TargetUnion::Version(version)) => version,
            _ => 0,
        }),
        Ok(CompareTarget::Create) => kv::CompareTarget::CreateRevision(match union {
            Some(TargetUnion::CreateRevision(revision)) => revision,
            _ => 0,
        }),
        Ok(CompareTarget::Mod) => kv::CompareTarget::ModRevision(match union {
            Some(TargetUnion::ModRevision(revision)) => revision,
            _ => 0,
        }),
        Ok(CompareTarget::Value) => kv::CompareTarget::Value(match union {
            Some(TargetUnion::Value(value)) => value,
            _ => Bytes::new(),
        }),
        Ok(CompareTarget::Lease) => kv::CompareTarget::Lease(match union {
            Some(TargetUnion::Lease(lease)) => lease,
            _ => 0,
        }),
        Err(_) => return Err(unknown("compare.target", compare.target, "0 to 4")),
    };
    Ok(kv::Compare { key: compare.key, range_end: compare.range_end, target, result })
}

fn unknown(field: &str, found: i32, allowed: &str) -> Status {
    Status::invalid_argument(format!("{field} is {found}; allowed is {allowed}"))
}

pub(super) fn key_value(kv: kv::KeyValue) -> mvccpb::KeyValue {
    mvccpb::KeyValue {
        key: kv.key,
        create_revision: kv.create_revision,
        mod_revision: kv.mod_revision,
        version: kv.version,
        value: kv.value,
        lease: kv.lease,
    }
}

pub(super) fn range_response(answer: kv::RangeResponse, header: pb::ResponseHeader) -> pb::RangeResponse {
    pb::RangeResponse {
        header: Some(header),
        kvs: answer.kvs.into_iter().map(key_value).collect(),
        more: answer.more,
        count: answer.count,
    }
}

pub(super) fn put_response(answer: kv::PutResponse, header: pb::ResponseHeader) -> pb::PutResponse {
    pb::PutResponse { header: Some(header), prev_kv: answer.prev_kv.map(key_value) }
}

pub(super) fn delete_range_response(
    answer: kv::DeleteRangeResponse,
    header: pb::ResponseHeader,
) -> pb::DeleteRangeResponse {
    pb::DeleteRangeResponse {
        header: Some(header),
        deleted: answer.deleted,
        prev_kvs: answer.prev_kvs.into_iter().map(key_value).collect(),
    }
}

pub(super) fn txn_response(answer: kv::TxnResponse, header: pb::ResponseHeader) -> pb::TxnResponse {
    pb::TxnResponse {
        header: Some(header),
        succeeded: answer.succeeded,
        responses: answer.responses.into_iter().map(op_response).collect(),
    }
}

/// Inside a transaction etcd fills in nothing but the revision, and for a nested transaction not even that.
fn op_response(answer: kv::OpResponse) -> pb::ResponseOp {
    let header = |revision| pb::ResponseHeader { revision, ..Default::default() };
    let response = match answer {
        kv::OpResponse::Range(answer) => {
            let header = header(answer.revision);
            Response::ResponseRange(range_response(answer, header))
        }
        kv::OpResponse::Put(answer) => {
            let header = header(answer.revision);
            Response::ResponsePut(put_response(answer, header))
        }
        kv::OpResponse::DeleteRange(answer) => {
            let header = header(answer.revision);
            Response::ResponseDeleteRange(delete_range_response(answer, header))
        }
        kv::OpResponse::Txn(answer) => Response::ResponseTxn(txn_response(answer, header(0))),
    };
    pb::ResponseOp { response: Some(response) }
}

#[cfg(test)]
#[path = "translate_tests.rs"]
mod tests;
