//! The system calls that place memory, answered: a filter of the kernel's (seccomp) sends them to a handler of SIGSYS.
//!
//! The filter looks at where a call comes from: only calls from code that is placed by this are sent, so those of programs that a
//! child executes, which inherit the filter, are not. Besides the calls that place memory these are:
//!
//! - `rt_sigprocmask` and `rt_sigaction`: SIGSYS is never blocked, since a call of the first kind would then end the process,
//!   and its handler is never replaced. The program is told that it is.
//! - `getdents64` and the calls of `stat`: see [`crate::listing`] and [`facts`].
//! - `fork`, and `clone` as a fork: made while no other thread is within the table of places.
//!
//! What always holds: code that the handler runs calls nothing of another library; what it works on lies in this one.
#![expect(unsafe_code, reason = "a signal's frame is memory by address; system calls of the program")]

use core::arch::naked_asm;
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicU32, Ordering};

use crate::facts;
use crate::listing::Room;
use crate::places::Places;
use crate::system::{call, number};
use crate::{AREA, HEAP_BYTES, MAPPINGS, is_ours, page_down, page_up};

const SIGSYS: u64 = 31;
const SIGSYS_BIT: u64 = 1 << (SIGSYS - 1);
const EEXIST: i64 = -17;
const ENOMEM: i64 = -12;
const MASK_BYTES: u64 = 8;

/// How many ranges of memory can be told apart; neighbours are one.
const RANGES_MAX: usize = 8192;

struct State {
    places: Places<RANGES_MAX>,
    /// Where the `brk` heap begins and ends.
    heap: [u64; 2],
    /// The program's own action for SIGSYS.
    action: Action,
    listing: Room,
}

/// The kernel's `struct sigaction`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
struct Action {
    handler: u64,
    flags: u64,
    restorer: u64,
    mask: u64,
}

/// The kernel's own action, and room for the kernel's answer.
const DEFAULT: Action = Action { handler: 0, flags: 0, restorer: 0, mask: 0 };

struct Locked {
    lock: AtomicU32,
    state: UnsafeCell<State>,
}

// SAFETY: the state is touched by who has the lock alone.
unsafe impl Sync for Locked {}

static LOCKED: Locked = Locked {
    lock: AtomicU32::new(0),
    state: UnsafeCell::new(State {
        places: Places::new(MAPPINGS.start, MAPPINGS.end),
        heap: [0; 2],
        action: DEFAULT,
        listing: Room::EMPTY,
    }),
};

/// Has the lock until it is dropped. All signals are blocked meanwhile, so that no handler waits for its own thread.
struct Guard;

impl Guard {
    fn take() -> Guard {
        while LOCKED.lock.swap(1, Ordering::Acquire) != 0 {
            // SAFETY: takes nothing.
            unsafe { call(number::SCHED_YIELD, [0; 6]) };
        }
        Guard
    }

    fn state(&mut self) -> &mut State {
        // SAFETY: whoever has a guard has the lock, and there is one guard at a time.
        unsafe { &mut *LOCKED.state.get() }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        LOCKED.lock.store(0, Ordering::Release);
    }
}

/// Begins to answer. `taken` are ranges that are mapped already, `heap` is where the `brk` heap begins.
///
/// `None`: the kernel refuses, and nothing has changed.
pub fn install(taken: &[[u64; 2]], heap: u64) -> Option<()> {
    let mut guard = Guard::take();
    let state = guard.state();
    state.heap = [heap; 2];
    for &[start, end] in taken {
        state.places.take(start, end).ok()?;
    }
    drop(guard);
    const SA_SIGINFO: u64 = 4;
    const SA_RESTORER: u64 = 0x0400_0000;
    const SA_ONSTACK: u64 = 0x0800_0000;
    let action = Action {
        handler: handler as *const () as u64,
        flags: SA_SIGINFO | SA_RESTORER | SA_ONSTACK,
        restorer: restorer as *const () as u64,
        mask: u64::MAX,
    };
    let mut before = DEFAULT;
    let arguments = [SIGSYS, &raw const action as u64, &raw mut before as u64, MASK_BYTES, 0, 0];
    // SAFETY: both are structs as the kernel knows them; the handler is this module's.
    if unsafe { call(number::RT_SIGACTION, arguments) } != 0 {
        return None;
    }
    if filter().is_none() {
        let arguments = [SIGSYS, &raw const before as u64, 0, MASK_BYTES, 0, 0];
        // SAFETY: what was there before.
        unsafe { call(number::RT_SIGACTION, arguments) };
        return None;
    }
    // A mask that is inherited may block it.
    const UNBLOCK: u64 = 1;
    let mask = SIGSYS_BIT;
    // SAFETY: the kernel reads the mask.
    unsafe { call(number::RT_SIGPROCMASK, [UNBLOCK, &raw const mask as u64, 0, MASK_BYTES, 0, 0]) };
    Some(())
}

