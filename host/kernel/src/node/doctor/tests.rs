//! A directory in good order has no findings, each thing out of order has its own, and nothing is changed.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use super::{Finding, Report, Severity, examine};
use crate::Error;
use crate::kv::{Command, PutRequest};
use crate::node::{Node, NodeConfig, VolumeConfig, VolumeId};
use crate::seams::{Deadline, SystemClock};

const VOLUME: u64 = 7;
const GENERATION: &str = "volumes/7/gen-000001";

/// A node that was stopped in good order, with one volume that has a table.
async fn stopped_node() -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    let node =
        Node::open(NodeConfig::new(directory.path()), Arc::new(SystemClock)).await.expect("the node opens");
    let config = VolumeConfig { id: VolumeId(VOLUME), name: "test".into() };
    let volume = node.create_volume(config).await.expect("the volume is made");
    for number in 0..100 {
        let put = PutRequest {
            key: format!("key-{number}").into(),
            value: vec![b'v'; 100].into(),
            ..PutRequest::default()
        };
        volume
            .propose(Command::Put(put), Deadline::after(std::time::Duration::from_secs(30)))
            .await
            .expect("a put");
    }
    volume.flush().await.expect("flushed");
    node.shutdown().await.expect("stopped");
    directory
}

/// Every file below `path` with its content and the time of its last change, and every directory with its.
fn image(path: &Path) -> BTreeMap<PathBuf, (Vec<u8>, SystemTime)> {
    let mut image = BTreeMap::new();
    let mut open = vec![path.to_path_buf()];
    while let Some(next) = open.pop() {
        let changed = fs::symlink_metadata(&next).and_then(|found| found.modified()).expect("a time");
        let mut content = Vec::new();
        if next.is_dir() {
            open.extend(fs::read_dir(&next).expect("listed").map(|entry| entry.expect("an entry").path()));
        } else {
            content = fs::read(&next).expect("read");
        }
        image.insert(next, (content, changed));
    }
    image
}

fn examined(directory: &Path) -> Report {
    let before = image(directory);
    let report = examine(directory, &|_| {}).expect("examined");
    assert!(image(directory) == before, "the doctor changed the directory");
    report
}

fn only(report: &Report, severity: Severity, path: &str) -> Finding {
    let [finding] = report.findings.as_slice() else { panic!("not one finding: {:?}", report.findings) };
    assert_eq!(finding.severity, severity, "{finding:?}");
    assert_eq!(finding.path, report.directory.join(path), "{finding:?}");
    finding.clone()
}

#[tokio::test]
async fn a_directory_in_good_order_has_no_findings() {
    let directory = stopped_node().await;
    let report = examined(directory.path());
    assert_eq!(report.findings, []);
    assert_eq!(report.worst(), None);
    assert!(report.node.is_some());
    assert!(report.log.journals.iter().all(|journal| journal.whole) && !report.log.journals.is_empty());
    let [volume] = report.volumes.as_slice() else { panic!("one volume: {:?}", report.volumes) };
    assert_eq!((volume.id, volume.current), (VolumeId(VOLUME), Some(1)));
    let tree = volume.generations[0].tree.as_ref().expect("a tree");
    assert!(tree.tables > 0 && tree.bytes > 0, "{tree:?}");
    assert_eq!(volume.generations[0].format.as_ref().expect("a format").format, "natural");
}

#[tokio::test]
async fn leftovers_are_told_from_strangers() {
    let directory = stopped_node().await;
    let make = |name: &str| fs::create_dir_all(directory.path().join(name)).expect("made");
    let write = |name: &str| fs::write(directory.path().join(name), b"half").expect("written");
    make("volumes/7/gen-000002.building/tables");
    make("volumes/7/gen-000003");
    make("volumes/9.removing");
    make("volumes/11");
    write("NODE.tmp");
    write("volumes/7/CURRENT.tmp");
    write(&format!("{GENERATION}/FORMAT.tmp"));
    make("lost+found");
    make("volumes/strange");
    write("volumes/7/notes");
    let report = examined(directory.path());
    let found = |severity| {
        let named = report.findings.iter().filter(|finding| finding.severity == severity);
        let mut paths: Vec<_> = named
            .map(|finding| finding.path.strip_prefix(&report.directory).expect("below").to_path_buf())
            .collect();
        paths.sort();
        paths
    };
    let leftovers = [
        "NODE.tmp",
        "volumes/11",
        "volumes/7/CURRENT.tmp",
        "volumes/7/gen-000001/FORMAT.tmp",
        "volumes/7/gen-000002.building",
        "volumes/7/gen-000003",
        "volumes/9.removing",
    ];
    assert_eq!(found(Severity::Leftover), leftovers.map(PathBuf::from));
    assert_eq!(
        found(Severity::Unknown),
        ["lost+found", "volumes/7/notes", "volumes/strange"].map(PathBuf::from)
    );
    assert_eq!(report.worst(), Some(Severity::Unknown));
}

