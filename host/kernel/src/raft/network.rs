//! What openraft asks for to reach other replicas: here, nobody.
//!
//! A volume has one replica, so its group has one voter, wins its own elections and sends nothing. openraft
//! still wants a factory of clients; the ones that it gets answer that the other node is unreachable, which
//! openraft takes for a reason to back off. Nothing else of the kernel knows this module.

use openraft::BasicNode;
use openraft::error::{Infallible, InstallSnapshotError, RPCError, RaftError, Unreachable};
use openraft::network::{RPCOption, RaftNetwork, RaftNetworkFactory};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, InstallSnapshotRequest, InstallSnapshotResponse,
    VoteRequest, VoteResponse,
};

use super::types::TypeConfig;

/// The network of a group without peers.
pub(super) struct NoPeers;

impl RaftNetworkFactory<TypeConfig> for NoPeers {
    type Network = Absent;

    async fn new_client(&mut self, target: u64, node: &BasicNode) -> Absent {
        Absent { target, address: node.addr.clone() }
    }
}

/// A node that some entry of the log names and that this one can't call.
#[derive(Clone, Debug, thiserror::Error)]
#[error("node {target} at {address:?} can't be reached: this node has no peers")]
pub(super) struct Absent {
    target: u64,
    address: String,
}

type Answer<T, E = Infallible> = Result<T, RPCError<u64, BasicNode, RaftError<u64, E>>>;

impl Absent {
    fn unreachable<E: std::error::Error>(&self) -> RPCError<u64, BasicNode, RaftError<u64, E>> {
        RPCError::Unreachable(Unreachable::new(self))
    }
}

impl RaftNetwork<TypeConfig> for Absent {
    async fn append_entries(
        &mut self,
        _request: AppendEntriesRequest<TypeConfig>,
        _option: RPCOption,
    ) -> Answer<AppendEntriesResponse<u64>> {
        Err(self.unreachable())
    }

    async fn install_snapshot(
        &mut self,
        _request: InstallSnapshotRequest<TypeConfig>,
        _option: RPCOption,
    ) -> Answer<InstallSnapshotResponse<u64>, InstallSnapshotError> {
        Err(self.unreachable())
    }

    async fn vote(&mut self, _request: VoteRequest<u64>, _option: RPCOption) -> Answer<VoteResponse<u64>> {
        Err(self.unreachable())
    }
}
