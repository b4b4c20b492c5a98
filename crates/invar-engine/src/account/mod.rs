//! Who pays: the events of a region by call path.

pub mod charges;
mod counts;
pub mod exits;
pub mod ledger;
mod paths;
mod python;
pub mod rows;
