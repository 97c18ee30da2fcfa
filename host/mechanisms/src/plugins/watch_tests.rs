//! The watch period: the first fault of a newly active version takes it back, later ones do not.

use std::time::Duration;

use super::decide::{Convict, Penalty, take_back};
use super::world::{NOBODY, Running, VOLUME, World};
use crate::NATIVE_STRATEGY;
use crate::catalog::Target;

const WATCH: Duration = Duration::from_secs(600);
const MOMENT: Duration = Duration::from_millis(1);

fn watching() -> World {
    World { watch: WATCH, ..World::new() }
}

/// Serves a version that behaves until it turns.
async fn with_turncoat(world: &World) -> Running {
    let node = world.start(&["leveled 1.0.0 wait"]).await;
    node.add("b 1.0.0 turncoat").await.unwrap();
    node.bind("b").await.unwrap();
    node
}

/// Lets the turncoat turn, and waits until it is replaced and the catalog says so.
async fn turn(node: &Running) {
    node.host.turn();
    node.tree.flush(1);
    node.until_replaced("b").await;
    tokio::time::sleep(Duration::from_secs(1)).await;
}

fn is_taken_back(node: &Running) {
    assert_eq!(node.serving(), "leveled 1.0.0");
    let row = node.row();
    assert_eq!((&row.current, row.watch_until_unix_ms), (&Target::Default, 0));
    assert_eq!(row.taken_back.len(), 1);
    let audit = node.lifecycle.history(Some("b")).unwrap().remove(0);
    assert_eq!((audit.actor.as_str(), audit.action.as_str()), ("node", "plugin-rollback"));
    assert_eq!((audit.from.as_deref(), audit.to.as_deref()), (Some("active"), Some("rolled-back")));
    assert!(audit.reason.starts_with("in its watch period: trap"), "{audit:?}");
    assert!(audit.outcome.contains("serves again"), "{audit:?}");
    assert!(node.catalog.model().quarantines.is_empty());
    assert_eq!(node.lifecycle.show("b").unwrap().versions[0].stage, "rolled-back");
}

