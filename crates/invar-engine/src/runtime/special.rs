//! What the runtime answers for the guest: `cpuid`, `xgetbv`, the time, random numbers, and what system calls mean for translation.

use alloc::collections::BTreeMap;

use invar_core::diagnostic::Diagnostic;

use crate::guest::processor;
use crate::guest::system_call::{self, Care, Change};
use crate::guest::vdso::Teller;
use crate::host::context::{Context, register::*};
use crate::host::layout::ARENA;
use crate::host::memory::CodeMemory;
use crate::host::syscall::number;
use crate::host::{faults, gate, layout, syscall, words};
use crate::runtime::{CODE_END, Engine, NATIVE_EXIT_BYTES, PAGE};
use crate::translate::{Site, Special, emit};

/// Code that makes the system calls which start threads and processes.
///
/// It stays when translations are dropped, since a new thread may not have left it yet when its parent goes on.
#[derive(Debug, Default)]
pub(super) struct Births {
    by_next: BTreeMap<u64, u64>,
    bytes: u64,
}

impl Births {
    /// Address of the code whose child goes on at `next`.
    fn code(&mut self, memory: &mut CodeMemory, next: u64) -> u64 {
        if let Some(&origin) = self.by_next.get(&next) {
            return origin;
        }
        let origin = CODE_END + NATIVE_EXIT_BYTES + self.bytes;
        let code = emit::system_call_with_child(origin, next);
        let bytes = (code.len() as u64).next_multiple_of(16);
        if self.bytes + bytes > u64::from(layout::EXITS) - (CODE_END - ARENA) - NATIVE_EXIT_BYTES {
            // Thousands of places that start threads: by now the first of them have left.
            *self = Births::default();
            return self.code(memory, next);
        }
        memory.write(origin, &code);
        self.by_next.insert(next, origin);
        self.bytes += bytes;
        origin
    }
}

/// CF, PF, AF, ZF, SF, OF.
const ARITHMETIC_FLAGS: u64 = 0x8d5;

impl Engine {
    /// Answers an instruction that the runtime answers; says where the guest goes on.
    pub(super) fn special(&mut self, context: &mut Context, site: Site) -> u64 {
        match site.special {
            Special::SystemCall => self.system_call(context, site),
            Special::Cpuid => {
                let leaf = context.registers[usize::from(RAX)] as u32;
                let subleaf = context.registers[usize::from(RCX)] as u32;
                let answer = processor::cpuid(leaf, subleaf, gate::cpuid(leaf, subleaf));
                for (register, value) in [RAX, RBX, RCX, RDX].into_iter().zip(answer) {
                    context.registers[usize::from(register)] = u64::from(value);
                }
                self.go_to(context, site.next)
            }
            Special::Xgetbv => {
                context.registers[usize::from(RAX)] = processor::STATE_COMPONENTS;
                context.registers[usize::from(RDX)] = 0;
                self.go_to(context, site.next)
            }
            Special::TimeStamp { processor } => {
                let ticks = self.time_stamp(context);
                context.registers[usize::from(RAX)] = ticks & 0xffff_ffff;
                context.registers[usize::from(RDX)] = ticks >> 32;
                if processor {
                    context.registers[usize::from(RCX)] = 0;
                }
                self.go_to(context, site.next)
            }
            Special::Random { register, bytes } => {
                let number = self.random.next();
                let home = &mut context.registers[usize::from(register)];
                *home = match bytes {
                    2 => *home & !0xffff | number & 0xffff,
                    4 => number & 0xffff_ffff,
                    _ => number,
                };
                // There is one (carry); the other flags of arithmetic are cleared.
                context.flags = context.flags & !ARITHMETIC_FLAGS | 1;
                self.go_to(context, site.next)
            }
            Special::FsBaseChanged => {
                // What was traced before belongs to the old base.
                self.collect(context);
                self.fs_base = syscall::fs_base();
                self.go_to(context, site.next)
            }
            Special::Clock => self.clock(context, site.at),
            Special::Unknown => {
                self.diagnostics.insert(Diagnostic::UnsupportedInstruction);
                self.leave(context, site.at)
            }
        }
    }

