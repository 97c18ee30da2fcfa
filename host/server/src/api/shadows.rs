//! Our own service for shadows: candidates beside what serves, and their promotion.
//!
//! Requests go down to the mechanisms with who asked and why, and answers come back field for field. Whether
//! a volume has a shadow is an answer, not an error. Nothing is compared or decided here.

use mortise_mechanisms::{CallTimes, ShadowExample, ShadowInfo};
use tonic::{Request, Response, Status};

use super::Context;
use super::admin_messages as messages;
use super::errors::from_mechanisms;
use super::who::{cause, given};
use crate::pb::mortise::v1 as pb;
use crate::pb::mortise::v1::shadows_server::Shadows;

pub(super) struct ShadowsService {
    context: Context,
}

impl ShadowsService {
    pub(super) fn new(context: Context) -> Self {
        Self { context }
    }
}

#[tonic::async_trait]
impl Shadows for ShadowsService {
    async fn cast_shadow(
        &self,
        request: Request<pb::CastShadowRequest>,
    ) -> Result<Response<pb::CastShadowResponse>, Status> {
        let cause = cause(&request, &request.get_ref().reason);
        let pb::CastShadowRequest { name, version, volume, config_json, .. } = request.into_inner();
        let (version, config) = (given(&version), given(&config_json));
        let info = self
            .context
            .system
            .plugin_shadow(&name, version.as_deref(), &volume, config, cause)
            .await
            .map_err(from_mechanisms)?;
        Ok(Response::new(pb::CastShadowResponse { shadow: Some(shadow(info)) }))
    }

    async fn show_shadow(
        &self,
        request: Request<pb::ShowShadowRequest>,
    ) -> Result<Response<pb::ShowShadowResponse>, Status> {
        let info =
            self.context.system.plugin_shadow_show(&request.get_ref().volume).map_err(from_mechanisms)?;
        Ok(Response::new(pb::ShowShadowResponse { shadow: info.map(shadow) }))
    }

    async fn end_shadow(
        &self,
        request: Request<pb::EndShadowRequest>,
    ) -> Result<Response<pb::EndShadowResponse>, Status> {
        let cause = cause(&request, &request.get_ref().reason);
        let pb::EndShadowRequest { volume, name, .. } = request.into_inner();
        let name = given(&name);
        let ended = self.context.system.plugin_shadow_stop(name.as_deref(), &volume, cause).await;
        let info = ended.map_err(from_mechanisms)?;
        Ok(Response::new(pb::EndShadowResponse { shadow: Some(shadow(info)) }))
    }

    async fn promote_shadow(
        &self,
        request: Request<pb::PromoteShadowRequest>,
    ) -> Result<Response<pb::PromoteShadowResponse>, Status> {
        let cause = cause(&request, &request.get_ref().reason);
        let pb::PromoteShadowRequest { name, volume, .. } = request.into_inner();
        let activation =
            self.context.system.plugin_promote(&name, &volume, cause).await.map_err(from_mechanisms)?;
        Ok(Response::new(pb::PromoteShadowResponse { activation: Some(messages::activation(activation)) }))
    }
}

fn shadow(info: ShadowInfo) -> pb::Shadow {
    let report = info.report;
    pb::Shadow {
        volume: info.volume,
        candidate: Some(messages::strategy(info.candidate)),
        against: Some(messages::strategy(info.against)),
        since_unix_ms: info.since_unix_ms,
        counting_since_unix_ms: info.counting_since_unix_ms,
        calls: report.calls,
        agreements: report.agreements,
        differences: report.differences,
        unmatched: report.unmatched,
        skipped: report.skipped,
        faults: report.faults.into_iter().collect(),
        last_fault: report.last_fault,
        examples: report.examples.into_iter().map(example).collect(),
        active_times: Some(times(report.active)),
        candidate_times: Some(times(report.candidate)),
    }
}

fn example(example: ShadowExample) -> pb::ShadowExample {
    let ShadowExample { unix_ms, shape, active, candidate } = example;
    pb::ShadowExample { unix_ms, shape, active, candidate }
}

fn times(times: CallTimes) -> pb::CallTimes {
    let CallTimes { p50_us, p99_us, longest_us } = times;
    pb::CallTimes { p50_us, p99_us, longest_us }
}
