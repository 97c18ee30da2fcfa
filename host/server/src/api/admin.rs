//! Our own service: volumes and plugins.
//!
//! Each call hands a request down to the mechanisms and their answer back, with who asked and why. An empty
//! text or a 0 means «not given» wherever a field is not optional. An answer comes when the change is made,
//! and the work goes on when the client gives up. Adding a component may take minutes.
//!
//! Nothing is decided here; what the mechanisms refuse, they refuse in their own words.

use std::time::Duration;

use mortise_mechanisms::{Cause, Limits, MAX_COMPONENT_BYTES};
use tonic::{Request, Response, Status, Streaming};

use super::Context;
use super::admin_messages as messages;
use super::errors::from_mechanisms;
use super::upload::{Received, Refused, Uploads, Why};
use super::who::{cause, given};
use super::{jobs, recording};
use crate::pb::mortise::v1 as pb;
use crate::pb::mortise::v1::admin_server::Admin;

pub(super) struct AdminService {
    context: Context,
    uploads: Uploads,
}

impl AdminService {
    pub(super) fn new(context: Context) -> Self {
        Self { context, uploads: Uploads::default() }
    }
}

/// The limits that `wanted` means: fields that are 0 keep the value that they have `now`.
fn limits(wanted: pb::Limits, now: Limits) -> Limits {
    let answer_bytes = usize::try_from(wanted.answer_bytes).unwrap_or(usize::MAX);
    Limits {
        memory_bytes: kept(wanted.memory_bytes, now.memory_bytes),
        deadline: kept(Duration::from_millis(wanted.deadline_ms), now.deadline),
        answer_bytes: kept(answer_bytes, now.answer_bytes),
        fuel: wanted.fuel.map_or(now.fuel, |fuel| (fuel > 0).then_some(fuel)),
    }
}

fn kept<T: Default + PartialEq>(wanted: T, now: T) -> T {
    if wanted == T::default() { now } else { wanted }
}

#[tonic::async_trait]
impl Admin for AdminService {
    async fn create_volume(
        &self,
        request: Request<pb::CreateVolumeRequest>,
    ) -> Result<Response<pb::CreateVolumeResponse>, Status> {
        let cause = cause(&request, &request.get_ref().reason);
        let pb::CreateVolumeRequest { name, format, .. } = request.into_inner();
        let format = format.map(jobs::wanted).unwrap_or_default();
        let info = self.context.system.create_volume(&name, format, cause).await.map_err(from_mechanisms)?;
        Ok(Response::new(pb::CreateVolumeResponse { volume: Some(messages::volume(info)) }))
    }

    async fn list_volumes(
        &self,
        _request: Request<pb::ListVolumesRequest>,
    ) -> Result<Response<pb::ListVolumesResponse>, Status> {
        let volumes = self.context.system.list_volumes().into_iter().map(messages::volume).collect();
        Ok(Response::new(pb::ListVolumesResponse { volumes }))
    }

    async fn volume_status(
        &self,
        request: Request<pb::VolumeStatusRequest>,
    ) -> Result<Response<pb::VolumeStatusResponse>, Status> {
        let report = self.context.system.volume_report(&request.get_ref().name).map_err(from_mechanisms)?;
        Ok(Response::new(messages::volume_status(report)))
    }

    async fn delete_volume(
        &self,
        request: Request<pb::DeleteVolumeRequest>,
    ) -> Result<Response<pb::DeleteVolumeResponse>, Status> {
        let cause = cause(&request, &request.get_ref().reason);
        self.context.system.delete_volume(&request.get_ref().name, cause).await.map_err(from_mechanisms)?;
        Ok(Response::new(pb::DeleteVolumeResponse {}))
    }

    async fn add_plugin(
        &self,
        request: Request<Streaming<pb::AddPluginRequest>>,
    ) -> Result<Response<pb::AddPluginResponse>, Status> {
        let mut cause = cause(&request, "");
        let Received { new, reason } = match self.uploads.receive(request.into_inner()).await {
            Ok(received) => received,
            Err(refused) => {
                let Refused { why, part, status } = *refused;
                if why == Why::Slow {
                    let (name, cause) = (part.new.name.as_deref(), Cause { reason: part.reason, ..cause });
                    self.context.system.plugin_not_received(name, status.message(), cause).await;
                }
                return Err(status);
            }
        };
        cause.reason = reason;
        if new.bytes.len() > MAX_COMPONENT_BYTES {
            let name = new.name.as_deref();
            return Err(from_mechanisms(self.context.system.plugin_oversized(name, cause).await));
        }
        let info = self.context.system.plugin_add(new, cause).await.map_err(from_mechanisms)?;
        Ok(Response::new(pb::AddPluginResponse { plugin: Some(messages::plugin(info)) }))
    }

    async fn check_plugin(
        &self,
        request: Request<Streaming<pb::AddPluginRequest>>,
    ) -> Result<Response<pb::CheckPluginResponse>, Status> {
        let received = self.uploads.receive(request.into_inner()).await.map_err(|refused| refused.status)?;
        let new = received.new;
        let judged = self.context.system.plugin_check(new).await.map_err(from_mechanisms)?;
        Ok(Response::new(messages::judged(judged)))
    }

