//! What is mapped where in a process: the lines of `/proc/PID/maps`.
//!
//! Lines that are none are passed over. Invariant: mappings are sorted by their start.

/// What stands behind a mapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Backing<'a> {
    /// A file, by its path.
    File(&'a str),
    /// A file that has no path any more; it had this one.
    Deleted(&'a str),
    /// What the kernel puts into every process: `[vdso]`, `[vsyscall]`.
    Kernel(&'a str),
    /// Memory.
    Anonymous,
}

/// A range of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mapping<'a> {
    /// The first address.
    pub start: u64,
    /// Behind the last address.
    pub end: u64,
    /// Where in the file it starts.
    pub offset: u64,
    /// What stands behind it.
    pub backing: Backing<'a>,
}

/// All mappings.
#[derive(Debug)]
pub(super) struct Maps<'a>(Vec<Mapping<'a>>);

impl<'a> Maps<'a> {
    /// Of a text.
    pub fn parse(text: &'a str) -> Maps<'a> {
        let mut mappings: Vec<_> = text.lines().filter_map(mapping).collect();
        mappings.sort_by_key(|mapping| mapping.start);
        Maps(mappings)
    }

    /// The mapping that an address is in.
    pub fn find(&self, address: u64) -> Option<&Mapping<'a>> {
        let behind = self.0.partition_point(|mapping| mapping.start <= address);
        self.0[..behind].last().filter(|mapping| address < mapping.end)
    }

    /// The paths of files, each as often as it is mapped.
    pub fn paths(&self) -> impl Iterator<Item = &'a str> + '_ {
        self.0.iter().filter_map(|mapping| match mapping.backing {
            Backing::File(path) => Some(path),
            _ => None,
        })
    }
}

fn mapping(line: &str) -> Option<Mapping<'_>> {
    let (mut fields, mut rest) = ([""; 5], line);
    for field in &mut fields {
        (*field, rest) = rest.split_once(' ').unwrap_or((rest, ""));
        rest = rest.trim_start_matches(' ');
    }
    let [range, permissions, offset, _device, inode] = fields;
    inode.parse::<u64>().ok().filter(|_| permissions.len() == 4)?;
    let (start, end) = range.split_once('-')?;
    let number = |text| u64::from_str_radix(text, 16).ok();
    let backing = match rest {
        "[vdso]" | "[vsyscall]" => Backing::Kernel(rest),
        path if path.starts_with('/') => match path.strip_suffix(" (deleted)") {
            Some(path) => Backing::Deleted(path),
            None => Backing::File(path),
        },
        _ => Backing::Anonymous,
    };
    Some(Mapping { start: number(start)?, end: number(end)?, offset: number(offset)?, backing })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
7ffff7fc1000-7ffff7fc3000 r-xp 00000000 00:00 0                          [vdso]
555555554000-555555560000 r-xp 00002000 08:01 1835 /opt/with a space/tool
no mapping
7ffff0000000-7ffff0100000 rwxp 00000000 00:00 0
7ffff1000000-7ffff1001000 r-xp 00000000 00:01 77 /memfd:code (deleted)
7ffff2000000-7ffff2001000 rwxp 00000000 00:00 0 [heap]
";

    #[track_caller]
    fn check(address: u64, expected: Option<(u64, Backing<'_>)>) {
        let maps = Maps::parse(TEXT);
        assert_eq!(maps.find(address).map(|mapping| (mapping.offset, mapping.backing)), expected);
    }

    #[test]
    fn an_address_finds_what_is_mapped_there() {
        check(0x555555554000, Some((0x2000, Backing::File("/opt/with a space/tool"))));
        check(0x55555555ffff, Some((0x2000, Backing::File("/opt/with a space/tool"))));
        check(0x7ffff7fc1000, Some((0, Backing::Kernel("[vdso]"))));
        check(0x7ffff0000abc, Some((0, Backing::Anonymous)));
        check(0x7ffff2000abc, Some((0, Backing::Anonymous)));
        check(0x7ffff1000000, Some((0, Backing::Deleted("/memfd:code"))));
    }

    #[test]
    fn an_address_between_mappings_finds_nothing() {
        [0, 0x555555553fff, 0x555555560000, u64::MAX].into_iter().for_each(|address| check(address, None));
    }
}
