//! Judges requests before they reach the log, with etcd's rules in etcd's order, so that a request with
//! several faults gets the error that etcd would give.
//!
//! Only the request itself is looked at, never the state: a request that passes here may still be refused
//! by [`crate::store::Store::apply`] (a compacted revision, a key that is not there). One rule is Mortise's
//! own: a key has at most [`MAX_KEY_BYTES`], because the tree stores its length in 16 bits.
//!
//! This module must not know the store or gRPC.

use std::collections::HashSet;

use super::{
    Command, Compare, CompareResult, CompareTarget, DeleteRangeRequest, Op, PutRequest, RangeRequest,
    SortTarget, TxnRequest,
};
use crate::{Error, Result};

/// Longest key that can be written, in bytes.
pub const MAX_KEY_BYTES: usize = 32_000;

/// A request that can be judged.
pub trait Validate {
    /// Judges the request; lists of a transaction may hold `max_txn_ops` operations (nesting uses the
    /// allowance up) and a request that is logged may have `max_request_bytes`.
    ///
    /// # Errors
    /// The first rule that the request breaks, in etcd's order.
    fn validate(&self, max_txn_ops: usize, max_request_bytes: usize) -> Result<()>;
}

/// Judges `request`; see [`Validate::validate`].
///
/// # Errors
/// The first rule that the request breaks, in etcd's order.
pub fn validate(request: &impl Validate, max_txn_ops: usize, max_request_bytes: usize) -> Result<()> {
    request.validate(max_txn_ops, max_request_bytes)
}

/// Whether `request` holds no write in any branch, so that it needs no log entry.
#[must_use]
pub fn is_read_only(request: &TxnRequest) -> bool {
    request.success.iter().chain(&request.failure).all(|op| match op {
        Op::Range(_) => true,
        Op::Put(_) | Op::DeleteRange(_) => false,
        Op::Txn(nested) => is_read_only(nested),
    })
}

impl Validate for Command {
    fn validate(&self, max_txn_ops: usize, max_request_bytes: usize) -> Result<()> {
        match self {
            Self::Put(put) => check_put(put)?,
            Self::DeleteRange(delete) => check_delete(delete)?,
            Self::Txn(txn) => check_txn_whole(txn, max_txn_ops)?,
            Self::Compact { .. } => {}
        }
        check_bytes(self, max_request_bytes)
    }
}

/// Judges a command for a volume whose format is not natural. What a range holds shows only in stored form
/// there, so that [`check_overlaps`] is left to whoever encodes the command.
pub(crate) fn validate_to_encode(
    command: &Command,
    max_txn_ops: usize,
    max_request_bytes: usize,
) -> Result<()> {
    match command {
        Command::Txn(txn) => {
            check_txn(txn, max_txn_ops)?;
            check_bytes(command, max_request_bytes)
        }
        command => command.validate(max_txn_ops, max_request_bytes),
    }
}

/// Whether a command holds so little that encoding it, and decoding what it compares, takes no time to speak
/// of.
pub(crate) fn is_small(command: &Command) -> bool {
    const FEW: usize = 8;
    const FEW_BYTES: usize = 64 * 1024;
    let flat = |op: &Op| !matches!(op, Op::Txn(_));
    let few = match command {
        Command::Txn(txn) => {
            let ops = || txn.success.iter().chain(&txn.failure);
            txn.compare.len() + ops().count() <= FEW && ops().all(flat)
        }
        _ => true,
    };
    few && command_bytes(command) <= FEW_BYTES && !orders_values(command)
}

/// Whether a command compares values by their order, or sorts by them, so that a store whose format is not
/// natural has to decode them.
pub(crate) fn orders_values(command: &Command) -> bool {
    match command {
        Command::Txn(txn) => txn_orders_values(txn),
        Command::Put(_) | Command::DeleteRange(_) | Command::Compact { .. } => false,
    }
}

fn txn_orders_values(txn: &TxnRequest) -> bool {
    txn.compare.iter().any(needs_order_of_values)
        || txn.success.iter().chain(&txn.failure).any(|op| match op {
            Op::Range(range) => range.sort_target == SortTarget::Value,
            Op::Txn(nested) => txn_orders_values(nested),
            Op::Put(_) | Op::DeleteRange(_) => false,
        })
}

/// Whether a comparison depends on the order of values.
pub(crate) fn needs_order_of_values(compare: &Compare) -> bool {
    matches!(compare.target, CompareTarget::Value(_))
        && matches!(compare.result, CompareResult::Greater | CompareResult::Less)
}