/// The only table of the volume.
fn table(directory: &Path) -> String {
    let tables = directory.join(GENERATION).join("tables");
    let entry = fs::read_dir(tables).expect("listed").next().expect("a table").expect("an entry");
    format!("{GENERATION}/tables/{}", entry.file_name().to_string_lossy())
}

fn flip(path: &Path, offset: usize) {
    let mut bytes = fs::read(path).expect("read");
    bytes[offset] ^= 1;
    fs::write(path, bytes).expect("written");
}

#[tokio::test]
async fn damage_is_named_by_its_file() {
    let directory = stopped_node().await;
    let table = table(directory.path());
    let manifest = fs::read_dir(directory.path().join(GENERATION)).expect("listed");
    let manifest = manifest
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .filter(|name| name.starts_with('v'))
        .max_by_key(|name| name[1..].parse::<u64>().expect("a number"))
        .expect("a manifest");
    let at = |name: &str| directory.path().join(name);
    type Damage<'a> = &'a dyn Fn(&Path);
    let damages: [(String, Damage<'_>); 8] = [
        (table.clone(), &|path| flip(path, 40)),
        (table, &|path| fs::remove_file(path).expect("removed")),
        (format!("{GENERATION}/{manifest}"), &|path| flip(path, 3)),
        ("volumes/7/CURRENT".into(), &|path| fs::write(path, "gen-000009\n").expect("written")),
        ("NODE".into(), &|path| fs::write(path, "{}").expect("written")),
        ("NODE".into(), &|path| fs::remove_file(path).expect("removed")),
        ("log/version".into(), &|path| fs::remove_file(path).expect("removed")),
        // The tag of the first batch; complete batches follow it.
        ("log/0.jnl".into(), &|path| flip(path, 0)),
    ];
    for (name, damage) in damages {
        let intact = fs::read(at(&name)).expect("read");
        damage(&at(&name));
        only(&examined(directory.path()), Severity::Damaged, &name);
        fs::write(at(&name), intact).expect("written");
        assert_eq!(examined(directory.path()).findings, [], "{name} is mended");
    }
}

#[tokio::test]
async fn what_this_version_does_not_know_is_no_damage() {
    let directory = stopped_node().await;
    let path = format!("{GENERATION}/FORMAT");
    let at = directory.path().join(&path);
    let text = fs::read_to_string(&at).expect("read");
    fs::write(&at, text.replace("natural", "supernatural")).expect("written");
    let finding = only(&examined(directory.path()), Severity::Unserved, &path);
    assert!(finding.detail.contains("supernatural"), "{finding:?}");
    fs::remove_file(&at).expect("removed");
    only(&examined(directory.path()), Severity::Unserved, &path);
}

#[tokio::test]
async fn a_note_of_what_is_kept_that_says_nothing_is_named() {
    let directory = stopped_node().await;
    let path = format!("{GENERATION}/KEPT");
    for content in ["{", r#"{"generation": 99}"#] {
        fs::write(directory.path().join(&path), content).expect("written");
        only(&examined(directory.path()), Severity::Leftover, &path);
    }
    fs::remove_file(directory.path().join(&path)).expect("removed");
    fs::create_dir(directory.path().join(&path)).expect("made");
    only(&examined(directory.path()), Severity::Damaged, "volumes/7");
}

#[tokio::test]
async fn a_directory_in_use_is_refused_and_one_that_is_none() {
    let directory = tempfile::tempdir().expect("a directory");
    assert!(matches!(examine(directory.path(), &|_| {}), Err(Error::NoDataDirectory(_))));
    assert!(matches!(examine(&directory.path().join("nowhere"), &|_| {}), Err(Error::Io { .. })));
    assert!(image(directory.path()).len() == 1, "nothing was made");
    let node =
        Node::open(NodeConfig::new(directory.path()), Arc::new(SystemClock)).await.expect("the node opens");
    assert!(matches!(examine(directory.path(), &|_| {}), Err(Error::DirectoryInUse(_))));
    node.shutdown().await.expect("stopped");
    assert!(examine(directory.path(), &|_| {}).is_ok());
}
