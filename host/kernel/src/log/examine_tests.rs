//! A creation that was cut off is begun again; a log that is gone is missed.

use std::fs;
use std::path::Path;

use bytes::Bytes;

use super::tests::completion;
use super::{Log, LogConfig};
use crate::Error;
use crate::node::VolumeId;

const VOLUME: VolumeId = VolumeId(1);

async fn append(log: &Log, index: u64) {
    let (done, outcome) = completion();
    log.append(VOLUME, vec![(index, Bytes::from_static(b"an entry"))], done);
    outcome.await.expect("completed").expect("durable");
}

fn open(folder: &Path, must_exist: bool) -> crate::Result<std::sync::Arc<Log>> {
    Log::open(LogConfig { must_exist, ..LogConfig::new(folder) })
}

/// A file or directory, which is removed where it ends with a minus.
fn apply(root: &Path, step: &(&str, Option<Vec<u8>>)) {
    let (name, content) = step;
    match (name.strip_suffix('-'), content) {
        (Some(name), _) => {
            let path = root.join(name);
            let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
            removed.expect("removed");
        }
        (None, Some(bytes)) => fs::write(root.join(name), bytes).expect("written"),
        (None, None) => fs::create_dir(root.join(name)).expect("made"),
    }
}

/// What fjall and lsm-tree do one after the other when they create the database and its keyspace.
fn creation(complete: &Path) -> Vec<(&'static str, Option<Vec<u8>>)> {
    let manifest = fs::read(complete.join("keyspaces/1/v0")).expect("readable");
    let current = fs::read(complete.join("keyspaces/1/current")).expect("readable");
    let tree = |[tree, tables, manifest_name, temporary, gone, current_name]: [&'static str; 6]| {
        vec![
            (tree, None),
            (tables, None),
            (manifest_name, Some(Vec::new())),
            (manifest_name, Some(manifest[..manifest.len() / 2].to_vec())),
            (manifest_name, Some(manifest.clone())),
            (temporary, Some(current.clone())),
            (gone, None),
            (current_name, Some(current.clone())),
        ]
    };
    let mut steps = vec![
        ("lock", Some(Vec::new())),
        ("keyspaces", None),
        ("0.jnl", Some(Vec::new())),
        ("0.jnl", Some(vec![0; 64 << 20])),
        ("version", Some(Vec::new())),
        ("version", Some(b"FJL".to_vec())),
        // What a power failure may leave of an unsynced write.
        ("version", Some(vec![0; 4])),
        ("version", Some(b"FJL\x03".to_vec())),
    ];
    steps.extend(tree([
        "keyspaces/0",
        "keyspaces/0/tables",
        "keyspaces/0/v0",
        "keyspaces/0/.tmp1",
        "keyspaces/0/.tmp1-",
        "keyspaces/0/current",
    ]));
    steps.extend(tree([
        "keyspaces/1",
        "keyspaces/1/tables",
        "keyspaces/1/v0",
        "keyspaces/1/.tmp1",
        "keyspaces/1/.tmp1-",
        "keyspaces/1/current",
    ]));
    steps
}

#[tokio::test]
async fn a_creation_that_was_cut_off_anywhere_is_begun_again() {
    let complete = tempfile::tempdir().expect("a directory");
    open(complete.path(), false).expect("opens").close();
    let steps = creation(complete.path());
    for cut in 0..=steps.len() {
        let dir = tempfile::tempdir().expect("a directory");
        steps[..cut].iter().for_each(|step| apply(dir.path(), step));
        let before = cut.checked_sub(1).map(|last| steps[last].0);
        let log = open(dir.path(), false).unwrap_or_else(|error| panic!("after {before:?}: {error}"));
        append(&log, 1).await;
        log.close();
        let log = open(dir.path(), true).unwrap_or_else(|error| panic!("again after {before:?}: {error}"));
        assert_eq!(log.read(VOLUME, 1, 1, usize::MAX).expect("readable").len(), 1, "after {before:?}");
    }
}

#[tokio::test]
async fn a_log_whose_marker_is_gone_is_not_begun_anew() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = open(dir.path(), false).expect("opens");
    append(&log, 1).await;
    log.close();
    let marker = dir.path().join("version");
    let content = fs::read(&marker).expect("readable");
    let refused = |must_exist| {
        let refused = open(dir.path(), must_exist);
        assert!(matches!(&refused, Err(Error::Corrupt { path, .. }) if *path == marker), "{refused:?}");
    };
    fs::remove_file(&marker).expect("removed");
    refused(false);
    fs::write(&marker, b"").expect("written");
    refused(false);
    // Only the journal is left, and then only the trees.
    fs::rename(dir.path().join("keyspaces"), dir.path().join("aside")).expect("renamed");
    refused(false);
    fs::rename(dir.path().join("aside"), dir.path().join("keyspaces")).expect("renamed");
    fs::rename(dir.path().join("0.jnl"), dir.path().join("aside")).expect("renamed");
    refused(false);
    fs::rename(dir.path().join("aside"), dir.path().join("0.jnl")).expect("renamed");
    fs::write(&marker, content).expect("written");
    assert_eq!(open(dir.path(), true).expect("opens").read(VOLUME, 1, 1, 1).expect("readable").len(), 1);

    let empty = tempfile::tempdir().expect("a directory");
    assert!(matches!(open(empty.path(), true), Err(Error::Corrupt { .. })), "volumes need a log");
}
