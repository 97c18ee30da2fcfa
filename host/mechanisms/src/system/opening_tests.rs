//! Starts while codecs do not answer: who is served, who waits, and what is told of jobs that were cut off.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use mortise_kernel::format::{Codec, CodecFault, Codecs, FormatId, Meter, RecodedRecords, Records};
use mortise_kernel::node::{Node, NodeConfig, Volume};
use mortise_kernel::seams::{Seams, SystemClock};
use parking_lot::{Condvar, Mutex};
use tokio::sync::watch;

use super::{NewPlugin, ShippedPlugin, System, SystemConfig};
use crate::catalog::{Change, JobRow, Key, VolumeRow};
use crate::plugins::fake::FakeHost;
use crate::rebuild::{JobInfo, JobRequest, JobState, JobWork, WantedFormat};
use crate::{Cause, Result};

/// How long a test waits for what must come at once.
const BOUND: Duration = Duration::from_secs(60);
/// A patience that no test outlasts.
const LONG: Duration = Duration::from_secs(3600);

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

/// Codecs that are there when their names are: who asks for another one stands still until it is.
#[derive(Default)]
struct Gate {
    shut: Mutex<BTreeSet<String>>,
    opened: Condvar,
    missing: Mutex<BTreeSet<String>>,
    /// Volumes that stand before a codec.
    waiting: watch::Sender<BTreeSet<String>>,
}

impl Gate {
    fn shut(&self, name: &str) {
        self.shut.lock().insert(name.into());
    }

    fn open(&self) {
        self.shut.lock().clear();
        self.opened.notify_all();
    }

    /// Waits until so many volumes stand before a codec.
    async fn crowd(&self, volumes: usize) -> BTreeSet<String> {
        let mut waiting = self.waiting.subscribe();
        let crowd = waiting.wait_for(|waiting| waiting.len() >= volumes);
        tokio::time::timeout(BOUND, crowd).await.expect("volumes stand before their codec").unwrap().clone()
    }
}

impl Codecs for Gate {
    fn codec(&self, volume: &str, format: &FormatId) -> Result<Arc<dyn Codec>, String> {
        if self.missing.lock().contains(&format.name) {
            return Err("it is not there".into());
        }
        let mut shut = self.shut.lock();
        while shut.contains(&format.name) {
            self.waiting.send_if_modified(|waiting| waiting.insert(volume.into()));
            self.opened.wait(&mut shut);
        }
        self.waiting.send_if_modified(|waiting| waiting.remove(volume));
        Ok(Arc::new(Plain(format.clone())))
    }
}

/// Opens the gate when a test ends in whatever way: the runtime waits for who stands there.
struct Opener(Arc<Gate>);

impl Drop for Opener {
    fn drop(&mut self) {
        self.0.open();
    }
}

struct Running {
    node: Arc<Node>,
    system: Arc<System>,
}

async fn start(path: &Path, gate: &Arc<Gate>, codec_patience: Duration) -> Running {
    let config = NodeConfig { reserve_disk_bytes: 0, cache_bytes: 4 << 20, ..NodeConfig::new(path) };
    let seams = Seams { codecs: Arc::clone(gate) as _, ..Seams::with_clock(Arc::new(SystemClock)) };
    let node = Node::open_with(config, seams).await.unwrap();
    let shipped = ShippedPlugin { name: "leveled".into(), bytes: b"leveled 1.0.0 wait".as_slice().into() };
    let config = SystemConfig { codec_patience, ..SystemConfig::new(vec![shipped], "leveled") };
    let started = System::start_over(Arc::clone(&node), Arc::new(FakeHost::default()), config);
    let system = tokio::time::timeout(BOUND, started).await.expect("the start waits for no codec").unwrap();
    Running { node, system }
}

impl Running {
    async fn stop(self) {
        self.system.shutdown().await;
        self.node.shutdown().await.unwrap();
    }

    /// Adds formats, and volumes in them.
    async fn make(&self, formats: &[&str], volumes: &[(String, &str)]) {
        for format in formats {
            let bytes = format!("format-{format} 1.0.0 codec").into_bytes();
            let new = NewPlugin { bytes, ..NewPlugin::default() };
            self.system.plugin_add(new, Cause::default()).await.unwrap();
        }
        for (name, format) in volumes {
            self.system.create_volume(name, wanted(format), Cause::default()).await.unwrap();
        }
    }

