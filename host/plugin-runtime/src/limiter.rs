//! Memory accounting of one call.
//!
//! wasmtime's own `StoreLimits` bounds each memory by itself, so a component with many memories would get
//! many times its limit. [`MemoryLimiter`] sums everything that the instances of a store allocate, initial
//! sizes included, and answers a request beyond the limit with an error that says so; a refused `memory.grow`
//! would surface as a bare `unreachable` in the plugin's allocator.

use wasmtime::ResourceLimiter;

use crate::engine::{INSTANCES, MEMORIES, TABLES};

/// Bytes that a table element counts; wasmtime stores a pointer for each.
const TABLE_ELEMENT_BYTES: u64 = 8;

/// Sums the memories and tables of a store and refuses what exceeds the limit.
#[derive(Debug)]
pub(crate) struct MemoryLimiter {
    used: u64,
    limit: u64,
}

/// A plugin wanted more than its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the plugin's memories and tables would need {wanted} bytes; its limit is {limit}: raise the limit or \
     use a plugin that needs less"
)]
pub(crate) struct MemoryExceeded {
    wanted: u64,
    limit: u64,
}

impl MemoryLimiter {
    pub(crate) fn new(limit: u64) -> Self {
        Self { used: 0, limit }
    }

    /// Changes what is granted from now on. What was granted before is not taken back.
    pub(crate) fn set_limit(&mut self, limit: u64) {
        self.limit = limit;
    }

    /// Bytes granted so far. Memories and tables never shrink.
    pub(crate) fn used(&self) -> u64 {
        self.used
    }

    fn grow(&mut self, bytes: u64) -> wasmtime::Result<bool> {
        let wanted = self.used.saturating_add(bytes);
        if wanted > self.limit {
            return Err(wasmtime::Error::new(MemoryExceeded { wanted, limit: self.limit }));
        }
        self.used = wanted;
        Ok(true)
    }
}

impl ResourceLimiter for MemoryLimiter {
    fn memory_growing(&mut self, now: usize, wanted: usize, max: Option<usize>) -> wasmtime::Result<bool> {
        // Beyond its own maximum it doesn't grow, and so must not count.
        if max.is_some_and(|max| wanted > max) {
            return Ok(false);
        }
        self.grow(wanted.saturating_sub(now) as u64)
    }

    fn table_growing(&mut self, now: usize, wanted: usize, max: Option<usize>) -> wasmtime::Result<bool> {
        if max.is_some_and(|max| wanted > max) {
            return Ok(false);
        }
        self.grow((wanted.saturating_sub(now) as u64).saturating_mul(TABLE_ELEMENT_BYTES))
    }

    // The pool holds a component to the same numbers when it is loaded; without a pool nothing else would,
    // and what the host keeps of an instance is in no memory that is counted here.
    fn instances(&self) -> usize {
        INSTANCES as usize
    }

    fn memories(&self) -> usize {
        MEMORIES as usize
    }

    fn tables(&self) -> usize {
        TABLES as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_memories_and_tables() {
        let mut limiter = MemoryLimiter::new(100_000);
        assert!(limiter.memory_growing(0, 65_536, None).unwrap());
        assert!(limiter.table_growing(0, 1_000, None).unwrap());
        assert!(limiter.memory_growing(65_536, 80_000, None).unwrap());
        let error = limiter.memory_growing(0, 65_536, None).unwrap_err();
        let exceeded = error.downcast_ref::<MemoryExceeded>().unwrap();
        assert_eq!(*exceeded, MemoryExceeded { wanted: 80_000 + 8_000 + 65_536, limit: 100_000 });
    }

    #[test]
    fn growth_that_cannot_happen_does_not_count() {
        let mut limiter = MemoryLimiter::new(100_000);
        assert!(!limiter.memory_growing(0, 90_000, Some(80_000)).unwrap());
        assert!(!limiter.table_growing(0, 10_000, Some(100)).unwrap());
        assert!(limiter.memory_growing(0, 100_000, None).unwrap());
    }

    #[test]
    fn absurd_sizes_are_refused_without_overflow() {
        let mut limiter = MemoryLimiter::new(u64::MAX - 1);
        assert!(limiter.table_growing(0, usize::MAX, None).is_err());
        assert!(limiter.memory_growing(0, usize::MAX, None).is_err());
    }
}
