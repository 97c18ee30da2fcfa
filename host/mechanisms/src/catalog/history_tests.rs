//! What is kept of the history when rows come in floods, and rows of other programs.

use super::memory_rows::MemoryRows;
use super::store::{FORGET_EVERY, KEPT_REVISIONS};
use super::{Catalog, Change, HistoryRow};
use crate::plugins::Stage;

/// Bounds of the catalog in memory: rows of a plugin, and of all.
const PER_PLUGIN: usize = 8;
const IN_ALL: usize = 10;

async fn write(catalog: &Catalog, row: HistoryRow) {
    let commit = catalog.commit(|_| {
        let mut change = Change::default();
        change.audit(row.clone());
        Ok((change, ()))
    });
    commit.await.unwrap();
}

fn done(plugin: &str, reason: String) -> HistoryRow {
    HistoryRow { plugin: Some(plugin.into()), ..HistoryRow::admin("test", reason) }
}

/// Reasons of the rows about a plugin, the oldest first.
fn reasons(catalog: &Catalog, plugin: &str) -> Vec<String> {
    let model = catalog.model();
    let rows = model.history.values().filter(|row| row.plugin.as_deref() == Some(plugin));
    rows.map(|row| row.reason.clone()).collect()
}

#[tokio::test]
async fn a_flood_about_names_that_nobody_has_pushes_out_nothing_but_its_own_kind() {
    let rows = MemoryRows::default();
    let catalog = rows.catalog().await;
    for i in 0..IN_ALL / 2 {
        write(&catalog, done("a", format!("a {i}"))).await;
        write(&catalog, done("b", format!("b {i}"))).await;
    }
    for i in 0..100 {
        let nameless = HistoryRow::admin("test", "asked for").refused(true, "refused");
        write(&catalog, nameless).await;
        write(&catalog, done(&format!("nobody-{i}"), String::new()).refused(true, "refused")).await;
    }
    for name in ["a", "b"] {
        let all: Vec<_> = (0..IN_ALL / 2).map(|i| format!("{name} {i}")).collect();
        assert_eq!(reasons(&catalog, name), all);
    }
    assert_eq!(catalog.model().history.len(), IN_ALL + PER_PLUGIN);
    assert_eq!(reasons(&catalog, "nobody-99").len(), 1, "the latest are there");
    assert_eq!(format!("{:?}", catalog.model()), format!("{:?}", rows.catalog().await.model()));
    // Nor do they keep out what is done next.
    write(&catalog, done("a", "a last".into())).await;
    assert_eq!(reasons(&catalog, "a").last().unwrap(), "a last");
    assert_eq!(catalog.model().history.len(), IN_ALL + PER_PLUGIN);
}

#[tokio::test]
async fn refusals_take_up_a_quarter_of_a_plugins_rows_at_most() {
    let catalog = MemoryRows::default().catalog().await;
    for i in 0..PER_PLUGIN {
        write(&catalog, done("a", format!("done {i}"))).await;
    }
    for i in 0..100 {
        write(&catalog, done("a", format!("refused {i}")).refused(false, "refused")).await;
    }
    let found = reasons(&catalog, "a");
    let kept: Vec<_> = (PER_PLUGIN / 4..PER_PLUGIN).map(|i| format!("done {i}")).collect();
    assert_eq!(found[..kept.len()], kept);
    assert_eq!(found[kept.len()..], ["refused 98", "refused 99"]);
}

#[tokio::test]
async fn a_flood_of_refusals_is_written_in_part_and_counted() {
    let rows = MemoryRows::default();
    let catalog = rows.catalog().await;
    write(&catalog, done("a", "done".into())).await;
    let before = catalog.model().revision;
    for i in 0..3000 {
        write(&catalog, done(&format!("nobody-{i}"), String::new()).refused(true, "refused")).await;
    }
    let written = catalog.model().revision - before;
    assert!(written <= 256, "{written} rows were written while the clock stood still");
    assert_eq!(reasons(&catalog, "a"), ["done"]);
    // What is done is written all the same, also together with a refusal.
    let commit = catalog.commit(|_| {
        let mut change = Change::default();
        change.audit(done("a", "next".into()));
        change.audit(done("a", "not this".into()).refused(false, "refused"));
        Ok((change, ()))
    });
    commit.await.unwrap();
    assert_eq!(reasons(&catalog, "a"), ["done", "next"]);
}

