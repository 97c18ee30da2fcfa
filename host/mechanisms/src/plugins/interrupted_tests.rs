//! A stop between any two writes of the catalog, with the write lost or only its answer, leaves what the next
//! start undoes or finishes; and rows of earlier programs are read.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mortise_plugin_runtime::Digest;

use super::act::WORLD;
use super::stage::Stage;
use super::world::{NOBODY, Running, VOLUME, World, addition};
use super::{Addition, SignatureState, capabilities_by_default};
use crate::NATIVE_STRATEGY;
use crate::catalog::memory_rows::Stop;
use crate::catalog::{Blobs, HistoryRow, Model, Target};
use crate::compaction::Supervisor;

/// The life of two plugins, with every kind of write. Ends at the first failure, as a program does that is
/// killed there. Returns how many of the steps were acknowledged.
async fn live(node: &Running) -> usize {
    let steps = AtomicUsize::new(0);
    let done = || {
        steps.fetch_add(1, Ordering::Relaxed);
    };
    let all = async {
        node.add("b 1.0.0 wait").await?;
        done();
        // A refused addition is a step, too: it leaves an arrival to be undone.
        let refused = node.add("b 1.0.0 wait other").await;
        assert!(refused.is_err());
        // So is a refused use: whether or not its row can be written, it is answered.
        assert!(matches!(node.bind("nobody").await, Err(crate::Error::NoSuchPlugin { .. })));
        node.add("c 1.0.0 wait").await?;
        done();
        node.bind("b").await?;
        done();
        node.bind("c").await?;
        done();
        node.lifecycle.roll_back(VOLUME, NOBODY).await?;
        done();
        node.bind("c").await?;
        done();
        let active = node.slot.load();
        node.lifecycle.quarantine(VOLUME, &active, "test".into()).await;
        node.bind(NATIVE_STRATEGY).await?;
        done();
        node.shadow("c").await?;
        done();
        node.shadow("b").await?;
        done();
        node.lifecycle.promote("b", VOLUME, NOBODY).await?;
        done();
        let active = node.slot.load();
        node.lifecycle.take_back(VOLUME, &active, "test".into()).await;
        node.bind(NATIVE_STRATEGY).await?;
        done();
        node.shadow("c").await?;
        done();
        let shadow = node.slot.shadow().unwrap();
        node.lifecycle.end_shadow(VOLUME, &shadow, "test".into()).await;
        node.shadow("b").await?;
        done();
        node.lifecycle.stop_shadow(None, VOLUME, NOBODY).await?;
        done();
        node.lifecycle.limit("b", |_| super::admit_tests::ROOMY, NOBODY).await?;
        done();
        node.lifecycle.remove("b", None, NOBODY).await?;
        done();
        node.lifecycle.remove("c", None, NOBODY).await?;
        done();
        crate::Result::<()>::Ok(())
    };
    let _ended = all.await;
    steps.load(Ordering::Relaxed)
}

const STEPS: usize = 17;

/// What must hold after every start.
fn is_tidy(world: &World, node: &Running) {
    let model = node.catalog.model();
    assert!(model.arrivals.is_empty(), "{:?}", model.arrivals);
    assert!(model.bindings.values().all(|row| row.candidate.is_none()), "{:?}", model.bindings);
    assert!(model.plugins.values().all(|row| row.stage == Stage::Verified), "{:?}", model.plugins);
    let named: BTreeSet<String> = model.plugins.values().map(|row| row.digest.clone()).collect();
    let files = std::fs::read_dir(world.directory.path().join("blobs")).unwrap();
    let files: BTreeSet<String> = files
        .map(|file| file.unwrap().file_name().to_string_lossy().trim_end_matches(".wasm").to_owned())
        .collect();
    assert_eq!(files, named, "a file for each row and a row for each file");
    for (_, _, digest) in model.quarantines.keys() {
        assert!(named.contains(digest), "a quarantine is left of what is gone");
    }
    let binding = node.lifecycle.binding_info(VOLUME).unwrap();
    assert_eq!(binding.serving, binding.bound);
    assert_eq!(binding.problem, None);
    let shadow = node.slot.shadow().map(|shadow| shadow.candidate.info.clone());
    let row = node.lifecycle.shadowing(VOLUME).map(|row| node.lifecycle.describe(&row.target));
    assert_eq!(shadow, row, "what the catalog names runs, and nothing else");
    if let Some(shadow) = shadow {
        assert!(named.contains(&shadow.digest) && shadow != binding.serving);
        assert!(node.stages(&shadow.plugin).contains(&"plugin-shadow rehearsed shadowing".to_owned()));
    }
}