    /// Waits until a volume is served.
    async fn served(&self, name: &str) -> Arc<Volume> {
        let served = async {
            loop {
                match self.system.resolve(Some(name)) {
                    Ok(volume) => return volume,
                    Err(_) => tokio::task::yield_now().await,
                }
            }
        };
        tokio::time::timeout(BOUND, served).await.unwrap_or_else(|_| panic!("{name} is served"))
    }

    fn is_served(&self, name: &str) -> bool {
        self.system.resolve(Some(name)).is_ok()
    }

    fn job(&self, id: u64) -> JobInfo {
        self.system.jobs(None).unwrap().into_iter().find(|job| job.id == id).expect("listed")
    }

    /// A conversion that has ended.
    async fn converted(&self, volume: &str, to: &str) -> JobInfo {
        let work = JobWork::Convert { to: wanted(to), sample: false, dry_run: false, keep_previous: None };
        let job =
            self.system.start_job(volume, JobRequest { rate: None, work }, Cause::default()).await.unwrap();
        let mut watched = self.system.watch_job(job.id).unwrap();
        let ended = watched.wait_for(|job| !job.runs()).await.unwrap().clone();
        assert_eq!(ended.state, JobState::Done, "{ended:?}");
        ended
    }

    /// Takes the catalog back to what it said while a job ran, as a crash leaves it.
    async fn forget_the_end(&self, job: &JobInfo) {
        let committed = self.system.catalog.commit(|model| {
            let mut change = Change::default();
            let volume = &model.volumes[&job.volume];
            let codec = (!job.from.is_natural()).then(|| job.from.clone());
            let converting = Some(job.to.clone());
            let before = VolumeRow { format: job.from.name.clone(), codec, converting, ..volume.clone() };
            change.put(model, Key::Volume(job.volume.clone()), &before)?;
            let row = &model.jobs[&job.id];
            let running =
                JobRow { state: JobState::Running, ended_unix_ms: None, result: None, ..row.clone() };
            change.put(model, Key::Job(job.id), &running)?;
            Ok((change, ()))
        });
        committed.await.unwrap();
    }

    /// Waits until a job has the state that it is to have, having had none but this one before.
    async fn settled(&self, id: u64, expected: JobState) {
        let mut watched = self.system.watch_job(id).unwrap();
        let told = watched.wait_for(|job| job.state != JobState::Unsettled);
        let told = tokio::time::timeout(BOUND, told).await.expect("its fate is told");
        let state = told.map_or_else(|_| self.job(id).state, |job| job.state);
        assert_eq!(state, expected);
        assert_eq!(self.job(id).state, expected);
    }

    /// What the catalog says of a job.
    fn row(&self, id: u64) -> JobState {
        self.system.catalog.model().jobs[&id].state
    }
}

