//! What tools expect of any gRPC server: the standard health service, and reflection that lists the services.

use anyhow::{Context as _, Result, ensure};
use mortise_tests::Mortise;
use tempfile::TempDir;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

async fn node() -> Result<(TempDir, Mortise, Channel)> {
    let directory = TempDir::new()?;
    let mortise = Mortise::start(directory.path())?;
    let channel = Endpoint::from_shared(mortise.endpoint())?.connect().await?;
    Ok((directory, mortise, channel))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_standard_health_service_answers() -> Result<()> {
    let (_directory, _mortise, channel) = node().await?;
    let request = HealthCheckRequest { service: String::new() };
    let answer = HealthClient::new(channel).check(request).await?.into_inner();
    ensure!(answer.status() == ServingStatus::Serving, "{answer:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn reflection_lists_the_services() -> Result<()> {
    let (_directory, _mortise, channel) = node().await?;
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let requests = tokio_stream::once(request);
    let mut answers =
        ServerReflectionClient::new(channel).server_reflection_info(requests).await?.into_inner();
    let answer = answers.message().await?.context("an answer")?;
    let Some(MessageResponse::ListServicesResponse(list)) = answer.message_response else {
        anyhow::bail!("not a list of services: {answer:?}");
    };
    let names: Vec<&str> = list.service.iter().map(|service| service.name.as_str()).collect();
    for expected in
        ["etcdserverpb.KV", "etcdserverpb.Maintenance", "etcdserverpb.Cluster", "mortise.v1.Admin"]
    {
        ensure!(names.contains(&expected), "{expected} is not listed: {names:?}");
    }
    Ok(())
}
