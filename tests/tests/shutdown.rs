//! A graceful stop loses nothing: SIGTERM under load, then everything acknowledged is there.
//!
//! The node must end by itself with exit code 0, and a second start finds exactly the acknowledged writes and
//! at most the ones under way.

use anyhow::{Result, ensure};
use mortise_tests::{Client, History, Load, Mortise, seed};
use rand::Rng as _;
use tempfile::TempDir;
use tonic::Code;

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
