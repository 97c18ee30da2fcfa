//! etcd's membership service: the one node there is, so far.
//!
//! Clients ask for the list of members to find out whom to connect to, so it names the URLs that they should
//! use. Changes of the membership are answered as not supported, with the name of the call. The answer is the
//! same for every volume; the header is that of the volume that the call means.

use tonic::{Request, Response, Status};

use super::errors::unsupported;
use super::{Context, call};
use crate::pb::etcdserverpb as pb;
use crate::pb::etcdserverpb::cluster_server::Cluster;

pub(super) struct ClusterService {
    context: Context,
}

impl ClusterService {
    pub(super) fn new(context: Context) -> Self {
        Self { context }
    }
}

#[tonic::async_trait]
impl Cluster for ClusterService {
    async fn member_list(
        &self,
        request: Request<pb::MemberListRequest>,
    ) -> Result<Response<pb::MemberListResponse>, Status> {
        let volume = call::volume(&self.context.system, request.metadata(), request.extensions())?;
        let member = pb::Member {
            id: self.context.node.node_id(),
            name: format!("mortise-{:x}", self.context.node.node_id()),
            peer_ur_ls: Vec::new(),
            client_ur_ls: self.context.client_urls.to_vec(),
            is_learner: false,
        };
        let header = self.context.header(&volume, volume.status().revision);
        Ok(Response::new(pb::MemberListResponse { header: Some(header), members: vec![member] }))
    }

    async fn member_add(
        &self,
        _request: Request<pb::MemberAddRequest>,
    ) -> Result<Response<pb::MemberAddResponse>, Status> {
        Err(unsupported("etcdserverpb.Cluster/MemberAdd"))
    }

    async fn member_remove(
        &self,
        _request: Request<pb::MemberRemoveRequest>,
    ) -> Result<Response<pb::MemberRemoveResponse>, Status> {
        Err(unsupported("etcdserverpb.Cluster/MemberRemove"))
    }

    async fn member_update(
        &self,
        _request: Request<pb::MemberUpdateRequest>,
    ) -> Result<Response<pb::MemberUpdateResponse>, Status> {
        Err(unsupported("etcdserverpb.Cluster/MemberUpdate"))
    }

    async fn member_promote(
        &self,
        _request: Request<pb::MemberPromoteRequest>,
    ) -> Result<Response<pb::MemberPromoteResponse>, Status> {
        Err(unsupported("etcdserverpb.Cluster/MemberPromote"))
    }
}
