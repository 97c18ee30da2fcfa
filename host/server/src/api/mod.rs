//! The gRPC face of the daemon: one file per service, and what they share.
//!
//! | module | what it does |
//! |---|---|
//! | `front` | the door: counts and times every call, names the ones that nobody serves |
//! | `call` | what a call brings along: its deadline and the volume it means |
//! | `translate` | etcd's messages to the kernel's types and back |
//! | `errors` | errors of the layers below to etcd's codes and texts |
//! | `kv`, `maintenance`, `cluster` | etcd's services |
//! | `admin`, `admin_messages` | our own service for volumes and plugins, and its messages |
//! | `upload` | components as they come in, part by part |
//! | `recording` | what strategies were asked and answered, as messages and as a trace |
//! | `jobs` | our own service for long work on volumes |
//! | `shadows` | our own service for candidates beside what serves |
//! | `who` | who calls, and why: what the history says of it |
//! | `stub` | a server that answers every call with nothing: the ceiling of the transport |
//!
//! Nothing here decides about storage: requests are translated, handed down, and answers are translated
//! back. Validation is the kernel's, so that no other way in can pass around it.

mod admin;
mod admin_messages;
mod call;
mod cluster;
mod errors;
mod front;
mod jobs;
mod kv;
mod maintenance;
mod recording;
mod shadows;
mod stub;
mod translate;
mod upload;
mod who;

pub(crate) use call::VOLUME_HEADER;
pub use front::{Front, InFlight};
pub use maintenance::fold_hash;
pub use stub::stub_front;
pub(crate) use upload::REFUSED as UPLOADS_REFUSED;
pub(crate) use who::OPERATOR_HEADER;

use std::sync::Arc;
use std::time::Duration;

use mortise_kernel::node::{Node, Volume};
use mortise_mechanisms::System;
use tonic::service::Routes;

use crate::pb::DESCRIPTORS;
use crate::pb::etcdserverpb::ResponseHeader;
use crate::pb::etcdserverpb::cluster_server::ClusterServer;
use crate::pb::etcdserverpb::kv_server::KvServer;
use crate::pb::etcdserverpb::maintenance_server::MaintenanceServer;
use crate::pb::mortise::v1::admin_server::AdminServer;
use crate::pb::mortise::v1::jobs_server::JobsServer;
use crate::pb::mortise::v1::shadows_server::ShadowsServer;

/// Version of etcd whose KV interface is spoken, as clients are told.
///
/// Clients use it to find out what they may ask for. 3.5.0 is the release whose key-value calls are all
/// served here; a later one would promise watch progress requests (3.5.13) that are not.
pub const ETCD_VERSION: &str = "3.5.0";

/// A frame may exceed the request limit by this much before the transport refuses it, so that requests
/// slightly too large get the kernel's explanation.
const FRAME_ALLOWANCE: usize = 512 * 1024;

/// What all services need.
#[derive(Clone)]
pub struct Context {
    /// The volumes and plugins.
    pub system: Arc<System>,
    /// The node below them.
    pub node: Arc<Node>,
    /// URLs that clients are told to use.
    pub client_urls: Arc<[String]>,
    /// Wait for calls that bring no deadline of their own.
    pub default_deadline: Duration,
}

impl Context {
    /// The header of an answer about `volume` at `revision`.
    fn header(&self, volume: &Volume, revision: i64) -> ResponseHeader {
        ResponseHeader {
            cluster_id: self.node.cluster_id(),
            member_id: self.node.node_id(),
            revision,
            raft_term: volume.raft_term(),
        }
    }
}

/// Assembles all services behind one door.
///
/// # Errors
/// When the compiled definitions cannot be offered for reflection, which is a defect of the build.
pub fn front(
    context: Context,
    health: impl tonic_health::pb::health_server::Health,
) -> anyhow::Result<Front<KvServer<kv::KvService>>> {
    let frame = context.node.config().max_request_bytes.saturating_add(FRAME_ALLOWANCE);
    let kv = KvServer::new(kv::KvService::new(context.clone())).max_decoding_message_size(frame);
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let others = Routes::default()
        .add_service(MaintenanceServer::new(maintenance::MaintenanceService::new(context.clone())))
        .add_service(ClusterServer::new(cluster::ClusterService::new(context.clone())))
        .add_service(JobsServer::new(jobs::JobsService::new(context.clone())))
        .add_service(ShadowsServer::new(shadows::ShadowsService::new(context.clone())))
        .add_service(AdminServer::new(admin::AdminService::new(context)))
        .add_service(tonic_health::pb::health_server::HealthServer::new(health))
        .add_service(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?);
    Ok(Front::new(kv, others))
}
