//! Components come in: `plugin add`, and those that come with the program.
//!
//! What can be known without running a component is checked first: its size, signature, world, version and
//! imports. Then its arrival is written, then it is compiled and asked who it is, then its row takes the
//! arrival's place. Whatever is refused leaves an audit row and nothing else. `plugin check` goes the same
//! way ([`judge`](super::judge)) and writes nothing.

use std::sync::Arc;

use mortise_plugin_runtime::{Digest, Identity, Limits, World};

use super::act::{Lifecycle, blocking};
use super::arriving::Arrived;
use super::capability::Capabilities;
use super::choose::{self, Chosen};
use super::decide::{self, Attempt, Inspected, Refused};
use super::format_limits;
use super::host::Loaded;
use super::judge::{self, AdmissionRules, Judged, Keep, TrialTerms};
use crate::catalog::Origin;
use crate::cause::Cause;
use crate::system::ShippedPlugin;
use crate::{Error, Result};

/// A component that is to come in.
#[derive(Clone, Debug)]
pub(crate) struct Addition {
    pub bytes: Arc<[u8]>,
    /// Name that it is to get instead of the one that it gives itself.
    pub name: Option<String>,
    /// The text of its minisign signature.
    pub signature: Option<String>,
    /// What is granted to it expressly.
    pub grants: Capabilities,
    pub origin: Origin,
    pub cause: Cause,
}

impl Lifecycle {
    /// Verifies, compiles and stores a component. The same component may come twice.
    ///
    /// Before it has said who it is, it runs under the limits and with the grants of the plugin that it is to
    /// be a version of, if a name is given.
    pub(crate) async fn add(&self, addition: Addition) -> Result<Chosen> {
        let mut arrived = None;
        let added = self.examine_and_admit(&addition, &mut arrived).await;
        match &added {
            Ok(chosen) => {
                let (plugin, version, digest) = (&chosen.name, &chosen.version, &chosen.row.digest);
                tracing::info!(plugin, version, digest, "the plugin is in the catalog");
            }
            Err(error) => self.turn_away_after(&addition, arrived, error).await,
        }
        added
    }

    /// As [`Self::add`]; `arrived` says whether the component's arrival was written on its behalf.
    async fn examine_and_admit(&self, addition: &Addition, arrived: &mut Option<Arrived>) -> Result<Chosen> {
        let Addition { bytes, cause, .. } = addition;
        cause.check()?;
        self.finish_removals().await?;
        let (host, admission_rules, given) =
            (Arc::clone(&self.host), self.admission_rules(), addition.clone());
        let looked = blocking(move || {
            let papers = judge::look(host.as_ref(), &admission_rules, &given)?;
            let terms = judge::terms(&admission_rules, &papers)?;
            Ok((papers, terms))
        });
        let (papers, terms) = looked.await?;
        *arrived = Some(self.arriving.another(&papers.description.digest.to_string()));
        self.receive(bytes, &papers).await?;
        let (identity, component) = self.verify(bytes, papers.description.world, terms).await?;
        // Refused before the file is looked at; decided again when the row is written.
        decide::admit(&self.catalog.model(), &papers, &identity)?;
        let _together = self.files.lock().await;
        let (blobs, given) = (Arc::clone(&self.blobs), Arc::clone(bytes));
        // Somebody who was refused with the same bytes may have taken the file along.
        blocking(move || blobs.put(&given)).await?;
        let decide = |model: &_| decide::admit(model, &papers, &identity);
        let chosen = self.catalog.commit_for(cause, decide).await?;
        self.keep(&chosen.row.digest, component);
        Ok(chosen)
    }

    /// Writes the arrival and the file of a component.
    async fn receive(&self, bytes: &Arc<[u8]>, papers: &Inspected) -> Result<()> {
        let _together = self.files.lock().await;
        self.catalog.commit(|model| decide::arrive(model, papers)).await?;
        let (blobs, given) = (Arc::clone(&self.blobs), Arc::clone(bytes));
        blocking(move || blobs.put(&given).map(drop)).await
    }

    /// Compiles a component and asks it who it is.
    async fn verify(
        &self,
        bytes: &Arc<[u8]>,
        world: World,
        terms: TrialTerms,
    ) -> Result<(Identity, Arc<dyn Loaded>)> {
        let (host, given) = (Arc::clone(&self.host), Arc::clone(bytes));
        let alone = self.compile_alone().await?;
        let verified = blocking(move || {
            let _alone = alone;
            Ok(judge::verify(host.as_ref(), &given, world, &terms, Keep::Compiled)?)
        });
        verified.await
    }