/// An instruction of the kernel's filters (`struct sock_filter`).
#[repr(C)]
#[derive(Clone, Copy)]
struct Instruction {
    code: u16,
    if_true: u8,
    if_false: u8,
    value: u32,
}

const fn load(offset: u32) -> Instruction {
    Instruction { code: 0x20, if_true: 0, if_false: 0, value: offset }
}

const fn and(value: u32) -> Instruction {
    Instruction { code: 0x54, if_true: 0, if_false: 0, value }
}

const fn jump_if(value: u32, if_true: u8, if_false: u8) -> Instruction {
    Instruction { code: 0x15, if_true, if_false, value }
}

const fn jump_if_bits(value: u32, if_true: u8, if_false: u8) -> Instruction {
    Instruction { code: 0x45, if_true, if_false, value }
}

const fn answer(value: u32) -> Instruction {
    Instruction { code: 0x06, if_true: 0, if_false: 0, value }
}

/// Offsets in `struct seccomp_data`.
mod data {
    pub const CALL: u32 = 0;
    pub const ARCHITECTURE: u32 = 4;
    pub const FROM_HIGH: u32 = 12;
    pub const FIRST: u32 = 16;
    pub const SECOND: u32 = 24;
}

const X86_64: u32 = 0xc000_003e;
const ALLOW: u32 = 0x7fff_0000;
const TRAP: u32 = 0x0003_0000;
const CLONE_VM: u32 = 0x100;

/// Calls that are answered wherever they come from in the program.
const ANSWERED: [u64; 13] = [
    number::MMAP,
    number::NEWFSTATAT,
    number::MUNMAP,
    number::RT_SIGPROCMASK,
    number::RT_SIGACTION,
    number::FSTAT,
    number::STATX,
    number::GETDENTS64,
    number::BRK,
    number::STAT,
    number::LSTAT,
    number::MREMAP,
    number::FORK,
];

/// The filter. Jumps are relative to the next instruction.
static FILTER: [Instruction; ANSWERED.len() + 13] = {
    const N: u8 = ANSWERED.len() as u8;
    const FROM: u8 = 3 + N + 5;
    const ALLOWED: u8 = 3 + N + 8;
    let mut filter = [answer(ALLOW); N as usize + 13];
    filter[0] = load(data::ARCHITECTURE);
    filter[1] = jump_if(X86_64, 0, ALLOWED - 2);
    filter[2] = load(data::CALL);
    let mut at = 3;
    while at < 3 + N {
        filter[at as usize] = jump_if(ANSWERED[at as usize - 3] as u32, FROM - (at + 1), 0);
        at += 1;
    }
    filter[at as usize] = jump_if(number::CLONE as u32, 0, ALLOWED - (at + 1));
    // A clone with memory or with a stack of its own returns elsewhere.
    filter[at as usize + 1] = load(data::FIRST);
    filter[at as usize + 2] = jump_if_bits(CLONE_VM, ALLOWED - (at + 3), 0);
    filter[at as usize + 3] = load(data::SECOND);
    filter[at as usize + 4] = jump_if(0, 0, ALLOWED - (at + 5));
    // FROM
    filter[at as usize + 5] = load(data::FROM_HIGH);
    filter[at as usize + 6] = and(0xf000);
    filter[at as usize + 7] = jump_if((AREA as u32) << 12, 1, 0);
    // ALLOWED
    filter[at as usize + 8] = answer(ALLOW);
    filter[at as usize + 9] = answer(TRAP);
    filter
};

/// The kernel's `struct sock_fprog`.
#[repr(C)]
struct Filter {
    count: u16,
    instructions: u64,
}

fn filter() -> Option<()> {
    const NO_NEW_PRIVILEGES: u64 = 38;
    const SET_FILTER: u64 = 1;
    // Otherwise kernels before 5.16 make the whole process slower, against an attack by itself.
    const ALLOW_SPECULATION: u64 = 4;
    // SAFETY: sets a flag of this process.
    if unsafe { call(number::PRCTL, [NO_NEW_PRIVILEGES, 1, 0, 0, 0, 0]) } != 0 {
        return None;
    }
    let filter = Filter { count: FILTER.len() as u16, instructions: &raw const FILTER as u64 };
    for flags in [ALLOW_SPECULATION, 0] {
        // SAFETY: the kernel reads the filter, which lives for ever.
        if unsafe { call(number::SECCOMP, [SET_FILTER, flags, &raw const filter as u64, 0, 0, 0]) } == 0 {
            return Some(());
        }
    }
    None
}

