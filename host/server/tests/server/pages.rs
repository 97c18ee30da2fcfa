//! The HTTP pages, fetched by hand.

use std::net::SocketAddr;

use mortise::wiring::Daemon;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::{Running, options, put};

async fn page(address: SocketAddr, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut text = String::new();
    stream.read_to_string(&mut text).await.expect("an answer");
    let code = text.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a code");
    let body = text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default();
    (code, body)
}

#[tokio::test]
async fn health_pages_answer() {
    let running = Running::start().await;
    let http = running.daemon.http();
    assert_eq!(page(http, "/healthz").await, (200, "ok\n".to_owned()));
    assert_eq!(page(http, "/readyz").await, (200, "ready\n".to_owned()));
    assert_eq!(page(http, "/healthz/leader").await.0, 200);
    assert_eq!(page(http, "/healthz/leader?volume=default").await.0, 200);
    let (code, text) = page(http, "/healthz/leader?volume=nowhere").await;
    assert!(code == 404 && text.contains("nowhere"), "{code} {text}");
    let (code, text) = page(http, "/").await;
    assert!(code == 404 && text.contains("/metrics"), "{code} {text}");
    running.stop().await;
}

/// The value of the first sample of `name` that carries all these labels.
fn sample(text: &str, name: &str, labels: &[&str]) -> f64 {
    let found = text.lines().find(|line| {
        line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']))
            && labels.iter().all(|label| line.contains(label))
    });
    let line = found.unwrap_or_else(|| panic!("no sample of {name} with {labels:?}"));
    line.rsplit(' ').next().and_then(|value| value.parse().ok()).expect("a number")
}

#[tokio::test]
async fn metrics_move_with_what_happens() {
    let running = Running::start().await;
    let create =
        mortise::pb::mortise::v1::CreateVolumeRequest { name: "measured".into(), ..Default::default() };
    running.admin().await.create_volume(create).await.expect("created");
    let mut kv = running.kv().await;
    let puts = |text: &str| {
        sample(text, "mortise_grpc_requests_total", &["method=\"etcdserverpb.KV/Put\"", "code=\"Ok\""])
    };
    kv.put(crate::support::on_volume("measured", put("k", "v"))).await.expect("a put");
    let before = page(running.daemon.http(), "/metrics").await.1;
    kv.put(crate::support::on_volume("measured", put("k", "v"))).await.expect("a put");
    let (code, after) = page(running.daemon.http(), "/metrics").await;
    assert_eq!(code, 200);
    assert!(puts(&after) >= puts(&before) + 1.0, "puts were not counted");
    let volume = &["volume=\"measured\""][..];
    assert!((sample(&after, "mortise_volume_revision", volume) - 3.0).abs() < 0.5);
    assert!(sample(&after, "mortise_volume_memtable_bytes", volume) > 0.0);
    sample(&after, "mortise_volume_level_bytes", &["volume=\"measured\"", "level=\"6\""]);
    assert!(sample(&after, "mortise_disk_free_bytes", &[]) > 0.0);
    for line in after.lines().filter(|line| line.starts_with("# TYPE mortise_")) {
        let name = line.split(' ').nth(2).expect("a name");
        assert!(after.contains(&format!("# HELP {name} ")), "{name} is not described");
    }
    // What has not happened yet is there as a zero, so that the first event is an increase.
    let faults = &["volume=\"measured\"", "plugin=\"compaction-leveled\"", "kind=\"trap\""];
    assert!(sample(&after, "mortise_plugin_faults_total", faults).abs() < 0.5);
    assert!(sample(&after, "mortise_plugin_quarantines_total", &faults[..2]).abs() < 0.5);
    running.stop().await;
}

#[tokio::test]
async fn gauges_of_a_deleted_volume_fall_to_zero() {
    let running = Running::start().await;
    let name = "doomed".to_owned();
    let mut admin = running.admin().await;
    let create = mortise::pb::mortise::v1::CreateVolumeRequest { name: name.clone(), ..Default::default() };
    admin.create_volume(create).await.expect("created");
    running.kv().await.put(crate::support::on_volume(&name, put("k", "v"))).await.expect("a put");
    running.daemon.system().resolve(Some(&name)).expect("it is there").flush().await.expect("flushed");
    let alive = |text: &str| {
        let gauges = text.lines().filter(|line| line.starts_with("mortise_volume_"));
        let ours = gauges.filter(|line| line.contains("volume=\"doomed\"") && !line.ends_with(" 0"));
        ours.map(str::to_owned).collect::<Vec<_>>()
    };
    let before = alive(&page(running.daemon.http(), "/metrics").await.1);
    for gauge in ["mortise_volume_revision", "mortise_volume_level_bytes", "mortise_volume_level_runs"] {
        assert!(before.iter().any(|line| line.starts_with(gauge)), "{gauge} is not among {before:?}");
    }
    let delete = mortise::pb::mortise::v1::DeleteVolumeRequest { name, ..Default::default() };
    admin.delete_volume(delete).await.expect("deleted");
    let after = alive(&page(running.daemon.http(), "/metrics").await.1);
    assert!(after.is_empty(), "{after:?}");
    running.stop().await;
}

#[tokio::test]
async fn addresses_and_directories_in_use_are_named() {
    let running = Running::start().await;
    let elsewhere = tempfile::tempdir().expect("a directory");
    let mut same_port = options(&elsewhere);
    same_port.listen = running.daemon.grpc().to_string();
    let error = Daemon::start(same_port).await.err().expect("the port is in use").to_string();
    assert!(error.contains(&running.daemon.grpc().to_string()) && error.contains("--listen"), "{error}");
    let error = Daemon::start(options(&running.directory)).await.err().expect("in use");
    let error = format!("{error:#}");
    assert!(error.contains("data") && error.contains("in use"), "{error}");
    running.stop().await;
}
