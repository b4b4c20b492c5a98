//! The command as a user runs it: real processes, real repositories, a real store. Only the measuring is make-believe.

mod apart;
#[path = "../../../invar-store/tests/engines/bucket.rs"]
mod bucket;
mod compare;
mod damage;
mod exchange;
mod flame;
#[path = "../../../invar-store/tests/engines/postgres.rs"]
mod postgres;
mod run;
mod sandbox;
mod serve;
#[path = "../../../invar-store/tests/engines/server.rs"]
mod server;
mod verify;
