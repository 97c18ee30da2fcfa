//! Concurrent writers that remember what they asked for and what was acknowledged.
//!
//! Every write carries an id of its own in the values it writes, so that whoever reads the volume later can
//! tell which write made a revision. A writer ends at its first error: what it had asked for then is
//! *unknown*, it may have happened or not. Progress is a counter of acknowledgements that a test can wait
//! on; nothing depends on time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bytes::Bytes;
use mortise::pb::etcdserverpb as pb;
use pb::request_op::Request as OpRequest;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::client::{BESIDE_PLUGINS, Client};
use crate::request::{Answer, Refusal, Request};

/// Keys that all writers share.
const KEYS: u32 = 200;

/// One write that was sent.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// What was asked for.
    pub request: Request,
    /// What came back; the revision is the answer's.
    pub outcome: Result<i64, Refusal>,
    /// Time until it came back.
    pub took: Duration,
}

/// Prints, past the test harness's capture, how long the longest put took: a figure that depends on the
/// machine, so that nothing is asserted about it.
pub fn print_longest_put(test: &str, attempts: &[Attempt]) {
    use std::io::Write as _;
    let puts = || attempts.iter().filter(|attempt| matches!(attempt.request, Request::Put(_)));
    let longest = puts().map(|put| put.took).max().unwrap_or_default();
    let _ = writeln!(std::io::stderr(), "{test}: the longest of {} puts took {longest:?}", puts().count());
}

/// Writers under way.
#[derive(Debug)]
pub struct Load {
    writers: JoinSet<Vec<Attempt>>,
    acknowledged: watch::Receiver<u64>,
    stop: Arc<AtomicBool>,
}

impl Load {
    /// Starts writers, each with a connection of its own, whose writes are drawn from `rng`. `name` makes the
    /// ids of this load's writes different from those of any other load on the volume.
    ///
    /// # Errors
    /// Nothing listens at `endpoint`.
    pub async fn start(endpoint: &str, name: &str, writers: u32, rng: &mut StdRng) -> Result<Self> {
        let mut clients = Vec::new();
        for _ in 0..writers {
            clients.push(Client::connect(endpoint).await?);
        }
        Ok(Self::over(clients, name, rng))
    }

    /// The same on the default volume beside plugins that misbehave: a request that takes longer than
    /// [`BESIDE_PLUGINS`] fails.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn beside_plugins(endpoint: &str, writers: u32, rng: &mut StdRng) -> Result<Self> {
        let mut clients = Vec::new();
        for _ in 0..writers {
            clients.push(Client::connect_within(endpoint, "default", BESIDE_PLUGINS).await?);
        }
        Ok(Self::over(clients, "load", rng))
    }

    fn over(clients: Vec<Client>, name: &str, rng: &mut StdRng) -> Self {
        let (count, acknowledged) = watch::channel(0);
        let count = Arc::new(count);
        let stop = Arc::new(AtomicBool::new(false));
        let mut running = JoinSet::new();
        for (number, client) in clients.into_iter().enumerate() {
            let writer = Writer {
                id: format!("{name}.{number}"),
                client,
                rng: StdRng::seed_from_u64(rng.random()),
                count: Arc::clone(&count),
                stop: Arc::clone(&stop),
            };
            running.spawn(writer.run());
        }
        Self { writers: running, acknowledged, stop }
    }

    /// Writes acknowledged so far.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        *self.acknowledged.borrow()
    }

    /// Waits until at least this many writes are acknowledged.
    ///
    /// # Errors
    /// All writers ended before.
    pub async fn reach(&mut self, acknowledged: u64) -> Result<()> {
        self.acknowledged
            .wait_for(|count| *count >= acknowledged)
            .await
            .map(drop)
            .context("every writer ended before the load reached its goal")
    }

    /// Lets every writer finish its write under way; returns all attempts.
    ///
    /// # Errors
    /// A writer panicked.
    pub async fn finish(mut self) -> Result<Vec<Attempt>> {
        self.stop.store(true, Ordering::Relaxed);
        let mut attempts = Vec::new();
        while let Some(ended) = self.writers.join_next().await {
            attempts.extend(ended?);
        }
        Ok(attempts)
    }
}

struct Writer {
    id: String,
    client: Client,
    rng: StdRng,
    count: Arc<watch::Sender<u64>>,
    stop: Arc<AtomicBool>,
}

impl Writer {
    async fn run(mut self) -> Vec<Attempt> {
        let mut attempts = Vec::new();
        for number in 0_u64.. {
            if self.stop.load(Ordering::Relaxed) {
                break;
            }
            let request = self.draw(number);
            let begun = Instant::now();
            let outcome = self.client.send(&request).await;
            let took = begun.elapsed();
            let failed = outcome.is_err();
            // A delete of a key that is not there changes nothing and makes no revision.
            let idle = matches!(&outcome, Ok(Answer::Delete(answer)) if answer.deleted == 0);
            if !idle {
                attempts.push(Attempt { request, outcome: outcome.map(|answer| answer.revision()), took });
            }
            if failed {
                break;
            }
            self.count.send_modify(|count| *count += 1);
        }
        attempts
    }

    fn draw(&mut self, number: u64) -> Request {
        let key = self.key();
        match self.rng.random_range(0..10) {
            0 => Request::Delete(pb::DeleteRangeRequest { key, ..Default::default() }),
            1..3 => {
                let value = self.value(number);
                let first = self.rng.random_range(0..KEYS);
                let put = |offset: u32| {
                    let key = key_of((first + offset) % KEYS);
                    let put = pb::PutRequest { key, value: value.clone(), ..Default::default() };
                    pb::RequestOp { request: Some(OpRequest::RequestPut(put)) }
                };
                Request::Txn(pb::TxnRequest { success: (0..3).map(put).collect(), ..Default::default() })
            }
            _ => Request::Put(pb::PutRequest { key, value: self.value(number), ..Default::default() }),
        }
    }

    fn key(&mut self) -> Bytes {
        key_of(self.rng.random_range(0..KEYS))
    }

    /// The write's id, then padding of random length.
    fn value(&mut self, number: u64) -> Bytes {
        let padding = self.rng.random_range(0..2000);
        format!("{}.{number}|{}", self.id, "x".repeat(padding)).into()
    }
}

fn key_of(number: u32) -> Bytes {
    format!("key-{number:03}").into()
}
