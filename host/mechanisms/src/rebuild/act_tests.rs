//! Jobs that are ended before they are under way, or whose rows cannot be written, over real volumes.

use std::sync::Arc;
use std::time::Duration;

use mortise_kernel::format::{Codec, CodecFault, Codecs, FormatId, Meter, RecodedRecords, Records};
use mortise_kernel::node::{Node, NodeConfig, Volume, VolumeConfig, VolumeId};
use mortise_kernel::seams::{Seams, SystemClock};
use mortise_plugin_runtime::World;
use parking_lot::{Condvar, Mutex};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::act::Jobs;
use super::decide::{JobRequest, JobWork};
use super::decide_tests::convert;
use super::observe::{JobInfo, JobState};
use crate::catalog::memory_rows::{MemoryRows, Stop, fixed_clock};
use crate::catalog::{Blobs, Catalog, Change, JobRow, Key, ROW_VERSION, VolumeRow, VolumeState};
use crate::cause::Cause;
use crate::plugins::fake::FakeHost;
use crate::plugins::{Lifecycle, Settings, Trust};
use crate::{Error, Result};

/// How long a test waits for what must come.
const BOUND: Duration = Duration::from_secs(60);

/// Stores records as they are.
struct Plain(FormatId);

impl Codec for Plain {
    fn id(&self) -> &FormatId {
        &self.0
    }

    fn keeps_order(&self) -> bool {
        true
    }

    fn encode(&self, records: Records<'_>, _: Meter) -> Result<RecodedRecords, CodecFault> {
        let same = |records: &[bytes::Bytes]| records.iter().cloned().map(Ok).collect();
        Ok(RecodedRecords { keys: same(records.keys), values: same(records.values) })
    }

    fn decode(&self, stored: Records<'_>, meter: Meter) -> Result<RecodedRecords, CodecFault> {
        self.encode(stored, meter)
    }
}

/// A codec that is compiled for as long as the gate is shut.
#[derive(Default)]
struct Gate {
    shut: Mutex<bool>,
    opened: Condvar,
    missing: Mutex<bool>,
    waiting: watch::Sender<usize>,
}

impl Gate {
    fn open(&self) {
        *self.shut.lock() = false;
        self.opened.notify_all();
    }

    /// Waits until somebody stands before it.
    async fn reached(&self) {
        let mut waiting = self.waiting.subscribe();
        within(waiting.wait_for(|waiting| *waiting > 0)).await.unwrap();
    }
}

impl Codecs for Gate {
    fn codec(&self, _: &str, format: &FormatId) -> Result<Arc<dyn Codec>, String> {
        if *self.missing.lock() {
            return Err("it is not there".into());
        }
        let mut shut = self.shut.lock();
        self.waiting.send_modify(|waiting| *waiting += 1);
        while *shut {
            self.opened.wait(&mut shut);
        }
        Ok(Arc::new(Plain(format.clone())))
    }
}

async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(BOUND, work).await.expect("it comes within a minute")
}

/// A node with two volumes, and a format whose codec stands behind a gate.
struct Bench {
    gate: Arc<Gate>,
    rows: MemoryRows,
    catalog: Arc<Catalog>,
    jobs: Arc<Jobs>,
    a: Arc<Volume>,
    b: Arc<Volume>,
    node: Arc<Node>,
    _directory: TempDir,
}

impl Drop for Bench {
    fn drop(&mut self) {
        // The runtime waits for whoever stands there.
        self.gate.open();
    }
}

fn row(id: u64) -> VolumeRow {
    VolumeRow {
        version: ROW_VERSION,
        id,
        created_unix_ms: 1,
        format: "natural".into(),
        codec: None,
        converting: None,
        kept: None,
        state: VolumeState::Ready,
    }
}

async fn made(catalog: &Catalog) {
    let made = catalog.commit(|model| {
        let mut change = Change::default();
        change.put(model, Key::Volume("a".into()), &row(3))?;
        change.put(model, Key::Volume("b".into()), &row(4))?;
        let plugin = serde_json::json!({
            "digest": "d1", "world": World::Format.as_str(), "wit_version": "0.2.0", "size": 1,
            "added_unix_ms": 1, "origin": "added",
        });
        change.put(model, Key::plugin("format-gated", "1.0.0"), &plugin)?;
        Ok((change, ()))
    });
    made.await.unwrap();
}

