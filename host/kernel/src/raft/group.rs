//! A running raft group.
//!
//! # Timers
//! One node may hold hundreds of groups, and openraft wakes each every 1.5 heartbeats. A heartbeat of 500 ms
//! costs 50 groups some 70 wake-ups a second, which is nothing, and lets a later group of three replace a
//! dead leader within three seconds. A single voter does not wait for any timer: it is elected on opening.
//!
//! # Reads of a group with one voter
//! While [`Sole`] is certain, a linearizable read needs no round of confirmation. Opening has waited
//! until an entry of this leader's own was applied, hence also everything acknowledged before. Since then
//! every acknowledgement came from this node (see [`Sole`] for why no other node can have given one), and
//! a write is acknowledged after it was applied to this very store. So the store's present state holds
//! everything that was acknowledged before the read began.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use openraft::error::{CheckIsLeaderError, RaftError};
use openraft::{BasicNode, Config, Raft, RaftMetrics, ServerState, SnapshotPolicy};

use super::applier;
use super::barrier::{Barrier, ReadIndex, Refusal};
use super::hold::LogHold;
use super::machine::{Machine, StateMachine, Upkeep};
use super::network::NoPeers;
use super::proposer::{Proposer, ProposerConfig, Throttle, stopped};
use super::replay::Replay;
use super::storage::{LogStorage, Sole};
use super::types::{Batch, TypeConfig};
use crate::format::{Answer, Prepared};
use crate::kv::Command;
use crate::log::Log;
use crate::node::VolumeId;
use crate::seams::Deadline;
use crate::store::{Applied, CurrentStore, Served};
use crate::{Error, Result};

/// What a group is opened with.
pub struct GroupConfig {
    /// The volume.
    pub volume: VolumeId,
    /// This node.
    pub node_id: u64,
    /// The log of the node.
    pub log: Arc<Log>,
    /// Its directory, for messages.
    pub log_path: PathBuf,
    /// The volume's store.
    pub store: Arc<CurrentStore>,
    /// What has to happen around apply.
    pub upkeep: Arc<dyn Upkeep>,
    /// What holds writers back.
    pub throttle: Arc<dyn Throttle>,
    /// Bounds of the proposer.
    pub proposer: ProposerConfig,
    /// Longest duration of one confirmation of leadership.
    pub round_limit: Duration,
}

/// One volume's raft group on this node.
pub struct Group {
    raft: Raft<TypeConfig>,
    storage: LogStorage,
    machine: Arc<Machine>,
    sole: Arc<Sole>,
    proposer: Proposer,
    barrier: Barrier,
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group").field("last_index", &self.storage.last_index()).finish_non_exhaustive()
    }
}

fn raft_config(volume: VolumeId) -> Config {
    Config {
        cluster_name: format!("volume-{volume}"),
        heartbeat_interval: 500,
        election_timeout_min: 1500,
        election_timeout_max: 3000,
        // Flushes decide when the log may be purged, see `machine`; then nothing is kept.
        snapshot_policy: SnapshotPolicy::Never,
        max_in_snapshot_log_to_keep: 0,
        ..Config::default()
    }
}

impl Group {
    /// Opens the group; one that has never run begins with this node as its only voter. Returns when this
    /// node leads and has applied everything that the log holds.
    ///
    /// # Errors
    /// The log or the store is damaged or fails.
    pub async fn open(config: GroupConfig) -> Result<Self> {
        let GroupConfig { volume, node_id, log, log_path, store, .. } = config;
        let sole = Arc::new(Sole::default());
        let storage = LogStorage::open(log, log_path, volume, node_id, Arc::clone(&sole))?;
        storage.check_continues(applier::position(&store.load().applied())?.map(|(last, _)| last))?;
        let following = Arc::clone(&store);
        let machine = Machine::new(store, config.upkeep)?;
        let state_machine = StateMachine(Arc::clone(&machine));
        let raft = Raft::new(node_id, Arc::new(raft_config(volume)), NoPeers, storage.clone(), state_machine)
            .await
            .map_err(|error| fatal(&error))?;
        let group = Self {
            proposer: Proposer::start(raft.clone(), following, config.throttle, config.proposer),
            barrier: Barrier::new(Leadership(raft.clone()), config.round_limit),
            raft,
            storage,
            machine,
            sole,
        };
        group.lead(node_id).await?;
        Ok(group)
    }

    /// Becomes leader at once where this node is the only voter, and waits until an entry of its own is
    /// applied.
    async fn lead(&self, node_id: u64) -> Result<()> {
        if !self.raft.is_initialized().await.map_err(|error| fatal(&error))? {
            let voters = BTreeMap::from([(node_id, BasicNode::default())]);
            match self.raft.initialize(voters).await {
                Ok(()) => {}
                Err(RaftError::APIError(error)) => return Err(Error::Internal(error.to_string())),
                Err(RaftError::Fatal(error)) => return Err(fatal(&error)),
            }
        }
        // Asked of the core itself: metrics may lag behind the initialisation.
        let (only_voter, leads) = self
            .raft
            .with_raft_state(move |state| {
                let only_voter = state.membership_state.effective().voter_ids().eq([node_id]);
                (only_voter, state.server_state == ServerState::Leader)
            })
            .await
            .map_err(|error| fatal(&error))?;
        if only_voter && !leads {
            self.raft.trigger().elect().await.map_err(|error| fatal(&error))?;
        }
        let mut metrics = self.raft.metrics();
        let led = metrics
            .wait_for(|metrics| metrics.running_state.is_err() || metrics.current_leader == Some(node_id));
        if !led.await.is_ok_and(|metrics| metrics.running_state.is_ok()) {
            return Err(stopped(&self.raft));
        }
        // An entry of this term commits and applies everything before it, whatever a crash interrupted.
        let barrier = self.raft.client_write(Batch::new(Vec::new())?).await;
        barrier.map_err(|_| stopped(&self.raft))?;
        self.sole.set(only_voter);
        Ok(())
    }

