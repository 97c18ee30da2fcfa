//! The judge of histories is right itself: it accepts a real etcd, and finds every kind of lie.
//!
//! The crash, shutdown and hot-swap suites stand on [`History`]; a judge that accepts everything would make
//! them worthless. Each lie here is told about a real run by tampering with what the writers remember.

use anyhow::{Context as _, Result, ensure};
use mortise_tests::{Attempt, Client, Etcd, History, Load, Mortise, Refusal, Request, seed};
use rand::rngs::StdRng;
use tempfile::TempDir;
use tonic::Code;

async fn run(endpoint: &str, rng: &mut StdRng) -> Result<Vec<Attempt>> {
    let mut load = Load::start(endpoint, "run", 4, rng).await?;
    load.reach(300).await?;
    load.finish().await
}

async fn judge(endpoint: &str, attempts: Vec<Attempt>, rng: &mut StdRng) -> Result<()> {
    let mut client = Client::connect(endpoint).await?;
    History::default().verify(&mut client, attempts, rng).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_judge_accepts_etcd() -> Result<()> {
    let Some(etcd) = Etcd::start()? else { return Ok(()) };
    let mut rng = seed::rng("the_judge_accepts_etcd");
    let attempts = run(&etcd.endpoint(), &mut rng).await?;
    let mut client = Client::connect(&etcd.endpoint()).await?;
    let mut history = History::of_etcd();
    history.verify(&mut client, attempts, &mut rng).await?;
    // Nothing happened since, so a second look finds the same content.
    history.verify(&mut client, Vec::new(), &mut rng).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_judge_finds_lies() -> Result<()> {
    let directory = TempDir::new()?;
    let mortise = Mortise::start(directory.path())?;
    let endpoint = mortise.endpoint();
    let mut rng = seed::rng("the_judge_finds_lies");
    let attempts = run(&endpoint, &mut rng).await?;
    judge(&endpoint, attempts.clone(), &mut rng).await?;
    let newest = attempts.iter().filter_map(|attempt| attempt.outcome.as_ref().ok()).max().copied();
    let newest = newest.context("something was acknowledged")?;
    let put = attempts
        .iter()
        .position(|attempt| matches!(attempt.request, Request::Put(_)))
        .context("something was put")?;

    let mut lost = attempts.clone();
    lost.push(Attempt { outcome: Ok(newest + 1), ..attempts[put].clone() });
    finds(&endpoint, lost, "lost", &mut rng).await?;

    let mut unasked = attempts.clone();
    unasked.remove(put);
    finds(&endpoint, unasked, "never sent", &mut rng).await?;

    let mut twice = attempts.clone();
    twice.push(attempts[put].clone());
    finds(&endpoint, twice, "acknowledged twice", &mut rng).await?;

    let mut altered = attempts.clone();
    if let Request::Put(put) = &mut altered[put].request {
        put.value = "something else".into();
    }
    finds(&endpoint, altered, "the model", &mut rng).await?;

    // An unknown write that did happen is found; it is no lie.
    let mut forgotten = attempts;
    forgotten[put].outcome = Err(Refusal::new(Code::Unavailable, "the connection broke"));
    judge(&endpoint, forgotten, &mut rng).await?;
    Ok(())
}

async fn finds(endpoint: &str, attempts: Vec<Attempt>, expected: &str, rng: &mut StdRng) -> Result<()> {
    let Err(error) = judge(endpoint, attempts, rng).await else {
        anyhow::bail!("the judge accepted a history that is {expected:?}");
    };
    ensure!(error.to_string().contains(expected), "expected {expected:?}, the judge said: {error}");
    Ok(())
}