    async fn list_plugins(
        &self,
        _request: Request<pb::ListPluginsRequest>,
    ) -> Result<Response<pb::ListPluginsResponse>, Status> {
        let plugins = self.context.system.plugin_list().into_iter().map(messages::plugin).collect();
        Ok(Response::new(pb::ListPluginsResponse { plugins }))
    }

    async fn show_plugin(
        &self,
        request: Request<pb::ShowPluginRequest>,
    ) -> Result<Response<pb::ShowPluginResponse>, Status> {
        let detail = self.context.system.plugin_show(&request.get_ref().name).map_err(from_mechanisms)?;
        Ok(Response::new(messages::plugin_detail(detail)))
    }

    async fn plugin_history(
        &self,
        request: Request<pb::PluginHistoryRequest>,
    ) -> Result<Response<pb::PluginHistoryResponse>, Status> {
        let name = given(&request.get_ref().name);
        let rows = self.context.system.plugin_history(name.as_deref()).map_err(from_mechanisms)?;
        let rows = rows.into_iter().map(messages::history_row).collect();
        Ok(Response::new(pb::PluginHistoryResponse { rows }))
    }

    async fn use_plugin(
        &self,
        request: Request<pb::UsePluginRequest>,
    ) -> Result<Response<pb::UsePluginResponse>, Status> {
        let cause = cause(&request, &request.get_ref().reason);
        let wanted = request.into_inner();
        let (version, config) = (given(&wanted.version), given(&wanted.config_json));
        let activation = self
            .context
            .system
            .plugin_use(&wanted.name, version.as_deref(), &wanted.volume, config, cause)
            .await
            .map_err(from_mechanisms)?;
        Ok(Response::new(pb::UsePluginResponse { activation: Some(messages::activation(activation)) }))
    }

    async fn rollback_plugin(
        &self,
        request: Request<pb::RollbackPluginRequest>,
    ) -> Result<Response<pb::RollbackPluginResponse>, Status> {
        let cause = cause(&request, &request.get_ref().reason);
        let volume = &request.get_ref().volume;
        let activation = self.context.system.plugin_rollback(volume, cause).await.map_err(from_mechanisms)?;
        Ok(Response::new(pb::RollbackPluginResponse { activation: Some(messages::activation(activation)) }))
    }

    async fn remove_plugin(
        &self,
        request: Request<pb::RemovePluginRequest>,
    ) -> Result<Response<pb::RemovePluginResponse>, Status> {
        let cause = cause(&request, &request.get_ref().reason);
        let wanted = request.into_inner();
        let version = given(&wanted.version);
        self.context
            .system
            .plugin_remove(&wanted.name, version.as_deref(), cause)
            .await
            .map_err(from_mechanisms)?;
        Ok(Response::new(pb::RemovePluginResponse {}))
    }

    async fn record_plugin(
        &self,
        request: Request<pb::RecordPluginRequest>,
    ) -> Result<Response<pb::RecordPluginResponse>, Status> {
        let cause = cause(&request, &request.get_ref().reason);
        let pb::RecordPluginRequest { volume, calls, bytes, .. } = request.into_inner();
        let info =
            self.context.system.record_plugin(&volume, calls, bytes, cause).await.map_err(from_mechanisms)?;
        Ok(Response::new(pb::RecordPluginResponse { recording: Some(recording::recording(info)) }))
    }

    type RecordedCallsStream = recording::Chunks;

    async fn recorded_calls(
        &self,
        request: Request<pb::RecordedCallsRequest>,
    ) -> Result<Response<Self::RecordedCallsStream>, Status> {
        let calls = self.context.system.recorded_calls(&request.get_ref().volume).map_err(from_mechanisms)?;
        Ok(Response::new(recording::chunks(calls)))
    }

    async fn quarantine_plugin(
        &self,
        request: Request<pb::QuarantinePluginRequest>,
    ) -> Result<Response<pb::QuarantinePluginResponse>, Status> {
        let cause = cause(&request, &request.get_ref().reason);
        let wanted = request.into_inner();
        let version = given(&wanted.version);
        let plugin = self.context.system.plugin_quarantine(&wanted.name, version.as_deref(), cause).await;
        let plugin = Some(messages::plugin(plugin.map_err(from_mechanisms)?));
        Ok(Response::new(pb::QuarantinePluginResponse { plugin }))
    }

    async fn release_plugin(
        &self,
        request: Request<pb::ReleasePluginRequest>,
    ) -> Result<Response<pb::ReleasePluginResponse>, Status> {
        let cause = cause(&request, &request.get_ref().reason);
        let wanted = request.into_inner();
        let version = given(&wanted.version);
        let plugin = self.context.system.plugin_release(&wanted.name, version.as_deref(), cause).await;
        let plugin = Some(messages::plugin(plugin.map_err(from_mechanisms)?));
        Ok(Response::new(pb::ReleasePluginResponse { plugin }))
    }

    async fn set_plugin_limits(
        &self,
        request: Request<pb::SetPluginLimitsRequest>,
    ) -> Result<Response<pb::SetPluginLimitsResponse>, Status> {
        let cause = cause(&request, &request.get_ref().reason);
        let wanted = request.into_inner();
        let change = move |now| limits(wanted.limits.unwrap_or_default(), now);
        let plugins =
            self.context.system.plugin_limits(&wanted.name, change, cause).await.map_err(from_mechanisms)?;
        let plugins = plugins.into_iter().map(messages::plugin).collect();
        Ok(Response::new(pb::SetPluginLimitsResponse { plugins }))
    }
}
