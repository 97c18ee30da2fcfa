//! The kernel's errors, sorted by what a caller can do about them.
//!
//! [`Error`] is rich: each variant says what was expected and what was found. [`ErrorKind`] is small: it
//! says how to react. The server maps variants to etcd's codes and texts; nobody else should match on texts.
//!
//! This module must not know gRPC, Wasm or command lines.

use std::path::PathBuf;
use std::time::Duration;

use crate::format::{CodecFault, FormatId, Refusal};
use crate::node::VolumeId;
use crate::store::IllegalStep;

/// Result of a kernel operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What a caller can do about an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// Too much is under way; the same request may pass a little later.
    Busy,
    /// Something the request needs is not there at the moment; retry, perhaps elsewhere.
    Unavailable,
    /// The caller's deadline, or the stated default, passed. A write may or may not have happened.
    DeadlineExceeded,
    /// The request itself is wrong; it will never pass unchanged.
    InvalidArgument,
    /// What the request names does not exist.
    NotFound,
    /// The state forbids the request; change the state first.
    FailedPrecondition,
    /// Stored bytes are damaged. Stop and keep the evidence.
    Corrupt,
    /// The disk, the file system or a library that keeps files failed. Look at the node's disk, then retry.
    Storage,
    /// A defect of Mortise.
    Internal,
}