fn wanted(format: &str) -> WantedFormat {
    WantedFormat { name: format.into(), ..WantedFormat::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_for_the_codecs_of_others() {
    let directory = tempfile::tempdir().unwrap();
    let gate = Arc::new(Gate::default());
    let _opener = Opener(Arc::clone(&gate));
    let stuck: Vec<_> = (0..24).map(|number| (format!("a{number}"), "slow")).collect();
    let node = start(directory.path(), &gate, LONG).await;
    node.make(&["slow", "quick"], &stuck).await;
    node.make(&[], &[("b".into(), "quick"), ("z".into(), "natural")]).await;
    node.stop().await;

    gate.shut("slow");
    let node = start(directory.path(), &gate, LONG).await;
    assert!(node.is_served("z") && node.is_served("default"), "natural volumes are there from the start");
    node.served("b").await;
    let crowd = gate.crowd(8).await;
    assert!(crowd.iter().all(|name| name.starts_with('a')) && crowd.len() == 8, "eight at a time: {crowd:?}");
    let list = node.system.list_volumes();
    let told = list
        .iter()
        .filter(|volume| volume.problem.as_deref().is_some_and(|why| why.contains("being opened")));
    assert_eq!(told.count(), 24, "who waits is told so: {list:?}");
    gate.open();
    tokio::time::timeout(BOUND, node.system.opened()).await.expect("all are open");
    assert!(stuck.iter().all(|(name, _)| node.is_served(name)), "{:?}", node.system.list_volumes());
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_that_waits_for_its_codec_leaves_its_place_to_the_next() {
    let directory = tempfile::tempdir().unwrap();
    let gate = Arc::new(Gate::default());
    let _opener = Opener(Arc::clone(&gate));
    let stuck: Vec<_> = (0..20).map(|number| (format!("a{number}"), "slow")).collect();
    let node = start(directory.path(), &gate, LONG).await;
    node.make(&["slow"], &stuck).await;
    node.stop().await;

    gate.shut("slow");
    let node = start(directory.path(), &gate, Duration::from_millis(1)).await;
    gate.crowd(20).await;
    let opened = tokio::time::timeout(BOUND, node.system.opened()).await;
    opened.expect("the node is ready before codecs are that do not answer");
    gate.open();
    for (name, _) in &stuck {
        node.served(name).await;
    }
    node.stop().await;
}

/// A node on which volume `tree` was converted and what the catalog says was taken back to before the end.
async fn cut_off(directory: &Path, gate: &Arc<Gate>) -> JobInfo {
    let node = start(directory, gate, LONG).await;
    node.make(&["slow"], &[("tree".into(), "natural")]).await;
    let job = node.converted("tree", "slow").await;
    node.forget_the_end(&job).await;
    node.stop().await;
    job
}

#[tokio::test(flavor = "multi_thread")]
async fn the_fate_of_a_job_is_told_when_its_volume_opens() {
    let directory = tempfile::tempdir().unwrap();
    let gate = Arc::new(Gate::default());
    let _opener = Opener(Arc::clone(&gate));
    let job = cut_off(directory.path(), &gate).await;

    // Its codec is not there; neither at this start nor at the next one.
    gate.missing.lock().insert("slow".into());
    let node = start(directory.path(), &gate, LONG).await;
    node.system.opened().await;
    assert_eq!((node.job(job.id).state, node.row(job.id)), (JobState::Unsettled, JobState::Running));
    assert!(node.job(job.id).detail.contains("when the volume opens"), "{:?}", node.job(job.id));
    let cancelled = tokio::time::timeout(BOUND, node.system.cancel_job(job.id, &Cause::default()))
        .await
        .expect("at once");
    assert_eq!(cancelled.unwrap().state, JobState::Unsettled, "nothing of it runs that could be ended");
    let removed = node.system.plugin_remove("format-slow", None, Cause::default()).await;
    assert!(removed.is_err(), "the volume may need it");
    node.stop().await;

    gate.missing.lock().clear();
    gate.shut("slow");
    let node = start(directory.path(), &gate, Duration::from_millis(1)).await;
    gate.crowd(1).await;
    node.system.opened().await;
    assert_eq!((node.job(job.id).state, node.row(job.id)), (JobState::Unsettled, JobState::Running));
    gate.open();
    node.settled(job.id, JobState::Done).await;
    let volume = node.served("tree").await;
    assert_eq!((volume.format().name.as_str(), node.row(job.id)), ("slow", JobState::Done));
    let row = node.system.catalog.model().volumes["tree"].clone();
    assert!(row.format == "slow" && row.converting.is_none(), "{row:?}");
    node.converted("tree", "natural").await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_whose_volume_goes_unopened_was_interrupted() {
    let directory = tempfile::tempdir().unwrap();
    let gate = Arc::new(Gate::default());
    let job = cut_off(directory.path(), &gate).await;

    gate.missing.lock().insert("slow".into());
    let node = start(directory.path(), &gate, LONG).await;
    node.system.opened().await;
    assert_eq!(node.job(job.id).state, JobState::Unsettled);
    node.system.delete_volume("tree", Cause::default()).await.unwrap();
    node.settled(job.id, JobState::Interrupted).await;
    assert_eq!(node.row(job.id), JobState::Interrupted);
    node.stop().await;
}
