//! The simulated CPU as data: cache geometry, replacement policy, latencies, clock.
//!
//! A [`Machine`] is identified by its canonical text ([`Machine::text`]), which is stored with every
//! result: two results are comparable only if it is the same. Presets are versioned and immutable; a change is
//! a new preset.

use alloc::format;
use alloc::string::{String, ToString};

/// Bytes in a cache line, at every level.
pub const LINE_BYTES: u64 = 64;

/// How a full set chooses its victim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Policy {
    /// Strict least recently used, as callgrind simulates.
    Lru,
    /// One reference bit a way; when the last is set the others are cleared; the victim is the first way whose
    /// bit is clear. What most hardware approximates (bit-PLRU, "MRU" in the literature).
    BitPlru,
}

/// One cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cache {
    /// Capacity in bytes: `sets * ways * LINE_BYTES`, `sets` a power of two.
    pub bytes: u64,
    /// Associativity.
    pub ways: u32,
    /// Replacement policy.
    pub policy: Policy,
}

impl Cache {
    /// How many sets, or `None` if the capacity is not `2^n * ways * LINE_BYTES`.
    pub const fn sets(&self) -> Option<u64> {
        if self.ways == 0 {
            return None;
        }
        let set_bytes = self.ways as u64 * LINE_BYTES;
        let sets = self.bytes / set_bytes;
        if self.bytes.is_multiple_of(set_bytes) && sets.is_power_of_two() { Some(sets) } else { None }
    }
}

/// What an access costs, in clock cycles of the simulated machine, by the level that answered it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Latencies {
    /// First level.
    pub l1: u32,
    /// Second level. Unused where there is none.
    pub l2: u32,
    /// Last level.
    pub l3: u32,
    /// Memory.
    pub memory: u32,
}

/// A simulated CPU.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Machine {
    /// Name: of a preset, or the user's own.
    pub name: String,
    /// First-level instruction cache.
    pub l1i: Cache,
    /// First-level data cache.
    pub l1d: Cache,
    /// Second level, shared by instructions and data; `None` for a two-level machine.
    pub l2: Option<Cache>,
    /// Last level, shared by instructions and data.
    pub l3: Cache,
    /// Costs.
    pub latencies: Latencies,
    /// Clock, in MHz: turns cycles into time.
    pub megahertz: u32,
}

/// Why a text is not a Machine.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ParseMachineError {
    /// Neither a preset nor a description.
    #[error("unknown machine `{name}`; presets are `reference-1` and `callgrind`")]
    Unknown {
        /// What was asked for.
        name: String,
    },
    /// A part of the description cannot be read.
    #[error("machine part `{part}` cannot be read: {why}")]
    Part {
        /// The part.
        part: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A part of the description is missing.
    #[error("machine description lacks `{part}`")]
    Missing {
        /// The part.
        part: &'static str,
    },
}

impl Machine {
    /// The default: 64 KiB L1I and L1D, 256 KiB L2, 16 MiB L3; 1, 2.5, 11 and 45 ns at 2 GHz.
    pub fn reference_1() -> Machine {
        let plru = |bytes, ways| Cache { bytes, ways, policy: Policy::BitPlru };
        Machine {
            name: "reference-1".to_string(),
            l1i: plru(64 << 10, 8),
            l1d: plru(64 << 10, 8),
            l2: Some(Cache { bytes: 256 << 10, ways: 8, policy: Policy::Lru }),
            l3: Cache { bytes: 16 << 20, ways: 16, policy: Policy::Lru },
            latencies: Latencies { l1: 2, l2: 5, l3: 22, memory: 90 },
            megahertz: 2000,
        }
    }

    /// Two levels with strict LRU, as `valgrind --tool=callgrind --I1=32768,8,64 --D1=32768,8,64
    /// --LL=8388608,16,64` simulates; for checking against it.
    pub fn callgrind() -> Machine {
        let lru = |bytes, ways| Cache { bytes, ways, policy: Policy::Lru };
        Machine {
            name: "callgrind".to_string(),
            l1i: lru(32 << 10, 8),
            l1d: lru(32 << 10, 8),
            l2: None,
            l3: lru(8 << 20, 16),
            latencies: Latencies { l1: 1, l2: 0, l3: 11, memory: 111 },
            megahertz: 1000,
        }
    }

    /// The preset called `name`.
    pub fn preset(name: &str) -> Option<Machine> {
        match name {
            "reference-1" => Some(Machine::reference_1()),
            "callgrind" => Some(Machine::callgrind()),
            _ => None,
        }
    }

