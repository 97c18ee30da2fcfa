//! What others do while a component is compiled, which takes up to minutes.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use mortise_plugin_runtime::{Capability, Digest};
use tokio::sync::OwnedSemaphorePermit;

use super::Addition;
use super::admit_tests::ROOMY;
use super::stage_error::StageError;
use super::world::{NOBODY, Running, VOLUME, World, addition};
use crate::Error;
use crate::catalog::{Change, HistoryRow, Key, PluginRow};
use crate::rebuild::WantedFormat;
use crate::volumes::{bury, doom, ready, reserve};

const TENANT: &str = "tenant";

/// Makes a volume's row; returns its id.
async fn reserved(node: &Running) -> u64 {
    let (format, disk) = (WantedFormat::default(), BTreeSet::from([1, 2]));
    let row = node.catalog.commit(|model| reserve(model, TENANT, &format, &disk, 0)).await.unwrap();
    node.catalog.commit(|model| ready(model, TENANT, row.id)).await.unwrap();
    row.id
}

async fn create(node: &Running) -> u64 {
    let id = reserved(node).await;
    node.lifecycle.attach(TENANT, id, node.tree.observer()).await;
    id
}

async fn delete(node: &Running, id: u64) {
    node.catalog.commit(|model| doom(model, TENANT, "leveled")).await.unwrap();
    node.lifecycle.detach(TENANT);
    let audit = HistoryRow::admin("volume-delete", "asked for");
    while node.catalog.commit(|model| bury(model, TENANT, id, "leveled", &audit)).await.unwrap() {}
}

/// Keeps the compiler busy, and makes whoever needs these components need it.
async fn gate(world: &World, node: &Running, components: &[&str]) -> OwnedSemaphorePermit {
    components.iter().for_each(|line| node.lifecycle.forget(&Digest::of(line.as_bytes()).to_string()));
    world.cache.lock().clear();
    node.lifecycle.compile_alone().await.unwrap()
}

/// Time stands still here until nobody can go on.
async fn all_wait() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

#[tokio::test(start_paused = true)]
async fn what_was_asked_for_a_volume_is_not_done_to_its_successor() {
    for shadow in [false, true] {
        let world = World::new();
        let node = world.start(&["leveled 1.0.0 wait"]).await;
        let id = create(&node).await;
        node.add("b 1.0.0 wait").await.unwrap();
        let busy = gate(&world, &node, &["b 1.0.0 wait"]).await;
        let lifecycle = Arc::clone(&node.lifecycle);
        let asked = tokio::spawn(async move {
            if shadow {
                lifecycle.shadow("b", None, TENANT, None, NOBODY).await.map(drop)
            } else {
                lifecycle.bind("b", None, TENANT, None, NOBODY).await.map(drop)
            }
        });
        all_wait().await;
        delete(&node, id).await;
        assert_ne!(create(&node).await, id);
        drop(busy);
        let error = asked.await.unwrap().unwrap_err();
        assert!(
            matches!(&error, Error::PluginStage(StageError::VolumeReplaced(volume)) if volume == TENANT),
            "{error}"
        );
        assert_eq!(node.lifecycle.binding(TENANT), None);
        let info = node.lifecycle.binding_info(TENANT).unwrap();
        assert_eq!(info.serving.plugin, "leveled");
        assert_eq!(info.serving, info.bound);
    }
}

#[tokio::test(start_paused = true)]
async fn limits_reach_a_volume_that_is_being_opened() {
    let world = World::new();
    let node = world.start(&["leveled 1.0.0 wait"]).await;
    let id = reserved(&node).await;
    let busy = gate(&world, &node, &["leveled 1.0.0 wait"]).await;
    let (lifecycle, observer) = (Arc::clone(&node.lifecycle), node.tree.observer());
    let opened = tokio::spawn(async move { lifecycle.attach(TENANT, id, observer).await });
    all_wait().await;
    let lifecycle = Arc::clone(&node.lifecycle);
    let limited = tokio::spawn(async move { lifecycle.limit("leveled", |_| ROOMY, NOBODY).await });
    all_wait().await;
    drop(busy);
    opened.await.unwrap();
    limited.await.unwrap().unwrap();
    let roomy = node.host.limits().into_iter().filter(|limits| *limits == ROOMY).count();
    assert_eq!(roomy, 2, "both volumes have the strategy under them");
}

fn granted(line: &str) -> Addition {
    Addition { grants: [Capability::WasiMinimal].into(), ..addition(line) }
}

#[tokio::test(start_paused = true)]
async fn a_refused_upload_takes_nothing_from_another_of_the_same_bytes() {
    let world = World::new();
    let node = world.start(&[]).await;
    let line = "p 1.0.0 wasi";
    let digest = Digest::of(line.as_bytes()).to_string();
    let busy = gate(&world, &node, &[]).await;
    let upload = |addition: Addition| {
        let lifecycle = Arc::clone(&node.lifecycle);
        tokio::spawn(async move { lifecycle.add(addition).await })
    };
    let good = upload(granted(line));
    // This one comes as far as the compiler, and has a name that none can have.
    let misnamed = upload(Addition { name: Some("No".into()), ..granted(line) });
    all_wait().await;
    let error = node.add(line).await.unwrap_err();
    assert!(matches!(error, Error::NotGranted { .. }), "{error}");
    let there = || (node.catalog.model().arrivals.contains_key(&digest), world.blob(&digest).exists());
    assert_eq!(there(), (true, true), "the others are still being verified");
    drop(busy);
    good.await.unwrap().unwrap();
    misnamed.await.unwrap().unwrap_err();
    assert_eq!(there(), (false, true));
    node.bind("p").await.unwrap();
    // The last one that is refused leaves nothing.
    node.add("q 1.0.0 mute").await.unwrap_err();
    assert!(node.catalog.model().arrivals.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_grant_that_goes_while_a_component_is_compiled_is_missed() {
    let world = World::new();
    let node = world.start(&[]).await;
    node.lifecycle.add(granted("p 1.0.0 wasi")).await.unwrap();
    let busy = gate(&world, &node, &[]).await;
    let lifecycle = Arc::clone(&node.lifecycle);
    let further = Addition { name: Some("p".into()), ..addition("p 1.1.0 wasi") };
    let added = tokio::spawn(async move { lifecycle.add(further).await });
    all_wait().await;
    node.lifecycle.remove("p", None, NOBODY).await.unwrap();
    drop(busy);
    let error = added.await.unwrap().unwrap_err();
    assert!(matches!(error, Error::NotGranted { .. }), "{error}");
    assert_eq!(node.catalog.model().versions("p").count(), 0);
}

/// Whatever a row says that a component uses: it gets what is granted.
#[tokio::test]
async fn what_was_not_granted_is_not_there_to_be_used() {
    let world = World::new();
    let node = world.start(&["leveled 1.0.0 wait"]).await;
    let chosen = node.lifecycle.add(granted("p 1.0.0 wasi")).await.unwrap();
    let row = PluginRow { grants: [Capability::Log].into(), ..chosen.row };
    let put = |model: &crate::catalog::Model| {
        let mut change = Change::default();
        change.put(model, Key::plugin("p", "1.0.0"), &row)?;
        Ok((change, ()))
    };
    node.catalog.commit(put).await.unwrap();
    world.cache.lock().clear();
    let node = world.start(&["leveled 1.0.0 wait"]).await;
    let error = node.bind("p").await.unwrap_err();
    assert!(error.to_string().contains("wasi-minimal"), "{error}");
    assert_eq!((node.serving().as_str(), node.lifecycle.binding(VOLUME)), ("leveled 1.0.0", None));
}
