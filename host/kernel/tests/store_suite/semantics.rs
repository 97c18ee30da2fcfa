//! Single rules of etcd, one example each.

use bytes::Bytes;
use mortise_kernel::kv::{
    Command, CommandResponse, Compare, CompareResult, CompareTarget, DeleteRangeRequest, MAX_KEY_BYTES, Op,
    OpResponse, PutRequest, RangeRequest, RangeResponse, SortOrder, SortTarget, TxnRequest, TxnResponse,
};
use mortise_kernel::store::Store;
use mortise_kernel::{Error, Result};

use crate::{METER, apply, apply_all, everything, open, position, put};

fn delete(key: &'static str) -> Command {
    Command::DeleteRange(DeleteRangeRequest { key: key.into(), ..DeleteRangeRequest::default() })
}

fn read(key: &'static str, revision: i64) -> RangeRequest {
    RangeRequest { key: key.into(), revision, ..RangeRequest::default() }
}

fn value(store: &Store, key: &'static str, revision: i64) -> Option<Bytes> {
    let found = store.range(&read(key, revision), METER).expect("a readable revision");
    found.kvs.into_iter().next().map(|kv| kv.value)
}

fn txn(store: &Store, txn: TxnRequest) -> Result<TxnResponse> {
    match apply(store, Command::Txn(txn))? {
        CommandResponse::Txn(response) => Ok(response),
        other => panic!("{other:?}"),
    }
}

fn op_put(key: &'static str, value: &'static str) -> Op {
    Op::Put(PutRequest { key: key.into(), value: value.into(), ..PutRequest::default() })
}

#[test]
fn revisions_start_at_one_and_count_changes() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(&directory);
    assert_eq!(store.revision(), 1);
    apply(&store, put("a", "1")).expect("a put");
    assert_eq!(store.revision(), 2);
    apply(&store, delete("nothing")).expect("a delete");
    assert_eq!(store.revision(), 2, "deleting nothing is no change");
    apply(&store, put("a", "2")).expect("a put");
    apply(&store, delete("a")).expect("a delete");
    apply(&store, put("a", "3")).expect("a put");
    let kv = store.range(&read("a", 0), METER).expect("readable").kvs.remove(0);
    assert_eq!((kv.create_revision, kv.mod_revision, kv.version), (5, 5, 1), "a new incarnation");
    let at = |revision| value(&store, "a", revision);
    assert_eq!([at(1), at(4)], [None, None]);
    assert_eq!([at(2), at(3), at(5), at(-1)].map(Option::unwrap), ["1", "2", "3", "3"]);
    assert!(matches!(
        store.range(&read("a", 6), METER),
        Err(Error::FutureRevision { requested: 6, current: 5 })
    ));
}

#[test]
fn compaction_has_bounds_and_keeps_its_own_revision() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(&directory);
    for number in 0..5 {
        apply(&store, put("a", format!("{number}"))).expect("a put");
    }
    let compact = |revision| apply(&store, Command::Compact { revision });
    assert!(matches!(compact(7), Err(Error::FutureRevision { requested: 7, current: 6 })));
    assert!(matches!(compact(-1), Err(Error::Compacted { .. })));
    assert!(compact(0).is_ok(), "etcd lets a first compaction at 0 pass");
    assert!(matches!(compact(4), Ok(CommandResponse::Compact { revision: 6 })));
    assert!(matches!(compact(4), Err(Error::Compacted { requested: 4, compacted: 4 })));
    assert_eq!(store.compact_revision(), 4);
    for round in 0..2 {
        assert_eq!(value(&store, "a", 4).expect("readable"), "2", "round {round}");
        assert!(matches!(
            store.range(&read("a", 3), METER),
            Err(Error::Compacted { requested: 3, compacted: 4 })
        ));
        assert!(matches!(store.content_hash(3), Err(Error::Compacted { .. })));
        while !store.scrub(1).expect("a scrub").done {}
    }
}

