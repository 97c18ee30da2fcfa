//! Random requests over few keys, so that they meet.

use bytes::Bytes;
use mortise_kernel::kv::{
    Command, Compare, CompareResult, CompareTarget, DeleteRangeRequest, Op, PutRequest, RangeRequest,
    SortOrder, SortTarget, TxnRequest, validate,
};
use mortise_kernel::store::{LEVELS, Step, TABLE_BYTES, TreeShape};
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

/// Keys in which the bytes of the encoding itself occur.
const KEYS: [&[u8]; 20] = [
    b"a",
    b"a\0",
    b"a\0\0",
    b"a\0\x01",
    b"a\0\xFF",
    b"a\x01",
    b"a\xFF",
    b"aa",
    b"b",
    b"b\0",
    b"ba",
    b"bb",
    b"c",
    b"c\0\x01\0",
    b"ca",
    b"\0",
    b"\0\0",
    b"\x01",
    b"\xFF",
    b"\xFF\xFF",
];

fn key(rng: &mut StdRng) -> Bytes {
    Bytes::from_static(KEYS.choose(rng).expect("there are keys"))
}

/// A key and a range end of any kind: one key, a range, an empty range, everything from here.
fn span(rng: &mut StdRng) -> (Bytes, Bytes) {
    let end = match rng.random_range(0..10) {
        0..4 => Bytes::new(),
        4 => Bytes::from_static(b"\0"),
        _ => key(rng),
    };
    (key(rng), end)
}

fn value(rng: &mut StdRng) -> Bytes {
    let length = if rng.random_bool(0.05) { rng.random_range(0..3000) } else { rng.random_range(0..12) };
    Bytes::from_iter((0..length).map(|_| rng.random_range(b'a'..b'e')))
}

fn put(rng: &mut StdRng) -> PutRequest {
    let ignore_value = rng.random_bool(0.1);
    PutRequest {
        key: key(rng),
        value: if ignore_value { Bytes::new() } else { value(rng) },
        lease: if rng.random_bool(0.02) { 7 } else { 0 },
        prev_kv: rng.random_bool(0.3),
        ignore_value,
        ignore_lease: false,
    }
}

fn delete(rng: &mut StdRng) -> DeleteRangeRequest {
    let (key, range_end) = span(rng);
    DeleteRangeRequest { key, range_end, prev_kv: rng.random_bool(0.5) }
}

/// A read at any revision, readable or not, with any options.
pub(crate) fn range(rng: &mut StdRng, revision: i64) -> RangeRequest {
    let (key, range_end) = span(rng);
    let around = |rng: &mut StdRng, chance| {
        if rng.random_bool(chance) { rng.random_range(revision - 20..=revision + 1) } else { 0 }
    };
    let targets =
        [SortTarget::Key, SortTarget::Version, SortTarget::Create, SortTarget::Mod, SortTarget::Value];
    RangeRequest {
        key,
        range_end,
        limit: if rng.random_bool(0.3) { rng.random_range(-1..6) } else { 0 },
        revision: around(rng, 0.5),
        sort_order: *[SortOrder::None, SortOrder::Ascend, SortOrder::Descend].choose(rng).expect("orders"),
        sort_target: *targets.choose(rng).expect("targets"),
        keys_only: rng.random_bool(0.2),
        count_only: rng.random_bool(0.1),
        min_mod_revision: around(rng, 0.1).max(0),
        max_mod_revision: around(rng, 0.1).max(0),
        min_create_revision: around(rng, 0.1).max(0),
        max_create_revision: around(rng, 0.1).max(0),
    }
}

fn compare(rng: &mut StdRng, revision: i64) -> Compare {
    let (key, range_end) = span(rng);
    let number = rng.random_range((revision - 10).min(0)..=revision);
    let target = match rng.random_range(0..5) {
        0 => CompareTarget::Version(rng.random_range(0..3)),
        1 => CompareTarget::CreateRevision(number),
        2 => CompareTarget::ModRevision(number),
        3 => CompareTarget::Value(value(rng)),
        _ => CompareTarget::Lease(0),
    };
    let results =
        [CompareResult::Equal, CompareResult::Greater, CompareResult::Less, CompareResult::NotEqual];
    Compare { key, range_end, target, result: *results.choose(rng).expect("results") }
}

fn op(rng: &mut StdRng, revision: i64, depth: u32, writes: bool) -> Op {
    match rng.random_range(0..10) {
        0..5 if writes => Op::Put(put(rng)),
        5 | 6 if writes => Op::DeleteRange(delete(rng)),
        9 if depth > 0 => Op::Txn(txn_of(rng, revision, depth - 1, writes)),
        _ => {
            let mut read = range(rng, revision);
            if rng.random_bool(0.7) {
                read.revision = 0;
            }
            Op::Range(read)
        }
    }
}

fn txn_of(rng: &mut StdRng, revision: i64, depth: u32, writes: bool) -> TxnRequest {
    let mut ops = |most: usize| {
        let count = rng.random_range(0..most);
        (0..count).map(|_| op(rng, revision, depth, writes)).collect()
    };
    let (success, failure) = (ops(5), ops(4));
    let compares = rng.random_range(0..3);
    TxnRequest { compare: (0..compares).map(|_| compare(rng, revision)).collect(), success, failure }
}

/// A transaction that passes validation, nested up to two deep.
pub(crate) fn txn(rng: &mut StdRng, revision: i64, writes: bool) -> TxnRequest {
    loop {
        let txn = txn_of(rng, revision, 2, writes);
        if validate(&txn, 128, 1 << 20).is_ok() {
            return txn;
        }
    }
}

/// A command that passes validation.
pub(crate) fn command(rng: &mut StdRng, revision: i64) -> Command {
    match rng.random_range(0..100) {
        0..50 => Command::Put(put(rng)),
        50..65 => Command::DeleteRange(delete(rng)),
        65..97 => Command::Txn(txn(rng, revision, true)),
        _ => Command::Compact { revision: rng.random_range((revision - 40).max(-1)..=revision + 1) },
    }
}

/// A step with any parameters, legal or not; it mostly starts at a level that holds something.
pub(crate) fn step(rng: &mut StdRng, shape: &TreeShape) -> Step {
    let table_bytes = if rng.random_bool(0.1) { 1 } else { *TABLE_BYTES.start() };
    let filled: Vec<u8> =
        (0..LEVELS).filter(|&level| !shape.levels[usize::from(level)].runs.is_empty()).collect();
    let from = match filled.choose(rng) {
        Some(&level) if rng.random_bool(0.9) => level,
        _ => rng.random_range(0..=LEVELS),
    };
    let to = rng.random_range(from.saturating_sub(1)..=LEVELS);
    match rng.random_range(0..10) {
        0..3 => Step::Partial {
            l0_threshold: rng.random_range(0..4),
            level_ratio: rng.random_range(1.0..8.0),
            table_bytes,
        },
        3..6 => Step::Merge { from, to },
        6..9 => Step::Move { from, to },
        _ => Step::Major { table_bytes },
    }
}
