//! Mortise answers like etcd: random KV and Txn requests, every field, every refusal's code and text.
//!
//! The same generated requests go to Mortise, to the in-memory model and to a real etcd; all answers must be
//! equal but for ids, and at the end so must the content at sampled revisions. The comparison with etcd runs
//! where an `etcd` program is on PATH and says so where none is; the one with the model always runs.
//! `MORTISE_SEED` repeats a run, `MORTISE_REQUESTS` changes its length.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Result, bail, ensure};
use mortise_tests::{Client, Etcd, Generator, Model, Mortise, Outcome, Request, mortise_cli, seed};
use tempfile::TempDir;

/// Requests sent in each comparison, unless `MORTISE_REQUESTS` says otherwise.
const REQUESTS: usize = 3_000;

/// One of the parties that are compared.
enum Party {
    Server(&'static str, Box<Client>),
    Model(Box<Model>),
}

impl Party {
    async fn server(name: &'static str, endpoint: &str) -> Result<Self> {
        Ok(Self::Server(name, Box::new(Client::connect(endpoint).await?)))
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Server(name, _) => name,
            Self::Model(_) => "the model",
        }
    }

    async fn send(&mut self, request: &Request) -> Outcome {
        match self {
            Self::Server(_, client) => client.send(request).await,
            Self::Model(model) => model.apply(request),
        }
    }
}

async fn compare(test: &str, mut parties: Vec<Party>) -> Result<()> {
    let mut generator = Generator::new(seed::rng(test));
    let (first, others) = parties.split_first_mut().expect("at least two parties");
    let (mut refused, mut writes) = (0, 0);
    let total = seed::count("MORTISE_REQUESTS", REQUESTS);
    for number in 0..total {
        let request = generator.request();
        let outcome = first.send(&request).await;
        for other in others.iter_mut() {
            let theirs = other.send(&request).await;
            if let Err(difference) =
                mortise_tests::same(&request, (first.name(), &outcome), (other.name(), &theirs))
            {
                bail!("{test}: request {number} is answered differently:\n{difference}");
            }
        }
        refused += usize::from(outcome.is_err());
        writes += usize::from(matches!(&outcome, Ok(answer) if answer.revision() > 1));
        generator.observe(&request, &outcome);
    }
    // A generator that only makes refused or empty requests would compare nothing.
    assert!(refused > 0 && refused < total / 2, "{refused} of {total} requests were refused");
    assert!(writes > total / 2, "only {writes} of {total} answers come from a volume with content");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn mortise_answers_like_the_model() -> Result<()> {
    let directory = TempDir::new()?;
    let mortise = Mortise::start(directory.path())?;
    let parties = vec![Party::Model(Box::default()), Party::server("Mortise", &mortise.endpoint()).await?];
    compare("mortise_answers_like_the_model", parties).await
}

#[tokio::test(flavor = "multi_thread")]
async fn mortise_answers_like_etcd() -> Result<()> {
    let Some(etcd) = Etcd::start()? else { return Ok(()) };
    let directory = TempDir::new()?;
    let mortise = Mortise::start(directory.path())?;
    let parties = vec![
        Party::server("etcd", &etcd.endpoint()).await?,
        Party::server("Mortise", &mortise.endpoint()).await?,
    ];
    compare("mortise_answers_like_etcd", parties).await
}

/// The same while Mortise's volume is rebuilt, and converted to another format and back, without pause. The
/// format changes values and keeps the order of keys, as etcd's ranges need it.
#[tokio::test(flavor = "multi_thread")]
async fn mortise_answers_like_etcd_amid_rebuilds_and_conversions() -> Result<()> {
    let Some(etcd) = Etcd::start()? else { return Ok(()) };
    let directory = TempDir::new()?;
    let mortise = Mortise::start(directory.path())?;
    let parties = vec![
        Party::server("etcd", &etcd.endpoint()).await?,
        Party::server("Mortise", &mortise.endpoint()).await?,
    ];
    let (endpoint, stop) = (mortise.endpoint(), Arc::new(AtomicBool::new(false)));
    let until = Arc::clone(&stop);
    let jobs = tokio::task::spawn_blocking(move || work_without_pause(&endpoint, &until));
    let compared = compare("mortise_answers_like_etcd_amid_rebuilds_and_conversions", parties).await;
    stop.store(true, Ordering::SeqCst);
    let done = jobs.await??;
    compared?;
    ensure!(done >= JOBS.len(), "only {done} jobs ended meanwhile");
    Ok(())
}

const JOBS: [&[&str]; 3] = [
    &["volume", "rebuild", "default"],
    &["volume", "convert", "default", "--to", "dictionary"],
    &["volume", "convert", "default", "--to", "natural"],
];

/// One job after the other, in turn; how many were done.
fn work_without_pause(endpoint: &str, until: &AtomicBool) -> Result<usize> {
    let mut done = 0;
    for job in JOBS.iter().cycle() {
        if until.load(Ordering::SeqCst) {
            break;
        }
        let finished = mortise_cli(endpoint, job)?;
        ensure!(finished.success(), "{job:?}: {}", finished.stderr);
        done += 1;
    }
    Ok(done)
}

/// Two etcds answer alike, and the model answers like them: the generator and the comparison are sound.
#[tokio::test(flavor = "multi_thread")]
async fn the_model_answers_like_etcd() -> Result<()> {
    let Some(etcd) = Etcd::start()? else { return Ok(()) };
    let Some(second) = Etcd::start()? else { return Ok(()) };
    let parties = vec![
        Party::server("etcd", &etcd.endpoint()).await?,
        Party::server("a second etcd", &second.endpoint()).await?,
        Party::Model(Box::default()),
    ];
    compare("the_model_answers_like_etcd", parties).await
}
