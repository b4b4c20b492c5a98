//! What the kernel says of files that is the file system's own matter: numbers of devices and of files, sizes of directories.
//!
//! CPython keeps the integers up to 256 ready and allocates every other, so a device that has number 40 in one container and
//! 300 in the next one is another heap. Here such numbers are never small. Pure: words as `stat` and `statx` return them.

/// Devices without hardware (overlayfs, tmpfs, btrfs, NFS) have this major number instead of 0, whatever their minor one.
const MAJOR: u32 = 0x7f7;
/// Added to numbers of files up to this one.
const SMALL: u64 = 256;
const FAR: u64 = 1 << 40;
/// The size of a directory.
const DIRECTORY_BYTES: u64 = 4096;

const FORMAT: u32 = 0o170_000;
const DIRECTORY: u32 = 0o040_000;

/// A device's number, as `st_dev` holds it.
pub const fn device(number: u64) -> u64 {
    let major = (number >> 8 & 0xfff) | (number >> 32 & 0xffff_f000);
    if major == 0 && number != 0 { number | (MAJOR as u64) << 8 } else { number }
}

/// A device's major number.
pub const fn major(major: u32, minor: u32) -> u32 {
    if major == 0 && minor != 0 { MAJOR } else { major }
}

/// A file's number.
pub const fn file(number: u64) -> u64 {
    if number != 0 && number <= SMALL { number + FAR } else { number }
}

/// A file's size.
pub const fn bytes(mode: u32, bytes: u64) -> u64 {
    if mode & FORMAT == DIRECTORY { DIRECTORY_BYTES } else { bytes }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_without_hardware_has_a_large_number_of_its_own() {
        assert_eq!([device(21), device(64)], [0x7_f715, 0x7_f740]);
        assert_ne!(device(21), device(22));
    }

    #[test]
    fn a_disk_keeps_its_number() {
        assert_eq!(device(0xfe00), 0xfe00);
    }

    #[test]
    fn both_calls_say_the_same_of_a_device() {
        for minor in [1u32, 21, 255, 300, 70_000] {
            let number = u64::from(minor & 0xff) | u64::from(minor & !0xff) << 12;
            let major = u64::from(major(0, minor));
            let expected = u64::from(minor & 0xff) | u64::from(minor & !0xff) << 12 | major << 8;
            assert_eq!(device(number), expected, "{minor}");
        }
    }

    #[test]
    fn small_numbers_of_files_are_large_and_others_are_kept() {
        assert_eq!([file(2), file(256), file(257)], [2 + FAR, 256 + FAR, 257]);
    }

    #[test]
    fn a_directory_has_one_size_and_a_file_its_own() {
        assert_eq!([bytes(0o040_755, 80), bytes(0o100_644, 80)], [4096, 80]);
    }
}
