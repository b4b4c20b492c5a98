//! What is uploaded: unpacked, read and verified whole, before any of it is kept.
//!
//! Decides and keeps nothing. What passes has names that every page can show and every database can hold.

use std::io::Read;
use std::time::Duration;

use invar_core::run::Run;
use invar_core::shard::MOST;
use invar_core::wire::parcel::{self, Parcel, ReadParcelError};
use sha2::{Digest, Sha256};

use super::memory::{NoneLeft, Share};

/// How much is taken.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of a body, as it is sent.
    pub body_bytes: usize,
    /// Bytes of a body, unpacked.
    pub unpacked_bytes: usize,
    /// Benchmarks of a run.
    pub benchmarks: usize,
    /// What all uploads that are under way may hold together: bodies as they are sent, and twice what is in them, for
    /// its bytes and for what is made of these.
    pub memory_bytes: usize,
    /// How long a body may take to arrive.
    pub arrives: Duration,
    /// Bytes of a part of an upload. All of them have as many as a body.
    pub part_bytes: usize,
    /// Uploads in parts that may be under way in a project.
    pub uploads: u32,
    /// How long such an upload may take.
    pub upload_lasts: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            body_bytes: 64 << 20,
            unpacked_bytes: 256 << 20,
            benchmarks: 50_000,
            memory_bytes: 1 << 30,
            arrives: Duration::from_secs(300),
            part_bytes: 16 << 20,
            uploads: 32,
            upload_lasts: Duration::from_secs(24 * 3600),
        }
    }
}

/// How much is unpacked before it is asked whether more may be.
const PIECE_BYTES: usize = 1 << 20;
/// The longest name of a benchmark, a branch or a machine, in bytes: databases keep them in indexes.
const NAME_BYTES: usize = 2000;
/// The longest sentence, such as a message of a commit.
const TEXT_BYTES: usize = 64 << 10;
/// The last microsecond of the year 9999.
const LAST_US: i64 = 253_402_300_799_999_999;

/// Why what was uploaded is not kept.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum RefusedUpload {
    /// More than is taken.
    #[error("it is larger than {most} bytes when it is unpacked, which is the most that is taken")]
    Large {
        /// The most.
        most: usize,
    },
    /// Not what the header says.
    #[error("it is not zstd, as its Content-Encoding says, or it is cut short")]
    Packed,
    /// Too much at once.
    #[error(transparent)]
    NoneLeft(#[from] NoneLeft),
    /// Bytes were lost or changed on the way.
    #[error("its SHA-256 is not that of Invar-Sha256: it was changed or cut on the way")]
    Digest,
    /// No run.
    #[error(transparent)]
    Parcel(#[from] ReadParcelError),
    /// More benchmarks than are taken.
    #[error("it has {found} benchmarks, and {most} are the most that are taken")]
    Benchmarks {
        /// How many.
        found: usize,
        /// The most.
        most: usize,
    },
    /// A value that nothing can be done with.
    #[error("{what} {why}")]
    Value {
        /// Which.
        what: &'static str,
        /// What is wrong with it.
        why: &'static str,
    },
}

/// How a body is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// Not at all.
    Plain,
    /// By zstd.
    Zstd,
}

/// Reads what was uploaded.
pub fn read(
    body: &[u8],
    packing: Packing,
    digest: Option<&str>,
    limits: &Limits,
    share: &mut Share,
) -> Result<Parcel, RefusedUpload> {
    if digest.is_some_and(|digest| !digest.eq_ignore_ascii_case(&sha256(body))) {
        return Err(RefusedUpload::Digest);
    }
    let parcel = match packing {
        Packing::Plain if body.len() > limits.unpacked_bytes => {
            return Err(RefusedUpload::Large { most: limits.unpacked_bytes });
        }
        Packing::Plain => {
            share.take(body.len())?;
            parcel::read(body)?
        }
        Packing::Zstd => {
            let decoder = zstd::Decoder::new(body).map_err(|_| RefusedUpload::Packed)?;
            parcel::read(&unpacked(decoder, limits.unpacked_bytes, share)?)?
        }
    };
    check(&parcel.run, limits)?;
    Ok(parcel)
}

/// What comes out, piece by piece, so that no more of it is held than may be.
fn unpacked(mut packed: impl Read, most: usize, share: &mut Share) -> Result<Vec<u8>, RefusedUpload> {
    let mut bytes = Vec::new();
    loop {
        share.take(2 * PIECE_BYTES)?;
        let read = packed.by_ref().take(PIECE_BYTES as u64).read_to_end(&mut bytes);
        let read = read.map_err(|_| RefusedUpload::Packed)?;
        if bytes.len() > most {
            return Err(RefusedUpload::Large { most });
        }
        if read < PIECE_BYTES {
            return Ok(bytes);
        }
    }
}

/// SHA-256 as hexadecimal digits.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn check(run: &Run, limits: &Limits) -> Result<(), RefusedUpload> {
    let found = run.measurements.len().max(run.failed.len());
    if found > limits.benchmarks {
        return Err(RefusedUpload::Benchmarks { found, most: limits.benchmarks });
    }
    let refuse = |what, why| Err(RefusedUpload::Value { what, why });
    if !is_an_id(&run.id) {
        return refuse("the run's id", "is no UUID in small letters");
    }
    if !(0..=LAST_US).contains(&run.started.0) {
        return refuse("the run's start", "is before 1970 or after 9999");
    }
    name("the machine", &run.machine.text())?;
    if let Some(shard) = &run.shard {
        name("the key of the shards", &shard.key)?;
        if !(1..=MOST).contains(&shard.of) || !(1..=shard.of).contains(&shard.number) {
            return refuse("the shard's number", "is not one of those that there are, or they are too many");
        }
    }
    for measurement in &run.measurements {
        name("the name of a benchmark", &measurement.benchmark.id)?;
        name("the machine of a benchmark", &measurement.machine.text())?;
    }
    for (benchmark, why) in &run.failed {
        name("the name of a benchmark that failed", benchmark)?;
        text("the reason of a failure", why)?;
    }
    for warning in run.warnings.iter().chain(&run.incomplete) {
        text("a warning", warning)?;
    }
    let Some(source) = &run.source else { return Ok(()) };
    for commit in source.commit.iter().chain(&source.parents).chain(&source.merge_base) {
        if commit.is_empty()
            || commit.len() > 64
            || !commit.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
        {
            return refuse("a commit", "is not named by its hexadecimal digits");
        }
    }
    for branch in source.branch.iter().chain(&source.default_branch).chain(&source.tags) {
        name("the name of a branch or a tag", branch)?;
    }
    for said in source.message.iter().chain(&source.author).chain(&source.remote) {
        text("what is said of a commit", said)?;
    }
    Ok(())
}

fn is_an_id(id: &str) -> bool {
    id.len() == 36
        && id.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        })
}

/// Can that be a name, on every page and in every database?
pub fn name(what: &'static str, name: &str) -> Result<(), RefusedUpload> {
    let refuse = |why| Err(RefusedUpload::Value { what, why });
    match name {
        "" => refuse("is empty"),
        name if name.len() > NAME_BYTES => refuse("is longer than 2000 bytes"),
        name if name.chars().any(char::is_control) => refuse("has control characters"),
        _ => Ok(()),
    }
}

fn text(what: &'static str, text: &str) -> Result<(), RefusedUpload> {
    if text.len() > TEXT_BYTES {
        return Err(RefusedUpload::Value { what, why: "is longer than 64 KiB" });
    }
    Ok(())
}
