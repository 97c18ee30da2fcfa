//! Appending to the shared raft log, by the number of appends that wait together.
//!
//! One sample is one round: that many volumes append an entry of 1 KiB at once, and the round ends when
//! all are durable. Group commit shows as a time per round that hardly grows with the number.

use std::sync::mpsc;

use bytes::Bytes;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use mortise_kernel::log::{Log, LogConfig};
use mortise_kernel::node::VolumeId;

fn append(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("log_append");
    for waiting in [1_u64, 8, 64, 256] {
        let dir = tempfile::tempdir().expect("a directory");
        let log = Log::open(LogConfig::new(dir.path())).expect("the log opens");
        let value = Bytes::from(vec![7; 1024]);
        let mut index = 0;
        group.throughput(Throughput::Elements(waiting));
        group.bench_function(BenchmarkId::from_parameter(waiting), |bencher| {
            bencher.iter_batched(
                || {
                    index += 1;
                    (index, mpsc::channel())
                },
                |(index, (durable, outcome))| {
                    for volume in 0..waiting {
                        let durable = durable.clone();
                        let done = Box::new(move |result| durable.send(result).expect("the bench waits"));
                        log.append(VolumeId(volume), vec![(index, value.clone())], done);
                    }
                    drop(durable);
                    for result in outcome {
                        result.expect("durable");
                    }
                },
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, append);
criterion_main!(benches);
