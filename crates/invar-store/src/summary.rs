//! What lists say of a run: which columns, and how they are read.

use invar_core::instrument::Instrument;
use invar_core::run::{Summary, Timestamp};

use crate::database::Row;
use crate::statement::Statement;

/// The columns that [`summary`] reads, from the first one on.
const SUMMARY: &str = "run.id, run.started_us, run.title, run.commit_id, run.branch, run.dirty, run.message, \
     run.machine, run.instrument, run.measured, run.failed, run.incomplete";

/// A statement that selects [`SUMMARY`].
pub(crate) fn select(from: &'static str) -> Statement {
    Statement::new(format!("SELECT {SUMMARY} FROM {from} "))
}

/// A row of [`SUMMARY`].
pub(crate) fn summary(row: &Row) -> sqlx::Result<Summary> {
    let count = |column| row.number(column).map(|count| usize::try_from(count).unwrap_or_default());
    Ok(Summary {
        id: row.text(0)?,
        started: Timestamp(row.number(1)?),
        title: row.text(2)?,
        commit: row.text_or_none(3)?,
        branch: row.text_or_none(4)?,
        dirty: row.truth(5)?,
        message: row.text_or_none(6)?,
        machine: row.text(7)?,
        instrument: instrument(row.text(8)?)?,
        measured: count(9)?,
        failed: count(10)?,
        incomplete: row.text_or_none(11)?,
    })
}

/// The instrument of this name.
pub(crate) fn instrument(name: String) -> sqlx::Result<Instrument> {
    let unknown = || sqlx::Error::Decode(format!("`{name}` is no instrument that this build knows").into());
    Instrument::from_name(&name).ok_or_else(unknown)
}
