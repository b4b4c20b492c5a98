//! Code of tests: some bytes at an address.

use super::block::Source;

/// Where they are.
pub const AT: u64 = 0x40_0000;

/// Code from [`AT`] on, and nothing else.
pub struct Bytes<'a>(pub &'a [u8]);

impl Source for Bytes<'_> {
    fn code(&self, address: u64) -> Option<&[u8]> {
        self.0.get(address.checked_sub(AT)? as usize..).filter(|rest| !rest.is_empty())
    }

    fn is_volatile(&self, _address: u64) -> bool {
        false
    }

    fn alike(&self, _one: u64, _other: u64) -> bool {
        true
    }
}
