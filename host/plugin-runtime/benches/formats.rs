//! What a format costs: one small record, which is what a request pays, and batches, which is what a
//! conversion pays.
#![allow(missing_docs, reason = "criterion's macros make public items")]

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use mortise_plugin_runtime::format::{Format, Mode};
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

fn point(criterion: &mut Criterion, hierarchical: &Format, dictionary: &Format) {
    let mut group = criterion.benchmark_group("point");
    let (keys, values) = ([key(1)], [value(1)]);
    let stored = hierarchical.encode_keys(&keys, Mode::REQUEST).expect("an answer").remove(0);
    let stored = [stored.expect("stored")];
    group.bench_function("encode one key of 63 bytes", |bencher| {
        bencher.iter(|| hierarchical.encode_keys(&keys, Mode::REQUEST).expect("an answer"));
    });
    group.bench_function("decode one key of 63 bytes", |bencher| {
        bencher.iter(|| hierarchical.decode_keys(&stored, Mode::Apply).expect("an answer"));
    });
    let stored = dictionary.encode_values(&values, Mode::REQUEST).expect("an answer").remove(0);
    let stored = [stored.expect("stored")];
    group.bench_function("compress one value of 1 KiB", |bencher| {
        bencher.iter(|| dictionary.encode_values(&values, Mode::REQUEST).expect("an answer"));
    });
    group.bench_function("decompress one value of 1 KiB", |bencher| {
        bencher.iter(|| dictionary.decode_values(&stored, Mode::REQUEST).expect("an answer"));
    });
}

fn batches(criterion: &mut Criterion, hierarchical: &Format, dictionary: &Format) {
    let mut group = criterion.benchmark_group("batch");
    let keys: Vec<_> = (0..1_000).map(key).collect();
    let values: Vec<_> = (0..1_000).map(value).collect();
    let bytes =
        |records: &[Vec<u8>]| Throughput::Bytes(records.iter().map(|record| record.len() as u64).sum());
    group.throughput(bytes(&keys));
    group.bench_function(BenchmarkId::new("encode keys", 1_000), |bencher| {
        bencher.iter(|| hierarchical.encode_keys(&keys, Mode::Apply).expect("an answer"));
    });
    group.throughput(bytes(&values));
    group.bench_function(BenchmarkId::new("copy values", 1_000), |bencher| {
        bencher.iter(|| hierarchical.encode_values(&values, Mode::Apply).expect("an answer"));
    });
    group.bench_function(BenchmarkId::new("compress values", 1_000), |bencher| {
        bencher.iter(|| dictionary.encode_values(&values, Mode::Apply).expect("an answer"));
    });
    let stored = dictionary.encode_values(&values, Mode::Apply).expect("an answer");
    let stored: Vec<_> = stored.into_iter().map(|value| value.expect("stored")).collect();
    group.bench_function(BenchmarkId::new("decompress values", 1_000), |bencher| {
        bencher.iter(|| dictionary.decode_values(&stored, Mode::Apply).expect("an answer"));
    });
}

criterion_group!(benches, formats);
criterion_main!(benches);
