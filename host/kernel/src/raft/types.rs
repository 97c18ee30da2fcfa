//! openraft's type configuration and the payload of a log entry.
//!
//! An entry carries a batch of commands. They are encoded once, when the batch is made; the log stores those
//! bytes. What is beside them, the answers' way back and what a codec made of the commands, is in memory
//! only: a batch that was read from the log has neither.
//!
//! Answers do not pass through openraft. Apply gives them to the waiters in the order of the commands; when
//! no apply will, the proposer gives each of them an error. Whoever comes first does so for all waiters and
//! gives back the batch's place among those in flight, so that no waiter is answered twice and no place is
//! given back twice.

use std::fmt;
use std::io::Cursor;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::codec;
use crate::format::{Answer, Prepared};
use crate::kv::Command;
use crate::{Error, Result};

openraft::declare_raft_types!(
    /// The types of every group.
    pub TypeConfig:
        D = Batch,
        // Answers travel with the batch, see [`Replies`].
        R = (),
        NodeId = u64,
        // The address stays empty while groups have one voter.
        Node = openraft::BasicNode,
        Entry = openraft::Entry<TypeConfig>,
        SnapshotData = Cursor<Vec<u8>>,
        AsyncRuntime = openraft::TokioRuntime,
);

pub(super) type Entry = openraft::Entry<TypeConfig>;
pub(super) type LogId = openraft::LogId<u64>;
pub(super) type Vote = openraft::Vote<u64>;
pub(super) type StoredMembership = openraft::StoredMembership<u64, openraft::BasicNode>;
pub(super) type StorageError = openraft::StorageError<u64>;

/// Where the answer to a command goes.
pub(super) type Reply = oneshot::Sender<Result<Answer>>;

/// The commands of one log entry, encoded once, with the way back to those who wait for them, and with what a
/// codec made of the commands before they were proposed.
///
/// Only the commands are stored and sent; a batch that was read back has nobody waiting, and the codec runs
/// again when it is applied.
#[derive(Clone)]
pub struct Batch {
    commands: Arc<[Command]>,
    encoded: Bytes,
    /// Empty, or one for each command.
    prepared: Arc<[Option<Prepared>]>,
    replies: Option<Arc<Replies>>,
}

impl Batch {
    /// A batch that nobody waits for.
    ///
    /// # Errors
    /// A defect of the encoder.
    pub fn new(commands: Vec<Command>) -> Result<Self> {
        let encoded = codec::encode(&commands)?;
        Ok(Self { commands: commands.into(), encoded, prepared: Arc::default(), replies: None })
    }

    pub(super) fn with_replies(
        commands: Vec<Command>,
        prepared: Vec<Option<Prepared>>,
        replies: Arc<Replies>,
    ) -> Result<Self> {
        Ok(Self { prepared: prepared.into(), replies: Some(replies), ..Self::new(commands)? })
    }

    /// Reads a batch from its stored form.
    pub(super) fn decode(encoded: Bytes) -> Result<Self, String> {
        let commands: Vec<Command> = codec::decode(&encoded)?;
        Ok(Self { commands: commands.into(), encoded, prepared: Arc::default(), replies: None })
    }

    /// The commands.
    #[must_use]
    pub fn commands(&self) -> &[Command] {
        &self.commands
    }

    /// The stored form.
    #[must_use]
    pub fn encoded(&self) -> &Bytes {
        &self.encoded
    }

    /// What a codec made of the commands, each in its command's place; empty when there was none.
    pub(super) fn prepared(&self) -> &[Option<Prepared>] {
        &self.prepared
    }

    pub(super) fn replies(&self) -> Option<&Replies> {
        self.replies.as_deref()
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Batch({} commands, {} bytes)", self.commands.len(), self.encoded.len())
    }
}

impl PartialEq for Batch {
    fn eq(&self, other: &Self) -> bool {
        self.encoded == other.encoded
    }
}

impl Serialize for Batch {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.encoded.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Batch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::decode(Bytes::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// Those who wait for a batch, and its place among the entries in flight. Both are given up together, by
/// whoever comes first: apply with the answers, or the proposer with an error.
pub(super) struct Replies(Mutex<Option<(Vec<Reply>, OwnedSemaphorePermit)>>);

impl Replies {
    pub(super) fn new(replies: Vec<Reply>, place: OwnedSemaphorePermit) -> Self {
        Self(Mutex::new(Some((replies, place))))
    }

    /// Hands out the answers, which come in the order of the commands.
    pub(super) fn answer(&self, answers: Vec<Result<Answer>>) {
        let Some((replies, place)) = self.0.lock().take() else { return };
        drop(place);
        for (reply, answer) in replies.into_iter().zip(answers) {
            // A caller that gave up is not there any more; its write stands.
            drop(reply.send(answer));
        }
    }

    /// Hands out an error of each waiter's own.
    pub(super) fn fail(&self, error: impl Fn() -> Error) {
        let Some((replies, place)) = self.0.lock().take() else { return };
        drop(place);
        for reply in replies {
            drop(reply.send(Err(error())));
        }
    }
}