#[tokio::test]
async fn a_stop_between_any_two_writes_is_tidied_up_by_the_next_start() {
    let mut finished = 0;
    for stop in [Stop::Before, Stop::After] {
        for n in 0.. {
            let world = World::new();
            let node = world.start(&["leveled 1.0.0 wait"]).await;
            world.rows.stop_at(Some((n, stop)));
            let acknowledged = live(&node).await;
            let (serving, shadow) = (node.serving(), node.lifecycle.shadowing(VOLUME));
            // A quarantine that could not be written yet ends with the process.
            let unsaved = !node.lifecycle.unsaved.lock().is_empty();
            let running = node.slot.shadow().is_some();
            drop(node);
            world.rows.stop_at(None);

            let node = world.start(&["leveled 1.0.0 wait"]).await;
            is_tidy(&world, &node);
            if stop == Stop::Before && !unsaved {
                assert_eq!(node.serving(), serving, "write {n}: what served before serves after");
            }
            if stop == Stop::Before {
                assert_eq!(node.lifecycle.shadowing(VOLUME), shadow, "write {n}: what shadowed goes on");
                // One that was ended for its faults runs again when that could not be written.
                assert!(!running || shadow.is_some(), "write {n}");
            }
            // The whole life can be lived once more, from wherever it was cut.
            if acknowledged < STEPS {
                node.bind(NATIVE_STRATEGY).await.unwrap();
                if node.slot.shadow().is_some() {
                    node.lifecycle.stop_shadow(None, VOLUME, NOBODY).await.unwrap();
                }
                for name in ["b", "c"] {
                    if !node.lifecycle.versions(&node.catalog.model(), name).is_empty() {
                        node.lifecycle.remove(name, None, NOBODY).await.unwrap();
                    }
                }
                assert_eq!(live(&node).await, STEPS, "write {n}, {stop:?}");
                is_tidy(&world, &node);
            } else {
                finished += 1;
                assert!(n >= 28, "there are at least 28 writes to stop at, not {n}");
                break;
            }
        }
    }
    assert_eq!(finished, 2);
}

#[tokio::test]
async fn a_verification_that_a_stop_interrupted_is_undone_and_told_and_never_run_again() {
    let world = World::new();
    let digest = Digest::of(b"b 1.0.0 wait").to_string();
    {
        let node = world.start(&["leveled 1.0.0 wait"]).await;
        // The arrival is the first write; the row is the second.
        world.rows.stop_at(Some((1, Stop::Before)));
        node.lifecycle
            .add(Addition { name: Some("mine".into()), ..addition("b 1.0.0 wait") })
            .await
            .unwrap_err();
        assert_eq!(node.host.loads(), 2, "the default and this one");
    }
    world.rows.stop_at(None);
    assert_eq!(world.rows.count("mortise/arrivals/"), 1);
    assert!(world.blob(&digest).exists());
    let node = world.start(&["leveled 1.0.0 wait"]).await;
    assert_eq!(node.host.loads(), 1, "it may be what stopped the node");
    is_tidy(&world, &node);
    let row = &node.lifecycle.history(Some("mine")).unwrap()[0];
    assert_eq!((row.from.as_deref(), row.to.as_deref()), (Some("added"), Some("removed")));
    assert_eq!((row.actor.as_str(), row.digest.as_deref()), ("node", Some(digest.as_str())));
    assert!(row.outcome.contains("add it again"), "{row:?}");
    node.add("b 1.0.0 wait").await.unwrap();
}

#[tokio::test]
async fn a_candidate_that_was_not_activated_is_taken_out_and_told() {
    let world = World::new();
    {
        let node = world.start(&["leveled 1.0.0 wait"]).await;
        node.add("b 1.0.0 wait").await.unwrap();
        // The proposal is the first write; the activation is the second.
        world.rows.stop_at(Some((1, Stop::Before)));
        node.bind("b").await.unwrap_err();
        assert_eq!(node.serving(), "leveled 1.0.0");
        let info = node.lifecycle.binding_info(VOLUME).unwrap().candidate.unwrap();
        assert_eq!((info.strategy.plugin.as_str(), info.stage.as_str()), ("b", "rehearsed"));
        let removed = node.lifecycle.remove("b", None, NOBODY).await;
        assert!(matches!(removed, Err(crate::Error::PluginInUse { .. })), "{removed:?}");
    }
    world.rows.stop_at(None);
    let node = world.start(&["leveled 1.0.0 wait"]).await;
    is_tidy(&world, &node);
    assert_eq!(world.rows.count("mortise/bindings/"), 0, "no binding of its own is left");
    let row = &node.lifecycle.history(Some("b")).unwrap()[0];
    assert_eq!((row.from.as_deref(), row.to.as_deref()), (Some("rehearsed"), Some("verified")));
}

