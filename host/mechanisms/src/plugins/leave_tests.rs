//! A volume that is deleted ends what plugins did there, in one write with its own row.

use std::collections::BTreeSet;

use super::world::{NOBODY, Running, VOLUME, World};
use crate::catalog::memory_rows::Stop;
use crate::rebuild::WantedFormat;
use crate::volumes::{doom, ready, reserve};

const TENANT: &str = "tenant";

/// A node that serves a further volume, with `b` in service there and `c` shadowing.
async fn with_tenant(world: &World) -> Running {
    let node = world.start(&["leveled 1.0.0 wait"]).await;
    let (format, disk) = (WantedFormat::default(), BTreeSet::from([1, 2]));
    let row = node.catalog.commit(|model| reserve(model, TENANT, &format, &disk, 0)).await.unwrap();
    node.catalog.commit(|model| ready(model, TENANT, row.id)).await.unwrap();
    node.lifecycle.attach(TENANT, row.id, node.tree.observer()).await;
    for name in ["b", "c"] {
        node.add(&format!("{name} 1.0.0 wait")).await.unwrap();
    }
    node.lifecycle.bind("b", None, TENANT, None, NOBODY).await.unwrap();
    node.lifecycle.shadow("c", None, TENANT, None, NOBODY).await.unwrap();
    node
}

async fn delete(node: &Running) -> crate::Result<u64> {
    node.catalog.commit(|model| doom(model, TENANT, "leveled")).await
}

#[tokio::test]
async fn what_served_and_what_shadowed_is_told_to_have_ended() {
    let world = World::new();
    let node = with_tenant(&world).await;
    node.bind("b").await.unwrap();
    delete(&node).await.unwrap();
    node.lifecycle.detach(TENANT);
    for (name, left) in [("b", "active"), ("c", "shadowing")] {
        let row = node.lifecycle.history(Some(name)).unwrap().remove(0);
        assert_eq!((row.action.as_str(), row.volume.as_deref()), ("volume-delete", Some(TENANT)));
        assert_eq!((row.from.as_deref(), row.to.as_deref()), (Some(left), Some("verified")));
        assert_eq!(row.outcome, "the volume was deleted");
    }
    let on = |name: &str| {
        let standings = node.lifecycle.show(name).unwrap().versions.remove(0).standings;
        standings.into_iter().map(|standing| standing.volume).collect::<Vec<_>>()
    };
    assert_eq!((on("b"), on("c")), (vec![VOLUME.to_owned()], vec![]), "the other volume is not touched");
    // A second try, as after an interruption, tells nothing twice.
    let rows = node.catalog.model().history.len();
    delete(&node).await.unwrap();
    assert_eq!(node.catalog.model().history.len(), rows);
}

#[tokio::test]
async fn the_row_of_the_volume_and_those_that_end_its_plugins_are_one_write() {
    for (stop, deleted) in [(Stop::Before, false), (Stop::After, true)] {
        let world = World::new();
        let node = with_tenant(&world).await;
        world.rows.stop_at(Some((0, stop)));
        delete(&node).await.unwrap_err();
        drop(node);
        world.rows.stop_at(None);
        let model = world.rows.catalog().await.model();
        let state = model.volumes[TENANT].state.as_str();
        let bound = model.bindings.keys().any(|(volume, _)| volume == TENANT);
        let told = model.history.values().filter(|row| row.action == "volume-delete").count();
        let expected = if deleted { ("deleting", false, 2) } else { ("ready", true, 0) };
        assert_eq!((state, bound, told), expected);
    }
}
