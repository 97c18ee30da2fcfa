//! What is there besides the key-value calls: membership, health, reflection, and names of what is not there.

use mortise::pb::etcdserverpb as pb;
use mortise::pb::etcdserverpb::auth_client::AuthClient;
use mortise::pb::etcdserverpb::cluster_client::ClusterClient;
use mortise::pb::etcdserverpb::lease_client::LeaseClient;
use mortise::pb::etcdserverpb::maintenance_client::MaintenanceClient;
use mortise::pb::etcdserverpb::watch_client::WatchClient;
use prost::Message as _;
use prost_types::FileDescriptorSet;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

use crate::support::{Running, put};

fn names(status: &Status, call: &str) {
    assert_eq!(status.code(), Code::Unimplemented, "{status:?}");
    assert!(status.message().contains(call), "{status:?} does not name {call}");
}

#[tokio::test]
async fn calls_that_are_not_served_are_named() {
    let running = Running::start().await;
    let channel = running.channel().await;
    let watch = WatchClient::new(channel.clone()).watch(tokio_stream::empty()).await;
    names(&watch.expect_err("no watch"), "etcdserverpb.Watch/Watch");
    let grant = LeaseClient::new(channel.clone()).lease_grant(pb::LeaseGrantRequest::default()).await;
    names(&grant.expect_err("no leases"), "etcdserverpb.Lease/LeaseGrant");
    let auth = AuthClient::new(channel.clone()).auth_enable(pb::AuthEnableRequest {}).await;
    names(&auth.expect_err("no auth"), "etcdserverpb.Auth/AuthEnable");
    let add = ClusterClient::new(channel.clone()).member_add(pb::MemberAddRequest::default()).await;
    names(&add.expect_err("no change"), "etcdserverpb.Cluster/MemberAdd");
    let snapshot = MaintenanceClient::new(channel).snapshot(pb::SnapshotRequest {}).await;
    names(&snapshot.expect_err("no snapshot"), "etcdserverpb.Maintenance/Snapshot");
    let nothing = crate::raw::frame(b"");
    let unknown = crate::raw::call(&running, "localhost", "/who.Knows/This", &[], nothing).await;
    names(&unknown.status, "who.Knows/This");
    running.stop().await;
}

/// Every call that is served. All others that the definitions declare are refused by name.
const SERVED: [&str; 36] = [
    "etcdserverpb.KV/Range",
    "etcdserverpb.KV/Put",
    "etcdserverpb.KV/DeleteRange",
    "etcdserverpb.KV/Txn",
    "etcdserverpb.KV/Compact",
    "etcdserverpb.Cluster/MemberList",
    "etcdserverpb.Maintenance/Alarm",
    "etcdserverpb.Maintenance/Status",
    "etcdserverpb.Maintenance/Hash",
    "etcdserverpb.Maintenance/HashKV",
    "etcdserverpb.Maintenance/Defragment",
    "mortise.v1.Jobs/StartJob",
    "mortise.v1.Jobs/WatchJob",
    "mortise.v1.Jobs/ListJobs",
    "mortise.v1.Jobs/CancelJob",
    "mortise.v1.Admin/CreateVolume",
    "mortise.v1.Admin/ListVolumes",
    "mortise.v1.Admin/VolumeStatus",
    "mortise.v1.Admin/DeleteVolume",
    "mortise.v1.Admin/AddPlugin",
    "mortise.v1.Admin/CheckPlugin",
    "mortise.v1.Admin/ListPlugins",
    "mortise.v1.Admin/ShowPlugin",
    "mortise.v1.Admin/PluginHistory",
    "mortise.v1.Admin/UsePlugin",
    "mortise.v1.Admin/RollbackPlugin",
    "mortise.v1.Admin/RemovePlugin",
    "mortise.v1.Admin/QuarantinePlugin",
    "mortise.v1.Admin/ReleasePlugin",
    "mortise.v1.Admin/SetPluginLimits",
    "mortise.v1.Admin/RecordPlugin",
    "mortise.v1.Admin/RecordedCalls",
    "mortise.v1.Shadows/CastShadow",
    "mortise.v1.Shadows/ShowShadow",
    "mortise.v1.Shadows/EndShadow",
    "mortise.v1.Shadows/PromoteShadow",
];

