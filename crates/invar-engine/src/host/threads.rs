//! Threads that a region measures: their blocks, and the gates by which they hand the *baton* over.
//!
//! Whoever has the baton has the context, the runtime and generated code for himself. Every measured thread keeps its `gs` base at
//! the arena; what of its state is not in its processor is in its block, so that the context is free for the next. It waits on
//! the guest's stack, without a frame of Rust's alive: in a call of the kernel's, with its block's address in `r14`.
//!
//! Who decides is `runtime::threads`. The gates do what it has put into registers: `r15` is the block of who is next, or zero if
//! the baton is put down; `r13` is what [`Context::baton`] was when that was decided.
//!
//! The baton's word: the highest 16 bits say which region it is of, the lowest is set while nobody has it, and those between count those who have come back from the outside or
//! were interrupted. A change of the word between a look at the threads and putting the baton down says: look again.
//!
//! What always holds: a block of a thread that waits says how the thread goes on natively. So all of them can be let go at any time.
//!
//! [`Context::baton`]: super::context::Context::baton
#![expect(unsafe_code, reason = "naked functions, and blocks at fixed addresses")]

use core::arch::naked_asm;
use core::mem::offset_of;
use core::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering::*};

use super::context::at;
use super::gate::{Reason, into_runtime};
use super::layout::{self, ARENA};
use super::syscall::{number, syscall};

/// What a thread's gates and the runtime share. Fields are atomic since others look at them.
#[repr(C)]
pub struct Block {
    /// The guest's general registers by hardware number, while the thread has no baton.
    pub registers: [AtomicU64; 16],
    /// The guest's flags.
    pub flags: AtomicU64,
    /// The guest address where it goes on.
    pub target: AtomicU64,
    /// The `gs` base that the thread gets back.
    pub gs_base: AtomicU64,
    /// Code by which it goes on natively.
    pub exit: AtomicU64,
    /// Its number among the region's threads.
    pub number: AtomicU64,
    /// What it waits for: one of [`WAIT`], [`GO`], [`RELEASE`].
    pub park: AtomicU32,
    /// It has come back from the outside.
    pub returned: AtomicU32,
    /// A handler of the guest has run while it waited.
    pub interrupted: AtomicU32,
    /// The kernel's number of the thread that the block belongs, or belonged, to; zero for nobody.
    pub thread: AtomicU32,
    /// Which region the thread is of.
    pub epoch: AtomicU32,
    /// How often it has looked in vain whether somebody goes on.
    vain: AtomicU32,
    /// What [`Context::entries`](super::context::Context::entries) was then.
    seen: AtomicU64,
    /// The system call by which it waits for all threads: number and arguments.
    pub call: [AtomicU64; 7],
    /// What that returned.
    pub result: AtomicI64,
    /// What the call waits on: value, address and flags of each word.
    pub words: [[AtomicU64; 3]; WORDS_MAX],
    /// Until when: seconds and nanoseconds.
    pub until: [AtomicU64; 2],
    /// Of a thread from before the region: whether it was asked to come over, and what it said; see [`super::before`].
    pub asked: AtomicU32,
    /// Of such a thread: the word that the kernel clears when it ends, or zero.
    pub cleared: AtomicU64,
}

/// The kernel waits on so many words at once.
pub const WORDS_MAX: usize = 127;

/// Where the baton's word says which region it is of.
pub const EPOCH_SHIFT: u32 = 48;

/// Nothing has happened.
pub const WAIT: u32 = 0;
/// Here is the baton.
pub const GO: u32 = 1;
/// Go on natively.
pub const RELEASE: u32 = 2;
/// Somebody else has the baton by now: say when you are back.
const ABSENT: u32 = 3;

/// In [`Block::returned`]: it is back from a call.
pub const BACK: u32 = 1;
/// In [`Block::returned`]: the first thread has reached the region's end natively.
pub const AT_THE_END: u32 = 2;

