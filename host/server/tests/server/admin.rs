//! Volumes and plugins through our own service.

use mortise::pb::mortise::v1 as pb;
use tonic::Code;

use crate::support::Running;

#[tokio::test]
async fn volumes_are_created_listed_inspected_and_deleted() {
    let running = Running::start().await;
    let mut admin = running.admin().await;
    let create = |name: &str| pb::CreateVolumeRequest { name: name.to_owned(), ..Default::default() };
    let made = admin.create_volume(create("tenant-a")).await.expect("created").into_inner();
    assert_eq!(made.volume.expect("a volume").name, "tenant-a");
    let again = admin.create_volume(create("tenant-a")).await.expect_err("exists");
    assert_eq!(again.code(), Code::FailedPrecondition);
    let badly_named = admin.create_volume(create("Tenant A")).await.expect_err("no name");
    assert_eq!(badly_named.code(), Code::InvalidArgument);
    let list = admin.list_volumes(pb::ListVolumesRequest {}).await.expect("a list").into_inner();
    let names: Vec<_> = list.volumes.iter().map(|volume| volume.name.as_str()).collect();
    for name in ["default", "system", "tenant-a"] {
        assert!(names.contains(&name), "{name} is not among {names:?}");
    }
    let status = pb::VolumeStatusRequest { name: "tenant-a".to_owned() };
    let status = admin.volume_status(status).await.expect("a status").into_inner();
    assert_eq!((status.revision, status.levels.len()), (1, 7));
    assert!(!status.strategy.expect("a strategy").serving.expect("one serves").plugin.is_empty());
    let delete = pb::DeleteVolumeRequest { name: "tenant-a".to_owned(), ..Default::default() };
    admin.delete_volume(delete.clone()).await.expect("deleted");
    assert_eq!(admin.delete_volume(delete).await.expect_err("gone").code(), Code::NotFound);
    admin.create_volume(create("tenant-a")).await.expect("the name can be used again");
    running.stop().await;
}

#[tokio::test]
async fn plugins_are_listed_used_limited_and_rolled_back() {
    let running = Running::start().await;
    let mut admin = running.admin().await;
    let list = admin.list_plugins(pb::ListPluginsRequest {}).await.expect("a list").into_inner().plugins;
    let tiered = list.iter().find(|plugin| plugin.name == "compaction-tiered").expect("it is shipped");
    assert_eq!(tiered.origin, "shipped");
    let wanted = pb::UsePluginRequest {
        name: tiered.name.clone(),
        volume: "default".to_owned(),
        ..Default::default()
    };
    let used = admin.use_plugin(wanted).await.expect("used").into_inner().activation.expect("a swap");
    assert!(used.changed && used.rehearsed_views > 0, "{used:?}");
    assert_eq!(used.serving.expect("one serves").plugin, "compaction-tiered");
    let limits = pb::Limits { deadline_ms: 250, ..Default::default() };
    let set =
        pb::SetPluginLimitsRequest { name: tiered.name.clone(), limits: Some(limits), ..Default::default() };
    let plugins = admin.set_plugin_limits(set).await.expect("set").into_inner().plugins;
    let now = plugins[0].limits.expect("limits");
    assert_eq!((now.deadline_ms, now.memory_bytes), (250, 16 * 1024 * 1024));
    let back = pb::RollbackPluginRequest { volume: "default".to_owned(), ..Default::default() };
    let back = admin.rollback_plugin(back).await.expect("rolled back").into_inner().activation;
    assert_eq!(back.expect("a swap").serving.expect("one serves").plugin, "compaction-leveled");
    let show = pb::ShowPluginRequest { name: "compaction-tiered".to_owned() };
    let shown = admin.show_plugin(show).await.expect("shown").into_inner();
    assert!(!shown.history.is_empty() && !shown.versions.is_empty(), "{shown:?}");
    let show = pb::ShowPluginRequest { name: "native".to_owned() };
    let shown = admin.show_plugin(show).await.expect("the built-in one is shown").into_inner();
    assert_eq!((shown.versions[0].origin.as_str(), shown.versions[0].limits), ("built-in", None));
    let missing = pb::ShowPluginRequest { name: "nowhere".to_owned() };
    assert_eq!(admin.show_plugin(missing).await.expect_err("missing").code(), Code::NotFound);
    running.stop().await;
}

#[tokio::test]
async fn what_is_no_component_is_refused() {
    let running = Running::start().await;
    let mut admin = running.admin().await;
    let part = |chunk: &'static [u8]| pb::AddPluginRequest {
        name: "mine".into(),
        chunk: chunk.into(),
        ..Default::default()
    };
    let parts = tokio_stream::iter([part(b"not a "), part(b"component")]);
    let refused = admin.add_plugin(parts).await.expect_err("not a component");
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
    let nothing = admin.add_plugin(tokio_stream::empty()).await.expect_err("empty");
    assert_eq!(nothing.code(), Code::InvalidArgument, "{nothing:?}");
    running.stop().await;
}
