//! What one operation of the store costs, without raft, network or disk flushes.
//!
//! `cargo bench -p mortise-kernel --bench store`
#![allow(missing_docs)]

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use mortise_kernel::format::Meter;
use mortise_kernel::kv::{Command, PutRequest, RangeRequest};
use mortise_kernel::store::{Applied, Store, StoreConfig};

const KEYS: u64 = 100_000;

fn key(number: u64) -> Bytes {
    // Spread over the key space, as hashed or random keys are.
    Bytes::from(format!("/registry/pods/{:016x}", number.wrapping_mul(0x9E37_79B9_7F4A_7C15)))
}

fn put(store: &Store, number: u64) {
    let request = PutRequest { key: key(number), value: Bytes::from(vec![7; 256]), ..PutRequest::default() };
    let position = Applied { index: store.applied().index + 1, opaque: Bytes::from_static(&[0; 32]) };
    store.apply(position, &[Command::Put(request)]).expect("the storage works");
    if store.memtable_full() {
        store.seal().expect("sealed");
        store.flush().expect("flushed");
    }
}

fn filled() -> (tempfile::TempDir, Store) {
    let directory = tempfile::tempdir().expect("a directory");
    let mut config = StoreConfig::new(directory.path());
    config.cache = std::sync::Arc::new(lsm_tree::Cache::with_capacity_bytes(256 * 1024 * 1024));
    let store = Store::open(config).expect("the store opens");
    (0..KEYS).for_each(|number| put(&store, number));
    store.close().expect("closed");
    (directory, store)
}

fn writes(criterion: &mut Criterion) {
    let (_directory, store) = filled();
    let mut group = criterion.benchmark_group("store");
    group.throughput(Throughput::Elements(1));
    let mut next = KEYS;
    group.bench_function("put a new key", |bencher| {
        bencher.iter(|| {
            next += 1;
            put(&store, next);
        });
    });
    let mut turn = 0_u64;
    group.bench_function("put over a key", |bencher| {
        bencher.iter(|| {
            turn += 1;
            put(&store, turn * 7919 % KEYS);
        });
    });
    let mut index = 0;
    group.bench_function("put over a key, 32 commands an entry", |bencher| {
        bencher.iter_custom(|operations| {
            let started = std::time::Instant::now();
            for _ in 0..operations.div_ceil(32) {
                let commands: Vec<Command> = (0..32)
                    .map(|_| {
                        turn += 1;
                        let value = Bytes::from(vec![7; 256]);
                        Command::Put(PutRequest {
                            key: key(turn * 7919 % KEYS),
                            value,
                            ..PutRequest::default()
                        })
                    })
                    .collect();
                index = store.applied().index + 1;
                store.apply(Applied { index, opaque: Bytes::new() }, &commands).expect("the storage works");
                if store.memtable_full() {
                    store.seal().expect("sealed");
                    store.flush().expect("flushed");
                }
            }
            started.elapsed()
        });
    });
    group.finish();
}

fn reads(criterion: &mut Criterion) {
    let (_directory, store) = filled();
    let mut group = criterion.benchmark_group("store");
    group.throughput(Throughput::Elements(1));
    let mut turn = 0_u64;
    let mut get = |offset: u64, expected: i64| {
        turn += 1;
        let request = RangeRequest { key: key(turn * 7919 % KEYS + offset), ..RangeRequest::default() };
        assert_eq!(store.range(&request, Meter::Apply).expect("readable").count, expected);
    };
    group.bench_function("get hit", |bencher| bencher.iter(|| get(0, 1)));
    group.bench_function("get miss", |bencher| bencher.iter(|| get(10 * KEYS, 0)));
    group.finish();

    let (_directory, store) = sequential();
    let mut group = criterion.benchmark_group("store");
    group.throughput(Throughput::Elements(100));
    let mut turn = 0_u64;
    group.bench_function("scan 100 keys", |bencher| {
        bencher.iter(|| {
            turn += 1;
            let start = turn * 7919 % (KEYS - 100);
            let request = RangeRequest {
                key: format!("key {start:08}").into(),
                range_end: format!("key {:08}", start + 100).into(),
                ..RangeRequest::default()
            };
            assert_eq!(store.range(&request, Meter::Apply).expect("readable").kvs.len(), 100);
        });
    });
    group.finish();
}

/// Keys in order, so that a hundred neighbours can be named.
fn sequential() -> (tempfile::TempDir, Store) {
    let directory = tempfile::tempdir().expect("a directory");
    let store = Store::open(StoreConfig::new(directory.path())).expect("the store opens");
    for chunk in 0..KEYS / 100 {
        let commands: Vec<Command> = (chunk * 100..(chunk + 1) * 100)
            .map(|number| {
                let key = format!("key {number:08}").into();
                Command::Put(PutRequest { key, value: vec![7; 256].into(), ..PutRequest::default() })
            })
            .collect();
        store
            .apply(Applied { index: chunk + 1, opaque: Bytes::new() }, &commands)
            .expect("the storage works");
    }
    store.close().expect("closed");
    (directory, store)
}

criterion_group!(benches, writes, reads);
criterion_main!(benches);
