//! A suite measured in several layouts of memory, one after another, and what is shown of them as one run.
//!
//! Starts the command again, for those benchmarks that need it; which these are, and what their mean is, is `core`'s to say. Profiles are
//! those of the first layout.

use std::ffi::OsString;

use invar_core::config::Policy;
use invar_core::layouts::{Gathering, Needed, Spend};

use crate::{Event, Options, Outcome, RunError, run};

/// As [`run`], in as many layouts as `spend` asks for. The thresholds of `policy` say when a mean is sure enough.
///
/// Where a layout after the first one cannot be measured, the mean is over those before it, and it is said.
pub fn run_in_layouts(
    command: &[OsString],
    options: &Options,
    spend: Spend,
    policy: &Policy,
    on_event: &mut dyn FnMut(Event),
) -> Result<Outcome, RunError> {
    let Outcome { run, profiles } = self::run(command, options, on_event)?;
    if spend == Spend::Count(1) || run.measurements.is_empty() {
        return Ok(Outcome { run, profiles });
    }
    let suite = run.measurements.len();
    let mut gathering = Gathering::begin(spend, policy, run);
    while let Some(needed) = gathering.next() {
        let benchmarks = match &needed {
            Needed::All => suite,
            Needed::Only(names) => names.len(),
        };
        on_event(Event::Layout { seed: gathering.seed(), benchmarks });
        match self::run(command, &in_layout(options, gathering.seed(), &needed), on_event) {
            Ok(outcome) => gathering.add(needed, outcome.run),
            Err(error) => gathering.stop(format!("layout {} was not measured: {error}", gathering.seed())),
        }
    }
    Ok(Outcome { run: gathering.mean(), profiles })
}

/// How a further layout is measured.
///
/// Benchmarks that share a process meet what the others leave behind, so that all of them have to be there.
pub fn in_layout(options: &Options, seed: u32, needed: &Needed) -> Options {
    let only = match needed {
        Needed::Only(names) if !options.shared_process => Some(names.iter().cloned().collect()),
        _ => None,
    };
    // Seeds are few: `core` spends no more than 64.
    let layout = u8::try_from(seed).unwrap_or(u8::MAX);
    Options { layout, only, profile: false, ..options.clone() }
}
