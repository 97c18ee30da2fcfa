//! Who vouches for a component and what it may use: at its addition, at its use, at the next start.

use std::io::Cursor;
use std::time::Duration;

use minisign::KeyPair;
use mortise_kernel::ErrorKind;
use mortise_kernel::format::FormatId;
use mortise_plugin_runtime::Capability;

use super::decide::{Place, Start, activate, propose};
use super::world::{NOBODY, Running, VOLUME, World, addition};
use super::{Addition, SignatureState, Trust, TrustedKey};
use crate::catalog::{Change, Key, Target, VolumeRow};
use crate::{Error, NATIVE_STRATEGY};

fn pair() -> KeyPair {
    KeyPair::generate_unencrypted_keypair().unwrap()
}

fn trust(pair: &KeyPair, required: bool) -> Trust {
    Trust { keys: vec![TrustedKey::parse(&pair.pk.to_base64()).unwrap()], required }
}

fn signed(pair: &KeyPair, line: &str) -> Addition {
    let signature = minisign::sign(None, &pair.sk, Cursor::new(line.as_bytes()), Some("ok"), None).unwrap();
    Addition { signature: Some(signature.to_string()), ..addition(line) }
}

async fn start(world: &mut World, trust: Trust) -> Running {
    world.trust = trust;
    world.start(&["leveled 1.0.0 wait"]).await
}

#[tokio::test]
async fn only_what_a_trusted_key_signed_comes_in_where_that_is_required() {
    let (mine, stranger) = (pair(), pair());
    let mut world = World::new();
    let node = start(&mut world, trust(&mine, true)).await;
    assert_eq!(node.serving(), "leveled 1.0.0", "what comes with the program needs no signature");
    for refused in [addition("b 1.0.0 wait"), signed(&stranger, "b 1.0.0 wait")] {
        let error = node.lifecycle.add(refused).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::FailedPrecondition);
        assert!(error.to_string().contains(world.trust.keys[0].id()), "the key expected: {error}");
        let row = &node.lifecycle.history(None).unwrap()[0];
        assert_eq!(row.outcome, format!("refused: {error}"));
    }
    assert_eq!(node.host.loads(), 1, "nothing but the default was compiled");
    node.lifecycle.add(signed(&mine, "b 1.0.0 wait")).await.unwrap();
    let Some(SignatureState::Signed { key_id, trusted_comment }) =
        node.lifecycle.show("b").unwrap().versions[0].signature.clone()
    else {
        panic!("it is shown as signed")
    };
    assert_eq!((key_id.as_str(), trusted_comment.as_str()), (world.trust.keys[0].id(), "ok"));
    node.bind("b").await.unwrap();
}

#[tokio::test]
async fn what_came_in_unsigned_does_not_run_once_signatures_are_required() {
    let mine = pair();
    let mut world = World::new();
    {
        let node = start(&mut world, Trust::default()).await;
        node.add("b 1.0.0 wait").await.unwrap();
        node.bind("b").await.unwrap();
    }
    let node = start(&mut world, trust(&mine, true)).await;
    assert_eq!(node.serving(), "leveled 1.0.0");
    let info = node.lifecycle.binding_info(VOLUME).unwrap();
    assert!(info.problem.unwrap().contains("not signed"));
    let row = &node.lifecycle.history(Some("b")).unwrap()[0];
    assert_eq!((row.actor.as_str(), row.action.as_str()), ("node", "fallback"));
    assert!(row.outcome.contains("leveled 1.0.0 serves"), "{row:?}");
    assert!(matches!(node.bind("b").await, Err(Error::Unsigned { .. })));
    // The same bytes with a signature repair it.
    node.lifecycle.add(signed(&mine, "b 1.0.0 wait")).await.unwrap();
    node.bind("b").await.unwrap();
    assert_eq!(node.serving(), "b 1.0.0");
}

fn granted(line: &str) -> Addition {
    Addition { grants: [Capability::WasiMinimal].into(), ..addition(line) }
}

#[tokio::test]
async fn what_is_not_granted_is_told_before_anything_runs() {
    let world = World::new();
    let node = world.start(&[]).await;
    let error = node.add("go 1.0.0 wasi").await.unwrap_err();
    assert!(matches!(error, Error::NotGranted { .. }), "{error}");
    for part in ["log, wasi-minimal", "wasi:clocks/wall-clock@0.2.3", "--grant wasi-minimal"] {
        assert!(error.to_string().contains(part), "{part} is missing in {error}");
    }
    assert_eq!(node.host.loads(), 0);
    let row = node.lifecycle.add(granted("go 1.0.0 wasi")).await.unwrap().row;
    assert_eq!(row.grants, [Capability::Log, Capability::WasiMinimal].into());
    node.bind("go").await.unwrap();
    let again = world.start(&[]).await;
    assert_eq!(again.serving(), "go 1.0.0", "the grant survives a restart");
}