    fn system_call(&mut self, context: &mut Context, site: Site) -> u64 {
        let register = |number: usize| context.registers[number];
        // rax; rdi, rsi, rdx, r10, r8, r9.
        let call = register(0);
        let arguments = [register(7), register(6), register(2), register(10), register(8), register(9)];
        self.system_call = (call, arguments);
        let answer = match call {
            number::CLOCK_GETTIME | number::GETTIMEOFDAY | number::TIME => {
                self.tell_time(context, call, arguments[0], arguments[1])
            }
            number::GETRANDOM => self.tell_random(arguments),
            _ => None,
        };
        if let Some(result) = answer {
            return self.answer_call(context, site, result);
        }
        if self.threads.is_active()
            && let Some(answered) = self.call_of_several(context, site, call, arguments)
        {
            return answered;
        }
        if let Some(diagnostic) = system_call::diagnostic(call) {
            self.diagnostics.insert(diagnostic);
        }
        context.target = site.next;
        match system_call::care(call, arguments) {
            Care::None => gate::system_call_address(),
            Care::Child => {
                let starts_thread = system_call::starts_thread(call, self.clone_flags());
                let started = if starts_thread { self.start_thread(context, site, arguments) } else { None };
                started.unwrap_or_else(|| self.births.code(&mut self.code, site.next))
            }
            Care::Leave => self.leave(context, site.at),
            Care::Refuse => {
                const EPERM: i64 = 1;
                context.registers[usize::from(RAX)] = -EPERM as u64;
                self.go_to(context, site.next)
            }
        }
    }

    /// What `getrandom` says, if it can be answered: as many bytes as a buffer has room for.
    fn tell_random(&mut self, [buffer, bytes, flags, ..]: [u64; 6]) -> Option<i64> {
        const FLAGS: u64 = 7;
        const CHUNK: usize = 4096;
        const BYTES_MAX: u64 = 0x1ff_ffff;
        if flags & !FLAGS != 0 || !words::are_readable() {
            return None;
        }
        let (mut chunk, bytes) = ([0; CHUNK], bytes.min(BYTES_MAX));
        let mut told = 0;
        while told < bytes {
            let part = &mut chunk[..CHUNK.min((bytes - told) as usize)];
            self.random.fill(part);
            let written = words::write_bytes(buffer.wrapping_add(told), part);
            told += written as u64;
            if written < part.len() {
                break;
            }
        }
        // The kernel says what is wrong with the buffer.
        (told > 0 || bytes == 0).then_some(told as i64)
    }

    /// The flags of the present call, which is one that starts something.
    fn clone_flags(&self) -> u64 {
        let (call, [first, ..]) = self.system_call;
        if call == number::CLONE3 { words::word(first).unwrap_or(0) } else { first }
    }

    /// A function of the vdso that tells the time was called. It is answered, as what it executes depends on the time itself.
    fn clock(&mut self, context: &mut Context, at: u64) -> u64 {
        let register = |number: u8| context.registers[usize::from(number)];
        let (first, second, stack) = (register(RDI), register(RSI), register(RSP));
        let teller = self.tellers.iter().flatten().find(|&&(one, _)| one == at).map(|&(_, teller)| teller);
        let call = match teller {
            Some(Teller::ClockGettime) => number::CLOCK_GETTIME,
            Some(Teller::Gettimeofday) => number::GETTIMEOFDAY,
            _ => number::TIME,
        };
        if let Some(caller) = words::word(stack)
            && let Some(result) = self.tell_time(context, call, first, second)
        {
            context.registers[usize::from(RAX)] = result as u64;
            context.registers[usize::from(RSP)] = stack.wrapping_add(8);
            return self.go_to(context, caller);
        }
        match self.plain_block_at(context, at) {
            Some(block) => self.blocks[block].entry,
            None => self.leave(context, at),
        }
    }

    /// A system call has returned; says where the guest goes on.
    pub(super) fn system_call_done(&mut self, context: &mut Context, site: Site) -> u64 {
        let (call, arguments) = self.system_call;
        let result = context.registers[usize::from(RAX)] as i64;
        if result > 0 && system_call::care(call, arguments) == Care::Child {
            self.diagnostics.insert(system_call::child_diagnostic(call, self.clone_flags()));
        }
        match system_call::change(call, arguments, result) {
            Change::None => {}
            Change::Everything => self.forget_all(context),
            Change::Ranges { ranges, executable } => {
                self.map_is_stale |= executable;
                for (start, bytes) in ranges.into_iter().filter(|&(_, bytes)| bytes != 0) {
                    let (start, end) = (start / PAGE * PAGE, (start + bytes).next_multiple_of(PAGE));
                    // What is not translated yet must not be read from there any more either.
                    self.map_is_stale |= self.map.overlaps(start, end);
                    if self.pages.range(start..end).next().is_some() {
                        self.forget_all(context);
                    }
                }
            }
        }
        if call == number::RT_SIGACTION && result == 0 {
            faults::action_changed(context, arguments[0], arguments[2]);
        }
        if call == number::ARCH_PRCTL {
            self.collect(context);
            self.fs_base = syscall::fs_base();
        }
        self.go_to(context, site.next)
    }
}
