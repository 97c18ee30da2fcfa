//! Settings come from the flag, else the environment, else the file, else the default; HTTP tells the state.
//!
//! The setting that is watched is the log's format and the address, because both show in the first line that
//! the node writes.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use mortise_tests::{Client, Mortise, Process, mortise_binary};
use tempfile::TempDir;

const END: Duration = Duration::from_secs(30);

/// `mortise serve` with free ports, a file and nothing else.
fn serve(directory: &TempDir, file: &str) -> Result<Command> {
    let path = directory.path().join("mortise.toml");
    fs::write(&path, file)?;
    let mut command = Command::new(mortise_binary()?);
    command.arg("serve").arg("--config").arg(path).arg("--data-dir").arg(directory.path().join("data"));
    command.args(["--listen-http", "127.0.0.1:0"]);
    Ok(command)
}

#[test]
fn the_file_goes_before_the_default() -> Result<()> {
    let directory = TempDir::new()?;
    let command = serve(&directory, "listen = \"127.0.0.1:0\"\nlog-format = \"json\"\n")?;
    let mortise = Mortise::from_command(command)?;
    ensure!(!mortise.grpc.ends_with(":2379"), "the file's port was not taken: {}", mortise.grpc);
    mortise.stop()
}

#[test]
fn the_environment_goes_before_the_file_and_the_flag_before_both() -> Result<()> {
    let directory = TempDir::new()?;
    // Text, as the file says, would not be understood as a listening line.
    let mut command = serve(&directory, "listen = \"127.0.0.1:0\"\nlog-format = \"text\"\n")?;
    command.env("MORTISE_LOG_FORMAT", "json");
    Mortise::from_command(command)?.stop()?;

    let mut command = serve(&directory, "listen = \"127.0.0.1:0\"\nlog-format = \"text\"\n")?;
    command.env("MORTISE_LOG_FORMAT", "text").args(["--log-format", "json"]);
    Mortise::from_command(command)?.stop()
}

#[test]
fn a_wrong_file_is_explained() -> Result<()> {
    for (file, expected) in
        [("listne = \"127.0.0.1:0\"", "listne"), ("memtable-size = \"many\"", "many"), ("= 1", "TOML")]
    {
        let directory = TempDir::new()?;
        let mut process = Process::spawn("mortise serve", &mut serve(&directory, file)?)?;
        let (status, log) = process.wait_end(END)?;
        ensure!(status.code() == Some(2) && log.contains(expected), "{file}: {status}: {log}");
        ensure!(log.contains("mortise.toml"), "the message names the file: {log}");
    }
    Ok(())
}

fn get(address: &str, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(END))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

#[tokio::test(flavor = "multi_thread")]
async fn health_and_metrics_are_served() -> Result<()> {
    let directory = TempDir::new()?;
    let mortise = Mortise::start(directory.path())?;
    for page in ["/healthz", "/readyz", "/healthz/leader"] {
        let answer = get(&mortise.http, page)?;
        ensure!(answer.starts_with("HTTP/1.1 200"), "{page}: {answer}");
    }
    ensure!(get(&mortise.http, "/nowhere")?.starts_with("HTTP/1.1 404"), "an unknown page is unknown");

    let mut client = Client::connect(&mortise.endpoint()).await?;
    for number in 0..7 {
        client.put(format!("key-{number}"), "value").await.ok().context("a put is accepted")?;
    }
    let metrics = get(&mortise.http, "/metrics")?;
    let puts = metrics
        .lines()
        .filter(|line| line.starts_with("mortise_") && line.contains("requests") && line.contains("Put"))
        .find_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
    ensure!(puts == Some(7.0), "seven puts should be counted: {metrics}");
    for family in ["memtable", "compaction", "plugin", "log", "level"] {
        ensure!(
            metrics.lines().any(|line| line.starts_with("mortise_") && line.contains(family)),
            "no metric about {family}"
        );
    }
    Ok(())
}
