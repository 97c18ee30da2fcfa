//! What bad input gets: a clear error, nothing lost, and a node that keeps serving.
//!
//! Directories, ports, names, requests and files that are wrong. Plugins that misbehave are in
//! `misbehaving_plugins.rs` and `quarantine.rs`, a damaged log in `damaged_log.rs`, a full disk in
//! `full_disk.rs`.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use mortise::pb::etcdserverpb as pb;
use mortise_tests::{Client, Mortise, Process, refuse};
use tempfile::TempDir;
use tonic::Code;

const END: Duration = Duration::from_secs(30);

/// Starts a node that must end by itself, not with success; returns what it wrote.
fn fails_to_start(data_dir: &Path, arguments: &[&str]) -> Result<String> {
    let mut process = Process::spawn("mortise serve", &mut Mortise::command(data_dir, arguments)?)?;
    let (status, log) = process.wait_end(END)?;
    ensure!(!status.success(), "a node that cannot serve ended with success:\n{log}");
    ensure!(!log.contains("panicked"), "a node panicked:\n{log}");
    Ok(log)
}

async fn still_serves(mortise: &Mortise) -> Result<()> {
    let mut client = Client::connect(&mortise.endpoint()).await?;
    client.put("still", "serving").await.ok().context("a put is accepted")?;
    ensure!(client.get("still").await.ok().flatten().is_some(), "the key is read back");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_directory_in_use_is_refused() -> Result<()> {
    let directory = TempDir::new()?;
    let mortise = Mortise::start(directory.path())?;
    let log = fails_to_start(directory.path(), &[])?;
    ensure!(log.contains("in use") && log.contains(&*directory.path().to_string_lossy()), "{log}");
    still_serves(&mortise).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_in_use_is_named() -> Result<()> {
    let (first, second) = (TempDir::new()?, TempDir::new()?);
    let mortise = Mortise::start(first.path())?;
    for (flag, address) in [("--listen", &mortise.grpc), ("--listen-http", &mortise.http)] {
        let log = fails_to_start(second.path(), &[flag, address])?;
        ensure!(log.contains(address.as_str()) && log.contains("in use"), "{flag}: {log}");
    }
    still_serves(&mortise).await
}

/// A stopped node's directory with a key in it.
async fn stopped_node() -> Result<TempDir> {
    let directory = TempDir::new()?;
    let mortise = Mortise::start(directory.path())?;
    let mut client = Client::connect(&mortise.endpoint()).await?;
    client.put("kept", "value").await.ok().context("a put is accepted")?;
    mortise.stop()?;
    Ok(directory)
}

/// The key is there again after the damage was mended.
async fn serves_again(directory: &TempDir) -> Result<()> {
    let mortise = Mortise::start(directory.path())?;
    let mut client = Client::connect(&mortise.endpoint()).await?;
    let kept = client.get("kept").await.ok().flatten();
    ensure!(kept.is_some_and(|kv| kv.value == "value"), "the data is back");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_node_file_is_refused_and_kept() -> Result<()> {
    let directory = stopped_node().await?;
    let path = directory.path().join("NODE");
    let intact = fs::read(&path)?;
    for damage in [&b""[..], b"garbage", b"{}", &[0; 64]] {
        fs::write(&path, damage)?;
        let log = fails_to_start(directory.path(), &[])?;
        ensure!(log.contains("NODE is damaged"), "{damage:?}: the message does not name the file: {log}");
        ensure!(fs::read(&path)? == damage, "{damage:?} was changed; it is evidence");
    }
    fs::write(&path, intact)?;
    serves_again(&directory).await
}

/// One damaged volume takes no other with it: it is refused by name, the rest is served.
#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_volume_is_refused_kept_and_alone() -> Result<()> {
    let directory = stopped_node().await?;
    // Ids are handed out in order: 1 is the system volume, 2 the default one.
    let path = directory.path().join("volumes/2/CURRENT");
    let intact = fs::read(&path)?;
    for damage in [&b""[..], b"garbage", b"gen-999999\n", b"../1/gen-000001\n"] {
        fs::write(&path, damage)?;
        let mortise = Mortise::start(directory.path())?;
        let mut damaged = Client::connect(&mortise.endpoint()).await?;
        let refusal = damaged.get("kept").await.err().with_context(|| format!("{damage:?} is served"))?;
        ensure!(refusal.message.contains("default"), "{damage:?}: {refusal:?}");
        ensure!(damaged.put("kept", "lost").await.is_err(), "{damage:?} is written to");
        let list = mortise.cli_json(&["volume", "list"])?.to_string();
        ensure!(list.contains("CURRENT"), "{damage:?}: the list does not name the damaged file: {list}");
        let mut system = Client::connect_volume(&mortise.endpoint(), "system").await?;
        ensure!(system.content(0).await.is_ok_and(|kvs| !kvs.is_empty()), "another volume is served");
        mortise.stop()?;
        ensure!(fs::read(&path)? == damage, "{damage:?} was changed; it is evidence");
    }
    fs::write(&path, intact)?;
    serves_again(&directory).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_format_version_is_refused_and_kept() -> Result<()> {
    let directory = TempDir::new()?;
    Mortise::start(directory.path())?.stop()?;
    let path = directory.path().join("NODE");
    let text = fs::read_to_string(&path)?;
    let newer = text.replace("\"format\":1", "\"format\":9");
    ensure!(newer != text, "the file names no format: {text}");
    fs::write(&path, &newer)?;
    let log = fails_to_start(directory.path(), &[])?;
    ensure!(log.contains("format") && log.contains('9') && log.contains("NODE"), "{log}");
    ensure!(fs::read_to_string(&path)? == newer, "the file was changed");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_names_are_not_found() -> Result<()> {
    let directory = TempDir::new()?;
    let mortise = Mortise::start(directory.path())?;
    let mut client = Client::connect_volume(&mortise.endpoint(), "nowhere").await?;
    for refusal in [
        client.get("a").await.expect_err("the volume is unknown"),
        client.put("a", "b").await.expect_err("the volume is unknown"),
        client.hash(0).await.expect_err("the volume is unknown"),
    ] {
        ensure!(refusal.code == Code::NotFound && refusal.message.contains("nowhere"), "{refusal:?}");
    }
    for arguments in [
        &["plugin", "use", "no-such-plugin", "--volume", "default"][..],
        &["plugin", "show", "no-such-plugin"],
        &["kv", "get", "a", "--volume", "no-such-volume"],
        &["volume", "delete", "no-such-volume"],
        &["plugin", "use", "compaction-tiered", "--volume", "no-such-volume"],
    ] {
        let finished = mortise.cli(arguments)?;
        ensure!(!finished.success() && finished.stderr.contains("no-such-"), "{arguments:?}: {finished:?}");
    }
    still_serves(&mortise).await
}

#[tokio::test(flavor = "multi_thread")]
async fn oversized_requests_are_refused() -> Result<()> {
    let directory = TempDir::new()?;
    let mortise = Mortise::start(directory.path())?;
    let mut client = Client::connect(&mortise.endpoint()).await?;
    let refusal = client.put("big", vec![0; 1_600_000]).await.expect_err("1.6 MB is too large");
    ensure!(refusal == refuse::too_large(), "{refusal:?}");
    // Far past the limit the frame itself is refused, before it is read.
    let refusal = client.put("huge", vec![0; 16_000_000]).await.expect_err("16 MB is too large");
    ensure!([Code::ResourceExhausted, Code::OutOfRange].contains(&refusal.code), "{refusal:?}");
    client.put("fits", vec![0; 1_500_000]).await.ok().context("1.5 MB fits")?;
    still_serves(&mortise).await
}

#[tokio::test(flavor = "multi_thread")]
async fn enum_values_that_do_not_exist_harm_nobody() -> Result<()> {
    let directory = TempDir::new()?;
    let mortise = Mortise::start(directory.path())?;
    let mut client = Client::connect(&mortise.endpoint()).await?;
    client.put("a", "b").await.ok().context("a put is accepted")?;
    let range = pb::RangeRequest { key: "a".into(), sort_order: 77, sort_target: -5, ..Default::default() };
    if let Err(status) = client.kv.range(range).await {
        ensure!(status.code() == Code::InvalidArgument, "{status:?}");
    }
    let compare = pb::Compare { result: 99, target: 99, key: "a".into(), ..Default::default() };
    let txn = pb::TxnRequest { compare: vec![compare], ..Default::default() };
    if let Err(status) = client.kv.txn(txn).await {
        ensure!(status.code() == Code::InvalidArgument, "{status:?}");
    }
    let limit = pb::RangeRequest { key: "a".into(), limit: -3, revision: i64::MIN, ..Default::default() };
    if let Err(status) = client.kv.range(limit).await {
        ensure!([Code::InvalidArgument, Code::OutOfRange].contains(&status.code()), "{status:?}");
    }
    still_serves(&mortise).await
}

/// A codec that sends bytes as they are, to send what no generated client would.
#[derive(Clone, Default)]
struct Raw;

impl tonic::codec::Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;
    fn encoder(&mut self) -> Self {
        Self
    }
    fn decoder(&mut self) -> Self {
        Self
    }
}

impl tonic::codec::Encoder for Raw {
    type Item = Bytes;
    type Error = tonic::Status;
    fn encode(&mut self, item: Bytes, buffer: &mut tonic::codec::EncodeBuf<'_>) -> Result<(), tonic::Status> {
        bytes::BufMut::put(buffer, item);
        Ok(())
    }
}

impl tonic::codec::Decoder for Raw {
    type Item = Bytes;
    type Error = tonic::Status;
    fn decode(&mut self, buffer: &mut tonic::codec::DecodeBuf<'_>) -> Result<Option<Bytes>, tonic::Status> {
        use bytes::Buf as _;
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_messages_are_refused() -> Result<()> {
    let directory = TempDir::new()?;
    let mortise = Mortise::start(directory.path())?;
    let channel = tonic::transport::Endpoint::from_shared(mortise.endpoint())?.connect().await?;
    let mut raw = tonic::client::Grpc::new(channel);
    for path in ["/etcdserverpb.KV/Put", "/etcdserverpb.KV/Txn", "/mortise.v1.Admin/CreateVolume"] {
        raw.ready().await?;
        let message = tonic::Request::new(Bytes::from_static(b"\xff\xff\xff\xff not a message"));
        let answer = raw.unary(message, http::uri::PathAndQuery::from_static(path), Raw).await;
        let status = answer.err().with_context(|| format!("{path} accepted garbage"))?;
        ensure!([Code::Internal, Code::InvalidArgument].contains(&status.code()), "{path}: {status:?}");
    }
    raw.ready().await?;
    let path = http::uri::PathAndQuery::from_static("/etcdserverpb.KV/NoSuchCall");
    let status =
        raw.unary(tonic::Request::new(Bytes::new()), path, Raw).await.err().context("no such call")?;
    ensure!(status.code() == Code::Unimplemented, "{status:?}");
    still_serves(&mortise).await
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_no_protocol_harm_nobody() -> Result<()> {
    let directory = TempDir::new()?;
    let mortise = Mortise::start(directory.path())?;
    for address in [&mortise.grpc, &mortise.http] {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(END))?;
        stream.write_all(&[0xff; 4096])?;
        // The node answers or closes; either way it does not keep the connection open for ever.
        let _ = stream.read_to_end(&mut Vec::new());
    }
    still_serves(&mortise).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_component_is_no_plugin() -> Result<()> {
    let directory = TempDir::new()?;
    let mortise = Mortise::start(directory.path())?;
    let files = TempDir::new()?;
    let digests = || -> Result<Vec<_>> {
        let list = mortise.cli_json(&["plugin", "list"])?;
        let list = list.as_array().context("a list")?;
        list.iter().map(|plugin| plugin["digest"].as_str().map(str::to_owned).context("a digest")).collect()
    };
    let before = digests()?;
    ensure!(!before.is_empty(), "the shipped plugins are there");
    for (name, content) in [
        ("empty.wasm", &b""[..]),
        ("text.wasm", b"this is no WebAssembly"),
        ("module.wasm", b"\0asm\x01\0\0\0"),
        ("cut.wasm", b"\0asm\x0d\0\x01\0\x01\xff"),
    ] {
        let path = files.path().join(name);
        fs::write(&path, content)?;
        let finished = mortise.cli(&["plugin", "add", &path.to_string_lossy()])?;
        ensure!(!finished.success() && finished.stderr.contains("component"), "{name}: {finished:?}");
    }
    let missing = files.path().join("missing.wasm");
    let finished = mortise.cli(&["plugin", "add", &missing.to_string_lossy()])?;
    ensure!(!finished.success() && finished.stderr.contains("missing.wasm"), "{finished:?}");
    ensure!(digests()? == before, "the list of plugins changed");
    still_serves(&mortise).await
}
