//! etcd's key-value service over a volume.
//!
//! A call finds its volume and its deadline, is translated, and goes to the kernel, which validates it. A
//! transaction that only reads is answered as a read and never logged. The header's revision is the one that
//! the answer belongs to. Errors have etcd's codes and texts where etcd has an error for them.

use mortise_kernel::kv::{self, Command, CommandResponse};
use mortise_kernel::node::{Consistency, Volume};
use tonic::{Request, Response, Status};

use super::call::{self, CallDeadline};
use super::{Context, errors, translate};
use crate::pb::etcdserverpb as pb;
use crate::pb::etcdserverpb::kv_server::Kv;

/// Serves the key-value calls.
pub struct KvService {
    context: Context,
}

impl KvService {
    pub(super) fn new(context: Context) -> Self {
        Self { context }
    }

    /// Splits a request to write into its volume, its deadline and its message.
    fn write<T>(&self, request: Request<T>) -> Result<(std::sync::Arc<Volume>, CallDeadline, T), Status> {
        let (metadata, extensions, message) = request.into_parts();
        let volume = call::writable_volume(&self.context.system, &metadata, &extensions)?;
        Ok((volume, call::deadline(&self.context, &metadata)?, message))
    }

    /// Splits a request to read into its volume, its deadline and its message.
    fn read<T>(&self, request: Request<T>) -> Result<(std::sync::Arc<Volume>, CallDeadline, T), Status> {
        let (metadata, extensions, message) = request.into_parts();
        let volume = call::volume(&self.context.system, &metadata, &extensions)?;
        Ok((volume, call::deadline(&self.context, &metadata)?, message))
    }
}

async fn propose(
    volume: &Volume,
    command: Command,
    deadline: CallDeadline,
) -> Result<CommandResponse, Status> {
    let answer = volume.propose(command, deadline.deadline).await;
    answer.map_err(|error| errors::from_kernel(&error, deadline.from_client))
}

fn consistency(serializable: bool) -> Consistency {
    if serializable { Consistency::Serializable } else { Consistency::Linearizable }
}

fn mismatch(expected: &str) -> Status {
    tracing::error!(expected, "the kernel answered a command with the answer to another one");
    Status::internal(format!("the kernel's answer is not one to {expected}; please report it"))
}

#[tonic::async_trait]
impl Kv for KvService {
    async fn range(&self, request: Request<pb::RangeRequest>) -> Result<Response<pb::RangeResponse>, Status> {
        let (volume, deadline, message) = self.read(request)?;
        let consistency = consistency(message.serializable);
        let answer = volume
            .range(translate::range(message)?, consistency, deadline.deadline)
            .await
            .map_err(|error| errors::from_kernel(&error, deadline.from_client))?;
        let header = self.context.header(&volume, answer.revision);
        Ok(Response::new(translate::range_response(answer, header)))
    }

    async fn put(&self, request: Request<pb::PutRequest>) -> Result<Response<pb::PutResponse>, Status> {
        let (volume, deadline, message) = self.write(request)?;
        match propose(&volume, Command::Put(translate::put(message)), deadline).await? {
            CommandResponse::Put(answer) => {
                let header = self.context.header(&volume, answer.revision);
                Ok(Response::new(translate::put_response(answer, header)))
            }
            _ => Err(mismatch("a put")),
        }
    }

    async fn delete_range(
        &self,
        request: Request<pb::DeleteRangeRequest>,
    ) -> Result<Response<pb::DeleteRangeResponse>, Status> {
        let (volume, deadline, message) = self.write(request)?;
        match propose(&volume, Command::DeleteRange(translate::delete_range(message)), deadline).await? {
            CommandResponse::DeleteRange(answer) => {
                let header = self.context.header(&volume, answer.revision);
                Ok(Response::new(translate::delete_range_response(answer, header)))
            }
            _ => Err(mismatch("a delete")),
        }
    }

    async fn txn(&self, request: Request<pb::TxnRequest>) -> Result<Response<pb::TxnResponse>, Status> {
        let serializable = translate::is_serializable(request.get_ref());
        let (metadata, extensions, message) = request.into_parts();
        let deadline = call::deadline(&self.context, &metadata)?;
        let txn = translate::txn(message)?;
        let (volume, answer) = if kv::is_read_only(&txn) {
            let volume = call::volume(&self.context.system, &metadata, &extensions)?;
            let answer = volume.read_txn(txn, consistency(serializable), deadline.deadline).await;
            (volume, answer.map_err(|error| errors::from_kernel(&error, deadline.from_client))?)
        } else {
            let volume = call::writable_volume(&self.context.system, &metadata, &extensions)?;
            match propose(&volume, Command::Txn(txn), deadline).await? {
                CommandResponse::Txn(answer) => (volume, answer),
                _ => return Err(mismatch("a transaction")),
            }
        };
        let header = self.context.header(&volume, answer.revision);
        Ok(Response::new(translate::txn_response(answer, header)))
    }

    async fn compact(
        &self,
        request: Request<pb::CompactionRequest>,
    ) -> Result<Response<pb::CompactionResponse>, Status> {
        let (volume, deadline, message) = self.write(request)?;
        let revision = volume
            .compact(message.revision, message.physical, deadline.deadline)
            .await
            .map_err(|error| errors::from_kernel(&error, deadline.from_client))?;
        let header = self.context.header(&volume, revision);
        Ok(Response::new(pb::CompactionResponse { header: Some(header) }))
    }
}
