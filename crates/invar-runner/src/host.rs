//! What `/proc` and `/etc` say about the machine that Invar runs on. Reads, decides nothing.

use std::collections::BTreeSet;
use std::fs;

/// What `/proc/cpuinfo` says about the first CPU.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Cpu {
    /// As its maker calls it.
    pub model: Option<String>,
    features: BTreeSet<String>,
}

impl Cpu {
    /// Asks the kernel.
    pub fn read() -> Cpu {
        Cpu::parse(&fs::read_to_string("/proc/cpuinfo").unwrap_or_default())
    }

    pub(crate) fn parse(text: &str) -> Cpu {
        let mut cpu = Cpu::default();
        for line in text.lines().take_while(|line| !line.is_empty()) {
            let Some((key, value)) = line.split_once(':') else { continue };
            match key.trim() {
                "model name" => cpu.model = Some(value.trim().to_string()),
                "flags" => cpu.features = value.split_whitespace().map(str::to_string).collect(),
                _ => {}
            }
        }
        cpu
    }

    /// Does the kernel say what it can? In a sandbox it may not.
    pub fn is_known(&self) -> bool {
        !self.features.is_empty()
    }

    /// Has it this feature, by the kernel's name?
    pub fn has(&self, feature: &str) -> bool {
        self.features.contains(feature)
    }

    /// What of x86-64-v3 it lacks, by the kernel's names.
    pub fn lacks_of_v3(&self) -> Vec<&'static str> {
        const V3: [&str; 14] = [
            "cx16", "lahf_lm", "popcnt", "sse4_1", "sse4_2", "ssse3", "avx", "avx2", "bmi1", "bmi2", "f16c",
            "fma", "movbe", "xsave",
        ];
        // LZCNT is `abm` to the kernel.
        V3.into_iter().chain(["abm"]).filter(|feature| !self.has(feature)).collect()
    }
}

/// The kernel's version: `6.1.0-18-amd64`.
pub fn kernel() -> Option<String> {
    Some(fs::read_to_string("/proc/sys/kernel/osrelease").ok()?.trim().to_string())
}

/// The distribution: `Debian GNU/Linux 12 (bookworm)`.
pub fn system() -> Option<String> {
    let text = fs::read_to_string("/etc/os-release").ok()?;
    let name = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="))?;
    Some(name.trim_matches('"').to_string())
}

/// The C library, with the distribution's own revision: `glibc 2.36 (Debian GLIBC 2.36-9+deb12u4)`.
pub fn libc() -> Option<String> {
    // musl's `ldd` says what it is on its error output, and fails.
    let output = std::process::Command::new("ldd").arg("--version").output().ok()?;
    let text = if output.stdout.is_empty() { output.stderr } else { output.stdout };
    libc_name(&String::from_utf8_lossy(&text))
}

fn libc_name(ldd: &str) -> Option<String> {
    let mut lines = ldd.lines();
    let first = lines.next()?;
    if first.starts_with("musl") {
        let version = lines.next()?.strip_prefix("Version ")?;
        return Some(format!("musl {version}"));
    }
    let (maker, version) = first.strip_prefix("ldd (")?.rsplit_once(") ")?;
    Some(format!("glibc {version} ({maker})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_cpu_speaks_for_all() {
        let cpu =
            Cpu::parse("model name\t: One\nflags\t\t: fpu avx2\n\nmodel name\t: Two\nflags\t\t: fpu sse\n");
        assert_eq!(cpu.model.as_deref(), Some("One"));
        assert!(cpu.has("avx2") && !cpu.has("sse"));
    }

    #[test]
    fn what_a_cpu_lacks_is_named() {
        let text = "flags : cx16 lahf_lm popcnt sse4_1 sse4_2 ssse3 avx f16c bmi1 fma movbe xsave abm\n";
        assert_eq!(Cpu::parse(text).lacks_of_v3(), ["avx2", "bmi2"]);
    }

    #[test]
    fn a_c_library_is_named_with_its_makers_revision() {
        let debian = "ldd (Debian GLIBC 2.36-9+deb12u4) 2.36\nCopyright (C) 2022 ...\n";
        assert_eq!(libc_name(debian).as_deref(), Some("glibc 2.36 (Debian GLIBC 2.36-9+deb12u4)"));
        let musl = "musl libc (x86_64)\nVersion 1.2.4\nDynamic Program Loader\n";
        assert_eq!(libc_name(musl).as_deref(), Some("musl 1.2.4"));
        assert_eq!(libc_name(""), None);
    }
}
