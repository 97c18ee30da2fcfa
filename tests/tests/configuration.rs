//! Settings come from the flag, else the environment, else the file, else the default; HTTP tells the state.
//!
//! The setting that is watched is the log's format and the address, because both show in the first line that
//! the node writes.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use mortise_tests::{Client, Load, Mortise, Process, guests, mortise_binary, page, sample, seed};
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

#[tokio::test(flavor = "multi_thread")]
async fn health_and_metrics_are_served() -> Result<()> {
    let directory = TempDir::new()?;
    let mortise = Mortise::start(directory.path())?;
    for path in ["/healthz", "/readyz", "/healthz/leader"] {
        let answer = page(&mortise.http, path)?;
        ensure!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
    }
    ensure!(page(&mortise.http, "/nowhere")?.starts_with("HTTP/1.1 404"), "an unknown page is unknown");

    let mut client = Client::connect(&mortise.endpoint()).await?;
    for number in 0..7 {
        client.put(format!("key-{number}"), "value").await.ok().context("a put is accepted")?;
    }
    let metrics = page(&mortise.http, "/metrics")?;
    let labels = [("method", "etcdserverpb.KV/Put"), ("code", "Ok")];
    let puts = sample(&metrics, "mortise_grpc_requests_total", &labels);
    ensure!(puts == Some(7.0), "seven puts should be counted, found {puts:?}: {metrics}");
    Ok(())
}

/// A sample that must be served, with its labels. Dashboards and alarms are built upon these names.
type Promise = (&'static str, &'static [(&'static str, &'static str)]);

const PUT: (&str, &str) = ("method", "etcdserverpb.KV/Put");
const VOLUME: (&str, &str) = ("volume", "default");
const PLUGIN: (&str, &str) = ("plugin", "compaction-leveled");

/// What a node that was written to until it compacted must show as more than nothing.
const MOVED: &[Promise] = &[
    ("mortise_grpc_requests_total", &[PUT, ("code", "Ok")]),
    ("mortise_grpc_request_seconds_count", &[PUT]),
    ("mortise_grpc_request_seconds_sum", &[PUT]),
    ("mortise_grpc_request_seconds_bucket", &[PUT, ("le", "+Inf")]),
    ("mortise_log_flush_seconds_count", &[]),
    ("mortise_log_flush_seconds_sum", &[]),
    ("mortise_log_batch_entries_count", &[]),
    ("mortise_log_batch_entries_sum", &[]),
    ("mortise_log_batch_bytes_sum", &[]),
    ("mortise_volume_memtable_bytes", &[VOLUME]),
    ("mortise_volume_level_bytes", &[VOLUME]),
    ("mortise_compaction_read_bytes_total", &[VOLUME]),
    ("mortise_compaction_written_bytes_total", &[VOLUME]),
    ("mortise_write_amplification_ratio", &[VOLUME]),
    ("mortise_plugin_calls_total", &[VOLUME, PLUGIN, ("outcome", "ok")]),
    ("mortise_plugin_call_duration_seconds_count", &[VOLUME, PLUGIN]),
    ("mortise_plugin_version_in_use", &[VOLUME, PLUGIN]),
    ("mortise_plugin_faults_total", &[VOLUME, ("plugin", "turncoat"), ("kind", "illegal")]),
];

#[tokio::test(flavor = "multi_thread")]
async fn metrics_have_the_names_that_dashboards_rely_on() -> Result<()> {
    let directory = TempDir::new()?;
    // Watched, it would be gone after one fault, of whatever kind.
    let arguments = ["--memtable-size", "256KiB", "--plugin-watch", "0s"];
    let mut mortise = Mortise::start_with(directory.path(), &arguments)?;
    let wasm = directory.path().join("turncoat.wasm");
    fs::write(&wasm, guests::TURNCOAT)?;
    for arguments in [
        &["plugin", "add", &*wasm.to_string_lossy(), "--name", "turncoat"][..],
        &["plugin", "use", "turncoat", "--volume", "default"],
    ] {
        let finished = mortise.cli(arguments)?;
        ensure!(finished.success(), "{arguments:?}: {}", finished.stderr);
    }
    mortise.process().wait_line("the end of the turncoat", END, |line| {
        line.contains("the plugin is quarantined for this volume").then_some(())
    })?;
    let mut rng = seed::rng("metrics_have_the_names_that_dashboards_rely_on");
    let mut load = Load::start(&mortise.endpoint(), "metrics", 8, &mut rng).await?;
    // As many writes as it takes until something was compacted, at most a hundred times what it should take.
    for _ in 0..300 {
        load.reach(load.acknowledged() + 500).await?;
        let metrics = page(&mortise.http, "/metrics")?;
        if sample(&metrics, "mortise_compaction_written_bytes_total", &[VOLUME]) > Some(0.0) {
            break;
        }
    }
    load.finish().await?;
    let metrics = page(&mortise.http, "/metrics")?;
    let missing: Vec<_> =
        MOVED.iter().filter(|(name, labels)| sample(&metrics, name, labels) <= Some(0.0)).collect();
    ensure!(missing.is_empty(), "not served, or nothing: {missing:?}\n{metrics}");
    // Nothing need have been slowed; the sample is there all the same.
    let slowed = sample(&metrics, "mortise_volume_slowed_writes_total", &[VOLUME]);
    ensure!(slowed.is_some(), "mortise_volume_slowed_writes_total is not served");
    Ok(())
}

/// A limit on virtual memory, as containers have it: the pool of plugin instances does not fit.
#[test]
fn without_address_space_for_a_pool_plugins_run_all_the_same() -> Result<()> {
    let directory = TempDir::new()?;
    let serve = Mortise::command(directory.path(), &[])?;
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -v 16000000 && exec \"$0\" \"$@\""]).arg(serve.get_program());
    command.args(serve.get_args());
    let mut process = Process::spawn("mortise serve", &mut command)?;
    process.wait_line("the lack of a pool", END, |line| {
        line.contains("no pool of plugin instances; they are allocated on demand instead").then_some(())
    })?;
    let mortise = Mortise::from_process(process)?;
    let finished = mortise.cli(&["plugin", "use", "compaction-tiered", "--volume", "default"])?;
    ensure!(finished.success(), "{}", finished.stderr);
    mortise.stop()
}
