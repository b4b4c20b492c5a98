//! What the errors of the engines mean to people.

use super::sqlite::PATIENCE;

/// What the database could not do.
///
/// A place is the path of a file, or the address of a database without its password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DatabaseError {
    /// Not a database, or not a sound one.
    #[error("{place} is damaged or not a database")]
    Damaged {
        /// Where.
        place: String,
    },
    /// Written by a newer Invar.
    #[error(
        "{place} was written by a newer Invar: its schema is {found}, and {newest} is the newest this build knows"
    )]
    TooNew {
        /// Where.
        place: String,
        /// Its schema.
        found: i64,
        /// The newest that this build knows.
        newest: i64,
    },
    /// The disk, or what the user may take of it, is full.
    #[error("the disk is full: {place} could not grow")]
    Full {
        /// Where.
        place: String,
    },
    /// The system could not read or write, or not make room.
    #[error("{place} cannot be written: the disk is full or failing")]
    Disk {
        /// Where.
        place: String,
    },
    /// It may not be written.
    #[error("{place} cannot be written: the file, its folder or its disk is read-only")]
    ReadOnly {
        /// Where.
        place: String,
    },
    /// Another process did not let go.
    #[error("{place} was in use by another process for {} seconds", PATIENCE.as_secs())]
    Busy {
        /// Where.
        place: String,
    },
    /// A server that is not there, or does not let us in.
    #[error("{place} cannot be reached: {why}")]
    Unreachable {
        /// Where.
        place: String,
        /// What the network or the server said.
        why: String,
    },
    /// Something else.
    #[error("{place}: {why}")]
    Other {
        /// Where.
        place: String,
        /// What the engine said.
        why: String,
    },
}

/// What an error of SQLite means, by its result codes: the low byte of its extended ones.
pub(super) fn of_sqlite(place: &str, error: &sqlx::Error) -> DatabaseError {
    let place = place.to_string();
    let code = code(error).and_then(|code| code.parse::<u32>().ok());
    match code.map(|code| code & 0xff) {
        Some(11 | 26) => DatabaseError::Damaged { place },
        Some(13) => DatabaseError::Full { place },
        Some(10) => DatabaseError::Disk { place },
        Some(8 | 14) => DatabaseError::ReadOnly { place },
        Some(5 | 6) => DatabaseError::Busy { place },
        _ => DatabaseError::Other { place, why: error.to_string() },
    }
}

/// What an error of PostgreSQL means, by SQLSTATE: the first two letters are its class.
#[cfg(feature = "postgres")]
pub(super) fn of_postgres(place: &str, error: &sqlx::Error) -> DatabaseError {
    let place = place.to_string();
    let why = error.to_string();
    // A connection that breaks while it is made says something that is no answer.
    let broke = matches!(error, sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_));
    if broke || matches!(error, sqlx::Error::PoolTimedOut) {
        return DatabaseError::Unreachable { place, why };
    }
    let code = code(error).unwrap_or_default();
    match (code.as_str(), code.get(..2)) {
        ("53100", _) => DatabaseError::Full { place },
        ("25006", _) => DatabaseError::ReadOnly { place },
        // No connection, no right to connect, no such database, too many connections, going down.
        (_, Some("08" | "28")) | ("3D000" | "53300" | "57P01" | "57P02" | "57P03", _) => {
            DatabaseError::Unreachable { place, why }
        }
        (_, Some("58")) => DatabaseError::Disk { place },
        _ => DatabaseError::Other { place, why },
    }
}

fn code(error: &sqlx::Error) -> Option<String> {
    match error {
        sqlx::Error::Database(error) => error.code().map(|code| code.into_owned()),
        _ => None,
    }
}
