//! The engine's heap: the runtime may be entered inside the guest's `malloc`, so it must not use it.
//!
//! A bump allocator over a reserved range at a fixed address, with a free list for each power of two. Memory is
//! never given back to the system; the engine's tables grow and stay.
#![expect(unsafe_code, reason = "a global allocator is unsafe by its interface")]

use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicBool, Ordering};

use super::layout::{ARENA, HEAP, HEAP_BYTES};
use super::memory::{READ_WRITE, map_fixed};

/// To be declared as `#[global_allocator]` by every library that the engine is linked into.
pub struct Allocator {
    locked: AtomicBool,
    heap: UnsafeCell<Heap>,
}

struct Heap {
    mapped: bool,
    next: u64,
    /// Heads of the free lists, by the logarithm of the block size.
    free: [u64; 48],
}

// SAFETY: `heap` is touched only while `locked` is held.
unsafe impl Sync for Allocator {}

const START: u64 = ARENA + HEAP;
const SMALLEST_LOG: u32 = 4;

impl Allocator {
    /// An empty heap; memory is reserved at the first allocation.
    #[expect(clippy::new_without_default, reason = "it is a static, and const")]
    pub const fn new() -> Allocator {
        Allocator {
            locked: AtomicBool::new(false),
            heap: UnsafeCell::new(Heap { mapped: false, next: START, free: [0; 48] }),
        }
    }

    fn with<R>(&self, act: impl FnOnce(&mut Heap) -> R) -> R {
        while self.locked.compare_exchange_weak(false, true, Ordering::Acquire, Ordering::Relaxed).is_err() {
            core::hint::spin_loop();
        }
        // SAFETY: the lock is held, so this is the only reference.
        let result = act(unsafe { &mut *self.heap.get() });
        self.locked.store(false, Ordering::Release);
        result
    }
}

/// Blocks are powers of two and aligned to their size, up to a page.
fn log_of(layout: Layout) -> u32 {
    let bytes = layout.size().max(layout.align()).max(1 << SMALLEST_LOG);
    bytes.next_power_of_two().trailing_zeros()
}

impl Heap {
    fn take(&mut self, log: u32) -> u64 {
        let head = self.free[log as usize];
        if head != 0 {
            // SAFETY: a free block holds the address of the next one in its first word.
            self.free[log as usize] = unsafe { (head as *const u64).read() };
            return head;
        }
        if !self.mapped {
            if map_fixed(START, HEAP_BYTES, READ_WRITE).is_err() {
                return 0;
            }
            self.mapped = true;
        }
        let bytes = 1u64 << log;
        let start = self.next.next_multiple_of(bytes.min(4096));
        if start + bytes > START + HEAP_BYTES {
            return 0;
        }
        self.next = start + bytes;
        start
    }
}

// SAFETY: blocks are disjoint, large enough and aligned (see `log_of`); a block is on a free list only after
// `dealloc`.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let log = log_of(layout);
        if log >= 40 || layout.align() > 4096 {
            return core::ptr::null_mut();
        }
        self.with(|heap| heap.take(log)) as *mut u8
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let log = log_of(layout);
        self.with(|heap| {
            // SAFETY: the block is at least 16 bytes, and its owner has given it up.
            unsafe { block.cast::<u64>().write(heap.free[log as usize]) };
            heap.free[log as usize] = block as u64;
        });
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let Ok(grown) = Layout::from_size_align(size, layout.align()) else { return core::ptr::null_mut() };
        if log_of(grown) == log_of(layout) {
            return block;
        }
        // SAFETY: `grown` has a size, since `size` is not zero by this function's contract.
        let fresh = unsafe { self.alloc(grown) };
        if !fresh.is_null() {
            // SAFETY: both blocks hold the smaller of the sizes, and are disjoint.
            unsafe { core::ptr::copy_nonoverlapping(block, fresh, layout.size().min(size)) };
            // SAFETY: the caller gives the old block up.
            unsafe { self.dealloc(block, layout) };
        }
        fresh
    }
}
