//! The simplest store that answers like etcd: one sorted map for each revision.

use std::collections::BTreeMap;

use bytes::Bytes;
use mortise_kernel::kv::{
    Command, CommandResponse, Compare, CompareResult, CompareTarget, DeleteRangeRequest, DeleteRangeResponse,
    KeyValue, Op, OpResponse, PutRequest, PutResponse, RangeRequest, RangeResponse, SortOrder, SortTarget,
    TxnRequest, TxnResponse,
};
use mortise_kernel::{Error, Result};
use xxhash_rust::xxh3::Xxh3;

/// Keys with their versions, by their place in the order of keys.
pub(crate) type Content = BTreeMap<Bytes, KeyValue>;

/// A key's place in the order of keys: in a store, its stored form.
pub(crate) type Order = fn(&[u8]) -> Bytes;

/// The order of a natural store.
pub(crate) fn bytewise(key: &[u8]) -> Bytes {
    Bytes::copy_from_slice(key)
}

/// All readable revisions with their content.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    pub(crate) revisions: BTreeMap<i64, Content>,
    pub(crate) compacted: i64,
    order: Order,
}

impl Default for Model {
    fn default() -> Self {
        Self::new(bytewise)
    }
}

impl Model {
    pub(crate) fn new(order: Order) -> Self {
        Self { revisions: BTreeMap::from([(1, Content::new())]), compacted: -1, order }
    }
}

/// A transaction under way: the content so far, and whether it differs from the one before.
struct Work {
    content: Content,
    changed: bool,
}

fn within(order: Order, key: &[u8], start: &[u8], end: &[u8]) -> bool {
    let is_behind = start == [0] || order(key) >= order(start);
    match end {
        [] => key == start,
        [0] => is_behind,
        end => is_behind && order(key) < order(end),
    }
}

fn select(order: Order, content: &Content, start: &[u8], end: &[u8]) -> Vec<KeyValue> {
    content.values().filter(|kv| within(order, &kv.key, start, end)).cloned().collect()
}

impl Model {
    pub(crate) fn revision(&self) -> i64 {
        *self.revisions.last_key_value().expect("there always is a revision").0
    }

    pub(crate) fn newest(&self) -> &Content {
        self.revisions.last_key_value().expect("there always is a revision").1
    }

    pub(crate) fn apply(&mut self, command: &Command) -> Result<CommandResponse> {
        let mut work = Work { content: self.newest().clone(), changed: false };
        let response = match command {
            Command::Put(put) if put.lease != 0 => Err(Error::LeaseNotFound(put.lease)),
            Command::Put(put) if keeps(put) && !work.content.contains_key(&(self.order)(&put.key)) => {
                Err(Error::KeyNotFound)
            }
            Command::Put(put) => Ok(CommandResponse::Put(self.put(&mut work, put))),
            Command::DeleteRange(delete) => Ok(CommandResponse::DeleteRange(self.delete(&mut work, delete))),
            Command::Txn(txn) => self.txn(&mut work, txn).map(CommandResponse::Txn),
            Command::Compact { revision } => self.compact(*revision),
        }?;
        if work.changed {
            self.revisions.insert(self.revision() + 1, work.content);
        }
        Ok(response)
    }

    fn compact(&mut self, revision: i64) -> Result<CommandResponse> {
        if revision <= self.compacted {
            return Err(Error::Compacted { requested: revision, compacted: self.compacted.max(0) });
        }
        if revision > self.revision() {
            return Err(Error::FutureRevision { requested: revision, current: self.revision() });
        }
        self.compacted = revision;
        self.revisions = self.revisions.split_off(&revision);
        Ok(CommandResponse::Compact { revision: self.revision() })
    }

    fn seen(&self, work: &Work) -> i64 {
        self.revision() + i64::from(work.changed)
    }

