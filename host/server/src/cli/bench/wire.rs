//! The cheapest client that speaks gRPC: prepared frames over HTTP/2, no queue, no task for each call.
//!
//! It shares the machine with what it measures, so that whatever it saves, the measured gets. It reads an
//! answer to its end and looks at the status only: whether the message is right is for tests. Windows are
//! large enough that flow control does not limit a run.

use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use h2::client::SendRequest;
use http::{HeaderMap, Method, Request, Uri, Version};
use tokio::net::TcpStream;

use super::super::client::header_value;
use crate::api::VOLUME_HEADER;

const WINDOW: u32 = 16 * 1024 * 1024;

/// One connection; clones share it.
#[derive(Clone)]
pub(super) struct Connection {
    requests: SendRequest<Bytes>,
    authority: String,
    volume: Option<http::HeaderValue>,
}

/// Opens `count` connections, spread over `endpoints`.
///
/// # Errors
/// When an endpoint is no `http://` URL or nobody answers there.
pub(super) async fn connect_all(
    endpoints: &[String],
    count: usize,
    volume: Option<&str>,
) -> anyhow::Result<Vec<Connection>> {
    let mut connections = Vec::with_capacity(count);
    for endpoint in endpoints.iter().cycle().take(count) {
        connections.push(Connection::open(endpoint, volume).await?);
    }
    Ok(connections)
}

impl Connection {
    async fn open(endpoint: &str, volume: Option<&str>) -> anyhow::Result<Self> {
        let authority = endpoint.strip_prefix("http://").unwrap_or(endpoint).trim_end_matches('/').to_owned();
        if authority.contains("://") {
            anyhow::bail!("cannot use endpoint {endpoint}: only http:// is supported");
        }
        let connect = tokio::time::timeout(Duration::from_secs(5), TcpStream::connect(&authority));
        let stream = connect
            .await
            .context("no answer within 5 s")
            .and_then(|stream| Ok(stream?))
            .with_context(|| {
                format!("cannot reach {endpoint}; is the daemon running there? Start it with `mortise serve`")
            })?;
        stream.set_nodelay(true)?;
        let (requests, driver) = h2::client::Builder::new()
            .initial_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .handshake(stream)
            .await
            .with_context(|| format!("{endpoint} does not speak HTTP/2"))?;
        // Ends with the connection; an error there shows in the calls that wait on it.
        tokio::spawn(driver);
        let volume = volume.map(header_value).transpose()?.map(|value| value.as_encoded_bytes().to_vec());
        let volume = volume.map(|bytes| http::HeaderValue::from_bytes(&bytes)).transpose()?;
        Ok(Self { requests, authority, volume })
    }

    /// The head of every call of `path` on this connection.
    ///
    /// # Errors
    /// When the endpoint cannot be part of a URL.
    pub(super) fn head(&self, path: &'static str) -> anyhow::Result<Request<()>> {
        let uri =
            Uri::builder().scheme("http").authority(self.authority.as_str()).path_and_query(path).build()?;
        let mut head = Request::builder()
            .method(Method::POST)
            .version(Version::HTTP_2)
            .uri(uri)
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(())?;
        if let Some(volume) = &self.volume {
            head.headers_mut().insert(VOLUME_HEADER, volume.clone());
        }
        Ok(head)
    }

    /// Makes one call and reads its answer to the end.
    ///
    /// # Errors
    /// When the connection fails or the answer is an error.
    pub(super) async fn call(&self, head: &Request<()>, frame: Bytes) -> anyhow::Result<()> {
        let mut requests = self.requests.clone().ready().await?;
        let (answer, mut body) = requests.send_request(head.clone(), false)?;
        body.send_data(frame, true)?;
        let answer = answer.await?;
        if answer.headers().contains_key("grpc-status") {
            return verdict(answer.headers());
        }
        let mut body = answer.into_body();
        while let Some(data) = body.data().await {
            let length = data?.len();
            body.flow_control().release_capacity(length)?;
        }
        match body.trailers().await? {
            Some(trailers) => verdict(&trailers),
            None => anyhow::bail!("the answer ended without a gRPC status"),
        }
    }
}

fn verdict(headers: &HeaderMap) -> anyhow::Result<()> {
    if headers.get("grpc-status").is_some_and(|status| status.as_bytes() == b"0") {
        return Ok(());
    }
    match tonic::Status::from_header_map(headers) {
        Some(status) => anyhow::bail!("{:?}: {}", status.code(), status.message()),
        None => anyhow::bail!("the answer ended without a gRPC status"),
    }
}
