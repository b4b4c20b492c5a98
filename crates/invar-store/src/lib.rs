//! Keeps runs: a SQLite file of what lists and lookups need, and a folder of blobs with the runs themselves.
//!
//! A store is a directory, `.invar/` in a checkout. In it are
//!
//! | | |
//! | --- | --- |
//! | `invar.sqlite` | a row for each run and each measurement, [`database`] |
//! | `blobs/` | each run as JSON, compressed, by digest, [`blobs`] |
//! | `lock` | held while the store is opened, so that two processes do not create it at once |
//! | `.gitignore` | `*` |
//!
//! A run is there whole or not at all: its blob is written beside and renamed, and its row, which names the blob, is
//! written after it in one transaction. Any number of processes may use a store at once.
#![forbid(unsafe_code)]

pub mod blobs;
pub mod database;
mod history;
mod measurement;
mod store;

pub use blobs::UnpackError;
pub use database::DatabaseError;
pub use history::{Cursor, Listing, Trees};
pub use store::{Comparable, Found, GetError, OpenError, Put, PutError, Store, Wanted};
