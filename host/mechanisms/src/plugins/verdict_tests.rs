//! Whatever is held against versions, the catalog leads to what the slot has, and never to them.

use super::decide::{Convict, Penalty, roll_back};
use super::world::{NOBODY, Running, VOLUME, World};
use crate::Error;
use crate::catalog::Target;

async fn with(world: &World, components: &[&str]) -> Running {
    let node = world.start(&["leveled 1.0.0 wait"]).await;
    for line in components {
        node.add(line).await.unwrap();
    }
    node
}

fn agree(node: &Running, expected: &str) {
    assert_eq!(node.serving(), expected);
    let info = node.lifecycle.binding_info(VOLUME).unwrap();
    assert_eq!(info.bound, info.serving, "catalog and slot agree");
}

#[tokio::test(start_paused = true)]
async fn a_quarantine_passes_over_what_was_taken_back() {
    let world = World::new();
    let node = with(&world, &["a 1.0.0 turncoat", "b 1.0.0 wait"]).await;
    for name in ["b", "a", "b"] {
        node.bind(name).await.unwrap();
    }
    node.lifecycle.roll_back(VOLUME, NOBODY).await.unwrap();
    assert_eq!(node.serving(), "a 1.0.0");
    node.host.turn();
    node.tree.flush(1);
    node.until_replaced("a").await;
    while node.catalog.model().quarantines.is_empty() {
        tokio::task::yield_now().await;
    }
    agree(&node, "leveled 1.0.0");
    drop(node);
    agree(&world.start(&["leveled 1.0.0 wait"]).await, "leveled 1.0.0");
}

/// Serves `a` and could go back to `p`; both turn while the disk is full.
async fn convicted_unwritten(world: &World) -> Running {
    let node = with(world, &["p 1.0.0 turncoat", "a 1.0.0 turncoat"]).await;
    node.bind("p").await.unwrap();
    node.bind("a").await.unwrap();
    world.rows.set_full(true);
    node.host.turn();
    node.tree.flush(1);
    node.until_replaced("a").await;
    node.until_replaced("p").await;
    assert_eq!((node.serving().as_str(), node.catalog.model().quarantines.len()), ("leveled 1.0.0", 0));
    node
}

#[tokio::test(start_paused = true)]
async fn a_rollback_waits_for_verdicts_that_are_not_written() {
    let world = World::new();
    let node = convicted_unwritten(&world).await;
    world.rows.set_full(false);
    let error = node.lifecycle.roll_back(VOLUME, NOBODY).await.unwrap_err();
    assert!(matches!(error, Error::NothingToRollBack(_)), "the verdicts led to the default already: {error}");
    assert_eq!(node.catalog.model().quarantines.len(), 2);
    assert!(node.lifecycle.unsaved.lock().is_empty());
    agree(&node, "leveled 1.0.0");
}

#[tokio::test(start_paused = true)]
async fn a_rollback_passes_over_what_verdicts_bar_that_cannot_be_written() {
    let world = World::new();
    let node = convicted_unwritten(&world).await;
    let lifecycle = &node.lifecycle;
    let barred = |target: &Target, digest: &str| lifecycle.is_barred(VOLUME, target, digest);
    let (model, place) = (node.catalog.model(), lifecycle.place(VOLUME));
    let (_, target) = roll_back(&model, place, &barred, 0).unwrap();
    assert_eq!(target, Target::Default);
    let (_, target) = roll_back(&model, place, &|_, _| false, 0).unwrap();
    assert!(matches!(target, Target::Plugin { plugin, .. } if plugin == "p"), "else it would lead there");
    // A verdict about one target says nothing of the same component elsewhere.
    let Target::Plugin { plugin, version, digest, config } = node.row().current else {
        panic!("it is bound")
    };
    let (sentence, reason) = (Penalty::TakeBack, String::new());
    let convict = Convict { sentence, plugin, version, digest, config, reason, since_unix_ms: 0 };
    assert!(!convict.bars(&Target::Default, &convict.digest));
}
