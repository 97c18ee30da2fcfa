//! What the history says of formats: by jobs, by volumes that are made and go, and by what is kept.

use std::collections::BTreeSet;

use mortise_kernel::format::FormatId;

use super::WantedFormat;
use super::decide::{Ended, Facts, JobWork, begin, end, note_format};
use super::decide_tests::{catalog, convert, hierarchical, kept_natural, natural};
use super::observe::JobState;
use crate::NATIVE_STRATEGY;
use crate::catalog::{Catalog, HistoryRow, KeptRow};
use crate::cause::{Actor, Cause};
use crate::volumes::{bury, doom, reserve};

const PLUGIN: &str = "format-hierarchical";

fn alice() -> Cause {
    let actor = Actor { operator: Some("alice".into()), peer: None };
    Cause { actor, reason: Some("ticket 7".into()) }
}

async fn begun(catalog: &Catalog, facts: &Facts, work: &JobWork) -> u64 {
    let decide = |model: &_| begin(model, "v", facts, work, 5);
    catalog.commit_for(&alice(), decide).await.expect("begun").id
}

async fn ended(catalog: &Catalog, id: u64, ended: Ended) {
    catalog.commit(|model| end(model, id, &ended, 9)).await.expect("ended");
}

fn end_of(state: JobState, format: FormatId, kept: Option<KeptRow>) -> Ended {
    Ended { state, detail: String::new(), result: None, now: Some((format, kept)), by: None }
}

fn kept(format: FormatId) -> Option<KeptRow> {
    Some(KeptRow { generation: 1, format, until_unix_ms: 99 })
}

/// Rows about the format's plugin: who, what and what came of it, the oldest first; each names the version.
fn told(catalog: &Catalog) -> Vec<String> {
    let model = catalog.model();
    let rows = model.history.values().filter(|row| row.plugin.as_deref() == Some(PLUGIN));
    let line = |row: &HistoryRow| {
        let version = (row.plugin_version.as_deref(), row.digest.as_deref());
        assert_eq!(version, (Some("1.0.0"), Some("d1")), "{row:?}");
        assert!(row.config.is_some() && row.volume.is_some(), "{row:?}");
        let who = row.operator.as_deref().unwrap_or(&row.actor);
        assert_eq!(row.operator_reason.is_some(), row.operator.is_some(), "{row:?}");
        format!("{who} {} {}: {}", row.action, row.volume.as_deref().unwrap_or_default(), row.outcome)
    };
    rows.map(|row| line(row)).collect()
}

#[tokio::test]
async fn a_conversion_is_told_from_its_begin_to_its_end_and_so_is_the_way_back() {
    let catalog = catalog().await;
    let there = begun(&catalog, &natural(), &convert("hierarchical", false)).await;
    ended(&catalog, there, end_of(JobState::Done, hierarchical("{}"), kept(FormatId::natural()))).await;
    let facts = Facts { id: 7, format: hierarchical("{}"), generation: 2, kept: Some(kept_natural()) };
    let back = begun(&catalog, &facts, &JobWork::Undo).await;
    ended(&catalog, back, end_of(JobState::Done, FormatId::natural(), None)).await;
    let expected = [
        "alice volume-convert v: job 1 began",
        "node volume-convert v: done: in use",
        "alice volume-undo v: job 2 began",
        "node volume-undo v: done: no longer in use",
    ];
    assert_eq!(told(&catalog), expected);
    let model = catalog.model();
    let reasons: Vec<_> = model.history.values().map(|row| row.reason.as_str()).collect();
    assert_eq!(
        reasons[..2],
        ["from natural 1 to hierarchical 1.0.0", "job 1: from natural 1 to hierarchical 1.0.0"]
    );
}