/// Who waits for his turn looks so often (in nanoseconds) whether somebody goes on,
const LOOK: u64 = 100_000_000;
/// takes the baton from a thread that has not taken it for so many looks (a handler has jumped away, or waits itself),
const LOOKS_UNTIL_REVOKED: u32 = 20;
/// and lets everybody go if nobody has entered the runtime for so many.
const LOOKS_UNTIL_RELEASED: u32 = 40;

/// Offsets in a block.
pub mod field {
    use super::{Block, offset_of};

    /// Of the registers.
    pub const REGISTERS: u32 = offset_of!(Block, registers) as u32;
    /// Of the flags.
    pub const FLAGS: u32 = offset_of!(Block, flags) as u32;
    /// Of the address where the thread goes on.
    pub const TARGET: u32 = offset_of!(Block, target) as u32;
    /// Of the `gs` base.
    pub const GS_BASE: u32 = offset_of!(Block, gs_base) as u32;
}

const RAX: u32 = field::REGISTERS;
const RDX: u32 = field::REGISTERS + 8 * 2;
const RSP: u32 = field::REGISTERS + 8 * 4;
const RSI: u32 = field::REGISTERS + 8 * 6;
const RDI: u32 = field::REGISTERS + 8 * 7;
const R8: u32 = field::REGISTERS + 8 * 8;
const R9: u32 = field::REGISTERS + 8 * 9;
const R10: u32 = field::REGISTERS + 8 * 10;
const EXIT: u32 = offset_of!(Block, exit) as u32;
const NUMBER: u32 = offset_of!(Block, number) as u32;
const PARK: u32 = offset_of!(Block, park) as u32;
const RETURNED: u32 = offset_of!(Block, returned) as u32;
const INTERRUPTED: u32 = offset_of!(Block, interrupted) as u32;

const FUTEX_WAIT_PRIVATE: u32 = 128;
const FUTEX_WAKE_PRIVATE: u32 = 129;

/// Offset in the arena of a block.
pub const fn offset(index: usize) -> u32 {
    layout::THREADS + index as u32 * layout::THREAD_BYTES
}

/// Address of a block.
pub const fn address(index: usize) -> u64 {
    ARENA + offset(index) as u64
}

/// A block. The arena must be mapped.
pub fn block(index: usize) -> &'static Block {
    assert!(index < layout::THREADS_MAX);
    // SAFETY: mapped for good and zero at first, for which every field is valid; all of them are atomic.
    unsafe { &*(address(index) as *const Block) }
}

/// A free block for a thread to come. The first one is that of the thread that has entered the region.
pub fn free_block() -> Option<usize> {
    const RESERVED: u32 = u32::MAX;
    let is_free = |&index: &usize| {
        let thread = block(index).thread.load(Relaxed);
        thread == 0 || thread != RESERVED && !super::syscall::thread_exists(thread)
    };
    let free = (1..layout::THREADS_MAX).find(is_free)?;
    block(free).thread.store(RESERVED, Relaxed);
    Some(free)
}

/// A block for a thread that is there: the one that it has had, or a free one. Nothing is executed for it in the engine.
pub fn block_of(thread: u32) -> Option<usize> {
    let is_its_own = |&index: &usize| block(index).thread.load(Relaxed) == thread;
    let index = (1..layout::THREADS_MAX).find(is_its_own).or_else(free_block)?;
    block(index).thread.store(thread, Relaxed);
    Some(index)
}

/// Lets the thread of a block go on as `how` says.
pub fn tell(index: usize, how: u32) {
    block(index).park.store(how, SeqCst);
    wake(address(index) + u64::from(PARK));
}

pub(super) fn wake(address: u64) {
    // SAFETY: wakes who waits on a word of the arena's.
    unsafe { syscall(number::FUTEX, [address, u64::from(FUTEX_WAKE_PRIVATE), 1, 0, 0, 0]) };
}

/// Waits until `word` is not `value` any more, or a millisecond is over.
pub fn wait_while(word: &AtomicU32, value: u32) {
    if word.load(SeqCst) == value {
        // SAFETY: waits on a word of the arena's.
        unsafe { wait(&raw const *word as u64, value, u64::from(FUTEX_WAIT_PRIVATE)) };
    }
}

