//! What etcd refuses before it looks at any state, for the [model](crate::Model), with its codes and texts.
//!
//! The order of the checks is part of the contract where a request is wrong in two ways: sizes of lists, then
//! keys, then nested operations, then duplicate keys.

use std::collections::BTreeSet;

use bytes::Bytes;
use mortise::pb::etcdserverpb as pb;
use pb::request_op::Request as OpRequest;
use prost::Message as _;

use crate::request::{Refusal, Request};

/// Most operations in one list of a transaction, etcd's default.
pub const MAX_OPS: usize = 128;
/// Largest request, etcd's default.
pub const MAX_BYTES: usize = 1536 * 1024;

/// etcd's refusals.
pub mod refuse {
    use tonic::Code;

    use crate::request::Refusal;

    macro_rules! refusals {
        ($($(#[$doc:meta])* $name:ident => $code:ident, $text:literal;)*) => {
            $($(#[$doc])* #[must_use] pub fn $name() -> Refusal { Refusal::new(Code::$code, $text) })*
        };
    }
    refusals! {
        /// No key given.
        empty_key => InvalidArgument, "etcdserver: key is not provided";
        /// A value together with `ignore_value`.
        value_provided => InvalidArgument, "etcdserver: value is provided";
        /// A lease together with `ignore_lease`.
        lease_provided => InvalidArgument, "etcdserver: lease is provided";
        /// A key whose value or lease was to be kept is not there; also an empty operation.
        key_not_found => InvalidArgument, "etcdserver: key not found";
        /// The lease does not exist.
        lease_not_found => NotFound, "etcdserver: requested lease not found";
        /// One key written twice in a transaction.
        duplicate_key => InvalidArgument, "etcdserver: duplicate key given in txn request";
        /// More than [`MAX_OPS`](super::MAX_OPS) operations.
        too_many_ops => InvalidArgument, "etcdserver: too many operations in txn request";
        /// More than [`MAX_BYTES`](super::MAX_BYTES).
        too_large => InvalidArgument, "etcdserver: request is too large";
        /// A revision that was compacted.
        compacted => OutOfRange, "etcdserver: mvcc: required revision has been compacted";
        /// A revision that does not exist yet.
        future_revision => OutOfRange, "etcdserver: mvcc: required revision is a future revision";
    }
}

/// Refuses what is wrong whatever the state.
///
/// # Errors
/// The refusal that etcd would give.
pub(crate) fn check(request: &Request) -> Result<(), Refusal> {
    let bytes = match request {
        Request::Range(range) => {
            check_key(&range.key)?;
            0
        }
        Request::Put(put) => {
            check_put(put)?;
            put.encoded_len()
        }
        Request::Delete(delete) => {
            check_key(&delete.key)?;
            delete.encoded_len()
        }
        Request::Txn(txn) => {
            check_txn(txn, MAX_OPS)?;
            check_intervals(&txn.success)?;
            check_intervals(&txn.failure)?;
            txn.encoded_len()
        }
        Request::Compact(_) => 0,
    };
    if bytes > MAX_BYTES { Err(refuse::too_large()) } else { Ok(()) }
}

fn check_key(key: &Bytes) -> Result<(), Refusal> {
    if key.is_empty() { Err(refuse::empty_key()) } else { Ok(()) }
}

fn check_put(put: &pb::PutRequest) -> Result<(), Refusal> {
    check_key(&put.key)?;
    if put.ignore_value && !put.value.is_empty() {
        return Err(refuse::value_provided());
    }
    if put.ignore_lease && put.lease != 0 {
        return Err(refuse::lease_provided());
    }
    Ok(())
}

fn check_txn(txn: &pb::TxnRequest, max_ops: usize) -> Result<(), Refusal> {
    let ops = txn.compare.len().max(txn.success.len()).max(txn.failure.len());
    if ops > max_ops {
        return Err(refuse::too_many_ops());
    }
    txn.compare.iter().try_for_each(|compare| check_key(&compare.key))?;
    txn.success.iter().chain(&txn.failure).try_for_each(|op| match &op.request {
        Some(OpRequest::RequestRange(range)) => check_key(&range.key),
        Some(OpRequest::RequestPut(put)) => check_put(put),
        Some(OpRequest::RequestDeleteRange(delete)) => check_key(&delete.key),
        // What the outer transaction holds counts against the inner ones.
        Some(OpRequest::RequestTxn(inner)) => check_txn(inner, max_ops - ops),
        None => Err(refuse::key_not_found()),
    })
}

/// A deleted range: first key, and the end with etcd's rules for an empty one.
type Deleted = (Bytes, Bytes);

/// Keys put and ranges deleted by a list, nested transactions included; refuses a key that is written twice.
/// The two branches of one nested transaction exclude each other and may write the same keys.
fn check_intervals(ops: &[pb::RequestOp]) -> Result<(BTreeSet<Bytes>, Vec<Deleted>), Refusal> {
    let mut puts = BTreeSet::new();
    let mut deletes: Vec<Deleted> = ops
        .iter()
        .filter_map(|op| match &op.request {
            Some(OpRequest::RequestDeleteRange(delete)) => {
                Some((delete.key.clone(), delete.range_end.clone()))
            }
            _ => None,
        })
        .collect();
    for op in ops {
        let Some(OpRequest::RequestTxn(inner)) = &op.request else { continue };
        let (then_puts, then_deletes) = check_intervals(&inner.success)?;
        let (else_puts, else_deletes) = check_intervals(&inner.failure)?;
        for key in &then_puts {
            add(&mut puts, &deletes, key)?;
        }
        for key in &else_puts {
            if then_puts.contains(key) {
                continue;
            }
            add(&mut puts, &deletes, key)?;
        }
        deletes.extend(then_deletes);
        deletes.extend(else_deletes);
    }
    for op in ops {
        if let Some(OpRequest::RequestPut(put)) = &op.request {
            add(&mut puts, &deletes, &put.key)?;
        }
    }
    Ok((puts, deletes))
}

fn add(puts: &mut BTreeSet<Bytes>, deletes: &[Deleted], key: &Bytes) -> Result<(), Refusal> {
    let deleted = deletes.iter().any(|(start, end)| match end.as_ref() {
        [] => start == key,
        [0] => start <= key,
        _ => start <= key && key < end,
    });
    if deleted || !puts.insert(key.clone()) { Err(refuse::duplicate_key()) } else { Ok(()) }
}
