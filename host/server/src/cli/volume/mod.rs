//! `mortise volume`: creates, lists, inspects, rebuilds, converts and deletes volumes.
//!
//! | file | what |
//! |---|---|
//! | `jobs` | rebuilding and converting, and the jobs that do it |
//! | `progress` | following a job to its end |
//! | `status` | what is shown of one volume |
//!
//! Commands return when the change is made; those that begin a job follow it to its end.

mod cancel;
mod jobs;
mod progress;
mod status;

use anyhow::bail;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use tonic::transport::Channel;

use super::client::{Target, refused};
use super::output::{self, time};
use super::stated::{Stated, Work};
use crate::pb::mortise::v1 as pb;
use crate::pb::mortise::v1::admin_client::AdminClient;
use crate::pb::mortise::v1::jobs_client::JobsClient;

/// Create, list, inspect, rebuild, convert and delete volumes.
#[derive(Debug, Args)]
#[command(arg_required_else_help = true)]
pub(super) struct Volume {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Create a volume. Its name may have lower-case letters, digits and hyphens.
    Create {
        /// Its name.
        name: String,
        /// Format of its data: the name of a plugin of the world `format`, or natural.
        #[arg(long, value_name = "FORMAT")]
        format: Option<String>,
        /// Version of the format; without it the newest.
        #[arg(long, value_name = "VERSION", requires = "format")]
        format_version: Option<String>,
        /// Settings for the format as a JSON object. They stay with the volume's data.
        #[arg(long, value_name = "JSON", requires = "format")]
        format_config: Option<String>,
        #[command(flatten)]
        stated: Stated,
        #[command(flatten)]
        target: Target,
    },
    /// List all volumes.
    List {
        #[command(flatten)]
        target: Target,
    },
    /// Show revision, sizes, strategy and the shape of the tree, level by level.
    Status {
        /// Its name; without one MORTISE_VOLUME, else default.
        name: Option<String>,
        /// Its name, as other commands take it.
        #[arg(long, value_name = "NAME", conflicts_with = "name")]
        volume: Option<String>,
        #[command(flatten)]
        target: Target,
    },
    Rebuild(jobs::Rebuild),
    Convert(jobs::Convert),
    Jobs(jobs::Jobs),
    Job(jobs::Job),
    /// Delete a volume with everything in it. Its name can be used again.
    Delete {
        /// Its name.
        name: String,
        #[command(flatten)]
        stated: Stated,
        #[command(flatten)]
        target: Target,
    },
}

pub(super) async fn admin(target: &Target) -> anyhow::Result<AdminClient<Channel>> {
    Ok(AdminClient::new(target.connect().await?).max_decoding_message_size(usize::MAX))
}

async fn jobs_client(target: &Target) -> anyhow::Result<JobsClient<Channel>> {
    Ok(JobsClient::new(target.connect().await?))
}

impl Volume {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        match self.action {
            Action::Create { name, format, format_version, format_config, stated, target } => {
                let format = format.map(|name| pb::WantedFormat {
                    name,
                    version: format_version.unwrap_or_default(),
                    config_json: format_config.unwrap_or_default(),
                });
                let message = pb::CreateVolumeRequest { name, format, reason: stated.reason() };
                let request = stated.request(&target, Work::Compiles, message)?;
                let answer = admin(&target).await?.create_volume(request).await.map_err(refused)?;
                let volume = answer.into_inner().volume.unwrap_or_default();
                target.output.emit(|| format!("volume {} created\n", volume.name), || volume_json(&volume))
            }
            Action::List { target } => {
                let request = target.request(None, pb::ListVolumesRequest {})?;
                let answer = admin(&target).await?.list_volumes(request).await.map_err(refused)?;
                let volumes = answer.into_inner().volumes;
                let json = || Value::Array(volumes.iter().map(volume_json).collect());
                target.output.emit(|| list(&volumes), json)
            }
            Action::Status { name, volume, target } => {
                let name = name.or(volume).unwrap_or_else(usual);
                let request = target.request(None, pb::VolumeStatusRequest { name })?;
                let answer =
                    admin(&target).await?.volume_status(request).await.map_err(refused)?.into_inner();
                target.output.emit(|| status::status(&answer), || status::status_json(&answer))
            }
            Action::Rebuild(rebuild) => rebuild.run().await,
            Action::Convert(convert) => convert.run().await,
            Action::Jobs(jobs) => jobs.run().await,
            Action::Job(job) => job.run().await,
            Action::Delete { name, stated, target } => {
                if name.is_empty() {
                    bail!("the name is empty; name the volume to delete");
                }
                let message = pb::DeleteVolumeRequest { name: name.clone(), reason: stated.reason() };
                let request = stated.request(&target, Work::Usual, message)?;
                admin(&target).await?.delete_volume(request).await.map_err(refused)?;
                target.output.emit(|| format!("volume {name} deleted\n"), || json!({ "name": name }))
            }
        }
    }
}

/// The volume that is meant when none is named. The variable is not bound to an argument, because clap would
/// take it for a second name beside the one that was given.
fn usual() -> String {
    std::env::var("MORTISE_VOLUME").ok().filter(|name| !name.is_empty()).unwrap_or_else(|| "default".into())
}

fn list(volumes: &[pb::Volume]) -> String {
    let rows = volumes.iter().map(|volume| {
        let state = match volume.problem.as_str() {
            "" => volume.state.clone(),
            problem => format!("{}: {problem}", volume.state),
        };
        vec![
            volume.name.clone(),
            volume.id.to_string(),
            state,
            volume.generation.to_string(),
            volume.format.clone(),
            time(volume.created_unix_ms),
        ]
    });
    let head = ["NAME", "ID", "STATE", "GENERATION", "FORMAT", "CREATED"];
    output::wrapped(&head, &[1, 3], &[2], rows.collect(), output::line_width())
}

pub(super) fn volume_json(volume: &pb::Volume) -> Value {
    json!({
        "name": volume.name,
        "id": volume.id,
        "state": volume.state,
        "problem": output::given(&volume.problem),
        "generation": output::some_number(volume.generation),
        "format": volume.format,
        "created_unix_ms": volume.created_unix_ms,
    })
}
