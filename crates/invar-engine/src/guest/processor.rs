//! The processor that the guest sees inside a region: x86-64-v3, the same on every host.
//!
//! Answers `cpuid` and `xgetbv`. Features that the host lacks are taken away all the same, since the guest's
//! instructions run on the host. Leaves and bits: Intel SDM, volume 2A, CPUID.

/// x87, SSE and AVX state: what `xgetbv` answers.
pub const STATE_COMPONENTS: u64 = 7;

/// Answers `cpuid`. `host` is the host's own answer to the same question.
pub fn cpuid(leaf: u32, subleaf: u32, host: [u32; 4]) -> [u32; 4] {
    const HIGHEST: u32 = 0xd;
    const HIGHEST_EXTENDED: u32 = 0x8000_0008;
    let [_, host_b, host_c, host_d] = host;
    match leaf {
        0 => [
            HIGHEST,
            u32::from_le_bytes(*b"Genu"),
            u32::from_le_bytes(*b"ntel"),
            u32::from_le_bytes(*b"ineI"),
        ],
        // A Haswell, one thread, 64-byte lines. ECX: SSE3, PCLMUL, SSSE3, FMA, CX16, SSE4.1, SSE4.2, MOVBE, POPCNT,
        // AES, XSAVE, OSXSAVE, AVX, F16C. EDX: everything up to SSE2.
        1 => [0x0003_06c3, 0x0001_0800, 0x3ed8_3203 & host_c, 0x0789_ab7f & host_d],
        // FSGSBASE, BMI1, AVX2, BMI2.
        7 if subleaf == 0 => [0, 0x0000_0129 & host_b, 0, 0],
        // The state components above in the standard format.
        0xd if subleaf == 0 => [STATE_COMPONENTS as u32, 0x340, 0x340, 0],
        0xd if subleaf == 2 => [256, 576, 0, 0],
        0x8000_0000 => [HIGHEST_EXTENDED, 0, 0, 0],
        // LAHF, LZCNT; SYSCALL, NX, RDTSCP, long mode.
        0x8000_0001 => [0, 0, 0x21 & host_c, 0x2810_0800 & host_d],
        // 48-bit linear, 46-bit physical addresses.
        0x8000_0008 => [0x302e, 0, 0, 0],
        _ => [0; 4],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERYTHING: [u32; 4] = [u32::MAX; 4];

    #[test]
    fn avx512_and_fast_strings_are_hidden() {
        let [_, b, c, d] = cpuid(7, 0, EVERYTHING);
        assert_eq!(b & (1 << 16 | 1 << 9), 0, "AVX512F and ERMS");
        assert_ne!(b & 1 << 5, 0, "AVX2");
        assert_eq!((c, d), (0, 0));
    }

    #[test]
    fn what_the_host_lacks_is_not_promised() {
        assert_eq!(cpuid(7, 0, [0; 4])[1], 0);
        assert_eq!(cpuid(1, 0, [0; 4])[2], 0);
    }

    #[test]
    fn the_thread_it_runs_on_does_not_show() {
        let [_, b, ..] = cpuid(1, 0, EVERYTHING);
        assert_eq!(b >> 24, 0);
    }
}
