//! This library as the one that is preloaded: before the program begins, it is placed by `invar-placement`.
#![expect(unsafe_code, reason = "a constructor of a library has no safe interface")]

use std::ffi::{CStr, CString, c_int};

use pyo3::prelude::*;

use crate::progress;

/// Runs when the library is loaded, and does something only where it is preloaded and asked to.
#[cfg(target_env = "gnu")]
#[used]
#[unsafe(link_section = ".init_array")]
static BEGIN: extern "C" fn(c_int, *const *const u8, *mut *const u8) = begin;

#[cfg(target_env = "gnu")]
extern "C" fn begin(_count: c_int, arguments: *const *const u8, environment: *mut *const u8) {
    // SAFETY: glibc hands the kernel's own vectors to constructors. That the program has not begun is so where this
    // is asked for: only `variables` does, for a program that is about to be executed.
    unsafe { invar_placement::begin(arguments, environment) };
}

/// Is this process's memory where it is on every host?
#[pyfunction]
pub fn is_placed() -> bool {
    invar_placement::is_placed()
}

/// Says in the run directory who has placed this process's memory.
pub fn tell() {
    let by = if is_placed() { "invar" } else { "kernel" };
    progress::write(&serde_json::json!({"event": "placed", "by": by}));
}

/// What a program needs in its environment to be placed, besides what is there. The program itself does not see it.
///
/// `None` where it cannot be: a library that the user has preloaded (`pass_env`) stays the only one.
pub fn variables(environment: &[CString]) -> Option<[CString; 2]> {
    let own = own_path()
        .filter(|_| !environment.iter().any(|entry| entry.to_bytes().starts_with(b"LD_PRELOAD=")))?;
    let preload = [b"LD_PRELOAD=", own.as_bytes()].concat();
    let ask = [invar_placement::ASK, b"1"].concat();
    // The dynamic linker takes these for the end of a path.
    let is_one_path = !own.as_bytes().iter().any(|byte| b" :;$".contains(byte));
    (is_one_path && cfg!(target_env = "gnu"))
        .then_some([CString::new(preload).ok()?, CString::new(ask).ok()?])
}

/// The path of this library.
fn own_path() -> Option<CString> {
    let mut found = std::mem::MaybeUninit::<libc::Dl_info>::zeroed();
    // SAFETY: the address is in this library; `found` is a valid place for the answer.
    let is_found = unsafe { libc::dladdr(own_path as *const libc::c_void, found.as_mut_ptr()) } != 0;
    // SAFETY: zeros are a value of that struct.
    let found = unsafe { found.assume_init() };
    if !is_found || found.dli_fname.is_null() {
        return None;
    }
    // SAFETY: the dynamic linker's string for a library that is loaded.
    Some(unsafe { CStr::from_ptr(found.dli_fname) }.to_owned())
}
