//! Every rule broken, and which error wins when several are.

use bytes::Bytes;

use super::{Command, Compare, DeleteRangeRequest, Op, PutRequest, RangeRequest, TxnRequest};
use super::{CompareResult, CompareTarget, MAX_KEY_BYTES, is_read_only, validate};
use crate::Error;

fn put(key: &'static str) -> PutRequest {
    PutRequest { key: key.into(), ..PutRequest::default() }
}

fn delete(key: &'static str, range_end: &'static str) -> Op {
    Op::DeleteRange(DeleteRangeRequest { key: key.into(), range_end: range_end.into(), prev_kv: false })
}

fn op(key: &'static str) -> Op {
    Op::Put(put(key))
}

fn then(success: Vec<Op>) -> TxnRequest {
    TxnRequest { success, ..TxnRequest::default() }
}

fn either(success: Vec<Op>, failure: Vec<Op>) -> Op {
    Op::Txn(TxnRequest { success, failure, ..TxnRequest::default() })
}

fn judge(txn: TxnRequest) -> Result<(), Error> {
    validate(&Command::Txn(txn), 3, 1000)
}

#[test]
fn puts_are_judged_in_order() {
    let both = PutRequest {
        ignore_value: true,
        value: "v".into(),
        ignore_lease: true,
        lease: 1,
        ..PutRequest::default()
    };
    let judge = |put: PutRequest| validate(&Command::Put(put), 3, 50_000);
    assert!(matches!(judge(both.clone()), Err(Error::EmptyKey)));
    assert!(matches!(judge(PutRequest { key: "k".into(), ..both.clone() }), Err(Error::ValueProvided)));
    let lease = PutRequest { key: "k".into(), value: Bytes::new(), ..both };
    assert!(matches!(judge(lease.clone()), Err(Error::LeaseProvided)));
    assert!(judge(PutRequest { lease: 0, ..lease }).is_ok());
    let sized = |length| PutRequest { key: vec![1; length].into(), ..PutRequest::default() };
    assert!(judge(sized(MAX_KEY_BYTES)).is_ok());
    assert!(matches!(judge(sized(MAX_KEY_BYTES + 1)), Err(Error::RequestTooLarge { .. })));
    let large = PutRequest { value: vec![0; 60_000].into(), ..put("k") };
    assert!(matches!(judge(large), Err(Error::RequestTooLarge { limit: 50_000, .. })));
}

#[test]
fn other_requests_need_a_key() {
    assert!(matches!(validate(&RangeRequest::default(), 3, 9), Err(Error::EmptyKey)));
    let delete = Command::DeleteRange(DeleteRangeRequest::default());
    assert!(matches!(validate(&delete, 3, 9), Err(Error::EmptyKey)));
    assert!(validate(&Command::Compact { revision: -1 }, 3, 9).is_ok());
    let compare = Compare {
        key: Bytes::new(),
        range_end: Bytes::new(),
        target: CompareTarget::Lease(0),
        result: CompareResult::Equal,
    };
    assert!(matches!(
        judge(TxnRequest { compare: vec![compare], ..TxnRequest::default() }),
        Err(Error::EmptyKey)
    ));
    assert!(matches!(judge(then(vec![Op::Range(RangeRequest::default())])), Err(Error::EmptyKey)));
}

#[test]
fn operations_are_counted_by_list_and_nesting_uses_the_allowance_up() {
    let range = || Op::Range(RangeRequest { key: "k".into(), ..RangeRequest::default() });
    assert!(judge(then(vec![range(), range(), range()])).is_ok());
    let four = then(vec![range(), range(), range(), Op::Range(RangeRequest::default())]);
    assert!(
        matches!(judge(four), Err(Error::TooManyOperations { found: 4, limit: 3 })),
        "the count comes before the empty key"
    );
    assert!(judge(then(vec![range(), either(vec![range()], vec![range()])])).is_ok());
    let deep = then(vec![range(), either(vec![range(), range()], Vec::new())]);
    assert!(matches!(judge(deep), Err(Error::TooManyOperations { found: 2, limit: 1 })));
}

#[test]
fn no_key_is_written_twice() {
    let duplicate = |ops| matches!(judge(then(ops)), Err(Error::DuplicateKey));
    assert!(duplicate(vec![op("a"), op("a")]));
    assert!(!duplicate(vec![op("a"), op("b")]));
    assert!(duplicate(vec![op("b"), delete("a", "c")]));
    assert!(duplicate(vec![delete("b", ""), op("b")]));
    assert!(!duplicate(vec![op("c"), delete("a", "c")]));
    assert!(!duplicate(vec![delete("a", "c"), delete("b", "d")]), "deletions may overlap");
    assert!(!duplicate(vec![delete("a", "\0"), op("b")]), "etcd takes this end literally");
    assert!(duplicate(vec![op("a"), either(vec![op("a")], Vec::new())]));
    assert!(!duplicate(vec![either(vec![op("a")], vec![op("a")])]), "branches exclude each other");
    assert!(duplicate(vec![either(vec![op("a")], Vec::new()), either(Vec::new(), vec![op("a")])]));
    assert!(duplicate(vec![either(vec![delete("a", "")], Vec::new()), op("a")]));
    assert!(duplicate(vec![either(vec![delete("a", "")], Vec::new()), either(vec![op("a")], Vec::new())]));
    assert!(
        !duplicate(vec![either(vec![op("a")], Vec::new()), either(vec![delete("a", "")], Vec::new())]),
        "etcd does not look for this order"
    );
    let failure = TxnRequest { failure: vec![op("a"), op("a")], ..TxnRequest::default() };
    assert!(matches!(judge(failure), Err(Error::DuplicateKey)));
    let across = TxnRequest { success: vec![op("a")], failure: vec![op("a")], ..TxnRequest::default() };
    assert!(judge(across).is_ok());
}

#[test]
fn size_comes_last_and_counts_for_what_is_logged() {
    let large = Op::Put(PutRequest { value: vec![0; 2000].into(), ..put("a") });
    assert!(matches!(judge(then(vec![large.clone(), op("a")])), Err(Error::DuplicateKey)));
    assert!(matches!(judge(then(vec![large])), Err(Error::RequestTooLarge { limit: 1000, .. })));
    let read = then(vec![Op::Range(RangeRequest { key: vec![0; 2000].into(), ..RangeRequest::default() })]);
    assert!(validate(&read, 3, 1000).is_ok());
}

#[test]
fn reading_is_reading_at_any_depth() {
    let range = || Op::Range(RangeRequest::default());
    assert!(is_read_only(&TxnRequest::default()));
    assert!(is_read_only(&then(vec![range(), either(vec![range()], Vec::new())])));
    assert!(!is_read_only(&then(vec![range(), either(Vec::new(), vec![op("a")])])));
    assert!(!is_read_only(&TxnRequest { failure: vec![delete("a", "")], ..TxnRequest::default() }));
}
