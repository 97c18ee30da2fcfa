//! Random requests that reach every branch of etcd's KV semantics.
//!
//! Keys come from a small set, so that writes, deletes, ranges and guards meet; about one request in twelve
//! is wrong on purpose. The generator follows the answers ([`Generator::observe`]) to aim revisions at what
//! is current, superseded, compacted or in the future. Everything is drawn from the caller's random numbers:
//! the same seed and the same answers give the same requests.
//!
//! Left out, because etcd itself answers by accident there: enum values that do not exist (etcd crashes),
//! from-key and inverted deletes inside transactions (its interval tree misjudges them).

use bytes::Bytes;
use mortise::pb::etcdserverpb as pb;
use pb::compare::{CompareResult, CompareTarget, TargetUnion};
use pb::range_request::{SortOrder, SortTarget};
use pb::request_op::Request as OpRequest;
use rand::Rng as _;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;

use crate::request::{Outcome, Request};

/// Draws requests and follows the state that they lead to.
#[derive(Debug)]
pub struct Generator {
    rng: StdRng,
    revision: i64,
    compacted: i64,
    slashes: bool,
    calm: bool,
}

impl Generator {
    /// A generator for an empty volume.
    #[must_use]
    pub fn new(rng: StdRng) -> Self {
        Self { rng, revision: 1, compacted: 0, slashes: true, calm: false }
    }

    /// The same with keys that have no `/`: they have one order in the formats `natural` and `hierarchical`.
    #[must_use]
    pub fn without_slashes(rng: StdRng) -> Self {
        Self { slashes: false, ..Self::new(rng) }
    }

    /// Whether the next requests delete and compare single keys and all keys only, which depends on no order.
    pub fn be_calm(&mut self, calm: bool) {
        self.calm = calm;
    }

    /// Follows an answer.
    pub fn observe(&mut self, request: &Request, outcome: &Outcome) {
        let Ok(answer) = outcome else { return };
        self.revision = self.revision.max(answer.revision());
        if let Request::Compact(compaction) = request {
            self.compacted = compaction.revision;
        }
    }

    /// The next request.
    pub fn request(&mut self) -> Request {
        match self.rng.random_range(0..100) {
            0..30 => Request::Put(self.put()),
            30..55 => Request::Range(self.range()),
            55..65 => Request::Delete(self.delete()),
            65..92 => Request::Txn(self.txn(2)),
            92..94 => Request::Compact(self.compaction()),
            _ => self.invalid(),
        }
    }

    fn one_in(&mut self, n: u32) -> bool {
        self.rng.random_ratio(1, n)
    }

    fn key(&mut self) -> Bytes {
        const KEYS: [&[u8]; 12] =
            [b"a", b"a\0", b"aa", b"ab", b"b", b"b/1", b"b/2", b"b/\xff", b"c", b"\0", b"\xff", b"\xff\xff"];
        if self.one_in(4) {
            return Bytes::from(format!("k{:02}", self.rng.random_range(0..30)));
        }
        let key = KEYS.choose(&mut self.rng).expect("the set is not empty");
        if self.slashes {
            return Bytes::from_static(key);
        }
        key.iter().map(|byte| if *byte == b'/' { 1 } else { *byte }).collect()
    }

    fn value(&mut self) -> Bytes {
        match self.rng.random_range(0..10) {
            0 => Bytes::new(),
            1..6 => Bytes::from(format!("v{}", self.rng.random_range(0..8))),
            6..9 => (0..self.rng.random_range(1..40)).map(|_| self.rng.random::<u8>()).collect(),
            _ => Bytes::from(vec![self.rng.random::<u8>(); self.rng.random_range(1000..9000)]),
        }
    }

    /// A range end: one key, a prefix, from-key, a higher key, and now and then an inverted one.
    fn range_end(&mut self, key: &Bytes) -> Bytes {
        match self.rng.random_range(0..12) {
            0..4 => Bytes::new(),
            4..6 => prefix_end(key),
            6..8 => Bytes::from_static(b"\0"),
            8..11 => key.clone().max(self.key()),
            _ => self.key(),
        }
    }

    /// Mostly the newest; else one that exists, existed, or does not exist yet.
    fn read_revision(&mut self) -> i64 {
        match self.rng.random_range(0..20) {
            0..10 => 0,
            10..17 => self.rng.random_range(self.compacted.max(1)..=self.revision),
            17 => self.rng.random_range(1..=self.revision),
            18 => self.compacted,
            _ => self.revision + self.rng.random_range(0..3),
        }
    }