#[test]
fn keeping_a_value_needs_a_key() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(&directory);
    let keep = |key: &'static str, lease| PutRequest {
        key: key.into(),
        ignore_value: true,
        lease,
        prev_kv: true,
        ..PutRequest::default()
    };
    assert!(matches!(apply(&store, Command::Put(keep("a", 0))), Err(Error::KeyNotFound)));
    assert!(matches!(apply(&store, Command::Put(keep("a", 9))), Err(Error::LeaseNotFound(9))));
    let in_txn = |put| txn(&store, TxnRequest { success: vec![Op::Put(put)], ..TxnRequest::default() });
    assert!(matches!(in_txn(keep("a", 9)), Err(Error::KeyNotFound)), "a transaction looks for the key first");
    apply(&store, put("a", "kept")).expect("a put");
    let CommandResponse::Put(response) = apply(&store, Command::Put(keep("a", 0))).expect("a put") else {
        panic!("a put's answer")
    };
    assert_eq!(response.prev_kv.expect("asked for").value, "kept");
    assert_eq!(value(&store, "a", 0).expect("there"), "kept");
    assert_eq!(store.revision(), 3);
}

#[test]
fn an_entry_sees_itself_and_is_refused_in_parts() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(&directory);
    let commands = [
        put("a", "1"),
        put("a", "2"),
        Command::Compact { revision: 99 },
        delete("a"),
        put("a", "3"),
        Command::Txn(TxnRequest {
            success: vec![Op::Range(read("a", 3)), Op::Range(read("a", 0))],
            ..TxnRequest::default()
        }),
    ];
    let answers = apply_all(&store, position(1), &commands);
    assert!(matches!(answers[2], Err(Error::FutureRevision { requested: 99, current: 3 })));
    let Ok(CommandResponse::Txn(last)) = &answers[5] else { panic!("{:?}", answers[5]) };
    let values: Vec<_> = last
        .responses
        .iter()
        .map(|response| match response {
            OpResponse::Range(range) => range.kvs[0].value.clone(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(values, ["2", "3"]);
    assert_eq!((store.revision(), store.applied()), (5, position(1)));
    assert_eq!([value(&store, "a", 2), value(&store, "a", 3)].map(Option::unwrap), ["1", "2"]);
    assert_eq!(value(&store, "a", 4), None);
}

#[test]
fn a_transaction_judges_first_and_then_sees_its_own_writes() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(&directory);
    let absent = Compare {
        key: "a".into(),
        range_end: Bytes::new(),
        target: CompareTarget::CreateRevision(0),
        result: CompareResult::Equal,
    };
    let nested = TxnRequest {
        compare: vec![absent.clone()],
        success: vec![op_put("nested", "1")],
        failure: Vec::new(),
    };
    let response = txn(
        &store,
        TxnRequest {
            compare: vec![absent],
            success: vec![
                Op::Range(everything()),
                op_put("a", "1"),
                Op::Range(everything()),
                Op::Txn(nested),
                Op::Range(RangeRequest { revision: 1, ..everything() }),
            ],
            failure: Vec::new(),
        },
    )
    .expect("it passes");
    assert_eq!((response.revision, response.succeeded), (2, true));
    let seen = |nth: usize| match &response.responses[nth] {
        OpResponse::Range(RangeResponse { revision, count, .. }) => (*revision, *count),
        other => panic!("{other:?}"),
    };
    assert_eq!([seen(0), seen(2), seen(4)], [(1, 0), (2, 1), (2, 0)]);
    let OpResponse::Txn(nested) = &response.responses[3] else { panic!("a nested answer") };
    assert!(nested.succeeded, "guards look at the state before the transaction");
    assert_eq!(nested.revision, 0);
    let future =
        TxnRequest { success: vec![op_put("b", "1"), Op::Range(read("a", 3))], ..TxnRequest::default() };
    assert!(matches!(txn(&store, future), Err(Error::FutureRevision { requested: 3, current: 2 })));
    assert_eq!(value(&store, "b", 0), None, "a refused transaction leaves nothing");
}

/// Validation, like etcd's, lets a deletion «from here on» meet a put; they then run in order.
#[test]
fn a_key_deleted_and_put_in_one_revision_is_there() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(&directory);
    apply(&store, put("b", "old")).expect("a put");
    let from_here =
        Op::DeleteRange(DeleteRangeRequest { key: "a".into(), range_end: "\0".into(), prev_kv: false });
    let both = TxnRequest { success: vec![from_here.clone(), op_put("b", "new")], ..TxnRequest::default() };
    txn(&store, both).expect("it passes");
    let kv = store.range(&read("b", 0), METER).expect("readable").kvs.remove(0);
    assert_eq!((kv.create_revision, kv.mod_revision, kv.version, &kv.value[..]), (3, 3, 1, &b"new"[..]));
    let nested = |op| Op::Txn(TxnRequest { success: vec![op], ..TxnRequest::default() });
    let reverse = TxnRequest {
        success: vec![nested(op_put("c", "short-lived")), nested(from_here)],
        ..TxnRequest::default()
    };
    txn(&store, reverse).expect("it passes");
    assert_eq!(store.range(&everything(), METER).expect("readable").count, 0);
    apply(&store, put("c", "again")).expect("a put");
    apply(&store, Command::Compact { revision: 4 }).expect("a compaction");
    for _round in 0..2 {
        assert_eq!(
            store.range(&RangeRequest { revision: 4, ..everything() }, METER).expect("readable").count,
            0
        );
        assert_eq!(value(&store, "c", 5).expect("there"), "again");
        while !store.scrub(1).expect("a scrub").done {}
    }
}

