//! Keeps runs and profiles: a SQLite file of what lists and lookups need, and folders of blobs with the things themselves.
//!
//! A store is a directory, `.invar/` in a checkout. In it are
//!
//! | | |
//! | --- | --- |
//! | `invar.sqlite` | a row for each run and each measurement, [`database`] |
//! | `blobs/` | each run as JSON, compressed, by digest, [`blobs`] |
//! | `profiles/` | the profile of each benchmark of a run, in the same way |
//! | `lock` | held while the store is opened, so that two processes do not create it at once |
//! | `.gitignore` | `*` |
//!
//! A run is there whole, with its profiles, or not at all: blobs are written beside and renamed, and the rows, which name
//! them, are written after them in one transaction. Any number of processes may use a store at once.
#![forbid(unsafe_code)]

pub mod blobs;
mod collect;
mod database;
mod history;
mod location;
mod measurement;
#[cfg(all(test, feature = "postgres"))]
mod plans;
mod profile;
mod project;
mod statement;
mod store;
mod summary;
mod token;

pub use blobs::{ReadBlobError, UnpackError, WriteBlobError};
pub use collect::{CollectError, Collected};
pub use database::DatabaseError;
pub use history::{Cursor, Listing, Trees};
pub use location::Location;
pub use profile::{GetProfileError, Profiles};
pub use project::{CreateProjectError, Project, Visibility};
pub use store::{Comparable, Found, GetError, OpenError, Put, PutError, Store, Wanted};
pub use token::{NewToken, Token};
