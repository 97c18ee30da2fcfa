//! What a format costs: one small record, which is what a request pays, and batches, which is what a
//! conversion pays.
#![allow(missing_docs, reason = "criterion's macros make public items")]

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use mortise_plugin_runtime::format::{Answers, Format, Mode};
use mortise_plugin_runtime::{Runtime, RuntimeConfig, World};

/// What the values of the benchmark have in common.
const POD: &str = r#"{"apiVersion":"v1","kind":"Pod","metadata":{"namespace":"default","name":"web-0","labels":{"app":"web"},"uid":"0"},"spec":{"containers":[{"image":"registry.example/web:1.0","name":"web"}]},"status":{"phase":"Running"}}"#;

fn key(number: usize) -> Vec<u8> {
    format!("/registry/pods/namespace-{:04}/pod-with-a-name-{number:016}", number % 97).into_bytes()
}

/// A kilobyte, half of it from the dictionary and half of it noise.
fn value(number: usize) -> Vec<u8> {
    let mut state = number as u64 + 1;
    let mut value = POD.repeat(2).into_bytes();
    while value.len() < 1024 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        value.push((state >> 56) as u8);
    }
    value.truncate(1024);
    value
}

fn formats(criterion: &mut Criterion) {
    let runtime = Runtime::new(RuntimeConfig::default()).expect("an engine");
    let config = format!(r#"{{"id": 1, "dictionary": {POD:?}}}"#);
    let load = |bytes: &[u8], config: &str| {
        let component = runtime.load(bytes).expect("a component");
        component.format(World::Format.default_limits(), config).expect("the limits")
    };
    let hierarchical = load(mortise_plugins::FORMAT_HIERARCHICAL, "{}");
    let dictionary = load(mortise_plugins::FORMAT_DICTIONARY, &config);
    point(criterion, &hierarchical, &dictionary);
    batches(criterion, &hierarchical, &dictionary);
}

/// The calls of a put (encode, decode to verify) and of a get (encode the key, decode it and the value).
fn point(criterion: &mut Criterion, hierarchical: &Format, dictionary: &Format) {
    let mut group = criterion.benchmark_group("point");
    let (keys, values) = ([key(1)], [value(1)]);
    for (name, format) in [("hierarchical", hierarchical), ("dictionary", dictionary)] {
        let stored = format.encode(&keys, &values, Mode::REQUEST).expect("an answer");
        let (stored_keys, stored_values) = (plain(stored.keys), plain(stored.values));
        group.bench_function(BenchmarkId::new("encode a key of 63 bytes", name), |bencher| {
            bencher.iter(|| format.encode(&keys, &[], Mode::REQUEST).expect("an answer"));
        });
        group.bench_function(BenchmarkId::new("encode it and a value of 1 KiB", name), |bencher| {
            bencher.iter(|| format.encode(&keys, &values, Mode::REQUEST).expect("an answer"));
        });
        group.bench_function(BenchmarkId::new("decode both", name), |bencher| {
            bencher.iter(|| format.decode(&stored_keys, &stored_values, Mode::REQUEST).expect("an answer"));
        });
    }
}

fn plain(answers: Answers) -> Vec<Vec<u8>> {
    answers.into_iter().map(|answer| answer.expect("no record is refused")).collect()
}

fn batches(criterion: &mut Criterion, hierarchical: &Format, dictionary: &Format) {
    let mut group = criterion.benchmark_group("batch");
    let keys: Vec<_> = (0..1_000).map(key).collect();
    let values: Vec<_> = (0..1_000).map(value).collect();
    let bytes =
        |records: &[Vec<u8>]| Throughput::Bytes(records.iter().map(|record| record.len() as u64).sum());
    group.throughput(bytes(&keys));
    group.bench_function(BenchmarkId::new("encode keys", 1_000), |bencher| {
        bencher.iter(|| hierarchical.encode(&keys, &[], Mode::Apply).expect("an answer"));
    });
    group.throughput(bytes(&values));
    group.bench_function(BenchmarkId::new("copy values", 1_000), |bencher| {
        bencher.iter(|| hierarchical.encode(&[], &values, Mode::Apply).expect("an answer"));
    });
    group.bench_function(BenchmarkId::new("compress values", 1_000), |bencher| {
        bencher.iter(|| dictionary.encode(&[], &values, Mode::Apply).expect("an answer"));
    });
    let stored = plain(dictionary.encode(&[], &values, Mode::Apply).expect("an answer").values);
    group.bench_function(BenchmarkId::new("decompress values", 1_000), |bencher| {
        bencher.iter(|| dictionary.decode(&[], &stored, Mode::Apply).expect("an answer"));
    });
}

criterion_group!(benches, formats);
criterion_main!(benches);
