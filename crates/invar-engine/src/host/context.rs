//! What guest and runtime share: the guest's registers while the runtime runs, and the words that generated code
//! reads and writes through `gs`.
//!
//! It lies at the very start of the arena, so that `gs:[offset]` is `offset_of!(Context, field)`.
#![expect(unsafe_code, reason = "the context lies at a fixed address")]

use core::mem::offset_of;
use core::sync::atomic::AtomicU64;

use super::following::Position;
use super::layout::ARENA;

/// Hardware numbers of general registers.
pub mod register {
    #![expect(missing_docs, reason = "the manufacturer's names")]
    pub const RAX: u8 = 0;
    pub const RCX: u8 = 1;
    pub const RDX: u8 = 2;
    pub const RBX: u8 = 3;
    pub const RSP: u8 = 4;
    pub const RSI: u8 = 6;
    pub const RDI: u8 = 7;
    pub const R8: u8 = 8;
    pub const R9: u8 = 9;
    pub const R10: u8 = 10;
    pub const R11: u8 = 11;
    pub const R13: u8 = 13;
    pub const R14: u8 = 14;
    pub const R15: u8 = 15;
}

/// See the module. Offsets are part of generated code, so the layout is C's.
#[repr(C)]
pub struct Context {
    /// The guest's general registers by hardware number; index 11 always, the others while the runtime runs.
    pub registers: [u64; 16],
    /// The guest's flags while the runtime runs.
    pub flags: u64,
    /// The low halves of the guest's vector registers while the runtime runs. The runtime is compiled without AVX,
    /// so it leaves the upper parts alone.
    pub vectors: [[u64; 2]; 16],
    /// Where the next trace record goes, while the runtime runs; otherwise that is `r11`.
    pub trace_pointer: u64,
    /// A block's head leaves for the runtime when `trace_pointer` is above.
    pub trace_limit: u64,
    /// Home of the scratch register of an instruction that uses `r11`.
    pub spill: u64,
    /// Home of `rax` during an indirect branch, or a check that must keep the flags.
    pub branch_rax: u64,
    /// Home of `rcx` during an indirect branch.
    pub branch_rcx: u64,
    /// Why the runtime was entered: a [`super::gate::Reason`].
    pub reason: u64,
    /// Which link, block or site the reason is about.
    pub exit_number: u64,
    /// The guest address that an indirect branch goes to, or where to go on natively.
    pub target: u64,
    /// Where the guest goes on: an address in the code cache or a gate.
    pub resume: u64,
    /// Top of the runtime's stack.
    pub host_stack: u64,
    /// Stack pointer of the caller of the region.
    pub native_stack: u64,
    /// Addresses of the gates, for generated code, by [`super::gate::Gate`].
    pub gates: [u64; super::gate::GATES],
    /// Set when the region's end was reached natively.
    pub ended_natively: u64,
    /// Counts-only mode: sums of `rcx` before repeated string instructions, by the logarithm of the element size.
    pub repeats_before: [u64; 4],
    /// The same after them: what was not done.
    pub repeats_after: [u64; 4],
    /// The engine, for the runtime.
    pub engine: u64,
    /// Handlers and flags of the guest's that [`super::faults`] stands before, by signal.
    pub handlers: [[u64; 2]; 32],
    /// Set while the runtime runs. Still set after the region: a signal handler has jumped out of it.
    pub in_runtime: u64,
    /// For thunks: the callback for a record that may change something.
    pub drain_record: u64,
    /// For thunks: the callback for fetches that may change something.
    pub drain_fetch: u64,
    /// For thunks: the callback for accesses that may change something.
    pub drain_access: u64,
    /// For thunks: the callback for lines of code that may be there.
    pub drain_hit: u64,
    /// For thunks: the callback for a record whose call is not usual.
    pub drain_step: u64,
    /// For thunks: the callback for an indirect call that is not usual.
    pub drain_enter: u64,
    /// For thunks: the callback for a Python frame that was stored.
    pub drain_look: u64,
    /// Where thunks go on that have stored a Python frame.
    pub drain_frame: u64,
    /// For thunks: where calls were followed to.
    pub position: Position,
    /// For thunks: the guest's `fs` base while the trace was written.
    pub drain_fs_base: u64,
    /// What callbacks of thunks are given.
    pub drain_draining: u64,
    /// The guest's `gs` base, which it gets back where it goes on natively.
    pub guest_gs_base: u64,
    /// The guest has gone on natively: generated code is not executed any more.
    pub left: u64,
    /// Homes of the two registers that generated code looks at a store with.
    pub watch_homes: [u64; 2],
    /// Code for several threads: address of the word that says which Python frame the present thread is in; of `nowhere` if it
    /// has none that is known.
    pub watch_word: u64,
    /// Always zero.
    pub nowhere: u64,
    /// Counts-only mode with several threads: instructions that may be executed before the next look at the others. A block's
    /// head leaves for the runtime when it is negative.
    pub budget: i64,
    /// Who may execute generated code and the runtime; see [`super::threads`].
    pub baton: AtomicU64,
    /// How often the runtime was entered: who waits for his turn sees by it that somebody goes on.
    pub entries: u64,
    /// The block of the thread that was given the baton and has not taken it yet, or zero.
    pub pending: u64,
    /// Everybody was let go, as nobody went on.
    pub released: AtomicU64,
}

