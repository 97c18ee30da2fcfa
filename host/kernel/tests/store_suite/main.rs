//! The store through its public face: against a model, across crashes, over damaged files.
//!
//! Random tests print their seed. `MORTISE_SEED=<seed>` replays one, `MORTISE_ROUNDS=<n>` sets how many
//! seeds are tried.

mod damage;
mod model;
mod model_test;
mod replay;
mod semantics;
mod shapes;
#[path = "../test_codecs/mod.rs"]
mod test_codecs;
mod workload;

use bytes::Bytes;
use mortise_kernel::Result;
use mortise_kernel::format::{Coder, Meter};
use mortise_kernel::kv::{Command, CommandResponse, PutRequest, RangeRequest};
use mortise_kernel::store::{Applied, Store, StoreConfig};
use rand::SeedableRng;
use rand::rngs::StdRng;

/// No test of the store is about time.
const METER: Meter = Meter::Apply;

/// Runs `test` with `rounds` seeds, or as often as `MORTISE_ROUNDS` says, or once with `MORTISE_SEED`.
fn with_seeds(rounds: u64, test: impl Fn(&mut StdRng)) {
    let number = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let seeds = match number("MORTISE_SEED") {
        Some(seed) => vec![seed],
        None => (0..number("MORTISE_ROUNDS").unwrap_or(rounds)).map(|_| rand::random()).collect(),
    };
    #[expect(clippy::print_stdout, reason = "the seed is what replays a failed test")]
    for seed in seeds {
        println!("MORTISE_SEED={seed}");
        test(&mut StdRng::seed_from_u64(seed));
    }
}

fn open(directory: &tempfile::TempDir) -> Store {
    open_coded(directory, Coder::natural())
}

fn open_coded(directory: &tempfile::TempDir, coder: Coder) -> Store {
    let mut config = StoreConfig::new(directory.path().join("tree"));
    config.memtable_bytes = 64 * 1024;
    config.coder = coder;
    Store::open(config).expect("the store opens")
}

fn position(index: u64) -> Applied {
    Applied { index, opaque: Bytes::from(format!("log id {index}")) }
}

/// Applies one command as the next entry.
fn apply(store: &Store, command: Command) -> Result<CommandResponse> {
    apply_all(store, position(store.applied().index + 1), &[command]).pop().expect("one answer")
}

/// Applies one entry; its answers in user form.
fn apply_all(store: &Store, position: Applied, commands: &[Command]) -> Vec<Result<CommandResponse>> {
    let answers = store.apply(position, commands).expect("the storage works");
    answers.into_iter().map(|answer| answer?.decode(METER)).collect()
}

fn put(key: impl Into<Bytes>, value: impl Into<Bytes>) -> Command {
    Command::Put(PutRequest { key: key.into(), value: value.into(), ..PutRequest::default() })
}

/// Every key there is.
fn everything() -> RangeRequest {
    RangeRequest {
        key: Bytes::from_static(b"\0"),
        range_end: Bytes::from_static(b"\0"),
        ..RangeRequest::default()
    }
}
