//! Keeps runs and profiles: rows of what lists and lookups need in a database, and the things themselves as blobs.
//!
//! A store is in one place, a directory (`.invar/` in a checkout), or in two: a database and somewhere for blobs. The
//! database is SQLite or PostgreSQL, blobs are in a folder or in a bucket of S3, and every combination keeps the same
//! promises (`tests/contract`). In the directory are
//!
//! | | |
//! | --- | --- |
//! | `invar.sqlite` | a row for each project, run, measurement, profile, verification, account, ... |
//! | `blobs/` | each run as JSON, compressed, by digest |
//! | `profiles/` | the profile of each benchmark of a run, in the same way |
//! | `parts/` | what has arrived of uploads that come in parts, in the same way |
//! | `lock` | held while the store is opened, so that two processes do not create it at once |
//! | `.gitignore` | `*` |
//!
//! A run is there whole, with its profiles, or not at all: blobs appear whole, and the rows, which name them, are written
//! after them in one transaction. Any number of processes may use a store at once. A [`Store`] is within one project and
//! sees nothing of others; blobs, which are named by their content, are shared.
#![forbid(unsafe_code)]

mod account;
mod acknowledgement;
mod attempt;
mod audit;
mod backup;
pub mod blobs;
mod collect;
mod copy;
mod database;
mod duty;
mod history;
mod identity;
mod ignoring;
mod location;
mod measurement;
mod member;
mod naming;
#[cfg(all(test, feature = "postgres"))]
mod plans;
mod profile;
mod project;
mod publisher;
mod ready;
mod retention;
mod revision;
mod rows;
mod search;
mod shard;
mod statement;
mod storage;
mod store;
mod summary;
mod token;
mod upload;
mod verification;

pub use account::{Account, CreateAccountError, Link, NewAccount, NewSecret};
pub use acknowledgement::{Acknowledged, NewAcknowledgement};
pub use attempt::Counted;
pub use audit::{By, Entry};
pub use backup::{BackedUp, BackupError, RestoreError, Restored};
pub use blobs::{ReadBlobError, UnpackError, WriteBlobError};
pub use collect::{CollectError, Collected};
pub use copy::{Copied, CopyError};
pub use database::DatabaseError;
pub use duty::{Duty, Outcome};
pub use history::{Cursor, Listing, Trees};
pub use identity::{Handshake, Identity, NewHandshake};
pub use ignoring::IgnoredBenchmark;
pub use location::Location;
pub use member::{Member, Role};
pub use naming::{NameError, Naming, names};
pub use profile::{GetProfileError, Profiles};
pub use project::{CreateProjectError, Project, Visibility};
pub use publisher::{NewPublisher, Publisher};
pub use ready::{Connections, NotReadyError};
pub use retention::{Expired, Retention};
pub use revision::Revision;
pub use shard::{Gathering, PutShardError, is_gathered};
pub use storage::{Shelved, Storage};
pub use store::{Comparable, Found, GetError, OpenError, Put, PutError, Store, Wanted};
pub use token::{NewToken, Token};
pub use upload::{NewUpload, PartError, PutPart, Upload};
