//! `invar show`.

use std::collections::{BTreeMap, BTreeSet};

use invar_core::environment::Environment;
use invar_core::profile::{Function, Measure, Order, Profile, SourceLine};
use invar_core::run::Run;
use invar_core::wire::{functions, v1};
use invar_store::Store;

use crate::args::{Common, Show};
use crate::exit::{Code, Failure};
use crate::pick::{is_a_run, named_or_newest, newest, pick_name};
use crate::place::Place;
use crate::profiles::{benchmark, machine, need};
use crate::render;
use crate::render::{View, one_line};
use crate::sources::{Files, range};
use crate::terminal::{print, stdout};

/// Shows a run in full, or one of its benchmarks.
pub async fn show(mut arguments: Show, common: &Common) -> Result<Code, Failure> {
    let place = Place::find(common)?;
    let store = place.existing_store().await?;
    let store = store.as_ref();
    if arguments.benchmark.is_none() && names_a_benchmark(arguments.run.as_deref(), &place, store).await? {
        arguments.benchmark = arguments.run.take();
    }
    let view = stdout(common.color);
    if let Some(part) = &arguments.benchmark {
        return show_benchmark(part, &arguments, &place, store, view).await;
    }
    if let Some(function) = &arguments.source {
        let error = format!("`{}` is looked for in a benchmark, and none is named", one_line(function));
        return Err(Failure::new(Code::Usage, error).help("invar show RUN BENCHMARK --source FUNCTION"));
    }
    let run = named_or_newest(arguments.run.as_deref(), &place, store).await?;
    if arguments.json {
        print(v1::write_pretty(&run))?;
        return Ok(Code::Well);
    }
    let policy = place.policy(&run, store).await?;
    print(render::show::show(&run, view) + &render::show::floors(&run, &policy.floors, view))?;
    Ok(Code::Well)
}

/// Whether the only name is no run's, and is in the name of a benchmark of the newest run.
async fn names_a_benchmark(
    name: Option<&str>,
    place: &Place,
    store: Option<&Store>,
) -> Result<bool, Failure> {
    let (Some(name), Some(store)) = (name, store) else { return Ok(false) };
    if is_a_run(name, place, store).await? || store.list(1).await.is_ok_and(|runs| runs.is_empty()) {
        return Ok(false);
    }
    let run = newest(place, Some(store)).await?;
    Ok(run.measurements.iter().any(|measurement| measurement.benchmark.id.contains(name)))
}

async fn show_benchmark(
    part: &str,
    arguments: &Show,
    place: &Place,
    store: Option<&Store>,
    view: View,
) -> Result<Code, Failure> {
    let run = named_or_newest(arguments.run.as_deref(), place, store).await?;
    let name = benchmark(part, &[&run])?;
    let profile = need(store, &run, &name, place).await?;
    let machine = machine(&run, &name);
    print(match &arguments.source {
        _ if arguments.json => functions::write(&run.id, &name, &profile, machine),
        Some(function) => {
            let measure = Measure::Cycles(machine);
            let (python, profile) = (profile.python_lines(measure), profile.without_lines());
            let index = with_lines(function, &profile, &python, measure)?;
            let function = &profile.functions[index as usize];
            let of_python = python.get(function).map_or(&[][..], Vec::as_slice);
            let lines = profile.lines.iter().filter(|line| line.function == index).map(|line| line.line);
            let range = range(function, lines.chain(of_python.iter().map(|line| line.line)));
            let mut files = Files::new(&place.root);
            let (first, text) =
                range.map_or((0, &[][..]), |(first, last)| (first, files.lines(&function.file, first, last)));
            match of_python {
                [] => render::profile::source(&profile, index, machine, (first, text), view),
                lines => {
                    let costs = profile.by_function(measure, Order::Inclusive);
                    let whole = costs.iter().find(|cost| cost.function == index);
                    let whole = whole.map_or(0, |cost| cost.inclusive_cost);
                    render::profile::python_source(function, whole, lines, (first, text), view)
                }
            }
        }
        None => {
            let measurements = run.measurement(&name).into_iter().cloned().collect();
            // What is not of this benchmark is left to `invar show RUN`.
            let only = Run { measurements, environment: Environment::default(), ..run.clone() };
            let head = render::show::show(&only, view);
            format!("{head}\n{}", render::profile::profile(&profile, machine, view))
        }
    })?;
    Ok(Code::Well)
}

/// The function that is meant among those whose costs are known line by line; of several of one name the dearest.
fn with_lines(
    part: &str,
    profile: &Profile,
    python: &BTreeMap<Function, Vec<SourceLine>>,
    measure: Measure<'_>,
) -> Result<u32, Failure> {
    let name = |index: u32| profile.functions[index as usize].name.as_str();
    let known = profile.lines.iter().filter(|line| line.line > 0);
    let mut indices: BTreeSet<u32> = known.map(|line| line.function).collect();
    indices.extend(
        python.keys().filter_map(|function| Some(profile.functions.binary_search(function).ok()? as u32)),
    );
    let names: BTreeSet<&str> = indices.iter().map(|&index| name(index)).collect();
    let all: BTreeSet<&str> = profile.functions.iter().map(|function| function.name.as_str()).collect();
    let help = "lines are known of native functions that were built with debug information, and of Python functions \
                where they were asked for: invar run --python-lines -- pytest";
    let names: Vec<&str> = names.into_iter().collect();
    if names.is_empty() || all.contains(part) && !names.contains(&part) {
        let error = format!("no costs by line are known of `{}`", one_line(part));
        return Err(Failure::new(Code::Usage, error).help(help));
    }
    let meant = pick_name(part, &names, "function with lines").map_err(|failure| failure.help(help))?;
    let own = |index: &u32| {
        let lines = profile.lines.iter().filter(|line| line.function == *index);
        let of_python = python.get(&profile.functions[*index as usize]).into_iter().flatten();
        let costs = lines.map(|line| measure.of(&line.own)).chain(of_python.map(|line| line.inclusive_cost));
        costs.fold(0_u64, u64::saturating_add)
    };
    let same = indices.into_iter().filter(|&index| name(index) == meant);
    Ok(same.max_by_key(own).expect("a name is of a function"))
}
