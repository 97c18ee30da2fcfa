//! etcd's key-value semantics in the simplest form that can be right: a map from keys to lists of versions.
//!
//! The model answers every [`Request`] exactly as etcd 3.4 does, headers' ids aside, and keeps all history,
//! so it can also tell the content at any revision. It is checked against a real etcd by the differential
//! suite; the other suites then take it as the truth. Storage, logs and concurrency do not exist here.
//!
//! Two habits of etcd that surprise: the guards of nested transactions are evaluated before the outermost
//! transaction writes anything, and a read of a transaction sees the writes before it.

use std::collections::BTreeMap;

use bytes::Bytes;
use mortise::pb::etcdserverpb as pb;
use mortise::pb::mvccpb::KeyValue;
use pb::range_request::{SortOrder, SortTarget};
use pb::request_op::Request as OpRequest;
use pb::response_op::Response as OpResponse;

use crate::request::{Answer, Outcome, Refusal, Request};
use crate::rules::{check, refuse};

/// The state of a volume with all its history.
#[derive(Clone, Debug)]
pub struct Model {
    keys: BTreeMap<Bytes, Vec<Version>>,
    revision: i64,
    /// Oldest readable revision; -1 before the first compaction, as in etcd.
    compacted: i64,
}

/// What a key was from a revision on; `None` when it was deleted there.
#[derive(Clone, Debug)]
struct Version {
    revision: i64,
    kv: Option<KeyValue>,
}

impl Default for Model {
    fn default() -> Self {
        Self { keys: BTreeMap::new(), revision: 1, compacted: -1 }
    }
}

/// A write under way: the revision it writes at and whether it has changed anything yet.
struct Writing {
    revision: i64,
    changed: bool,
}

impl Writing {
    /// Revision that a read within the write sees.
    fn visible(&self) -> i64 {
        if self.changed { self.revision } else { self.revision - 1 }
    }
}

impl Model {
    /// The current revision.
    #[must_use]
    pub fn revision(&self) -> i64 {
        self.revision
    }

    /// Answers one request.
    ///
    /// # Errors
    /// The refusal that etcd would give.
    pub fn apply(&mut self, request: &Request) -> Outcome {
        check(request)?;
        match request {
            Request::Range(range) => {
                self.readable(range.revision)?;
                Ok(Answer::Range(self.range(range, self.revision)))
            }
            Request::Put(put) => {
                if put.lease != 0 {
                    return Err(refuse::lease_not_found());
                }
                self.check_put(put)?;
                let mut writing = self.begin();
                let answer = self.put(put, &mut writing);
                self.commit(&writing);
                Ok(Answer::Put(answer))
            }
            Request::Delete(delete) => {
                let mut writing = self.begin();
                let answer = self.delete(delete, &mut writing);
                self.commit(&writing);
                Ok(Answer::Delete(answer))
            }
            Request::Txn(txn) => self.transact(txn).map(Answer::Txn),
            Request::Compact(compaction) => self.compact(compaction.revision).map(Answer::Compact),
        }
    }

    /// Every key with all its fields, as it stood at `revision`, in key order.
    #[must_use]
    pub fn content(&self, revision: i64) -> Vec<KeyValue> {
        self.keys.values().filter_map(|versions| at(versions, revision)).cloned().collect()
    }

    fn begin(&self) -> Writing {
        Writing { revision: self.revision + 1, changed: false }
    }

    fn commit(&mut self, writing: &Writing) {
        self.revision = writing.visible();
    }

    fn readable(&self, revision: i64) -> Result<(), Refusal> {
        if revision > self.revision {
            Err(refuse::future_revision())
        } else if revision > 0 && revision < self.compacted {
            Err(refuse::compacted())
        } else {
            Ok(())
        }
    }

    fn compact(&mut self, revision: i64) -> Result<pb::CompactionResponse, Refusal> {
        if revision <= self.compacted {
            return Err(refuse::compacted());
        }
        if revision > self.revision {
            return Err(refuse::future_revision());
        }
        self.compacted = revision;
        Ok(pb::CompactionResponse { header: header(self.revision) })
    }

