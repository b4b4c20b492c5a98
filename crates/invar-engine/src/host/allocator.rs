//! The engine's heap: the runtime may be entered inside the guest's `malloc`, so it must not use it.
//!
//! A bump allocator over a reserved range at a fixed address, with a free list for each power of two. Memory is
//! never given back to the system; the engine's tables grow and stay.
//!
//! Two heaps: the runtime may be entered while the guest is in here itself (a region within a region) and holds the
//! lock; and a signal handler of the guest may jump out of the runtime for good. So the runtime, known by its stack,
//! has a heap without a lock, which only the thread of the region uses. A block may be freed into the other heap.
#![expect(unsafe_code, reason = "a global allocator is unsafe by its interface")]

use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicBool, Ordering};

use super::layout::{ARENA, HEAP, HEAP_BYTES, HOST_STACK, HOST_STACK_BYTES};
use super::memory::{READ_WRITE, map_fixed};

/// To be declared as `#[global_allocator]` by every library that the engine is linked into.
pub struct Allocator {
    locked: AtomicBool,
    heap: UnsafeCell<Heap>,
    runtime: UnsafeCell<Heap>,
}

struct Heap {
    mapped: bool,
    start: u64,
    next: u64,
    /// Heads of the free lists, by the logarithm of the block size.
    free: [u64; 48],
}

// SAFETY: `heap` is touched only while `locked` is held, `runtime` only by the one thread on the runtime's stack.
unsafe impl Sync for Allocator {}

/// Each heap has half of the range.
const HALF_BYTES: u64 = HEAP_BYTES / 2;
const SMALLEST_LOG: u32 = 4;

impl Allocator {
    /// An empty heap; memory is reserved at the first allocation.
    #[expect(clippy::new_without_default, reason = "it is a static, and const")]
    pub const fn new() -> Allocator {
        Allocator {
            locked: AtomicBool::new(false),
            heap: UnsafeCell::new(Heap::new(ARENA + HEAP)),
            runtime: UnsafeCell::new(Heap::new(ARENA + HEAP + HALF_BYTES)),
        }
    }

    fn with<R>(&self, act: impl FnOnce(&mut Heap) -> R) -> R {
        let here = 0u8;
        let on_the_runtimes_stack = ARENA + HOST_STACK..ARENA + HOST_STACK + HOST_STACK_BYTES;
        if on_the_runtimes_stack.contains(&(&raw const here as u64)) {
            // SAFETY: one thread at a time runs a region, and the runtime is not entered within itself.
            return act(unsafe { &mut *self.runtime.get() });
        }
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
    const fn new(start: u64) -> Heap {
        Heap { mapped: false, start, next: start, free: [0; 48] }
    }

    fn take(&mut self, log: u32) -> u64 {
        let head = self.free[log as usize];
        if head != 0 {
            // SAFETY: a free block holds the address of the next one in its first word.
            self.free[log as usize] = unsafe { (head as *const u64).read() };
            return head;
        }
        if !self.mapped {
            if map_fixed(self.start, HALF_BYTES, READ_WRITE).is_err() {
                return 0;
            }
            self.mapped = true;
        }
        let bytes = 1u64 << log;
        let start = self.next.next_multiple_of(bytes.min(4096));
        if start + bytes > self.start + HALF_BYTES {
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
