//! A server that answers every key-value call with nothing at once: the ceiling that the transport sets.
//!
//! It stands behind the same door as the real services, so that a benchmark against it measures all that a
//! call costs except storage.

use tonic::service::Routes;
use tonic::{Request, Response, Status};

use super::front::Front;
use crate::pb::etcdserverpb as pb;
use crate::pb::etcdserverpb::kv_server::{Kv, KvServer};

/// Answers everything with nothing.
pub struct Stub;

fn empty<T: Default>() -> Response<T> {
    Response::new(T::default())
}

#[tonic::async_trait]
impl Kv for Stub {
    async fn range(
        &self,
        _request: Request<pb::RangeRequest>,
    ) -> Result<Response<pb::RangeResponse>, Status> {
        Ok(empty())
    }

    async fn put(&self, _request: Request<pb::PutRequest>) -> Result<Response<pb::PutResponse>, Status> {
        Ok(empty())
    }

    async fn delete_range(
        &self,
        _request: Request<pb::DeleteRangeRequest>,
    ) -> Result<Response<pb::DeleteRangeResponse>, Status> {
        Ok(empty())
    }

    async fn txn(&self, _request: Request<pb::TxnRequest>) -> Result<Response<pb::TxnResponse>, Status> {
        Ok(empty())
    }

    async fn compact(
        &self,
        _request: Request<pb::CompactionRequest>,
    ) -> Result<Response<pb::CompactionResponse>, Status> {
        Ok(empty())
    }
}

/// The stub behind the usual door.
#[must_use]
pub fn stub_front() -> Front<KvServer<Stub>> {
    Front::new(KvServer::new(Stub), Routes::default())
}