    fn bound(&mut self) -> i64 {
        if self.one_in(5) { self.rng.random_range(1..=self.revision + 1) } else { 0 }
    }

    fn range(&mut self) -> pb::RangeRequest {
        let key = self.key();
        let range_end = self.range_end(&key);
        pb::RangeRequest {
            key: if self.one_in(6) { Bytes::from_static(b"\0") } else { key },
            range_end,
            limit: if self.one_in(3) { self.rng.random_range(1..6) } else { 0 },
            revision: self.read_revision(),
            sort_order: *[SortOrder::None, SortOrder::Ascend, SortOrder::Descend]
                .choose(&mut self.rng)
                .expect("the set is not empty") as i32,
            sort_target: *[
                SortTarget::Key,
                SortTarget::Key,
                SortTarget::Version,
                SortTarget::Create,
                SortTarget::Mod,
                SortTarget::Value,
            ]
            .choose(&mut self.rng)
            .expect("the set is not empty") as i32,
            serializable: self.one_in(3),
            keys_only: self.one_in(5),
            count_only: self.one_in(8),
            min_mod_revision: self.bound(),
            max_mod_revision: self.bound(),
            min_create_revision: self.bound(),
            max_create_revision: self.bound(),
        }
    }

    fn put(&mut self) -> pb::PutRequest {
        let ignore_value = self.one_in(10);
        pb::PutRequest {
            key: self.key(),
            value: if ignore_value { Bytes::new() } else { self.value() },
            lease: 0,
            prev_kv: self.one_in(3),
            ignore_value,
            ignore_lease: self.one_in(15),
        }
    }

    fn delete(&mut self) -> pb::DeleteRangeRequest {
        let key = self.key();
        let range_end = match self.one_in(8) {
            true if self.calm => return self.delete_all(),
            true => self.range_end(&key),
            false => self.ordered_end(&key),
        };
        pb::DeleteRangeRequest { key, range_end, prev_kv: self.one_in(2) }
    }

    fn delete_all(&mut self) -> pb::DeleteRangeRequest {
        let all = Bytes::from_static(b"\0");
        pb::DeleteRangeRequest { key: all.clone(), range_end: all, prev_kv: self.one_in(2) }
    }

    /// An end for deletes within transactions: one key, a prefix or a higher key.
    fn ordered_end(&mut self, key: &Bytes) -> Bytes {
        match self.rng.random_range(0..6) {
            _ if self.calm => Bytes::new(),
            0 if key.iter().any(|byte| *byte < 0xff) => prefix_end(key),
            1 => Some(self.key()).filter(|end| end > key).unwrap_or_default(),
            _ => Bytes::new(),
        }
    }

    fn txn(&mut self, depth: u32) -> pb::TxnRequest {
        let compares = self.rng.random_range(0..3);
        let compare = (0..compares).map(|_| self.compare()).collect();
        let writes = !self.one_in(4);
        pb::TxnRequest { compare, success: self.ops(depth, writes), failure: self.ops(depth, writes) }
    }

    fn ops(&mut self, depth: u32, writes: bool) -> Vec<pb::RequestOp> {
        let count = self.rng.random_range(0..5);
        (0..count).map(|_| self.op(depth, writes)).collect()
    }

    fn op(&mut self, depth: u32, writes: bool) -> pb::RequestOp {
        let request = match self.rng.random_range(0..10) {
            0..4 if writes => OpRequest::RequestPut(self.put()),
            4..6 if writes => {
                let key = self.key();
                let range_end = self.ordered_end(&key);
                OpRequest::RequestDeleteRange(pb::DeleteRangeRequest {
                    key,
                    range_end,
                    prev_kv: self.one_in(2),
                })
            }
            9 if depth > 0 => {
                let mut inner = self.txn(depth - 1);
                if !writes {
                    inner.success = self.ops(depth - 1, false);
                    inner.failure = self.ops(depth - 1, false);
                }
                OpRequest::RequestTxn(inner)
            }
            _ => OpRequest::RequestRange(self.range()),
        };
        pb::RequestOp { request: Some(request) }
    }

