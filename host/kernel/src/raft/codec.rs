//! Bytes of what the raft layer stores: entries, votes, marks and positions.
//!
//! Everything begins with a version byte, so that a later version can read what this one wrote. After it
//! comes postcard, except for the head of an entry, which is fixed: kind, term and node of its leader.

use bytes::{BufMut, Bytes, BytesMut};
use openraft::{EntryPayload, LeaderId};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::types::{Batch, Entry, LogId};
use crate::{Error, Result};

const VERSION: u8 = 1;
const BLANK: u8 = 0;
const NORMAL: u8 = 1;
const MEMBERSHIP: u8 = 2;
const HEAD_BYTES: usize = 18;

/// Encodes a value behind the version byte.
pub(super) fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Bytes> {
    postcard::to_extend(value, vec![VERSION])
        .map(Bytes::from)
        .map_err(|error| Error::Internal(format!("encoding for the raft log: {error}")))
}

/// Decodes what [`encode`] made. The error says what was expected and found.
pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    let body = body(bytes)?;
    let (value, rest) = postcard::take_from_bytes(body).map_err(|error| {
        format!("expected a {} of version {VERSION}: {error}", std::any::type_name::<T>())
    })?;
    if rest.is_empty() { Ok(value) } else { Err(format!("{} bytes follow the value", rest.len())) }
}

fn body(bytes: &[u8]) -> Result<&[u8], String> {
    match bytes.split_first() {
        Some((&VERSION, body)) => Ok(body),
        Some((found, _)) => Err(format!("expected version {VERSION}, found {found}")),
        None => Err("expected a version byte, found nothing".into()),
    }
}

/// Encodes an entry; its index is in its key.
pub(super) fn encode_entry(entry: &Entry) -> Result<Bytes> {
    let (kind, payload) = match &entry.payload {
        EntryPayload::Blank => (BLANK, Bytes::new()),
        EntryPayload::Normal(batch) => (NORMAL, batch.encoded().clone()),
        EntryPayload::Membership(membership) => (MEMBERSHIP, encode(membership)?),
    };
    let mut bytes = BytesMut::with_capacity(HEAD_BYTES + payload.len());
    bytes.put_u8(VERSION);
    bytes.put_u8(kind);
    bytes.put_u64(entry.log_id.leader_id.term);
    bytes.put_u64(entry.log_id.leader_id.node_id);
    bytes.put(payload);
    Ok(bytes.freeze())
}

/// Decodes the entry at `index`.
pub(super) fn decode_entry(index: u64, bytes: &Bytes) -> Result<Entry, String> {
    let log_id = decode_log_id(index, bytes)?;
    let payload = bytes.slice(HEAD_BYTES..);
    let payload = match bytes[1] {
        BLANK if payload.is_empty() => EntryPayload::Blank,
        BLANK => return Err(format!("a blank entry has {} bytes of payload", payload.len())),
        NORMAL => EntryPayload::Normal(Batch::decode(payload)?),
        MEMBERSHIP => EntryPayload::Membership(decode(&payload)?),
        kind => return Err(format!("expected an entry of kind 0, 1 or 2, found {kind}")),
    };
    Ok(Entry { log_id, payload })
}

/// Decodes only the id of the entry at `index`.
pub(super) fn decode_log_id(index: u64, bytes: &[u8]) -> Result<LogId, String> {
    body(bytes)?;
    let number = |range: std::ops::Range<usize>| {
        bytes.get(range).and_then(|bytes| bytes.try_into().ok()).map(u64::from_be_bytes)
    };
    match (number(2..10), number(10..18)) {
        (Some(term), Some(node)) => Ok(LogId::new(LeaderId::new(term, node), index)),
        _ => Err(format!("expected at least {HEAD_BYTES} bytes, found {}", bytes.len())),
    }
}