#[tokio::test]
async fn an_answer_that_was_lost_does_not_hide_that_the_change_was_made() {
    let world = World::new();
    let node = world.start(&["leveled 1.0.0 wait"]).await;
    node.add("b 1.0.0 wait").await.unwrap();
    world.rows.stop_at(Some((1, Stop::After)));
    assert!(node.bind("b").await.unwrap().changed);
    assert_eq!(node.serving(), "b 1.0.0");
    world.rows.stop_at(Some((0, Stop::After)));
    assert!(node.lifecycle.roll_back(VOLUME, NOBODY).await.unwrap().changed);
    assert_eq!(node.serving(), "leveled 1.0.0");
}

/// Rows as the program wrote them before it stored stages, signatures and grants.
fn write_old_rows(world: &World, digest: &str) {
    let plugin = format!(
        r#"{{"version":1,"digest":"{digest}","world":"compaction-strategy","wit_version":"0.1.0","size":12,
            "added_unix_ms":5,"origin":"added","summary":"does wait","limits":{{"memory_bytes":16777216,
            "deadline_ms":100,"answer_bytes":65536}}}}"#
    );
    let target = |name: &str| {
        format!(
            r#"{{"kind":"plugin","plugin":"{name}","version":"1.0.0","digest":"{digest}","config":"{{}}"}}"#
        )
    };
    let binding = format!(
        r#"{{"version":1,"volume_id":2,"current":{},"since_unix_ms":7,"previous":[{},{{"kind":"default"}}]}}"#,
        target("b"),
        target("gone")
    );
    let history = r#"{"version":1,"unix_ms":5,"actor":"admin","action":"plugin-add","plugin":"b",
        "plugin_version":"1.0.0","digest":"d","reason":"added","outcome":"done"}"#;
    world.rows.put("mortise/plugins/b/1.0.0", &plugin);
    world.rows.put(&format!("mortise/bindings/{VOLUME}/{WORLD}"), &binding);
    world.rows.put("mortise/history/00000000000000000900", history);
}

#[tokio::test]
async fn rows_of_the_program_before_are_read_and_serve() {
    let world = World::new();
    drop(world.start(&["leveled 1.0.0 wait"]).await);
    let digest = Blobs::open(world.directory.path()).unwrap().put(b"b 1.0.0 wait").unwrap();
    write_old_rows(&world, &digest);

    let node = world.start(&["leveled 1.0.0 wait"]).await;
    let model = node.catalog.model();
    assert!(model.unreadable.is_empty(), "{:?}", model.unreadable);
    let row = &model.plugins[&("b".to_owned(), "1.0.0".to_owned())];
    assert_eq!((row.stage, &row.signature), (Stage::Verified, &SignatureState::Unsigned));
    assert_eq!(row.grants, capabilities_by_default());
    assert_eq!(node.serving(), "b 1.0.0");
    assert!(!node.slot.load().is_watched(0) && node.slot.shadow().is_none());
    let shown = node.lifecycle.show("b").unwrap();
    assert_eq!(shown.versions[0].stage, "active");
    assert_eq!(shown.history[0].from, None);
    node.lifecycle.roll_back(VOLUME, NOBODY).await.unwrap();
    assert_eq!(node.serving(), "leveled 1.0.0", "what is gone is passed over");
}

/// What the program before knew of a binding.
#[derive(serde::Deserialize)]
struct OldBinding {
    current: Target,
    previous: Vec<Target>,
    candidate: Option<OldCandidate>,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
enum OldStage {
    Rehearsed,
}

#[derive(serde::Deserialize)]
struct OldCandidate {
    #[serde(rename = "stage")]
    _stage: OldStage,
}

#[tokio::test]
async fn rows_of_this_program_are_read_by_the_one_before() {
    let world = World { watch: Duration::from_secs(600), ..World::new() };
    let node = world.start(&["leveled 1.0.0 wait"]).await;
    for name in ["b", "c"] {
        node.add(&format!("{name} 1.0.0 wait")).await.unwrap();
        node.bind(name).await.unwrap();
    }
    node.lifecycle.roll_back(VOLUME, NOBODY).await.unwrap();
    node.shadow("leveled").await.unwrap();
    node.bind("c").await.unwrap();
    node.lifecycle.roll_back(VOLUME, NOBODY).await.unwrap();
    node.lifecycle.bind("b", None, VOLUME, Some(r#"{"its":"own"}"#.into()), NOBODY).await.unwrap();
    let model: &Model = &node.catalog.model();
    let row = &model.bindings[&(VOLUME.to_owned(), WORLD.as_str().to_owned())];
    assert_eq!(row.taken_back.len(), 1);
    let old: OldBinding = serde_json::from_value(serde_json::to_value(row).unwrap()).unwrap();
    assert_eq!((old.current, old.previous), (row.current.clone(), row.previous.clone()));
    assert!(row.shadow.is_some() && row.watch_until_unix_ms > 0 && old.candidate.is_none());
    let history = HistoryRow::admin("plugin-use", "x").moved(None, Stage::Active);
    assert_eq!(serde_json::to_value(history).unwrap()["to"], "active");
}
