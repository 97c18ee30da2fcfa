//! The running set of mechanisms over one node.
#![allow(clippy::unimplemented, clippy::unused_async, missing_docs, unused_variables)]

mod config;
mod info;

pub use config::{ShippedPlugin, SystemConfig};
pub use info::{
    Activation, BindingInfo, FaultInfo, HistoryInfo, PluginDetail, PluginInfo, QuarantineInfo, StrategyInfo,
    VolumeInfo, VolumeReport,
};

use std::sync::Arc;

use mortise_kernel::node::{Node, Volume};
use mortise_plugin_runtime::{Limits, Runtime};

use crate::Result;

/// Name of the strategy that is part of the program. It needs no plugin and always works.
pub const NATIVE_STRATEGY: &str = "native";

/// The running set of mechanisms over one node.
#[derive(Debug)]
pub struct System;

impl System {
    pub async fn start(node: Arc<Node>, runtime: Arc<Runtime>, config: SystemConfig) -> Result<Arc<Self>> {
        unimplemented!()
    }
    pub fn resolve(&self, name: Option<&str>) -> Result<Arc<Volume>> {
        unimplemented!()
    }
    pub fn has_volume(&self, name: &str) -> bool {
        unimplemented!()
    }
    pub async fn create_volume(&self, name: &str) -> Result<VolumeInfo> {
        unimplemented!()
    }
    pub fn list_volumes(&self) -> Vec<VolumeInfo> {
        unimplemented!()
    }
    pub async fn delete_volume(&self, name: &str) -> Result<()> {
        unimplemented!()
    }
    pub fn volume_report(&self, name: &str) -> Result<VolumeReport> {
        unimplemented!()
    }
    pub async fn plugin_add(&self, bytes: Vec<u8>, name: Option<String>) -> Result<PluginInfo> {
        unimplemented!()
    }
    pub fn plugin_list(&self) -> Vec<PluginInfo> {
        unimplemented!()
    }
    pub fn plugin_show(&self, name: &str) -> Result<PluginDetail> {
        unimplemented!()
    }
    /// `name` may be [`NATIVE_STRATEGY`].
    pub async fn plugin_use(
        &self,
        name: &str,
        version: Option<&str>,
        volume: &str,
        config_json: Option<String>,
    ) -> Result<Activation> {
        unimplemented!()
    }
    pub async fn plugin_rollback(&self, volume: &str) -> Result<Activation> {
        unimplemented!()
    }
    /// Removes one version, or all of them.
    pub async fn plugin_remove(&self, name: &str, version: Option<&str>) -> Result<()> {
        unimplemented!()
    }
    pub async fn plugin_limits(&self, name: &str, limits: Limits) -> Result<Vec<PluginInfo>> {
        unimplemented!()
    }
    pub async fn shutdown(&self) {
        unimplemented!()
    }
}

/// Describes this crate's metrics to the recorder that is installed.
pub fn describe_metrics() {
    unimplemented!()
}
