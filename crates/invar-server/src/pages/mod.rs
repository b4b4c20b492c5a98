//! Pages, a file for each noun.

pub mod badge;
pub mod benchmark;
pub mod benchmarks;
pub mod commits;
pub mod compare;
pub mod feed;
pub mod frame;
pub mod health;
pub mod overview;
pub mod run;
pub mod runs;
pub mod theme;