/// The names of all calls that the definitions declare.
fn declared() -> Vec<String> {
    let files = FileDescriptorSet::decode(mortise::pb::DESCRIPTORS).expect("descriptors").file;
    let services = files.iter().flat_map(|file| file.service.iter().map(move |service| (file, service)));
    let names = services.flat_map(|(file, service)| {
        let prefix = format!("{}.{}", file.package(), service.name());
        service.method.iter().map(move |method| format!("{prefix}/{}", method.name()))
    });
    names.collect()
}

#[tokio::test]
async fn every_declared_call_is_served_or_refused_by_name() {
    let running = Running::start().await;
    let (served, unserved): (Vec<_>, Vec<_>) =
        declared().into_iter().partition(|name| SERVED.contains(&name.as_str()));
    assert_eq!(served.len(), SERVED.len(), "{served:?}");
    assert!(unserved.len() >= 20, "the definitions are not all there: {unserved:?}");
    let nothing = || crate::raw::frame(b"");
    for name in &unserved {
        let answer = crate::raw::call(&running, "localhost", &format!("/{name}"), &[], nothing()).await;
        names(&answer.status, name);
    }
    for name in &served {
        let answer = crate::raw::call(&running, "localhost", &format!("/{name}"), &[], nothing()).await;
        assert_ne!(answer.status.code(), Code::Unimplemented, "{name}: {:?}", answer.status);
    }
    running.stop().await;
}

#[tokio::test]
async fn members_and_status_describe_this_node() {
    let running = Running::start().await;
    let channel = running.channel().await;
    let header = running.kv().await.put(put("k", "v")).await.expect("a put").into_inner().header;
    let header = header.expect("a header");
    let members = ClusterClient::new(channel.clone()).member_list(pb::MemberListRequest::default()).await;
    let members = members.expect("members").into_inner().members;
    assert_eq!(members.len(), 1);
    assert_eq!(members[0].id, header.member_id);
    assert_eq!(members[0].client_ur_ls, [format!("http://{}", running.daemon.grpc())]);
    let status = MaintenanceClient::new(channel).status(pb::StatusRequest {}).await;
    let status = status.expect("a status").into_inner();
    assert_eq!(status.header, Some(header));
    assert_eq!(status.leader, header.member_id);
    assert_eq!(status.raft_applied_index, status.raft_index);
    assert!(status.db_size > 0 && !status.version.is_empty(), "{status:?}");
    running.stop().await;
}

#[tokio::test]
async fn health_is_serving() {
    let running = Running::start().await;
    let mut health = HealthClient::new(running.channel().await);
    let answer = health.check(HealthCheckRequest { service: String::new() }).await.expect("health");
    assert_eq!(answer.into_inner().status(), tonic_health::pb::health_check_response::ServingStatus::Serving);
    running.stop().await;
}

#[tokio::test]
async fn reflection_lists_the_services() {
    let running = Running::start().await;
    let mut reflection = ServerReflectionClient::new(running.channel().await);
    let ask = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let answers = reflection.server_reflection_info(tokio_stream::once(ask)).await.expect("reflection");
    let answer = answers.into_inner().message().await.expect("an answer").expect("an answer");
    let Some(MessageResponse::ListServicesResponse(list)) = answer.message_response else {
        panic!("not a list: {answer:?}");
    };
    let found: Vec<_> = list.service.into_iter().map(|service| service.name).collect();
    for name in ["etcdserverpb.KV", "etcdserverpb.Maintenance", "mortise.v1.Admin", "grpc.health.v1.Health"] {
        assert!(found.iter().any(|found| found == name), "{name} is not among {found:?}");
    }
    running.stop().await;
}
