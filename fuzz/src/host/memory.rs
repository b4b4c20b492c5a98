//! Memory at the addresses of [`crate::layout`].
#![expect(unsafe_code, reason = "memory by address has no safe interface")]

use anyhow::{Context, Result, ensure};

use crate::layout;

/// All of it, mapped once a process.
pub struct Memory {
    /// The same pages as [`layout::CODE`], to write.
    code: *mut u8,
}

fn map(address: u64, bytes: u64, protection: i32, flags: i32, file: i32) -> Result<*mut u8> {
    let place = if address == 0 { 0 } else { libc::MAP_FIXED_NOREPLACE };
    // SAFETY: a new mapping that replaces none.
    let at = unsafe { libc::mmap(address as *mut _, bytes as usize, protection, flags | place, file, 0) };
    ensure!(at != libc::MAP_FAILED, "cannot map {bytes} bytes at {address:#x}");
    ensure!(address == 0 || at as u64 == address, "the kernel does not map at {address:#x}");
    Ok(at.cast())
}

impl Memory {
    /// Maps it.
    pub fn new() -> Result<Memory> {
        const DATA: i32 = libc::PROT_READ | libc::PROT_WRITE;
        let anonymous = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        for (address, bytes) in [
            (layout::STATE, layout::STATE_BYTES),
            (layout::SCRATCH, layout::SCRATCH_BYTES),
            (layout::STACK, layout::STACK_BYTES),
        ] {
            map(address, bytes, DATA, anonymous, -1)?;
        }
        let bytes = layout::PROGRAMS * layout::PROGRAM_BYTES;
        map(layout::OPEN_CODE, bytes, DATA | libc::PROT_EXEC, anonymous, -1)?;
        // SAFETY: a name and no flags.
        let file = unsafe { libc::memfd_create(c"invar-fuzz".as_ptr(), 0) };
        ensure!(file >= 0, "cannot make a file in memory");
        // SAFETY: a descriptor of ours.
        let status = unsafe { libc::ftruncate(file, bytes as i64) };
        ensure!(status == 0, "cannot size a file in memory");
        map(layout::CODE, bytes, libc::PROT_READ | libc::PROT_EXEC, libc::MAP_SHARED, file)?;
        let code = map(0, bytes, DATA, libc::MAP_SHARED, file).context("the writable twin of the code")?;
        Ok(Memory { code })
    }

    /// Writes a program's code at an address within either place for programs.
    pub fn write_code(&mut self, address: u64, bytes: &[u8]) {
        let whole = layout::PROGRAMS * layout::PROGRAM_BYTES;
        let (base, target) = if address >= layout::OPEN_CODE {
            (layout::OPEN_CODE, layout::OPEN_CODE as *mut u8)
        } else {
            (layout::CODE, self.code)
        };
        let offset = address - base;
        assert!(offset + bytes.len() as u64 <= whole, "code outside of its place");
        // SAFETY: within the mapping, by the assertion.
        let target = unsafe { target.add(offset as usize) };
        // SAFETY: as above; no reference to the place exists.
        unsafe { core::ptr::copy_nonoverlapping(bytes.as_ptr(), target, bytes.len()) };
    }

    /// Reads from an address within either place for programs.
    pub fn read_code(&self, address: u64, count: usize) -> Vec<u8> {
        let bytes = layout::PROGRAMS * layout::PROGRAM_BYTES;
        let base = if address >= layout::OPEN_CODE { layout::OPEN_CODE } else { layout::CODE };
        assert!(address - base + count as u64 <= bytes, "code outside of its place");
        // SAFETY: within the mapping, by the assertion; it is read while no program runs.
        unsafe { core::slice::from_raw_parts(address as *const u8, count) }.to_vec()
    }

    /// Writes at an address within state, scratch or stack.
    pub fn write(&mut self, address: u64, bytes: &[u8]) {
        check(address, bytes.len());
        // SAFETY: within a mapping of this module, by the check; no reference to it exists.
        unsafe { core::ptr::copy_nonoverlapping(bytes.as_ptr(), address as *mut u8, bytes.len()) };
    }

    /// Reads from an address within state, scratch or stack.
    pub fn read(&self, address: u64, bytes: &mut [u8]) {
        check(address, bytes.len());
        // SAFETY: as in `write`.
        unsafe { core::ptr::copy_nonoverlapping(address as *const u8, bytes.as_mut_ptr(), bytes.len()) };
    }

    /// Reads eight bytes.
    pub fn read_word(&self, address: u64) -> u64 {
        let mut bytes = [0; 8];
        self.read(address, &mut bytes);
        u64::from_le_bytes(bytes)
    }
}

fn check(address: u64, bytes: usize) {
    let within = |start: u64, length: u64| address >= start && address + bytes as u64 <= start + length;
    assert!(
        within(layout::STATE, layout::STATE_BYTES)
            || within(layout::SCRATCH, layout::SCRATCH_BYTES)
            || within(layout::STACK, layout::STACK_BYTES),
        "{address:#x} is not memory of programs"
    );
}

/// Replaces every occurrence of `from` in the engine's code cache by as many bytes `to`; says how often.
pub fn replace_in_code_cache(from: &[u8], to: &[u8]) -> usize {
    use invar_engine::host::layout::{ARENA, CODE};
    const LOOKED_AT: usize = 1 << 16;
    assert_eq!(from.len(), to.len(), "code keeps its length");
    // SAFETY: the engine is attached, so its code cache is mapped, and the guest does not run.
    let code = unsafe { core::slice::from_raw_parts_mut((ARENA + u64::from(CODE)) as *mut u8, LOOKED_AT) };
    let mut found = 0;
    for start in 0..code.len() - from.len() {
        if &code[start..start + from.len()] == from {
            code[start..start + from.len()].copy_from_slice(to);
            found += 1;
        }
    }
    found
}
