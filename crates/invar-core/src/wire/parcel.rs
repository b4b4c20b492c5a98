//! A Run with the Profiles of its benchmarks, as it goes to a server and comes back, version 1.
//!
//! | bytes | what |
//! | --- | --- |
//! | 8 | magic `INVPCL` and format version, a little-endian `u16` |
//! | 8 and then so many | length, a little-endian `u64`, and the run as [`super::v1`] writes it |
//! | 4 | how many profiles, a little-endian `u32` |
//! | for each: 8 and then so many | the full name of its benchmark |
//! | 8 and then so many | the profile as [`super::profile`] writes it |
//!
//! Not compressed: who sends it does that.
//!
//! What [`read`] returns is whole: nothing is missing and nothing follows, every profile is of a benchmark of the run and sums
//! up to what was measured. No bytes make it panic, and it takes room in proportion to the bytes.

use std::collections::BTreeMap;

use super::profile::{self, ReadProfileError};
use super::v1::{self, ReadRunError};
use crate::profile::Profile;
use crate::run::Run;

/// The version this build writes, and the newest it reads.
pub const NEWEST: u16 = 1;
const MAGIC: &[u8; 6] = b"INVPCL";

/// A run and its profiles, by the full names of their benchmarks.
#[derive(Debug, Clone, PartialEq)]
pub struct Parcel {
    /// The run.
    pub run: Run,
    /// The profiles.
    pub profiles: BTreeMap<String, Profile>,
}

/// Why bytes are not a parcel this build can read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReadParcelError {
    /// Something else.
    #[error("it is neither a run file nor a run with profiles")]
    NotAParcel,
    /// Written by a newer Invar.
    #[error("its format {found} is newer than {NEWEST}, the newest this build reads")]
    TooNew {
        /// Its format version.
        found: u16,
    },
    /// It ends too early.
    #[error("it is cut short")]
    Short,
    /// It goes on.
    #[error("something follows its end")]
    Long,
    /// The run.
    #[error(transparent)]
    Run(#[from] ReadRunError),
    /// The name of a benchmark.
    #[error("the name of a benchmark is not UTF-8")]
    Name,
    /// A profile.
    #[error("the profile of `{benchmark}` cannot be read: {source}")]
    Profile {
        /// The benchmark.
        benchmark: String,
        /// What is wrong with it.
        source: ReadProfileError,
    },
    /// A profile that belongs to nothing.
    #[error("there is a profile of `{benchmark}`, which the run has not measured, or there are two")]
    Stray {
        /// The benchmark.
        benchmark: String,
    },
    /// A profile that is of other numbers.
    #[error("the profile of `{benchmark}` does not sum up to what was measured")]
    Sum {
        /// The benchmark.
        benchmark: String,
    },
}

/// Writes a run with its profiles.
pub fn write(run: &Run, profiles: &BTreeMap<String, Profile>) -> Vec<u8> {
    let mut bytes = [&MAGIC[..], &NEWEST.to_le_bytes()].concat();
    push(&mut bytes, v1::write(run).as_bytes());
    let count = u32::try_from(profiles.len()).expect("a run has fewer benchmarks than that");
    bytes.extend(count.to_le_bytes());
    for (benchmark, profile) in profiles {
        push(&mut bytes, benchmark.as_bytes());
        push(&mut bytes, &profile::write(profile));
    }
    bytes
}

fn push(bytes: &mut Vec<u8>, part: &[u8]) {
    bytes.extend((part.len() as u64).to_le_bytes());
    bytes.extend(part);
}

