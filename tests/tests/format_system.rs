//! Formats over a whole set in this process, whose clock is set by the test: what is kept goes when its time
//! is over, suspicion rises and ends, and a volume whose codec is in quarantine waits.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mortise_kernel::ErrorKind;
use mortise_kernel::kv::{Command, CommandResponse, PutRequest, RangeRequest};
use mortise_kernel::node::{Consistency, Node, NodeConfig, Volume, VolumeConfig, VolumeId};
use mortise_kernel::seams::{Clock, Deadline, Seams, SharedClock};
use mortise_mechanisms::{
    Cause, FormatCodecs, JobInfo, JobRequest, JobState, JobWork, NewPlugin, ShippedPlugin, System,
    SystemConfig, VolumeInfo, WantedFormat,
};
use mortise_plugin_runtime::{Limits, Runtime, RuntimeConfig, World};
use mortise_tests::{bombs, guests};

const HOUR: Duration = Duration::from_secs(3600);
const MINE: &str = "format-mine";

/// A clock that stands still until it is set.
struct SetClock(AtomicU64);

impl SetClock {
    fn advance(&self, by: Duration) {
        self.0.fetch_add(u64::try_from(by.as_millis()).expect("a short time"), Ordering::SeqCst);
    }
}

impl Clock for SetClock {
    fn unix_millis(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

struct Running {
    node: Arc<Node>,
    system: Arc<System>,
    clock: Arc<SetClock>,
}

fn deadline() -> Deadline {
    Deadline::after(Duration::from_secs(60))
}

async fn open(path: &Path, clock: &Arc<SetClock>, codecs: &Arc<FormatCodecs>) -> Arc<Node> {
    let config = NodeConfig { reserve_disk_bytes: 0, ..NodeConfig::new(path) };
    let seams = Seams {
        codecs: Arc::<FormatCodecs>::clone(codecs) as _,
        ..Seams::with_clock(Arc::<SetClock>::clone(clock) as SharedClock)
    };
    Node::open_with(config, seams).await.expect("the node opens")
}

impl Running {
    async fn start(path: &Path) -> Self {
        Self::start_as(path, |component| component.to_vec()).await
    }

    /// The node of a program that carries its components in another build.
    async fn start_as(path: &Path, build: impl Fn(&[u8]) -> Vec<u8>) -> Self {
        let (clock, codecs) = (Arc::new(SetClock(AtomicU64::new(1_700_000_000_000))), FormatCodecs::new());
        let node = open(path, &clock, &codecs).await;
        let runtime = Runtime::new(RuntimeConfig::default()).expect("an engine");
        let shipped = mortise_plugins::shipped().iter();
        let shipped = shipped
            .map(|plugin| ShippedPlugin { name: plugin.name.into(), bytes: build(plugin.bytes).into() });
        let config = SystemConfig {
            codecs,
            clock: Arc::<SetClock>::clone(&clock) as SharedClock,
            ..SystemConfig::new(shipped.collect(), "compaction-leveled")
        };
        let system = System::start(Arc::clone(&node), runtime, config).await.expect("the system starts");
        system.opened().await;
        Self { node, system, clock }
    }

    async fn stop(self) {
        self.system.shutdown().await;
        self.node.shutdown().await.expect("the node stops");
    }

    /// Adds a component as `format-mine`.
    async fn add(&self, bytes: &[u8]) -> String {
        let bytes = bytes.to_vec();
        let new = NewPlugin { bytes, name: Some(MINE.into()), signature: None, grants: Vec::new() };
        self.system.plugin_add(new, Cause::default()).await.expect("added").digest
    }

    async fn create(&self, volume: &str) -> Arc<Volume> {
        let format = WantedFormat { name: "mine".into(), ..WantedFormat::default() };
        self.system.create_volume(volume, format, Cause::default()).await.expect("created");
        self.system.resolve(Some(volume)).expect("open")
    }

    fn info(&self, volume: &str) -> VolumeInfo {
        let volumes = self.system.list_volumes();
        volumes.into_iter().find(|info| info.name == volume).expect("listed")
    }

    async fn convert(&self, volume: &str, to: &str, keep_previous: Option<Duration>) -> JobInfo {
        let to = WantedFormat { name: to.into(), ..WantedFormat::default() };
        let work = JobWork::Convert { to, sample: false, dry_run: false, keep_previous };
        let job = self
            .system
            .start_job(volume, JobRequest { rate: None, work }, Cause::default())
            .await
            .expect("begun");
        let mut watched = self.system.watch_job(job.id).expect("known");
        watched.wait_for(|job| job.state != JobState::Running).await.expect("it ends").clone()
    }
}

async fn put(volume: &Volume, key: &str) -> mortise_kernel::Result<CommandResponse> {
    let request = PutRequest { key: key.to_owned().into(), value: "value".into(), ..PutRequest::default() };
    volume.propose(Command::Put(request), deadline()).await
}

async fn has(volume: &Volume, key: &str) -> bool {
    let request = RangeRequest { key: key.to_owned().into(), ..RangeRequest::default() };
    volume.range(request, Consistency::Linearizable, deadline()).await.expect("readable").count == 1
}

/// While a generation is kept, its format's component stays; when the time is over both may go.
#[tokio::test(flavor = "multi_thread")]
async fn a_kept_generation_goes_when_its_time_is_over_and_lets_its_component_go() {
    let directory = tempfile::tempdir().expect("a directory");
    let running = Running::start(directory.path()).await;
    running.add(guests::FORMAT_WELL_BEHAVED).await;
    let one = running.create("one").await;
    put(&one, "a").await.expect("written");
    let job = running.convert("one", "natural", Some(24 * HOUR)).await;
    assert!(job.state == JobState::Done && job.result.as_ref().is_some_and(|it| it.kept), "{job:?}");

    running.clock.advance(24 * HOUR - Duration::from_millis(1));
    put(&one, "b").await.expect("written");
    one.flush().await.expect("flushed");
    let kept = running.system.volume_report("one").expect("open").kept.expect("kept a moment longer");
    assert_eq!((kept.generation, kept.format.name.as_str()), (1, "mine"));
    let error = running
        .system
        .plugin_remove(MINE, None, Cause::default())
        .await
        .expect_err("it is needed for the way back");
    assert_eq!(error.kind(), ErrorKind::FailedPrecondition, "{error}");

    running.clock.advance(Duration::from_millis(1));
    put(&one, "c").await.expect("written");
    // Every flush is a moment to look at the clock.
    one.flush().await.expect("flushed");
    while running.system.volume_report("one").expect("open").kept.is_some() {
        tokio::task::yield_now().await;
    }
    let undo = JobRequest { rate: None, work: JobWork::Undo };
    let error =
        running.system.start_job("one", undo, Cause::default()).await.expect_err("there is no way back");
    assert!(error.to_string().contains("no previous generation"), "{error}");
    running.system.plugin_remove(MINE, None, Cause::default()).await.expect("nothing needs it");
    for key in ["a", "b", "c"] {
        assert!(has(&one, key).await, "{key}");
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_codec_that_faults_is_suspect_for_an_hour_and_serves_all_the_while() {
    let directory = tempfile::tempdir().expect("a directory");
    let running = Running::start(directory.path()).await;
    let digest = running.add(guests::FORMAT_LOOP_IN_ENCODE_VALUES).await;
    let one = running.create("one").await;
    let problem = || running.info("one").problem;
    for faults in 1..=3 {
        assert_eq!(problem(), None, "{} faults are no ground", faults - 1);
        let error = put(&one, "a").await.expect_err("its codec never ends");
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    }
    let said = problem().expect("three faults are a ground");
    assert!(said.contains(MINE) && said.contains("fuel"), "{said}");
    assert_eq!(running.info("one").state, "ready", "it is served all the same");
    assert!(!has(&one, "a").await, "what needs no value passes");
    put(&one, "a").await.expect_err("it goes on to be asked");

    let faults = running.system.plugin_show(MINE).expect("known").faults;
    assert_eq!(faults.len(), 4);
    assert!(faults.iter().all(|fault| fault.volume == "one" && fault.kind == "fuel"), "{faults:?}");
    // The row is written beside the requests.
    let rows = || running.system.plugin_history(Some(MINE)).expect("known");
    while !rows().iter().any(|row| row.action == "format-faults") {
        tokio::task::yield_now().await;
    }
    let told = rows().into_iter().filter(|row| row.action == "format-faults").collect::<Vec<_>>();
    assert_eq!(told.len(), 1, "one suspicion is told once: {told:?}");
    assert_eq!(told[0].digest.as_deref(), Some(digest.as_str()));

    running.clock.advance(HOUR);
    assert_eq!(problem(), None, "an hour without a fault ends it");
    put(&one, "a").await.expect_err("as before");
    assert_eq!(problem(), None, "one fault is no ground");
    for _ in 0..2 {
        put(&one, "a").await.expect_err("as before");
    }
    assert!(problem().is_some(), "three within an hour are");
    let told = || rows().into_iter().filter(|row| row.action == "format-faults").count();
    while told() < 2 {
        tokio::task::yield_now().await;
    }
    put(&one, "a").await.expect_err("as before");
    assert_eq!(told(), 2, "each suspicion is told once");
    running.stop().await;
}

/// A change of limits reaches the codecs that serve, with their next call; what no format could serve with is
/// refused.
#[tokio::test(flavor = "multi_thread")]
async fn limits_of_a_format_hold_from_the_next_call() {
    let directory = tempfile::tempdir().expect("a directory");
    let running = Running::start(directory.path()).await;
    // Its first call takes half a milliard units of fuel, many ticks of the clock; a large value pays for it.
    running.add(guests::FORMAT_LAZY).await;
    let config = Some(r#"{"a": "long"}"#.to_owned());
    let format = WantedFormat { name: "mine".into(), config, ..WantedFormat::default() };
    running.system.create_volume("one", format, Cause::default()).await.expect("created");
    let one = running.system.resolve(Some("one")).expect("open");
    let write = || {
        let value = vec![0; 250_000].into();
        let request = PutRequest { key: "a".into(), value, ..PutRequest::default() };
        one.propose(Command::Put(request), deadline())
    };
    let usual = World::Format.default_limits();
    let shown = || running.system.plugin_show(MINE).expect("known").versions[0].limits.expect("limits");
    assert_eq!(shown(), usual);
    let limit = |limits| running.system.plugin_limits(MINE, move |_| limits, Cause::default());

    let short = Limits { deadline: Duration::from_millis(1), ..usual };
    limit(short).await.expect("set");
    let error = write().await.expect_err("it takes longer");
    assert_eq!(error.kind(), ErrorKind::DeadlineExceeded, "{error}");
    let faults = running.system.plugin_show(MINE).expect("known").faults;
    assert!(faults.len() == 1 && faults[0].kind == "deadline", "it is the format's own: {faults:?}");
    let metered = Limits { fuel: Some(1_000), ..usual };
    limit(metered).await.expect("set");
    let error = write().await.expect_err("it takes more fuel");
    assert!(error.to_string().contains("out of fuel"), "{error}");

    let patient = Limits { deadline: Duration::from_secs(20), ..usual };
    limit(patient).await.expect("set");
    write().await.expect("it has the time");
    for (low, least) in [
        (Limits { memory_bytes: 1 << 20, ..patient }, "67108864"),
        (Limits { answer_bytes: 1 << 20, ..patient }, "8388608"),
    ] {
        let error = limit(low).await.expect_err("no format could serve with that");
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
        assert!(error.to_string().contains(least) && error.to_string().contains("is a format"), "{error}");
    }
    assert_eq!(shown(), patient, "a refusal changes nothing");
    running.stop().await;
}

/// A catalog may have been restored, or the row may come from elsewhere: whatever the way, such a volume does
/// not open, and does when the quarantine ends.
#[tokio::test(flavor = "multi_thread")]
async fn a_volume_whose_codec_is_in_quarantine_waits_for_its_release() {
    let directory = tempfile::tempdir().expect("a directory");
    let running = Running::start(directory.path()).await;
    let digest = running.add(guests::FORMAT_WELL_BEHAVED).await;
    let one = running.create("one").await;
    put(&one, "a").await.expect("written");
    let on_trial = Cause { reason: Some("on trial".into()), ..Cause::default() };
    let error = running.system.plugin_quarantine(MINE, None, on_trial).await.expect_err("it is in use");
    assert!(error.to_string().contains("one"), "{error}");
    drop(one);
    running.stop().await;

    let clock = Arc::new(SetClock(AtomicU64::new(1_700_000_000_000)));
    let node = open(directory.path(), &clock, &FormatCodecs::new()).await;
    let catalog = VolumeConfig { id: VolumeId::SYSTEM, name: "system".into() };
    let catalog = node.open_volume(catalog).await.expect("opened");
    let row =
        r#"{"plugin": "format-mine", "plugin_version": "0.1.0", "since_unix_ms": 1, "reason": "on trial"}"#;
    let key = format!("mortise/quarantine/*/format/{digest}");
    let request = PutRequest { key: key.into(), value: row.into(), ..PutRequest::default() };
    catalog.propose(Command::Put(request), deadline()).await.expect("written");
    drop(catalog);
    node.shutdown().await.expect("the node stops");

    let running = Running::start(directory.path()).await;
    let info = running.info("one");
    assert_eq!(info.state, "failed");
    let problem = info.problem.expect("a reason");
    assert!(problem.contains("on trial") && problem.contains("plugin release"), "{problem}");
    running.system.resolve(Some("one")).expect_err("it is not served");
    running.system.resolve(None).expect("others are");
    running.system.plugin_release(MINE, None, Cause::default()).await.expect("released");
    let one = running.system.resolve(Some("one")).expect("it opens by itself");
    assert!(has(&one, "a").await);
    drop(one);
    running.stop().await;
}

/// Whoever upgrades the program goes on with the data that the one before has written, and may go back.
#[tokio::test(flavor = "multi_thread")]
async fn a_program_with_another_build_of_a_format_serves_what_the_one_before_has_written() {
    let directory = tempfile::tempdir().expect("a directory");
    let running = Running::start(directory.path()).await;
    let format = WantedFormat { name: "hierarchical".into(), ..WantedFormat::default() };
    running.system.create_volume("logs", format, Cause::default()).await.expect("created");
    let logs = running.system.resolve(Some("logs")).expect("open");
    put(&logs, "/a").await.expect("written");
    let format = |running: &Running| running.system.volume_report("logs").expect("open").format;
    let written = format(&running);
    let first = written.digest.as_deref().expect("it has a component");
    drop(logs);
    running.stop().await;
    for start in ["/b", "/c"] {
        let running = Running::start_as(directory.path(), |component| bombs::distinct(component, 7)).await;
        let logs = running.system.resolve(Some("logs")).expect("it opens");
        assert!(has(&logs, "/a").await);
        put(&logs, start).await.expect("written");
        assert_eq!(format(&running), written, "in its own build");
        drop(logs);
        running.stop().await;
    }
    // A conversion leads to the new build, and the earlier one may go.
    let running = Running::start_as(directory.path(), |component| bombs::distinct(component, 7)).await;
    let build = format!("{}+build.{}", written.version, &first[..12]);
    let remove = || running.system.plugin_remove("format-hierarchical", Some(&build), Cause::default());
    assert_eq!(remove().await.expect_err("needed").kind(), ErrorKind::FailedPrecondition);
    let job = running.convert("logs", "hierarchical", None).await;
    assert_eq!(job.state, JobState::Done, "{job:?}");
    assert_ne!(format(&running).digest, written.digest);
    remove().await.expect("nothing is in it any more");
    let logs = running.system.resolve(Some("logs")).expect("open");
    for key in ["/a", "/b", "/c"] {
        assert!(has(&logs, key).await, "{key}");
    }
    drop(logs);
    running.stop().await;
}
