//! Profiles of others, from files: callgrind's and folded stacks.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use invar_core::event::Event;
use invar_core::machine::Machine;
use invar_core::profile::Profile;
use invar_core::wire::profile_formats::{callgrind, folded};

use crate::exit::{Code, Failure};
use crate::render::one_line;

/// A profile from a file.
pub struct Imported {
    /// The file's name, for a title.
    pub name: String,
    /// What is in it.
    pub profile: Profile,
    /// What gives its events their costs: callgrind has simulated two levels.
    pub machine: Machine,
    /// What it is measured by.
    pub measure: &'static str,
}

/// The profile in the file called `argument`, if that is a file of a kind that is read here: `callgrind.out` or anything that says
/// `# callgrind format`, and folded stacks by their ending `.folded` or `.collapsed`.
pub fn find(argument: &str) -> Result<Option<Imported>, Failure> {
    let path = Path::new(argument);
    if !path.is_file() {
        return Ok(None);
    }
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let unreadable = |error: &dyn std::error::Error| {
        Failure::new(Code::Usage, format!("cannot read {}: {error}", one_line(argument)))
    };
    let is_folded = name.ends_with(".folded") || name.ends_with(".collapsed");
    let is_callgrind = !is_folded && (name.starts_with("callgrind.out") || begins_with(path, CALLGRIND));
    if !is_folded && !is_callgrind {
        return Ok(None);
    }
    let bytes = std::fs::read(path).map_err(|error| unreadable(&error))?;
    let (profile, measure) = if is_folded {
        (
            folded::read(&bytes, &name, Event::Instructions).map_err(|error| unreadable(&error))?,
            "instructions",
        )
    } else {
        (callgrind::read(&bytes, &name).map_err(|error| unreadable(&error))?, "cycles")
    };
    Ok(Some(Imported { name, profile, machine: Machine::callgrind(), measure }))
}

/// The first line that callgrind writes.
const CALLGRIND: &[u8] = b"# callgrind format";

fn begins_with(path: &Path, expected: &[u8]) -> bool {
    let mut found = vec![0; expected.len()];
    File::open(path).and_then(|mut file| file.read_exact(&mut found)).is_ok() && found == expected
}
