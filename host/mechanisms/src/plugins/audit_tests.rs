//! Who did what when, why, with what, and what came of it: also what came to nothing.

use std::net::{IpAddr, Ipv4Addr};

use mortise_plugin_runtime::{Capability, Limits};

use super::world::{NOBODY, Running, VOLUME, World, addition};
use super::{Addition, SignatureState, Trust};
use crate::catalog::HistoryRow;
use crate::system::HistoryInfo;
use crate::{Actor, Cause, Error, NATIVE_STRATEGY};

fn alice(reason: &str) -> Cause {
    let actor = Actor { operator: Some("alice".into()), peer: Some(IpAddr::V4(Ipv4Addr::LOCALHOST)) };
    Cause { actor, reason: Some(reason.into()) }
}

/// The newest row of all, and how many there are.
fn newest(node: &Running) -> (usize, HistoryInfo) {
    let rows = node.lifecycle.history(None).unwrap();
    (rows.len(), rows[0].clone())
}

/// The newest row in the catalog.
fn latest(node: &Running) -> HistoryRow {
    let model = node.catalog.model();
    HistoryRow::clone(model.history.last_key_value().unwrap().1)
}

/// Nothing has happened but that one row more tells of this refusal.
fn is_told(node: &Running, before: u64, action: &str, plugin: Option<&str>, error: &Error) {
    let model = node.catalog.model();
    let (sequence, row) = model.history.last_key_value().unwrap();
    assert_eq!(*sequence, before + 1, "{action}: one row and no more: {:?}", model.history);
    assert_eq!((row.action.as_str(), row.plugin.as_deref()), (action, plugin), "{error}");
    assert_eq!(row.outcome, format!("refused: {error}"));
    assert!(row.refused && row.to.is_none(), "{row:?}");
    assert_eq!((row.actor.as_str(), row.operator.as_deref()), ("admin", Some("alice")));
    assert_eq!((row.peer.as_deref(), row.operator_reason.as_deref()), (Some("127.0.0.1"), Some("on trial")));
    let shown = newest(node).1;
    assert_eq!((shown.outcome.as_str(), shown.refused), (row.outcome.as_str(), true), "it is shown");
}

#[tokio::test]
async fn every_refused_attempt_leaves_one_row_with_the_reason_given_back() {
    let world = World::new();
    let node = world.start(&["leveled 1.0.0 wait"]).await;
    for line in ["b 1.0.0 wait", "bad 1.0.0 trap", "zip 1.0.0 codec"] {
        node.add(line).await.unwrap();
    }
    let (it, by) = (&node.lifecycle, &alice("on trial"));
    let none = Limits { memory_bytes: 0, ..Limits::default() };
    let bytes = vec![b'x'; 1001];
    let large = || Addition { bytes: bytes.as_slice().into(), cause: by.clone(), ..addition("") };
    let before = || *node.catalog.model().history.last_key_value().unwrap().0;
    macro_rules! refused {
        ($($action:literal, $plugin:expr, $attempt:expr;)+) => {$(
            let sequence = before();
            let error = $attempt.await.map(drop).unwrap_err();
            is_told(&node, sequence, $action, $plugin, &error);
        )+};
    }
    refused! {
        "plugin-use", Some("b"), it.bind("b", Some("9.9.9"), VOLUME, None, by);
        "plugin-use", Some("b"), it.bind("b", None, "unheard-of", None, by);
        "plugin-use", Some("b"), it.bind("b", None, VOLUME, Some("[]".into()), by);
        "plugin-use", Some("bad"), it.bind("bad", None, VOLUME, None, by);
        "plugin-use", Some("zip"), it.bind("zip", None, VOLUME, None, by);
        "plugin-use", Some("nobody"), it.bind("nobody", None, VOLUME, None, by);
        "plugin-use", None, it.bind("No Name\u{1b}", None, VOLUME, None, by);
        "plugin-use", Some(NATIVE_STRATEGY), it.bind(NATIVE_STRATEGY, None, "unheard-of", None, by);
        "plugin-rollback", Some("leveled"), it.roll_back(VOLUME, by);
        "plugin-rollback", None, it.roll_back("unheard-of", by);
        "plugin-shadow", Some("bad"), it.shadow("bad", None, VOLUME, None, by);
        "plugin-shadow", Some("leveled"), it.shadow("leveled", None, VOLUME, None, by);
        "plugin-shadow-end", Some("leveled"), it.stop_shadow(None, VOLUME, by);
        "plugin-shadow-end", Some("b"), it.stop_shadow(Some("b"), VOLUME, by);
        "plugin-promote", Some("b"), it.promote("b", VOLUME, by);
        "plugin-remove", Some("leveled"), it.remove("leveled", None, by);
        "plugin-remove", Some("nobody"), it.remove("nobody", None, by);
        "plugin-limits", Some("b"), it.limit("b", |_| none, by);
        "plugin-limits", Some("nobody"), it.limit("nobody", |now| now, by);
        "plugin-quarantine", Some("b"), it.quarantine_format("b", None, by);
        "plugin-release", Some("zip"), it.release_format("zip", None, by);
        "plugin-record", Some("leveled"), it.record(VOLUME, u64::MAX, u64::MAX, by);
        "plugin-add", None, it.add(large());
        "plugin-add", Some("b"), it.add(Addition { name: Some("b".into()), ..large() });
        "plugin-add", Some("b"), async { Err::<(), _>(it.refuse_oversized(Some("b"), by).await) };
    }
    assert_eq!(node.serving(), "leveled 1.0.0");
}

