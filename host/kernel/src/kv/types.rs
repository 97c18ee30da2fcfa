//! Requests and answers of the key-value interface, as the log stores them and the store applies them.
//!
//! They mirror etcd v3's messages one to one, so that the server only translates. All keys and values are
//! opaque bytes. A range is `key` and `range_end` with etcd's rules: an empty `range_end` names one key,
//! a `range_end` of one zero byte means «from `key` to the end», a `key` of one zero byte means «from the
//! start». These types are serialised into the raft log: fields and variants may only be appended.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// One key with its current or historical version.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyValue {
    /// The user's key.
    pub key: Bytes,
    /// The user's value; empty when only keys were asked for.
    pub value: Bytes,
    /// Revision at which this incarnation of the key was created.
    pub create_revision: i64,
    /// Revision of the last change.
    pub mod_revision: i64,
    /// Number of changes since creation, starting at 1.
    pub version: i64,
    /// Lease attached to the key, 0 for none.
    pub lease: i64,
}

/// Order of a range answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum SortOrder {
    /// As stored, which is ascending by key.
    #[default]
    None,
    /// Ascending by the target.
    Ascend,
    /// Descending by the target.
    Descend,
}

/// Field that a range answer is sorted by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum SortTarget {
    /// The key.
    #[default]
    Key,
    /// The version counter.
    Version,
    /// The create revision.
    Create,
    /// The modification revision.
    Mod,
    /// The value.
    Value,
}

/// Reads a key or a range of keys.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RangeRequest {
    /// First key.
    pub key: Bytes,
    /// End of the range, exclusive; see the module header.
    pub range_end: Bytes,
    /// Most keys to return, 0 for no limit.
    pub limit: i64,
    /// Revision to read at, 0 or less for the newest.
    pub revision: i64,
    /// Order of the answer.
    pub sort_order: SortOrder,
    /// What the order is taken by.
    pub sort_target: SortTarget,
    /// Leave the values out.
    pub keys_only: bool,
    /// Return the number of keys only.
    pub count_only: bool,
    /// Drop keys last changed before this revision; 0 for no bound.
    pub min_mod_revision: i64,
    /// Drop keys last changed after this revision; 0 for no bound.
    pub max_mod_revision: i64,
    /// Drop keys created before this revision; 0 for no bound.
    pub min_create_revision: i64,
    /// Drop keys created after this revision; 0 for no bound.
    pub max_create_revision: i64,
}

/// Answer to a [`RangeRequest`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RangeResponse {
    /// Current revision of the volume when the read happened (not the revision read at).
    pub revision: i64,
    /// Keys found, after filters, sort and limit.
    pub kvs: Vec<KeyValue>,
    /// Whether the limit cut the answer.
    pub more: bool,
    /// Number of keys in the range at the revision read, before filters and limit.
    pub count: i64,
}

/// Writes one key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PutRequest {
    /// Key to write.
    pub key: Bytes,
    /// Its new value.
    pub value: Bytes,
    /// Lease to attach, 0 for none.
    pub lease: i64,
    /// Return the previous version.
    pub prev_kv: bool,
    /// Keep the current value; the key must exist.
    pub ignore_value: bool,
    /// Keep the current lease; the key must exist.
    pub ignore_lease: bool,
}

/// Answer to a [`PutRequest`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PutResponse {
    /// Revision of the write.
    pub revision: i64,
    /// The previous version, when asked for and present.
    pub prev_kv: Option<KeyValue>,
}

/// Deletes a key or a range of keys.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteRangeRequest {
    /// First key.
    pub key: Bytes,
    /// End of the range, exclusive; see the module header.
    pub range_end: Bytes,
    /// Return the deleted versions.
    pub prev_kv: bool,
}

/// Answer to a [`DeleteRangeRequest`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteRangeResponse {
    /// Revision after the delete; unchanged when nothing was deleted.
    pub revision: i64,
    /// Number of keys deleted.
    pub deleted: i64,
    /// The deleted versions, when asked for.
    pub prev_kvs: Vec<KeyValue>,
}

/// Relation that a comparison demands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CompareResult {
    /// Stored equals given.
    Equal,
    /// Stored is greater than given.
    Greater,
    /// Stored is less than given.
    Less,
    /// Stored differs from given.
    NotEqual,
}

/// Field that a comparison looks at, with the value it is compared to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CompareTarget {
    /// The version counter; 0 for a missing key.
    Version(i64),
    /// The create revision; 0 for a missing key.
    CreateRevision(i64),
    /// The modification revision; 0 for a missing key.
    ModRevision(i64),
    /// The value; a comparison with a missing key always fails.
    Value(Bytes),
    /// The lease; 0 for a missing key.
    Lease(i64),
}

/// One guard of a transaction. Over a range, every key in it must satisfy the relation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compare {
    /// First key.
    pub key: Bytes,
    /// End of the range, exclusive; empty for one key.
    pub range_end: Bytes,
    /// Field and given value.
    pub target: CompareTarget,
    /// Relation demanded.
    pub result: CompareResult,
}

/// One operation of a transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Op {
    /// Read.
    Range(RangeRequest),
    /// Write.
    Put(PutRequest),
    /// Delete.
    DeleteRange(DeleteRangeRequest),
    /// Nested transaction.
    Txn(TxnRequest),
}

/// Guards, and the operations to run when all hold or not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TxnRequest {
    /// Guards; all must hold for success.
    pub compare: Vec<Compare>,
    /// Operations when all guards hold.
    pub success: Vec<Op>,
    /// Operations when one guard fails.
    pub failure: Vec<Op>,
}

/// Answer to one [`Op`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OpResponse {
    /// Answer to a read.
    Range(RangeResponse),
    /// Answer to a write.
    Put(PutResponse),
    /// Answer to a delete.
    DeleteRange(DeleteRangeResponse),
    /// Answer to a nested transaction.
    Txn(TxnResponse),
}

/// Answer to a [`TxnRequest`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TxnResponse {
    /// Revision after the transaction; unchanged when nothing was written.
    pub revision: i64,
    /// Whether all guards held.
    pub succeeded: bool,
    /// One answer for each operation that ran.
    pub responses: Vec<OpResponse>,
}

/// A change of a volume's content, as the raft log carries it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Write one key.
    Put(PutRequest),
    /// Delete keys.
    DeleteRange(DeleteRangeRequest),
    /// Run a transaction that writes.
    Txn(TxnRequest),
    /// Make every revision below this one unreadable (etcd's `Compact`).
    Compact {
        /// Oldest revision that stays readable.
        revision: i64,
    },
}

/// Answer to a [`Command`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommandResponse {
    /// Answer to [`Command::Put`].
    Put(PutResponse),
    /// Answer to [`Command::DeleteRange`].
    DeleteRange(DeleteRangeResponse),
    /// Answer to [`Command::Txn`].
    Txn(TxnResponse),
    /// Answer to [`Command::Compact`].
    Compact {
        /// Current revision of the volume.
        revision: i64,
    },
}