/// What the kernel returns to when the handler has ended.
#[unsafe(naked)]
extern "C" fn restorer() {
    naked_asm!("mov eax, 15", "syscall")
}

/// Where `struct ucontext` has what, in words of eight bytes.
mod frame {
    pub const R8: usize = 5;
    pub const R9: usize = 6;
    pub const R10: usize = 7;
    pub const RDI: usize = 13;
    pub const RSI: usize = 14;
    pub const RDX: usize = 17;
    pub const RAX: usize = 18;
    pub const RIP: usize = 21;
    pub const MASK: usize = 37;
}

/// The kernel calls it with the signal, its information and the frame.
extern "C" fn handler(signal: u64, information: *const i32, context: *mut u64) {
    const SYS_SECCOMP: i32 = 1;
    // SAFETY: the third word of the information is its code.
    let code = unsafe { information.wrapping_add(2).read() };
    let word = |index: usize| {
        // SAFETY: all of the indices are within the frame, which is nobody else's.
        unsafe { context.wrapping_add(index).read() }
    };
    if code != SYS_SECCOMP || !is_ours(word(frame::RIP)) {
        return pass_on(signal, information, context);
    }
    let arguments = [frame::RDI, frame::RSI, frame::RDX, frame::R10, frame::R8, frame::R9].map(word);
    let result = match word(frame::RAX) {
        number::MMAP => map(arguments),
        number::MUNMAP => unmap(arguments),
        number::MREMAP => remap(arguments),
        number::BRK => set_break(arguments[0]),
        number::GETDENTS64 => list(arguments),
        call @ (number::STAT | number::FSTAT | number::LSTAT) => status(call, arguments, arguments[1]),
        call @ number::NEWFSTATAT => status(call, arguments, arguments[2]),
        number::STATX => extended_status(arguments),
        number::RT_SIGACTION => set_action(arguments),
        number::RT_SIGPROCMASK => {
            let (result, mask) = set_mask(word(frame::MASK), arguments);
            // SAFETY: within the frame; the kernel takes the mask from there.
            unsafe { context.wrapping_add(frame::MASK).write(mask) };
            result
        }
        call @ (number::FORK | number::CLONE) => fork(call, arguments),
        _ => return pass_on(signal, information, context),
    };
    // SAFETY: within the frame; the program finds the result there.
    unsafe { context.wrapping_add(frame::RAX).write(result as u64) };
}

/// A SIGSYS of the program's own: its handler's, or its end.
fn pass_on(signal: u64, information: *const i32, context: *mut u64) {
    let action = Guard::take().state().action;
    const IGNORE: u64 = 1;
    match action.handler {
        0 => {
            let default = DEFAULT;
            real(number::RT_SIGACTION, [SIGSYS, &raw const default as u64, 0, MASK_BYTES, 0, 0]);
            // SAFETY: takes nothing.
            let process = unsafe { call(number::GETPID, [0; 6]) } as u64;
            // SAFETY: takes nothing.
            let thread = unsafe { call(number::GETTID, [0; 6]) } as u64;
            // SAFETY: a signal to this thread, which ends by it when the handler has ended.
            unsafe { call(number::TGKILL, [process, thread, SIGSYS, 0, 0, 0]) };
        }
        IGNORE => {}
        handler => {
            // SAFETY: the program has set this handler for this signal.
            let handler: extern "C" fn(u64, *const i32, *mut u64) = unsafe { core::mem::transmute(handler) };
            handler(signal, information, context);
        }
    }
}

const FIXED: u64 = 0x10;
const IN_LOW_HALF: u64 = 0x40;
const HUGE: u64 = 0x4_0000;
const FIXED_NOREPLACE: u64 = 0x10_0000;
/// More than any program has memory.
const BYTES_MAX: u64 = 1 << 46;

fn real(number: u64, arguments: [u64; 6]) -> i64 {
    // SAFETY: the call is the program's own, with its own arguments but for a place that is free.
    unsafe { call(number, arguments) }
}