#[tokio::test]
async fn what_does_not_end_well_is_told_with_the_reason_and_who_ended_it() {
    let catalog = catalog().await;
    let natural_still =
        |state, detail: &str| Ended { detail: detail.into(), ..end_of(state, FormatId::natural(), None) };
    for ending in [
        natural_still(JobState::Failed, "the disk is full"),
        Ended { by: Some(alice()), ..natural_still(JobState::Cancelled, "") },
        natural_still(JobState::Interrupted, "the node stopped"),
    ] {
        let id = begun(&catalog, &natural(), &convert("hierarchical", false)).await;
        ended(&catalog, id, ending).await;
    }
    let dry = begun(&catalog, &natural(), &convert("hierarchical", true)).await;
    ended(&catalog, dry, end_of(JobState::Done, FormatId::natural(), None)).await;
    let expected = [
        "alice volume-convert v: job 1 began",
        "node volume-convert v: failed: the disk is full",
        "alice volume-convert v: job 2 began",
        "alice volume-convert v: cancelled",
        "alice volume-convert v: job 3 began",
        "node volume-convert v: interrupted: the node stopped",
        "alice volume-convert v: job 4 began, a dry run",
        "node volume-convert v: done: it could be done, and nothing was changed",
    ];
    assert_eq!(told(&catalog), expected);
}

#[tokio::test]
async fn what_is_kept_for_going_back_is_in_use_until_it_is_gone() {
    let catalog = catalog().await;
    let there = begun(&catalog, &natural(), &convert("hierarchical", false)).await;
    ended(&catalog, there, end_of(JobState::Done, hierarchical("{}"), None)).await;
    let facts = Facts { id: 7, format: hierarchical("{}"), generation: 2, kept: None };
    let away = begun(&catalog, &facts, &convert("natural", false)).await;
    ended(&catalog, away, end_of(JobState::Done, FormatId::natural(), kept(hierarchical("{}")))).await;
    assert_eq!(
        told(&catalog).pop().unwrap(),
        "node volume-convert v: done: no longer in use, but kept for going back"
    );
    for _ in 0..2 {
        let note = |model: &_| note_format(model, "v", 7, &FormatId::natural(), None);
        catalog.commit(note).await.expect("noted");
    }
    assert_eq!(told(&catalog)[4..], ["node format-unused v: no longer in use"], "once");
}

#[tokio::test]
async fn a_rebuild_has_to_do_with_no_plugin_and_other_settings_of_one_format_are_told_once() {
    let catalog = catalog().await;
    let facts = Facts { id: 7, format: hierarchical("{}"), generation: 2, kept: None };
    let id = begun(&catalog, &facts, &JobWork::Rebuild).await;
    ended(&catalog, id, end_of(JobState::Done, hierarchical("{}"), None)).await;
    assert!(told(&catalog).is_empty());
    assert_eq!(catalog.model().history.len(), 2, "the volume's own");
    let mut work = convert("hierarchical", false);
    if let JobWork::Convert { to, .. } = &mut work {
        to.config = Some(r#"{"knob":1}"#.into());
    }
    let id = begun(&catalog, &facts, &work).await;
    ended(&catalog, id, end_of(JobState::Done, hierarchical(r#"{"knob":1}"#), None)).await;
    assert_eq!(
        told(&catalog),
        ["alice volume-convert v: job 2 began", "node volume-convert v: done: in use"]
    );
}

#[tokio::test]
async fn a_volume_in_a_format_tells_it_of_its_begin_and_of_its_end() {
    let catalog = catalog().await;
    let format = WantedFormat { name: "hierarchical".into(), ..WantedFormat::default() };
    let disk = BTreeSet::from([1, 7]);
    catalog.commit(|model| crate::volumes::found(model, &disk, 0)).await.expect("founded");
    let create = |name: &'static str| {
        let (catalog, format, disk) = (&catalog, &format, &disk);
        async move {
            let decide = |model: &_| reserve(model, name, format, disk, 0);
            catalog.commit_for(&alice(), decide).await.expect("reserved").id
        }
    };
    let id = create("a").await;
    let failed = HistoryRow::node("volume-create", "the disk is full").outcome("failed");
    catalog.commit(|model| bury(model, "a", id, NATIVE_STRATEGY, &failed)).await.expect("buried");
    let id = create("b").await;
    for _ in 0..2 {
        catalog.commit_for(&alice(), |model| doom(model, "b", NATIVE_STRATEGY)).await.expect("doomed");
    }
    let deleted = HistoryRow::admin("volume-delete", "asked for");
    catalog.commit(|model| bury(model, "b", id, NATIVE_STRATEGY, &deleted)).await.expect("buried");
    let expected = [
        "alice volume-create a: in use",
        "node volume-create a: failed",
        "alice volume-create b: in use",
        "alice volume-delete b: the volume was deleted",
    ];
    assert_eq!(told(&catalog), expected);
}
