//! The command as a user runs it: real processes, real repositories, a real store. Only the measuring is make-believe.

#[cfg(all(feature = "postgres", feature = "s3"))]
mod apart;
#[cfg(all(feature = "postgres", feature = "s3"))]
#[path = "../../../invar-store/tests/engines/bucket.rs"]
mod bucket;
mod compare;
mod configuration;
mod damage;
mod exchange;
#[cfg(all(feature = "postgres", feature = "s3"))]
mod faults;
mod flame;
#[cfg(all(feature = "postgres", feature = "s3"))]
#[path = "../../../invar-store/tests/engines/postgres.rs"]
mod postgres;
mod publishers;
mod run;
mod sandbox;
mod serve;
#[cfg(all(feature = "postgres", feature = "s3"))]
#[path = "../../../invar-store/tests/engines/server.rs"]
mod server;
mod team;
mod verify;
