//! The canonical heap: before a benchmark is set up, and again before it is measured, the allocators of Python and of the C
//! library are brought into the same state, whatever was allocated before.
//!
//! Without it an edit elsewhere, or a file more in a directory, leaves other holes in the heap; a benchmark then takes other
//! ways through the allocators, and objects get other addresses and so other places in hash tables. That moves instruction
//! counts by a percent and more. So all holes are filled: what is allocated next lies in fresh memory, at addresses whose low
//! 32 bits are always the same. What was filled is freed before the next benchmark.
//!
//! With another allocator than `pymalloc` and glibc's, the state is left as it is.
#![expect(unsafe_code, reason = "allocates for the sake of the allocators' state")]

use std::ffi::{CStr, c_void};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed};

use pyo3::ffi::{PyObject_Free, PyObject_Malloc};
use pyo3::prelude::*;

/// Zone `n` starts `n` times so far behind the first: addresses in different zones agree in their low 32 bits.
const ZONE_BYTES: usize = 1 << 32;
/// The first zone: above the engine, below position-independent programs.
const ZONES: usize = 0x2000_0000_0000;
const ZONES_MAX: u32 = 0x2fff;
/// How many arenas of a zone have a place of their own; more are placed by the kernel.
const SLOTS: usize = 4096;
/// The largest block that `pymalloc` serves.
const BLOCK_BYTES_MAX: usize = 512;
/// Blocks to be allocated until a new arena is due. An arena holds some 2000 of the largest; a heap may have free ones.
const TRIES_MAX: usize = 1 << 20;
/// The largest chunk for which holes are filled: the next larger ones may come from `mmap`.
const CHUNK_BYTES_MAX: usize = 128 << 10;
/// Where holes seem to have no end, the top of the heap is not where it is thought to be.
const FILLED_BYTES_MAX: usize = 256 << 20;
/// Chunks up to this size would not return to the top of the heap when freed, but to a list.
const LISTED_BYTES_MAX: usize = 1 << 10;

/// The current zone; 0 before the first.
static ZONE: AtomicU32 = AtomicU32::new(0);
/// Which slots of the current zone are taken, a bit each.
static TAKEN: [AtomicU64; SLOTS / 64] = [const { AtomicU64::new(0) }; SLOTS / 64];
/// How many arenas were made in zones.
static ARENAS: AtomicUsize = AtomicUsize::new(0);
/// How large the last of them is: zero before the first.
static ARENA_BYTES: AtomicUsize = AtomicUsize::new(0);
/// An arena has so many pools, each of blocks of one size.
const ARENA_POOLS: usize = 64;

/// Blocks that fill holes.
struct Filling {
    blocks: Vec<usize>,
    chunks: Vec<usize>,
}

static FILLING: Mutex<Filling> = Mutex::new(Filling { blocks: Vec::new(), chunks: Vec::new() });

/// `PyObjectArenaAllocator`, which is no part of the limited API, and the same since 3.4.
#[repr(C)]
struct ArenaAllocator {
    context: *mut c_void,
    allocate: extern "C" fn(*mut c_void, usize) -> *mut c_void,
    free: extern "C" fn(*mut c_void, *mut c_void, usize),
}

/// Has Python's arenas placed in zones from now on.
pub fn take_arenas() {
    let Some(set) = symbol(c"PyObject_SetArenaAllocator") else { return };
    // SAFETY: the function of that name has had this type in every version.
    let set: extern "C" fn(*mut ArenaAllocator) = unsafe { std::mem::transmute(set) };
    set(&mut ArenaAllocator { context: std::ptr::null_mut(), allocate: new_arena, free: free_arena });
}

/// Frees what filled holes. What the session keeps of a benchmark goes into old holes then, and the fresh arenas end with
/// the benchmark.
#[pyfunction]
pub fn loosen_heap() {
    if let Ok(mut filling) = FILLING.lock() {
        filling.empty();
    }
}

/// Brings the heap into its canonical state, on top of what fills holes already.
#[pyfunction]
pub fn canonical_heap() {
    let Ok(mut filling) = FILLING.lock() else { return };
    if ZONE.load(Relaxed) < ZONES_MAX {
        filling.fill_pools();
    }
    if malloc_is_glibcs() {
        filling.fill_bins();
    }
}

/// Fills holes for as long as this process lives, and those that are forked from it: each of these would fill them anew, and write to
/// memory that they share until then.
#[pyfunction]
pub fn fill_heap_for_good() {
    canonical_heap();
    let Ok(mut filling) = FILLING.lock() else { return };
    filling.leave_little();
    filling.blocks.clear();
    filling.chunks.clear();
}

impl Filling {
    /// Uses up most of the fresh arena, too: who comes to fill it has less to do.
    fn leave_little(&mut self) {
        let arena = ARENA_BYTES.load(Relaxed);
        for bytes in (16..=BLOCK_BYTES_MAX).step_by(16) {
            // A quarter of the pool that each size has.
            let kept = (0..arena / ARENA_POOLS / bytes * 3 / 4).all(|_| self.block(bytes).is_some());
            if !kept {
                return;
            }
        }
        // Half of the pools have a size; of the others a quarter is left.
        for _ in 0..arena / BLOCK_BYTES_MAX * 3 / 8 {
            self.block(BLOCK_BYTES_MAX);
        }
    }

    fn empty(&mut self) {
        for block in self.blocks.drain(..) {
            // SAFETY: it came from `PyObject_Malloc`, and the interpreter's lock is held.
            unsafe { PyObject_Free(block as *mut c_void) };
        }
        for chunk in self.chunks.drain(..) {
            // SAFETY: it came from `malloc`.
            unsafe { libc::free(chunk as *mut c_void) };
        }
    }

