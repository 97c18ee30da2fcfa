//! Components come in and go: `plugin add`, `plugin remove`, and those that come with the program.

use std::sync::Arc;

use mortise_plugin_runtime::{Description, Digest, Identity, Limits, World};

use super::act::{Lifecycle, blocking};
use super::choose::Chosen;
use super::decide::{self, Removal};
use super::host::{Host, Loaded};
use crate::catalog::{HistoryRow, Origin};
use crate::system::ShippedPlugin;
use crate::{Error, Result};

/// A component that was verified and compiled and has said who it is.
struct Verified {
    description: Description,
    identity: Identity,
    component: Arc<dyn Loaded>,
}

impl Lifecycle {
    /// Verifies, compiles and stores a component. The same component may come twice.
    ///
    /// Before it has said who it is, it runs under the limits of the plugin that it is to be a version of, if
    /// a name is given.
    pub(crate) async fn add(&self, bytes: Vec<u8>, name: Option<String>, origin: Origin) -> Result<Chosen> {
        if bytes.len() > self.max_component_bytes {
            return Err(Error::ComponentTooLarge { found: bytes.len(), limit: self.max_component_bytes });
        }
        let bytes: Arc<[u8]> = bytes.into();
        let added = self.verify_and_admit(&bytes, name.as_deref(), origin).await;
        match &added {
            Ok(chosen) => {
                let (plugin, version, digest) = (&chosen.name, &chosen.version, &chosen.row.digest);
                tracing::info!(plugin, version, digest, "the plugin is in the catalog");
            }
            Err(_) => self.evict_unnamed(bytes).await,
        }
        added
    }

    async fn verify_and_admit(
        &self,
        bytes: &Arc<[u8]>,
        name: Option<&str>,
        origin: Origin,
    ) -> Result<Chosen> {
        let model = self.catalog.model();
        let (host, given) = (Arc::clone(&self.host), Arc::clone(bytes));
        let alone = self.compile_alone().await?;
        let named = name.map(str::to_owned);
        let verified = blocking(move || {
            let _alone = alone;
            let limits = |world: World| match &named {
                Some(name) => decide::inherited_limits(&model, name, world),
                None => world.default_limits(),
            };
            verify(host.as_ref(), &given, limits)
        });
        let Verified { description, identity, component } = verified.await?;
        let unix_ms = self.clock.unix_millis();
        let admit = |model: &_| decide::admit(model, name, &description, &identity, origin, unix_ms);
        // Refused before a file is written; decided again when the row is.
        admit(&self.catalog.model())?;
        let _together = self.files.lock().await;
        let (blobs, given) = (Arc::clone(&self.blobs), Arc::clone(bytes));
        blocking(move || blobs.put(&given)).await?;
        let chosen = self.catalog.commit(admit).await?;
        self.keep(&chosen.row.digest, component);
        Ok(chosen)
    }

    /// Removes what the compile cache keeps of a component that was refused, unless it is in the catalog from
    /// another time.
    async fn evict_unnamed(&self, bytes: Arc<[u8]>) {
        let _together = self.files.lock().await;
        let (host, model) = (Arc::clone(&self.host), self.catalog.model());
        let evicted = blocking(move || {
            let digest = Digest::of(&bytes).to_string();
            if !model.plugins.values().any(|row| row.digest == digest) {
                host.evict(&digest);
            }
            Ok(())
        });
        if let Err(error) = evicted.await {
            tracing::warn!(%error, "what was compiled of a refused component is left over");
        }
    }

    /// Registers the components that come with the program. One that cannot be registered is reported and
    /// left out: the node starts anyway, and the native strategy takes its place.
    pub(crate) async fn register_shipped(&self, shipped: &[ShippedPlugin]) {
        for plugin in shipped {
            if let Err(error) = self.register(plugin).await {
                let name = &plugin.name;
                tracing::error!(plugin = name, %error, "the shipped plugin cannot be registered");
            }
        }
    }

    async fn register(&self, plugin: &ShippedPlugin) -> Result<()> {
        let digest = Digest::of(&plugin.bytes).to_string();
        self.shipped.lock().insert(digest.clone());
        let model = self.catalog.model();
        let known =
            model.versions(&plugin.name).any(|(_, row)| row.digest == digest && row.state == Origin::Shipped);
        if known {
            // Compiling waits until someone is bound to it; the file is repaired if need be.
            let (blobs, bytes) = (Arc::clone(&self.blobs), plugin.bytes.clone());
            return blocking(move || blobs.put(&bytes).map(drop)).await;
        }
        self.add(plugin.bytes.to_vec(), Some(plugin.name.clone()), Origin::Shipped).await.map(drop)
    }

