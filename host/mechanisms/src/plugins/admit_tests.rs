//! What comes in and goes leaves nothing behind: rows, files, compiled code, quarantines.

use mortise_kernel::ErrorKind;
use mortise_plugin_runtime::Limits;

use super::Host;
use super::act::WORLD;
use super::world::{NOBODY, Running, VOLUME, World, addition};
use super::{Addition, StageError, capabilities_by_default};
use crate::catalog::{Change, Key, QuarantineRow, ROW_VERSION};
use crate::compaction::Candidate;
use crate::{Error, NATIVE_STRATEGY};

pub(super) const ROOMY: Limits = Limits {
    memory_bytes: 32 << 20,
    deadline: std::time::Duration::from_millis(100),
    answer_bytes: 65536,
    fuel: None,
};

#[tokio::test]
async fn a_new_version_begins_with_the_limits_of_the_newest() {
    let world = World::new();
    let node = world.start(&[]).await;
    node.add("big 1.0.0 wait").await.unwrap();
    node.lifecycle.limit("big", |_| ROOMY, NOBODY).await.unwrap();
    assert_eq!(node.add("big 1.1.0 wait").await.unwrap().row.limits, ROOMY);
    assert_eq!(node.add("other 1.0.0 wait").await.unwrap().row.limits, Limits::default());
    let hungry = |name: Option<&str>| {
        let name = name.map(Into::into);
        node.lifecycle.add(Addition { name, ..addition("big 2.0.0 hungry") })
    };
    assert!(
        matches!(hungry(None).await, Err(Error::DescribeFailed(_))),
        "nobody knows yet whose version it is"
    );
    assert_eq!(hungry(Some("big")).await.unwrap().row.limits, ROOMY);
}

#[tokio::test]
async fn compiled_code_is_kept_as_long_as_a_row_names_it() {
    let world = World::new();
    let node = world.start(&[]).await;
    for line in ["a 1.0.0 mute", "Bad 1.0.0 wait", "native 1.0.0 wait"] {
        node.add(line).await.unwrap_err();
        assert_eq!(node.host.kept(), 0, "{line}");
    }
    let digest = node.add("a 1.0.0 wait").await.unwrap().row.digest;
    node.add("a 1.0.0 wait other").await.unwrap_err();
    let misnamed = Addition { name: Some("Bad".into()), ..addition("a 1.0.0 wait") };
    node.lifecycle.add(misnamed).await.unwrap_err();
    assert!(node.host.keeps(&digest), "what is in the catalog stays");
    node.host.load(b"leftover 1.0.0 wait", &capabilities_by_default()).unwrap();
    assert_eq!(node.host.kept(), 2);
    node.lifecycle.remove_unnamed_files().await;
    assert!(node.host.keeps(&digest) && node.host.kept() == 1);
    node.lifecycle.remove("a", None, NOBODY).await.unwrap();
    assert_eq!(node.host.kept(), 0);
}

#[tokio::test]
async fn one_component_is_compiled_at_a_time() {
    let world = World::new();
    let node = world.start(&[]).await;
    let lines: Vec<String> = (0..8).map(|i| format!("p{i} 1.0.0 wait")).collect();
    let added = futures::future::join_all(lines.iter().map(|line| node.add(line))).await;
    assert!(added.iter().all(Result::is_ok), "{added:?}");
    assert_eq!((node.host.loads(), node.host.most_loading()), (8, 1));
}

#[tokio::test]
async fn adding_and_removing_the_same_bytes_at_once_leaves_row_and_file_or_neither() {
    let world = World::new();
    let node = world.start(&[]).await;
    let digest = node.add("b 1.0.0 wait").await.unwrap().row.digest;
    for round in 0..100 {
        let (added, _) = tokio::join!(node.add("b 1.0.0 wait"), node.lifecycle.remove("b", None, NOBODY));
        // Whoever comes while the row is going is told so; row and file are right all the same.
        if let Err(error) = added {
            assert!(
                matches!(error, Error::PluginStage(StageError::BeingRemoved { .. })),
                "round {round}: {error}"
            );
        }
        let named = node.catalog.model().plugins.values().any(|row| row.digest == digest);
        assert_eq!(world.blob(&digest).exists(), named, "round {round}");
        node.add("b 1.0.0 wait").await.unwrap();
    }
}

/// Puts `digest` into quarantine for so many volumes.
async fn convict_for_many(node: &Running, digest: &str, volumes: usize) {
    let row = QuarantineRow {
        version: ROW_VERSION,
        plugin: "b".into(),
        plugin_version: "1.0.0".into(),
        since_unix_ms: 0,
        reason: "test".into(),
    };
    for chunk in (0..volumes).collect::<Vec<_>>().chunks(100) {
        let put = node.catalog.commit(|model| {
            let mut change = Change::default();
            for i in chunk {
                change.put(model, Key::quarantine(&format!("v{i}"), WORLD.as_str(), digest), &row)?;
            }
            Ok((change, ()))
        });
        put.await.unwrap();
    }
}

