//! etcd's maintenance service: status, hashes, alarms and defragmentation of a volume.
//!
//! Everything is about one volume, where etcd's is about a member. Hashes have etcd's 32 bits and are
//! comparable among volumes with the same content, in whatever format, and not with those of etcd. There are
//! never alarms, because a full disk refuses writes only for as long as it is full. Calls that are not served
//! answer so by their name.

use mortise_kernel::node::ContentHash;
use tonic::codegen::tokio_stream::Empty;
use tonic::{Request, Response, Status};

use super::errors::{self, unsupported};
use super::who::cause;
use super::{Context, ETCD_VERSION, call, jobs};
use crate::pb::etcdserverpb as pb;
use crate::pb::etcdserverpb::alarm_request::AlarmAction;
use crate::pb::etcdserverpb::maintenance_server::Maintenance;

pub(super) struct MaintenanceService {
    context: Context,
}

impl MaintenanceService {
    pub(super) fn new(context: Context) -> Self {
        Self { context }
    }

    /// Hashes the volume that `request` means, within its deadline.
    async fn hash_at<T>(
        &self,
        request: &Request<T>,
        revision: i64,
    ) -> Result<(ContentHash, pb::ResponseHeader), Status> {
        let volume = call::volume(&self.context.system, request.metadata(), request.extensions())?;
        let deadline = call::deadline(&self.context, request.metadata())?;
        let hash = deadline
            .deadline
            .bound("hashing the content", volume.content_hash(revision.max(0)))
            .await
            .and_then(|hash| hash)
            .map_err(|error| errors::from_kernel(&error, deadline.from_client))?;
        let header = self.context.header(&volume, volume.status().revision);
        Ok((hash, header))
    }
}

/// etcd's hashes have 32 bits: both halves of ours, folded, so that every bit counts.
#[must_use]
pub fn fold_hash(hash: u64) -> u32 {
    let (high, low) = ((hash >> 32) as u32, hash as u32);
    high ^ low
}

#[tonic::async_trait]
impl Maintenance for MaintenanceService {
    async fn status(
        &self,
        request: Request<pb::StatusRequest>,
    ) -> Result<Response<pb::StatusResponse>, Status> {
        let volume = call::volume(&self.context.system, request.metadata(), request.extensions())?;
        let status = volume.status();
        let size = i64::try_from(status.disk_bytes.saturating_add(status.memtable_bytes));
        let size = size.unwrap_or(i64::MAX);
        Ok(Response::new(pb::StatusResponse {
            header: Some(self.context.header(&volume, status.revision)),
            version: ETCD_VERSION.to_owned(),
            db_size: size,
            leader: status.leader.unwrap_or_default(),
            raft_index: status.raft_index,
            raft_term: status.raft_term,
            raft_applied_index: status.raft_applied_index,
            errors: Vec::new(),
            db_size_in_use: size,
            is_learner: false,
        }))
    }

    async fn hash(&self, request: Request<pb::HashRequest>) -> Result<Response<pb::HashResponse>, Status> {
        let (hash, header) = self.hash_at(&request, 0).await?;
        Ok(Response::new(pb::HashResponse { header: Some(header), hash: fold_hash(hash.hash) }))
    }

    async fn hash_kv(
        &self,
        request: Request<pb::HashKvRequest>,
    ) -> Result<Response<pb::HashKvResponse>, Status> {
        let (hash, header) = self.hash_at(&request, request.get_ref().revision).await?;
        Ok(Response::new(pb::HashKvResponse {
            header: Some(header),
            hash: fold_hash(hash.hash),
            compact_revision: hash.compact_revision,
            hash_revision: hash.revision,
        }))
    }

    /// Alarms in etcd must be lifted by hand. Here a full disk refuses writes for just as long as it is full,
    /// so that there is never an alarm to list or to lift.
    async fn alarm(&self, request: Request<pb::AlarmRequest>) -> Result<Response<pb::AlarmResponse>, Status> {
        let volume = call::volume(&self.context.system, request.metadata(), request.extensions())?;
        match AlarmAction::try_from(request.get_ref().action) {
            Ok(AlarmAction::Get | AlarmAction::Deactivate) => {
                let header = self.context.header(&volume, volume.status().revision);
                Ok(Response::new(pb::AlarmResponse { header: Some(header), alarms: Vec::new() }))
            }
            _ => Err(unsupported("etcdserverpb.Maintenance/Alarm with any action but GET and DEACTIVATE")),
        }
    }

    /// Rebuilds the volume and answers when that is done. As in etcd the work goes on when the client gives
    /// up; unlike there it can be listed and cancelled (`mortise volume jobs`).
    async fn defragment(
        &self,
        request: Request<pb::DefragmentRequest>,
    ) -> Result<Response<pb::DefragmentResponse>, Status> {
        let volume = call::volume(&self.context.system, request.metadata(), request.extensions())?;
        let deadline = call::deadline(&self.context, request.metadata())?;
        let done = jobs::rebuild(&self.context, volume.name(), cause(&request, ""));
        if deadline.from_client {
            let what = "the rebuild, which goes on (see `mortise volume jobs`),";
            let bounded = deadline.deadline.bound(what, done).await;
            bounded.map_err(|error| errors::from_kernel(&error, true))??;
        } else {
            // A rebuild takes as long as it takes; the node's default is for calls that should be quick.
            done.await?;
        }
        let header = self.context.header(&volume, volume.status().revision);
        Ok(Response::new(pb::DefragmentResponse { header: Some(header) }))
    }

    type SnapshotStream = Empty<Result<pb::SnapshotResponse, Status>>;

    async fn snapshot(
        &self,
        _request: Request<pb::SnapshotRequest>,
    ) -> Result<Response<Self::SnapshotStream>, Status> {
        Err(unsupported("etcdserverpb.Maintenance/Snapshot"))
    }

    async fn move_leader(
        &self,
        _request: Request<pb::MoveLeaderRequest>,
    ) -> Result<Response<pb::MoveLeaderResponse>, Status> {
        Err(unsupported("etcdserverpb.Maintenance/MoveLeader"))
    }

    async fn downgrade(
        &self,
        _request: Request<pb::DowngradeRequest>,
    ) -> Result<Response<pb::DowngradeResponse>, Status> {
        Err(unsupported("etcdserverpb.Maintenance/Downgrade"))
    }
}