fn map(arguments: [u64; 6]) -> i64 {
    let [address, bytes, protection, flags, file, offset] = arguments;
    if bytes == 0 || bytes > BYTES_MAX || flags & IN_LOW_HALF != 0 {
        return real(number::MMAP, arguments);
    }
    let mut guard = Guard::take();
    let places = &mut guard.state().places;
    let bytes_mapped = page_up(bytes);
    if flags & (FIXED | FIXED_NOREPLACE) != 0 {
        let result = real(number::MMAP, arguments);
        if result > 0 {
            let _ = places.take(result as u64, result as u64 + bytes_mapped);
        }
        return result;
    }
    let at =
        |place: u64| real(number::MMAP, [place, bytes, protection, flags | FIXED_NOREPLACE, file, offset]);
    let wish = page_down(address);
    let within = MAPPINGS.contains(&wish);
    if wish != 0 && (!within || places.is_free(wish, wish.saturating_add(bytes_mapped))) {
        let result = at(wish);
        if result > 0 {
            let _ = places.take(result as u64, result as u64 + bytes_mapped);
            return result;
        }
    }
    const HUGE_PAGE: u64 = 2 << 20;
    let align = if flags & HUGE != 0 { HUGE_PAGE } else { 1 };
    while let Some(place) = places.find(bytes_mapped, align) {
        let result = at(place);
        // Somebody else's: it is taken, and the next one is tried.
        let taken =
            if result == EEXIST || result > 0 { places.take(place, place + bytes_mapped) } else { Ok(()) };
        if result != EEXIST {
            return result;
        }
        if taken.is_err() {
            break;
        }
    }
    real(number::MMAP, arguments)
}

fn unmap(arguments: [u64; 6]) -> i64 {
    let mut guard = Guard::take();
    let result = real(number::MUNMAP, arguments);
    if result == 0 {
        let _ =
            guard.state().places.give_back(arguments[0], arguments[0].saturating_add(page_up(arguments[1])));
    }
    result
}

fn remap(arguments: [u64; 6]) -> i64 {
    const MAY_MOVE: u64 = 1;
    const TO: u64 = 2;
    const KEEP: u64 = 4;
    let [address, old, new, flags, to, _] = arguments;
    let (old_bytes, new_bytes) = (page_up(old), page_up(new));
    if new == 0 || new > BYTES_MAX || old > BYTES_MAX {
        return real(number::MREMAP, arguments);
    }
    let mut guard = Guard::take();
    let places = &mut guard.state().places;
    let stays = flags & KEEP != 0 || old == 0;
    let moved = |places: &mut Places<RANGES_MAX>, result: i64| {
        if !stays {
            let _ = places.give_back(address, address.saturating_add(old_bytes));
        }
        let _ = places.take(result as u64, result as u64 + new_bytes);
    };
    // Where the caller says, or nowhere else than it is: also the errors are the kernel's.
    if flags & TO != 0 || flags & MAY_MOVE == 0 {
        let result = real(number::MREMAP, [address, old, new, flags, to, 0]);
        if result > 0 {
            moved(places, result);
        }
        return result;
    }
    // Where it lies, if there is room.
    let grows = new_bytes > old_bytes;
    let behind = address.saturating_add(old_bytes)..address.saturating_add(new_bytes);
    let room = !grows || places.is_free(behind.start, behind.end) || !is_ours(address);
    if !stays && room {
        let result = real(number::MREMAP, [address, old, new, 0, 0, 0]);
        if result > 0 {
            moved(places, result);
            return result;
        }
        if result != ENOMEM {
            return result;
        }
    }
    match places.find(new_bytes, 1) {
        Some(place) => {
            let result = real(number::MREMAP, [address, old, new, flags | MAY_MOVE | TO, place, 0]);
            if result > 0 {
                moved(places, result);
            }
            result
        }
        None => ENOMEM,
    }
}

fn set_break(wanted: u64) -> i64 {
    const READ_WRITE: u64 = 3;
    const PRIVATE_ANONYMOUS: u64 = 0x22;
    let mut guard = Guard::take();
    let [start, now] = guard.state().heap;
    if wanted < start || wanted > start + HEAP_BYTES {
        return now as i64;
    }
    let (old, new) = (page_up(now), page_up(wanted));
    let result = if new > old {
        let flags = PRIVATE_ANONYMOUS | FIXED_NOREPLACE;
        real(number::MMAP, [old, new - old, READ_WRITE, flags, u64::MAX, 0])
    } else if new < old {
        real(number::MUNMAP, [new, old - new, 0, 0, 0, 0])
    } else {
        0
    };
    if result < 0 {
        return now as i64;
    }
    guard.state().heap = [start, wanted];
    wanted as i64
}

fn list(arguments: [u64; 6]) -> i64 {
    let result = real(number::GETDENTS64, arguments);
    if result > 0 {
        // SAFETY: the kernel has just written so many bytes there, for this thread.
        let records = unsafe { core::slice::from_raw_parts_mut(arguments[1] as *mut u8, result as usize) };
        Guard::take().state().listing.sort(records);
    }
    result
}

