//! Who pays: the events of a region by call path.

pub mod charges;
mod exits;
pub mod ledger;
mod paths;
mod rows;
