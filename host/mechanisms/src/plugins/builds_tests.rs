//! Another build of a version that ships: a format stays for what is written in it, a strategy is replaced.

use std::collections::BTreeSet;

use mortise_kernel::format::FormatId;
use mortise_plugin_runtime::Digest;

use super::choose::{bearer, pick};
use super::world::{NOBODY, Running, VOLUME, World};
use crate::Error;
use crate::catalog::{Change, KeptRow, Key, VolumeRow};
use crate::rebuild::{WantedFormat, wanted_format};

const FIRST: &str = "f 1.0.0 codec first";
const SECOND: &str = "f 1.0.0 codec second";
const THIRD: &str = "f 1.0.0 codec third";

fn digest(component: &str) -> String {
    Digest::of(component.as_bytes()).to_string()
}

fn written_by(component: &str) -> FormatId {
    let version = "1.0.0".to_owned();
    FormatId { name: "f".into(), version, digest: Some(digest(component)), ..FormatId::natural() }
}

/// How the data of a volume can be in a format.
const WAYS: [fn(&VolumeRow, FormatId) -> VolumeRow; 3] = [
    |row, format| VolumeRow { codec: Some(format), ..row.clone() },
    |row, format| VolumeRow { converting: Some(format), ..row.clone() },
    |row, format| {
        let kept = KeptRow { generation: 1, format, until_unix_ms: 1 };
        VolumeRow { kept: Some(kept), ..row.clone() }
    },
];

async fn rewrite(node: &Running, row: impl Fn(&VolumeRow) -> VolumeRow + Send + Sync) {
    let write = |model: &crate::catalog::Model| {
        let mut change = Change::default();
        change.put(model, Key::Volume(VOLUME.into()), &row(&model.volumes[VOLUME]))?;
        Ok((change, ()))
    };
    node.catalog.commit(write).await.unwrap();
}

/// The versions of `f` and the components that they are, and that the files are just those.
fn builds(world: &World, node: &Running) -> Vec<(String, String)> {
    let infos = node.lifecycle.show("f").unwrap().versions;
    let files = std::fs::read_dir(world.directory.path().join("blobs")).unwrap();
    let files: BTreeSet<_> = files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    for info in &infos {
        assert!(files.contains(&format!("{}.wasm", info.digest)), "{info:?}");
    }
    infos.into_iter().map(|info| (info.version, info.digest)).collect()
}

fn build(component: &str) -> String {
    format!("1.0.0+build.{}", &digest(component)[..12])
}

#[tokio::test]
async fn what_a_volume_is_written_in_stays_beside_the_build_of_another_program() {
    for way in WAYS {
        let world = World::new();
        {
            let node = world.start(&[FIRST]).await;
            rewrite(&node, |row| way(row, written_by(FIRST))).await;
        }
        let kept = build(FIRST);
        for _ in 0..2 {
            let node = world.start(&[SECOND]).await;
            let model = node.catalog.model();
            let expected = [("1.0.0".to_owned(), digest(SECOND)), (kept.clone(), digest(FIRST))];
            assert_eq!(builds(&world, &node), expected);
            let shown = node.lifecycle.show("f").unwrap().versions.remove(1);
            assert!(shown.summary.starts_with("An earlier build of 1.0.0, kept"), "{shown:?}");
            let found = bearer(&model, &written_by(FIRST), |_| false).unwrap();
            assert_eq!((found.version.as_str(), found.row.digest), (kept.as_str(), digest(FIRST)));
            // What is new gets the new build; the other one goes by its version as it is in the data.
            assert_eq!(pick(&model, "f", None).unwrap().row.digest, digest(SECOND));
            let wanted = |version: Option<&str>| {
                let version = version.map(str::to_owned);
                wanted_format(&model, &WantedFormat { name: "f".into(), version, config: None }).unwrap().id
            };
            assert_eq!(wanted(None), written_by(SECOND));
            assert_eq!(wanted(Some(&kept)), written_by(FIRST));
            let error = node.lifecycle.remove("f", Some(&kept), NOBODY).await.unwrap_err();
            assert!(matches!(&error, Error::PluginInUse { volumes, .. } if volumes == VOLUME), "{error}");
        }
        let told = world.start(&[SECOND]).await.lifecycle.history(Some("f")).unwrap();
        let told: Vec<_> = told.iter().filter(|row| row.action == "plugin-keep").collect();
        assert!(told.len() == 1 && told[0].outcome.ends_with("default"), "{told:?}");
        // Once nothing is written in it, it goes like any other.
        let node = world.start(&[SECOND]).await;
        rewrite(&node, |row| VolumeRow { codec: None, converting: None, kept: None, ..row.clone() }).await;
        node.lifecycle.remove("f", Some(&kept), NOBODY).await.unwrap();
        assert_eq!(builds(&world, &node), [("1.0.0".to_owned(), digest(SECOND))]);
        assert!(!world.blob(&digest(FIRST)).exists());
    }
}