/// Changes a value of a struct that the kernel has just written to the program's memory.
fn change<T>(place: *mut T, by: impl FnOnce(T) -> T) {
    // SAFETY: the callers' places are within what the kernel has just written.
    let value = unsafe { place.read_unaligned() };
    // SAFETY: as above.
    unsafe { place.write_unaligned(by(value)) };
}

/// Looks at such a value.
fn look<T>(place: *const T) -> T {
    // SAFETY: as in `change`.
    unsafe { place.read_unaligned() }
}

/// `place` is where the kernel writes a `struct stat`.
fn status(call: u64, arguments: [u64; 6], place: u64) -> i64 {
    let result = real(call, arguments);
    if result == 0 {
        let at = |offset: u64| (place + offset) as *mut u64;
        let mode = look(at(24).cast::<u32>());
        change(at(0), facts::device);
        change(at(8), facts::file);
        change(at(48), |bytes| facts::bytes(mode, bytes));
    }
    result
}

/// The same for `struct statx`.
fn extended_status(arguments: [u64; 6]) -> i64 {
    let result = real(number::STATX, arguments);
    if result == 0 {
        let at = |offset: u64| (arguments[4] + offset) as *mut u64;
        let mode = u32::from(look(at(28).cast::<u16>()));
        let minor = look(at(140).cast::<u32>());
        change(at(32), facts::file);
        change(at(40), |bytes| facts::bytes(mode, bytes));
        change(at(136).cast::<u32>(), |major| facts::major(major, minor));
    }
    result
}

/// The kernel reads and writes the program's structs, so that a bad address is an error of the call's. The mask is looked at
/// afterwards.
fn set_action(arguments: [u64; 6]) -> i64 {
    let [signal, new, old, bytes, ..] = arguments;
    if bytes != MASK_BYTES {
        return real(number::RT_SIGACTION, arguments);
    }
    if signal == SIGSYS {
        return set_own_action(new, old);
    }
    let result = real(number::RT_SIGACTION, arguments);
    if result == 0 && new != 0 {
        let mut action = DEFAULT;
        real(number::RT_SIGACTION, [signal, 0, &raw mut action as u64, MASK_BYTES, 0, 0]);
        if action.mask & SIGSYS_BIT != 0 {
            action.mask &= !SIGSYS_BIT;
            real(number::RT_SIGACTION, [signal, &raw const action as u64, 0, MASK_BYTES, 0, 0]);
        }
    }
    result
}

/// What the program does about SIGSYS is kept for it.
fn set_own_action(new: u64, old: u64) -> i64 {
    const EFAULT: i64 = -14;
    /// Its action can be asked for, but not set: the kernel reads the new one, and refuses.
    const SIGSTOP: u64 = 19;
    if (new != 0 && real(number::RT_SIGACTION, [SIGSTOP, new, 0, MASK_BYTES, 0, 0]) == EFAULT)
        || (old != 0 && real(number::RT_SIGACTION, [SIGSTOP, 0, old, MASK_BYTES, 0, 0]) == EFAULT)
    {
        return EFAULT;
    }
    let mut guard = Guard::take();
    let state = guard.state();
    let before = state.action;
    if new != 0 {
        // SAFETY: the program's struct, which the kernel has just read.
        state.action = unsafe { (new as *const Action).read_unaligned() };
    }
    if old != 0 {
        // SAFETY: the program's own place for the answer, where the kernel has just written.
        unsafe { (old as *mut Action).write_unaligned(before) };
    }
    0
}

/// Changes `mask` as the program asks; returns the kernel's result and the mask without SIGSYS.
fn set_mask(mask: u64, arguments: [u64; 6]) -> (i64, u64) {
    const SET: u64 = 2;
    let [how, new, old, bytes, ..] = arguments;
    let mut now = mask;
    // The kernel changes this handler's own mask, beginning with the program's, so that it reads and writes as ever; no
    // lock is held, so a handler of the program's may run meanwhile.
    real(number::RT_SIGPROCMASK, [SET, &raw const now as u64, 0, MASK_BYTES, 0, 0]);
    let result = real(number::RT_SIGPROCMASK, [how, new, old, bytes, 0, 0]);
    real(number::RT_SIGPROCMASK, [SET, 0, &raw mut now as u64, MASK_BYTES, 0, 0]);
    (result, now & !SIGSYS_BIT)
}

/// In the child the table is as it was, and free.
fn fork(call_number: u64, arguments: [u64; 6]) -> i64 {
    let _guard = Guard::take();
    real(call_number, arguments)
}
