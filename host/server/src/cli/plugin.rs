//! `mortise plugin`: adds, inspects, binds and removes plugins.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::client::{Target, refused};
use super::config::byte_size;
use super::plugin_tables as tables;
use super::volume::admin;
use crate::pb::mortise::v1 as pb;

/// Bytes of a component sent in one message.
const CHUNK: usize = 256 * 1024;

/// Add, inspect, bind and remove plugins.
#[derive(Debug, Args)]
#[command(arg_required_else_help = true)]
pub(super) struct Plugin {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List all plugins, versions and the volumes they serve.
    List {
        #[command(flatten)]
        target: Target,
    },
    /// Verify, compile and store a component.
    Add(Add),
    /// Show versions, limits, bindings, faults and history of a plugin.
    Show {
        /// Its name.
        name: String,
        #[command(flatten)]
        target: Target,
    },
    /// Let a plugin decide for a volume. Returns when it does.
    Use(Use),
    /// Return a volume to its previous binding. Returns when that one decides.
    Rollback {
        #[command(flatten)]
        volume: VolumeFlag,
        #[command(flatten)]
        target: Target,
    },
    /// Remove one version of a plugin, or all of them.
    Remove {
        /// Its name.
        name: String,
        /// The version; without it all are removed.
        #[arg(long)]
        version: Option<String>,
        #[command(flatten)]
        target: Target,
    },
    /// Set what one call of a plugin may use. What is not named stays as it is.
    Limits(Limits),
}

#[derive(Debug, Args)]
struct VolumeFlag {
    /// The volume.
    #[arg(long, env = "MORTISE_VOLUME", value_name = "NAME", default_value = "default")]
    volume: String,
}

#[derive(Debug, Args)]
struct Add {
    /// The component, a .wasm file.
    file: PathBuf,
    /// Store it under this name instead of the one that it gives itself.
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Args)]
struct Use {
    /// Name of the plugin; `native` means the strategy that is part of the daemon.
    name: String,
    /// The version; without it the newest.
    #[arg(long)]
    version: Option<String>,
    /// Settings for the plugin, a JSON object.
    #[arg(long, value_name = "JSON")]
    config: Option<String>,
    #[command(flatten)]
    volume: VolumeFlag,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Args)]
struct Limits {
    /// Name of the plugin.
    name: String,
    /// Memory of one call.
    #[arg(long, value_name = "SIZE", value_parser = byte_size)]
    memory: Option<bytesize::ByteSize>,
    /// Time of one call.
    #[arg(long, value_name = "TIME")]
    deadline: Option<humantime::Duration>,
    /// Size of one answer.
    #[arg(long, value_name = "SIZE", value_parser = byte_size)]
    answer: Option<bytesize::ByteSize>,
    #[command(flatten)]
    target: Target,
}

impl Plugin {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        match self.action {
            Action::List { target } => {
                let request = target.request(None, pb::ListPluginsRequest {})?;
                let answer = admin(&target).await?.list_plugins(request).await.map_err(refused)?;
                let plugins = answer.into_inner().plugins;
                target
                    .output
                    .emit(|| tables::list(&plugins), || plugins.iter().map(tables::plugin_json).collect())
            }
            Action::Add(add) => add.run().await,
            Action::Show { name, target } => {
                let request = target.request(None, pb::ShowPluginRequest { name })?;
                let answer = admin(&target).await?.show_plugin(request).await.map_err(refused)?.into_inner();
                target.output.emit(|| tables::detail(&answer), || tables::detail_json(&answer))
            }
            Action::Use(used) => used.run().await,
            Action::Rollback { volume, target } => {
                let message = pb::RollbackPluginRequest { volume: volume.volume };
                let request = target.request(None, message)?;
                let answer = admin(&target).await?.rollback_plugin(request).await.map_err(refused)?;
                report(&target, &answer.into_inner().activation.unwrap_or_default())
            }
            Action::Remove { name, version, target } => {
                let what = format!("{name} {}", version.as_deref().unwrap_or("(all versions)"));
                let message = pb::RemovePluginRequest { name, version: version.unwrap_or_default() };
                let request = target.request(None, message)?;
                admin(&target).await?.remove_plugin(request).await.map_err(refused)?;
                target.output.emit(|| format!("plugin {what} removed\n"), || json!({ "removed": what }))
            }
            Action::Limits(limits) => limits.run().await,
        }
    }
}

impl Add {
    async fn run(self) -> anyhow::Result<()> {
        let bytes = std::fs::read(&self.file)
            .with_context(|| format!("cannot read the component {}", self.file.display()))?;
        let name = self.name.clone().unwrap_or_default();
        let mut parts: Vec<_> = bytes
            .chunks(CHUNK)
            .map(|chunk| pb::AddPluginRequest { name: name.clone(), chunk: chunk.to_vec().into() })
            .collect();
        if parts.is_empty() {
            // An empty file gets the daemon's explanation of what it expected.
            parts.push(pb::AddPluginRequest { name, ..Default::default() });
        }
        let request = self.target.request(None, tokio_stream::iter(parts))?;
        let answer = admin(&self.target).await?.add_plugin(request).await.map_err(refused)?;
        let plugin = answer.into_inner().plugin.unwrap_or_default();
        let added = || {
            format!(
                "plugin {0} {1} added ({2})\n\
                 let it decide for a volume: mortise plugin use {0} --volume default\n",
                plugin.name, plugin.version, plugin.world
            )
        };
        self.target.output.emit(added, || tables::plugin_json(&plugin))
    }
}

impl Use {
    async fn run(self) -> anyhow::Result<()> {
        let message = pb::UsePluginRequest {
            name: self.name,
            version: self.version.unwrap_or_default(),
            volume: self.volume.volume,
            config_json: self.config.unwrap_or_default(),
        };
        let request = self.target.request(None, message)?;
        let answer = admin(&self.target).await?.use_plugin(request).await.map_err(refused)?;
        report(&self.target, &answer.into_inner().activation.unwrap_or_default())
    }
}

fn report(target: &Target, activation: &pb::Activation) -> anyhow::Result<()> {
    target.output.emit(|| tables::activation(activation), || tables::activation_json(activation))
}

impl Limits {
    async fn run(self) -> anyhow::Result<()> {
        let limits = pb::Limits {
            memory_bytes: self.memory.map_or(0, |size| size.as_u64()),
            deadline_ms: self.deadline.map_or(0, |time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX)),
            answer_bytes: self.answer.map_or(0, |size| size.as_u64()),
        };
        if limits == pb::Limits::default() {
            anyhow::bail!("no limit was named; use --memory, --deadline or --answer (0 is not a limit)");
        }
        let message = pb::SetPluginLimitsRequest { name: self.name, limits: Some(limits) };
        let request = self.target.request(None, message)?;
        let answer =
            admin(&self.target).await?.set_plugin_limits(request).await.map_err(refused)?.into_inner();
        let json = || -> Value { answer.plugins.iter().map(tables::plugin_json).collect() };
        self.target.output.emit(|| tables::limits(&answer.plugins), json)
    }
}
