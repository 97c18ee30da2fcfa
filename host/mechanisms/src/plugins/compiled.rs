//! Compiled components: in memory, in the compile cache, or made by the compiler, one at a time.
//!
//! A compiler can be kept busy for minutes by components that are made for that. Whoever must not wait,
//! because a volume needs a strategy now, asks for what is there and is told when it isn't.

use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;

use super::act::{Lifecycle, blocking};
use super::choose::Chosen;
use super::host::Loaded;
use super::stage_error::StageError;
use crate::{Error, Result};

/// Whether a component that is not compiled yet is waited for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Compiling {
    /// Until others have been compiled, and then it.
    Awaited,
    /// Not at all.
    Never,
}

impl Lifecycle {
    /// A component that can run: from memory, from the compile cache, or compiled when its turn has come.
    pub(super) async fn compiled(&self, chosen: &Chosen, compiling: Compiling) -> Result<Arc<dyn Loaded>> {
        let digest = chosen.row.digest.clone();
        if let Some(known) = self.known(&digest) {
            return Ok(known);
        }
        let capabilities = chosen.row.capabilities();
        let (host, blobs) = (Arc::clone(&self.host), Arc::clone(&self.blobs));
        let (name, granted) = (digest.clone(), capabilities.clone());
        let compiled = blocking(move || host.load_compiled(&blobs.get(&name)?, &granted)).await?;
        if let Some(compiled) = compiled {
            return Ok(self.keep(&digest, compiled));
        }
        if compiling == Compiling::Never {
            let (name, version) = (chosen.name.clone(), chosen.version.clone());
            return Err(StageError::NotCompiled { name, version }.into());
        }
        let alone = self.compile_alone().await?;
        // Whoever was first may have compiled the same.
        if let Some(known) = self.known(&digest) {
            return Ok(known);
        }
        let (host, blobs) = (Arc::clone(&self.host), Arc::clone(&self.blobs));
        let name = digest.clone();
        let compiled = blocking(move || {
            let _alone = alone;
            host.load(&blobs.get(&name)?, &capabilities)
        });
        Ok(self.keep(&digest, compiled.await?))
    }

    /// The compiled component, when it is in memory.
    pub(super) fn known(&self, digest: &str) -> Option<Arc<dyn Loaded>> {
        self.components.lock().get(digest).cloned()
    }

    /// Waits for the turn to compile a component.
    pub(super) async fn compile_alone(&self) -> Result<OwnedSemaphorePermit> {
        Arc::clone(&self.compiling).acquire_owned().await.map_err(|_| Error::ShuttingDown)
    }

    /// Remembers a compiled component, and answers what is remembered: the first one, where several asked for
    /// it at once, so that all that serve are counted together.
    pub(super) fn keep(&self, digest: &str, component: Arc<dyn Loaded>) -> Arc<dyn Loaded> {
        Arc::clone(self.components.lock().entry(digest.into()).or_insert(component))
    }

    /// Forgets a compiled component; those that it serves right now keep it until they are replaced.
    pub(super) fn forget(&self, digest: &str) {
        self.codecs.lock().remove(digest);
        self.components.lock().remove(digest);
    }
}