    fn compare(&mut self) -> pb::Compare {
        let key = self.key();
        let ranged = self.one_in(4) && !self.calm;
        let range_end = if ranged { self.range_end(&key) } else { Bytes::new() };
        let near = self.rng.random_range(0..=self.revision + 1);
        let (target, target_union) = match self.rng.random_range(0..6) {
            0 => (CompareTarget::Version, TargetUnion::Version(self.rng.random_range(0..5))),
            1 => (CompareTarget::Create, TargetUnion::CreateRevision(near)),
            2 => (CompareTarget::Mod, TargetUnion::ModRevision(near)),
            3 => (CompareTarget::Lease, TargetUnion::Lease(self.rng.random_range(0..2))),
            _ => (CompareTarget::Value, TargetUnion::Value(self.value())),
        };
        let result =
            [CompareResult::Equal, CompareResult::Greater, CompareResult::Less, CompareResult::NotEqual]
                .choose(&mut self.rng)
                .map_or(0, |result| *result as i32);
        let target_union = if self.one_in(20) { None } else { Some(target_union) };
        pb::Compare { result, target: target as i32, key, range_end, target_union }
    }

    fn compaction(&mut self) -> pb::CompactionRequest {
        // Half of the distance keeps history for later reads.
        let revision = self.compacted + (self.revision - self.compacted) / 2;
        pb::CompactionRequest { revision: revision.max(1), physical: self.one_in(2) }
    }

    /// A request that is wrong, or on the edge of being wrong.
    fn invalid(&mut self) -> Request {
        match self.rng.random_range(0..13) {
            0 => Request::Put(pb::PutRequest { key: Bytes::new(), ..self.put() }),
            1 => Request::Range(pb::RangeRequest { key: Bytes::new(), ..self.range() }),
            2 => Request::Delete(pb::DeleteRangeRequest { key: Bytes::new(), ..self.delete() }),
            3 => Request::Put(pb::PutRequest { ignore_value: true, value: "v".into(), ..self.put() }),
            4 => Request::Put(pb::PutRequest { ignore_lease: true, lease: 7, ..self.put() }),
            5 => Request::Put(pb::PutRequest { lease: 7, ignore_lease: false, ..self.put() }),
            6 => Request::Compact(pb::CompactionRequest { revision: self.revision + 1, physical: false }),
            7 => Request::Compact(pb::CompactionRequest { revision: self.compacted.max(1), physical: true }),
            8 => Request::Range(pb::RangeRequest { revision: self.revision + 5, ..self.range() }),
            9 => Request::Put(pb::PutRequest {
                value: vec![b'x'; self.rng.random_range(1_600_000..1_900_000)].into(),
                ignore_value: false,
                ..self.put()
            }),
            10 => self.long_txn(),
            _ => self.wrong_txn(),
        }
    }

    /// Lists at and past the limit, also through nesting.
    fn long_txn(&mut self) -> Request {
        let ops = self.rng.random_range(126..131);
        let read = |i: usize| pb::RequestOp {
            request: Some(OpRequest::RequestRange(pb::RangeRequest {
                key: Bytes::from(format!("k{i:02}")),
                ..Default::default()
            })),
        };
        let mut txn = pb::TxnRequest { success: (0..ops).map(read).collect(), ..Default::default() };
        if self.one_in(2) {
            let inner = pb::TxnRequest { failure: (0..3).map(read).collect(), ..Default::default() };
            txn.success[0].request = Some(OpRequest::RequestTxn(inner));
        }
        Request::Txn(txn)
    }

    fn wrong_txn(&mut self) -> Request {
        let mut txn = self.txn(1);
        let put = OpRequest::RequestPut(pb::PutRequest { ignore_value: false, ..self.put() });
        let twice = [pb::RequestOp { request: Some(put.clone()) }, pb::RequestOp { request: Some(put) }];
        match self.rng.random_range(0..5) {
            0 => txn.success.extend(twice),
            1 => txn.failure.extend(twice),
            2 => {
                let [first, second] = twice;
                let inner = pb::TxnRequest { success: vec![first], ..Default::default() };
                txn.success.push(second);
                txn.success.push(pb::RequestOp { request: Some(OpRequest::RequestTxn(inner)) });
            }
            3 => txn.failure.push(pb::RequestOp { request: None }),
            _ => txn.compare.push(pb::Compare { key: Bytes::new(), ..self.compare() }),
        }
        Request::Txn(txn)
    }
}

/// End of the range of all keys that begin with `key`.
#[must_use]
pub fn prefix_end(key: &[u8]) -> Bytes {
    let mut end = key.to_vec();
    while let Some(last) = end.pop() {
        if last < 0xff {
            end.push(last + 1);
            return end.into();
        }
    }
    Bytes::from_static(b"\0")
}
