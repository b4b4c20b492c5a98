//! Profiles from the store, as commands ask for them.

use std::collections::BTreeSet;

use invar_core::config::Metric;
use invar_core::event::Event;
use invar_core::machine::Machine;
use invar_core::profile::{Measure, Profile};
use invar_core::run::Run;
use invar_store::{GetProfileError, Store};

use crate::exit::{Code, Failure};
use crate::pick::pick_name;
use crate::place::Place;
use crate::render::one_line;

/// The full name of the benchmark that is meant: one of these runs'.
pub fn benchmark(part: &str, runs: &[&Run]) -> Result<String, Failure> {
    let names: BTreeSet<&str> = runs
        .iter()
        .flat_map(|run| &run.measurements)
        .map(|measurement| measurement.benchmark.id.as_str())
        .collect();
    pick_name(part, &names.into_iter().collect::<Vec<_>>(), "benchmark").map(str::to_string)
}

/// The profile of a benchmark in a run, if there is one.
pub async fn find(
    store: Option<&Store>,
    run: &Run,
    benchmark: &str,
    place: &Place,
) -> Result<Option<Profile>, Failure> {
    let Some(store) = store else { return Ok(None) };
    let names = place.names(Some(store)).await?;
    for name in std::iter::once(benchmark).chain(names.before(benchmark)) {
        let found = store.profile(&run.id, name).await.map_err(|error| match &error {
            GetProfileError::Database(error) => place.database(error),
            _ => Failure::of(Code::Storage, &error).help("measure again: invar run -- pytest"),
        })?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// The profile of a benchmark in a run, which must be there.
pub async fn need(
    store: Option<&Store>,
    run: &Run,
    benchmark: &str,
    place: &Place,
) -> Result<Profile, Failure> {
    find(store, run, benchmark, place).await?.ok_or_else(|| {
        let (title, benchmark) = (one_line(&run.title()), one_line(benchmark));
        Failure::new(Code::Usage, format!("{title} has no profile of {benchmark}"))
            .help("profiles are kept where a suite is measured; a run file and a run with --counts or --no-profile have none")
            .help("measure it here: invar run -- pytest")
    })
}

/// The measure of that name, on the machine of a benchmark.
pub fn measure<'a>(name: &str, machine: &'a Machine) -> Result<Measure<'a>, Failure> {
    if name == Metric::Cycles.name() {
        return Ok(Measure::Cycles(machine));
    }
    Event::from_name(name).map(Measure::Event).ok_or_else(|| {
        let events: Vec<&str> = Event::ALL.into_iter().map(Event::name).collect();
        Failure::new(Code::Usage, format!("`{}` is nothing that is measured", one_line(name)))
            .help(format!("measured are cycles, {}", events.join(", ")))
    })
}

/// The machine that a benchmark of a run was simulated on.
pub fn machine<'a>(run: &'a Run, benchmark: &str) -> &'a Machine {
    run.measurement(benchmark).map_or(&run.machine, |measurement| &measurement.machine)
}