#[tokio::test]
async fn old_revisions_are_let_go_of_as_the_catalog_is_written() {
    let rows = MemoryRows::default();
    let catalog = rows.catalog().await;
    let mut seen = 0;
    for i in 0..3000 {
        write(&catalog, done("a", format!("{i}"))).await;
        let (revision, forgotten) = (catalog.model().revision, rows.forgotten());
        assert!(revision - forgotten <= KEPT_REVISIONS + FORGET_EVERY, "at {revision}: {forgotten}");
        assert!(forgotten == 0 || revision - forgotten >= KEPT_REVISIONS, "at {revision}: {forgotten}");
        seen = seen.max(forgotten);
    }
    assert!(seen > 0);
    // A program that comes after goes on, also over what one from before did not let go of.
    let next = rows.catalog().await;
    write(&next, done("a", "last".into())).await;
    assert!(next.model().revision - rows.forgotten() <= KEPT_REVISIONS + 1);
}

#[tokio::test]
async fn a_refusal_does_not_read_the_whole_catalog() {
    let rows = MemoryRows::default();
    let catalog = rows.catalog().await;
    for i in 0..10 {
        write(&catalog, done("a", format!("{i}"))).await;
    }
    let before = rows.rows_read();
    for _ in 0..100 {
        let refused = catalog.commit(|_| Err::<(Change, ()), _>(crate::Error::NoSuchJob(1))).await;
        assert!(matches!(refused, Err(crate::Error::NoSuchJob(1))));
    }
    assert!(rows.rows_read() - before <= 100, "{} rows were read", rows.rows_read() - before);
}

/// A row as the program wrote it before reasons, claims, papers and settings, to the byte.
const OLD: &str = concat!(
    r#"{"version":1,"unix_ms":1763650800000,"actor":"admin","action":"plugin-use","volume":"default","#,
    r#""plugin":"mine","plugin_version":"0.1.0","digest":"0f","from":"rehearsed","to":"active","#,
    r#""reason":"rehearsal passed","outcome":"done"}"#,
);

#[tokio::test]
async fn rows_of_earlier_programs_are_read_and_written_again_as_they_were() {
    let rows = MemoryRows::default();
    rows.put("mortise/history/00000000000000000007", OLD);
    let catalog = rows.catalog().await;
    let model = catalog.model();
    assert!(model.unreadable.is_empty(), "{:?}", model.unreadable);
    let row = &*model.history[&7];
    assert_eq!((row.operator.as_ref(), row.grants.as_ref(), row.config.as_ref()), (None, None, None));
    assert!(!row.refused && !row.stranger);
    assert_eq!(serde_json::to_string(row).unwrap(), OLD, "what is not known takes no room");
    write(&catalog, done("mine", "next".into())).await;
    assert_eq!(reasons(&catalog, "mine"), ["rehearsal passed", "next"]);
}

/// What the program before knew of a row; it passes over what it does not know.
#[derive(serde::Deserialize)]
struct Before {
    version: u32,
    actor: String,
    to: Option<String>,
    outcome: String,
}

#[test]
fn earlier_programs_read_the_rows_of_this_one() {
    let cause = crate::Cause { reason: Some("ticket 7".into()), ..Default::default() };
    let row = HistoryRow { version: 1, ..HistoryRow::admin("plugin-use", "x") };
    let row = row.moved(None, Stage::Active).caused_by(&cause).config("{}").refused(true, "refused: no");
    let before: Before = serde_json::from_value(serde_json::to_value(row).unwrap()).unwrap();
    assert_eq!((before.version, before.actor.as_str(), before.outcome.as_str()), (1, "admin", "refused: no"));
    assert_eq!(before.to.as_deref(), Some("active"));
}

#[test]
fn settings_are_kept_in_full_where_they_are_short() {
    let short = format!(r#"{{"k":"{}"}}"#, "x".repeat(392));
    assert_eq!(short.len(), 400);
    let seen = HistoryRow::admin("plugin-use", "x").config(&short).config.unwrap();
    assert_eq!((seen.bytes, seen.json.as_deref(), seen.sha256.as_deref()), (400, Some(&*short), None));
    let long = short.replace("xxx", "xxxx");
    let seen = HistoryRow::admin("plugin-use", "x").config(&long).config.unwrap();
    assert_eq!((seen.bytes, seen.json), (long.len() as u64, None));
    assert_eq!(seen.sha256.unwrap(), mortise_plugin_runtime::Digest::of(long.as_bytes()).to_string());
}
