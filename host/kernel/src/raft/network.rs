//! The way to other replicas of a group.
//!
//! [`Transport`] is what the server implements; openraft's own traits stay behind it. A group with one voter
//! sends nothing, which is what [`NoPeers`] is for.

use std::future::Future;
use std::sync::Arc;

use futures::future::BoxFuture;
use openraft::BasicNode;
use openraft::error::{InstallSnapshotError, RPCError, RaftError, Unreachable};
use openraft::network::{RPCOption, RaftNetwork, RaftNetworkFactory};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, InstallSnapshotRequest, InstallSnapshotResponse,
    VoteRequest, VoteResponse,
};

use super::types::TypeConfig;
use crate::node::VolumeId;

/// Why a replica was not reached. openraft backs off and tries again.
#[derive(Clone, Debug, thiserror::Error)]
#[error("node {target} at {address:?} was not reached: {detail}")]
pub struct TransportError {
    /// Node that was called.
    pub target: u64,
    /// Its address.
    pub address: String,
    /// What happened.
    pub detail: String,
}

/// Carries raft's messages to the replicas of a volume on other nodes.
pub trait Transport: Send + Sync + 'static {
    /// Sends entries, or a heartbeat, which has none.
    fn append_entries(
        &self,
        volume: VolumeId,
        target: u64,
        node: &BasicNode,
        request: AppendEntriesRequest<TypeConfig>,
    ) -> BoxFuture<'_, Result<AppendEntriesResponse<u64>, TransportError>>;

    /// Asks for a vote.
    fn vote(
        &self,
        volume: VolumeId,
        target: u64,
        node: &BasicNode,
        request: VoteRequest<u64>,
    ) -> BoxFuture<'_, Result<VoteResponse<u64>, TransportError>>;

    /// Sends a part of a snapshot.
    fn install_snapshot(
        &self,
        volume: VolumeId,
        target: u64,
        node: &BasicNode,
        request: InstallSnapshotRequest<TypeConfig>,
    ) -> BoxFuture<'_, Result<InstallSnapshotResponse<u64>, TransportError>>;
}

/// The transport of a node without peers: nobody is reached.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoPeers;

impl NoPeers {
    fn refuse<T: Send + 'static>(
        target: u64,
        node: &BasicNode,
    ) -> BoxFuture<'static, Result<T, TransportError>> {
        let detail = "this node has no peers".to_owned();
        let error = TransportError { target, address: node.addr.clone(), detail };
        Box::pin(std::future::ready(Err(error)))
    }
}

impl Transport for NoPeers {
    fn append_entries(
        &self,
        _volume: VolumeId,
        target: u64,
        node: &BasicNode,
        _request: AppendEntriesRequest<TypeConfig>,
    ) -> BoxFuture<'_, Result<AppendEntriesResponse<u64>, TransportError>> {
        Self::refuse(target, node)
    }

    fn vote(
        &self,
        _volume: VolumeId,
        target: u64,
        node: &BasicNode,
        _request: VoteRequest<u64>,
    ) -> BoxFuture<'_, Result<VoteResponse<u64>, TransportError>> {
        Self::refuse(target, node)
    }

    fn install_snapshot(
        &self,
        _volume: VolumeId,
        target: u64,
        node: &BasicNode,
        _request: InstallSnapshotRequest<TypeConfig>,
    ) -> BoxFuture<'_, Result<InstallSnapshotResponse<u64>, TransportError>> {
        Self::refuse(target, node)
    }
}

/// Makes openraft's clients for one group.
pub(super) struct Network {
    pub(super) volume: VolumeId,
    pub(super) transport: Arc<dyn Transport>,
}

impl RaftNetworkFactory<TypeConfig> for Network {
    type Network = Peer;

    async fn new_client(&mut self, target: u64, node: &BasicNode) -> Peer {
        Peer { volume: self.volume, transport: Arc::clone(&self.transport), target, node: node.clone() }
    }
}

/// One other replica.
pub(super) struct Peer {
    volume: VolumeId,
    transport: Arc<dyn Transport>,
    target: u64,
    node: BasicNode,
}

type Answer<T, E = openraft::error::Infallible> = Result<T, RPCError<u64, BasicNode, RaftError<u64, E>>>;

async fn answer<T, E>(call: impl Future<Output = Result<T, TransportError>>) -> Answer<T, E>
where
    E: std::error::Error,
{
    call.await.map_err(|error| RPCError::Unreachable(Unreachable::new(&error)))
}

impl RaftNetwork<TypeConfig> for Peer {
    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<TypeConfig>,
        _option: RPCOption,
    ) -> Answer<AppendEntriesResponse<u64>> {
        answer(self.transport.append_entries(self.volume, self.target, &self.node, request)).await
    }

    async fn install_snapshot(
        &mut self,
        request: InstallSnapshotRequest<TypeConfig>,
        _option: RPCOption,
    ) -> Answer<InstallSnapshotResponse<u64>, InstallSnapshotError> {
        answer(self.transport.install_snapshot(self.volume, self.target, &self.node, request)).await
    }

    async fn vote(&mut self, request: VoteRequest<u64>, _option: RPCOption) -> Answer<VoteResponse<u64>> {
        answer(self.transport.vote(self.volume, self.target, &self.node, request)).await
    }
}
