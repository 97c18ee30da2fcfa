//! Writers and readers at a steady rate, and where the latencies of their calls go.
//!
//! A call that is late for its turn is sent at once, so a server that stalls is not spared the calls that
//! pile up meanwhile; but each client has one call under way, as a real one would.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use bytes::Bytes;
use hdrhistogram::Histogram;
use mortise::pb::etcdserverpb as pb;
use mortise_tests::Client;
use pb::request_op::Request as Op;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::task::JoinSet;

use crate::Options;

const KEY_BYTES: usize = 64;
const VALUE_BYTES: usize = 1024;
/// Puts in one transaction while data is loaded.
const FILL_PUTS: u64 = 64;
/// Clients that load data.
const FILLERS: u64 = 8;
/// Clients that share a connection.
const PER_CONNECTION: u64 = 8;

/// What is loaded: so many versions, a third of which supersede another.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Data {
    versions: u64,
    keys: u64,
}

impl Data {
    pub(crate) fn of(mebibytes: u64) -> Self {
        let versions = (mebibytes << 20) / (KEY_BYTES + VALUE_BYTES) as u64;
        Self { versions, keys: versions - versions / 3 }
    }
}

fn key(number: u64) -> Bytes {
    // Like the keys of a control plane: a few levels, the last one numbered.
    let key = format!("/registry/pods/namespace-{:04}/workload-{number:012}/replica", number % 500);
    format!("{key:-<KEY_BYTES$}").into()
}

/// Half of it compresses.
fn value(rng: &mut StdRng) -> Bytes {
    let mut value = vec![b' '; VALUE_BYTES];
    rng.fill(&mut value[..VALUE_BYTES / 2]);
    value.into()
}

/// Loads the data.
pub(crate) async fn fill(endpoint: &str, data: &Data) -> Result<()> {
    println!("loading {} versions of {} keys into {endpoint}", data.versions, data.keys);
    let mut fillers = JoinSet::new();
    for filler in 0..FILLERS {
        let (mut client, data) = (Client::connect(endpoint).await?, *data);
        fillers.spawn(async move {
            let mut rng = StdRng::seed_from_u64(filler);
            // Each filler has keys of its own, so that no order between them matters.
            let mine = (filler..data.versions).step_by(usize::try_from(FILLERS)?);
            let mut puts = Vec::new();
            for version in mine {
                puts.push(put(key(version % data.keys), &mut rng));
                if puts.len() as u64 == FILL_PUTS {
                    txn(&mut client, std::mem::take(&mut puts)).await?;
                }
            }
            txn(&mut client, puts).await
        });
    }
    while let Some(filled) = fillers.join_next().await {
        filled??;
    }
    Ok(())
}

fn put(key: Bytes, rng: &mut StdRng) -> pb::PutRequest {
    pb::PutRequest { key, value: value(rng), ..Default::default() }
}

async fn txn(client: &mut Client, puts: Vec<pb::PutRequest>) -> Result<()> {
    let success = puts.into_iter().map(|put| pb::RequestOp { request: Some(Op::RequestPut(put)) }).collect();
    client.kv.txn(pb::TxnRequest { success, ..Default::default() }).await?;
    Ok(())
}

/// The two times that are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Times {
    During,
}

/// Latencies in microseconds, and calls that failed.
#[derive(Clone, Debug)]
pub(crate) struct Latencies {
    pub(crate) puts: Histogram<u64>,
    pub(crate) gets: Histogram<u64>,
    pub(crate) errors: u64,
}

impl Default for Latencies {
    fn default() -> Self {
        // Up to an hour, to three digits; these bounds are accepted.
        let new = || Histogram::new_with_bounds(1, 3_600_000_000, 3).unwrap_or_else(|_| unreachable!());
        Self { puts: new(), gets: new(), errors: 0 }
    }
}

