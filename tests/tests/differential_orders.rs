//! Conversions that change the order of keys and back, and ways back, amid random requests: Mortise answers
//! like the model and like a real etcd, nested transactions and every shape of range included.
//!
//! Keys have no `/`, so that `hierarchical` and the order of bytes are one order *for them* although the
//! format's is another: half-open ranges, prefixes and from-key ranges have one right answer in both, and
//! Mortise takes the way of formats that keep no order. While a conversion catches up it must not meet what
//! deletes or compares a range, so the requests beside it are *calm*; where they are not, it may end with its
//! message, and nothing has changed then either.

use anyhow::{Context as _, Result, bail, ensure};
use mortise_tests::{Client, Etcd, Finished, Generator, Model, Mortise, mortise_cli, same, seed};
use serde_json::Value;
use tempfile::TempDir;

/// Requests between two jobs, unless `MORTISE_REQUESTS` says how many there are in all.
const REQUESTS: usize = 1_800;
const ROUNDS: usize = 3;
/// How a job ends that met a range.
const MET_A_RANGE: &str = "deletes or compares a range of keys";

const TO_HIERARCHICAL: &[&str] = &["volume", "convert", "default", "--to", "hierarchical"];
const KEEPING: &[&str] = &["volume", "convert", "default", "--to", "hierarchical", "--keep-previous", "1h"];
const TO_NATURAL: &[&str] = &["volume", "convert", "default", "--to", "natural"];
const UNDO: &[&str] = &["volume", "convert", "default", "--undo"];

/// Mortise beside those that it has to answer like.
struct Bench {
    mortise: Mortise,
    client: Client,
    model: Model,
    etcd: Option<(Etcd, Client)>,
    generator: Generator,
    sent: usize,
    /// Requests between two jobs.
    pause: usize,
}

impl Bench {
    async fn start(directory: &TempDir, test: &str) -> Result<Self> {
        let mortise = Mortise::start(directory.path())?;
        let client = Client::connect(&mortise.endpoint()).await?;
        let etcd = match Etcd::start()? {
            Some(etcd) => {
                let client = Client::connect(&etcd.endpoint()).await?;
                Some((etcd, client))
            }
            None => None,
        };
        let generator = Generator::without_slashes(seed::rng(test));
        let pause = seed::count("MORTISE_REQUESTS", REQUESTS) / (ROUNDS * 6);
        Ok(Self { mortise, client, model: Model::default(), etcd, generator, sent: 0, pause })
    }

    /// Sends one request to all and compares the answers.
    async fn compare_one(&mut self) -> Result<()> {
        let request = self.generator.request();
        let ours = self.client.send(&request).await;
        let mut others = vec![("the model", self.model.apply(&request))];
        if let Some((_, etcd)) = &mut self.etcd {
            others.push(("etcd", etcd.send(&request).await));
        }
        for (name, theirs) in &others {
            if let Err(difference) = same(&request, ("Mortise", &ours), (name, theirs)) {
                bail!("request {} is answered differently:\n{difference}", self.sent);
            }
        }
        self.generator.observe(&request, &ours);
        self.sent += 1;
        Ok(())
    }

    async fn compare(&mut self, requests: usize) -> Result<()> {
        for _ in 0..requests {
            self.compare_one().await?;
        }
        Ok(())
    }

    /// Sends requests for as long as a job runs; how that ended.
    async fn amid(&mut self, job: &'static [&'static str], calm: bool) -> Result<Finished> {
        let endpoint = self.mortise.endpoint();
        self.generator.be_calm(calm);
        let running = tokio::task::spawn_blocking(move || mortise_cli(&endpoint, job));
        while !running.is_finished() {
            self.compare_one().await?;
        }
        self.generator.be_calm(false);
        running.await?
    }

    async fn amid_calm(&mut self, job: &'static [&'static str]) -> Result<()> {
        let ended = self.amid(job, true).await?;
        ensure!(ended.success(), "{job:?} beside calm requests: {}", ended.stderr);
        Ok(())
    }

    fn status(&self) -> Result<Value> {
        self.mortise.cli_json(&["volume", "status", "default"])
    }

    fn is_in(&self, format: &str) -> Result<()> {
        let status = self.status()?;
        ensure!(status["format"]["name"] == format, "expected {format}: {status}");
        Ok(())
    }

    /// Every key is what the model has.
    async fn compare_content(&mut self) -> Result<()> {
        let newest = self.model.revision();
        let ours = self.client.content(newest).await.ok().context("the content")?;
        ensure!(ours == self.model.content(newest), "the content at revision {newest} differs");
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_stay_right_amid_conversions_to_another_order_and_back() -> Result<()> {
    let directory = TempDir::new()?;
    let test = "answers_stay_right_amid_conversions_to_another_order_and_back";
    let mut bench = Bench::start(&directory, test).await?;
    bench.compare(bench.pause).await?;
    let mut met = 0;
    for _ in 0..ROUNDS {
        // There, and back by a conversion in the other direction; ranges are deleted on either side.
        bench.amid_calm(TO_HIERARCHICAL).await?;
        bench.is_in("hierarchical")?;
        bench.compare(bench.pause).await?;
        bench.amid_calm(TO_NATURAL).await?;
        bench.compare(bench.pause).await?;

        // There and back the short way, with all that was written since.
        bench.amid_calm(KEEPING).await?;
        bench.generator.be_calm(true);
        bench.compare(bench.pause).await?;
        bench.amid_calm(UNDO).await?;
        bench.is_in("natural")?;
        bench.compare(bench.pause).await?;

        // The way back meets a range that was deleted since, each time; a conversion may or may not.
        bench.amid_calm(KEEPING).await?;
        bench.compare(bench.pause).await?;
        let refused = bench.amid(UNDO, false).await?;
        ensure!(!refused.success() && refused.stderr.contains(MET_A_RANGE), "{refused:?}");
        bench.is_in("hierarchical")?;
        bench.amid_calm(TO_NATURAL).await?;
        let ended = bench.amid(TO_HIERARCHICAL, false).await?;
        if ended.success() {
            bench.amid_calm(TO_NATURAL).await?;
        } else {
            ensure!(ended.stderr.contains(MET_A_RANGE), "{ended:?}");
            met += 1;
        }
        bench.is_in("natural")?;
        bench.compare(bench.pause).await?;
        bench.compare_content().await?;
    }
    use std::io::Write as _;
    let sent = bench.sent;
    writeln!(std::io::stdout(), "{sent} requests; {met} of {ROUNDS} conversions met a range")?;
    ensure!(sent > ROUNDS * 6 * bench.pause, "requests went on beside the jobs");

    bench.mortise.kill()?;
    let mortise = Mortise::start(directory.path())?;
    let mut client = Client::connect(&mortise.endpoint()).await?;
    let newest = bench.model.revision();
    let ours = client.content(newest).await.ok().context("the content")?;
    ensure!(ours == bench.model.content(newest), "the content differs after a crash");
    mortise.stop()
}