#[test]
fn ranges_limit_count_sort_and_filter() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(&directory);
    for (key, value) in [("a", "3"), ("b", "1"), ("c", "2"), ("a", "4")] {
        apply(&store, put(key, value)).expect("a put");
    }
    let keys = |request: RangeRequest| {
        let found = store.range(&request, METER).expect("readable");
        assert_eq!(found.count, 3);
        let keys: Vec<u8> = found.kvs.iter().map(|kv| kv.key[0]).collect();
        (String::from_utf8(keys).expect("text"), found.more)
    };
    let by = |sort_target, sort_order, limit| {
        keys(RangeRequest { sort_target, sort_order, limit, ..everything() })
    };
    assert_eq!(by(SortTarget::Value, SortOrder::Descend, 0), ("acb".to_owned(), false));
    assert_eq!(by(SortTarget::Mod, SortOrder::Ascend, 1), ("b".to_owned(), true));
    assert_eq!(by(SortTarget::Key, SortOrder::Descend, 2), ("cb".to_owned(), true));
    assert_eq!(by(SortTarget::Value, SortOrder::None, 1), ("b".to_owned(), true), "sorts the first two");
    assert_eq!(by(SortTarget::Mod, SortOrder::None, 0), ("bca".to_owned(), false));
    assert_eq!(keys(RangeRequest { min_mod_revision: 4, ..everything() }), ("ac".to_owned(), false));
    assert_eq!(keys(RangeRequest { max_create_revision: 3, ..everything() }), ("ab".to_owned(), false));
    let counted =
        store.range(&RangeRequest { count_only: true, limit: 1, ..everything() }, METER).expect("readable");
    assert_eq!((counted.count, counted.kvs.len(), counted.more), (3, 0, false));
    let bare = store.range(&RangeRequest { keys_only: true, ..everything() }, METER).expect("readable");
    assert!(bare.kvs.iter().all(|kv| kv.value.is_empty() && kv.version > 0));
}

#[test]
fn keys_have_a_greatest_length_and_longer_ones_are_nowhere() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(&directory);
    let longest = vec![0_u8; MAX_KEY_BYTES];
    for value in ["1", "2"] {
        apply(&store, put(longest.clone(), value)).expect("a put");
    }
    store.close().expect("closed");
    let key = Bytes::from(longest);
    let old =
        store.range(&RangeRequest { key, revision: 2, ..RangeRequest::default() }, METER).expect("readable");
    assert_eq!(old.kvs[0].value, "1");
    for length in [MAX_KEY_BYTES + 1, 1 << 20] {
        let key = Bytes::from(vec![0_u8; length]);
        assert!(matches!(apply(&store, put(key.clone(), "")), Err(Error::RequestTooLarge { .. })));
        for range_end in [Bytes::new(), Bytes::from_static(b"\0"), Bytes::from(vec![1; length])] {
            for revision in [0, 2] {
                let request =
                    RangeRequest { key: key.clone(), range_end: range_end.clone(), revision, ..everything() };
                assert_eq!(store.range(&request, METER).expect("readable").count, 0);
            }
        }
    }
}