impl Latencies {
    fn add(&mut self, other: &Self) -> Result<()> {
        self.puts.add(&other.puts)?;
        self.gets.add(&other.gets)?;
        self.errors += other.errors;
        Ok(())
    }
}

/// What the load measured.
#[derive(Clone, Debug, Default)]
pub(crate) struct Measured {
    pub(crate) before: Latencies,
    pub(crate) during: Latencies,
}

/// Clients under way.
pub(crate) struct Load {
    clients: JoinSet<Result<Measured>>,
    during: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
}

impl Load {
    /// Starts the clients.
    pub(crate) async fn start(options: &Options, endpoint: &str, data: &Data) -> Result<Self> {
        let (during, stop) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
        let mut clients = JoinSet::new();
        let mut shared = None;
        for number in 0..options.writers + options.readers {
            if number % PER_CONNECTION == 0 {
                shared = Some(Client::connect(endpoint).await?);
            }
            let Some(client) = shared.clone() else { continue };
            let writes = number < options.writers;
            let group = if writes { options.writers } else { options.readers };
            let turn = Duration::from_secs_f64(group as f64 / options.rate as f64);
            let worker = Worker {
                client,
                rng: StdRng::seed_from_u64(1000 + number),
                writes,
                turn,
                keys: data.keys,
                during: Arc::clone(&during),
                stop: Arc::clone(&stop),
            };
            clients.spawn(worker.run());
        }
        Ok(Self { clients, during, stop })
    }

    /// From now on, calls that end belong to another time.
    pub(crate) fn enter(&self, times: Times) {
        self.during.store(times == Times::During, Ordering::SeqCst);
    }

    /// Lets the calls under way end.
    pub(crate) async fn finish(mut self) -> Result<Measured> {
        self.stop.store(true, Ordering::SeqCst);
        let mut all = Measured::default();
        while let Some(ended) = self.clients.join_next().await {
            let one = ended??;
            all.before.add(&one.before)?;
            all.during.add(&one.during)?;
        }
        Ok(all)
    }
}

struct Worker {
    client: Client,
    rng: StdRng,
    writes: bool,
    turn: Duration,
    keys: u64,
    during: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
}

impl Worker {
    async fn run(mut self) -> Result<Measured> {
        let mut measured = Measured::default();
        let mut due = tokio::time::Instant::now() + self.turn.mul_f64(self.rng.random());
        while !self.stop.load(Ordering::SeqCst) {
            tokio::time::sleep_until(due).await;
            due += self.turn;
            let started = Instant::now();
            let done = self.call().await;
            let micros = u64::try_from(started.elapsed().as_micros())?.max(1);
            let times =
                if self.during.load(Ordering::SeqCst) { &mut measured.during } else { &mut measured.before };
            if self.writes {
                times.puts.record(micros)?
            } else {
                times.gets.record(micros)?
            }
            times.errors += u64::from(done.is_err());
        }
        Ok(measured)
    }

    async fn call(&mut self) -> Result<(), tonic::Status> {
        let key = key(self.rng.random_range(0..self.keys));
        if self.writes {
            self.client.kv.put(put(key, &mut self.rng)).await.map(drop)
        } else {
            self.client.kv.range(pb::RangeRequest { key, ..Default::default() }).await.map(drop)
        }
    }
}

/// Puts and gets of one client, one after the other.
pub(crate) async fn one_by_one(client: &mut Client, calls: u64, into: &mut Latencies) -> Result<()> {
    let mut rng = StdRng::seed_from_u64(7);
    for number in 0..calls {
        let request = put(key(number), &mut rng);
        let started = Instant::now();
        client.kv.put(request).await?;
        into.puts.record(u64::try_from(started.elapsed().as_nanos())?)?;
        let started = Instant::now();
        let found = client.kv.range(pb::RangeRequest { key: key(number), ..Default::default() }).await?;
        into.gets.record(u64::try_from(started.elapsed().as_nanos())?)?;
        ensure!(found.into_inner().count == 1, "what was put is there");
    }
    Ok(())
}
