//! Changes race, strangers write, rows are damaged.

use std::sync::Arc;

use super::memory_rows::MemoryRows;
use super::{Change, HistoryRow, Key, NextVolumeId, ROW_VERSION};
use crate::{Error, Result};

/// Counts `next-volume-id` up and returns the id that was free.
fn next_id(model: &super::Model) -> Result<(Change, u64)> {
    let id = model.next_volume_id.unwrap_or(3);
    let mut change = Change::default();
    change.put(model, Key::NextVolumeId, &NextVolumeId { version: ROW_VERSION, next: id + 1 })?;
    Ok((change, id))
}

#[tokio::test]
async fn ids_are_unique_though_two_catalogs_hand_them_out_at_once() {
    let rows = MemoryRows::default();
    let catalogs = [Arc::new(rows.catalog().await), Arc::new(rows.catalog().await)];
    let tasks = (0..50).map(|i| {
        let catalog = Arc::clone(&catalogs[i % 2]);
        tokio::spawn(async move { catalog.commit(next_id).await.unwrap() })
    });
    let mut ids: Vec<u64> = futures::future::join_all(tasks).await.into_iter().map(Result::unwrap).collect();
    ids.sort_unstable();
    assert_eq!(ids, (3..53).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_change_that_followed_equals_one_that_was_loaded() {
    let rows = MemoryRows::default();
    let catalog = rows.catalog().await;
    for i in 0..25 {
        catalog
            .commit(|model| {
                let (mut change, _) = next_id(model)?;
                change.audit(HistoryRow::node("test", format!("number {i}")));
                Ok((change, ()))
            })
            .await
            .unwrap();
    }
    let (followed, loaded) = (catalog.model(), rows.catalog().await.model());
    assert_eq!(format!("{followed:?}"), format!("{loaded:?}"));
    assert_eq!(followed.history.len(), 10, "history is bounded");
    assert_eq!(followed.history.last_key_value().unwrap().1.reason, "number 24");
}

#[tokio::test]
async fn history_is_bounded_for_each_plugin_and_a_busy_one_does_not_push_others_out() {
    let rows = MemoryRows::default();
    let catalog = rows.catalog().await;
    let write = |plugin: Option<&'static str>, reason: String| {
        catalog.commit(move |_| {
            let mut change = Change::default();
            let mut row = HistoryRow::node("test", reason.clone());
            row.plugin = plugin.map(Into::into);
            change.audit(row);
            Ok((change, ()))
        })
    };
    write(Some("quiet"), "once".into()).await.unwrap();
    for i in 0..40 {
        write(Some("busy"), format!("number {i}")).await.unwrap();
    }
    let of = |name: &str| {
        let model = catalog.model();
        let rows = model.history.values().filter(|row| row.plugin.as_deref() == Some(name));
        rows.map(|row| row.reason.clone()).collect::<Vec<_>>()
    };
    assert_eq!(of("busy"), (32..40).map(|i| format!("number {i}")).collect::<Vec<_>>());
    assert_eq!(of("quiet"), ["once"]);
    // The bound of all together holds over everything.
    for i in 0..40 {
        write(None, format!("volume {i}")).await.unwrap();
    }
    let model = catalog.model();
    assert_eq!(model.history.len(), 10);
    assert_eq!(format!("{model:?}"), format!("{:?}", rows.catalog().await.model()));
}

#[tokio::test]
async fn long_texts_are_shortened_before_they_are_kept() {
    let rows = MemoryRows::default();
    let catalog = rows.catalog().await;
    let row = HistoryRow::node("test", "ü".repeat(5000));
    let commit = catalog.commit(|_| {
        let mut change = Change::default();
        change.audit(row.clone());
        Ok((change, ()))
    });
    commit.await.unwrap();
    assert_eq!(catalog.model().history[&0].reason.chars().count(), 1001);
}

#[tokio::test]
async fn a_strangers_write_is_seen_before_the_decision_counts() {
    let rows = MemoryRows::default();
    let catalog = rows.catalog().await;
    assert_eq!(catalog.commit(next_id).await.unwrap(), 3);
    rows.put("mortise/catalog/next-volume-id", r#"{"version":9,"next":70,"unknown":true}"#);
    assert_eq!(catalog.commit(next_id).await.unwrap(), 70);
    rows.put("mortise/volumes/strange", "not json");
    assert_eq!(catalog.commit(next_id).await.unwrap(), 71);
    let model = catalog.model();
    assert_eq!(model.unreadable.len(), 1, "the unreadable row is known: {:?}", model.unreadable);
    assert!(model.mod_revision(&Key::Volume("strange".into())) > 0);
}

#[tokio::test]
async fn a_failed_write_is_told_and_the_next_one_passes() {
    let rows = MemoryRows::default();
    let catalog = rows.catalog().await;
    rows.set_full(true);
    let error = catalog.commit(next_id).await.unwrap_err();
    assert!(matches!(error, Error::Kernel(mortise_kernel::Error::NoSpace(_))), "{error}");
    rows.set_full(false);
    assert_eq!(catalog.commit(next_id).await.unwrap(), 3);
}

#[test]
fn rows_of_newer_and_older_programs_are_read() {
    let row = r#"{"version":2,"digest":"d","world":"format","wit_version":"0.2.0","size":1,"added_unix_ms":2,
        "origin":"added","limits":{"memory_bytes":1048576,"threads":4},"colour":"red"}"#;
    let read = |row: &str| serde_json::from_str::<super::PluginRow>(row).unwrap();
    assert_eq!(read(row).limits.memory_bytes, 1 << 20);
    assert_eq!(read(&row.replace("\"origin\"", "\"state\"")), read(row), "as it was called before");
}
