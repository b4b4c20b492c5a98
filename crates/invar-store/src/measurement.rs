//! Rows of single measurements: how they are written and read.
//!
//! A row holds what was counted in the warm pass; what it cost follows from the machine of its series, as everywhere.
//! Counts are kept bit by bit in signed numbers, so that every one of them comes back as it was.

use std::collections::BTreeMap;

use invar_core::compare::Reading;
use invar_core::diagnostic::Diagnostics;
use invar_core::event::{Event, Events};
use invar_core::machine::Machine;
use invar_core::measurement::Measurement;
use invar_core::run::Run;

use crate::database::{DatabaseError, Row, Transaction};
use crate::statement::{Statement, storable};
use crate::summary::instrument;

/// How many rows one statement writes. SQLite binds 32,766 values at most, and a row has seventeen.
const ROWS: usize = 500;

/// The columns of the counts, in the order of [`Event::ALL`].
pub(crate) fn columns() -> String {
    Event::ALL.map(|event| format!("measurement.{}", event.name())).join(", ")
}

/// What a series is known by within its project: benchmark, machine, instrument.
type Key = (String, String, &'static str);

fn key(measurement: &Measurement) -> Key {
    let benchmark = storable(measurement.benchmark.id.as_str());
    (benchmark, storable(&measurement.machine.text()), measurement.instrument.name())
}

/// Writes the measurements of a run that has this number, and belongs to this project.
pub(crate) async fn insert(
    transaction: &mut Transaction,
    project: i64,
    number: i64,
    run: &Run,
) -> Result<(), DatabaseError> {
    // Of two measurements of one series the first one counts. In order: who writes the same series at the same time
    // waits for us and we never for them.
    let mut measurements = BTreeMap::<Key, &Measurement>::new();
    for measurement in &run.measurements {
        measurements.entry(key(measurement)).or_insert(measurement);
    }
    let measurements: Vec<(&Key, &Measurement)> = measurements.iter().map(|(key, one)| (key, *one)).collect();
    let head = format!(
        "INSERT INTO measurement (series, started_us, run, diagnostics, {}) VALUES ",
        Event::ALL.map(Event::name).join(", ")
    );
    for rows in measurements.chunks(ROWS) {
        let series = series(transaction, project, rows).await?;
        let mut statement = Statement::new(head.clone());
        for (index, (key, measurement)) in rows.iter().enumerate() {
            let series = series.get(key).copied().expect("a series that was written can be read");
            statement = statement.push(if index == 0 { "(" } else { ", (" }).bind(series);
            statement = statement.push(", ").bind(run.started.0).push(", ").bind(number);
            statement = statement.push(", ").bind(measurement.diagnostics.0.cast_signed());
            for count in measurement.warm.0 {
                statement = statement.push(", ").bind(count.cast_signed());
            }
            statement = statement.push(")");
        }
        let statement = statement.push(" ON CONFLICT (series, started_us, run) DO NOTHING");
        transaction.execute(&statement).await?;
    }
    Ok(())
}

/// The numbers of the series of these measurements, made where they are missing.
async fn series(
    transaction: &mut Transaction,
    project: i64,
    rows: &[(&Key, &Measurement)],
) -> Result<BTreeMap<Key, i64>, DatabaseError> {
    let mut statement =
        Statement::new("INSERT INTO series (project, benchmark, machine_text, instrument) VALUES ");
    for (index, ((benchmark, machine, instrument), _)) in rows.iter().enumerate() {
        statement = statement.push(if index == 0 { "(" } else { ", (" }).bind(project).push(", ");
        statement = statement.bind(benchmark).push(", ").bind(machine).push(", ").bind(*instrument).push(")");
    }
    let statement = statement.push(" ON CONFLICT (project, benchmark, machine_text, instrument) DO NOTHING");
    transaction.execute(&statement).await?;
    let statement =
        Statement::new("SELECT benchmark, machine_text, instrument, number FROM series WHERE project = ")
            .bind(project)
            .push(" AND benchmark IN ")
            .bind_list(rows.iter().map(|((benchmark, ..), _)| benchmark));
    let found = transaction.all(&statement, |row| {
        let instrument = instrument(row.text(2)?)?.name();
        Ok(((row.text(0)?, row.text(1)?, instrument), row.number(3)?))
    });
    Ok(found.await?.into_iter().collect())
}

/// Reads [`columns`] from this column on, and the diagnostics before them.
pub(crate) fn reading(row: &Row, from: usize, machine: &Machine) -> sqlx::Result<Reading> {
    let number = |column: usize| row.number(column).map(i64::cast_unsigned);
    let mut events = Events::default();
    for event in Event::ALL {
        events.add(event, number(from + 1 + event as usize)?);
    }
    Ok(Reading::new(events, machine, Diagnostics(number(from)?)))
}
