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
mod app;
mod asked;
mod assets;
mod baseline;
mod chart;
pub mod flame;
mod pages;
mod problem;
mod router;
pub mod team;
mod words;

use std::future::Future;
use std::io;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::oneshot;

pub use app::Site;
pub use router::{page_addresses, router};

/// How long requests that are under way may take after the server has been told to stop.
const LAST_REQUESTS: Duration = Duration::from_secs(10);

/// Answers requests until `stop` is ready, then finishes those under way.
pub async fn serve(
    listener: TcpListener,
    router: axum::Router,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let (told, stopping) = oneshot::channel();
    let stop = async move {
        stop.await;
        // Nobody listens any more if the server has failed.
        let _ = told.send(());
    };
    let server = axum::serve(listener, router).with_graceful_shutdown(stop);
    tokio::select! {
        ended = server.into_future() => ended,
        () = async {
            // A client that does not read its answer would keep the server for ever.
            let _ = stopping.await;
            tokio::time::sleep(LAST_REQUESTS).await;
        } => Ok(()),
    }
}
