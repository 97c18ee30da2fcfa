//! Which jobs may begin, and what the catalog says around them.

use mortise_kernel::format::FormatId;
use mortise_plugin_runtime::World;

use super::decide::{Begun, Ended, Facts, JobWork, KEPT_JOBS, WantedFormat, begin, end, interrupted};
use super::observe::{JobKind, JobState};
use crate::Error;
use crate::catalog::memory_rows::MemoryRows;
use crate::catalog::{Catalog, KeptRow, Key, ROW_VERSION, VolumeRow, VolumeState};

pub(super) fn hierarchical(config: &str) -> FormatId {
    FormatId {
        name: "hierarchical".into(),
        version: "1.0.0".into(),
        digest: Some("d1".into()),
        config: config.into(),
    }
}

pub(super) fn natural() -> Facts {
    Facts { id: 7, format: FormatId::natural(), generation: 1, kept: None }
}

pub(super) fn kept_natural() -> KeptRow {
    KeptRow { generation: 1, format: FormatId::natural(), until_unix_ms: 0 }
}

pub(super) fn convert(name: &str, dry_run: bool) -> JobWork {
    let to = WantedFormat { name: name.into(), ..WantedFormat::default() };
    JobWork::Convert { to, sample: false, dry_run, keep_previous: None }
}

/// A catalog with a volume, a format and a strategy.
pub(super) async fn catalog() -> Catalog {
    let catalog = MemoryRows::default().catalog().await;
    let volume = VolumeRow {
        version: ROW_VERSION,
        id: 7,
        created_unix_ms: 1,
        format: "natural".into(),
        codec: None,
        converting: None,
        kept: None,
        state: VolumeState::Ready,
    };
    let made = catalog.commit(|model| {
        let mut change = crate::catalog::Change::default();
        change.put(model, Key::Volume("v".into()), &volume)?;
        for (name, digest, world) in
            [("format-hierarchical", "d1", World::Format), ("tiered", "d2", World::CompactionStrategy)]
        {
            let row = serde_json::json!({
                "digest": digest, "world": world.as_str(), "wit_version": "0.2.0", "size": 1,
                "added_unix_ms": 1, "origin": "added",
            });
            change.put(model, Key::plugin(name, "1.0.0"), &row)?;
        }
        Ok((change, ()))
    });
    made.await.expect("made");
    catalog
}

async fn begun(catalog: &Catalog, facts: &Facts, work: &JobWork) -> crate::Result<Begun> {
    catalog.commit(|model| begin(model, "v", facts, work, 5)).await
}

async fn ended(catalog: &Catalog, id: u64, state: JobState, format: FormatId) {
    end_with(
        catalog,
        id,
        Ended { state, detail: String::new(), result: None, now: Some((format, None)), by: None },
    )
    .await;
}

async fn end_with(catalog: &Catalog, id: u64, ended: Ended) {
    catalog.commit(|model| end(model, id, &ended, 9)).await.expect("ended");
}

#[tokio::test]
async fn a_conversion_names_both_formats_until_it_has_ended() {
    let catalog = catalog().await;
    let job = begun(&catalog, &natural(), &convert("hierarchical", false)).await.expect("begun");
    assert_eq!((job.id, job.row.kind, &job.row.to), (1, JobKind::Convert, &hierarchical("{}")));
    let row = |catalog: &Catalog| catalog.model().volumes["v"].clone();
    assert!(row(&catalog).needs("d1"), "the component must not go while the volume may become its");
    assert_eq!(row(&catalog).format_id(), FormatId::natural());
    ended(&catalog, 1, JobState::Done, hierarchical("{}")).await;
    assert_eq!(row(&catalog).format_id(), hierarchical("{}"));
    assert!(row(&catalog).needs("d1") && row(&catalog).converting.is_none());
    assert_eq!(catalog.model().jobs[&1].state, JobState::Done);
    assert_eq!(catalog.model().jobs[&1].ended_unix_ms, Some(9));

    let facts = Facts { id: 7, format: hierarchical("{}"), generation: 2, kept: None };
    let back = begun(&catalog, &facts, &convert("natural", false)).await.expect("begun");
    ended(&catalog, back.id, JobState::Failed, hierarchical("{}")).await;
    assert_eq!(row(&catalog).format_id(), hierarchical("{}"), "a failure changes nothing");
}

