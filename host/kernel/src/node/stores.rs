//! How the stores of a node are opened: with a block cache and open files that all of them share.

use std::any::Any;
use std::path::Path;
use std::sync::Arc;

use lsm_tree::{Cache, DescriptorTable};

use super::NodeConfig;
use crate::Result;
use crate::store::{Store, StoreConfig};

/// Table files kept open over all volumes.
const OPEN_TABLES: usize = 512;

/// Opens stores. Clones share cache and files.
#[derive(Clone)]
pub(super) struct Stores {
    cache: Arc<Cache>,
    descriptors: Arc<DescriptorTable>,
    memtable_bytes: u64,
}

impl Stores {
    pub(super) fn new(config: &NodeConfig) -> Self {
        Self {
            cache: Arc::new(Cache::with_capacity_bytes(config.cache_bytes)),
            descriptors: Arc::new(DescriptorTable::new(OPEN_TABLES)),
            memtable_bytes: config.memtable_bytes,
        }
    }

    /// Opens or creates the store in a generation's directory. `tenure` is dropped when nothing reads its
    /// files any more.
    pub(super) fn open(&self, path: &Path, tenure: Option<Arc<dyn Any + Send + Sync>>) -> Result<Store> {
        Store::open(StoreConfig {
            path: path.to_path_buf(),
            cache: Arc::clone(&self.cache),
            descriptors: Some(Arc::clone(&self.descriptors)),
            tenure,
            memtable_bytes: self.memtable_bytes,
        })
    }
}
