//! Profiles of others, from files: callgrind's and folded stacks.

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
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let is_folded = name.ends_with(".folded") || name.ends_with(".collapsed");
    if !path.is_file() {
        return Ok(None);
    }
    let bytes = std::fs::read(path)
        .map_err(|error| Failure::new(Code::Usage, format!("cannot read {}: {error}", one_line(argument))))?;
    let is_callgrind = name.starts_with("callgrind.out") || bytes.starts_with(b"# callgrind format");
    let unreadable = |error: &dyn std::error::Error| {
        Failure::new(Code::Usage, format!("cannot read {}: {error}", one_line(argument)))
    };
    let profile = if is_folded {
        folded::read(&bytes, &name, Event::Instructions).map_err(|error| unreadable(&error))?
    } else if is_callgrind {
        callgrind::read(&bytes, &name).map_err(|error| unreadable(&error))?
    } else {
        return Ok(None);
    };
    let measure = if is_folded { "instructions" } else { "cycles" };
    Ok(Some(Imported { name, profile, machine: Machine::callgrind(), measure }))
}