/// Whether applying a command may change much more than it says itself: it deletes a range, or has many
/// operations that write.
pub(crate) fn may_be_heavy(command: &Command) -> bool {
    const FEW_WRITES: usize = 8;
    match command {
        Command::Put(_) | Command::Compact { .. } => false,
        Command::DeleteRange(delete) => !delete.range_end.is_empty(),
        Command::Txn(txn) => writes_of(txn) > FEW_WRITES,
    }
}

/// Whether what a command does depends on the order of keys: whether it deletes or compares a range that is
/// not all keys.
pub(crate) fn depends_on_order(command: &Command) -> bool {
    match command {
        Command::Put(_) | Command::Compact { .. } => false,
        Command::DeleteRange(delete) => is_part(&delete.key, &delete.range_end),
        Command::Txn(txn) => txn_depends_on_order(txn),
    }
}

fn is_part(key: &[u8], range_end: &[u8]) -> bool {
    !range_end.is_empty() && (key, range_end) != (&[0], &[0])
}

fn txn_depends_on_order(txn: &TxnRequest) -> bool {
    let compares = txn.compare.iter().any(|compare| is_part(&compare.key, &compare.range_end));
    compares
        || txn.success.iter().chain(&txn.failure).any(|op| match op {
            Op::Range(_) | Op::Put(_) => false,
            Op::DeleteRange(delete) => is_part(&delete.key, &delete.range_end),
            Op::Txn(nested) => txn_depends_on_order(nested),
        })
}

/// Operations that write, of the branch with the most; to delete a range is without number.
fn writes_of(txn: &TxnRequest) -> usize {
    let of = |op: &Op| match op {
        Op::Range(_) => 0,
        Op::Put(_) => 1,
        Op::DeleteRange(delete) if delete.range_end.is_empty() => 1,
        Op::DeleteRange(_) => usize::MAX,
        Op::Txn(nested) => writes_of(nested),
    };
    let all = |ops: &[Op]| ops.iter().map(of).fold(0, usize::saturating_add);
    all(&txn.success).max(all(&txn.failure))
}

fn command_bytes(command: &Command) -> usize {
    match command {
        Command::Put(put) => put_bytes(put),
        Command::DeleteRange(delete) => delete_bytes(delete),
        Command::Txn(txn) => txn_bytes(txn),
        Command::Compact { .. } => 0,
    }
}

fn check_bytes(command: &Command, max_request_bytes: usize) -> Result<()> {
    let found = command_bytes(command);
    if found > max_request_bytes {
        return Err(Error::RequestTooLarge { found, limit: max_request_bytes });
    }
    Ok(())
}

impl Validate for RangeRequest {
    fn validate(&self, _max_txn_ops: usize, _max_request_bytes: usize) -> Result<()> {
        check_range(self)
    }
}

impl Validate for TxnRequest {
    /// A transaction that only reads is not logged and has no size limit, as in etcd.
    fn validate(&self, max_txn_ops: usize, max_request_bytes: usize) -> Result<()> {
        check_txn_whole(self, max_txn_ops)?;
        let found = txn_bytes(self);
        if !is_read_only(self) && found > max_request_bytes {
            return Err(Error::RequestTooLarge { found, limit: max_request_bytes });
        }
        Ok(())
    }
}

fn check_range(range: &RangeRequest) -> Result<()> {
    if range.key.is_empty() { Err(Error::EmptyKey) } else { Ok(()) }
}

fn check_put(put: &PutRequest) -> Result<()> {
    if put.key.is_empty() {
        return Err(Error::EmptyKey);
    }
    if put.ignore_value && !put.value.is_empty() {
        return Err(Error::ValueProvided);
    }
    if put.ignore_lease && put.lease != 0 {
        return Err(Error::LeaseProvided);
    }
    if put.key.len() > MAX_KEY_BYTES {
        return Err(Error::RequestTooLarge { found: put.key.len(), limit: MAX_KEY_BYTES });
    }
    Ok(())
}

fn check_delete(delete: &DeleteRangeRequest) -> Result<()> {
    if delete.key.is_empty() { Err(Error::EmptyKey) } else { Ok(()) }
}

fn check_txn_whole(txn: &TxnRequest, max_txn_ops: usize) -> Result<()> {
    check_txn(txn, max_txn_ops)?;
    check_overlaps(txn)
}

