//! A store in a browser: the pages of one project, their machine-readable twins, badges, and a feed of changes.
//!
//! Reads and never writes: runs come into the store by `invar run` and `invar import`, which may work on it at the same
//! time. Verdicts, changes and how numbers read come from `invar-core`; here they are fetched, called and drawn.
//!
//! What always holds: every page can be read without JavaScript, and the scripts that make some of them handier come from
//! here; nothing that a run says reaches a page unescaped; the same address has a page, and by its ending `.json` or
//! `.csv`, what the page shows as data.
//!
//! [`router`] says what is where, [`app`] is what pages ask, `pages` has a file for each, `templates/` what they look like.
#![forbid(unsafe_code)]

mod address;
mod answer;
mod answers;
mod app;
mod asked;
mod assets;
mod baseline;
mod chart;
pub mod edge;
pub mod flame;
mod histories;
mod pages;
mod problem;
mod router;
pub mod team;
mod words;

pub use app::Site;
pub use router::{page_addresses, router};
