//! Pages, a file for each noun.

pub mod badge;
pub mod benchmark;
pub mod benchmarks;
pub mod commit;
pub mod commits;
pub mod compare;
pub mod comparison;
pub mod feed;
pub mod flame;
pub mod frame;
pub mod health;
mod overlay;
pub mod overview;
pub mod pulls;
pub mod run;
pub mod runs;
pub mod search;
pub mod theme;
