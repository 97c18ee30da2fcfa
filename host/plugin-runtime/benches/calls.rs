//! What a call of a plugin costs: instantiation, and decisions over trees of several sizes.
#![allow(missing_docs, reason = "criterion's macros make public items")]

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use mortise_plugin_runtime::compaction::{LEVELS, Level, Run, Table, View};
use mortise_plugin_runtime::{Call, Limits, Runtime, RuntimeConfig};

/// A levelled tree: four runs of one table in level 0, the rest of the tables in the last two levels.
fn view(tables: u64) -> View {
    let table = |id: u64| Table {
        id,
        bytes: 64 << 20,
        entries: 300_000,
        tombstones: 1_000,
        max_seqno: id * 1_000,
        min_key: format!("c/registry/pods/namespace-{id:05}/pod-000").into_bytes(),
        max_key: format!("c/registry/pods/namespace-{id:05}/pod-999").into_bytes(),
    };
    let mut levels: Vec<Level> = (0..LEVELS).map(|_| Level { runs: Vec::new() }).collect();
    levels[0].runs = (0..4).map(|id| Run { tables: vec![table(id)] }).collect();
    let below = tables - 4;
    levels[5].runs.push(Run { tables: (4..4 + below.div_ceil(3)).map(table).collect() });
    levels[6].runs.push(Run { tables: (4 + below.div_ceil(3)..tables).map(table).collect() });
    View {
        levels,
        memtable_bytes: 8 << 20,
        write_rate: 1 << 20,
        free_disk: 100 << 30,
        guard_l0_runs: 20,
        previous: None,
    }
}

fn calls(criterion: &mut Criterion) {
    let runtime = Runtime::new(RuntimeConfig::default()).expect("an engine");
    let component = runtime.load(mortise_plugins::COMPACTION_LEVELED).expect("a component");
    let limits = Limits::default();
    criterion.bench_function("instantiate+describe", |bencher| {
        bencher.iter(|| component.identity(&limits).expect("an identity"));
    });
    let strategy = component.compaction_strategy(limits).expect("the limits");
    let call = Call { config: "{}".to_owned(), now: 1_700_000_000_000, seed: 1 };
    let mut group = criterion.benchmark_group("decide");
    for tables in [10, 200, 2_000] {
        let view = view(tables);
        group.bench_with_input(BenchmarkId::from_parameter(tables), &view, |bencher, view| {
            bencher.iter(|| strategy.decide(&call, view).expect("an answer"));
        });
    }
}

criterion_group!(benches, calls);
criterion_main!(benches);
