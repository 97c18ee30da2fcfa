//! Which request comes n-th. A pure function of the seed, whoever asks and whenever.
//!
//! A request is a gRPC frame: a flag, a length, and an etcd message of which only the key and the value vary.
//! Keys are spread evenly over the key space. Values are slices of one pool of random bytes, so that no
//! store can make them small by finding the same value twice.

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{RngCore as _, SeedableRng as _};

use crate::pb::etcdserverpb as pb;

/// Shortest key: its prefix and the digits of any number.
pub(super) const MIN_KEY: usize = 20;
/// Longest value.
pub(super) const MAX_VALUE: usize = 1024 * 1024;

const POOL: usize = 2 * MAX_VALUE;

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Write a key.
    Put,
    /// Write the n-th key of the key space.
    Fill,
    /// Read a key.
    Get {
        /// Whether a replica's present state will do.
        serializable: bool,
    },
}

impl Kind {
    /// The call's name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Put | Self::Fill => "put",
            Self::Get { .. } => "get",
        }
    }

    /// The call's path.
    pub(super) fn path(self) -> &'static str {
        match self {
            Self::Put | Self::Fill => "/etcdserverpb.KV/Put",
            Self::Get { .. } => "/etcdserverpb.KV/Range",
        }
    }
}

/// A sequence of requests.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) kind: Kind,
    key_size: usize,
    value_size: usize,
    key_space: u64,
    seed: u64,
    first: u64,
    pool: Bytes,
}

impl Plan {
    pub(super) fn new(kind: Kind, key_size: usize, value_size: usize, key_space: u64, seed: u64) -> Self {
        let mut pool = vec![0; POOL];
        StdRng::seed_from_u64(seed).fill_bytes(&mut pool);
        Self { kind, key_size, value_size, key_space, seed, first: 0, pool: pool.into() }
    }

    /// The same sequence from another point on.
    pub(super) fn shifted(&self, by: u64) -> Self {
        Self { first: self.first.wrapping_add(by), ..self.clone() }
    }

    /// The n-th frame.
    pub(super) fn frame(&self, n: u64) -> Bytes {
        let n = self.first.wrapping_add(n);
        let random = mix(self.seed ^ mix(n));
        match self.kind {
            Kind::Put => self.put(random % self.key_space, random),
            Kind::Fill => self.put(n % self.key_space, random),
            Kind::Get { serializable } => {
                let key = self.key(random % self.key_space);
                framed(&pb::RangeRequest { key, serializable, ..Default::default() })
            }
        }
    }

    fn put(&self, key: u64, random: u64) -> Bytes {
        let at = usize::try_from(random >> 16).unwrap_or(0) % (POOL - MAX_VALUE);
        let value = self.pool.slice(at..at + self.value_size);
        framed(&pb::PutRequest { key: self.key(key), value, ..Default::default() })
    }

    fn key(&self, number: u64) -> Bytes {
        let digits = self.key_size - "bench/".len();
        format!("bench/{number:0digits$}").into()
    }
}

/// A message behind gRPC's five bytes: not compressed, and its length.
fn framed(message: &impl prost::Message) -> Bytes {
    let length = message.encoded_len();
    let mut frame = Vec::with_capacity(5 + length);
    frame.push(0);
    frame.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
    frame.extend_from_slice(&message.encode_to_vec());
    frame.into()
}

/// SplitMix64's finisher: neighbouring numbers become unrelated ones.
fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use prost::Message as _;

    use super::*;

    fn plan(kind: Kind, seed: u64) -> Plan {
        Plan::new(kind, 32, 100, 50, seed)
    }

    fn put(frame: &Bytes) -> pb::PutRequest {
        assert_eq!(
            usize::try_from(u32::from_be_bytes(frame[1..5].try_into().expect("four"))).expect("size"),
            frame.len() - 5
        );
        pb::PutRequest::decode(&frame[5..]).expect("a put")
    }

    #[test]
    fn the_seed_decides_every_request() {
        let frames = |seed| (0..20).map(|n| plan(Kind::Put, seed).frame(n)).collect::<Vec<_>>();
        assert_eq!(frames(7), frames(7));
        assert_ne!(frames(7), frames(8));
        assert_eq!(plan(Kind::Put, 7).shifted(5).frame(0), plan(Kind::Put, 7).frame(5));
    }

    #[test]
    fn requests_have_the_sizes_asked_for_and_values_differ() {
        let puts: Vec<_> = (0..20).map(|n| put(&plan(Kind::Put, 1).frame(n))).collect();
        assert!(puts.iter().all(|put| put.key.len() == 32 && put.value.len() == 100));
        let values: HashSet<_> = puts.iter().map(|put| put.value.clone()).collect();
        assert_eq!(values.len(), puts.len());
    }

    #[test]
    fn filling_writes_every_key_that_reading_asks_for() {
        let filled: HashSet<_> = (0..50).map(|n| put(&plan(Kind::Fill, 3).frame(n)).key).collect();
        assert_eq!(filled.len(), 50);
        for n in 0..200 {
            let frame = plan(Kind::Get { serializable: true }, 3).frame(n);
            let read = pb::RangeRequest::decode(&frame[5..]).expect("a range");
            assert!(read.serializable && filled.contains(&read.key), "{read:?}");
        }
    }
}
