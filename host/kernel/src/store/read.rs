//! Answers to range requests and comparisons, with etcd 3.4's rules.
//!
//! Requests come and answers go in stored form (see [`crate::format`]); the order of keys is that of their
//! stored forms. Only what depends on the order of values is decoded here, through a [`Decoding`].

use std::cmp::Ordering;

use bytes::Bytes;

use super::columns::Span;
use super::scan::Scan;
use super::source::Source;
use super::view::ReadView;
use crate::format::{Coder, Decoded, Meter};
use crate::kv::{
    Compare, CompareResult, CompareTarget, KeyValue, RangeRequest, RangeResponse, SortOrder, SortTarget,
    needs_order_of_values,
};
use crate::{Error, Result};

/// How values are decoded where their order counts.
#[derive(Clone, Copy)]
pub(super) struct Decoding<'a> {
    pub(super) coder: &'a Coder,
    pub(super) meter: Meter,
    /// What was decoded before.
    pub(super) known: Option<&'a Decoded>,
}

impl Decoding<'_> {
    /// Values compared at a time.
    const BATCH: usize = 256;

    /// Orders by value, stably.
    fn sort(self, kvs: &mut Vec<KeyValue>, order: impl Fn(&Bytes, &Bytes) -> Ordering) -> Result<()> {
        if self.coder.is_natural() {
            kvs.sort_by(|a, b| order(&a.value, &b.value));
            return Ok(());
        }
        let values = self.values(kvs)?;
        let mut valued: Vec<_> = values.into_iter().zip(kvs.drain(..)).collect();
        valued.sort_by(|(a, _), (b, _)| order(a, b));
        kvs.extend(valued.into_iter().map(|(_, kv)| kv));
        Ok(())
    }

    /// The values in user form.
    fn values(self, kvs: &[KeyValue]) -> Result<Vec<Bytes>> {
        let known = |kv: &KeyValue| self.known?.get(&kv.value).cloned();
        let missing = kvs.iter().filter(|kv| known(kv).is_none());
        let missing: Vec<_> = missing.map(|kv| kv.value.clone()).collect();
        let mut missing = self.coder.decode_values(&missing, self.meter)?.into_iter();
        Ok(kvs.iter().filter_map(|kv| known(kv).or_else(|| missing.next())).collect())
    }
}

/// The revisions that a reader can ask for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Readable {
    /// Newest revision.
    pub(super) current: i64,
    /// Oldest readable revision; -1 before the first compaction.
    pub(super) compacted: i64,
}

impl Readable {
    /// The revision that a request with `revision` reads at; 0 and less stand for the newest.
    pub(super) fn resolve(self, revision: i64) -> Result<i64> {
        if revision > self.current {
            return Err(Error::FutureRevision { requested: revision, current: self.current });
        }
        let at = if revision <= 0 { self.current } else { revision };
        if at < self.compacted {
            return Err(Error::Compacted { requested: revision, compacted: self.compacted });
        }
        Ok(at)
    }

    /// Judges a read inside a transaction before any part of it runs. Unlike [`Self::resolve`], and like
    /// etcd, this takes negative revisions by their value.
    pub(super) fn check_in_txn(self, revision: i64) -> Result<()> {
        if revision == 0 {
            return Ok(());
        }
        if revision > self.current {
            return Err(Error::FutureRevision { requested: revision, current: self.current });
        }
        if revision < self.compacted {
            return Err(Error::Compacted { requested: revision, compacted: self.compacted.max(0) });
        }
        Ok(())
    }
}

impl From<ReadView> for Readable {
    fn from(view: ReadView) -> Self {
        Self { current: view.revision, compacted: view.compacted }
    }
}

/// Opens what a range request reads.
pub(super) fn open(source: Source<'_>, request: &RangeRequest, readable: Readable) -> Result<Scan> {
    let at = readable.resolve(request.revision)?;
    Scan::open(source, Span::new(&request.key, &request.range_end), at, readable.current)
}

/// Walks the scan of a range request and answers; `revision` is the current one.
pub(super) fn answer(
    request: &RangeRequest,
    mut scan: Scan,
    revision: i64,
    decoding: Decoding<'_>,
) -> Result<RangeResponse> {
    let mut response = RangeResponse { revision, ..RangeResponse::default() };
    if request.count_only {
        response.count = scan.count_rest()?;
        return Ok(response);
    }
    let (limit, fetch) = (limit(request), most_fetched(request));
    let keep_values = !request.keys_only || request.sort_target == SortTarget::Value;
    let mut fetched = 0;
    while fetched < fetch {
        let Some(mut kv) = scan.next().transpose()? else { break };
        fetched += 1;
        if passes_filters(request, &kv) {
            if !keep_values {
                kv.value.clear();
            }
            response.kvs.push(kv);
        }
    }
    response.count = scan.count_rest()? + i64::try_from(fetched).unwrap_or(i64::MAX);
    sort(request, &mut response.kvs, decoding)?;
    if let Some(limit) = limit
        && response.kvs.len() > limit
    {
        response.kvs.truncate(limit);
        response.more = true;
    }
    if request.keys_only {
        response.kvs.iter_mut().for_each(|kv| kv.value.clear());
    }
    Ok(response)
}

