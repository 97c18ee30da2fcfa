//! `mortise plugin`: adds, inspects, binds and removes plugins.
//!
//! The commands that talk to a daemon are here or in a file of their own where they are longer; those that
//! need none are `plugin_author`'s. Commands that change something say who gives them and why. They return
//! when the change is made, and print the daemon's answer as a table or as JSON; how that looks is for
//! `plugin_tables` and its neighbours. Nothing is judged here but flags that contradict themselves.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::client::{Target, refused};
use super::config::byte_size;
use super::plugin_author::Author;
use super::plugin_record::Record;
use super::plugin_shadow::{Promote, Shadow};
use super::plugin_upload::Upload;
use super::stated::{Stated, Work};
use super::volume::admin;
use super::{plugin_history as history, plugin_limits as limits, plugin_tables as tables, waiting};
use crate::pb::mortise::v1 as pb;

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
    /// Show who did what to a plugin when, why, and what came of it; also what the host did by itself.
    History {
        /// Its name; without it, of all plugins and of components that were refused.
        name: Option<String>,
        #[command(flatten)]
        target: Target,
    },
    /// Let a plugin decide for a volume. Returns when it does.
    Use(Use),
    Shadow(Shadow),
    Promote(Promote),
    /// Return a volume to its previous binding. Returns when that one decides.
    Rollback {
        #[command(flatten)]
        volume: VolumeFlag,
        #[command(flatten)]
        stated: Stated,
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
        stated: Stated,
        #[command(flatten)]
        target: Target,
    },
    Record(Record),
    /// Bar a format: no volume is created in it, converted to it or opened with it. Refused while the data
    /// of a volume is in it. Whoever is refused the format reads the reason.
    Quarantine(Bar),
    /// End the quarantine of a format.
    Release(Bar),
    /// Show what one call of a plugin may use and what calls did use, or set it. What is not named stays as
    /// it is.
    Limits(Limits),
    #[command(flatten)]
    Author(Author),
}

/// A version of a format that is to be barred, or no longer.
#[derive(Debug, Args)]
struct Bar {
    /// Name of the plugin.
    name: String,
    /// The version; without it the newest.
    #[arg(long)]
    version: Option<String>,
    #[command(flatten)]
    stated: Stated,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Args)]
pub(super) struct VolumeFlag {
    /// The volume.
    #[arg(long, env = "MORTISE_VOLUME", value_name = "NAME", default_value = "default")]
    pub(super) volume: String,
}

#[derive(Debug, Args)]
struct Add {
    #[command(flatten)]
    upload: Upload,
    #[command(flatten)]
    stated: Stated,
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
    stated: Stated,
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
    /// Instructions of one call, about; 0 sets no limit beside the deadline.
    #[arg(long, value_name = "UNITS")]
    fuel: Option<u64>,
    /// Size of one answer.
    #[arg(long, value_name = "SIZE", value_parser = byte_size)]
    answer_bytes: Option<bytesize::ByteSize>,
    #[command(flatten)]
    stated: Stated,
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
            Action::History { name, target } => {
                let of_one = name.is_some();
                let request =
                    target.request(None, pb::PluginHistoryRequest { name: name.unwrap_or_default() })?;
                let answer = admin(&target).await?.plugin_history(request).await.map_err(refused)?;
                let rows = answer.into_inner().rows;
                let json = || rows.iter().map(history::row_json).collect();
                target.output.emit(|| history::table(&rows, of_one), json)
            }
            Action::Use(used) => used.run().await,
            Action::Shadow(shadow) => shadow.run().await,
            Action::Promote(promote) => promote.run().await,
            Action::Rollback { volume, stated, target } => {
                let message = pb::RollbackPluginRequest { volume: volume.volume, reason: stated.reason() };
                let request = stated.request(&target, Work::Compiles, message)?;
                let answer = admin(&target).await?.rollback_plugin(request).await.map_err(refused)?;
                report(&target, &answer.into_inner().activation.unwrap_or_default())
            }
            Action::Remove { name, version, stated, target } => {
                let what = format!("{name} {}", version.as_deref().unwrap_or("(all versions)"));
                let message = pb::RemovePluginRequest {
                    name: name.clone(),
                    version: version.clone().unwrap_or_default(),
                    reason: stated.reason(),
                };
                let request = stated.request(&target, Work::Usual, message)?;
                admin(&target).await?.remove_plugin(request).await.map_err(refused)?;
                target.output.emit(
                    || format!("plugin {what} removed\n"),
                    || json!({ "name": name, "version": version }),
                )
            }
            Action::Record(record) => record.run().await,
            Action::Quarantine(bar) => bar.quarantine().await,
            Action::Release(bar) => bar.release().await,
            Action::Limits(limits) => limits.run().await,
            Action::Author(author) => author.run().await,
        }
    }
}

