//! Rows of single measurements: how they are written and read.
//!
//! A row holds what was counted in the warm pass; what it cost follows from the machine of its series, as everywhere.
//! Counts are kept bit by bit in SQLite's signed numbers, so that every one of them comes back as it was.

use invar_core::compare::Reading;
use invar_core::diagnostic::Diagnostics;
use invar_core::event::{Event, Events};
use invar_core::machine::Machine;
use invar_core::run::Run;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{AssertSqlSafe, Row};

/// The columns of the counts, in the order of [`Event::ALL`].
pub(crate) fn columns() -> String {
    Event::ALL.map(|event| format!("measurement.{}", event.name())).join(", ")
}

/// Writes the measurements of a run that has this number, and belongs to this project.
pub(crate) async fn insert(
    connection: &mut SqliteConnection,
    project: i64,
    number: i64,
    run: &Run,
) -> sqlx::Result<()> {
    let names = Event::ALL.map(Event::name).join(", ");
    let counts: Vec<String> = (0..Event::COUNT).map(|index| format!("${}", index + 8)).collect();
    let sql = format!(
        "INSERT INTO measurement (series, started_us, run, diagnostics, {names})
         SELECT number, $5, $6, $7, {} FROM series
         WHERE project = $1 AND benchmark = $2 AND machine_text = $3 AND instrument = $4
         ON CONFLICT (series, started_us, run) DO NOTHING",
        counts.join(", ")
    );
    for measurement in &run.measurements {
        let machine = measurement.machine.text();
        let benchmark = measurement.benchmark.id.as_str();
        let instrument = measurement.instrument.name();
        sqlx::query(
            "INSERT INTO series (project, benchmark, machine_text, instrument) VALUES ($1, $2, $3, $4)
             ON CONFLICT (project, benchmark, machine_text, instrument) DO NOTHING",
        )
        .bind(project)
        .bind(benchmark)
        .bind(&machine)
        .bind(instrument)
        .execute(&mut *connection)
        .await?;
        let query = sqlx::query(AssertSqlSafe(sql.clone()))
            .bind(project)
            .bind(benchmark)
            .bind(&machine)
            .bind(instrument);
        let query = query.bind(run.started.0).bind(number).bind(measurement.diagnostics.0.cast_signed());
        let events = measurement.warm.0.iter();
        let query = events.fold(query, |query, count| query.bind(count.cast_signed()));
        query.execute(&mut *connection).await?;
    }
    Ok(())
}

/// Reads [`columns`] from this column on, and the diagnostics before them.
pub(crate) fn reading(row: &SqliteRow, from: usize, machine: &Machine) -> sqlx::Result<Reading> {
    let number = |column: usize| row.try_get(column).map(i64::cast_unsigned);
    let mut events = Events::default();
    for event in Event::ALL {
        events.add(event, number(from + 1 + event as usize)?);
    }
    Ok(Reading::new(events, machine, Diagnostics(number(from)?)))
}
