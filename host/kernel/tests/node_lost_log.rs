//! A raft log that is not the one of its volumes any more is refused, never served with a hole.

mod node_support;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mortise_kernel::node::Node;
use mortise_kernel::seams::SystemClock;
use mortise_kernel::{Error, Result};
use node_support::{config, get, life, open, put, volume};

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).expect("created");
    for file in fs::read_dir(from).expect("readable") {
        let file = file.expect("readable").path();
        let target = to.join(file.file_name().expect("a name"));
        if file.is_dir() {
            copy(&file, &target);
        } else {
            fs::copy(&file, &target).expect("copied");
        }
    }
}

/// Puts keys with these numbers, and flushes.
async fn write_and_flush(path: PathBuf, numbers: std::ops::Range<u64>) {
    let node = open(config(&path)).await;
    let one = match node.open_volume(volume(5)).await {
        Ok(one) => one,
        Err(_) => node.create_volume(volume(5)).await.expect("created"),
    };
    for number in numbers {
        put(&one, &format!("key-{number}"), "value").await.expect("written");
    }
    one.flush().await.expect("flushed");
    put(&one, "unflushed", "value").await.expect("written");
    node.shutdown().await.expect("stopped");
}

/// A stopped node with a flushed volume and entries behind the flush.
fn stopped() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    life(write_and_flush(dir.path().to_path_buf(), 0..20));
    dir
}

/// Opens the node and its volume; the value of the key behind the flush.
fn reopened(path: &Path) -> Result<Option<String>> {
    let path = path.to_path_buf();
    life(async move {
        let node = Node::open(config(&path), Arc::new(SystemClock)).await?;
        let one = node.open_volume(volume(5)).await?;
        let found = get(&one, "unflushed").await;
        node.shutdown().await?;
        Ok(found)
    })
}

fn assert_names_the_log(found: Result<Option<String>>, expected: &str) {
    match found {
        Err(Error::Corrupt { path, detail }) => {
            assert!(path.components().any(|part| part.as_os_str() == "log"), "{}", path.display());
            assert!(detail.contains(expected), "{detail}");
        }
        other => panic!("expected the log to be refused, found {other:?}"),
    }
}

#[test]
fn a_log_that_was_emptied_is_refused() {
    let dir = stopped();
    let log = dir.path().join("log");
    fs::remove_dir_all(&log).expect("removed");
    fs::create_dir(&log).expect("created");
    for _ in 0..2 {
        assert_names_the_log(reopened(dir.path()), "expected the marker of the raft log");
        assert_eq!(fs::read_dir(&log).expect("readable").count(), 0, "nothing was begun there");
    }
}

#[test]
fn a_log_without_its_marker_is_refused_until_it_is_back() {
    let dir = stopped();
    let marker = dir.path().join("log/version");
    let content = fs::read(&marker).expect("readable");
    fs::remove_file(&marker).expect("removed");
    for _ in 0..2 {
        assert_names_the_log(reopened(dir.path()), "expected the marker of the raft log");
    }
    fs::write(&marker, content).expect("written");
    assert_eq!(reopened(dir.path()).expect("it opens").as_deref(), Some("value"));
}

#[test]
fn a_log_that_was_rolled_back_behind_a_flush_is_refused() {
    let dir = stopped();
    let (log, older) = (dir.path().join("log"), dir.path().join("older"));
    copy(&log, &older);
    life(write_and_flush(dir.path().to_path_buf(), 20..40));
    let newer = dir.path().join("newer");
    fs::rename(&log, &newer).expect("renamed");
    copy(&older, &log);
    for _ in 0..2 {
        assert_names_the_log(reopened(dir.path()), "which the store holds");
    }
    fs::remove_dir_all(&log).expect("removed");
    fs::rename(&newer, &log).expect("renamed");
    assert_eq!(reopened(dir.path()).expect("it opens").as_deref(), Some("value"));
}

#[test]
fn a_volume_that_was_rolled_back_behind_a_purge_is_refused() {
    let dir = stopped();
    let (volumes, older) = (dir.path().join("volumes"), dir.path().join("older"));
    copy(&volumes, &older);
    life(write_and_flush(dir.path().to_path_buf(), 20..40));
    fs::remove_dir_all(&volumes).expect("removed");
    fs::rename(&older, &volumes).expect("renamed");
    for _ in 0..2 {
        assert_names_the_log(reopened(dir.path()), "found them purged");
    }
}
