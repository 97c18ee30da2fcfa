//! Connecting to a daemon, and explaining why it did not work.
//!
//! Every command that talks to a daemon takes [`Target`], so that flags, environment variables and defaults
//! are the same everywhere. A request carries its deadline to the server; commands that may have a component
//! compiled wait longer. A connection is made before the first call, so that an unreachable daemon is told
//! apart from one that refuses.
//!
//! Errors are for people: what could not be reached or what the daemon said, and what to try next.

use std::time::Duration;

use clap::Args;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use super::output::Format;
use crate::api::VOLUME_HEADER;
use crate::wiring;

/// Longest wait for an answer, unless another is named.
const USUAL_WAIT: Duration = Duration::from_secs(30);

/// Where a daemon listens that wasn't told otherwise.
const DEFAULT_ENDPOINT: &str = "http://127.0.0.1:2379";

/// What names another one.
const ENDPOINT_VARIABLE: &str = "MORTISE_ENDPOINT";

/// Where the daemon is and how to answer; every client command takes these.
#[derive(Clone, Debug, Args)]
pub(super) struct Target {
    /// URL of the daemon.
    #[arg(long, env = ENDPOINT_VARIABLE, value_name = "URL", default_value = DEFAULT_ENDPOINT)]
    pub(super) endpoint: String,
    /// Longest wait for an answer; without it 30s, and 150s where a component may have to be compiled.
    #[arg(long, env = "MORTISE_TIMEOUT", value_name = "TIME")]
    timeout: Option<humantime::Duration>,
    /// A table for people or JSON for programs.
    #[arg(long, short = 'o', value_enum, value_name = "FORMAT", default_value = "table")]
    pub(super) output: Format,
}

impl Target {
    /// For a command that needs no daemon unless it is told to ask one: the daemon at `endpoint`, else the
    /// one that the other commands ask.
    pub(super) fn named(
        endpoint: Option<String>,
        timeout: Option<humantime::Duration>,
        output: Format,
    ) -> Self {
        let usual = || std::env::var(ENDPOINT_VARIABLE).ok().filter(|url| !url.is_empty());
        let endpoint = endpoint.or_else(usual).unwrap_or_else(|| DEFAULT_ENDPOINT.to_owned());
        Self { endpoint, timeout, output }
    }

    /// A connection to the daemon.
    ///
    /// # Errors
    /// When the URL cannot be understood or nobody answers there.
    pub(super) async fn connect(&self) -> anyhow::Result<Channel> {
        connect(&self.endpoint).await
    }

    /// How long to wait where a component may have to be compiled: as long as the node lets one take, and the
    /// usual time besides.
    pub(super) fn patience(&self) -> Duration {
        self.timeout.map_or_else(|| wiring::longest_compilation() + USUAL_WAIT, Into::into)
    }

    /// A request with the deadline and, when one is named, the volume.
    ///
    /// # Errors
    /// When the volume's name cannot be sent.
    pub(super) fn request<T>(&self, volume: Option<&str>, message: T) -> anyhow::Result<Request<T>> {
        let mut request = Request::new(message);
        request.set_timeout(self.timeout.map_or(USUAL_WAIT, Into::into));
        if let Some(name) = volume {
            request.metadata_mut().insert(VOLUME_HEADER, header_value(name)?);
        }
        Ok(request)
    }
}

/// The volume that a key-value command means.
#[derive(Clone, Debug, Args)]
pub(super) struct ChosenVolume {
    /// Volume to use; without it the daemon decides, which means the one called default.
    #[arg(long, env = "MORTISE_VOLUME", value_name = "NAME")]
    pub(super) volume: Option<String>,
}

/// `name` as the value of a header.
pub(super) fn header_value(name: &str) -> anyhow::Result<MetadataValue<Ascii>> {
    name.parse().map_err(|_| anyhow::anyhow!("{name:?} cannot name a volume; use printable ASCII"))
}

/// A connection to `endpoint`; a missing scheme means `http`.
pub(super) async fn connect(endpoint: &str) -> anyhow::Result<Channel> {
    let url = if endpoint.contains("://") { endpoint.to_owned() } else { format!("http://{endpoint}") };
    if !url.starts_with("http://") {
        anyhow::bail!("cannot use endpoint {endpoint}: only http:// is supported");
    }
    let endpoint = Endpoint::from_shared(url.clone()).map_err(|error| {
        anyhow::anyhow!("{endpoint:?} is not a URL ({error}); an example is http://127.0.0.1:2379")
    })?;
    endpoint.tcp_nodelay(true).connect_timeout(Duration::from_secs(5)).connect().await.map_err(|error| {
        anyhow::anyhow!(
            "cannot reach {url}: {}; is the daemon running there? Start it with `mortise serve`, \
             or name another with --endpoint",
            root_cause(&error)
        )
    })
}

fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

/// The daemon's refusal as an error for people: its message, and its code where the message is empty.
pub(super) fn refused(status: Status) -> anyhow::Error {
    if is_foreign(&status) {
        anyhow::anyhow!(
            "what answered does not speak gRPC; name the address that the daemon has for gRPC (`--listen`, \
             port 2379 by default), not the one for HTTP (`--listen-http`), with --endpoint ({})",
            status.message()
        )
    } else if status.message().is_empty() {
        anyhow::anyhow!("the daemon answered {:?} without a message", status.code())
    } else {
        anyhow::anyhow!("{}", status.message())
    }
}

/// Whether the answer came from a server of another kind, such as the daemon's own for HTTP. tonic takes the
/// first bytes of its page for the head of a message, or the HTTP/2 library does not understand a frame.
fn is_foreign(status: &Status) -> bool {
    ["invalid compression flag", "h2 protocol error", "invalid content-type"]
        .iter()
        .any(|words| status.message().contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_is_no_grpc_brings_a_hint() {
        let page = "protocol error: received message with invalid compression flag: 116";
        let text = refused(Status::internal(page)).to_string();
        assert!(text.contains("--listen") && text.contains(page), "{text}");
        let text = refused(Status::not_found("volume \"a\" does not exist")).to_string();
        assert_eq!(text, "volume \"a\" does not exist");
    }
}
