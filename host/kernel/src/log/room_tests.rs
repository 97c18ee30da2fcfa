//! A log whose disk is full holds what it was given, and goes on, or ends, without a restart.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::{Log, LogConfig, LogFailure};
use crate::node::VolumeId;
use crate::seams::DiskSpace;

/// A disk whose space the test sets, and that tells when it is asked.
struct Disk {
    free: AtomicU64,
    asked: mpsc::Sender<u64>,
}

impl DiskSpace for Disk {
    fn free_bytes(&self, _path: &Path) -> io::Result<u64> {
        let free = self.free.load(Ordering::SeqCst);
        // The test may have ended already.
        let _ = self.asked.send(free);
        Ok(free)
    }
}

struct Fixture {
    log: Arc<Log>,
    disk: Arc<Disk>,
    asked: mpsc::Receiver<u64>,
    dir: tempfile::TempDir,
}

fn with_free(free: u64) -> Fixture {
    let dir = tempfile::tempdir().expect("a directory");
    let (sender, asked) = mpsc::channel();
    let disk = Arc::new(Disk { free: AtomicU64::new(free), asked: sender });
    let config = LogConfig { disk: Arc::<Disk>::clone(&disk), ..LogConfig::new(dir.path().join("log")) };
    Fixture { log: Log::open(config).expect("opens"), disk, asked, dir }
}

type Outcome = oneshot::Receiver<Result<(), LogFailure>>;

fn append(log: &Log, index: u64, bytes: usize) -> Outcome {
    let (sender, outcome) = oneshot::channel();
    let done = Box::new(move |result| drop(sender.send(result)));
    log.append(VolumeId(1), vec![(index, Bytes::from(vec![7; bytes]))], done);
    outcome
}

/// Waits until the log has found no space `times` times.
fn refused(fixture: &Fixture, times: usize) {
    let full = |free: &u64| *free == fixture.disk.free.load(Ordering::SeqCst);
    assert_eq!(fixture.asked.iter().filter(full).take(times).count(), times);
}

#[tokio::test]
async fn writes_are_held_while_the_disk_is_full_and_go_on_by_themselves() {
    let fixture = with_free(1 << 40);
    append(&fixture.log, 1, 100).await.expect("completed").expect("durable");
    fixture.disk.free.store(0, Ordering::SeqCst);
    let mut held = append(&fixture.log, 2, 100);
    refused(&fixture, 2);
    assert!(held.try_recv().is_err(), "nothing may be acknowledged without space");
    assert_eq!(fixture.log.read(VolumeId(1), 0, 9, 1 << 20).expect("reads go on").len(), 1);
    assert!(fixture.log.failure().is_none());
    fixture.disk.free.store(1 << 40, Ordering::SeqCst);
    held.await.expect("completed").expect("durable");
    append(&fixture.log, 3, 100).await.expect("completed").expect("durable");
    assert_eq!(fixture.log.read(VolumeId(1), 0, 9, 1 << 20).expect("readable").len(), 3);
}

#[tokio::test]
async fn closing_releases_what_is_held_and_nothing_of_it_is_there_afterwards() {
    let fixture = with_free(0);
    let held = append(&fixture.log, 1, 100);
    refused(&fixture, 1);
    fixture.log.close();
    let failure = held.await.expect("completed").expect_err("not written");
    assert!(matches!(crate::Error::from(failure), crate::Error::NoSpace(_)));
    let log = Log::open(LogConfig::new(fixture.dir.path().join("log"))).expect("opens again");
    assert!(log.read(VolumeId(1), 0, 9, 1 << 20).expect("readable").is_empty());
}
