//! A request of etcd's KV service as a value, and what came of it.
//!
//! Suites generate [`Request`]s, send each to several parties (Mortise, a real etcd, the [model]) and compare
//! the [`Outcome`]s. A [`Refusal`] keeps code and text, because both are part of the wire contract.
//!
//! [model]: crate::Model

use mortise::pb::etcdserverpb as pb;
use tonic::Code;

/// One call of the KV service.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// `Range`
    Range(pb::RangeRequest),
    /// `Put`
    Put(pb::PutRequest),
    /// `DeleteRange`
    Delete(pb::DeleteRangeRequest),
    /// `Txn`
    Txn(pb::TxnRequest),
    /// `Compact`
    Compact(pb::CompactionRequest),
}

/// The answer to a call that was not refused.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// To `Range`
    Range(pb::RangeResponse),
    /// To `Put`
    Put(pb::PutResponse),
    /// To `DeleteRange`
    Delete(pb::DeleteRangeResponse),
    /// To `Txn`
    Txn(pb::TxnResponse),
    /// To `Compact`
    Compact(pb::CompactionResponse),
}

impl Answer {
    /// Revision in the answer's header.
    #[must_use]
    pub fn revision(&self) -> i64 {
        match self {
            Self::Range(answer) => &answer.header,
            Self::Put(answer) => &answer.header,
            Self::Delete(answer) => &answer.header,
            Self::Txn(answer) => &answer.header,
            Self::Compact(answer) => &answer.header,
        }
        .as_ref()
        .map_or(0, |header| header.revision)
    }
}

/// Why a call was refused, as a client sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// gRPC status code.
    pub code: Code,
    /// Its message.
    pub message: String,
}

impl Refusal {
    /// A refusal with this code and text.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

impl From<tonic::Status> for Refusal {
    fn from(status: tonic::Status) -> Self {
        Self::new(status.code(), status.message())
    }
}

/// What came of a [`Request`].
pub type Outcome = Result<Answer, Refusal>;
