//! Shadows in the catalog: cast, replaced, ended, resumed after a stop, promoted.

use std::time::Duration;

use mortise_kernel::ErrorKind;

use super::stage::Stage;
use super::world::{NOBODY, Running, VOLUME, World};
use crate::{Error, NATIVE_STRATEGY};

/// The plugin that shadows the volume, in memory and in the catalog.
fn shadow_of(node: &Running) -> Option<String> {
    let info = node.lifecycle.shadow_info(VOLUME).unwrap();
    let row = node.lifecycle.binding(VOLUME).and_then(|row| row.shadow);
    assert_eq!(info.is_some(), row.is_some(), "memory and catalog agree");
    assert_eq!(node.slot.shadow().is_some(), row.is_some());
    info.map(|info| info.candidate.plugin)
}

async fn node_with(world: &World, names: &[&str]) -> Running {
    let node = world.start(&["leveled 1.0.0 wait"]).await;
    for name in names {
        node.add(&format!("{name} 1.0.0 wait")).await.unwrap();
    }
    node
}

#[tokio::test]
async fn a_shadow_survives_a_restart_and_is_promoted() {
    let world = World::new();
    let since = {
        let node = node_with(&world, &["b"]).await;
        let info = node.shadow("b").await.unwrap();
        assert_eq!((info.candidate.plugin.as_str(), info.against.plugin.as_str()), ("b", "leveled"));
        assert_eq!(node.serving(), "leveled 1.0.0");
        info.since_unix_ms
    };
    world.clock.advance(Duration::from_secs(60));
    let node = world.start(&["leveled 1.0.0 wait"]).await;
    assert_eq!(shadow_of(&node).as_deref(), Some("b"));
    let info = node.lifecycle.shadow_info(VOLUME).unwrap().unwrap();
    assert_eq!((info.since_unix_ms, info.counting_since_unix_ms), (since, since + 60_000));
    let binding = node.lifecycle.binding_info(VOLUME).unwrap();
    assert_eq!(binding.candidate.unwrap().stage, "shadowing");
    assert!(!binding.explicit && binding.serving == binding.bound);
    assert_eq!(node.lifecycle.show("b").unwrap().versions[0].stage, "shadowing");
    let removed = node.lifecycle.remove("b", None, NOBODY).await;
    assert!(matches!(removed, Err(Error::PluginInUse { .. })), "{removed:?}");

    let activation = node.lifecycle.promote("b", VOLUME, NOBODY).await.unwrap();
    assert!(activation.changed && activation.replaced.plugin == "leveled");
    assert_eq!((node.serving().as_str(), shadow_of(&node)), ("b 1.0.0", None));
    assert_eq!(node.stages("b").pop().unwrap(), "plugin-promote shadowing active");
    let row = &node.lifecycle.history(Some("b")).unwrap()[0];
    assert!(row.actor == "admin" && row.reason.starts_with("shadowed: "), "{row:?}");
    node.lifecycle.roll_back(VOLUME, NOBODY).await.unwrap();
    assert_eq!(node.serving(), "leveled 1.0.0", "a promotion is rolled back like a use");
}

#[tokio::test]
async fn another_shadow_takes_the_place_of_the_first_and_ends_when_asked_to() {
    let world = World::new();
    let node = node_with(&world, &["b", "c"]).await;
    node.shadow("b").await.unwrap();
    node.shadow("c").await.unwrap();
    assert_eq!(shadow_of(&node).as_deref(), Some("c"));
    let b = ["plugin-rehearse verified rehearsed", "plugin-shadow rehearsed shadowing"];
    let b = [b[0], b[1], "plugin-shadow-end shadowing verified"];
    assert_eq!(node.stages("b")[1..], b);
    assert_eq!(node.lifecycle.history(Some("b")).unwrap()[0].reason, "c 1.0.0 shadows in its place");

    for name in [Some("b"), Some("unheard-of")] {
        let error = node.lifecycle.stop_shadow(name, VOLUME, NOBODY).await.unwrap_err();
        assert!(error.to_string().contains("plugin c 1.0.0 shadows"), "{error}");
    }
    node.lifecycle.stop_shadow(Some("c"), VOLUME, NOBODY).await.unwrap();
    assert_eq!(shadow_of(&node), None);
    assert_eq!(node.stages("c").pop().unwrap(), "plugin-shadow-end shadowing verified");
    assert_eq!(world.rows.count("mortise/bindings/"), 0, "no binding of its own is left");
    let error = node.lifecycle.stop_shadow(None, VOLUME, NOBODY).await.unwrap_err();
    assert!(error.to_string().contains("no plugin shadows"), "{error}");
}