fn limit(request: &RangeRequest) -> Option<usize> {
    usize::try_from(request.limit).ok().filter(|&limit| limit > 0)
}

/// Most keys that a range request looks at. One more than its limit tells whether there are more. A sort
/// target without an order does not lift this: etcd sorts the first keys by it, and then cuts.
pub(super) fn most_fetched(request: &RangeRequest) -> usize {
    match limit(request) {
        Some(limit) if request.sort_order == SortOrder::None && !has_filters(request) => {
            limit.saturating_add(1)
        }
        _ => usize::MAX,
    }
}

fn has_filters(request: &RangeRequest) -> bool {
    request.min_mod_revision != 0
        || request.max_mod_revision != 0
        || request.min_create_revision != 0
        || request.max_create_revision != 0
}

fn passes_filters(request: &RangeRequest, kv: &KeyValue) -> bool {
    let within = |value: i64, min: i64, max: i64| (min == 0 || value >= min) && (max == 0 || value <= max);
    within(kv.mod_revision, request.min_mod_revision, request.max_mod_revision)
        && within(kv.create_revision, request.min_create_revision, request.max_create_revision)
}

/// Sorts stably, so that keys which are equal by the target stay in key order.
fn sort(request: &RangeRequest, kvs: &mut Vec<KeyValue>, decoding: Decoding<'_>) -> Result<()> {
    // A target without an order means ascending.
    let descends = request.sort_order == SortOrder::Descend;
    let directed = |order: Ordering| if descends { order.reverse() } else { order };
    match request.sort_target {
        // The scan is in key order already.
        SortTarget::Key if !descends => {}
        SortTarget::Key => kvs.sort_by(|a, b| b.key.cmp(&a.key)),
        SortTarget::Version => kvs.sort_by(|a, b| directed(a.version.cmp(&b.version))),
        SortTarget::Create => kvs.sort_by(|a, b| directed(a.create_revision.cmp(&b.create_revision))),
        SortTarget::Mod => kvs.sort_by(|a, b| directed(a.mod_revision.cmp(&b.mod_revision))),
        SortTarget::Value => return decoding.sort(kvs, |a, b| directed(a.cmp(b))),
    }
    Ok(())
}

/// Opens what a comparison looks at: always the newest revision.
pub(super) fn open_compare(source: Source<'_>, compare: &Compare, readable: Readable) -> Result<Scan> {
    Scan::open(source, Span::new(&compare.key, &compare.range_end), readable.current, readable.current)
}

/// Whether a comparison holds: for every key in its range, or, where there is none, for a missing key.
pub(super) fn holds(compare: &Compare, scan: Scan, decoding: Decoding<'_>) -> Result<bool> {
    if needs_order_of_values(compare) && !decoding.coder.is_natural() {
        return holds_decoded(compare, scan, decoding);
    }
    let mut found = false;
    for kv in scan {
        found = true;
        if !holds_for(compare, &kv?) {
            return Ok(false);
        }
    }
    // A missing key has no value, which is neither equal nor unequal to any.
    Ok(found
        || (!matches!(compare.target, CompareTarget::Value(_)) && holds_for(compare, &KeyValue::default())))
}

/// As [`holds`], for values that have to be decoded. No value is greater or less than that of a missing key.
fn holds_decoded(compare: &Compare, mut scan: Scan, decoding: Decoding<'_>) -> Result<bool> {
    let mut found = false;
    loop {
        let mut batch = scan.by_ref().take(Decoding::BATCH).collect::<Result<Vec<_>>>()?;
        if batch.is_empty() {
            return Ok(found);
        }
        found = true;
        let values = decoding.values(&batch)?;
        batch.iter_mut().zip(values).for_each(|(kv, value)| kv.value = value);
        if !batch.iter().all(|kv| holds_for(compare, kv)) {
            return Ok(false);
        }
    }
}

fn holds_for(compare: &Compare, kv: &KeyValue) -> bool {
    let order = match &compare.target {
        CompareTarget::Version(given) => kv.version.cmp(given),
        CompareTarget::CreateRevision(given) => kv.create_revision.cmp(given),
        CompareTarget::ModRevision(given) => kv.mod_revision.cmp(given),
        CompareTarget::Value(given) => kv.value.cmp(given),
        CompareTarget::Lease(given) => kv.lease.cmp(given),
    };
    match compare.result {
        CompareResult::Equal => order == Ordering::Equal,
        CompareResult::Greater => order == Ordering::Greater,
        CompareResult::Less => order == Ordering::Less,
        CompareResult::NotEqual => order != Ordering::Equal,
    }
}