    /// Keys of a range at a revision.
    fn select<'a>(
        &'a self,
        key: &'a Bytes,
        range_end: &'a Bytes,
        revision: i64,
    ) -> impl Iterator<Item = &'a KeyValue> {
        self.keys
            .range(key.clone()..)
            .take_while(move |(candidate, _)| covers(key, range_end, candidate))
            .filter_map(move |(_, versions)| at(versions, revision))
    }

    fn range(&self, request: &pb::RangeRequest, current: i64) -> pb::RangeResponse {
        let revision = if request.revision > 0 { request.revision } else { current };
        let mut kvs: Vec<KeyValue> =
            self.select(&request.key, &request.range_end, revision).cloned().collect();
        let count = i64::try_from(kvs.len()).expect("a length fits");
        let mut more = false;
        if request.count_only {
            kvs.clear();
        }
        let limit = usize::try_from(request.limit).ok().filter(|limit| *limit > 0).unwrap_or(usize::MAX);
        // Without an order etcd stops reading one key past the limit, and sorts what it has read.
        if request.sort_order() == SortOrder::None && !has_filters(request) {
            kvs.truncate(limit.saturating_add(1));
        }
        kvs.retain(|kv| passes_filters(request, kv));
        sort(&mut kvs, request.sort_order(), request.sort_target());
        if kvs.len() > limit {
            kvs.truncate(limit);
            more = true;
        }
        if request.keys_only {
            kvs.iter_mut().for_each(|kv| kv.value.clear());
        }
        pb::RangeResponse { header: header(current), kvs, more, count }
    }

    /// The key must exist when something of it is to be kept, and the lease must exist, which none does.
    fn check_put(&self, put: &pb::PutRequest) -> Result<(), Refusal> {
        let missing = self.keys.get(&put.key).and_then(|versions| at(versions, self.revision)).is_none();
        if (put.ignore_value || put.ignore_lease) && missing {
            return Err(refuse::key_not_found());
        }
        if put.lease != 0 {
            return Err(refuse::lease_not_found());
        }
        Ok(())
    }

    fn put(&mut self, put: &pb::PutRequest, writing: &mut Writing) -> pb::PutResponse {
        let versions = self.keys.entry(put.key.clone()).or_default();
        let previous = at(versions, writing.revision).cloned();
        let value = match &previous {
            Some(kept) if put.ignore_value => kept.value.clone(),
            _ => put.value.clone(),
        };
        let kv = KeyValue {
            key: put.key.clone(),
            value,
            create_revision: previous.as_ref().map_or(writing.revision, |kv| kv.create_revision),
            mod_revision: writing.revision,
            version: previous.as_ref().map_or(1, |kv| kv.version + 1),
            lease: put.lease,
        };
        versions.push(Version { revision: writing.revision, kv: Some(kv) });
        writing.changed = true;
        pb::PutResponse { header: header(writing.revision), prev_kv: previous.filter(|_| put.prev_kv) }
    }

    fn delete(&mut self, delete: &pb::DeleteRangeRequest, writing: &mut Writing) -> pb::DeleteRangeResponse {
        let found: Vec<KeyValue> =
            self.select(&delete.key, &delete.range_end, writing.visible()).cloned().collect();
        for kv in &found {
            let versions = self.keys.get_mut(&kv.key).expect("the key was just found");
            versions.push(Version { revision: writing.revision, kv: None });
            writing.changed = true;
        }
        pb::DeleteRangeResponse {
            header: header(writing.visible()),
            deleted: i64::try_from(found.len()).expect("a length fits"),
            prev_kvs: if delete.prev_kv { found } else { Vec::new() },
        }
    }

    fn transact(&mut self, txn: &pb::TxnRequest) -> Result<pb::TxnResponse, Refusal> {
        let mut path = Vec::new();
        self.choose(txn, &mut path);
        // etcd checks all writes of the path before any read.
        self.check_branch(txn, &mut path.iter().copied(), &|op| match op {
            OpRequest::RequestPut(put) => self.check_put(put),
            _ => Ok(()),
        })?;
        self.check_branch(txn, &mut path.iter().copied(), &|op| match op {
            OpRequest::RequestRange(range) => self.readable(range.revision),
            _ => Ok(()),
        })?;
        let mut writing = self.begin();
        let mut answer = self.run(txn, &mut path.into_iter(), &mut writing);
        self.commit(&writing);
        answer.header = header(self.revision);
        Ok(answer)
    }

    /// Decides every transaction on the path taken, outer before inner, in the order they are listed.
    fn choose(&self, txn: &pb::TxnRequest, path: &mut Vec<bool>) {
        let succeeded = txn.compare.iter().all(|compare| self.holds(compare));
        path.push(succeeded);
        for op in branch(txn, succeeded) {
            if let Some(OpRequest::RequestTxn(inner)) = &op.request {
                self.choose(inner, path);
            }
        }
    }

    fn check_branch(
        &self,
        txn: &pb::TxnRequest,
        path: &mut impl Iterator<Item = bool>,
        check: &impl Fn(&OpRequest) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        let succeeded = path.next().expect("the path names every transaction");
        for op in branch(txn, succeeded) {
            match op.request.as_ref().expect("checked before") {
                OpRequest::RequestTxn(inner) => self.check_branch(inner, path, check)?,
                op => check(op)?,
            }
        }
        Ok(())
    }

    fn run(
        &mut self,
        txn: &pb::TxnRequest,
        path: &mut impl Iterator<Item = bool>,
        writing: &mut Writing,
    ) -> pb::TxnResponse {
        let succeeded = path.next().expect("the path names every transaction");
        let mut responses = Vec::new();
        for op in branch(txn, succeeded) {
            let response = match op.request.as_ref().expect("checked before") {
                OpRequest::RequestRange(range) => {
                    OpResponse::ResponseRange(self.range(range, writing.visible()))
                }
                OpRequest::RequestPut(put) => OpResponse::ResponsePut(self.put(put, writing)),
                OpRequest::RequestDeleteRange(delete) => {
                    OpResponse::ResponseDeleteRange(self.delete(delete, writing))
                }
                OpRequest::RequestTxn(inner) => OpResponse::ResponseTxn(self.run(inner, path, writing)),
            };
            responses.push(pb::ResponseOp { response: Some(response) });
        }
        // etcd names no revision in the header of a nested answer.
        pb::TxnResponse { header: header(0), succeeded, responses }
    }

    fn holds(&self, compare: &pb::Compare) -> bool {
        let mut found = self.select(&compare.key, &compare.range_end, self.revision).peekable();
        if found.peek().is_none() {
            return compare.target() != pb::compare::CompareTarget::Value
                && relates(compare, &KeyValue::default());
        }
        found.all(|kv| relates(compare, kv))
    }
}

