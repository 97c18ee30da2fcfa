//! What becomes of volumes, for every state that a crash or an outside intervention can leave.

use std::collections::BTreeSet;

use super::decide::{
    DEFAULT, StartPlan, SystemVolumeStart, bury, doom, found, ready, reserve, start_plan, system_start,
};
use mortise_kernel::format::FormatId;

use crate::catalog::memory_rows::MemoryRows;
use crate::catalog::{Catalog, HistoryRow};
use crate::rebuild::WantedFormat;
use crate::{Error, NATIVE_STRATEGY};

fn ids<const N: usize>(ids: [u64; N]) -> BTreeSet<u64> {
    BTreeSet::from(ids)
}

fn named(name: &str, id: u64) -> Vec<(String, u64)> {
    vec![(name.into(), id)]
}

fn incomplete(name: &str, id: u64) -> Vec<(String, u64, FormatId)> {
    vec![(name.into(), id, FormatId::natural())]
}

fn natural() -> WantedFormat {
    WantedFormat::default()
}

async fn founded(rows: &MemoryRows) -> Catalog {
    let catalog = rows.catalog().await;
    catalog.commit(|model| found(model, &ids([1]), 0)).await.unwrap();
    catalog
}

#[test]
fn a_missing_system_volume_stops_the_start_unless_nothing_else_is_there() {
    assert_eq!(system_start(&ids([])).unwrap(), SystemVolumeStart::Create);
    assert_eq!(system_start(&ids([1])).unwrap(), SystemVolumeStart::OpenOrCreate);
    assert_eq!(system_start(&ids([1, 2])).unwrap(), SystemVolumeStart::Open);
    let error = system_start(&ids([2, 3])).unwrap_err();
    assert!(error.to_string().contains("volumes 2, 3"), "{error}");
}

#[tokio::test]
async fn an_empty_catalog_beside_volumes_stops_the_start() {
    let catalog = MemoryRows::default().catalog().await;
    let error = catalog.commit(|model| found(model, &ids([1, 2]), 0)).await.unwrap_err();
    assert!(matches!(error, Error::CatalogMissing(_)), "{error}");
    assert!(catalog.model().is_empty());
}

#[tokio::test]
async fn the_first_start_and_its_repetitions_found_the_same() {
    let rows = MemoryRows::default();
    let catalog = founded(&rows).await;
    assert_eq!(start_plan(&catalog.model(), &ids([1])).complete, incomplete(DEFAULT, 2));
    let revision = catalog.model().revision;
    catalog.commit(|model| found(model, &ids([1, 2]), 9)).await.unwrap();
    assert_eq!(catalog.model().revision, revision, "nothing is written twice");
    catalog.commit(|model| ready(model, DEFAULT, 2)).await.unwrap();
    let plan = start_plan(&catalog.model(), &ids([1, 2]));
    assert_eq!(plan, StartPlan { open: named(DEFAULT, 2), ..StartPlan::default() });
}

#[tokio::test]
async fn each_step_of_a_creation_and_a_deletion_is_finished_at_the_next_start() {
    let rows = MemoryRows::default();
    let catalog = founded(&rows).await;
    catalog.commit(|model| ready(model, DEFAULT, 2)).await.unwrap();
    let row = catalog.commit(|model| reserve(model, "a", &natural(), &ids([1, 2]), 0)).await.unwrap();
    assert_eq!(row.id, 3);
    for disk in [ids([1, 2]), ids([1, 2, 3])] {
        assert_eq!(start_plan(&catalog.model(), &disk).complete, incomplete("a", 3));
    }
    catalog.commit(|model| ready(model, "a", 3)).await.unwrap();
    assert!(start_plan(&catalog.model(), &ids([1, 2, 3])).open.contains(&("a".into(), 3)));
    catalog.commit(|model| doom(model, "a", NATIVE_STRATEGY)).await.unwrap();
    for disk in [ids([1, 2]), ids([1, 2, 3])] {
        assert_eq!(start_plan(&catalog.model(), &disk).remove, named("a", 3));
    }
    let audit = HistoryRow::node("volume-delete", "test");
    catalog.commit(|model| bury(model, "a", 3, NATIVE_STRATEGY, &audit)).await.unwrap();
    let again = catalog.commit(|model| reserve(model, "a", &natural(), &ids([1, 2]), 0)).await.unwrap();
    assert_eq!(again.id, 4, "the name comes back, the id does not");
}

#[tokio::test]
async fn directories_without_a_row_are_left_alone_and_their_ids_skipped() {
    let rows = MemoryRows::default();
    let catalog = founded(&rows).await;
    let reserve = async |disk: &BTreeSet<u64>| {
        let row = catalog.commit(|model| reserve(model, "a", &natural(), disk, 0)).await.unwrap();
        catalog
            .commit(|model| bury(model, "a", row.id, NATIVE_STRATEGY, &HistoryRow::default()))
            .await
            .unwrap();
        row.id
    };
    assert_eq!(reserve(&ids([1, 2])).await, 3);
    let disk = ids([1, 2, 3, 7, u64::MAX]);
    let plan = start_plan(&catalog.model(), &disk);
    assert_eq!(plan.strangers, [3, 7, u64::MAX], "3 was handed out once, and is nobody's now");
    assert_eq!(reserve(&disk).await, 8);
    assert_eq!(reserve(&disk).await, 9);
    assert_eq!(reserve(&ids([1, 2])).await, 10, "also when the directories are gone again");
}

#[tokio::test]
async fn a_volume_takes_all_its_quarantines_with_it() {
    let rows = MemoryRows::default();
    founded(&rows).await.commit(|model| reserve(model, "a", &natural(), &ids([1, 2]), 0)).await.unwrap();
    let row = r#"{"version":1,"plugin":"p","plugin_version":"1.0.0","since_unix_ms":0,"reason":"test"}"#;
    for i in 0..200 {
        rows.put(&format!("mortise/quarantine/a/compaction-strategy/{i:064x}"), row);
    }
    let catalog = rows.catalog().await;
    assert_eq!(catalog.model().quarantines.len(), 200);
    let audit = HistoryRow::default();
    while catalog.commit(|model| bury(model, "a", 3, NATIVE_STRATEGY, &audit)).await.unwrap() {
        assert!(catalog.model().volumes.contains_key("a"), "its own row goes last");
    }
    let model = catalog.model();
    assert_eq!((model.quarantines.len(), model.volumes.contains_key("a")), (0, false));
}

#[tokio::test]
async fn names_are_checked_and_protected() {
    let rows = MemoryRows::default();
    let catalog = founded(&rows).await;
    let reserve = async |name: &str| {
        catalog.commit(|model| reserve(model, name, &natural(), &ids([1, 2]), 0)).await.unwrap_err()
    };
    assert!(matches!(reserve("Bad Name").await, Error::VolumeName { .. }));
    assert!(matches!(reserve("system").await, Error::VolumeExists(_)));
    assert!(matches!(reserve("default").await, Error::VolumeInTransition { .. }));
    for name in ["system", "default"] {
        let error = catalog.commit(|model| doom(model, name, NATIVE_STRATEGY)).await.unwrap_err();
        assert!(matches!(error, Error::VolumeProtected(_)), "{error}");
    }
    let error = catalog.commit(|model| doom(model, "nobody", NATIVE_STRATEGY)).await.unwrap_err();
    assert!(matches!(error, Error::NoSuchVolume(_)), "{error}");
}