    fn put(&self, work: &mut Work, put: &PutRequest) -> PutResponse {
        let revision = self.revision() + 1;
        let old = work.content.get(&(self.order)(&put.key)).cloned();
        let mut kv = old.clone().unwrap_or_else(|| KeyValue {
            key: put.key.clone(),
            create_revision: revision,
            ..KeyValue::default()
        });
        kv.mod_revision = revision;
        kv.version += 1;
        if !put.ignore_value {
            kv.value = put.value.clone();
        }
        work.content.insert((self.order)(&put.key), kv);
        work.changed = true;
        PutResponse { revision, prev_kv: old.filter(|_| put.prev_kv) }
    }

    fn delete(&self, work: &mut Work, delete: &DeleteRangeRequest) -> DeleteRangeResponse {
        let doomed = select(self.order, &work.content, &delete.key, &delete.range_end);
        doomed.iter().for_each(|kv| drop(work.content.remove(&(self.order)(&kv.key))));
        work.changed |= !doomed.is_empty();
        DeleteRangeResponse {
            revision: self.seen(work),
            deleted: doomed.len() as i64,
            prev_kvs: if delete.prev_kv { doomed } else { Vec::new() },
        }
    }

    pub(crate) fn range(&self, request: &RangeRequest) -> Result<RangeResponse> {
        self.range_in(&Work { content: self.newest().clone(), changed: false }, request)
    }

    fn range_in(&self, work: &Work, request: &RangeRequest) -> Result<RangeResponse> {
        let current = self.seen(work);
        let content = match request.revision {
            at if at > current => {
                return Err(Error::FutureRevision { requested: at, current });
            }
            at if at <= 0 || at == current => &work.content,
            at => self
                .revisions
                .get(&at)
                .ok_or(Error::Compacted { requested: at, compacted: self.compacted.max(0) })?,
        };
        Ok(answer(
            self.order,
            request,
            select(self.order, content, &request.key, &request.range_end),
            current,
        ))
    }

    pub(crate) fn read_txn(&self, txn: &TxnRequest) -> Result<TxnResponse> {
        self.txn(&mut Work { content: self.newest().clone(), changed: false }, txn)
    }

    fn txn(&self, work: &mut Work, txn: &TxnRequest) -> Result<TxnResponse> {
        let chosen = flatten(self.order, self.newest(), txn);
        for op in &chosen {
            if let Op::Put(put) = op {
                if keeps(put) && !self.newest().contains_key(&(self.order)(&put.key)) {
                    return Err(Error::KeyNotFound);
                }
                if put.lease != 0 {
                    return Err(Error::LeaseNotFound(put.lease));
                }
            }
        }
        for op in &chosen {
            if let Op::Range(range) = op {
                let requested = range.revision;
                if requested > self.revision() {
                    return Err(Error::FutureRevision { requested, current: self.revision() });
                }
                if requested != 0 && requested < self.compacted {
                    return Err(Error::Compacted { requested, compacted: self.compacted.max(0) });
                }
            }
        }
        let before = self.newest().clone();
        let mut response = self.run(work, &before, txn)?;
        response.revision = self.seen(work);
        Ok(response)
    }

    fn run(&self, work: &mut Work, before: &Content, txn: &TxnRequest) -> Result<TxnResponse> {
        let succeeded = txn.compare.iter().all(|compare| holds(self.order, before, compare));
        let ops = if succeeded { &txn.success } else { &txn.failure };
        let mut responses = Vec::new();
        for op in ops {
            responses.push(match op {
                Op::Range(range) => OpResponse::Range(self.range_in(work, range)?),
                Op::Put(put) => OpResponse::Put(self.put(work, put)),
                Op::DeleteRange(delete) => OpResponse::DeleteRange(self.delete(work, delete)),
                Op::Txn(nested) => OpResponse::Txn(self.run(work, before, nested)?),
            });
        }
        Ok(TxnResponse { revision: 0, succeeded, responses })
    }
}

fn keeps(put: &PutRequest) -> bool {
    put.ignore_value || put.ignore_lease
}