/// Where a field is, relative to `gs`.
pub mod at {
    use super::{Context, offset_of};

    macro_rules! offsets {
        ($($(#[$doc:meta])* $name:ident = $field:ident;)*) => {
            $($(#[$doc])* pub const $name: u32 = offset_of!(Context, $field) as u32;)*
        };
    }
    offsets! {
        /// [`Context::registers`].
        REGISTERS = registers;
        /// [`Context::flags`].
        FLAGS = flags;
        /// [`Context::vectors`].
        VECTORS = vectors;
        /// [`Context::trace_pointer`].
        TRACE_POINTER = trace_pointer;
        /// [`Context::trace_limit`].
        TRACE_LIMIT = trace_limit;
        /// [`Context::spill`].
        SPILL = spill;
        /// [`Context::branch_rax`].
        BRANCH_RAX = branch_rax;
        /// [`Context::branch_rcx`].
        BRANCH_RCX = branch_rcx;
        /// [`Context::reason`].
        REASON = reason;
        /// [`Context::exit_number`].
        EXIT_NUMBER = exit_number;
        /// [`Context::target`].
        TARGET = target;
        /// [`Context::resume`].
        RESUME = resume;
        /// [`Context::host_stack`].
        HOST_STACK = host_stack;
        /// [`Context::native_stack`].
        NATIVE_STACK = native_stack;
        /// [`Context::gates`].
        GATES = gates;
        /// [`Context::ended_natively`].
        ENDED_NATIVELY = ended_natively;
        /// [`Context::repeats_before`].
        REPEATS_BEFORE = repeats_before;
        /// [`Context::repeats_after`].
        REPEATS_AFTER = repeats_after;
        /// [`Context::handlers`].
        HANDLERS = handlers;
        /// [`Context::in_runtime`].
        IN_RUNTIME = in_runtime;
        /// [`Context::drain_record`].
        DRAIN_RECORD = drain_record;
        /// [`Context::drain_fetch`].
        DRAIN_FETCH = drain_fetch;
        /// [`Context::drain_access`].
        DRAIN_ACCESS = drain_access;
        /// [`Context::drain_hit`].
        DRAIN_HIT = drain_hit;
        /// [`Context::drain_step`].
        DRAIN_STEP = drain_step;
        /// [`Context::drain_enter`].
        DRAIN_ENTER = drain_enter;
        /// [`Context::drain_look`].
        DRAIN_LOOK = drain_look;
        /// [`Context::drain_frame`].
        DRAIN_FRAME = drain_frame;
        /// [`Context::position`].
        POSITION = position;
        /// [`Context::drain_fs_base`].
        DRAIN_FS_BASE = drain_fs_base;
        /// [`Context::drain_draining`].
        DRAIN_DRAINING = drain_draining;
        /// [`Context::guest_gs_base`].
        GUEST_GS_BASE = guest_gs_base;
        /// [`Context::left`].
        LEFT = left;
        /// [`Context::watch_homes`].
        WATCH_HOMES = watch_homes;
        /// [`Context::watch_word`].
        WATCH_WORD = watch_word;
        /// [`Context::nowhere`].
        NOWHERE = nowhere;
        /// [`Context::budget`].
        BUDGET = budget;
        /// [`Context::baton`].
        BATON = baton;
        /// [`Context::entries`].
        ENTRIES = entries;
        /// [`Context::pending`].
        PENDING = pending;
        /// [`Context::released`].
        RELEASED = released;
    }
    /// The guest's `r11`, which generated code keeps there for good.
    pub const R11: u32 = REGISTERS + 8 * 11;
}

/// The context of this process.
///
/// # Safety
///
/// The arena is mapped, and no other reference to the context exists.
pub unsafe fn context() -> &'static mut Context {
    // SAFETY: mapped and zero at first, for which every field is valid.
    unsafe { &mut *(ARENA as *mut Context) }
}
