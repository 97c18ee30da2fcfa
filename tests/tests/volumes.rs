//! Volumes are isolated, chosen by header or host name, and can be deleted and made again.

use anyhow::{Result, ensure};
use mortise_tests::{Client, Mortise};
use tempfile::TempDir;
use tonic::Code;

async fn value(client: &mut Client, key: &str) -> Option<String> {
    let kv = client.get(key.to_owned()).await.expect("a read is accepted")?;
    Some(String::from_utf8_lossy(&kv.value).into_owned())
}

fn create(mortise: &Mortise, name: &str) -> Result<()> {
    let finished = mortise.cli(&["volume", "create", name])?;
    ensure!(finished.success(), "volume create {name}: {}", finished.stderr);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn volumes_share_nothing() -> Result<()> {
    let directory = TempDir::new()?;
    let mortise = Mortise::start(directory.path())?;
    create(&mortise, "red")?;
    create(&mortise, "blue")?;
    let mut default = Client::connect(&mortise.endpoint()).await?;
    let mut red = Client::connect_volume(&mortise.endpoint(), "red").await?;
    let mut blue = Client::connect_volume(&mortise.endpoint(), "blue").await?;

    // Each volume counts its own revisions, from etcd's first.
    for number in 0..5 {
        assert_eq!(red.put("key", format!("red {number}")).await.expect("a put is accepted"), 2 + number);
    }
    assert_eq!(blue.put("key", "blue").await.expect("a put is accepted"), 2);
    assert_eq!(value(&mut red, "key").await.as_deref(), Some("red 4"));
    assert_eq!(value(&mut blue, "key").await.as_deref(), Some("blue"));
    assert_eq!(value(&mut default, "key").await, None);

    // All of it holds after a restart, too.
    mortise.kill()?;
    let mortise = Mortise::start(directory.path())?;
    let mut red = Client::connect_volume(&mortise.endpoint(), "red").await?;
    let mut blue = Client::connect_volume(&mortise.endpoint(), "blue").await?;
    assert_eq!(value(&mut red, "key").await.as_deref(), Some("red 4"));
    assert_eq!(red.revision().await.expect("a read is accepted"), 6);
    assert_eq!(value(&mut blue, "key").await.as_deref(), Some("blue"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_host_name_chooses_a_volume() -> Result<()> {
    let directory = TempDir::new()?;
    let mortise = Mortise::start(directory.path())?;
    create(&mortise, "tenant")?;
    let mut by_header = Client::connect_volume(&mortise.endpoint(), "tenant").await?;
    by_header.put("key", "tenant").await.expect("a put is accepted");

    let mut by_host = Client::connect_as_host(&mortise.endpoint(), "tenant.example.org:2379").await?;
    assert_eq!(value(&mut by_host, "key").await.as_deref(), Some("tenant"));
    // A host whose first label names no volume gets the default one.
    let mut other = Client::connect_as_host(&mortise.endpoint(), "elsewhere.example.org:2379").await?;
    assert_eq!(value(&mut other, "key").await, None);
    let mut default = Client::connect_volume(&mortise.endpoint(), "default").await?;
    default.put("key", "default").await.expect("a put is accepted");
    assert_eq!(value(&mut other, "key").await.as_deref(), Some("default"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_volume_is_gone_and_its_name_is_free() -> Result<()> {
    let directory = TempDir::new()?;
    let mortise = Mortise::start(directory.path())?;
    create(&mortise, "brief")?;
    let mut brief = Client::connect_volume(&mortise.endpoint(), "brief").await?;
    brief.put("key", "old").await.expect("a put is accepted");
    let folders = || Ok::<_, anyhow::Error>(std::fs::read_dir(directory.path().join("volumes"))?.count());
    let before = folders()?;

    let finished = mortise.cli(&["volume", "delete", "brief"])?;
    ensure!(finished.success(), "volume delete: {}", finished.stderr);
    ensure!(folders()? == before - 1, "the deleted volume's files are still there");
    let refusal = brief.get("key").await.expect_err("the volume is gone");
    assert_eq!(refusal.code, Code::NotFound, "{refusal:?}");
    assert!(refusal.message.contains("brief"), "{refusal:?}");

    create(&mortise, "brief")?;
    let mut brief = Client::connect_volume(&mortise.endpoint(), "brief").await?;
    assert_eq!(value(&mut brief, "key").await, None);
    assert_eq!(brief.put("key", "new").await.expect("a put is accepted"), 2);

    mortise.kill()?;
    let mortise = Mortise::start(directory.path())?;
    let mut brief = Client::connect_volume(&mortise.endpoint(), "brief").await?;
    assert_eq!(value(&mut brief, "key").await.as_deref(), Some("new"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn default_and_system_exist_and_stay() -> Result<()> {
    let directory = TempDir::new()?;
    let mortise = Mortise::start(directory.path())?;
    let list = mortise.cli(&["volume", "list"])?;
    for name in ["default", "system"] {
        ensure!(list.stdout.contains(name), "volume list lacks {name}: {}", list.stdout);
        let again = mortise.cli(&["volume", "create", name])?;
        ensure!(!again.success() && again.stderr.contains(name), "a second {name}: {again:?}");
    }
    let delete = mortise.cli(&["volume", "delete", "system"])?;
    ensure!(!delete.success(), "the system volume was deleted: {}", delete.stdout);
    // The catalog is ordinary keys that anyone can read.
    let mut system = Client::connect_volume(&mortise.endpoint(), "system").await?;
    let catalog = system.content(0).await.expect("a read is accepted");
    ensure!(!catalog.is_empty(), "the catalog holds nothing");
    Ok(())
}