/// Waits until the kernel has cleared a word of the guest's, or a millisecond is over.
pub fn wait_until_cleared(address: u64, value: u32) {
    // SAFETY: the kernel answers for the address.
    unsafe { wait(address, value, 0) };
}

unsafe fn wait(address: u64, value: u32, operation: u64) {
    let millisecond = [0u64, 1_000_000];
    let arguments = [address, operation, u64::from(value), millisecond.as_ptr() as u64, 0, 0];
    // SAFETY: the kernel reads the word and the time.
    unsafe { syscall(number::FUTEX, arguments) };
}

/// Says that the thread of the first block is here, without having the baton; and waits for it.
///
/// For the end of a region that was reached natively. Says whether it has the baton: not if everybody was let go, which `released`
/// says.
pub fn wait_for_baton(baton: &AtomicU64, released: &AtomicU64) -> bool {
    let block = block(0);
    block.returned.store(AT_THE_END, SeqCst);
    let mut now = baton.fetch_add(2, SeqCst) + 2;
    while now & 1 != 0 {
        match baton.compare_exchange(now, now - 1, SeqCst, SeqCst) {
            Ok(_) => return true,
            Err(other) => now = other,
        }
    }
    wake(&raw const *baton as u64);
    while released.load(SeqCst) == 0 {
        if block.park.load(SeqCst) == GO {
            block.park.store(WAIT, SeqCst);
            return true;
        }
        wait_while(&block.park, WAIT);
    }
    false
}