impl Add {
    async fn run(self) -> anyhow::Result<()> {
        let messages = self.upload.messages(&self.stated.reason())?;
        let request = self.stated.request(&self.target, Work::Compiles, tokio_stream::iter(messages))?;
        let mut client = admin(&self.target).await?;
        let name = self.upload.file.file_name().unwrap_or_default().to_string_lossy();
        let what = format!("the daemon verifies and compiles {name}");
        let answer = waiting::shown(what, self.target.output, client.add_plugin(request)).await;
        let answer = answer.map_err(refused)?;
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
            reason: self.stated.reason(),
        };
        let request = self.stated.request(&self.target, Work::Compiles, message)?;
        let answer = admin(&self.target).await?.use_plugin(request).await.map_err(refused)?;
        report(&self.target, &answer.into_inner().activation.unwrap_or_default())
    }
}

pub(super) fn report(target: &Target, activation: &pb::Activation) -> anyhow::Result<()> {
    target.output.emit(|| tables::activation(activation), || tables::activation_json(activation))
}

impl Bar {
    async fn quarantine(self) -> anyhow::Result<()> {
        let message = pb::QuarantinePluginRequest {
            name: self.name,
            version: self.version.unwrap_or_default(),
            reason: self.stated.reason(),
        };
        let request = self.stated.request(&self.target, Work::Usual, message)?;
        let answer = admin(&self.target).await?.quarantine_plugin(request).await.map_err(refused)?;
        became(&self.target, answer.into_inner().plugin, "is in quarantine: no volume gets it")
    }

    async fn release(self) -> anyhow::Result<()> {
        let message = pb::ReleasePluginRequest {
            name: self.name,
            version: self.version.unwrap_or_default(),
            reason: self.stated.reason(),
        };
        let request = self.stated.request(&self.target, Work::Usual, message)?;
        let answer = admin(&self.target).await?.release_plugin(request).await.map_err(refused)?;
        became(&self.target, answer.into_inner().plugin, "is in quarantine no longer")
    }
}

/// Says what became of a format.
fn became(target: &Target, plugin: Option<pb::Plugin>, what: &str) -> anyhow::Result<()> {
    let plugin = plugin.unwrap_or_default();
    let text = || format!("plugin {} {} {what}\n", plugin.name, plugin.version);
    target.output.emit(text, || tables::plugin_json(&plugin))
}

impl Limits {
    async fn run(self) -> anyhow::Result<()> {
        let deadline = self.deadline.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        let (memory, answer) =
            (self.memory.map(|size| size.as_u64()), self.answer_bytes.map(|size| size.as_u64()));
        for (flag, value) in [("memory", memory), ("deadline", deadline), ("answer-bytes", answer)] {
            if value == Some(0) {
                anyhow::bail!("--{flag} is 0, which is no limit that a plugin could work with");
            }
        }
        let limits = pb::Limits {
            memory_bytes: memory.unwrap_or_default(),
            deadline_ms: deadline.unwrap_or_default(),
            answer_bytes: answer.unwrap_or_default(),
            fuel: self.fuel,
        };
        let plugins = if limits == pb::Limits::default() {
            let request = self.target.request(None, pb::ShowPluginRequest { name: self.name })?;
            admin(&self.target).await?.show_plugin(request).await.map_err(refused)?.into_inner().versions
        } else {
            let (name, reason) = (self.name, self.stated.reason());
            let message = pb::SetPluginLimitsRequest { name, limits: Some(limits), reason };
            let request = self.stated.request(&self.target, Work::Usual, message)?;
            admin(&self.target).await?.set_plugin_limits(request).await.map_err(refused)?.into_inner().plugins
        };
        let json = || -> Value { plugins.iter().map(tables::plugin_json).collect() };
        self.target.output.emit(|| limits::table(&plugins), json)
    }
}