fn is_quarantined(node: &Running) {
    assert_eq!(node.serving(), "leveled 1.0.0");
    assert_eq!(node.catalog.model().quarantines.len(), 1);
    assert_eq!(node.lifecycle.show("b").unwrap().faults.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn the_first_fault_within_the_period_takes_a_version_back() {
    let world = watching();
    let node = with_turncoat(&world).await;
    let until = node.lifecycle.binding_info(VOLUME).unwrap().watched_until_unix_ms;
    assert_eq!(until, Some(node.row().watch_until_unix_ms));
    world.clock.advance(WATCH - MOMENT);
    turn(&node).await;
    is_taken_back(&node);
    assert_eq!(node.lifecycle.show("b").unwrap().faults.len(), 1);
    let binding = node.lifecycle.binding_info(VOLUME).unwrap();
    assert_eq!((binding.serving, binding.watched_until_unix_ms), (binding.bound, None));
    let problem = node.slot.load().problem.clone().unwrap();
    assert!(problem.contains("b 1.0.0 was rolled back in its watch period: trap"), "{problem}");
    // It stays so after a restart, and an express use gives it another chance.
    drop(node);
    let node = world.start(&["leveled 1.0.0 wait"]).await;
    is_taken_back(&node);
    node.bind("b").await.unwrap();
    assert_eq!(node.serving(), "b 1.0.0");
}

#[tokio::test(start_paused = true)]
async fn after_the_period_only_three_faults_in_a_row_count() {
    let world = watching();
    let node = with_turncoat(&world).await;
    world.clock.advance(WATCH);
    assert_eq!(node.lifecycle.binding_info(VOLUME).unwrap().watched_until_unix_ms, None);
    turn(&node).await;
    is_quarantined(&node);
}

#[tokio::test(start_paused = true)]
async fn a_restart_keeps_what_is_left_of_the_period() {
    for (second, taken_back) in [(WATCH / 2 - MOMENT, true), (WATCH / 2, false)] {
        let world = watching();
        let until = with_turncoat(&world).await.row().watch_until_unix_ms;
        world.clock.advance(WATCH / 2);
        let node = world.start(&["leveled 1.0.0 wait"]).await;
        assert_eq!(node.lifecycle.binding_info(VOLUME).unwrap().watched_until_unix_ms, Some(until));
        world.clock.advance(second);
        turn(&node).await;
        if taken_back { is_taken_back(&node) } else { is_quarantined(&node) }
    }
}

#[tokio::test(start_paused = true)]
async fn other_limits_do_not_end_the_period() {
    let world = watching();
    let node = with_turncoat(&world).await;
    node.lifecycle.limit("b", |_| super::admit_tests::ROOMY, NOBODY).await.unwrap();
    turn(&node).await;
    is_taken_back(&node);
}

#[tokio::test(start_paused = true)]
async fn a_promotion_begins_a_period() {
    let world = watching();
    let node = world.start(&["leveled 1.0.0 wait"]).await;
    node.add("b 1.0.0 turncoat").await.unwrap();
    node.shadow("b").await.unwrap();
    world.clock.advance(WATCH * 2);
    node.lifecycle.promote("b", VOLUME, NOBODY).await.unwrap();
    turn(&node).await;
    is_taken_back(&node);
}

#[tokio::test(start_paused = true)]
async fn a_new_configuration_is_taken_back_to_the_one_before() {
    let world = watching();
    let node = with_turncoat(&world).await;
    world.clock.advance(WATCH);
    let knob = r#"{"knob":1}"#;
    node.lifecycle.bind("b", None, VOLUME, Some(knob.into()), NOBODY).await.unwrap();
    let mut changes = node.slot.changes();
    changes.mark_unchanged();
    node.host.turn();
    node.tree.flush(1);
    changes.changed().await.unwrap();
    let active = node.slot.load();
    assert_eq!((active.info.plugin.as_str(), active.info.config.as_str()), ("b", "{}"));
    assert!(!active.is_watched(0), "it served before");
    // Its own faults count as those of any other.
    turn(&node).await;
    is_quarantined_after_the_way_back(&node);
}

fn is_quarantined_after_the_way_back(node: &Running) {
    assert_eq!(node.serving(), "leveled 1.0.0");
    assert_eq!(node.lifecycle.show("b").unwrap().faults.len(), 4);
    let actions: Vec<_> = node.stages("b").into_iter().rev().take(3).collect();
    let expected = ["quarantine active quarantined", "plugin-rollback superseded active"];
    assert_eq!(actions, [expected[0], expected[1], "plugin-rollback active rolled-back"]);
}

#[tokio::test(start_paused = true)]
async fn it_is_taken_back_at_once_and_written_when_the_catalog_takes_it() {
    let world = watching();
    let node = with_turncoat(&world).await;
    world.rows.set_full(true);
    turn(&node).await;
    assert_eq!(node.serving(), "leveled 1.0.0");
    assert!(matches!(node.row().current, Target::Plugin { .. }), "not written yet");
    world.rows.set_full(false);
    tokio::time::sleep(Duration::from_secs(120)).await;
    is_taken_back(&node);
}

#[tokio::test(start_paused = true)]
async fn a_verdict_that_waited_for_the_disk_is_written_before_another_version_takes_the_place() {
    for promoted in [false, true] {
        let world = watching();
        let node = with_turncoat(&world).await;
        node.add("c 1.0.0 wait").await.unwrap();
        if promoted {
            node.shadow("c").await.unwrap();
        }
        world.rows.set_full(true);
        turn(&node).await;
        world.rows.set_full(false);
        if promoted {
            node.lifecycle.promote("c", VOLUME, NOBODY).await.unwrap();
        } else {
            node.bind("c").await.unwrap();
        }
        assert_eq!(node.stages("b").pop().unwrap(), "plugin-rollback active rolled-back");
        assert!(node.lifecycle.unsaved.lock().is_empty());
        assert_eq!(node.lifecycle.show("b").unwrap().versions[0].stage, "rolled-back");
        node.lifecycle.roll_back(VOLUME, NOBODY).await.unwrap();
        assert_eq!(node.serving(), "leveled 1.0.0", "no rollback leads to it");
    }
}

#[tokio::test]
async fn a_verdict_that_comes_when_another_serves_already_takes_the_version_off_the_way_back() {
    let world = watching();
    let node = with_turncoat(&world).await;
    let row = node.row();
    let Target::Plugin { plugin, version, digest, config } = row.current.clone() else { panic!("{row:?}") };
    node.add("c 1.0.0 wait").await.unwrap();
    node.bind("c").await.unwrap();
    let (sentence, reason) = (Penalty::TakeBack, "trap: it turned".to_owned());
    let convict = Convict { sentence, plugin, version, digest, config, reason, since_unix_ms: 7 };
    for _ in 0..2 {
        let place = node.lifecycle.place(VOLUME);
        node.catalog.commit(|model| take_back(model, place, &convict, &|_, _| false)).await.unwrap();
    }
    assert_eq!(node.serving(), "c 1.0.0");
    assert_eq!((node.row().previous, node.row().taken_back.len()), (vec![Target::Default], 1));
    let rows = node.lifecycle.history(Some("b")).unwrap();
    assert_eq!((rows[0].from.as_deref(), rows[0].to.as_deref()), (Some("superseded"), Some("rolled-back")));
    assert_eq!(rows[1].action, "plugin-supersede", "told once: {rows:?}");
    assert!(rows[0].actor == "node" && rows[0].outcome.contains("c 1.0.0 serves"), "{rows:?}");
}

#[tokio::test(start_paused = true)]
async fn where_nothing_earlier_can_serve_the_native_strategy_does() {
    let world = watching();
    let node = world.start(&["leveled 1.0.0 turncoat"]).await;
    let active = node.slot.load();
    crate::compaction::Supervisor::quarantine(&*node.lifecycle, VOLUME, &active, "test".into()).await;
    node.add("b 1.0.0 turncoat").await.unwrap();
    node.bind("b").await.unwrap();
    turn(&node).await;
    assert_eq!((node.serving().as_str(), &node.row().current), (NATIVE_STRATEGY, &Target::Native));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_watched_where_the_period_is_nothing() {
    let world = World::new();
    let node = with_turncoat(&world).await;
    assert_eq!(node.row().watch_until_unix_ms, 0);
    turn(&node).await;
    is_quarantined(&node);
}
