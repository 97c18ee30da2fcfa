//! The mechanisms of Mortise: host code that observes, asks a plugin to decide, checks the answer, and acts.
//!
//! This crate knows the kernel and the plugin runtime; it must not know gRPC or command lines.

mod error;
mod system;

pub use error::{Error, Result};
pub use system::{
    Activation, BindingInfo, FaultInfo, HistoryInfo, NATIVE_STRATEGY, PluginDetail, PluginInfo, QuarantineInfo,
    ShippedPlugin, StrategyInfo, System, SystemConfig, VolumeInfo, VolumeReport, describe_metrics,
};