#[tokio::test]
async fn what_cannot_shadow_or_be_promoted_is_refused_and_changes_nothing() {
    let world = World::new();
    let node = node_with(&world, &["b"]).await;
    for (error, part) in [
        (node.lifecycle.promote("b", VOLUME, NOBODY).await.unwrap_err(), "no plugin shadows"),
        (node.shadow(NATIVE_STRATEGY).await.unwrap_err(), "part of the daemon"),
        (node.shadow("leveled").await.unwrap_err(), "serves volume \"default\" already"),
    ] {
        assert_eq!(error.kind(), ErrorKind::FailedPrecondition);
        assert!(error.to_string().contains(part), "{error}");
    }
    node.add("bad 1.0.0 illegal").await.unwrap();
    assert!(matches!(node.shadow("bad").await, Err(Error::Rehearsal { .. })));
    let row = &node.lifecycle.history(Some("bad")).unwrap()[0];
    assert!(row.action == "plugin-shadow" && row.outcome.starts_with("refused"), "{row:?}");
    assert_eq!(node.shadow("unheard-of").await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!((shadow_of(&node), world.rows.count("mortise/bindings/")), (None, 0));

    node.shadow("b").await.unwrap();
    let error = node.lifecycle.promote("leveled", VOLUME, NOBODY).await.unwrap_err();
    assert!(error.to_string().contains("b 1.0.0 shadows") && shadow_of(&node).is_some(), "{error}");
    // Another configuration of what serves is something to compare.
    let knob = r#"{"knob":1}"#;
    let info = node.lifecycle.shadow("leveled", None, VOLUME, Some(knob.into()), NOBODY).await.unwrap();
    assert_eq!((info.candidate.config.as_str(), info.against.config.as_str()), (knob, "{}"));
}

#[tokio::test]
async fn a_use_leaves_the_shadow_of_another_version_and_ends_its_own() {
    let world = World::new();
    let node = node_with(&world, &["b", "c"]).await;
    node.shadow("b").await.unwrap();
    node.bind("c").await.unwrap();
    node.lifecycle.roll_back(VOLUME, NOBODY).await.unwrap();
    node.bind(NATIVE_STRATEGY).await.unwrap();
    assert_eq!(shadow_of(&node).as_deref(), Some("b"), "whatever serves");
    node.bind("b").await.unwrap();
    assert_eq!((node.serving().as_str(), shadow_of(&node)), ("b 1.0.0", None));
    let stages = node.stages("b");
    assert_eq!(
        stages[stages.len() - 2..],
        ["plugin-rehearse shadowing rehearsed", "plugin-use rehearsed active"]
    );

    // A rollback to what shadows is a promotion, too.
    node.bind("c").await.unwrap();
    node.shadow("b").await.unwrap();
    node.lifecycle.roll_back(VOLUME, NOBODY).await.unwrap();
    assert_eq!((node.serving().as_str(), shadow_of(&node)), ("b 1.0.0", None));
    assert_eq!(node.stages("b").pop().unwrap(), "plugin-rollback shadowing active");
}

#[tokio::test(start_paused = true)]
async fn a_shadow_that_faults_is_ended_and_what_serves_is_left_alone() {
    let world = World::new();
    let node = node_with(&world, &[]).await;
    node.add("b 1.0.0 turncoat").await.unwrap();
    node.shadow("b").await.unwrap();
    node.host.turn();
    for _ in 0..3 {
        assert!(shadow_of(&node).is_some());
        node.tree.flush(1);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!((shadow_of(&node), node.serving().as_str()), (None, "leveled 1.0.0"));
    let row = &node.lifecycle.history(Some("b")).unwrap()[0];
    assert_eq!((row.actor.as_str(), row.action.as_str()), ("node", "plugin-shadow-end"));
    assert!(row.reason.contains("3 faults in a row") && row.reason.contains("trap"), "{row:?}");
    assert!(row.outcome.contains("3 faults"), "{row:?}");
    assert!(node.catalog.model().quarantines.is_empty());
    assert!(node.lifecycle.show("b").unwrap().faults.is_empty(), "these are faults in service");
}

#[tokio::test]
async fn a_shadow_that_cannot_run_after_a_restart_is_ended_and_told() {
    let world = World::new();
    let digest = {
        let node = node_with(&world, &["b"]).await;
        node.shadow("b").await.unwrap().candidate.digest
    };
    std::fs::write(world.blob(&digest), "b 1.0.0 trap").unwrap();
    let node = world.start(&["leveled 1.0.0 wait"]).await;
    assert_eq!(shadow_of(&node), None);
    let row = &node.lifecycle.history(Some("b")).unwrap()[0];
    assert!(row.actor == "node" && row.reason.contains("damaged"), "{row:?}");
}

#[tokio::test]
async fn limits_hold_for_shadows_from_the_next_call_on() {
    let world = World::new();
    let node = node_with(&world, &["b"]).await;
    node.shadow("b").await.unwrap();
    let before = node.slot.shadow().unwrap();
    node.lifecycle.limit("leveled", |_| super::admit_tests::ROOMY, NOBODY).await.unwrap();
    assert!(std::sync::Arc::ptr_eq(&before, &node.slot.shadow().unwrap()), "another plugin's");
    node.lifecycle.limit("b", |_| super::admit_tests::ROOMY, NOBODY).await.unwrap();
    assert!(!std::sync::Arc::ptr_eq(&before, &node.slot.shadow().unwrap()));
    assert_eq!(shadow_of(&node).as_deref(), Some("b"));
}

#[tokio::test(start_paused = true)]
async fn a_quarantine_stays_while_the_version_shadows_and_goes_with_its_promotion() {
    let world = World::new();
    let node = node_with(&world, &[]).await;
    node.add("b 1.0.0 wait").await.unwrap();
    node.bind("b").await.unwrap();
    let active = node.slot.load();
    crate::compaction::Supervisor::quarantine(&*node.lifecycle, VOLUME, &active, "test".into()).await;
    assert_eq!(node.serving(), "leveled 1.0.0");
    node.shadow("b").await.unwrap();
    assert_eq!(node.catalog.model().quarantines.len(), 1, "nothing of it serves yet");
    node.lifecycle.stop_shadow(None, VOLUME, NOBODY).await.unwrap();
    assert_eq!(node.stages("b").pop().unwrap(), "plugin-shadow-end shadowing quarantined");
    assert_eq!(node.lifecycle.show("b").unwrap().versions[0].stage, Stage::Quarantined.as_str());
    node.shadow("b").await.unwrap();
    node.lifecycle.promote("b", VOLUME, NOBODY).await.unwrap();
    assert_eq!((node.serving().as_str(), node.catalog.model().quarantines.len()), ("b 1.0.0", 0));
}

#[tokio::test]
async fn what_cannot_be_written_is_not_done() {
    let world = World::new();
    let node = node_with(&world, &["b", "c"]).await;
    world.rows.set_full(true);
    node.shadow("b").await.unwrap_err();
    assert_eq!(shadow_of(&node), None);
    world.rows.set_full(false);
    node.shadow("b").await.unwrap();
    world.rows.set_full(true);
    node.shadow("c").await.unwrap_err();
    node.bind("c").await.unwrap_err();
    node.lifecycle.promote("b", VOLUME, NOBODY).await.unwrap_err();
    node.lifecycle.stop_shadow(None, VOLUME, NOBODY).await.unwrap_err();
    assert_eq!((node.serving().as_str(), shadow_of(&node).as_deref()), ("leveled 1.0.0", Some("b")));
}

/// A shadow that faulted until it was ended, which could not be written.
async fn ended_unwritten(world: &World) -> Running {
    let node = node_with(world, &["c"]).await;
    node.add("b 1.0.0 turncoat").await.unwrap();
    node.shadow("b").await.unwrap();
    world.rows.set_full(true);
    node.host.turn();
    while node.slot.shadow().is_some() {
        node.tree.flush(1);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(node.row().shadow.is_some(), "not written yet");
    world.rows.set_full(false);
    node
}

#[tokio::test(start_paused = true)]
async fn an_end_that_could_not_be_written_is_written_later() {
    let world = World::new();
    let node = ended_unwritten(&world).await;
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert_eq!(shadow_of(&node), None);
    let row = &node.lifecycle.history(Some("b")).unwrap()[0];
    assert!(row.action == "plugin-shadow-end" && row.reason.contains("3 faults in a row"), "{row:?}");
    node.lifecycle.remove("b", None, NOBODY).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn until_then_it_can_be_stopped_replaced_and_cast_anew() {
    let world = World::new();
    let node = ended_unwritten(&world).await;
    let error = node.lifecycle.stop_shadow(Some("c"), VOLUME, NOBODY).await.unwrap_err();
    assert!(error.to_string().contains("plugin b 1.0.0 shadows"), "{error}");
    let info = node.lifecycle.stop_shadow(Some("b"), VOLUME, NOBODY).await.unwrap();
    assert_eq!((info.candidate.plugin.as_str(), info.report.calls), ("b", 0));
    assert_eq!(shadow_of(&node), None);
    node.lifecycle.remove("b", None, NOBODY).await.unwrap();

    for name in ["b", "c"] {
        let world = World::new();
        let node = ended_unwritten(&world).await;
        node.host.turn_back();
        node.shadow(name).await.unwrap();
        tokio::time::sleep(Duration::from_secs(120)).await;
        assert_eq!(shadow_of(&node).as_deref(), Some(name), "what was about the last one is forgotten");
    }
    let world = World::new();
    let node = ended_unwritten(&world).await;
    let error = node.lifecycle.promote("b", VOLUME, NOBODY).await.unwrap_err();
    assert!(error.to_string().contains("no plugin shadows"), "{error}");
    assert_eq!(shadow_of(&node), None, "and so says the catalog now");
}
