//! What is written: an endless list of puts and deletes that follows from a seed.
//!
//! Every strategy gets the same list, so their figures can be compared and their stores must end with the
//! same content. Values are random bytes, which don't compress: otherwise sizes on disk would tell of the
//! compression. The bytes that are live are counted from the list itself and not asked of the store.

use bytes::Bytes;
use mortise_kernel::kv::{Command, DeleteRangeRequest, PutRequest};
use rand::rngs::StdRng;
use rand::{Rng, RngCore, SeedableRng};
use serde::Serialize;

use super::Setup;

/// Bytes of a key: `key/` and sixteen digits.
const KEY_BYTES: u64 = 20;
/// Exponent of the Zipf distribution; the usual one of benchmarks.
const ZIPF: f64 = 0.99;

/// The sort of load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Workload {
    /// Every key is as likely as any other.
    Uniform,
    /// A few keys are written most of the time (Zipf, exponent 0.99), as in a busy Kubernetes cluster.
    Zipf,
    /// Ascending new keys, none written twice.
    Append,
    /// New keys in no order, each deleted after as many further ones as there are keys: leases that expire.
    TtlLike,
}

impl Workload {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Uniform, Self::Zipf, Self::Append, Self::TtlLike];

    /// Its name on the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Zipf => "zipf",
            Self::Append => "append",
            Self::TtlLike => "ttl-like",
        }
    }
}

impl std::fmt::Display for Workload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The writes, one after the other.
pub(super) struct Writes {
    workload: Workload,
    keys: u64,
    value_bytes: usize,
    random: StdRng,
    written: u64,
    /// Of the Zipf distribution: the share of writes that go to this key or one before it.
    shares: Vec<f64>,
    /// Keys that exist, of the workloads that overwrite.
    present: Vec<bool>,
    live_keys: u64,
}

impl Writes {
    pub(super) fn new(setup: &Setup) -> Self {
        let Setup { workload, keys, value_bytes, seed, .. } = *setup;
        let overwrites = matches!(workload, Workload::Uniform | Workload::Zipf);
        let slots = usize::try_from(keys).expect("validated: fewer than 2^32 keys");
        Self {
            workload,
            keys,
            value_bytes,
            random: StdRng::seed_from_u64(seed),
            written: 0,
            shares: if workload == Workload::Zipf { zipf_shares(slots) } else { Vec::new() },
            present: vec![false; if overwrites { slots } else { 0 }],
            live_keys: 0,
        }
    }

    /// The next write, and its bytes of key and value.
    pub(super) fn next(&mut self) -> (Command, u64) {
        let turn = self.written;
        self.written += 1;
        match self.workload {
            Workload::Uniform => {
                let key = self.random.random_range(0..self.keys);
                self.overwrite(key)
            }
            Workload::Zipf => {
                let share: f64 = self.random.random();
                let rank = self.shares.partition_point(|reached| *reached < share).min(self.shares.len() - 1);
                self.overwrite(rank as u64)
            }
            Workload::Append => {
                self.live_keys += 1;
                self.put(turn)
            }
            Workload::TtlLike => self.put_or_expire(turn),
        }
    }

    /// Bytes of all keys and values that exist now.
    pub(super) fn live_bytes(&self) -> u64 {
        self.live_keys * (KEY_BYTES + self.value_bytes as u64)
    }

    fn overwrite(&mut self, key: u64) -> (Command, u64) {
        let slot = &mut self.present[usize::try_from(key).expect("below the number of slots")];
        self.live_keys += u64::from(!std::mem::replace(slot, true));
        self.put(scattered(key))
    }

    /// Puts until `keys` of them live; from then on a delete of the oldest and a put take turns.
    fn put_or_expire(&mut self, turn: u64) -> (Command, u64) {
        if turn >= self.keys && (turn - self.keys).is_multiple_of(2) {
            let oldest = (turn - self.keys) / 2;
            self.live_keys -= 1;
            let delete = DeleteRangeRequest { key: key(scattered(oldest)), ..DeleteRangeRequest::default() };
            return (Command::DeleteRange(delete), KEY_BYTES);
        }
        let next = if turn < self.keys { turn } else { self.keys + (turn - self.keys) / 2 };
        self.live_keys += 1;
        self.put(scattered(next))
    }

    fn put(&mut self, number: u64) -> (Command, u64) {
        // Random bytes, because a value that compresses well would make every tree look small.
        let mut value = vec![0; self.value_bytes];
        self.random.fill_bytes(&mut value);
        let put = PutRequest { key: key(number), value: value.into(), ..PutRequest::default() };
        (Command::Put(put), KEY_BYTES + self.value_bytes as u64)
    }
}

fn key(number: u64) -> Bytes {
    Bytes::from(format!("key/{number:016x}"))
}

/// A number for each number, in no order (SplitMix64's mixing, which loses nothing).
fn scattered(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

fn zipf_shares(keys: usize) -> Vec<f64> {
    #[expect(clippy::cast_precision_loss, reason = "a share is a fraction")]
    let mut shares: Vec<f64> = (1..=keys)
        .scan(0.0, |sum, rank| {
            *sum += (rank as f64).powf(-ZIPF);
            Some(*sum)
        })
        .collect();
    let all = shares.last().copied().unwrap_or(1.0);
    shares.iter_mut().for_each(|share| *share /= all);
    shares
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// The keys that exist after so many writes, with how often each was put.
    fn written(workload: Workload, writes: u64, keys: u64) -> (BTreeMap<Bytes, u64>, u64) {
        let setup = Setup { keys, value_bytes: 10, ..Setup::new(workload, writes) };
        let mut source = Writes::new(&setup);
        let mut found = BTreeMap::new();
        for _ in 0..writes {
            match source.next().0 {
                Command::Put(put) => *found.entry(put.key).or_default() += 1,
                Command::DeleteRange(delete) => assert!(found.remove(&delete.key).is_some()),
                other => panic!("{other:?}"),
            }
        }
        (found, source.live_bytes())
    }

    #[test]
    fn live_bytes_are_those_of_the_keys_that_exist() {
        for workload in Workload::ALL {
            for writes in [1, 99, 100, 101, 1_000, 3_333] {
                let (found, live) = written(workload, writes, 100);
                assert_eq!(live, found.len() as u64 * 30, "{workload}, {writes}");
            }
        }
    }

    #[test]
    fn each_workload_is_what_it_is_called() {
        let (uniform, _) = written(Workload::Uniform, 20_000, 100);
        assert!(uniform.len() == 100 && uniform.values().all(|puts| (120..280).contains(puts)));
        let (zipf, _) = written(Workload::Zipf, 20_000, 100);
        let most = zipf.values().max().unwrap();
        assert!(*most > 3_000, "the most frequent key was put {most} times of 20,000");
        let (append, _) = written(Workload::Append, 1_000, 100);
        assert!(append.len() == 1_000 && append.values().all(|puts| *puts == 1));
        let (ttl, _) = written(Workload::TtlLike, 1_001, 100);
        assert!((99..=100).contains(&ttl.len()));
    }
}
