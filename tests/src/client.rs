//! The client that suites speak etcd's protocol with, to Mortise and to a real etcd alike.
//!
//! One [`Client`] is one connection and one volume: the volume's name travels in the `mortise-volume` header,
//! which etcd ignores. Every call has a deadline, so that a hanging server fails a test instead of hanging
//! it.

use std::str::FromStr as _;
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use mortise::pb::etcdserverpb as pb;
use mortise::pb::mvccpb::KeyValue;
use pb::cluster_client::ClusterClient;
use pb::kv_client::KvClient;
use pb::maintenance_client::MaintenanceClient;
use tonic::metadata::MetadataValue;
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request as Call, Status};

use crate::request::{Answer, Outcome, Refusal, Request};

/// Deadline of every call.
const DEADLINE: Duration = Duration::from_secs(30);
/// What `docs/plugins/security.md` states for a request that runs beside a plugin that misbehaves, whatever
/// the machine does meanwhile.
pub const BESIDE_PLUGINS: Duration = Duration::from_secs(5);
/// Answers may be larger than tonic's default allows.
const MAX_ANSWER: usize = 256 * 1024 * 1024;

type Connection = InterceptedService<Channel, VolumeHeader>;

/// Adds the volume's name to every call.
#[derive(Clone, Debug, Default)]
pub struct VolumeHeader(Option<MetadataValue<tonic::metadata::Ascii>>);

impl Interceptor for VolumeHeader {
    fn call(&mut self, mut call: Call<()>) -> Result<Call<()>, Status> {
        if let Some(name) = &self.0 {
            call.metadata_mut().insert("mortise-volume", name.clone());
        }
        Ok(call)
    }
}

/// A connection to one volume of one server.
#[derive(Clone, Debug)]
pub struct Client {
    /// The KV service.
    pub kv: KvClient<Connection>,
    /// The Maintenance service.
    pub maintenance: MaintenanceClient<Connection>,
    /// The Cluster service.
    pub cluster: ClusterClient<Connection>,
}

impl Client {
    /// Connects without naming a volume.
    ///
    /// # Errors
    /// Nothing listens there.
    pub async fn connect(endpoint: &str) -> Result<Self> {
        Self::over(Endpoint::from_shared(endpoint.to_owned())?, None, DEADLINE).await
    }

    /// Connects to a volume, for requests that have to be answered within the time given.
    ///
    /// # Errors
    /// As [`Self::connect_volume`].
    pub async fn connect_within(endpoint: &str, volume: &str, deadline: Duration) -> Result<Self> {
        Self::over(Endpoint::from_shared(endpoint.to_owned())?, Some(volume), deadline).await
    }

    /// Connects to a volume by the `mortise-volume` header.
    ///
    /// # Errors
    /// Nothing listens there, or the name cannot be a header's value.
    pub async fn connect_volume(endpoint: &str, volume: &str) -> Result<Self> {
        Self::over(Endpoint::from_shared(endpoint.to_owned())?, Some(volume), DEADLINE).await
    }

    /// Connects while dialling `host`, as a client does that chooses its volume by the host's first label.
    ///
    /// # Errors
    /// Nothing listens there, or the name is no host name.
    pub async fn connect_as_host(endpoint: &str, host: &str) -> Result<Self> {
        let origin = http::Uri::from_str(&format!("http://{host}"))?;
        Self::over(Endpoint::from_shared(endpoint.to_owned())?.origin(origin), None, DEADLINE).await
    }

    async fn over(endpoint: Endpoint, volume: Option<&str>, deadline: Duration) -> Result<Self> {
        let named = format!("cannot connect to {}", endpoint.uri());
        let channel = endpoint.timeout(deadline).connect().await.context(named)?;
        let header = VolumeHeader(volume.map(str::parse).transpose()?);
        Ok(Self {
            kv: KvClient::with_interceptor(channel.clone(), header.clone())
                .max_decoding_message_size(MAX_ANSWER),
            maintenance: MaintenanceClient::with_interceptor(channel.clone(), header.clone()),
            cluster: ClusterClient::with_interceptor(channel, header),
        })
    }

    /// Sends a generated request.
    ///
    /// # Errors
    /// The server's refusal.
    pub async fn send(&mut self, request: &Request) -> Outcome {
        let kv = &mut self.kv;
        Ok(match request.clone() {
            Request::Range(request) => Answer::Range(kv.range(request).await?.into_inner()),
            Request::Put(request) => Answer::Put(kv.put(request).await?.into_inner()),
            Request::Delete(request) => Answer::Delete(kv.delete_range(request).await?.into_inner()),
            Request::Txn(request) => Answer::Txn(kv.txn(request).await?.into_inner()),
            Request::Compact(request) => Answer::Compact(kv.compact(request).await?.into_inner()),
        })
    }

    /// Writes one key; answers the revision.
    ///
    /// # Errors
    /// The server's refusal.
    pub async fn put(
        &mut self,
        key: impl Into<Bytes>,
        value: impl Into<Bytes>,
    ) -> std::result::Result<i64, Refusal> {
        let request = pb::PutRequest { key: key.into(), value: value.into(), ..Default::default() };
        Ok(self.kv.put(request).await?.into_inner().header.map_or(0, |header| header.revision))
    }

    /// Reads one key, linearizably.
    ///
    /// # Errors
    /// The server's refusal.
    pub async fn get(&mut self, key: impl Into<Bytes>) -> std::result::Result<Option<KeyValue>, Refusal> {
        let request = pb::RangeRequest { key: key.into(), ..Default::default() };
        Ok(self.kv.range(request).await?.into_inner().kvs.pop())
    }

    /// Every key with all its fields, in key order, at a revision (0 for the newest).
    ///
    /// # Errors
    /// The server's refusal.
    pub async fn content(&mut self, revision: i64) -> std::result::Result<Vec<KeyValue>, Refusal> {
        let all = Bytes::from_static(b"\0");
        let request = pb::RangeRequest { key: all.clone(), range_end: all, revision, ..Default::default() };
        Ok(self.kv.range(request).await?.into_inner().kvs)
    }

    /// The current revision.
    ///
    /// # Errors
    /// The server's refusal.
    pub async fn revision(&mut self) -> std::result::Result<i64, Refusal> {
        let request = pb::RangeRequest { key: "\0".into(), count_only: true, ..Default::default() };
        Ok(self.kv.range(request).await?.into_inner().header.map_or(0, |header| header.revision))
    }

    /// The hash of the content at a revision (0 for the newest).
    ///
    /// # Errors
    /// The server's refusal.
    pub async fn hash(&mut self, revision: i64) -> std::result::Result<pb::HashKvResponse, Refusal> {
        Ok(self.maintenance.hash_kv(pb::HashKvRequest { revision }).await?.into_inner())
    }
}
