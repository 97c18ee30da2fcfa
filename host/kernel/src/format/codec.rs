//! The seam behind which codecs live.
//!
//! A codec works on batches, keys and values together: a call into a sandbox costs far more than encoding one
//! key. Each record is answered by itself, with bytes or with the reason why the codec refuses it; a *fault*
//! is an answer that did not come. A refusal is final, a fault may heal.
//!
//! What a codec needs (fuel, memory) is granted for each call in proportion to its records and bytes, so that
//! what passes alone also passes in company: the same records meet the codec in other batches when the log
//! is replayed.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::FormatId;
use crate::ErrorKind;
use crate::seams::Deadline;

/// What bounds a call. Fuel does in either case, and apply has more of it: what passes for a request must
/// pass again when the log is replayed.
#[derive(Clone, Copy, Debug)]
pub enum Meter {
    /// Somebody waits: fuel, and the clock.
    Request(Deadline),
    /// Raft apply: fuel, so that every replay comes to the same end. A codec may also give up when it takes
    /// longer than fuel could last; like every fault, that decides when an entry is applied and nothing else.
    Apply,
}

impl Meter {
    /// Longest duration of one call on behalf of work that nobody in particular waits for.
    const PATIENCE: Duration = Duration::from_secs(10);

    /// The meter of one call within long work, such as hashing a whole volume. Take a new one for each.
    #[must_use]
    pub fn of_long_work() -> Self {
        Self::Request(Deadline::after(Self::PATIENCE))
    }
}

/// The answer to one record: bytes, or why the codec refuses it.
pub type Recoded = Result<Bytes, String>;

/// Keys and values that go through a codec in one call. They are lists of their own: which value belongs to
/// which key is nothing to a codec.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Records<'a> {
    /// The keys.
    pub keys: &'a [Bytes],
    /// The values, none of which is empty.
    pub values: &'a [Bytes],
}

impl<'a> Records<'a> {
    /// Keys alone.
    #[must_use]
    pub fn keys(keys: &'a [Bytes]) -> Self {
        Self { keys, values: &[] }
    }

    /// Values alone.
    #[must_use]
    pub fn values(values: &'a [Bytes]) -> Self {
        Self { keys: &[], values }
    }
}

/// One answer to each record of a call, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecodedRecords {
    /// What became of the keys.
    pub keys: Vec<Recoded>,
    /// What became of the values.
    pub values: Vec<Recoded>,
}

/// Encodes and decodes keys and values: pure functions of the format and the bytes. Calls block.
///
/// Every call gives one answer for each record, in order. Decoding what was encoded gives the record back.
pub trait Codec: Send + Sync + 'static {
    /// The format that it implements.
    fn id(&self) -> &FormatId;

    /// Whether encoded keys order as the keys themselves do.
    fn keeps_order(&self) -> bool;

    /// The stored forms of keys and values.
    ///
    /// # Errors
    /// The codec did not answer.
    fn encode(&self, records: Records<'_>, meter: Meter) -> Result<RecodedRecords, CodecFault>;

    /// The keys and values that stored forms stand for.
    ///
    /// # Errors
    /// The codec did not answer.
    fn decode(&self, stored: Records<'_>, meter: Meter) -> Result<RecodedRecords, CodecFault>;

    /// Told that an answer was wrong, as only those can know who compare it with others. The request that
    /// came upon it gets an error in any case.
    fn found_wrong(&self, detail: &str) {
        let _ = detail;
    }
}

/// Finds codecs. A node asks whenever it opens or creates a volume whose format is not natural.
pub trait Codecs: Send + Sync + 'static {
    /// The codec of a format, for the volume of this name; may take as long as compiling it takes.
    ///
    /// # Errors
    /// Why there is none: unknown, of another digest, quarantined. Said to people, who can change it.
    fn codec(&self, volume: &str, format: &FormatId) -> Result<Arc<dyn Codec>, String>;
}

/// Knows no codec, so that only natural volumes open.
#[derive(Clone, Copy, Debug, Default)]
pub struct NaturalOnly;

impl Codecs for NaturalOnly {
    fn codec(&self, _volume: &str, _format: &FormatId) -> Result<Arc<dyn Codec>, String> {
        Err("this node has no codecs".to_owned())
    }
}

/// Why a codec did not answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecFault {
    /// Everything that runs codecs is in use.
    #[error("it is busy: {0}")]
    Busy(String),
    /// The request's deadline passed.
    #[error("it did not finish in time")]
    TimedOut,
    /// The call used up its fuel.
    #[error("it ran out of fuel")]
    OutOfFuel,
    /// The call failed, for example with a trap.
    #[error("it failed: {0}")]
    Failed(String),
    /// The answer cannot be right.
    #[error("it broke its contract: {0}")]
    Broken(String),
}

impl CodecFault {
    /// How a caller may react.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Busy(_) => ErrorKind::Busy,
            Self::TimedOut => ErrorKind::DeadlineExceeded,
            Self::OutOfFuel | Self::Failed(_) => ErrorKind::Unavailable,
            Self::Broken(_) => ErrorKind::Internal,
        }
    }
}
