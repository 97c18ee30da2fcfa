//! A graceful stop loses nothing: SIGTERM under load, then everything acknowledged is there.
//!
//! The node must end by itself with exit code 0, and a second start finds exactly the acknowledged writes and
//! at most the ones under way. A request that does not end delays a stop only until the second signal.

use std::time::Duration;

use anyhow::{Result, ensure};
use mortise::pb::mortise::v1::AddPluginRequest;
use mortise::pb::mortise::v1::admin_client::AdminClient;
use mortise_tests::{Client, History, Load, Mortise, seed};
use rand::Rng as _;
use tempfile::TempDir;
use tonic::Code;

const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_under_load_loses_nothing() -> Result<()> {
    let mut rng = seed::rng("sigterm_under_load_loses_nothing");
    let directory = TempDir::new()?;
    let mut history = History::default();
    for round in 0..3 {
        let mortise = Mortise::start(directory.path())?;
        let mut load = Load::start(&mortise.endpoint(), &round.to_string(), 8, &mut rng).await?;
        load.reach(rng.random_range(50..400)).await?;
        mortise.stop()?;
        let attempts = load.finish().await?;
        for refusal in attempts.iter().filter_map(|attempt| attempt.outcome.as_ref().err()) {
            // A clear word, or what the client's own library says of a connection that says good-bye.
            let expected = [Code::Unavailable, Code::Cancelled, Code::Unknown, Code::DeadlineExceeded];
            let closing = refusal.message.starts_with("h2 protocol error");
            ensure!(
                expected.contains(&refusal.code) || closing,
                "a write during the stop was refused with {refusal:?}"
            );
        }

        let mortise = Mortise::start(directory.path())?;
        let mut client = Client::connect(&mortise.endpoint()).await?;
        history.verify(&mut client, attempts, &mut rng).await?;
        mortise.stop()?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_node_stops_and_starts_unchanged() -> Result<()> {
    let directory = TempDir::new()?;
    let mortise = Mortise::start(directory.path())?;
    let mut client = Client::connect(&mortise.endpoint()).await?;
    let revision = client.put("kept", "value").await.expect("a put is accepted");
    let content = client.content(0).await.expect("a read is accepted");
    let hash = client.hash(0).await.expect("a hash is accepted").hash;
    mortise.stop()?;

    let mortise = Mortise::start(directory.path())?;
    let mut client = Client::connect(&mortise.endpoint()).await?;
    assert_eq!(client.revision().await.expect("a read is accepted"), revision);
    assert_eq!(client.content(0).await.expect("a read is accepted"), content);
    assert_eq!(client.hash(0).await.expect("a hash is accepted").hash, hash);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_a_stop_that_waits() -> Result<()> {
    let directory = TempDir::new()?;
    let mut mortise = Mortise::start_with(directory.path(), &["--shutdown-grace", "1h"])?;
    let mut client = Client::connect(&mortise.endpoint()).await?;
    let revision = client.put("kept", "value").await.expect("a put is accepted");

    // An upload that is never finished keeps the stop waiting.
    let mut admin = AdminClient::connect(mortise.endpoint()).await?;
    let (chunks, upload) = tokio::sync::mpsc::channel(1);
    let upload = tokio_stream::wrappers::ReceiverStream::new(upload);
    let mut uploads = admin.clone();
    let unfinished = tokio::spawn(async move { uploads.add_plugin(upload).await });
    for _ in 0..3 {
        // The channel holds one message: when the third was taken, the first has been sent.
        let (name, chunk) = ("never".into(), vec![0].into());
        chunks.send(AddPluginRequest { name, chunk, ..Default::default() }).await?;
    }
    // A connection's requests are taken in order, so the upload was taken before this is answered.
    admin.list_volumes(mortise::pb::mortise::v1::ListVolumesRequest {}).await?;

    mortise.process().terminate()?;
    mortise.process().wait_line("the stop", PATIENCE, |line| line.contains("stopping").then_some(()))?;
    mortise.process().terminate()?;
    let (status, log) = mortise.process().wait_end(PATIENCE)?;
    ensure!(status.code() == Some(1), "{status}: {log}");
    ensure!(log.contains("stopped at once by a second signal; nothing acknowledged is lost"), "{log}");
    ensure!(unfinished.await?.is_err(), "the upload was cut off");

    let mortise = Mortise::start(directory.path())?;
    let mut client = Client::connect(&mortise.endpoint()).await?;
    ensure!(client.revision().await.expect("a read is accepted") == revision, "nothing was lost");
    mortise.stop()
}