/// The operations that run, nested ones in place.
fn flatten<'a>(order: Order, before: &Content, txn: &'a TxnRequest) -> Vec<&'a Op> {
    let succeeded = txn.compare.iter().all(|compare| holds(order, before, compare));
    let ops = if succeeded { &txn.success } else { &txn.failure };
    let mut flat = Vec::new();
    for op in ops {
        match op {
            Op::Txn(nested) => flat.extend(flatten(order, before, nested)),
            op => flat.push(op),
        }
    }
    flat
}

fn holds(order: Order, content: &Content, compare: &Compare) -> bool {
    let mut kvs = select(order, content, &compare.key, &compare.range_end);
    if kvs.is_empty() {
        if matches!(compare.target, CompareTarget::Value(_)) {
            return false;
        }
        kvs.push(KeyValue::default());
    }
    kvs.iter().all(|kv| {
        let order = match &compare.target {
            CompareTarget::Version(given) => kv.version.cmp(given),
            CompareTarget::CreateRevision(given) => kv.create_revision.cmp(given),
            CompareTarget::ModRevision(given) => kv.mod_revision.cmp(given),
            CompareTarget::Value(given) => kv.value.cmp(given),
            CompareTarget::Lease(given) => kv.lease.cmp(given),
        };
        match compare.result {
            CompareResult::Equal => order.is_eq(),
            CompareResult::Greater => order.is_gt(),
            CompareResult::Less => order.is_lt(),
            CompareResult::NotEqual => order.is_ne(),
        }
    })
}

fn answer(order: Order, request: &RangeRequest, mut kvs: Vec<KeyValue>, revision: i64) -> RangeResponse {
    let count = kvs.len() as i64;
    if request.count_only {
        return RangeResponse { revision, kvs: Vec::new(), more: false, count };
    }
    let bounds = [
        request.min_mod_revision,
        request.max_mod_revision,
        request.min_create_revision,
        request.max_create_revision,
    ];
    let limit = usize::try_from(request.limit).unwrap_or(0);
    if limit > 0 && request.sort_order == SortOrder::None && bounds == [0; 4] {
        kvs.truncate(limit + 1);
    }
    let [min_mod, max_mod, min_create, max_create] = bounds;
    kvs.retain(|kv| max_mod == 0 || kv.mod_revision <= max_mod);
    kvs.retain(|kv| min_mod == 0 || kv.mod_revision >= min_mod);
    kvs.retain(|kv| max_create == 0 || kv.create_revision <= max_create);
    kvs.retain(|kv| min_create == 0 || kv.create_revision >= min_create);
    let sort_key = |kv: &KeyValue| match request.sort_target {
        SortTarget::Key => (0, order(&kv.key)),
        SortTarget::Version => (kv.version, Bytes::new()),
        SortTarget::Create => (kv.create_revision, Bytes::new()),
        SortTarget::Mod => (kv.mod_revision, Bytes::new()),
        SortTarget::Value => (0, kv.value.clone()),
    };
    match request.sort_order {
        SortOrder::None | SortOrder::Ascend => kvs.sort_by_key(sort_key),
        SortOrder::Descend => kvs.sort_by_key(|kv| std::cmp::Reverse(sort_key(kv))),
    }
    let more = limit > 0 && kvs.len() > limit;
    if more {
        kvs.truncate(limit);
    }
    if request.keys_only {
        kvs.iter_mut().for_each(|kv| kv.value = Bytes::new());
    }
    RangeResponse { revision, kvs, more, count }
}

/// The content hash, by its documented definition.
pub(crate) fn hash(content: &Content) -> u64 {
    let mut sum = 0_u64;
    for kv in content.values() {
        let mut hasher = Xxh3::new();
        for bytes in [&kv.key, &kv.value] {
            hasher.update(&(bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        }
        for number in [kv.create_revision, kv.mod_revision, kv.version, kv.lease] {
            hasher.update(&number.to_le_bytes());
        }
        sum = sum.wrapping_add(hasher.digest());
    }
    sum
}
