//! What an operator can set: the runtime's own sizes, and the limits that each call of a plugin runs under.
//!
//! The largest limits that can be granted are here, too; a limit beyond them is an error and never cut down
//! without a word. Limits are stored in the catalog as they are serialised here, and a missing field has its
//! default. A change of [`SharedLimits`] holds for every call that begins afterwards; calls under way keep
//! theirs.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use serde::{Deserialize, Serialize};

use crate::{Compiler, Error, Result};

/// Largest component that is accepted, in bytes. One with the runtime of Python in it has 18 MB.
pub const MAX_COMPONENT_BYTES: usize = 32 * 1024 * 1024;

/// Largest function body that is compiled, in bytes. The compiler takes time and memory that grow faster than
/// the size of a function; a few thousand bytes are usual, and interpreters have some of a hundred thousand.
pub(crate) const MAX_FUNCTION_BYTES: u64 = 512 * 1024;

/// Largest memory that [`Limits::memory_bytes`] may grant, and the largest initial memory of a component.
pub const MAX_MEMORY_BYTES: u64 = 256 * 1024 * 1024;

/// Longest deadline that [`Limits::deadline`] may grant.
pub const MAX_DEADLINE: Duration = Duration::from_secs(60);

/// Largest answer that [`Limits::answer_bytes`] may grant.
pub const MAX_ANSWER_BYTES: usize = 16 * 1024 * 1024;

/// Sizes of a [`Runtime`](crate::Runtime).
#[derive(Clone, Debug)]
pub struct RuntimeConfig {
    /// Directory for compiled components and the key that authenticates them; made when it doesn't exist and
    /// safe to delete. `None` compiles every component anew.
    pub cache_dir: Option<PathBuf>,
    /// Who compiles components.
    pub compiler: Compiler,
    /// Threads that run plugins, and so the number of calls that run at the same time on the pool.
    pub max_parallel_calls: usize,
    /// Calls that may wait for a thread of the pool before further ones are refused as busy.
    pub max_queued_calls: usize,
    /// Granularity of deadlines. A call is stopped at most two ticks after its deadline.
    pub tick: Duration,
}

impl Default for RuntimeConfig {
    fn default() -> Self {
        Self {
            cache_dir: None,
            compiler: Compiler::InProcess,
            max_parallel_calls: 4,
            max_queued_calls: 256,
            tick: Duration::from_millis(5),
        }
    }
}

/// What one call of a plugin may use. Fields that it doesn't know are passed over when it is read: a newer
/// program that knows more limits may have written it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Bytes of all memories and tables of the instance together; a table element counts eight bytes.
    pub memory_bytes: u64,
    /// Time for instantiating the component and running the call.
    #[serde(rename = "deadline_ms", with = "milliseconds")]
    pub deadline: Duration,
    /// Bytes that an answer, an error text included, may have.
    pub answer_bytes: usize,
    /// Fuel that a call may burn, about one unit for each instruction: a bound that is the same on every
    /// machine. `None` and 0 set none; the deadline holds all the same.
    pub fuel: Option<u64>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes: 16 * 1024 * 1024,
            deadline: Duration::from_millis(100),
            answer_bytes: 64 * 1024,
            fuel: None,
        }
    }
}

impl Limits {
    /// Fuel that the store of a call begins with.
    pub(crate) fn tank(&self) -> u64 {
        match self.fuel {
            None | Some(0) => u64::MAX,
            Some(fuel) => fuel,
        }
    }

    /// Checks that the limits are within what the runtime can grant.
    ///
    /// # Errors
    /// [`Error::Limit`] names the first limit that is out of bounds.
    pub fn validate(&self) -> Result<()> {
        let bounds = [
            ("memory_bytes", self.memory_bytes, 64 * 1024, MAX_MEMORY_BYTES),
            ("deadline_ms", millis(self.deadline), 1, millis(MAX_DEADLINE)),
            ("answer_bytes", self.answer_bytes as u64, 64, MAX_ANSWER_BYTES as u64),
        ];
        for (limit, found, min, max) in bounds {
            if !(min..=max).contains(&found) {
                return Err(Error::Limit { limit, found, min, max });
            }
        }
        Ok(())
    }
}

/// Limits that can be changed while they are in use: every call reads them when it begins. Clones share them.
#[derive(Clone, Debug)]
pub struct SharedLimits(Arc<RwLock<Limits>>);

impl SharedLimits {
    /// The limits now.
    #[must_use]
    pub fn get(&self) -> Limits {
        *self.0.read()
    }

    /// Changes them for all calls that begin from now on.
    ///
    /// # Errors
    /// [`Error::Limit`] when they are beyond what the runtime can grant; nothing changes then.
    pub fn set(&self, limits: Limits) -> Result<()> {
        limits.validate()?;
        *self.0.write() = limits;
        Ok(())
    }
}

impl From<Limits> for SharedLimits {
    fn from(limits: Limits) -> Self {
        Self(Arc::new(RwLock::new(limits)))
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A duration as a whole number of milliseconds.
mod milliseconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(super::millis(*value))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_millis)
    }
}