#[tokio::test]
async fn what_cannot_be_begun_is_said() {
    let catalog = catalog().await;
    let refused = |work: JobWork| {
        let catalog = &catalog;
        async move { begun(catalog, &natural(), &work).await.expect_err("refused") }
    };
    assert!(matches!(refused(convert("natural", false)).await, Error::FormatUnchanged { .. }));
    assert!(matches!(refused(convert("tiered", false)).await, Error::NoFormat { .. }));
    assert!(matches!(refused(convert("unheard-of", false)).await, Error::NoSuchPlugin { .. }));
    assert!(matches!(refused(JobWork::Undo).await, Error::NothingKept(_)));
    let nowhere = catalog.commit(|model| begin(model, "w", &natural(), &JobWork::Rebuild, 5)).await;
    assert!(matches!(nowhere, Err(Error::NoSuchVolume(_))));
    assert!(catalog.model().jobs.is_empty(), "a refusal leaves no job");
}

#[tokio::test]
async fn ids_grow_and_old_jobs_go() {
    let catalog = catalog().await;
    let jobs = KEPT_JOBS as u64 + 30;
    for expected in 1..=jobs {
        let job = begun(&catalog, &natural(), &JobWork::Rebuild).await.expect("begun");
        assert_eq!(job.id, expected);
        ended(&catalog, job.id, JobState::Done, FormatId::natural()).await;
    }
    let model = catalog.model();
    assert_eq!(model.jobs.len(), KEPT_JOBS);
    assert_eq!(model.jobs.keys().next_back(), Some(&jobs));
}

#[tokio::test]
async fn a_dry_run_changes_no_row_of_the_volume() {
    let catalog = catalog().await;
    let full = begun(&catalog, &natural(), &convert("format-hierarchical", true)).await.expect("begun");
    assert_eq!(full.row.to.name, "hierarchical", "one format has one name");
    let before = catalog.model().volumes["v"].clone();
    let job = begun(&catalog, &natural(), &convert("hierarchical", true)).await.expect("begun");
    assert!(job.row.dry_run);
    assert_eq!(catalog.model().volumes["v"], before);
}

#[tokio::test]
async fn a_stop_after_the_switch_is_not_taken_for_a_failure() {
    let catalog = catalog().await;
    let job = begun(&catalog, &natural(), &convert("hierarchical", false)).await.expect("begun");
    let state = |found| interrupted(&job.row, found).0;
    assert_eq!(state(Some((2, hierarchical("{}")))), JobState::Done);
    assert_eq!(state(Some((1, FormatId::natural()))), JobState::Interrupted);
    assert_eq!(state(None), JobState::Interrupted);
    ended(&catalog, job.id, JobState::Done, hierarchical("{}")).await;

    let facts = Facts { id: 7, format: hierarchical("{}"), generation: 2, kept: Some(kept_natural()) };
    let back = begun(&catalog, &facts, &JobWork::Undo).await.expect("begun");
    let state = |found| interrupted(&back.row, found).0;
    assert_eq!(
        state(Some((1, FormatId::natural()))),
        JobState::Done,
        "the way back leads to a smaller number"
    );
    assert_eq!(state(Some((2, hierarchical("{}")))), JobState::Interrupted);
}

#[tokio::test]
async fn a_job_names_the_format_that_the_data_is_in_though_the_row_is_behind() {
    let catalog = catalog().await;
    let row = || catalog.model().volumes["v"].clone();
    begun(&catalog, &natural(), &convert("hierarchical", false)).await.expect("begun");
    // The conversion has switched, and its end could not be written.
    assert_eq!((row().codec, row().converting), (None, Some(hierarchical("{}"))));
    let facts = Facts { id: 7, format: hierarchical("{}"), generation: 2, kept: Some(kept_natural()) };
    begun(&catalog, &facts, &JobWork::Rebuild).await.expect("begun");
    assert!(row().needs("d1"), "the data is in it");
    assert_eq!((row().format_id(), row().converting), (hierarchical("{}"), None));
    assert_eq!(row().kept, Some(kept_natural()));
    begun(&catalog, &facts, &JobWork::Undo).await.expect("begun");
    assert_eq!((row().format_id(), row().converting), (hierarchical("{}"), Some(FormatId::natural())));
}

#[tokio::test]
async fn a_job_is_not_begun_on_another_volume_of_the_same_name() {
    let catalog = catalog().await;
    let refused = begun(&catalog, &Facts { id: 8, ..natural() }, &JobWork::Rebuild).await;
    assert!(matches!(refused, Err(Error::NoSuchVolume(_))), "{refused:?}");
    assert!(catalog.model().jobs.is_empty());
}