#[tokio::test]
async fn a_newer_version_never_widens_what_was_granted() {
    let world = World::new();
    let node = world.start(&[]).await;
    let named = |line: &str| Addition { name: Some("p".into()), ..addition(line) };
    node.lifecycle.add(named("p 1.0.0 silent")).await.unwrap();
    // It wants more than its plugin has, whether or not it says whose version it is.
    for wanting in [named("p 1.1.0 wasi"), addition("p 1.1.0 wasi")] {
        let error = node.lifecycle.add(wanting).await.unwrap_err();
        assert!(matches!(error, Error::NotGranted { .. }), "{error}");
    }
    let wider = Addition { grants: [Capability::WasiMinimal].into(), ..named("p 1.1.0 wasi") };
    node.lifecycle.add(wider).await.unwrap();
    let old = &node.catalog.model().plugins[&("p".to_owned(), "1.0.0".to_owned())];
    assert_eq!(old.grants, [Capability::Log].into(), "the older one has what it had");
    // A version that wants less does not lose what its plugin has.
    node.lifecycle.add(named("p 1.2.0 wait")).await.unwrap();
    node.lifecycle.add(named("p 1.3.0 wasi")).await.unwrap();
    // Another plugin's grant is nobody else's.
    assert!(matches!(node.add("q 1.0.0 wasi").await, Err(Error::NotGranted { .. })));
}

#[tokio::test]
async fn a_format_comes_in_and_is_no_compaction_strategy() {
    let world = World::new();
    let node = world.start(&["leveled 1.0.0 wait"]).await;
    let row = node.add("zip 1.0.0 codec").await.unwrap().row;
    assert_eq!(row.world, "format");
    assert_eq!(row.limits, mortise_plugin_runtime::World::Format.default_limits());
    let error = node.bind("zip").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::FailedPrecondition);
    for part in ["world `format`", "expected `compaction-strategy`", "mortise volume convert"] {
        assert!(error.to_string().contains(part), "{part} is missing in {error}");
    }
    assert_eq!(node.serving(), "leveled 1.0.0");
    assert!(node.catalog.model().bindings.is_empty());
    let error = node.add("zip 2.0.0 wait").await.unwrap_err();
    assert!(error.to_string().contains("another name"), "a plugin stays in its world: {error}");
    node.lifecycle.remove("zip", None, NOBODY).await.unwrap();
}

#[tokio::test]
async fn a_format_that_a_volume_is_written_in_cannot_be_removed() {
    let world = World::new();
    let node = world.start(&["leveled 1.0.0 wait"]).await;
    let digest = node.add("zip 1.0.0 codec").await.unwrap().row.digest;
    let written = |codec: Option<FormatId>| {
        node.catalog.commit(move |model| {
            let row = VolumeRow { codec: codec.clone(), ..model.volumes[VOLUME].clone() };
            let mut change = Change::default();
            change.put(model, Key::Volume(VOLUME.into()), &row)?;
            Ok((change, ()))
        })
    };
    let zip = FormatId { name: "zip".into(), digest: Some(digest), ..FormatId::natural() };
    written(Some(zip)).await.unwrap();
    let error = node.lifecycle.remove("zip", None, NOBODY).await.unwrap_err();
    assert!(matches!(&error, Error::PluginInUse { volumes, .. } if volumes == VOLUME), "{error}");
    written(None).await.unwrap();
    node.lifecycle.remove("zip", None, NOBODY).await.unwrap();
}

#[tokio::test]
async fn bindings_are_of_one_world_each() {
    let world = World::new();
    let node = world.start(&["leveled 1.0.0 wait"]).await;
    node.add("b 1.0.0 wait").await.unwrap();
    node.bind("b").await.unwrap();
    let codec = node.add("zip 1.0.0 codec").await.unwrap().target("{}");
    let place = Place { volume: VOLUME, volume_id: None, world: "format", default_strategy: NATIVE_STRATEGY };
    node.catalog.commit(|model| propose(model, place, &codec, 0)).await.unwrap();
    let start = Start {
        target: &codec,
        action: "plugin-use",
        reason: String::new(),
        unix_ms: 0,
        watch: Duration::ZERO,
    };
    node.catalog.commit(|model| activate(model, place, &start)).await.unwrap();
    let bound = |world: &str| {
        let model = node.catalog.model();
        model.bindings[&(VOLUME.to_owned(), world.to_owned())].current.clone()
    };
    assert_eq!(bound("format"), codec);
    assert!(matches!(bound("compaction-strategy"), Target::Plugin { plugin, .. } if plugin == "b"));
    assert!(matches!(node.lifecycle.remove("zip", None, NOBODY).await, Err(Error::PluginInUse { .. })));
    node.lifecycle.roll_back(VOLUME, NOBODY).await.unwrap();
    assert_eq!(bound("format"), codec, "a rollback of one world leaves the other alone");
}