fn at(versions: &[Version], revision: i64) -> Option<&KeyValue> {
    versions.iter().rev().find(|version| version.revision <= revision)?.kv.as_ref()
}

fn branch(txn: &pb::TxnRequest, succeeded: bool) -> &[pb::RequestOp] {
    if succeeded { &txn.success } else { &txn.failure }
}

fn header(revision: i64) -> Option<pb::ResponseHeader> {
    Some(pb::ResponseHeader { revision, ..Default::default() })
}

/// Whether a range, whose start is not past `candidate`, goes on up to it.
fn covers(key: &Bytes, range_end: &Bytes, candidate: &Bytes) -> bool {
    match range_end.as_ref() {
        [] => candidate == key,
        [0] => true,
        end => candidate.as_ref() < end,
    }
}

fn has_filters(request: &pb::RangeRequest) -> bool {
    let bounds = [
        request.min_mod_revision,
        request.max_mod_revision,
        request.min_create_revision,
        request.max_create_revision,
    ];
    bounds.iter().any(|bound| *bound != 0)
}

fn passes_filters(request: &pb::RangeRequest, kv: &KeyValue) -> bool {
    let within = |value: i64, min: i64, max: i64| (min == 0 || value >= min) && (max == 0 || value <= max);
    within(kv.mod_revision, request.min_mod_revision, request.max_mod_revision)
        && within(kv.create_revision, request.min_create_revision, request.max_create_revision)
}

fn sort(kvs: &mut [KeyValue], order: SortOrder, target: SortTarget) {
    let descending = match order {
        SortOrder::None if target == SortTarget::Key => return,
        SortOrder::None | SortOrder::Ascend => false,
        SortOrder::Descend => true,
    };
    kvs.sort_by(|a, b| {
        let ascending = match target {
            SortTarget::Key => a.key.cmp(&b.key),
            SortTarget::Version => a.version.cmp(&b.version),
            SortTarget::Create => a.create_revision.cmp(&b.create_revision),
            SortTarget::Mod => a.mod_revision.cmp(&b.mod_revision),
            SortTarget::Value => a.value.cmp(&b.value),
        };
        if descending { ascending.reverse() } else { ascending }
    });
}

fn relates(compare: &pb::Compare, kv: &KeyValue) -> bool {
    use pb::compare::{CompareResult, CompareTarget, TargetUnion};
    let given = compare.target_union.as_ref();
    let ordering =
        match compare.target() {
            CompareTarget::Version => {
                kv.version.cmp(&if let Some(TargetUnion::Version(given)) = given { *given } else { 0 })
            }
            CompareTarget::Create => kv
                .create_revision
                .cmp(&if let Some(TargetUnion::CreateRevision(given)) = given { *given } else { 0 }),
            CompareTarget::Mod => kv
                .mod_revision
                .cmp(&if let Some(TargetUnion::ModRevision(given)) = given { *given } else { 0 }),
            CompareTarget::Value => {
                let given = if let Some(TargetUnion::Value(given)) = given { given.as_ref() } else { &[] };
                kv.value.as_ref().cmp(given)
            }
            CompareTarget::Lease => {
                kv.lease.cmp(&if let Some(TargetUnion::Lease(given)) = given { *given } else { 0 })
            }
        };
    match compare.result() {
        CompareResult::Equal => ordering.is_eq(),
        CompareResult::Greater => ordering.is_gt(),
        CompareResult::Less => ordering.is_lt(),
        CompareResult::NotEqual => ordering.is_ne(),
    }
}