    /// Uses up free pools until a new arena is due, then holes of each size until that arena serves them.
    fn fill_pools(&mut self) {
        for taken in &TAKEN {
            taken.store(0, Relaxed);
        }
        let zone = zone_start(ZONE.fetch_add(1, Relaxed) + 1);
        let arenas = ARENAS.load(Relaxed);
        let mut tries = 0;
        while ARENAS.load(Relaxed) == arenas {
            tries += 1;
            if tries > TRIES_MAX || self.block(BLOCK_BYTES_MAX).is_none() {
                return;
            }
        }
        for bytes in (16..=BLOCK_BYTES_MAX).step_by(16) {
            for _ in 0..TRIES_MAX {
                match self.block(bytes) {
                    Some(block) if (zone..zone + ZONE_BYTES).contains(&block) => break,
                    Some(_) => {}
                    None => return,
                }
            }
        }
    }

    fn block(&mut self, bytes: usize) -> Option<usize> {
        // SAFETY: the interpreter's lock is held.
        let block = unsafe { PyObject_Malloc(bytes) } as usize;
        (block != 0).then(|| {
            self.blocks.push(block);
            block
        })
    }

    /// Takes chunks of each size, from the largest, until they come from the top of the heap.
    fn fill_bins(&mut self) {
        let mut filled = 0;
        for bytes in (24..=CHUNK_BYTES_MAX).rev().step_by(16) {
            loop {
                if filled > FILLED_BYTES_MAX {
                    return;
                }
                // SAFETY: allocates.
                let chunk = unsafe { libc::malloc(bytes) } as usize;
                if chunk == 0 {
                    return;
                }
                let at_the_end = is_at_top(chunk);
                if at_the_end && bytes > LISTED_BYTES_MAX {
                    // SAFETY: it was allocated just now.
                    unsafe { libc::free(chunk as *mut c_void) };
                } else {
                    self.chunks.push(chunk);
                    filled += bytes;
                }
                if at_the_end {
                    break;
                }
            }
        }
    }
}

/// Is this chunk of glibc's the last before the free top of the heap? Also true for one that no heap holds.
fn is_at_top(chunk: usize) -> bool {
    const MAPPED_OR_OTHER_ARENA: usize = 0b110;
    const FLAGS: usize = 0b111;
    // SAFETY: a chunk's size and flags are the word before it.
    let size = unsafe { ((chunk - 8) as *const usize).read() };
    if size & MAPPED_OR_OTHER_ARENA != 0 {
        return true;
    }
    let next = chunk - 16 + (size & !FLAGS);
    // SAFETY: in the main heap another chunk follows always, the top if no other.
    let next_size = unsafe { ((next + 8) as *const usize).read() } & !FLAGS;
    // SAFETY: asks, and changes nothing.
    let end = unsafe { libc::sbrk(0) } as usize;
    next + next_size == end
}

fn zone_start(zone: u32) -> usize {
    ZONES + zone as usize * ZONE_BYTES
}

extern "C" fn new_arena(_context: *mut c_void, bytes: usize) -> *mut c_void {
    let zone = ZONE.load(Relaxed);
    if zone > 0 {
        for (index, taken) in TAKEN.iter().enumerate() {
            let free = taken.load(Relaxed).trailing_ones() as usize;
            if free < 64 {
                let address = zone_start(zone) + (64 * index + free) * bytes;
                if let Some(arena) = map(address, bytes) {
                    taken.fetch_or(1 << free, Relaxed);
                    ARENAS.fetch_add(1, Relaxed);
                    ARENA_BYTES.store(bytes, Relaxed);
                    return arena;
                }
                break;
            }
        }
    }
    map(0, bytes).unwrap_or(std::ptr::null_mut())
}

extern "C" fn free_arena(_context: *mut c_void, arena: *mut c_void, bytes: usize) {
    let offset = (arena as usize).wrapping_sub(zone_start(ZONE.load(Relaxed)));
    if offset < SLOTS * bytes {
        let slot = offset / bytes;
        TAKEN[slot / 64].fetch_and(!(1 << (slot % 64)), Relaxed);
    }
    // SAFETY: Python is done with it; arenas older than `take_arenas` are mappings, too.
    unsafe { libc::munmap(arena, bytes) };
}

/// Memory at exactly `address`, or anywhere if that is 0.
fn map(address: usize, bytes: usize) -> Option<*mut c_void> {
    let place = if address == 0 { 0 } else { libc::MAP_FIXED_NOREPLACE };
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | place;
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a new mapping that replaces none.
    let mapped = unsafe { libc::mmap(address as *mut c_void, bytes, protection, flags, -1, 0) };
    (mapped != libc::MAP_FAILED).then_some(mapped)
}

/// Is it glibc that serves `malloc`, and not a library loaded before it?
fn malloc_is_glibcs() -> bool {
    // SAFETY: asks for a library that is loaded already, and loads none.
    let library = unsafe { libc::dlopen(c"libc.so.6".as_ptr(), libc::RTLD_LAZY | libc::RTLD_NOLOAD) };
    if library.is_null() || symbol(c"gnu_get_libc_version").is_none() {
        return false;
    }
    // SAFETY: a handle of `dlopen`, which is never closed.
    let own = unsafe { libc::dlsym(library, c"malloc".as_ptr()) };
    symbol(c"malloc") == Some(own)
}

fn symbol(name: &CStr) -> Option<*mut c_void> {
    // SAFETY: asks for a symbol of the process.
    let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    (!found.is_null()).then_some(found)
}