    /// Removes the files that no row names. Not when a row cannot be read: it may name one.
    pub(crate) async fn remove_unnamed_files(&self) {
        let model = self.catalog.model();
        if !model.unreadable.is_empty() {
            return;
        }
        let named = model.plugins.values().map(|row| row.digest.clone()).collect();
        let (host, blobs) = (Arc::clone(&self.host), Arc::clone(&self.blobs));
        let removed = blocking(move || {
            host.evict_all_but(&named);
            blobs.remove_all_but(&named)
        });
        if let Err(error) = removed.await {
            tracing::warn!(%error, "leftover plugin files could not be removed");
        }
    }

    /// Removes one version of a plugin, or all, unless one of them serves a volume.
    pub(crate) async fn remove(&self, name: &str, version: Option<&str>) -> Result<()> {
        let shipped: Vec<String> = self.shipped.lock().iter().cloned().collect();
        loop {
            let together = Arc::clone(&self.files).lock_owned().await;
            let serving = |digest: &str| self.serving(digest);
            let decide = |model: &_| decide::remove(model, name, version, &shipped, &serving);
            let Removal { digests, more } = self.catalog.commit(decide).await?;
            digests.iter().for_each(|digest| self.forget(digest));
            self.unsaved.lock().retain(|(_, unsaved), _| !digests.contains(unsaved));
            let (host, blobs) = (Arc::clone(&self.host), Arc::clone(&self.blobs));
            // The lock goes along: the files must be gone before they can come again, even if nobody waits.
            let removed = blocking(move || {
                let _together = together;
                for digest in digests {
                    host.evict(&digest);
                    if let Err(error) = blobs.remove(&digest) {
                        tracing::warn!(digest, %error, "the removed plugin's file is left over");
                    }
                }
                Ok(())
            });
            removed.await?;
            if !more {
                return Ok(());
            }
        }
    }

    /// Sets the limits of a plugin, and puts the strategies that it serves with back into service under them.
    pub(crate) async fn limit(&self, name: &str, limits: Limits) -> Result<()> {
        limits.validate().map_err(|error| Error::Limits(error.to_string()))?;
        while self.catalog.commit(|model| decide::limit(model, name, limits)).await? {}
        let all = self.attached.load_full();
        for (volume, attached) in all.iter() {
            let _order = attached.changing.lock().await;
            let active = attached.slot.load();
            if active.info.plugin == name {
                let next = self.best(volume).await;
                attached.slot.replace_if(active.activation, next, self.clock.unix_millis());
            }
        }
        Ok(())
    }

    /// Writes an audit row about something that was refused. Its own failure is only logged.
    pub(super) async fn audit_refusal(&self, row: HistoryRow, error: &Error) {
        let row = row.outcome(format!("refused: {error}"));
        let written = self.catalog.commit(|_| {
            let mut change = crate::catalog::Change::default();
            change.audit(row.clone());
            Ok((change, ()))
        });
        if let Err(error) = written.await {
            tracing::warn!(%error, "the audit row could not be written");
        }
    }
}

fn verify(host: &dyn Host, bytes: &[u8], limits: impl FnOnce(World) -> Limits) -> Result<Verified> {
    let description = host.inspect(bytes)?;
    let limits = limits(description.world);
    let component = host.load(bytes)?;
    match description.world {
        World::CompactionStrategy => drop(component.strategy(limits)?),
        // What it makes of a configuration is asked when a volume is to have it.
        World::Format => drop(component.format(limits, "{}")?),
        other => {
            let detail = format!("no volume can have a plugin of world {other}");
            return Err(Error::ComponentRefused(detail));
        }
    }
    let identity = component.identity(&limits).map_err(Error::DescribeFailed)?;
    let again = component.identity(&limits).map_err(Error::DescribeFailed)?;
    if identity != again {
        let detail = format!("asked twice who it is, it said {identity:?} and then {again:?}");
        return Err(Error::ComponentRefused(detail));
    }
    Ok(Verified { description, identity, component })
}
