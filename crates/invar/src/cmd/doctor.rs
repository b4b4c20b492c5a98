//! `invar doctor`.

use invar_core::wire::explain;
use invar_runner::doctor::{State, checks};

use crate::args::{Common, Doctor};
use crate::exit::{Code, Failure};
use crate::place::Place;
use crate::render;
use crate::terminal::{print, stdout};

/// Says whether this machine can measure.
pub fn doctor(arguments: Doctor, common: &Common) -> Result<Code, Failure> {
    let place = Place::find(common)?;
    let checks = checks(&place.directory);
    let twins: Vec<explain::Check<'_>> = checks
        .iter()
        .map(|check| explain::Check {
            name: check.name,
            state: match check.state {
                State::Ok => "ok",
                State::Note => "note",
                State::Problem => "problem",
            },
            found: &check.found,
            advice: check.advice.as_deref(),
        })
        .collect();
    print(&if arguments.json {
        explain::doctor(&twins)
    } else {
        render::doctor::checks(&checks, stdout(common.color))
    })?;
    let problem = checks.iter().any(|check| matches!(check.state, State::Problem));
    Ok(if problem { Code::Benchmarks } else { Code::Well })
}
