//! Which writes are let into the log, by what applying them takes in memory.
//!
//! An entry of the log takes effect as a whole, so that all it changes is in memory at once. A request is
//! bounded in bytes; what it moves is not: a delete of all keys has a few bytes and moves every value. So
//! writes that may be heavy are weighed before they are proposed, those above a limit are refused
//! ([`super::NodeConfig::max_write_bytes`]),
//! and one heavy write of a volume is under way at a time. Between being weighed and being applied a range
//! grows by what waits in the queue before it at most, which is bounded in bytes.
//!
//! Apply refuses nothing for its weight: the log may hold what an earlier version let in, and what a row
//! weighs depends on its format, whereas a replay must end as it was acknowledged.

use std::sync::Arc;

use tokio::sync::OwnedMutexGuard;

use super::Volume;
use crate::format::{Meter, Prepared};
use crate::kv::{self, Command};
use crate::seams::Deadline;
use crate::{Error, Result};

/// Bytes from which a write is heavy: with this many each, the commands of one entry together stay at that.
const HEAVY: u64 = 1024 * 1024;

impl Volume {
    /// Weighs a write; the answer is held until it is applied, so that heavy ones go one after the other.
    pub(super) async fn admit(
        &self,
        command: &Command,
        prepared: Option<&Prepared>,
        deadline: Deadline,
    ) -> Result<Option<OwnedMutexGuard<()>>> {
        let limit = self.shared.config.max_write_bytes;
        let heavy = HEAVY.min(limit);
        if !kv::may_be_heavy(command) || self.weigh(command, prepared, heavy, deadline).await? <= heavy {
            return Ok(None);
        }
        let turn = Arc::clone(&self.heavy).lock_owned();
        let turn = deadline.bound("writes that change much, one after the other", turn).await?;
        let found = self.weigh(command, prepared, limit, deadline).await?;
        if found > limit {
            return Err(Error::TooMuchAtOnce { found, limit });
        }
        Ok(Some(turn))
    }

    async fn weigh(
        &self,
        command: &Command,
        prepared: Option<&Prepared>,
        most: u64,
        deadline: Deadline,
    ) -> Result<u64> {
        let (command, prepared) = (command.clone(), prepared.cloned());
        let meter = Meter::Request(deadline);
        let weigh = self.read(move |reading| reading.weigh(&command, prepared.as_ref(), most, meter));
        deadline.bound("weighing the request", weigh).await?
    }
}
