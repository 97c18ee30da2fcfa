//! The allocator of plugins: it takes memory in a line and gives none back.
//!
//! An instance lives for one call and its memory goes with it, so freeing would be work for nothing; a view
//! of 200 tables alone is 400 small lists. Only the newest block grows and shrinks in place, which is what a
//! growing vector or string mostly is. A policy that churns through more than its memory limit within one
//! call ends in a fault that says so.
#![allow(unsafe_code, reason = "an allocator is; each use is argued below")]

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;

const PAGE_BYTES: usize = 64 * 1024;

/// Hands out memory from `next` to `end`.
struct Line {
    next: Cell<usize>,
    end: Cell<usize>,
}

// SAFETY: the target has no threads, so nothing is ever shared between any.
unsafe impl Sync for Line {}

#[global_allocator]
static LINE: Line = Line { next: Cell::new(0), end: Cell::new(0) };

impl Line {
    /// Makes the memory up to `until` usable; what is new follows the module's own data or, when something
    /// else has grown the memory meanwhile, begins behind that.
    #[cold]
    fn grow(&self, bytes: usize) -> bool {
        let pages = bytes.div_ceil(PAGE_BYTES).max(4);
        let before = core::arch::wasm32::memory_grow(0, pages);
        if before == usize::MAX {
            return false;
        }
        let start = before * PAGE_BYTES;
        if start != self.end.get() {
            self.next.set(start);
        }
        self.end.set(start + pages * PAGE_BYTES);
        true
    }
}

// SAFETY: blocks are disjoint, because `next` only grows, except back to the start of the newest block when
// that one is freed or shrinks; they lie in memory that was grown for them and are aligned by rounding up.
unsafe impl GlobalAlloc for Line {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        loop {
            let start = self.next.get().next_multiple_of(layout.align());
            match start.checked_add(layout.size()) {
                Some(end) if end <= self.end.get() => {
                    self.next.set(end);
                    return start as *mut u8;
                }
                Some(_) if self.grow(layout.size() + layout.align()) => {}
                _ => return std::ptr::null_mut(),
            }
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if block as usize + layout.size() == self.next.get() {
            self.next.set(block as usize);
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let start = block as usize;
        let newest = start + layout.size() == self.next.get();
        if newest && start.checked_add(size).is_some_and(|end| end <= self.end.get()) {
            self.next.set(start + size);
            return block;
        }
        if size <= layout.size() {
            return block;
        }
        // SAFETY: the caller vouches that `size` with this alignment is a valid layout.
        let target = unsafe { self.alloc(Layout::from_size_align_unchecked(size, layout.align())) };
        if !target.is_null() {
            // SAFETY: both blocks hold at least the old size, and a new block overlaps no living one.
            unsafe { std::ptr::copy_nonoverlapping(block, target, layout.size()) };
        }
        target
    }
}
