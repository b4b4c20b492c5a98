//! Where the kernel's own library in every process (vdso) answers for clocks.
//!
//! Pure: its image in, addresses out.

use alloc::vec::Vec;

/// A function that tells the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Teller {
    /// `clock_gettime`
    ClockGettime,
    /// `gettimeofday`
    Gettimeofday,
    /// `time`
    Time,
}

/// The functions that tell the time in an image that is mapped at `start`, each at its address. Nothing where the image is
/// none that can be read.
pub fn tellers(image: &[u8], start: u64) -> Vec<(u64, Teller)> {
    symbols(image)
        .unwrap_or_default()
        .into_iter()
        .filter_map(|(name, offset)| {
            let teller = match name.strip_prefix(b"__vdso_").unwrap_or(name) {
                b"clock_gettime" => Teller::ClockGettime,
                b"gettimeofday" => Teller::Gettimeofday,
                b"time" => Teller::Time,
                _ => return None,
            };
            Some((start + offset, teller))
        })
        .collect()
}

/// Names and values of the dynamic symbols. The image's sections lie in memory as in the file.
fn symbols(image: &[u8]) -> Option<Vec<(&[u8], u64)>> {
    const DYNAMIC_SYMBOLS: u64 = 11;
    const SYMBOL_BYTES: usize = 24;
    let number = |at: u64, bytes: usize| {
        let at = usize::try_from(at).ok().filter(|&at| at < image.len())?;
        let mut number = [0; 8];
        number[..bytes].copy_from_slice(image.get(at..at.checked_add(bytes)?)?);
        Some(u64::from_le_bytes(number))
    };
    if image.get(..4)? != b"\x7fELF" {
        return None;
    }
    let (sections, section_bytes, count) = (number(40, 8)?, number(58, 2)?, number(60, 2)?);
    let part = |section: u64| {
        let at = sections.checked_add(section * section_bytes)?;
        let (offset, bytes) =
            (number(at.checked_add(24)?, 8)? as usize, number(at.checked_add(32)?, 8)? as usize);
        image.get(offset..offset.checked_add(bytes)?)
    };
    for section in 0..count {
        let at = sections.checked_add(section * section_bytes)?;
        if number(at.checked_add(4)?, 4)? != DYNAMIC_SYMBOLS {
            continue;
        }
        let names = part(number(at.checked_add(40)?, 4)?)?;
        let mut found = Vec::new();
        for symbol in part(section)?.chunks_exact(SYMBOL_BYTES) {
            let name = u32::from_le_bytes(symbol[..4].try_into().ok()?);
            let value = u64::from_le_bytes(symbol[8..16].try_into().ok()?);
            let name = names.get(name as usize..)?.split(|&byte| byte == 0).next()?;
            found.push((name, value));
        }
        return Some(found);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Seek, SeekFrom};

    #[test]
    fn the_vdso_of_this_process_tells_the_time() {
        let maps = std::fs::read_to_string("/proc/self/maps").expect("a process sees its mappings");
        let line = maps.lines().find(|line| line.ends_with("[vdso]")).expect("there is a vdso");
        let (start, end) = line.split(' ').next().and_then(|range| range.split_once('-')).expect("a range");
        let [start, end] = [start, end].map(|text| u64::from_str_radix(text, 16).expect("an address"));
        let mut image = std::vec![0; (end - start) as usize];
        let mut memory = std::fs::File::open("/proc/self/mem").expect("a process reads its memory");
        memory.seek(SeekFrom::Start(start)).expect("memory has places");
        memory.read_exact(&mut image).expect("the vdso can be read");
        let found = tellers(&image, start);
        for teller in [Teller::ClockGettime, Teller::Gettimeofday, Teller::Time] {
            assert!(found.iter().any(|&(at, one)| one == teller && (start..end).contains(&at)), "{teller:?}");
        }
    }

    #[test]
    fn what_is_no_image_tells_nothing() {
        assert!(tellers(b"", 0).is_empty());
        assert!(tellers(&[0x7f, b'E', b'L', b'F', 0xff, 0xff], 0).is_empty());
        let mut damaged = std::vec![0xff; 4096];
        damaged[..4].copy_from_slice(b"\x7fELF");
        assert!(tellers(&damaged, 0).is_empty());
    }
}
