//! A check says what an addition would, and leaves nothing behind: no row, no file, no compiled code.

use mortise_plugin_runtime::{Capability, Limits, World as PluginWorld};

use super::admit_tests::ROOMY;
use super::world::{NOBODY, Running, World, addition};
use super::{Addition, Ground, SignatureState, Step};
use crate::catalog::Origin;

fn named(name: &str, line: &str) -> Addition {
    Addition { name: Some(name.into()), ..addition(line) }
}

/// Everything that a check could leave behind.
fn traces(world: &World, node: &Running) -> (i64, usize, Vec<String>) {
    let blobs = std::fs::read_dir(world.directory.path().join("blobs")).unwrap();
    let mut files: Vec<_> = blobs.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    files.sort();
    (node.catalog.model().revision, node.host.kept(), files)
}

#[tokio::test]
async fn a_check_refuses_what_an_addition_refuses_in_its_words() {
    let world = World::new();
    let node = world.start(&["leveled 1.0.0 wait", "zip 1.0.0 codec"]).await;
    node.add("mine 1.0.0 wait").await.unwrap();
    let large = format!("large 1.0.0 wait {}", "x".repeat(1000));
    let unreadable = Addition { signature: Some("nonsense".into()), ..addition("a 1.0.0 wait") };
    for (refused, step, ground) in [
        (addition(&large), Step::Size, Ground::TooLarge),
        (unreadable, Step::Signature, Ground::WrongSignature),
        (addition("nothing"), Step::Read, Ground::UselessWorld),
        (addition("go 1.0.0 wasi"), Step::Capabilities, Ground::NotGranted),
        (addition("odd 1.0.0 unfit"), Step::Compile, Ground::UselessWorld),
        (addition("odd 1.0.0 mute"), Step::Describe, Ground::DescribeTrap),
        (addition("odd 1.0.0 hungry"), Step::Describe, Ground::DescribeMemory),
        (addition("odd 1.0.0 fickle"), Step::Describe, Ground::IdentityChanges),
        (addition("Odd 1.0.0 wait"), Step::Catalog, Ground::PluginName),
        (addition("odd one wait"), Step::Catalog, Ground::PluginVersion),
        (named("native", "odd 1.0.0 wait"), Step::Catalog, Ground::PluginName),
        (addition("mine 1.0.0 wait other"), Step::Catalog, Ground::VersionTaken),
        (addition("leveled 1.0.0 wait other"), Step::Catalog, Ground::VersionTaken),
        (addition("zip 2.0.0 wait"), Step::Catalog, Ground::NameOfOtherWorld),
    ] {
        let line = String::from_utf8_lossy(&refused.bytes).into_owned();
        let before = traces(&world, &node);
        let judged = node.lifecycle.check(refused.clone()).await.unwrap();
        assert_eq!(traces(&world, &node), before, "{line}");
        let refusal = judged.refusal.unwrap_or_else(|| panic!("{line} is taken"));
        assert_eq!((refusal.step, refusal.ground), (Some(step), Some(ground)), "{line}: {}", refusal.reason);
        assert!(judged.admission.is_none());
        let error = node.lifecycle.add(refused).await.unwrap_err();
        assert_eq!(error.to_string(), refusal.reason, "{line}");
    }
}

#[tokio::test]
async fn what_a_plugin_has_holds_for_the_check_of_its_next_version() {
    let world = World::new();
    let node = world.start(&[]).await;
    node.lifecycle
        .add(Addition { grants: [Capability::WasiMinimal].into(), ..named("p", "p 1.0.0 wasi") })
        .await
        .unwrap();
    node.lifecycle.limit("p", |_| ROOMY, NOBODY).await.unwrap();
    for line in ["p 1.1.0 wasi", "p 1.2.0 hungry"] {
        assert!(node.lifecycle.check(addition(line)).await.unwrap().refusal.is_some(), "whose is {line}?");
        let before = traces(&world, &node);
        let judged = node.lifecycle.check(named("p", line)).await.unwrap();
        assert_eq!(traces(&world, &node), before);
        let admission = judged.admission.expect("it would be taken");
        assert_eq!((admission.limits, admission.known), (ROOMY, false));
        assert_eq!(admission.grants, [Capability::Log, Capability::WasiMinimal]);
        assert_eq!(admission.signature, SignatureState::Unsigned);
        let row = node.lifecycle.add(named("p", line)).await.unwrap().row;
        assert_eq!((row.limits, row.origin), (ROOMY, Origin::Added), "as the check said");
        assert!(node.lifecycle.check(named("p", line)).await.unwrap().admission.unwrap().known);
    }
    let judged = node.lifecycle.check(addition("new 1.0.0 wait")).await.unwrap();
    let limits = judged.admission.expect("it would be taken").limits;
    assert_eq!(limits, PluginWorld::CompactionStrategy.default_limits());
    assert_eq!(limits, Limits::default());
}

#[tokio::test]
async fn one_component_is_compiled_at_a_time_by_checks_too() {
    let world = World::new();
    let node = world.start(&[]).await;
    let lines: Vec<String> = (0..4).map(|i| format!("p{i} 1.0.0 wait")).collect();
    let checks = lines.iter().map(|line| node.lifecycle.check(addition(line)));
    let adds = lines.iter().map(|line| node.add(line));
    let (checked, added) = tokio::join!(futures::future::join_all(checks), futures::future::join_all(adds));
    assert!(checked.iter().all(Result::is_ok) && added.iter().all(Result::is_ok), "{checked:?} {added:?}");
    assert_eq!((node.host.loads(), node.host.most_loading()), (8, 1));
}