    /// The canonical text: `name;l1i=BYTES/WAYS/POLICY;l1d=...;l2=...;l3=...;latency=L1/L2/L3/MEMORY;mhz=N`.
    /// A missing L2 is `l2=none`. [`Machine::parse`] reads it back.
    pub fn text(&self) -> String {
        let cache = |cache: &Cache| {
            let policy = match cache.policy {
                Policy::Lru => "lru",
                Policy::BitPlru => "bit-plru",
            };
            format!("{}/{}/{policy}", cache.bytes, cache.ways)
        };
        let Latencies { l1, l2, l3, memory } = self.latencies;
        format!(
            "{};l1i={};l1d={};l2={};l3={};latency={l1}/{l2}/{l3}/{memory};mhz={}",
            self.name,
            cache(&self.l1i),
            cache(&self.l1d),
            self.l2.as_ref().map_or_else(|| "none".to_string(), cache),
            cache(&self.l3),
            self.megahertz,
        )
    }

    /// Reads the name of a preset or a canonical text.
    pub fn parse(text: &str) -> Result<Machine, ParseMachineError> {
        if let Some(preset) = Machine::preset(text) {
            return Ok(preset);
        }
        let mut parts = text.split(';');
        let name = parts.next().unwrap_or_default();
        if !text.contains(';') || name.is_empty() {
            return Err(ParseMachineError::Unknown { name: text.to_string() });
        }
        let (mut l1i, mut l1d, mut l2, mut l3, mut latencies, mut megahertz) =
            (None, None, None, None, None, None);
        for part in parts {
            let bad = |why| ParseMachineError::Part { part: part.to_string(), why };
            let (key, value) = part.split_once('=').ok_or(bad("it has no `=`"))?;
            match key {
                "l1i" => l1i = Some(parse_cache(value).map_err(bad)?),
                "l1d" => l1d = Some(parse_cache(value).map_err(bad)?),
                "l2" if value == "none" => l2 = Some(None),
                "l2" => l2 = Some(Some(parse_cache(value).map_err(bad)?)),
                "l3" => l3 = Some(parse_cache(value).map_err(bad)?),
                "latency" => latencies = Some(parse_latencies(value).map_err(bad)?),
                "mhz" => match value.parse() {
                    Ok(0) | Err(_) => return Err(bad("the clock is a number of MHz above zero")),
                    Ok(mhz) => megahertz = Some(mhz),
                },
                _ => return Err(bad("no such part")),
            }
        }
        let missing = |part| ParseMachineError::Missing { part };
        Ok(Machine {
            name: name.to_string(),
            l1i: l1i.ok_or(missing("l1i"))?,
            l1d: l1d.ok_or(missing("l1d"))?,
            l2: l2.ok_or(missing("l2"))?,
            l3: l3.ok_or(missing("l3"))?,
            latencies: latencies.ok_or(missing("latency"))?,
            megahertz: megahertz.ok_or(missing("mhz"))?,
        })
    }
}

fn parse_cache(value: &str) -> Result<Cache, &'static str> {
    let mut fields = value.split('/');
    let (Some(bytes), Some(ways), Some(policy), None) =
        (fields.next(), fields.next(), fields.next(), fields.next())
    else {
        return Err("a cache is BYTES/WAYS/POLICY");
    };
    let cache = Cache {
        bytes: bytes.parse().map_err(|_| "its bytes are not a number")?,
        ways: ways.parse().map_err(|_| "its ways are not a number")?,
        policy: match policy {
            "lru" => Policy::Lru,
            "bit-plru" => Policy::BitPlru,
            _ => return Err("its policy is neither `lru` nor `bit-plru`"),
        },
    };
    if cache.ways > 64 || cache.bytes > 1 << 32 {
        return Err("at most 64 ways and 4 GiB");
    }
    cache.sets().ok_or("its bytes are not a power of two of sets of WAYS 64-byte lines")?;
    Ok(cache)
}

fn parse_latencies(value: &str) -> Result<Latencies, &'static str> {
    let mut fields = value.split('/').map(|field| field.parse::<u32>());
    match (fields.next(), fields.next(), fields.next(), fields.next(), fields.next()) {
        (Some(Ok(l1)), Some(Ok(l2)), Some(Ok(l3)), Some(Ok(memory)), None) => {
            Ok(Latencies { l1, l2, l3, memory })
        }
        _ => Err("latencies are L1/L2/L3/MEMORY in cycles"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_reads_back_from_its_text() {
        for machine in [Machine::reference_1(), Machine::callgrind()] {
            assert_eq!(Machine::parse(&machine.text()), Ok(machine));
        }
    }

    #[test]
    fn the_text_of_the_reference_machine_never_changes() {
        assert_eq!(
            Machine::reference_1().text(),
            "reference-1;l1i=65536/8/bit-plru;l1d=65536/8/bit-plru;l2=262144/8/lru;l3=16777216/16/lru;\
             latency=2/5/22/90;mhz=2000"
        );
    }

    #[test]
    fn a_cache_of_three_sets_is_refused() {
        let text = Machine::reference_1().text().replace("65536/8", "12288/64");
        assert!(matches!(Machine::parse(&text), Err(ParseMachineError::Part { .. })));
    }

    #[test]
    fn an_unknown_name_names_the_presets() {
        let error = Machine::parse("pentium").unwrap_err().to_string();
        assert_eq!(error, "unknown machine `pentium`; presets are `reference-1` and `callgrind`");
    }
}
