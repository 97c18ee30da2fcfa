//! Transactions: which operations run, and how they are answered.
//!
//! As in etcd, every guard, nested ones included, is judged on the state before the transaction; then what
//! would refuse the transaction is looked for along the chosen operations; only then they run, in order,
//! each seeing the writes of those before it. A nested answer carries no revision of its own (0), as in etcd.

use super::draft::Draft;
use super::read::{self, Decoding, Readable};
use super::scan::{self, Scan};
use super::source::Source;
use crate::kv::{
    Compare, DeleteRangeRequest, Op, OpResponse, PutRequest, RangeRequest, TxnRequest, TxnResponse,
};
use crate::{Error, Result};

/// The operations of a transaction that its guards select.
struct Chosen<'a> {
    succeeded: bool,
    ops: Vec<ChosenOp<'a>>,
}

enum ChosenOp<'a> {
    Range(&'a RangeRequest),
    Put(&'a PutRequest),
    Delete(&'a DeleteRangeRequest),
    Txn(Chosen<'a>),
}

fn choose<'a>(txn: &'a TxnRequest, holds: &impl Fn(&Compare) -> Result<bool>) -> Result<Chosen<'a>> {
    let mut succeeded = true;
    for compare in &txn.compare {
        if !holds(compare)? {
            succeeded = false;
            break;
        }
    }
    let ops = if succeeded { &txn.success } else { &txn.failure };
    let ops = ops.iter().map(|op| {
        Ok(match op {
            Op::Range(range) => ChosenOp::Range(range),
            Op::Put(put) => ChosenOp::Put(put),
            Op::DeleteRange(delete) => ChosenOp::Delete(delete),
            Op::Txn(nested) => ChosenOp::Txn(choose(nested, holds)?),
        })
    });
    Ok(Chosen { succeeded, ops: ops.collect::<Result<_>>()? })
}

/// Runs a transaction as part of an entry that is being applied.
pub(super) fn apply(draft: &mut Draft<'_>, txn: &TxnRequest) -> Result<TxnResponse> {
    let readable = draft.readable();
    let (source, decoding) = (draft.source(), draft.decoding());
    let chosen = choose(txn, &|compare| {
        read::holds(compare, read::open_compare(source, compare, readable)?, decoding)
    })?;
    check_puts(source, &chosen)?;
    check_ranges(readable, &chosen)?;
    let mut response = run(draft, chosen)?;
    response.revision = draft.seen_revision();
    Ok(response)
}

/// Every put is judged before every range, whatever their order in the transaction: so does etcd.
fn check_puts(source: Source<'_>, chosen: &Chosen<'_>) -> Result<()> {
    for op in &chosen.ops {
        match op {
            ChosenOp::Put(put) => {
                Draft::check_key(put)?;
                if (put.ignore_value || put.ignore_lease) && scan::latest(source, &put.key)?.is_none() {
                    return Err(Error::KeyNotFound);
                }
                Draft::check_lease(put)?;
            }
            ChosenOp::Txn(nested) => check_puts(source, nested)?,
            ChosenOp::Range(_) | ChosenOp::Delete(_) => {}
        }
    }
    Ok(())
}

fn check_ranges(readable: Readable, chosen: &Chosen<'_>) -> Result<()> {
    for op in &chosen.ops {
        match op {
            ChosenOp::Range(range) => readable.check_in_txn(range.revision)?,
            ChosenOp::Txn(nested) => check_ranges(readable, nested)?,
            ChosenOp::Put(_) | ChosenOp::Delete(_) => {}
        }
    }
    Ok(())
}

fn run(draft: &mut Draft<'_>, chosen: Chosen<'_>) -> Result<TxnResponse> {
    let mut response = TxnResponse { succeeded: chosen.succeeded, ..TxnResponse::default() };
    for op in chosen.ops {
        response.responses.push(match op {
            ChosenOp::Range(range) => OpResponse::Range(draft.range(range)?),
            ChosenOp::Put(put) => OpResponse::Put(draft.put(put)?),
            ChosenOp::Delete(delete) => OpResponse::DeleteRange(draft.delete_range(delete)?),
            ChosenOp::Txn(nested) => OpResponse::Txn(run(draft, nested)?),
        });
    }
    Ok(response)
}

/// A transaction without writes whose every scan is open, so that it can be answered outside the gate.
///
/// Both branches are opened, since which one runs is known only after walking the guards.
pub(super) struct Opened<'a> {
    compares: Vec<(&'a Compare, Scan)>,
    success: Vec<OpenedOp<'a>>,
    failure: Vec<OpenedOp<'a>>,
}

enum OpenedOp<'a> {
    /// A read, or the reason why it is refused should its branch run.
    Range(&'a RangeRequest, Result<Scan>),
    Txn(Opened<'a>),
}

impl<'a> Opened<'a> {
    /// Opens every scan of the transaction. The caller stands in the gate.
    pub(super) fn open(source: Source<'_>, txn: &'a TxnRequest, readable: Readable) -> Result<Self> {
        let compares = txn
            .compare
            .iter()
            .map(|compare| Ok((compare, read::open_compare(source, compare, readable)?)))
            .collect::<Result<_>>()?;
        Ok(Self {
            compares,
            success: open_ops(source, &txn.success, readable)?,
            failure: open_ops(source, &txn.failure, readable)?,
        })
    }

    /// Answers it; `revision` is the current one.
    pub(super) fn answer(self, revision: i64, decoding: Decoding<'_>) -> Result<TxnResponse> {
        Ok(TxnResponse { revision, ..self.answer_nested(revision, decoding)? })
    }

    fn answer_nested(self, revision: i64, decoding: Decoding<'_>) -> Result<TxnResponse> {
        let mut succeeded = true;
        for (compare, scan) in self.compares {
            if !read::holds(compare, scan, decoding)? {
                succeeded = false;
                break;
            }
        }
        let ops = if succeeded { self.success } else { self.failure };
        let responses = ops.into_iter().map(|op| {
            Ok(match op {
                OpenedOp::Range(range, scan) => {
                    OpResponse::Range(read::answer(range, scan?, revision, decoding)?)
                }
                OpenedOp::Txn(nested) => OpResponse::Txn(nested.answer_nested(revision, decoding)?),
            })
        });
        Ok(TxnResponse { revision: 0, succeeded, responses: responses.collect::<Result<_>>()? })
    }
}

fn open_ops<'a>(source: Source<'_>, ops: &'a [Op], readable: Readable) -> Result<Vec<OpenedOp<'a>>> {
    let open = |op: &'a Op| match op {
        Op::Range(range) => {
            let checked = readable.check_in_txn(range.revision);
            Ok(OpenedOp::Range(range, checked.and_then(|()| read::open(source, range, readable))))
        }
        Op::Txn(nested) => Ok(OpenedOp::Txn(Opened::open(source, nested, readable)?)),
        Op::Put(_) | Op::DeleteRange(_) => {
            Err(Error::Internal("a transaction with writes was sent to be read only".to_owned()))
        }
    };
    ops.iter().map(open).collect()
}