#[tokio::test]
async fn an_earlier_build_is_the_programs_own_again_when_that_program_returns() {
    let world = World::new();
    let node = world.start(&[FIRST]).await;
    rewrite(&node, |row| WAYS[0](row, written_by(FIRST))).await;
    world.start(&[SECOND]).await;
    let node = world.start(&[FIRST]).await;
    assert_eq!(builds(&world, &node), [("1.0.0".to_owned(), digest(FIRST))], "nobody needs the other");
    rewrite(&node, |row| WAYS[2](row, written_by(THIRD))).await;
    drop(node);
    // Written in one build, with a way back to another, under a third.
    let node = world.start(&[THIRD]).await;
    let digests =
        |node: &Running| builds(&world, node).into_iter().map(|(_, digest)| digest).collect::<Vec<_>>();
    assert_eq!(digests(&node), [digest(THIRD), digest(FIRST)]);
    let node = world.start(&[SECOND]).await;
    assert_eq!(
        digests(&node).into_iter().collect::<BTreeSet<_>>(),
        [FIRST, SECOND, THIRD].map(digest).into()
    );
}

#[tokio::test]
async fn what_nobody_is_written_in_is_replaced() {
    let world = World::new();
    world.start(&[FIRST]).await;
    let node = world.start(&[SECOND]).await;
    assert_eq!(builds(&world, &node), [("1.0.0".to_owned(), digest(SECOND))]);
    world.start(&[SECOND]).await;
    assert!(!world.blob(&digest(FIRST)).exists());
}

/// As after an upgrade by a program that did not keep it: the file may be there still, its row is not.
#[tokio::test]
async fn the_very_component_that_is_missing_can_be_added_beside_its_successor() {
    let world = World::new();
    let node = world.start(&[SECOND]).await;
    rewrite(&node, |row| WAYS[0](row, written_by(FIRST))).await;
    std::fs::write(world.blob(&digest(FIRST)), FIRST).unwrap();
    drop(node);
    let node = world.start(&[SECOND]).await;
    assert!(world.blob(&digest(FIRST)).exists(), "a volume needs it, whatever the rows say");
    for _ in 0..2 {
        let added = node.add(FIRST).await.unwrap();
        assert_eq!((added.version, added.row.digest), (build(FIRST), digest(FIRST)));
    }
    assert_eq!(bearer(&node.catalog.model(), &written_by(FIRST), |_| false).unwrap().version, build(FIRST));
    let conflict = node.add(THIRD).await.unwrap_err();
    assert!(matches!(conflict, Error::PluginConflict { .. }), "nobody needs that one: {conflict}");
}

#[tokio::test]
async fn a_strategy_goes_on_as_the_build_of_another_program() {
    let world = World::new();
    {
        let node = world.start(&["leveled 1.0.0 wait"]).await;
        node.bind("leveled").await.unwrap();
        node.add("b 1.0.0 wait").await.unwrap();
        node.shadow("b").await.unwrap();
    }
    let rebuilt = "leveled 1.0.0 wait rebuilt";
    for _ in 0..2 {
        let node = world.start(&[rebuilt]).await;
        let active = node.slot.load();
        assert_eq!((active.info.digest.as_str(), &active.problem), (digest(rebuilt).as_str(), &None));
        assert!(node.slot.shadow().is_some());
        assert!(!world.blob(&digest("leveled 1.0.0 wait")).exists() || world.blob(&digest(rebuilt)).exists());
    }
    let node = world.start(&[rebuilt]).await;
    node.bind("b").await.unwrap();
    node.lifecycle.roll_back(VOLUME, NOBODY).await.unwrap();
    assert_eq!(node.slot.load().info.digest, digest(rebuilt), "the way back leads to it, too");
}

#[tokio::test]
async fn a_format_stays_while_the_row_of_a_volume_cannot_be_read() {
    let world = World::new();
    let node = world.start(&[FIRST]).await;
    node.add("g 1.0.0 wait").await.unwrap();
    world.rows.put("mortise/volumes/strange", "not json");
    drop(node);
    let node = world.start(&[SECOND]).await;
    let error = node.lifecycle.remove("f", Some(&build(FIRST)), NOBODY).await.unwrap_err();
    assert!(matches!(&error, Error::PluginInUse { volumes, .. } if volumes.contains("strange")), "{error}");
    node.lifecycle.remove("g", None, NOBODY).await.unwrap();
}
