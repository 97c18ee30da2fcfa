//! The lifecycle over a catalog in memory, fake trees and fake components; the loops are real.

use std::sync::Arc;
use std::time::Duration;

use super::world::{NOBODY, VOLUME, World};
use crate::{Error, NATIVE_STRATEGY};
use mortise_kernel::ErrorKind;
use mortise_plugin_runtime::Limits;

#[tokio::test]
async fn adding_is_idempotent_and_conflicts_are_refused() {
    let node = World::new();
    let node = node.start(&[]).await;
    let first = node.add("tiered 1.0.0 wait").await.unwrap();
    assert_eq!(node.add("tiered 1.0.0 wait").await.unwrap(), first);
    assert_eq!(node.lifecycle.list().len(), 1);
    let conflict = node.add("tiered 1.0.0 wait other").await.unwrap_err();
    assert!(matches!(conflict, Error::PluginConflict { .. }), "{conflict}");
    for (line, kind) in [
        ("Tiered 1.0.0 wait", ErrorKind::InvalidArgument),
        ("native 1.0.0 wait", ErrorKind::InvalidArgument),
        ("tiered one wait", ErrorKind::InvalidArgument),
        ("tiered 2.0.0 mute", ErrorKind::InvalidArgument),
        ("tiered 2.0.0 unfit", ErrorKind::InvalidArgument),
        ("nonsense", ErrorKind::InvalidArgument),
        (&"x".repeat(1001), ErrorKind::InvalidArgument),
    ] {
        let error = node.add(line).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{line}: {error}");
    }
    assert_eq!(node.lifecycle.list().len(), 1, "what is refused leaves nothing");
}

#[tokio::test]
async fn a_binding_survives_a_restart() {
    let world = World::new();
    {
        let node = world.start(&["leveled 1.0.0 wait"]).await;
        assert_eq!(node.serving(), "leveled 1.0.0");
        node.add("tiered 1.0.0 wait").await.unwrap();
        node.add("tiered 1.10.0 wait").await.unwrap();
        node.add("tiered 1.9.0 wait").await.unwrap();
        let activation = node.bind("tiered").await.unwrap();
        assert!(activation.changed && activation.rehearsed_views > 1);
        assert_eq!(activation.replaced.plugin, "leveled");
        assert_eq!(node.serving(), "tiered 1.10.0", "the newest by version, not by text");
        assert!(!node.bind("tiered").await.unwrap().changed);
    }
    let node = world.start(&["leveled 1.0.0 wait"]).await;
    assert_eq!(node.serving(), "tiered 1.10.0");
    let info = node.lifecycle.binding_info(VOLUME).unwrap();
    assert!(info.explicit && info.problem.is_none(), "{info:?}");
    assert_eq!(info.previous[0].plugin, "leveled");
    assert_eq!(node.host.loads(), 1, "only what serves is compiled");
}