/// Refuses a transaction that puts a key twice, or puts and deletes it, in one branch.
pub(crate) fn check_overlaps(txn: &TxnRequest) -> Result<()> {
    check_intervals(&txn.success)?;
    check_intervals(&txn.failure)?;
    Ok(())
}

fn check_txn(txn: &TxnRequest, max_txn_ops: usize) -> Result<()> {
    let longest = txn.compare.len().max(txn.success.len()).max(txn.failure.len());
    if longest > max_txn_ops {
        return Err(Error::TooManyOperations { found: longest, limit: max_txn_ops });
    }
    if txn.compare.iter().any(|compare| compare.key.is_empty()) {
        return Err(Error::EmptyKey);
    }
    for op in txn.success.iter().chain(&txn.failure) {
        match op {
            Op::Range(range) => check_range(range)?,
            Op::Put(put) => check_put(put)?,
            Op::DeleteRange(delete) => check_delete(delete)?,
            Op::Txn(nested) => check_txn(nested, max_txn_ops - longest)?,
        }
    }
    Ok(())
}

/// What one list of operations, with everything nested in it, may write.
#[derive(Default)]
struct Writes<'a> {
    puts: HashSet<&'a [u8]>,
    deletes: Vec<&'a DeleteRangeRequest>,
}

impl Writes<'_> {
    fn deletes(&self, key: &[u8]) -> bool {
        self.deletes.iter().any(|delete| is_deleted_by(key, delete))
    }
}

/// Whether `delete` clashes with a put of `key`. Like etcd 3.4, this takes a `range_end` of one zero byte
/// literally, so that a delete «from here to the end» clashes with nothing: clients depend on what passes.
fn is_deleted_by(key: &[u8], delete: &DeleteRangeRequest) -> bool {
    if delete.range_end.is_empty() {
        key == delete.key
    } else {
        *key >= *delete.key && *key < *delete.range_end
    }
}

/// Refuses lists that put a key twice, or put and delete it. The order of the three passes, and with it what
/// they do not find (a put in one nested transaction and a delete in a later one), is etcd's.
fn check_intervals(ops: &[Op]) -> Result<Writes<'_>> {
    let mut writes = Writes::default();
    for op in ops {
        if let Op::DeleteRange(delete) = op {
            writes.deletes.push(delete);
        }
    }
    for op in ops {
        let Op::Txn(nested) = op else { continue };
        let then = check_intervals(&nested.success)?;
        let otherwise = check_intervals(&nested.failure)?;
        for &key in &then.puts {
            if writes.puts.contains(key) || writes.deletes(key) {
                return Err(Error::DuplicateKey);
            }
        }
        for &key in &otherwise.puts {
            // The two branches exclude each other, so both may put the same key.
            if writes.puts.contains(key) || writes.deletes(key) {
                return Err(Error::DuplicateKey);
            }
        }
        writes.puts.extend(then.puts);
        writes.puts.extend(otherwise.puts);
        writes.deletes.extend(then.deletes);
        writes.deletes.extend(otherwise.deletes);
    }
    for op in ops {
        let Op::Put(put) = op else { continue };
        if writes.deletes(&put.key) || !writes.puts.insert(&put.key) {
            return Err(Error::DuplicateKey);
        }
    }
    Ok(writes)
}

/// Bytes that the framing of one field costs on the wire, at most, for fields below 2 MiB.
const FIELD: usize = 4;

fn field(bytes: &[u8]) -> usize {
    if bytes.is_empty() { 0 } else { bytes.len() + FIELD }
}

fn range_bytes(range: &RangeRequest) -> usize {
    field(&range.key) + field(&range.range_end)
}

fn put_bytes(put: &PutRequest) -> usize {
    field(&put.key) + field(&put.value)
}

fn delete_bytes(delete: &DeleteRangeRequest) -> usize {
    field(&delete.key) + field(&delete.range_end)
}

fn compare_bytes(compare: &Compare) -> usize {
    let value = match &compare.target {
        CompareTarget::Value(value) => field(value),
        _ => FIELD,
    };
    field(&compare.key) + field(&compare.range_end) + value
}

fn txn_bytes(txn: &TxnRequest) -> usize {
    let ops = txn.success.iter().chain(&txn.failure).map(|op| match op {
        Op::Range(range) => range_bytes(range),
        Op::Put(put) => put_bytes(put),
        Op::DeleteRange(delete) => delete_bytes(delete),
        Op::Txn(nested) => txn_bytes(nested),
    });
    ops.chain(txn.compare.iter().map(compare_bytes)).map(|bytes| bytes + FIELD).sum()
}