/// Everything that can go wrong in the kernel.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The revision asked for is older than the last compaction.
    #[error("revision {requested} has been compacted; the oldest readable revision is {compacted}")]
    Compacted {
        /// Revision that was asked for.
        requested: i64,
        /// Oldest revision that can still be read.
        compacted: i64,
    },
    /// The revision asked for does not exist yet.
    #[error("revision {requested} is in the future; the current revision is {current}")]
    FutureRevision {
        /// Revision that was asked for.
        requested: i64,
        /// Newest revision of the volume.
        current: i64,
    },
    /// A request names no key.
    #[error("the key is empty; give at least one byte")]
    EmptyKey,
    /// `ignore_value` or `ignore_lease` was asked for a key that does not exist.
    #[error("the key whose value or lease is to be kept does not exist")]
    KeyNotFound,
    /// `ignore_value` came together with a value.
    #[error("a value was given together with ignore_value; give one of the two")]
    ValueProvided,
    /// `ignore_lease` came together with a lease.
    #[error("a lease was given together with ignore_lease; give one of the two")]
    LeaseProvided,
    /// The request names a lease that does not exist.
    #[error("lease {0:x} does not exist")]
    LeaseNotFound(i64),
    /// A transaction writes one key twice.
    #[error("the transaction writes the same key twice in one branch")]
    DuplicateKey,
    /// A transaction holds more operations than allowed.
    #[error("the transaction holds {found} operations in one list; at most {limit} are allowed")]
    TooManyOperations {
        /// Operations found in the longest list.
        found: usize,
        /// Largest number allowed.
        limit: usize,
    },
    /// A request is larger than allowed.
    #[error("the request has {found} bytes; at most {limit} are allowed")]
    RequestTooLarge {
        /// Bytes found.
        found: usize,
        /// Largest number allowed.
        limit: usize,
    },
    /// A write would change more at once than fits into memory: deletes of ranges, and transactions.
    #[error(
        "the request would move about {found} bytes or more of keys and values at once; at most {limit} are allowed: delete in smaller ranges, or with fewer operations"
    )]
    TooMuchAtOnce {
        /// Bytes counted until the limit was passed.
        found: u64,
        /// Largest number allowed.
        limit: u64,
    },
    /// A transaction asks for the order of more values than may be decoded for it.
    #[error(
        "the transaction compares by order or sorts more than {values} different values, or {bytes} bytes of them, which the volume's format would have to decode: name a smaller range, or order by key or revision"
    )]
    TooManyValues {
        /// Largest number allowed.
        values: usize,
        /// Most bytes allowed, as they are stored and as users wrote them.
        bytes: usize,
    },
    /// The disk is full, or close enough that writes are refused.
    #[error("no space left for writes: {0}")]
    NoSpace(String),
    /// The volume does not exist on this node.
    #[error("volume {0} does not exist on this node")]
    VolumeNotFound(VolumeId),
    /// The volume exists already.
    #[error("volume {0} exists already on this node")]
    VolumeExists(VolumeId),
    /// This replica does not lead its group.
    #[error("this replica is not the leader of its volume; the leader is {leader:?}")]
    NotLeader {
        /// Node that is believed to lead, if known.
        leader: Option<u64>,
    },
    /// A deadline passed.
    #[error("{what} did not finish within {after:?}")]
    DeadlineExceeded {
        /// What was waited for.
        what: &'static str,
        /// How long it was waited for.
        after: Duration,
    },
    /// A bounded queue is full, or an exclusive job is under way.
    #[error("{0}; retry a little later")]
    Busy(String),
    /// The volume's state forbids the request.
    #[error("{0}")]
    FailedPrecondition(String),
    /// Somebody asked for the end of long work.
    #[error("{0} was cancelled; nothing was changed")]
    Cancelled(&'static str),
    /// The node or the volume is stopping.
    #[error("{0} is shutting down")]
    ShuttingDown(&'static str),
    /// Another process uses the data directory.
    #[error("the data directory {path} is in use by another process; stop it or choose another directory", path = .0.display())]
    DirectoryInUse(PathBuf),
    /// There is no data directory at this path.
    #[error("{path} is no data directory: expected the files NODE and LOCK and the directories log and volumes, found none of them", path = .0.display())]
    NoDataDirectory(PathBuf),
    /// A directory or file was written in a format that this version does not know. It is left untouched.
    #[error("{path} has format {found}, this version reads {expected}; it was left untouched", path = .path.display())]
    UnknownFormat {
        /// File that names the format.
        path: PathBuf,
        /// Format found.
        found: String,
        /// Formats that can be read.
        expected: String,
    },
    /// A volume's format needs a codec that is not there. The volume is left untouched.
    #[error("{path} needs the codec of format {format}: {reason}; add it and try again", path = .path.display())]
    CodecMissing {
        /// Directory or file that asks for it.
        path: PathBuf,
        /// The format: name, version and digest of the codec needed.
        format: Box<FormatId>,
        /// Why there is none.
        reason: String,
    },
    /// A format cannot hold a record.
    #[error("format {format} refuses {refusal}")]
    Refused {
        /// The format.
        format: String,
        /// The record and the reason.
        refusal: Box<Refusal>,
    },
    /// A conversion found records that the new format cannot hold. The volume is as it was.
    #[error("format {format} refuses {refused} records, first of all {first}; nothing was changed")]
    ConversionRefused {
        /// The new format.
        format: String,
        /// Records refused; each version of a key is one.
        refused: u64,
        /// The first of them.
        first: Box<Refusal>,
    },
    /// A codec did not answer, or answered what cannot be right.
    #[error("the codec of format {format} gave no answer: {fault}")]
    CodecFault {
        /// The format.
        format: String,
        /// What happened.
        fault: CodecFault,
    },
    /// Stored bytes are damaged.
    #[error("{path} is damaged: {detail}; keep it as evidence and restore from a copy", path = .path.display())]
    Corrupt {
        /// File or directory concerned.
        path: PathBuf,
        /// What was expected and what was found.
        detail: String,
    },
    /// A compaction step would break the tree.
    #[error("illegal compaction step: {0}")]
    IllegalStep(#[from] IllegalStep),
    /// The operating system refused an operation on a file.
    #[error("{context}: {source}")]
    Io {
        /// What was attempted, with the path.
        context: String,
        /// The system's answer.
        source: std::io::Error,
    },
    /// A storage library failed.
    #[error("{context}: {detail}")]
    Storage {
        /// What was attempted.
        context: &'static str,
        /// The library's answer.
        detail: String,
    },
    /// A defect of Mortise.
    #[error("internal error: {0}; please report it")]
    Internal(String),
}

impl Error {
    /// How a caller may react.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Busy(_) => ErrorKind::Busy,
            Self::NotLeader { .. } | Self::ShuttingDown(_) | Self::NoSpace(_) => ErrorKind::Unavailable,
            Self::DeadlineExceeded { .. } => ErrorKind::DeadlineExceeded,
            Self::Compacted { .. }
            | Self::FutureRevision { .. }
            | Self::EmptyKey
            | Self::KeyNotFound
            | Self::ValueProvided
            | Self::LeaseProvided
            | Self::DuplicateKey
            | Self::TooManyOperations { .. }
            | Self::RequestTooLarge { .. }
            | Self::TooMuchAtOnce { .. }
            | Self::TooManyValues { .. }
            | Self::Refused { .. } => ErrorKind::InvalidArgument,
            Self::CodecFault { fault, .. } => fault.kind(),
            Self::VolumeNotFound(_) | Self::LeaseNotFound(_) | Self::NoDataDirectory(_) => {
                ErrorKind::NotFound
            }
            Self::VolumeExists(_)
            | Self::DirectoryInUse(_)
            | Self::UnknownFormat { .. }
            | Self::FailedPrecondition(_)
            | Self::Cancelled(_)
            | Self::CodecMissing { .. }
            | Self::ConversionRefused { .. }
            | Self::IllegalStep(_) => ErrorKind::FailedPrecondition,
            Self::Corrupt { .. } => ErrorKind::Corrupt,
            Self::Io { .. } | Self::Storage { .. } => ErrorKind::Storage,
            Self::Internal(_) => ErrorKind::Internal,
        }
    }
}