#[tokio::test]
async fn a_candidate_that_fails_its_rehearsal_changes_nothing() {
    let world = World::new();
    let node = world.start(&["leveled 1.0.0 wait"]).await;
    node.tree.flush(2);
    for behaviour in ["illegal", "trap", "flaky", "picky"] {
        node.add(&format!("bad-{behaviour} 1.0.0 {behaviour}")).await.unwrap();
        let error = node.bind(&format!("bad-{behaviour}")).await.unwrap_err();
        assert!(matches!(error, Error::Rehearsal { .. }), "{error}");
        assert_eq!(error.kind(), ErrorKind::FailedPrecondition);
        assert_eq!(node.serving(), "leveled 1.0.0");
        let (action, outcome) = node.history().pop().unwrap();
        assert_eq!(action, "plugin-use");
        assert!(outcome.starts_with("refused"), "{outcome}");
    }
    let bind = |config: &str| node.lifecycle.bind("bad-picky", None, VOLUME, Some(config.into()), NOBODY);
    for config in ["{", "7", "[1]"] {
        assert!(matches!(bind(config).await, Err(Error::ConfigSyntax(_))), "{config}");
    }
    let error = bind(r#"{"knob":2}"#).await.unwrap_err();
    assert!(error.to_string().contains("expected knob"), "{error}");
    bind(r#"{"knob":1}"#).await.unwrap();
    assert_eq!(node.serving(), "bad-picky 1.0.0");
    assert_eq!(node.bind("unheard-of").await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn rollback_walks_back_through_the_bindings_and_then_says_so() {
    let world = World::new();
    let node = world.start(&["leveled 1.0.0 wait"]).await;
    assert!(matches!(node.lifecycle.roll_back(VOLUME, NOBODY).await, Err(Error::NothingToRollBack(_))));
    node.add("b 1.0.0 wait").await.unwrap();
    node.add("c 1.0.0 wait").await.unwrap();
    node.bind("b").await.unwrap();
    node.bind(NATIVE_STRATEGY).await.unwrap();
    node.bind("c").await.unwrap();
    for expected in ["native", "b 1.0.0", "leveled 1.0.0"] {
        node.lifecycle.roll_back(VOLUME, NOBODY).await.unwrap();
        assert_eq!(node.serving(), expected);
    }
    let error = node.lifecycle.roll_back(VOLUME, NOBODY).await.unwrap_err();
    assert!(matches!(error, Error::NothingToRollBack(_)), "{error}");
}

#[tokio::test(start_paused = true)]
async fn versions_that_fault_fall_back_one_by_one_to_the_native_strategy() {
    let world = World::new();
    {
        let node = world.start(&["leveled 1.0.0 turncoat"]).await;
        node.add("b 1.0.0 turncoat").await.unwrap();
        node.add("c 1.0.0 turncoat").await.unwrap();
        node.bind("b").await.unwrap();
        node.bind("c").await.unwrap();
        node.host.turn();
        node.tree.flush(1);
        for name in ["c", "b", "leveled"] {
            assert_eq!(node.serving(), format!("{name} 1.0.0"));
            node.until_replaced(name).await;
        }
        assert_eq!(node.serving(), "native");
        // The catalog is written after the exchange.
        while node.catalog.model().quarantines.len() < 3 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let detail = node.lifecycle.show("c").unwrap();
        assert_eq!(detail.faults.len(), 3);
        assert!(detail.quarantines[0].reason.contains("trap"), "{:?}", detail.quarantines);
    }
    let node = world.start(&["leveled 1.0.0 turncoat"]).await;
    assert_eq!(node.serving(), "native", "quarantine survives a restart");
    let activation = node.bind("c").await.unwrap();
    assert!(activation.changed);
    assert_eq!(node.serving(), "c 1.0.0", "an explicit use gives it another chance");
    assert!(node.lifecycle.show("c").unwrap().quarantines.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_quarantine_waits_for_no_compiler() {
    for (compiled, successor) in [(true, "leveled 1.0.0"), (false, "native")] {
        let world = World::new();
        let node = world.start(&["leveled 1.0.0 wait"]).await;
        node.add("b 1.0.0 turncoat").await.unwrap();
        node.bind("b").await.unwrap();
        drop(node);
        // What does not serve is not in memory after a start, and somebody else keeps the compiler busy.
        let node = world.start(&["leveled 1.0.0 wait"]).await;
        let _busy = node.lifecycle.compile_alone().await.unwrap();
        if !compiled {
            world.cache.lock().clear();
        }
        node.host.turn();
        node.tree.flush(1);
        node.until_replaced("b").await;
        assert_eq!(node.serving(), successor);
        let problem = node.slot.load().problem.clone().unwrap();
        assert!(problem.contains("b 1.0.0 was quarantined"), "{problem}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_quarantine_holds_though_it_cannot_be_written() {
    let world = World::new();
    let node = world.start(&["leveled 1.0.0 wait"]).await;
    node.add("b 1.0.0 turncoat").await.unwrap();
    node.bind("b").await.unwrap();
    world.rows.set_full(true);
    node.host.turn();
    node.tree.flush(1);
    node.until_replaced("b").await;
    assert_eq!(node.serving(), "leveled 1.0.0");
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert!(node.catalog.model().quarantines.is_empty());
    assert!(node.bind(NATIVE_STRATEGY).await.is_err(), "what cannot be written is not done");
    node.host.turn_back();
    assert!(node.bind("b").await.is_err(), "nor is it forgotten what the version did");
    assert_eq!(node.serving(), "leveled 1.0.0");
    world.rows.set_full(false);
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert_eq!(node.catalog.model().quarantines.len(), 1, "written when the catalog takes it");
    assert_eq!(node.history().pop().unwrap().1, "leveled 1.0.0 serves");
}

#[tokio::test]
async fn a_missing_or_damaged_file_lets_the_next_best_serve() {
    let world = World::new();
    let (b, c);
    {
        let node = world.start(&["leveled 1.0.0 wait"]).await;
        b = node.add("b 1.0.0 wait").await.unwrap().row.digest;
        c = node.add("c 1.0.0 wait").await.unwrap().row.digest;
        node.bind("b").await.unwrap();
        node.bind("c").await.unwrap();
    }
    std::fs::write(world.blob(&c), "c 1.0.0 trap").unwrap();
    {
        let node = world.start(&["leveled 1.0.0 wait"]).await;
        assert_eq!(node.serving(), "b 1.0.0");
        let info = node.lifecycle.binding_info(VOLUME).unwrap();
        assert_eq!(info.bound.plugin, "c");
        assert!(info.problem.unwrap().contains("damaged"));
        assert_eq!(node.bind("c").await.unwrap_err().kind(), ErrorKind::Corrupt);
    }
    std::fs::remove_file(world.blob(&b)).unwrap();
    let node = world.start(&[]).await;
    assert_eq!(node.serving(), "leveled 1.0.0", "shipped files are kept, too");
    node.add("c 1.0.0 wait").await.unwrap();
    node.bind("c").await.unwrap();
    assert_eq!(node.serving(), "c 1.0.0", "adding it again repairs it");
}

#[tokio::test]
async fn shipped_plugins_are_registered_once_and_upgraded() {
    let world = World::new();
    {
        let node = world.start(&["leveled 1.0.0 wait", "broken 1.0.0 unfit"]).await;
        assert_eq!(node.serving(), "leveled 1.0.0");
        assert_eq!(node.lifecycle.list().len(), 1, "what cannot be loaded is left out");
    }
    let history = world.start(&["leveled 1.0.0 wait"]).await.history();
    let again = world.start(&["leveled 1.0.0 wait"]).await;
    assert_eq!(again.history(), history, "registering again writes nothing");
    let node = world.start(&["leveled 1.1.0 wait"]).await;
    assert_eq!(node.serving(), "leveled 1.1.0", "the default follows the program");
    let rebuilt = world.start(&["leveled 1.1.0 wait rebuilt"]).await;
    assert_eq!(rebuilt.serving(), "leveled 1.1.0");
    // A stranger's version of the same name does not become the default.
    rebuilt.add("leveled 9.0.0 wait").await.unwrap();
    assert_eq!(world.start(&["leveled 1.1.0 wait rebuilt"]).await.serving(), "leveled 1.1.0");
}

#[tokio::test]
async fn the_node_starts_natively_when_its_default_cannot_be_loaded() {
    let world = World::new();
    let node = world.start(&["leveled 1.0.0 unfit"]).await;
    assert_eq!(node.serving(), "native");
    assert!(node.slot.load().problem.is_some());
}

#[tokio::test]
async fn removing_is_refused_while_a_version_serves() {
    let world = World::new();
    let node = world.start(&["leveled 1.0.0 wait"]).await;
    let digest = node.add("b 1.0.0 wait").await.unwrap().row.digest;
    node.bind("b").await.unwrap();
    let error = node.lifecycle.remove("b", None, NOBODY).await.unwrap_err();
    assert!(matches!(error, Error::PluginInUse { .. }), "{error}");
    let error = node.lifecycle.remove("leveled", Some("1.0.0"), NOBODY).await.unwrap_err();
    assert!(matches!(error, Error::PluginShipped { .. }), "{error}");
    node.lifecycle.roll_back(VOLUME, NOBODY).await.unwrap();
    node.lifecycle.remove("b", Some("1.0.0"), NOBODY).await.unwrap();
    assert!(!world.blob(&digest).exists());
    assert_eq!(node.lifecycle.remove("b", None, NOBODY).await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn limits_are_stored_and_serve_at_once() {
    let world = World::new();
    let node = world.start(&["leveled 1.0.0 wait"]).await;
    let activation = node.slot.load().activation;
    let limits = Limits { deadline: Duration::from_millis(50), ..Limits::default() };
    node.lifecycle.limit("leveled", |_| limits, NOBODY).await.unwrap();
    assert!(node.slot.load().activation > activation, "the strategy in service was replaced");
    let node = world.start(&["leveled 1.0.0 wait"]).await;
    assert_eq!(node.lifecycle.list()[0].limits, Some(limits));
    let none = Limits { memory_bytes: 0, ..limits };
    assert!(matches!(node.lifecycle.limit("leveled", |_| none, NOBODY).await, Err(Error::Limits(_))));
}

#[tokio::test]
async fn concurrent_uses_are_ordered_and_catalog_and_slot_agree() {
    let world = World::new();
    let node = world.start(&["leveled 1.0.0 wait"]).await;
    for i in 0..8 {
        node.add(&format!("p{i} 1.0.0 wait")).await.unwrap();
    }
    let uses = (0..8).map(|i| {
        let lifecycle = Arc::clone(&node.lifecycle);
        tokio::spawn(
            async move { lifecycle.bind(&format!("p{i}"), None, VOLUME, None, NOBODY).await.unwrap() },
        )
    });
    futures::future::join_all(uses).await;
    let info = node.lifecycle.binding_info(VOLUME).unwrap();
    assert_eq!(info.bound, info.serving);
    assert_eq!(info.previous.len(), 8, "each of the others and the default: {:?}", info.previous);
}

#[tokio::test]
async fn two_administrators_cannot_bind_what_the_other_removes() {
    let world = World::new();
    let one = world.start(&["leveled 1.0.0 wait"]).await;
    one.add("b 1.0.0 wait").await.unwrap();
    let other = world.start(&["leveled 1.0.0 wait"]).await;
    one.bind("b").await.unwrap();
    // The other's model is older than this binding.
    let error = other.lifecycle.remove("b", None, NOBODY).await.unwrap_err();
    assert!(matches!(error, Error::PluginInUse { .. }), "{error}");
    one.lifecycle.roll_back(VOLUME, NOBODY).await.unwrap();
    other.lifecycle.remove("b", None, NOBODY).await.unwrap();
    let error = one.bind("b").await.unwrap_err();
    assert!(matches!(error, Error::NoSuchPlugin { .. }), "{error}");
    assert_eq!(one.serving(), "leveled 1.0.0");
}