#[tokio::test]
async fn many_versions_and_quarantines_are_changed_and_removed_as_a_whole() {
    let world = World::new();
    let node = world.start(&["leveled 1.0.0 wait"]).await;
    for i in 0..130 {
        node.add(&format!("b 1.0.{i} wait")).await.unwrap();
    }
    let other = node.add("c 1.0.0 wait").await.unwrap().row.digest;
    node.lifecycle.limit("b", |_| ROOMY, NOBODY).await.unwrap();
    let model = node.catalog.model();
    assert!(model.versions("b").all(|(_, row)| row.limits == ROOMY));
    let digest = model.versions("b").next().unwrap().1.digest.clone();
    convict_for_many(&node, &digest, 250).await;
    convict_for_many(&node, &other, 1).await;

    node.bind("b").await.unwrap();
    assert!(matches!(node.lifecycle.remove("b", None, NOBODY).await, Err(Error::PluginInUse { .. })));
    assert_eq!(node.catalog.model().versions("b").count(), 130, "one that serves keeps all");
    node.lifecycle.roll_back(VOLUME, NOBODY).await.unwrap();
    node.lifecycle.remove("b", None, NOBODY).await.unwrap();
    let model = node.catalog.model();
    assert_eq!(model.versions("b").count(), 0);
    let left: Vec<_> = model.quarantines.keys().map(|(_, _, digest)| digest.clone()).collect();
    assert_eq!(left, [other]);
    assert_eq!(std::fs::read_dir(world.directory.path().join("blobs")).unwrap().count(), 2);
}

#[tokio::test]
async fn binding_what_is_bound_keeps_the_way_back() {
    let world = World::new();
    let node = world.start(&["leveled 1.0.0 wait"]).await;
    node.add("b 1.0.0 wait").await.unwrap();
    node.bind("b").await.unwrap();
    for _ in 0..3 {
        // As after a file that could not be read: something else serves than what is bound.
        node.slot.replace(Candidate::native(Some("test".into())), 0);
        assert!(node.bind("b").await.unwrap().changed);
        assert_eq!(node.serving(), "b 1.0.0");
    }
    node.lifecycle.roll_back(VOLUME, NOBODY).await.unwrap();
    assert_eq!(node.serving(), "leveled 1.0.0");
}

#[tokio::test]
async fn a_huge_configuration_is_refused_by_its_size() {
    let world = World::new();
    let node = world.start(&["leveled 1.0.0 wait"]).await;
    let config = |bytes: usize| format!(r#"{{"k":"{}"}}"#, "x".repeat(bytes - 8));
    let bind = |config: String| node.lifecycle.bind("leveled", None, VOLUME, Some(config), NOBODY);
    let error = bind(config(16 * 1024 + 1)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(error.to_string().contains("16385 bytes"), "{error}");
    bind(config(16 * 1024)).await.unwrap();
}

/// What could be left over: components and strategies alive, compilations, compiled code kept, files, rows.
fn counts(world: &World, node: &Running) -> (usize, usize, usize, usize, usize) {
    let blobs = std::fs::read_dir(world.directory.path().join("blobs")).unwrap().count();
    (node.host.alive(), node.host.loads(), node.host.kept(), blobs, world.rows.count(""))
}

#[tokio::test]
async fn a_thousand_activations_leave_nothing_behind() {
    let world = World::new();
    let node = world.start(&["leveled 1.0.0 wait"]).await;
    for name in ["b", "c"] {
        node.add(&format!("{name} 1.0.0 wait")).await.unwrap();
    }
    let mut settled = None;
    for round in 0..=1000 {
        let activation = match round % 4 {
            0 => node.bind("b").await,
            1 => node.bind("c").await,
            2 => node.lifecycle.roll_back(VOLUME, NOBODY).await,
            _ => node.bind(NATIVE_STRATEGY).await,
        };
        assert!(activation.unwrap().changed, "round {round}");
        if round == 100 {
            settled = Some(counts(&world, &node));
        }
    }
    assert_eq!(settled.unwrap(), counts(&world, &node));
}

#[tokio::test]
async fn what_comes_and_goes_a_hundred_times_leaves_nothing_behind() {
    let world = World::new();
    let node = world.start(&["leveled 1.0.0 wait"]).await;
    let mut settled = None;
    for round in 0..=100 {
        node.add(&format!("b 1.0.{round} wait")).await.unwrap();
        node.add(&format!("b 2.0.{round} mute")).await.unwrap_err();
        node.bind("b").await.unwrap();
        node.lifecycle.roll_back(VOLUME, NOBODY).await.unwrap();
        node.lifecycle.remove("b", None, NOBODY).await.unwrap();
        let (alive, _, kept, blobs, rows) = counts(&world, &node);
        if round == 20 {
            settled = Some((alive, kept, blobs, rows));
        }
        assert!(round <= 20 || settled == Some((alive, kept, blobs, rows)), "round {round}");
    }
}