#[tokio::test]
async fn what_is_refused_is_told_of_the_version_that_was_meant() {
    let world = World::new();
    let node = world.start(&["leveled 1.0.0 wait"]).await;
    let digest = node.add("b 1.0.0 wait").await.unwrap().row.digest;
    let version = "9.9.9+".to_owned() + &"x".repeat(100);
    for (asked, told, named) in [
        (None, Some("1.0.0"), Some(&digest)),
        (Some("9.9.9"), Some("9.9.9"), None),
        (Some(&*version), None, None),
    ] {
        node.lifecycle.bind("b", asked, "unheard-of", Some(r#"{"a":1}"#.into()), NOBODY).await.unwrap_err();
        let row = latest(&node);
        assert_eq!((row.plugin_version.as_deref(), row.digest.as_ref()), (told, named));
        assert_eq!(row.volume.as_deref(), Some("unheard-of"));
        assert_eq!(row.config.unwrap().json.as_deref(), Some(r#"{"a":1}"#));
        assert!(!row.stranger && row.operator.is_none());
    }
    node.lifecycle.bind("nobody", None, "Not A Volume", None, NOBODY).await.unwrap_err();
    let row = latest(&node);
    assert!(row.stranger && row.volume.is_none(), "{row:?}");
    assert_eq!(node.lifecycle.history(Some("nobody")).unwrap().len(), 1, "it is found by the name");
}

#[tokio::test]
async fn a_refusal_is_answered_when_its_row_cannot_be_written() {
    let world = World::new();
    let node = world.start(&["leveled 1.0.0 wait"]).await;
    let rows = newest(&node).0;
    world.rows.set_full(true);
    let refused = node.lifecycle.roll_back(VOLUME, NOBODY).await;
    assert!(matches!(refused, Err(Error::NothingToRollBack(_))), "{refused:?}");
    let refused = node.bind("nobody").await;
    assert!(matches!(refused, Err(Error::NoSuchPlugin { .. })), "{refused:?}");
    let large = Addition { bytes: vec![0; 1001].into(), ..addition("") };
    let refused = node.lifecycle.add(large).await.map(drop);
    assert!(matches!(refused, Err(Error::ComponentTooLarge(_))), "{refused:?}");
    world.rows.set_full(false);
    assert_eq!(newest(&node).0, rows);
}

#[tokio::test]
async fn claims_that_break_the_rules_are_refused_and_not_kept() {
    let world = World::new();
    let node = world.start(&["leveled 1.0.0 wait"]).await;
    node.add("b 1.0.0 wait").await.unwrap();
    for cause in [alice("two\nlines"), alice(&"x".repeat(401))] {
        let error = node.lifecycle.bind("b", None, VOLUME, None, &cause).await.unwrap_err();
        let row = latest(&node);
        assert_eq!(row.outcome, format!("refused: {error}"));
        assert_eq!((row.operator.as_deref(), row.operator_reason), (Some("alice"), None));
        let added = Addition { cause, ..addition("c 1.0.0 wait") };
        assert!(matches!(node.lifecycle.add(added).await, Err(Error::Cause(_))));
    }
    let mut cause = alice("ticket 7");
    cause.actor.operator = Some("node\u{1b}[2K".into());
    node.lifecycle.roll_back(VOLUME, &cause).await.unwrap_err();
    assert_eq!((latest(&node).operator, latest(&node).actor.as_str()), (None, "admin"));
    assert_eq!(node.serving(), "leveled 1.0.0", "nothing was done");
}

#[tokio::test]
async fn who_asked_and_why_stands_in_every_row_of_a_change() {
    let world = World::new();
    let node = world.start(&["leveled 1.0.0 wait"]).await;
    let (it, by) = (&node.lifecycle, alice("ticket 7"));
    it.add(Addition { cause: by.clone(), ..addition("b 1.0.0 wait") }).await.unwrap();
    it.bind("b", None, VOLUME, None, &by).await.unwrap();
    it.limit("b", |now| Limits { fuel: Some(1 << 30), ..now }, &by).await.unwrap();
    it.record(VOLUME, 7, 0, &by).await.unwrap();
    it.roll_back(VOLUME, &by).await.unwrap();
    it.shadow("b", None, VOLUME, None, &by).await.unwrap();
    it.promote("b", VOLUME, &by).await.unwrap();
    let actions = ["rehearse", "limits", "record", "rollback", "shadow", "promote"];
    let rows = it.history(None).unwrap();
    for action in actions.map(|action| format!("plugin-{action}")) {
        assert!(rows.iter().any(|row| row.action == action), "{action} is missing: {rows:?}");
    }
    for row in
        rows.iter().filter(|row| row.plugin.as_deref() != Some("leveled") || row.action != "plugin-add")
    {
        assert_eq!((row.actor.as_str(), row.operator.as_deref()), ("admin", Some("alice")), "{row:?}");
        assert_eq!(
            (row.peer.as_deref(), row.operator_reason.as_deref()),
            (Some("127.0.0.1"), Some("ticket 7"))
        );
    }
    // What the host does by itself has nobody's name.
    let active = node.slot.load();
    crate::compaction::Supervisor::quarantine(&*node.lifecycle, VOLUME, &active, "test".into()).await;
    let row = latest(&node);
    assert_eq!((row.actor.as_str(), row.operator, row.peer, row.operator_reason), ("node", None, None, None));
}

#[tokio::test]
async fn what_was_granted_who_vouches_and_the_settings_are_told() {
    let pair = minisign::KeyPair::generate_unencrypted_keypair().unwrap();
    let key = super::TrustedKey::parse(&pair.pk.to_base64()).unwrap();
    let id = key.id().to_owned();
    let world = World { trust: Trust { keys: vec![key], required: false }, ..World::new() };
    let node = world.start(&["leveled 1.0.0 wait"]).await;
    let line = "go 1.0.0 wasi";
    let signature = minisign::sign(None, &pair.sk, line.as_bytes(), Some("release 7"), None).unwrap();
    let signed = Addition {
        signature: Some(signature.to_string()),
        grants: [Capability::WasiMinimal].into(),
        ..addition(line)
    };
    node.lifecycle.add(signed).await.unwrap();
    let row = newest(&node).1;
    assert_eq!((row.signature.as_deref(), row.key_id), (Some("signed"), Some(id)));
    assert_eq!(row.grants.unwrap(), ["log", "wasi-minimal"]);
    let shipped = node.lifecycle.history(Some("leveled")).unwrap().pop().unwrap();
    assert_eq!(
        (shipped.action.as_str(), shipped.signature),
        ("plugin-add", None),
        "it comes with the program"
    );
    node.add("b 1.0.0 wait").await.unwrap();
    let row = newest(&node).1;
    assert_eq!((row.signature.as_deref(), row.key_id.as_deref()), (Some("unsigned"), None));
    assert_eq!(row.grants.unwrap(), ["log"]);
    let unchecked = HistoryRow::admin("plugin-add", "x")
        .papers(&super::capabilities_by_default(), Some(&SignatureState::Unchecked { key_id: "0F".into() }));
    assert_eq!(
        (unchecked.signature.as_deref(), unchecked.key_id.as_deref()),
        (Some("unchecked"), Some("0F"))
    );

    let config = |row: &HistoryInfo| row.config.as_ref().and_then(|config| config.json.clone());
    let knob = r#"{"knob":1}"#;
    node.lifecycle.bind("b", None, VOLUME, Some(knob.into()), NOBODY).await.unwrap();
    node.bind("go").await.unwrap();
    node.lifecycle.roll_back(VOLUME, NOBODY).await.unwrap();
    node.lifecycle.shadow("b", None, VOLUME, Some(r#"{"other":2}"#.into()), NOBODY).await.unwrap();
    node.lifecycle.promote("b", VOLUME, NOBODY).await.unwrap();
    let rows = node.lifecycle.history(Some("b")).unwrap();
    // What was before is beyond the bounds of this catalog.
    let told: Vec<_> = rows.iter().take(7).rev().map(|row| (row.action.as_str(), config(row))).collect();
    let (first, other) = (Some(knob.to_owned()), Some(r#"{"other":2}"#.to_owned()));
    let expected = [
        ("plugin-use", first.clone()),
        ("plugin-supersede", None),
        ("plugin-rollback", first),
        ("plugin-rehearse", other.clone()),
        ("plugin-shadow", other.clone()),
        ("plugin-supersede", None),
        ("plugin-promote", other),
    ];
    assert_eq!(told, expected);
}