macro_rules! addresses {
    ($($(#[$doc:meta])* $name:ident = $gate:ident;)*) => {
        $($(#[$doc])* pub fn $name() -> u64 { $gate as *const () as u64 })*
    };
}

addresses! {
    /// Hands over and waits for its turn.
    park_address = park;
    /// Hands over, or puts the baton down; makes the call that the block's registers are ready for, and then waits for its turn.
    outside_address = outside;
    /// Hands over, or puts the baton down, and ends the thread.
    end_address = end_thread;
    /// Puts the baton down, makes the call that [`Block::call`] says, and then waits for its turn.
    idle_address = idle;
    /// Makes the guest's call that starts a thread, whose block is in `r15`. The child waits for its turn.
    start_address = start_thread;
    /// Waits for its turn: where a thread from before the region goes on.
    wait_address = wait_for_turn;
    /// Lets every other thread go on natively, the one that entered the region last, and goes on by its own exit.
    release_address = release;
}

/// Does a call that comes back to `address` come from the gate that makes calls without the baton?
pub fn is_outside(address: u64) -> bool {
    /// Not longer than that; what lies behind waits for nothing but words of the arena.
    const BYTES: u64 = 64;
    let start = call_outside as *const () as u64;
    (start..start + BYTES).contains(&address)
}

/// Hands the baton to the block in `r15`, which is one.
#[unsafe(naked)]
extern "C" fn park() {
    naked_asm!(
        "mov dword ptr [r15 + {park}], {go}",
        "mov eax, {futex}",
        "lea rdi, [r15 + {park}]",
        "mov esi, {wake}",
        "mov edx, 1",
        "syscall",
        "jmp {wait}",
        park = const PARK,
        go = const GO,
        futex = const number::FUTEX,
        wake = const FUTEX_WAKE_PRIVATE,
        wait = sym wait_for_turn,
    )
}

/// Waits until the block says how to go on, and looks now and then whether anybody does.
#[unsafe(naked)]
extern "C" fn wait_for_turn() {
    naked_asm!(
        "mov dword ptr [r14 + {vain}], 0",
        "2:",
        "mov ecx, [r14 + {park}]",
        "cmp ecx, {go}",
        "je 4f",
        "cmp ecx, {release}",
        "je 5f",
        "cmp ecx, {absent}",
        "je 6f",
        "mov eax, {futex}",
        "lea rdi, [r14 + {park}]",
        "mov esi, {wait}",
        "xor edx, edx",
        "lea r10, [rip + {look}]",
        "syscall",
        "cmp rax, -4", // EINTR
        "je 7f",
        "cmp rax, -110", // ETIMEDOUT
        "jne 2b",
        // Nobody has the baton: it is whose who takes it.
        "mov rax, gs:[{baton}]",
        "mov rcx, rax",
        "shr rcx, {epoch_shift}",
        "cmp ecx, [r14 + {epoch}]",
        "jne 2b", // A later region's: this one has been let go.
        "test al, 1",
        "jz 8f",
        "lea rcx, [rax - 1]",
        "lock cmpxchg gs:[{baton}], rcx",
        "jne 2b",
        "jmp {turn}",
        // Somebody has it: does he go on?
        "8:",
        "mov rax, gs:[{entries}]",
        "cmp rax, [r14 + {seen}]",
        "mov [r14 + {seen}], rax",
        "je 9f",
        "mov dword ptr [r14 + {vain}], 0",
        "jmp 2b",
        "9:",
        "inc dword ptr [r14 + {vain}]",
        "cmp dword ptr [r14 + {vain}], {looks_until_released}",
        "jae 12f",
        "cmp dword ptr [r14 + {vain}], {looks_until_revoked}",
        "jb 2b",
        "mov rdi, gs:[{pending}]",
        "test rdi, rdi",
        "jz 2b",
        "mov eax, {go}",
        "mov ecx, {absent}",
        "lock cmpxchg [rdi + {park}], ecx",
        "jne 2b",
        "jmp {revoked}",
        "12:",
        "mov qword ptr gs:[{released}], 1",
        "jmp {release_all}",
        "7:",
        "mov dword ptr [r14 + {interrupted}], 1",
        "jmp 13f",
        "6:",
        "mov dword ptr [r14 + {park}], 0",
        "mov dword ptr [r14 + {returned}], {back}",
        "13:",
        "lock add qword ptr gs:[{baton}], 2",
        "mov eax, {futex}",
        "mov rdi, {baton_address}",
        "mov esi, {wake}",
        "mov edx, 1",
        "syscall",
        "jmp 2b",
        "4:",
        "mov eax, {go}",
        "xor ecx, ecx",
        "lock cmpxchg [r14 + {park}], ecx",
        "jne 2b",
        "jmp {turn}",
        "5:",
        "jmp qword ptr [r14 + {exit}]",
        vain = const offset_of!(Block, vain),
        seen = const offset_of!(Block, seen),
        park = const PARK,
        go = const GO,
        release = const RELEASE,
        absent = const ABSENT,
        back = const BACK,
        returned = const RETURNED,
        futex = const number::FUTEX,
        wait = const FUTEX_WAIT_PRIVATE,
        wake = const FUTEX_WAKE_PRIVATE,
        look = sym LOOK_TIME,
        looks_until_revoked = const LOOKS_UNTIL_REVOKED,
        looks_until_released = const LOOKS_UNTIL_RELEASED,
        entries = const at::ENTRIES,
        pending = const at::PENDING,
        released = const at::RELEASED,
        interrupted = const INTERRUPTED,
        baton = const at::BATON,
        baton_address = const ARENA + at::BATON as u64,
        epoch_shift = const EPOCH_SHIFT,
        epoch = const offset_of!(Block, epoch),
        exit = const EXIT,
        turn = sym turn,
        revoked = sym revoked,
        release_all = sym release,
    )
}

/// [`LOOK`], as the kernel tells it.
static LOOK_TIME: [u64; 2] = [0, LOOK];

/// A way into the runtime, which is told whose block it is about.
macro_rules! into_runtime_with_number {
    ($(#[$doc:meta])* $name:ident, $reason:expr) => {
        $(#[$doc])*
        #[unsafe(naked)]
        extern "C" fn $name() {
            naked_asm!(
                "mov r11, gs:[{trace_pointer}]",
                "mov rax, [r14 + {number}]",
                "mov gs:[{exit_number}], rax",
                "mov qword ptr gs:[{reason}], {value}",
                "jmp {into}",
                trace_pointer = const at::TRACE_POINTER,
                number = const NUMBER,
                exit_number = const at::EXIT_NUMBER,
                reason = const at::REASON,
                value = const $reason as u64,
                into = sym into_runtime,
            )
        }
    };
}

into_runtime_with_number!(
    /// Into the runtime, with the baton of a thread that did not take it.
    revoked,
    Reason::Revoked
);
into_runtime_with_number!(
    /// Into the runtime, with the baton.
    turn,
    Reason::Turn
);

/// Into the runtime: the baton could not be put down.
#[unsafe(naked)]
extern "C" fn rescan() {
    naked_asm!(
        "mov r11, gs:[{trace_pointer}]",
        "mov qword ptr gs:[{reason}], {value}",
        "jmp {into}",
        trace_pointer = const at::TRACE_POINTER,
        reason = const at::REASON,
        value = const Reason::Rescan as u64,
        into = sym into_runtime,
    )
}

#[unsafe(naked)]
extern "C" fn outside() {
    naked_asm!(
        "test r15, r15",
        "jz 2f",
        "mov dword ptr [r15 + {park}], {go}",
        "mov eax, {futex}",
        "lea rdi, [r15 + {park}]",
        "mov esi, {wake}",
        "mov edx, 1",
        "syscall",
        "jmp {call}",
        "2:",
        "mov rax, r13",
        "lea rcx, [r13 + 1]",
        "lock cmpxchg gs:[{baton}], rcx",
        "jne {rescan}",
        "jmp {call}",
        park = const PARK,
        go = const GO,
        futex = const number::FUTEX,
        wake = const FUTEX_WAKE_PRIVATE,
        baton = const at::BATON,
        rescan = sym rescan,
        call = sym call_outside,
    )
}

/// Makes the call that the block's registers are ready for, without the baton.
#[unsafe(naked)]
extern "C" fn call_outside() {
    naked_asm!(
        "mov rax, [r14 + {rax}]", "mov rdi, [r14 + {rdi}]", "mov rsi, [r14 + {rsi}]", "mov rdx, [r14 + {rdx}]",
        "mov r10, [r14 + {r10}]", "mov r8, [r14 + {r8}]", "mov r9, [r14 + {r9}]",
        "syscall",
        "mov [r14 + {rax}], rax",
        "jmp {back}",
        rax = const RAX, rdi = const RDI, rsi = const RSI, rdx = const RDX,
        r10 = const R10, r8 = const R8, r9 = const R9,
        back = sym come_back,
    )
}

/// A call has returned: takes the baton if nobody has it, or says so and waits.
#[unsafe(naked)]
extern "C" fn come_back() {
    naked_asm!(
        "cmp dword ptr [r14 + {park}], 0",
        "jne 5f", // It was let go, or given the baton.
        "mov dword ptr [r14 + {returned}], {is_back}",
        "mov eax, 2",
        "lock xadd gs:[{baton}], rax",
        "4:",
        "mov rax, gs:[{baton}]",
        "test al, 1",
        "jz 6f",
        "mov rcx, rax",
        "shr rcx, {epoch_shift}",
        "cmp ecx, [r14 + {epoch}]",
        "jne 5f", // A later region's: this one has been let go.
        "lea rcx, [rax - 1]",
        "lock cmpxchg gs:[{baton}], rcx",
        "jne 4b",
        "jmp {turn}",
        "6:", // Whoever has it may be about to put it down.
        "mov eax, {futex}",
        "mov rdi, {baton_address}",
        "mov esi, {wake}",
        "mov edx, 1",
        "syscall",
        "5:",
        "jmp {wait}",
        park = const PARK,
        is_back = const BACK,
        returned = const RETURNED,
        baton = const at::BATON,
        baton_address = const ARENA + at::BATON as u64,
        epoch_shift = const EPOCH_SHIFT,
        epoch = const offset_of!(Block, epoch),
        futex = const number::FUTEX,
        wake = const FUTEX_WAKE_PRIVATE,
        turn = sym turn,
        wait = sym wait_for_turn,
    )
}

/// Nothing of the block is used once the baton is gone: by then it may be another thread's.
#[unsafe(naked)]
extern "C" fn end_thread() {
    naked_asm!(
        "mov r12, [r14 + {rdi}]",
        "test r15, r15",
        "jz 2f",
        "mov dword ptr [r15 + {park}], {go}",
        "mov eax, {futex}",
        "lea rdi, [r15 + {park}]",
        "mov esi, {wake}",
        "mov edx, 1",
        "syscall",
        "3:",
        "mov eax, {exit}",
        "mov rdi, r12",
        "syscall",
        "ud2",
        "2:",
        "mov rax, r13",
        "lea rcx, [r13 + 1]",
        "lock cmpxchg gs:[{baton}], rcx",
        "je 3b",
        "jmp {rescan}",
        rdi = const RDI,
        park = const PARK,
        go = const GO,
        futex = const number::FUTEX,
        wake = const FUTEX_WAKE_PRIVATE,
        exit = const number::EXIT,
        baton = const at::BATON,
        rescan = sym rescan,
    )
}

#[unsafe(naked)]
extern "C" fn idle() {
    naked_asm!(
        "mov rax, r13",
        "lea rcx, [r13 + 1]",
        "lock cmpxchg gs:[{baton}], rcx",
        "jne {rescan}",
        "mov rax, [r14 + {call}]", "mov rdi, [r14 + {call} + 8]", "mov rsi, [r14 + {call} + 16]",
        "mov rdx, [r14 + {call} + 24]", "mov r10, [r14 + {call} + 32]", "mov r8, [r14 + {call} + 40]",
        "mov r9, [r14 + {call} + 48]",
        "syscall",
        "mov [r14 + {result}], rax",
        "jmp {back}",
        baton = const at::BATON,
        call = const offset_of!(Block, call),
        result = const offset_of!(Block, result),
        rescan = sym rescan,
        back = sym come_back,
    )
}

#[unsafe(naked)]
extern "C" fn start_thread() {
    naked_asm!(
        "syscall",
        "test rax, rax",
        "jz 2f",
        "mov [r14 + {rax}], rax",
        "mov r11, gs:[{trace_pointer}]",
        "mov qword ptr gs:[{reason}], {value}",
        "jmp {into}",
        "2:", // The child, which may run beside its parent: only its own block is its own.
        "mov r14, r15",
        "mov [r14 + {rsp}], rsp",
        "jmp {wait}",
        rax = const RAX,
        rsp = const RSP,
        trace_pointer = const at::TRACE_POINTER,
        reason = const at::REASON,
        value = const Reason::Started as u64,
        into = sym into_runtime,
        wait = sym wait_for_turn,
    )
}

#[unsafe(naked)]
extern "C" fn release() {
    naked_asm!(
        "mov r12d, {threads}",
        "mov r13, {blocks} + {threads} * {bytes}",
        "2:",
        "sub r12, 1",
        "jb 3f",
        "sub r13, {bytes}",
        "cmp dword ptr [r13 + {thread}], 0",
        "je 2b",
        "cmp r13, r14",
        "je 2b",
        "mov dword ptr [r13 + {park}], {release}",
        "mov eax, {futex}",
        "lea rdi, [r13 + {park}]",
        "mov esi, {wake}",
        "mov edx, 1",
        "syscall",
        "jmp 2b",
        "3:",
        "jmp qword ptr [r14 + {exit}]",
        threads = const layout::THREADS_MAX,
        blocks = const address(0),
        bytes = const layout::THREAD_BYTES,
        thread = const offset_of!(Block, thread),
        park = const PARK,
        release = const RELEASE,
        futex = const number::FUTEX,
        wake = const FUTEX_WAKE_PRIVATE,
        exit = const EXIT,
    )
}

const _: () = assert!(size_of::<Block>() <= layout::THREAD_BYTES as usize);
const _: () = assert!(at::RELEASED + 8 <= layout::THREADS, "the context lies before everything else");
const _: () = assert!(offset(layout::THREADS_MAX) <= layout::TABLE);
