//! Memory of this process by address, read and written by the kernel: an address that is none any more is an answer, too.
#![expect(unsafe_code, reason = "the guest's memory is not Rust's")]

use super::syscall::{process_id, syscall};

/// Reads memory of this process; says whether all of it is there.
pub fn read(address: u64, bytes: &mut [u8]) -> bool {
    const PROCESS_VM_READV: u64 = 310;
    let local = [bytes.as_mut_ptr() as u64, bytes.len() as u64];
    let remote = [address, bytes.len() as u64];
    let arguments = [u64::from(process_id()), local.as_ptr() as u64, 1, remote.as_ptr() as u64, 1, 0];
    // SAFETY: the kernel writes within `bytes`, and answers for the rest.
    let count = unsafe { syscall(PROCESS_VM_READV, arguments) };
    count as u64 == bytes.len() as u64
}

/// Can the kernel be asked at all? Some sandboxes forbid it.
pub fn are_readable() -> bool {
    let here = 5u64;
    word(&raw const here as u64) == Some(here)
}

/// Eight bytes of the memory of this process, if they are there.
pub fn word(address: u64) -> Option<u64> {
    let mut bytes = [0; 8];
    read(address, &mut bytes).then(|| u64::from_le_bytes(bytes))
}

/// Four bytes of the memory of this process, if they are there.
pub fn half(address: u64) -> Option<u32> {
    let mut bytes = [0; 4];
    read(address, &mut bytes).then(|| u32::from_le_bytes(bytes))
}

/// Two words of the memory of this process, if they are there: a point in time, as the kernel tells it.
pub fn pair(address: u64) -> Option<[u64; 2]> {
    let mut bytes = [0; 16];
    let [first, second] = [0, 8].map(|at| at..at + 8);
    read(address, &mut bytes).then(|| {
        [first, second].map(|range| u64::from_le_bytes(bytes[range].try_into().expect("eight bytes")))
    })
}

/// Writes words to memory of the guest's, as it asked for; says whether all of it is there.
pub fn write(address: u64, words: &[u64]) -> bool {
    // SAFETY: eight times as many bytes, which may be anything.
    let bytes = unsafe { core::slice::from_raw_parts(words.as_ptr().cast(), size_of_val(words)) };
    write_bytes(address, bytes) == bytes.len()
}

/// Writes memory of the guest's, as it asked for, as far as it is there; says how much.
pub fn write_bytes(address: u64, bytes: &[u8]) -> usize {
    const PROCESS_VM_WRITEV: u64 = 311;
    let local = [bytes.as_ptr() as u64, bytes.len() as u64];
    let remote = [address, bytes.len() as u64];
    let arguments = [u64::from(process_id()), local.as_ptr() as u64, 1, remote.as_ptr() as u64, 1, 0];
    // SAFETY: where the guest has asked for an answer, and nowhere else; the kernel answers for the rest.
    let count = unsafe { syscall(PROCESS_VM_WRITEV, arguments) };
    usize::try_from(count).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_is_not_there_is_not_read() {
        let here = [7_u8; 8];
        let mut bytes = [0; 8];
        assert!(read(here.as_ptr() as u64, &mut bytes));
        assert_eq!(bytes, here);
        assert!(!read(8, &mut bytes));
    }

    #[test]
    fn memory_that_is_not_there_is_not_written() {
        let there = [0u64; 2];
        assert!(write(there.as_ptr() as u64, &[5, 6]));
        assert_eq!(pair(there.as_ptr() as u64), Some([5, 6]));
        assert!(!write(8, &[5]));
    }
}