impl Bench {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let gate = Arc::new(Gate::default());
        let config = NodeConfig {
            reserve_disk_bytes: 0,
            cache_bytes: 4 << 20,
            ..NodeConfig::new(directory.path().join("node"))
        };
        let seams = Seams { codecs: Arc::clone(&gate) as _, ..Seams::with_clock(Arc::new(SystemClock)) };
        let node = Node::open_with(config, seams).await.unwrap();
        let volume =
            |id, name: &str| node.create_volume(VolumeConfig { id: VolumeId(id), name: name.into() });
        let (a, b) = (volume(3, "a").await.unwrap(), volume(4, "b").await.unwrap());
        let rows = MemoryRows::default();
        let catalog = Arc::new(rows.catalog().await);
        made(&catalog).await;
        let settings = Settings {
            default_strategy: crate::NATIVE_STRATEGY.into(),
            max_component_bytes: 1000,
            trust: Trust::default(),
            watch: Duration::ZERO,
        };
        let (host, blobs) = (Arc::new(FakeHost::default()), Blobs::open(directory.path()).unwrap());
        let lifecycle = Lifecycle::new(host, Arc::clone(&catalog), blobs, fixed_clock(), settings);
        let jobs = Jobs::new(Arc::clone(&catalog), Arc::new(lifecycle), fixed_clock());
        Self { gate, rows, catalog, jobs, a, b, node, _directory: directory }
    }

    fn start(&self, volume: &Arc<Volume>, work: JobWork) -> JoinHandle<Result<JobInfo>> {
        let (jobs, volume) = (Arc::clone(&self.jobs), Arc::clone(volume));
        tokio::spawn(async move {
            let (name, request) = (volume.name().to_owned(), JobRequest { rate: None, work });
            jobs.start(&name, Ok(volume), request, &Cause::default()).await
        })
    }

    /// Starts a conversion that stands before its codec.
    async fn standing(&self) -> (JoinHandle<Result<JobInfo>>, u64) {
        *self.gate.shut.lock() = true;
        let start = self.start(&self.a, convert("gated", false));
        self.gate.reached().await;
        let job = self.jobs.on("a").expect("it is there from its row on");
        assert_eq!(self.jobs.list(None)[0], job);
        (start, job.id)
    }

    /// Every state that a watcher is told, until nothing more can be told.
    async fn told(&self, id: u64) -> Vec<JobState> {
        let mut watched = self.jobs.watch(id).unwrap();
        let mut told = vec![watched.borrow_and_update().state];
        while within(watched.changed()).await.is_ok() {
            told.push(watched.borrow_and_update().state);
        }
        told
    }

    fn state(&self, id: u64) -> JobState {
        self.catalog.model().jobs[&id].state
    }

    async fn close(self) {
        self.gate.open();
        self.node.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn a_job_that_is_cancelled_before_its_codec_is_there_never_switches() {
    let bench = Bench::new().await;
    let (start, id) = bench.standing().await;
    let nobody = Cause::default();
    let (told, cancelled) = tokio::join!(bench.told(id), bench.jobs.cancel(id, &nobody));
    assert_eq!(cancelled.unwrap().state, JobState::Cancelled);
    assert_eq!((told[0], *told.last().unwrap()), (JobState::Running, JobState::Cancelled));
    assert_eq!(within(start).await.unwrap().unwrap().state, JobState::Cancelled);
    assert_eq!(bench.state(id), JobState::Cancelled);
    bench.gate.open();
    // Whatever was left of it would be in the way of this one.
    let next = within(bench.start(&bench.a, JobWork::Rebuild)).await.unwrap().unwrap();
    assert_eq!(bench.told(next.id).await.last(), Some(&JobState::Done));
    assert_eq!(bench.a.format(), FormatId::natural());
    assert_eq!(bench.catalog.model().volumes["a"].converting, None);
    bench.close().await;
}

#[tokio::test]
async fn a_codec_that_is_compiled_for_one_volume_keeps_no_other_waiting() {
    let bench = Bench::new().await;
    let (start, id) = bench.standing().await;
    let second = within(bench.start(&bench.a, JobWork::Rebuild)).await.unwrap();
    assert!(matches!(second, Err(Error::JobUnderWay { id: found, .. }) if found == id), "{second:?}");
    let other = within(bench.start(&bench.b, JobWork::Rebuild)).await.unwrap().unwrap();
    assert_eq!(bench.told(other.id).await.last(), Some(&JobState::Done));
    bench.gate.open();
    assert_eq!(within(start).await.unwrap().unwrap().id, id);
    assert_eq!(bench.told(id).await.last(), Some(&JobState::Done));
    assert_eq!(bench.a.format().name, "gated");
    bench.close().await;
}

#[tokio::test]
async fn a_job_that_a_stop_meets_before_it_is_under_way_is_ended() {
    let bench = Bench::new().await;
    let (start, id) = bench.standing().await;
    bench.jobs.stop();
    within(bench.jobs.stopped()).await;
    assert_eq!(within(start).await.unwrap().unwrap().state, JobState::Interrupted);
    assert_eq!(bench.state(id), JobState::Interrupted);
    assert!(matches!(
        within(bench.start(&bench.b, JobWork::Rebuild)).await.unwrap(),
        Err(Error::ShuttingDown)
    ));
    bench.gate.open();
    assert_eq!(bench.a.format(), FormatId::natural());
    bench.close().await;
}

#[tokio::test]
async fn a_job_whose_row_was_written_though_the_answer_was_lost_goes_on() {
    let bench = Bench::new().await;
    bench.rows.stop_at(Some((0, Stop::After)));
    let job = within(bench.start(&bench.a, JobWork::Rebuild)).await.unwrap().unwrap();
    let ended = bench.jobs.watch(job.id).unwrap().wait_for(|info| !info.runs()).await.unwrap().state;
    assert_eq!((ended, bench.state(job.id)), (JobState::Done, JobState::Running));
    assert_eq!(
        bench.jobs.list(None)[0].state,
        JobState::Done,
        "what is not written yet is told all the same"
    );
    bench.rows.stop_at(None);
    bench.told(job.id).await;
    assert_eq!(bench.state(job.id), JobState::Done);
    bench.close().await;
}

/// The row of a job that nobody works on.
async fn abandon(bench: &Bench, id: u64) {
    let job = JobRow {
        version: ROW_VERSION,
        kind: super::JobKind::Convert,
        volume: "a".into(),
        volume_id: 3,
        state: JobState::Running,
        dry_run: false,
        from: FormatId::natural(),
        to: FormatId {
            name: "gated".into(),
            version: "1.0.0".into(),
            digest: Some("d1".into()),
            config: "{}".into(),
        },
        generation: bench.a.status().generation,
        started_unix_ms: 1,
        ended_unix_ms: None,
        detail: String::new(),
        result: None,
    };
    let written = bench.catalog.commit(|model| {
        let mut change = Change::default();
        change.put(model, Key::Job(id), &job)?;
        let converting = Some(job.to.clone());
        change.put(model, Key::Volume("a".into()), &VolumeRow { converting, ..row(3) })?;
        Ok((change, ()))
    });
    written.await.unwrap();
}

#[tokio::test]
async fn a_row_that_says_running_with_nobody_behind_it_is_not_believed() {
    let bench = Bench::new().await;
    abandon(&bench, 1).await;
    assert_eq!(bench.jobs.list(None)[0].state, JobState::Interrupted);
    assert_eq!(bench.told(1).await, [JobState::Interrupted], "the watch ends");
    assert_eq!(bench.jobs.cancel(1, &Cause::default()).await.unwrap().state, JobState::Interrupted);
    bench.jobs.note_format(&bench.a).await.unwrap();
    assert_eq!(bench.state(1), JobState::Interrupted);
    assert_eq!(bench.catalog.model().volumes["a"].converting, None, "its format can be removed again");

    abandon(&bench, 2).await;
    let next = within(bench.start(&bench.a, JobWork::Rebuild)).await.unwrap().unwrap();
    assert_eq!(bench.state(2), JobState::Interrupted);
    assert_eq!(bench.told(next.id).await.last(), Some(&JobState::Done));
    bench.close().await;
}

#[tokio::test]
async fn a_job_that_fails_to_begin_is_written_down_as_soon_as_that_can_be() {
    let bench = Bench::new().await;
    *bench.gate.missing.lock() = true;
    bench.rows.stop_at(Some((1, Stop::Silent)));
    let failed = within(bench.start(&bench.a, convert("gated", false))).await.unwrap();
    assert!(failed.is_err(), "{failed:?}");
    assert_eq!(bench.jobs.list(None)[0].state, JobState::Failed);
    assert_eq!(bench.state(1), JobState::Running, "its end could not be written");
    bench.rows.stop_at(None);
    bench.told(1).await;
    assert_eq!(bench.state(1), JobState::Failed);
    assert_eq!(bench.catalog.model().volumes["a"].converting, None);
    bench.close().await;
}