    /// Says what [`Self::add`] would, and leaves nothing behind: no file, no row, no compiled code.
    ///
    /// # Errors
    /// What is not the component's doing.
    pub(crate) async fn check(&self, addition: Addition) -> Result<Judged> {
        let alone = self.compile_alone().await?;
        let (host, admission_rules) = (Arc::clone(&self.host), self.admission_rules().without_removed());
        let judged = blocking(move || {
            let _alone = alone;
            judge::judge(host.as_ref(), &admission_rules, &addition, |limits| limits)
        });
        judged.await
    }

    /// What this node measures a component by now.
    fn admission_rules(&self) -> AdmissionRules {
        AdmissionRules {
            model: self.catalog.model(),
            trust: self.trust.clone(),
            max_component_bytes: self.max_component_bytes,
            unix_ms: self.clock.unix_millis(),
        }
    }

    /// Tells the history that a component was refused before it was read to its end, because it is too large.
    /// Returns the refusal.
    pub(crate) async fn refuse_oversized(&self, name: Option<&str>, cause: &Cause) -> Error {
        let error = Error::ComponentTooLarge(self.max_component_bytes);
        self.tell_unread(name, &decide::in_words(&error), cause).await;
        error
    }

    /// Tells the history what came of a component that was not read to its end.
    pub(crate) async fn tell_unread(&self, name: Option<&str>, outcome: &str, cause: &Cause) {
        let refused = Refused { origin: Origin::Added, name, digest: "", last: true, outcome };
        let told = self.catalog.commit_for(cause, |model| decide::refuse(model, &refused)).await;
        if let Err(error) = told {
            tracing::warn!(%error, "that a component was refused could not be written");
        }
    }

    /// As [`Self::turn_away_after`], of a component that did not come so far as to be written.
    pub(crate) async fn turn_away(&self, addition: &Addition, error: &Error) {
        self.turn_away_after(addition, None, error).await;
    }

    /// Tells the history that a component was refused, and removes its arrival, its file and what was
    /// compiled of it, unless it is in the catalog from another time or the same bytes are being verified for
    /// somebody else.
    async fn turn_away_after(&self, addition: &Addition, arrived: Option<Arrived>, error: &Error) {
        let digest = Digest::of(&addition.bytes).to_string();
        let Addition { name, origin, cause, .. } = addition;
        let _together = self.files.lock().await;
        drop(arrived);
        let last = !self.arriving.has(&digest);
        let outcome = &*decide::in_words(error);
        let refused = Refused { origin: *origin, name: name.as_deref(), digest: &digest, last, outcome };
        let refused = self.catalog.commit_for(cause, |model| decide::refuse(model, &refused)).await;
        if let Err(error) = refused {
            tracing::warn!(%error, "that a component was refused could not be written");
        }
        let (host, blobs, model) = (Arc::clone(&self.host), Arc::clone(&self.blobs), self.catalog.model());
        let removed = blocking(move || {
            if model.components().contains(digest.as_str()) || !model.unreadable.is_empty() {
                return Ok(());
            }
            host.evict(&digest);
            blobs.remove(&digest)
        });
        if let Err(error) = removed.await {
            tracing::warn!(%error, "something of a refused component is left over");
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
        // A build that was kept for what is written in it may be the program's own again.
        let known = model
            .versions(&plugin.name)
            .any(|(_, row)| row.digest == digest && row.origin == Origin::Shipped && row.build_of.is_none());
        if known {
            // Compiling waits until someone is bound to it; the file is repaired if need be.
            let (blobs, bytes) = (Arc::clone(&self.blobs), plugin.bytes.clone());
            return blocking(move || blobs.put(&bytes).map(drop)).await;
        }
        let addition = Addition {
            bytes: plugin.bytes.as_ref().into(),
            name: Some(plugin.name.clone()),
            signature: None,
            grants: Capabilities::new(),
            origin: Origin::Shipped,
            cause: Cause::default(),
        };
        self.add(addition).await.map(drop)
    }

    /// Sets the limits of a plugin to what `change` makes of those of its newest version, puts the strategies
    /// that it serves with back into service under them, and gives them to its formats' next calls.
    pub(crate) async fn limit(
        &self,
        name: &str,
        change: impl FnOnce(Limits) -> Limits + Send,
        cause: &Cause,
    ) -> Result<()> {
        let attempt = Attempt::new("plugin-limits", cause).plugin(name, None);
        let limit = async {
            let now = format_limits::effective(&choose::pick(&self.catalog.model(), name, None)?.row);
            self.set_limits(name, change(now), cause).await
        };
        self.told(attempt, limit).await
    }

    async fn set_limits(&self, name: &str, limits: Limits, cause: &Cause) -> Result<()> {
        format_limits::check(&self.catalog.model(), name, &limits)?;
        while self.catalog.commit_for(cause, |model| decide::limit(model, name, limits)).await? {}
        self.renew_format_limits();
        let all = self.attached.load();
        for attached in all.values() {
            self.renew(attached, name).await;
        }
        Ok(())
    }
}