/// Reads a run with its profiles, or a run file, which has none.
pub fn read(bytes: &[u8]) -> Result<Parcel, ReadParcelError> {
    let Some(rest) = bytes.strip_prefix(MAGIC) else {
        return match v1::read(bytes) {
            Ok(run) => Ok(Parcel { run, profiles: BTreeMap::new() }),
            Err(ReadRunError::NotARun { .. } | ReadRunError::OtherJson) => Err(ReadParcelError::NotAParcel),
            Err(error) => Err(error.into()),
        };
    };
    let mut rest = Rest(rest);
    let found = u16::from_le_bytes(rest.array()?);
    if found > NEWEST {
        return Err(ReadParcelError::TooNew { found });
    }
    let run = v1::read(rest.part()?)?;
    let mut profiles = BTreeMap::new();
    for _ in 0..u32::from_le_bytes(rest.array()?) {
        let benchmark = str::from_utf8(rest.part()?).map_err(|_| ReadParcelError::Name)?.to_string();
        let bytes = rest.part()?;
        let Some(measurement) = run.measurement(&benchmark).filter(|_| !profiles.contains_key(&benchmark))
        else {
            return Err(ReadParcelError::Stray { benchmark });
        };
        let profile = match profile::read(bytes) {
            Ok(profile) => profile,
            Err(source) => return Err(ReadParcelError::Profile { benchmark, source }),
        };
        if profile.total() != measurement.warm {
            return Err(ReadParcelError::Sum { benchmark });
        }
        profiles.insert(benchmark, profile);
    }
    if rest.0.is_empty() { Ok(Parcel { run, profiles }) } else { Err(ReadParcelError::Long) }
}

/// What is not read yet.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], ReadParcelError> {
        let (head, rest) = self.0.split_first_chunk().ok_or(ReadParcelError::Short)?;
        self.0 = rest;
        Ok(*head)
    }

    fn part(&mut self) -> Result<&'a [u8], ReadParcelError> {
        let length = usize::try_from(u64::from_le_bytes(self.array()?)).unwrap_or(usize::MAX);
        let (head, rest) = self.0.split_at_checked(length).ok_or(ReadParcelError::Short)?;
        self.0 = rest;
        Ok(head)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::benchmark::Benchmark;
    use crate::diagnostic::Diagnostics;
    use crate::instrument::Instrument;
    use crate::machine::Machine;
    use crate::measurement::Measurement;
    use crate::profile::Builder;
    use crate::run::Timestamp;

    fn parcel() -> Parcel {
        let profile = Builder::new("a").finish();
        let mut run = Run::started("r", Timestamp(1), Machine::reference_1());
        for name in ["a", "b"] {
            run.measurements.push(Measurement {
                benchmark: Benchmark::named(name),
                instrument: Instrument::Simulation,
                machine: Machine::reference_1(),
                cold: None,
                warm: profile.total(),
                diagnostics: Diagnostics::default(),
            });
        }
        Parcel { run, profiles: BTreeMap::from([("a".to_string(), profile)]) }
    }

    #[test]
    fn a_parcel_comes_back_as_it_was_sent() {
        let Parcel { run, profiles } = parcel();
        assert_eq!(read(&write(&run, &profiles)).unwrap(), parcel());
        let alone = read(v1::write_pretty(&run).as_bytes()).unwrap();
        assert_eq!((alone.run, alone.profiles.len()), (run, 0));
    }

    #[test]
    fn a_parcel_that_is_cut_anywhere_is_refused() {
        let Parcel { run, profiles } = parcel();
        let bytes = write(&run, &profiles);
        for end in 0..bytes.len() {
            assert!(read(&bytes[..end]).is_err(), "{end}");
        }
        assert_eq!(read(&[&bytes[..], b"x"].concat()), Err(ReadParcelError::Long));
        assert_eq!(read(b"GIF89a"), Err(ReadParcelError::NotAParcel));
    }

    #[test]
    fn lengths_that_lie_take_no_room() {
        let Parcel { run, profiles } = parcel();
        let mut bytes = write(&run, &profiles);
        bytes[8..16].copy_from_slice(&u64::MAX.to_le_bytes());
        assert_eq!(read(&bytes), Err(ReadParcelError::Short));
        bytes[6] = 9;
        assert_eq!(read(&bytes), Err(ReadParcelError::TooNew { found: 9 }));
    }

    #[test]
    fn a_profile_is_of_what_was_measured() {
        let Parcel { mut run, profiles } = parcel();
        let stray = BTreeMap::from([("c".to_string(), profiles["a"].clone())]);
        assert_eq!(read(&write(&run, &stray)), Err(ReadParcelError::Stray { benchmark: "c".to_string() }));
        run.measurements[0].warm.add(crate::event::Event::Instructions, 1);
        assert_eq!(read(&write(&run, &profiles)), Err(ReadParcelError::Sum { benchmark: "a".to_string() }));
    }
}
