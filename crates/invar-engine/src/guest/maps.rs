//! The kernel's list of mappings, as far as it matters to translation: what may be executed, and whether it can change.
//!
//! Pure: text in, ranges out.

use alloc::string::String;
use alloc::vec::Vec;

/// Something that may be executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Executable {
    /// First address.
    pub start: u64,
    /// One past the last.
    pub end: u64,
    /// It can be written while it is executed: here, or where the same memory is mapped elsewhere.
    pub volatile: bool,
    /// It comes from a file (or is the vdso), so it changes only with the mapping.
    pub file: bool,
    /// Offset, device and inode, folded: another file at the same place differs.
    pub identity: u64,
}

/// Parses `/proc/PID/maps`: executable and readable ranges, in order, without those that start in `hole`.
pub fn parse(text: &[u8], hole: core::ops::Range<u64>) -> Vec<Executable> {
    text.split(|&byte| byte == b'\n')
        .filter_map(parse_line)
        .filter(|range| !hole.contains(&range.start))
        .collect()
}

fn parse_line(line: &[u8]) -> Option<Executable> {
    let mut fields = line.split(|&byte| byte == b' ').filter(|field| !field.is_empty());
    let range = fields.next()?;
    let dash = range.iter().position(|&byte| byte == b'-')?;
    let (start, end) = (hexadecimal(&range[..dash])?, hexadecimal(&range[dash + 1..])?);
    let permissions = fields.next()?;
    if permissions.first() != Some(&b'r') || permissions.get(2) != Some(&b'x') {
        return None;
    }
    let (offset, device, inode) = (fields.next()?, fields.next()?, fields.next()?);
    let path = fields.next().unwrap_or_default();
    let colon = device.iter().position(|&byte| byte == b':')?;
    let (major, minor) = (hexadecimal(&device[..colon])?, hexadecimal(&device[colon + 1..])?);
    let number = core::str::from_utf8(inode).ok()?.parse().ok()?;
    Some(Executable {
        start,
        end,
        volatile: permissions.get(1) == Some(&b'w') || permissions.get(3) == Some(&b's'),
        file: inode != b"0" || path == b"[vdso]" || path == b"[vsyscall]",
        identity: identity([hexadecimal(offset)?, major, minor, number]),
    })
}

/// Folds offset, major and minor number of the device, and inode.
pub fn identity(parts: [u64; 4]) -> u64 {
    let mut identity = 0xcbf2_9ce4_8422_2325_u64; // FNV-1a
    for byte in parts.into_iter().flat_map(u64::to_le_bytes) {
        identity = (identity ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    }
    identity
}

fn hexadecimal(digits: &[u8]) -> Option<u64> {
    u64::from_str_radix(core::str::from_utf8(digits).ok()?, 16).ok()
}

impl Executable {
    /// What decides how its code is kept: code of unlike kinds is never in one superblock.
    pub fn kind(&self) -> (bool, bool) {
        (self.file, self.volatile)
    }
}

/// The lines of `/proc/PID/maps` on what [`parse`] keeps, each with its end of line.
pub fn executable_lines(text: &[u8], hole: core::ops::Range<u64>) -> String {
    let mut lines = String::new();
    for line in text.split(|&byte| byte == b'\n') {
        if parse_line(line).is_some_and(|range| !hole.contains(&range.start)) {
            lines.push_str(&String::from_utf8_lossy(line));
            lines.push('\n');
        }
    }
    lines
}

/// The range that `address` lies in.
pub fn find(ranges: &[Executable], address: u64) -> Option<&Executable> {
    at(ranges, address).map(|(range, _)| range)
}

/// The range that `address` lies in, and those that follow.
pub fn at(ranges: &[Executable], address: u64) -> Option<(&Executable, &[Executable])> {
    let after = ranges.partition_point(|range| range.start <= address);
    let range = ranges[..after].last().filter(|range| address < range.end)?;
    Some((range, &ranges[after..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAPS: &[u8] = b"\
55d5c0a00000-55d5c0a01000 r--p 00000000 fe:00 1234                       /usr/bin/true
55d5c0a01000-55d5c0a05000 r-xp 00001000 fe:00 1234                       /usr/bin/true
7f0000000000-7f0000002000 rwxp 00000000 00:00 0
7ffff7fc5000-7ffff7fc7000 r-xp 00000000 00:00 0                          [vdso]
";

    #[test]
    fn only_what_may_be_executed_is_kept() {
        let ranges = parse(MAPS, 0..0);
        let starts: Vec<u64> = ranges.iter().map(|range| range.start).collect();
        assert_eq!(starts, [0x55d5_c0a0_1000, 0x7f00_0000_0000, 0x7fff_f7fc_5000]);
    }

    #[test]
    fn lines_on_what_may_be_executed_stay_as_they_are() {
        let lines = executable_lines(MAPS, 0x7f00_0000_0000..0x7f00_0000_1000);
        assert_eq!(lines.lines().count(), 2);
        assert!(lines.ends_with("[vdso]\n"));
    }

    #[test]
    fn anonymous_memory_is_no_file_but_the_vdso_is() {
        let kinds: Vec<(bool, bool)> =
            parse(MAPS, 0..0).iter().map(|range| (range.file, range.volatile)).collect();
        assert_eq!(kinds, [(true, false), (false, true), (true, false)]);
    }

    #[test]
    fn shared_code_can_be_written_elsewhere() {
        let ranges =
            parse(b"7f0000000000-7f0000001000 r-xs 00000000 00:01 1031 /memfd:code (deleted)\n", 0..0);
        assert!(ranges[0].volatile);
    }

    #[test]
    fn an_address_between_ranges_is_in_none() {
        let ranges = parse(MAPS, 0..0);
        assert!(find(&ranges, 0x55d5_c0a0_4fff).is_some());
        assert!(find(&ranges, 0x55d5_c0a0_5000).is_none());
        assert!(find(&ranges, 0).is_none());
    }

    #[test]
    fn a_line_that_is_no_mapping_is_passed_over() {
        assert!(parse(b"nonsense\n\n-\nff-", 0..0).is_empty());
    }
}
