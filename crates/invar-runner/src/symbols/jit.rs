//! Code that a process has made itself, and what it says about it: `/tmp/perf-PID.map`, or a jitdump file.
//!
//! Both are written by the measured program and may hold anything; lines and records that make no sense are passed over. Invariant:
//! functions do not overlap. Where code was replaced its last name counts.

use std::collections::BTreeMap;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::file;
use super::maps::Maps;

/// The most that is read of a file. What a just-in-time compiler makes in an hour fits.
const MOST_BYTES: u64 = 256 << 20;
/// File systems know time less well than clocks do.
const CLOCK_GRAIN: Duration = Duration::from_secs(2);

/// Names of code that was made at run time.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct JitMap {
    /// By the first address: the address behind the last, and the name.
    functions: BTreeMap<u64, (u64, String)>,
}

impl JitMap {
    /// What the process has left behind. `maps` are its mappings: a jitdump file is mapped by whoever writes it.
    ///
    /// `since` is when it was not yet there: what is older is another process's that had its id.
    pub fn of_process(pid: u32, maps: &str, since: SystemTime) -> JitMap {
        let contents = |path: &str| contents(Path::new(path), since).unwrap_or_default();
        let mut map = JitMap::default();
        let ending = format!("/jit-{pid}.dump");
        for path in Maps::parse(maps).paths().filter(|path| path.ends_with(&ending)) {
            map.add_jitdump(&contents(path));
        }
        let path = format!("/tmp/perf-{pid}.map");
        map.add_perf_map(&contents(&path));
        map
    }

    /// Adds the lines of a perf map: `START SIZE name`, in hexadecimal.
    pub fn add_perf_map(&mut self, bytes: &[u8]) {
        for line in bytes.split(|&byte| byte == b'\n') {
            let line = String::from_utf8_lossy(line);
            let mut fields = line.trim_end().splitn(3, ' ');
            let mut number = || {
                let text = fields.next()?;
                u64::from_str_radix(text.strip_prefix("0x").unwrap_or(text), 16).ok()
            };
            if let (Some(start), Some(size), Some(name)) = (number(), number(), fields.next()) {
                self.add(start, size, name);
            }
        }
    }

    /// Adds the functions of a jitdump file.
    pub fn add_jitdump(&mut self, bytes: &[u8]) {
        // The magic also says the order of bytes, which is ours.
        if bytes.get(..4) != Some(&0x4a69_5444_u32.to_le_bytes()) {
            return;
        }
        let u32_at = |bytes: &[u8], at: usize| {
            Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
        };
        let u64_at = |bytes: &[u8], at: usize| {
            Some(u64::from_le_bytes(bytes.get(at..at.checked_add(8)?)?.try_into().ok()?))
        };
        let Some(mut rest) = u32_at(bytes, 8).and_then(|header| bytes.get(header as usize..)) else { return };
        const LOAD: u32 = 0;
        const HEADER_BYTES: usize = 16;
        while let (Some(kind), Some(size)) = (u32_at(rest, 0), u32_at(rest, 4)) {
            let Some((record, behind)) = rest.split_at_checked(size as usize) else { return };
            if record.len() < HEADER_BYTES {
                return;
            }
            rest = behind;
            // Behind the header: process, thread, place in the file, address, size, number, name, code.
            if kind == LOAD
                && let (Some(start), Some(size)) = (u64_at(record, 32), u64_at(record, 40))
                && let Some(name) = record.get(56..)
            {
                let name = name.split(|&byte| byte == 0).next().unwrap_or_default();
                self.add(start, size, &String::from_utf8_lossy(name));
            }
        }
    }

    /// The function that an address is in, and where it starts.
    pub(super) fn find(&self, address: u64) -> Option<(u64, &str)> {
        let (start, (end, name)) = self.functions.range(..=address).next_back()?;
        (address < *end).then_some((*start, name))
    }

    fn add(&mut self, start: u64, size: u64, name: &str) {
        let (Some(end), false) = (start.checked_add(size), size == 0 || name.is_empty()) else { return };
        while let Some((&old, (old_end, _))) = self.functions.range(..end).next_back() {
            if *old_end <= start {
                break;
            }
            self.functions.remove(&old);
        }
        self.functions.insert(start, (end, name.to_string()));
    }
}

/// What is in a file of our own user's; others may write into `/tmp` too.
fn contents(path: &Path, since: SystemTime) -> Option<Vec<u8>> {
    let file = file::open_itself(path).ok()?;
    let metadata = file.metadata().ok()?;
    let modified = metadata.modified().ok()?;
    if metadata.uid() != rustix::process::geteuid().as_raw() || modified + CLOCK_GRAIN < since {
        return None;
    }
    let mut bytes = Vec::new();
    file.take(MOST_BYTES).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn perf_map(text: &str) -> JitMap {
        let mut map = JitMap::default();
        map.add_perf_map(text.as_bytes());
        map
    }

    #[test]
    fn a_name_goes_on_to_the_end_of_its_line() {
        let map = perf_map("7f00 10 py::run:/a b.py\n0x8000 0x8 add\n\n7f00\nxyz 1 bad\n9000 0 empty\n");
        assert_eq!(map.find(0x7f0f), Some((0x7f00, "py::run:/a b.py")));
        assert_eq!(map.find(0x8000), Some((0x8000, "add")));
        assert_eq!([map.find(0x7eff), map.find(0x7f10), map.find(0x9000)], [None; 3]);
    }

    #[test]
    fn the_last_name_of_replaced_code_counts() {
        let map = perf_map("100 10 old\n110 10 other\n118 20 new\n");
        assert_eq!(map.find(0x105), Some((0x100, "old")));
        assert_eq!(map.find(0x112), None);
        assert_eq!(map.find(0x118), Some((0x118, "new")));
    }

    fn jitdump() -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut header = [0_u32; 10];
        (header[0], header[1], header[2]) = (0x4a69_5444, 1, 40);
        let record = |kind: u32, payload: &[u8]| {
            let mut record = kind.to_le_bytes().to_vec();
            record.extend((payload.len() as u32 + 16).to_le_bytes());
            record.extend([0; 8]);
            record.extend(payload);
            record
        };
        let mut load = vec![0; 8];
        [0x5000_u64, 0x5000, 3, 1].iter().for_each(|number| load.extend(number.to_le_bytes()));
        load.extend(b"fib\0\xc3\xc3\xc3");
        header.iter().for_each(|number| bytes.extend(number.to_le_bytes()));
        bytes.extend(record(2, &[1, 2, 3]));
        bytes.extend(record(0, &load));
        bytes
    }

    #[test]
    fn a_jitdump_names_what_was_loaded() {
        let mut map = JitMap::default();
        map.add_jitdump(&jitdump());
        assert_eq!(map.find(0x5002), Some((0x5000, "fib")));
        assert_eq!(map.functions.len(), 1);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_complaint(
            noise in proptest::collection::vec(any::<u8>(), 0..200),
            at in 0..200_usize,
            byte in any::<u8>(),
        ) {
            let mut map = JitMap::default();
            map.add_perf_map(&noise);
            let mut dump = jitdump();
            let index = at % dump.len();
            dump[index] = byte;
            map.add_jitdump(&dump);
            map.add_jitdump(&dump[..index]);
            let mut before = 0;
            for (start, (end, _)) in &map.functions {
                prop_assert!(before <= *start && start < end);
                before = *end;
            }
        }
    }
}
