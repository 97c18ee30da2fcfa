//! Makes two outcomes of the same request comparable, field by field.
//!
//! Ids of cluster and member and the raft term differ between any two servers and are cleared. etcd sorts by
//! an unstable algorithm: the order within ties is undefined, so ties are brought into key order, and where a
//! limit cuts through a tie only the field sorted by is kept of that tie. Nothing else is touched.

use mortise::pb::etcdserverpb as pb;
use mortise::pb::mvccpb::KeyValue;
use pb::range_request::SortTarget;
use pb::request_op::Request as OpRequest;
use pb::response_op::Response as OpResponse;

use crate::request::{Answer, Outcome, Request};

/// The outcome with everything cleared that may differ between two right servers.
#[allow(clippy::missing_errors_doc, reason = "a refusal is handed on, it is no failure of this function")]
pub fn comparable(request: &Request, outcome: &Outcome) -> Outcome {
    let mut answer = outcome.clone()?;
    match (&mut answer, request) {
        (Answer::Range(answer), Request::Range(request)) => range(request, answer),
        (Answer::Txn(answer), Request::Txn(request)) => txn(request, answer),
        (Answer::Put(answer), _) => header(&mut answer.header),
        (Answer::Delete(answer), _) => header(&mut answer.header),
        (Answer::Compact(answer), _) => header(&mut answer.header),
        (Answer::Range(_) | Answer::Txn(_), _) => unreachable!("an answer has the type of its request"),
    }
    Ok(answer)
}

/// Compares two outcomes of one request.
///
/// # Errors
/// Both, with the request, as text.
pub fn same(request: &Request, left: (&str, &Outcome), right: (&str, &Outcome)) -> Result<(), String> {
    let (ours, theirs) = (comparable(request, left.1), comparable(request, right.1));
    if ours == theirs {
        return Ok(());
    }
    Err(format!("{request:#?}\n{} answers {ours:#?}\n{} answers {theirs:#?}", left.0, right.0))
}

fn header(header: &mut Option<pb::ResponseHeader>) {
    // A missing header and one that says nothing are the same on the wire for a reader.
    let revision = header.as_ref().map_or(0, |header| header.revision);
    *header = Some(pb::ResponseHeader { revision, ..Default::default() });
}

fn txn(request: &pb::TxnRequest, answer: &mut pb::TxnResponse) {
    header(&mut answer.header);
    let ops = if answer.succeeded { &request.success } else { &request.failure };
    for (op, answer) in ops.iter().zip(&mut answer.responses) {
        match (&op.request, &mut answer.response) {
            (Some(OpRequest::RequestRange(request)), Some(OpResponse::ResponseRange(answer))) => {
                range(request, answer);
            }
            (Some(OpRequest::RequestTxn(request)), Some(OpResponse::ResponseTxn(answer))) => {
                txn(request, answer)
            }
            (_, Some(OpResponse::ResponsePut(answer))) => header(&mut answer.header),
            (_, Some(OpResponse::ResponseDeleteRange(answer))) => header(&mut answer.header),
            _ => {}
        }
    }
}

fn range(request: &pb::RangeRequest, answer: &mut pb::RangeResponse) {
    header(&mut answer.header);
    let target = request.sort_target();
    if target == SortTarget::Key {
        return;
    }
    // keys_only clears values after sorting by them, so ties cannot be told apart any more.
    let hidden = request.keys_only && target == SortTarget::Value;
    let tie = |a: &KeyValue, b: &KeyValue| match target {
        SortTarget::Version => a.version == b.version,
        SortTarget::Create => a.create_revision == b.create_revision,
        SortTarget::Mod => a.mod_revision == b.mod_revision,
        SortTarget::Value | SortTarget::Key => hidden || a.value == b.value,
    };
    let cut = answer.more;
    let mut groups = answer.kvs.chunk_by_mut(tie).peekable();
    while let Some(group) = groups.next() {
        group.sort_by(|a, b| a.key.cmp(&b.key));
        if cut && groups.peek().is_none() {
            group.iter_mut().for_each(|kv| keep_only(target, kv));
        }
    }
}

fn keep_only(target: SortTarget, kv: &mut KeyValue) {
    let full = std::mem::take(kv);
    match target {
        SortTarget::Version => kv.version = full.version,
        SortTarget::Create => kv.create_revision = full.create_revision,
        SortTarget::Mod => kv.mod_revision = full.mod_revision,
        SortTarget::Value => kv.value = full.value,
        SortTarget::Key => kv.key = full.key,
    }
}
