//! Lines of `/proc/self/maps`, as bytes. Pure.

/// A mapping of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mapping<'a> {
    /// Its first address.
    pub start: u64,
    /// The address behind it.
    pub end: u64,
    /// Device and inode, as text: the same for parts of the same file.
    pub file: &'a [u8],
    /// Its path, or its name in brackets; empty if it has none.
    pub name: &'a [u8],
}

/// Reads a line, without its end.
pub fn read(line: &[u8]) -> Option<Mapping<'_>> {
    let mut fields = line.splitn(6, |&byte| byte == b' ');
    let mut addresses = fields.next()?.split(|&byte| byte == b'-');
    let (start, end) = (number(addresses.next()?)?, number(addresses.next()?)?);
    let (_, _) = (fields.next()?, fields.next()?);
    let (device, inode) = (fields.next()?, fields.next()?);
    let at = line.len() - fields.next().map_or(0, <[u8]>::len);
    let file = line.get(at.checked_sub(device.len() + inode.len() + 2)?..at).unwrap_or_default().trim_ascii();
    Some(Mapping { start, end, file, name: line.get(at..).unwrap_or_default().trim_ascii() })
}

fn number(digits: &[u8]) -> Option<u64> {
    u64::from_str_radix(core::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_known_by_device_and_inode() {
        let line =
            b"7ffff5bfc000-7ffff5c02000 r-xp 00002000 fe:00 326389                     /usr/lib/a b.so";
        let mapping = read(line).unwrap();
        assert_eq!((mapping.start, mapping.end), (0x7fff_f5bf_c000, 0x7fff_f5c0_2000));
        assert_eq!((mapping.file, mapping.name), (&b"fe:00 326389"[..], &b"/usr/lib/a b.so"[..]));
    }

    #[test]
    fn memory_without_a_name_has_none() {
        let mapping = read(b"7ffff5cb1000-7ffff5eb2000 rw-p 00000000 00:00 0 ").unwrap();
        assert_eq!((mapping.file, mapping.name), (&b"00:00 0"[..], &b""[..]));
    }

    #[test]
    fn every_line_of_this_process_is_read() {
        let text = std::fs::read("/proc/self/maps").unwrap();
        for line in text.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
            assert!(read(line).is_some(), "{}", String::from_utf8_lossy(line));
        }
    }

    #[test]
    fn other_lines_are_none() {
        assert_eq!([read(b""), read(b"x"), read(b"1-2 r 0 00:00")], [None, None, None]);
    }
}