    /// Queues a command, with what the store made of it beforehand ([`Store::prepare`]); returns when it is
    /// durable and applied.
    ///
    /// # Errors
    /// The command's own refusal, or a full queue, a passed deadline, a group that has stopped.
    pub async fn propose(
        &self,
        command: Command,
        prepared: Option<Prepared>,
        deadline: Deadline,
    ) -> Result<Answer> {
        self.proposer.propose(command, prepared, deadline).await
    }

    /// Returns when the store holds every write that was acknowledged before this call.
    ///
    /// # Errors
    /// This node does not lead, or the deadline passed.
    pub async fn read_barrier(&self, deadline: Deadline) -> Result<()> {
        if self.sole.is_certain() {
            return Ok(());
        }
        let index = deadline.bound("confirming leadership", self.barrier.confirm()).await??;
        let mut applied = self.machine.applied();
        let reached =
            deadline.bound("applying the log", applied.wait_for(|applied| *applied >= index)).await?;
        reached.map(drop).map_err(|_| stopped(&self.raft))
    }

    /// Lets raft purge the log up to what the store has flushed, and to every hold.
    pub async fn purge_flushed(&self) {
        let trigger = self.raft.trigger();
        // openraft purges behind a snapshot that is newer than its last one. What was flushed when the group
        // was opened is its first one, so that what was held since is asked for by its index.
        let upto = self.machine.allow_purge();
        let asked = async {
            trigger.snapshot().await?;
            if upto > self.storage.purged_index() { trigger.purge_log(upto).await } else { Ok(()) }
        };
        if asked.await.is_err() {
            tracing::debug!("the raft group has stopped; its log is purged after the next opening");
        }
    }

    /// Waits until every entry that was proposed is applied, and keeps new ones back for as long as the
    /// answer is held; writes wait meanwhile.
    ///
    /// # Errors
    /// The group is stopping.
    pub async fn quiet(&self) -> Result<tokio::sync::OwnedSemaphorePermit> {
        self.proposer.quiet().await
    }

    /// Keeps the log behind what is flushed at this moment from being purged.
    #[must_use]
    pub fn hold(&self) -> LogHold {
        self.machine.hold()
    }

    /// Keeps the log behind a position from being purged; `None` when some of that is gone already, or about
    /// to go.
    #[must_use]
    pub fn hold_at(&self, position: Applied) -> Option<LogHold> {
        let index = position.index;
        let hold = self.machine.hold_at(position);
        let purged = self.storage.purged_index().max(self.machine.purge_allowed());
        (purged <= index).then_some(hold)
    }

    /// Lets another store follow the log behind the one that serves, from where it stands. The caller holds
    /// the log there.
    ///
    /// # Errors
    /// The store's position cannot be read.
    pub fn replay(&self, store: Arc<Served>) -> Result<Replay> {
        Replay::new(Arc::clone(&self.machine), self.storage.clone(), store)
    }

    /// Seals the store's memtable between two entries.
    ///
    /// # Errors
    /// The storage failed.
    pub fn seal(&self) -> Result<()> {
        self.machine.seal()
    }

    /// Node that leads, if known.
    #[must_use]
    pub fn leader(&self) -> Option<u64> {
        self.raft.metrics().borrow().current_leader
    }

    /// The present term and the last index of the log.
    #[must_use]
    pub fn position(&self) -> (u64, u64) {
        (self.raft.metrics().borrow().current_term, self.storage.last_index())
    }

    /// Index up to which the log is purged.
    #[must_use]
    pub fn purged_index(&self) -> u64 {
        let metrics: RaftMetrics<u64, BasicNode> = self.raft.metrics().borrow().clone();
        metrics.purged.map_or(0, |id| id.index)
    }

    /// Proposes what waits, within the deadline, and stops. Safe to repeat.
    pub async fn stop(&self, deadline: Deadline) {
        self.proposer.close(deadline).await;
        if let Err(error) = self.raft.shutdown().await {
            tracing::warn!(%error, "a raft group did not stop cleanly");
        }
    }
}

fn fatal(error: &openraft::error::Fatal<u64>) -> Error {
    Error::Storage { context: "running a raft group", detail: error.to_string() }
}

struct Leadership(Raft<TypeConfig>);

impl ReadIndex for Leadership {
    fn read_index(&self) -> BoxFuture<'_, Result<u64, Refusal>> {
        Box::pin(async {
            match self.0.get_read_log_id().await {
                Ok((read, _)) => Ok(read.map_or(0, |id| id.index)),
                Err(RaftError::APIError(CheckIsLeaderError::ForwardToLeader(forward))) => {
                    Err(Refusal::NotLeader(forward.leader_id))
                }
                Err(other) => Err(Refusal::Failed(other.to_string().into())),
            }
        })
    }
}
