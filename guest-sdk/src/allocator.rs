//! The allocator of plugins: it takes memory in a line, and begins the line anew when all of it was freed.
//!
//! Within a call nothing is gained by freeing block by block; a view of 200 tables alone is 400 small lists.
//! Only the newest block grows and shrinks in place, which is what a growing vector or string mostly is. A
//! policy that churns through more than its memory limit within one call ends in a fault that says so.
//!
//! A format's instance serves many calls. Blocks are counted, and when the last one of a call goes, the line
//! begins anew at the *floor*; what was prepared from the configuration lies below the floor and stays.
#![allow(unsafe_code, reason = "an allocator is; each use is argued below")]

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;

const PAGE_BYTES: usize = 64 * 1024;

/// Hands out memory from `next` to `end`.
struct Line {
    next: Cell<usize>,
    end: Cell<usize>,
    /// Where the line begins anew. Blocks below are never taken back.
    floor: Cell<usize>,
    /// Blocks above the floor that are in use.
    alive: Cell<usize>,
}

// SAFETY: the target has no threads, so nothing is ever shared between any.
unsafe impl Sync for Line {}

#[global_allocator]
static LINE: Line = Line { next: Cell::new(0), end: Cell::new(0), floor: Cell::new(0), alive: Cell::new(0) };

/// Keeps everything that is in use now for as long as the instance lives.
pub(crate) fn keep() {
    LINE.raise(LINE.next.get());
}

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
            self.raise(start);
        }
        self.end.set(start + pages * PAGE_BYTES);
        true
    }

    /// Lets the line begin anew at `floor` from now on; no block lies across it.
    fn raise(&self, floor: usize) {
        self.floor.set(floor);
        self.alive.set(0);
    }

    /// A block is not in use any more.
    fn release(&self, block: usize, bytes: usize) {
        if block < self.floor.get() {
            return;
        }
        self.alive.set(self.alive.get() - 1);
        if self.alive.get() == 0 {
            self.next.set(self.floor.get());
        } else if block + bytes == self.next.get() {
            self.next.set(block);
        }
    }
}

// SAFETY: blocks are disjoint, because `next` only grows, except back to the start of the newest block when
// that one is freed or shrinks, and back to the floor when no block above it is in use. Blocks below the
// floor stay below it: only blocks above grow in place. They lie in memory that was grown for them and are
// aligned by rounding up.
unsafe impl GlobalAlloc for Line {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        loop {
            let start = self.next.get().next_multiple_of(layout.align());
            match start.checked_add(layout.size()) {
                Some(end) if end <= self.end.get() => {
                    self.next.set(end);
                    self.alive.set(self.alive.get() + 1);
                    return start as *mut u8;
                }
                Some(_) if self.grow(layout.size() + layout.align()) => {}
                _ => return std::ptr::null_mut(),
            }
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        self.release(block as usize, layout.size());
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let start = block as usize;
        let newest = start >= self.floor.get() && start + layout.size() == self.next.get();
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
            self.release(start, layout.size());
        }
        target
    }
}
