//! How the stores of a node are opened: with a block cache and open files that all of them share.
//!
//! Cache and open files are bounded for the node, so that they do not grow with the number of its volumes. A
//! store is opened together with the codec of its format. When that codec is not to be had, the opening ends
//! before anything of the tree is touched, with an error that names what asked for it.
//!
//! Which generations may be opened, and when, is for `home` and `generation` to know.

use std::any::Any;
use std::path::Path;
use std::sync::Arc;

use lsm_tree::{Cache, DescriptorTable};

use super::NodeConfig;
use crate::Result;
use crate::format::{Codecs, Coder, FormatId};
use crate::rebuild::Generation;
use crate::store::{Store, StoreConfig};

/// Table files kept open over all volumes.
const OPEN_TABLES: usize = 512;

/// Opens stores. Clones share cache and files.
#[derive(Clone)]
pub(super) struct Stores {
    cache: Arc<Cache>,
    descriptors: Arc<DescriptorTable>,
    memtable_bytes: u64,
    codecs: Arc<dyn Codecs>,
    /// Name of the volume whose stores are opened, for whoever has the codecs.
    volume: Arc<str>,
}

impl Stores {
    pub(super) fn new(config: &NodeConfig, codecs: Arc<dyn Codecs>) -> Self {
        Self {
            cache: Arc::new(Cache::with_capacity_bytes(config.cache_bytes)),
            descriptors: Arc::new(DescriptorTable::new(OPEN_TABLES)),
            memtable_bytes: config.memtable_bytes,
            codecs,
            volume: Arc::default(),
        }
    }

    /// Bytes in the block cache.
    pub(super) fn cached_bytes(&self) -> u64 {
        self.cache.size()
    }

    /// The same on behalf of the volume of this name.
    pub(super) fn of(&self, volume: &str) -> Self {
        Self { volume: volume.into(), ..self.clone() }
    }

    /// The coder of a format; `path` is what asks for it.
    pub(super) fn coder(&self, format: &FormatId, path: &Path) -> Result<Coder> {
        Coder::find(&*self.codecs, &self.volume, format, path)
    }

    /// Opens or creates the store in a generation's directory. `tenure` is dropped when nothing reads its
    /// files any more.
    pub(super) fn open(
        &self,
        generation: &Generation,
        tenure: Option<Arc<dyn Any + Send + Sync>>,
    ) -> Result<Store> {
        Store::open(StoreConfig {
            path: generation.path.clone(),
            coder: self.coder(&generation.format, &generation.path)?,
            cache: Arc::clone(&self.cache),
            descriptors: Some(Arc::clone(&self.descriptors)),
            tenure,
            memtable_bytes: self.memtable_bytes,
        })
    }
}
