//! `invar compare`.

use invar_core::compare::{CompareError, Comparison};
use invar_core::config::Policy;
use invar_core::naming::Names;
use invar_core::profile::{Both, PAYERS, Why};
use invar_core::report::{Outcome, Paid, Report, ReportOptions};
use invar_core::run::Run;
use invar_core::wire;
use invar_store::Comparable;

use crate::args::{Common, Compare, Sides};
use crate::baseline::{Choice, Reason, choose};
use crate::cmd::pull::run_of_server;
use crate::exit::{Code, Failure};
use crate::pick::{newest, pick};
use crate::place::Place;
use crate::profiles;
use crate::render;
use crate::render::compare::Rows;
use crate::terminal::{print, stdout};

/// Compares two runs.
pub async fn compare(arguments: Compare, common: &Common) -> Result<Code, Failure> {
    let place = Place::find(common)?;
    let (candidate, choice) = sides(&arguments.sides, &place).await?;
    let policy = place.policy(&candidate, place.existing_store().await?.as_ref()).await?;
    let mut report = report(&candidate, &choice, &policy, ReportOptions::default())?;
    if arguments.why {
        explain(&mut report, &candidate, &choice, Unknown::Said, &place).await?;
    }
    let view = stdout(common.color);
    if arguments.json {
        print(wire::report::write_pretty(&report))?;
    } else if arguments.csv {
        let nothing = Run { measurements: Vec::new(), ..candidate.clone() };
        let base = match &choice {
            Choice::Baseline(baseline) => &baseline.run,
            Choice::None(_) => &nothing,
        };
        let comparison = Comparison::of(base, &candidate, &policy).map_err(|error| unlike(&error))?;
        print(wire::csv::comparison(comparison.benchmarks.iter()))?;
    } else if report.base.is_some() {
        let rows = if arguments.all { Rows::All } else { Rows::Changed };
        print(render::compare::compare(&report, rows, view))?;
    } else {
        print(render::report::report(&report, view))?;
    }
    Ok(match report.outcome {
        _ if report.blocks => Code::Blocked,
        Outcome::NothingMeasured => Code::Benchmarks,
        _ => Code::Well,
    })
}

/// What the name of a server's run begins with.
const OF_SERVER: &str = "server:";

/// The server's run that a name is of, if it is of one.
async fn of_server(name: Option<&String>, place: &Place) -> Result<Option<Run>, Failure> {
    match name.and_then(|name| name.strip_prefix(OF_SERVER)) {
        Some(name) => run_of_server(name, place).await.map(Some),
        None => Ok(None),
    }
}

/// The candidate, and what to compare it with.
pub async fn sides(sides: &Sides, place: &Place) -> Result<(Run, Choice), Failure> {
    // First, since what is fetched is stored, and may be newer than the latest run.
    let candidate = match (of_server(sides.candidate.as_ref(), place).await?, &sides.candidate) {
        (Some(run), _) => run,
        (None, Some(name)) => pick(name, place, place.existing_store().await?.as_ref(), None).await?,
        (None, None) => newest(place, place.existing_store().await?.as_ref()).await?,
    };
    let fetched = of_server(sides.baseline.as_ref(), place).await?;
    let store = place.existing_store().await?;
    let choice = match (fetched, &sides.baseline, &store) {
        (Some(run), ..) => Choice::asked(run),
        (None, Some(name), _) => {
            let run = pick(name, place, store.as_ref(), Some(&Comparable::with(&candidate))).await?;
            Choice::asked(run)
        }
        (None, None, Some(store)) => choose(&candidate, place, store).await?,
        (None, None, None) => Choice::None(format!("No runs are stored in {}.", place.store.display())),
    };
    let names = place.names(store.as_ref()).await?;
    Ok((today(&names, &candidate), choice.today(&names)))
}

/// A run by the names of today.
pub fn today(names: &Names, run: &Run) -> Run {
    if names.is_empty() { run.clone() } else { names.run(run) }
}

/// The report of a candidate, which says what it is compared with and why.
pub fn report(
    candidate: &Run,
    choice: &Choice,
    policy: &Policy,
    options: ReportOptions,
) -> Result<Report, Failure> {
    match choice {
        Choice::None(why) => {
            let options = ReportOptions { no_baseline: Some(why.clone()), ..options };
            Ok(Report::without_baseline(candidate, policy, options))
        }
        Choice::Baseline(baseline) => {
            let comparison =
                Comparison::of(&baseline.run, candidate, policy).map_err(|error| unlike(&error))?;
            let mut report = Report::of(&comparison, policy, options);
            if baseline.reason != Reason::Asked {
                report.notes.insert(0, format!("The baseline is {}.", baseline.reason));
            }
            Ok(report)
        }
    }
}

/// What becomes of a benchmark of which neither side has a profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unknown {
    /// It is said: somebody has asked for it.
    Said,
    /// It is passed over.
    PassedOver,
}

/// Says of every changed benchmark who pays. A profile that is not there, or cannot be read, is no failure.
pub async fn explain(
    report: &mut Report,
    candidate: &Run,
    choice: &Choice,
    unknown: Unknown,
    place: &Place,
) -> Result<(), Failure> {
    let Choice::Baseline(baseline) = choice else { return Ok(()) };
    let store = place.existing_store().await?;
    for benchmark in report.explicable() {
        let base = profiles::find(store.as_ref(), &baseline.run, &benchmark, place).await;
        let head = profiles::find(store.as_ref(), candidate, &benchmark, place).await;
        let paid = match (base, head) {
            (Err(failure), _) | (_, Err(failure)) => Paid::Unknown(failure.sentence()),
            (Ok(None), Ok(None)) if unknown == Unknown::PassedOver => continue,
            (Ok(None), Ok(None)) => Paid::Unknown("neither side has a profile".to_string()),
            (Ok(None), Ok(_)) => Paid::Unknown("the baseline has no profile".to_string()),
            (Ok(_), Ok(None)) => Paid::Unknown("the candidate has no profile".to_string()),
            (Ok(Some(base)), Ok(Some(head))) => {
                let machine = profiles::machine(candidate, &benchmark);
                Paid::By(Box::new(Why::of(Both { base: &base, head: &head }, machine, PAYERS)))
            }
        };
        report.explain(&benchmark, paid);
    }
    Ok(())
}

/// Why two runs are not compared, and what to do.
pub fn unlike(error: &CompareError) -> Failure {
    let failure = Failure::of(Code::Usage, error);
    match error {
        CompareError::Instruments { .. } => {
            failure.help("measure both sides with --counts, or both without it")
        }
        _ => failure.help("measure both sides with the same --machine"),
    }
}
