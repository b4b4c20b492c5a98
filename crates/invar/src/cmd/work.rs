//! `invar work`: what a team's server does from time to time, by a process that serves nobody.

use std::time::Duration;

use invar_server::team::Team;
use invar_server::team::collector::{self, Pace};
use invar_server::team::upload::Limits;

use super::serve::{log, process, stop};
use crate::args::{Common, Work};
use crate::exit::{Code, Failure};
use crate::place::Place;
use crate::terminal::say;

/// Works until it is told to stop.
pub async fn work(arguments: Work, common: &Common) -> Result<Code, Failure> {
    let mut place = Place::find(common)?;
    let data = arguments.of.data.or_else(|| common.store.clone());
    let store = place
        .store_that_a_server_has(data, &arguments.of.apart, "whose work is not said", "invar work")
        .await?;
    let stop =
        stop().map_err(|error| Failure::new(Code::Storage, "cannot wait for signals").because(&error))?;
    let team = Team::new(store.clone(), Limits::default(), log).called(process("invar work"));
    let pace = Pace {
        every: Duration::from_secs(arguments.every_seconds),
        grace: Duration::from_secs(arguments.older_than_seconds),
    };
    say("Working. Stop with Ctrl-C.\n");
    let working = tokio::spawn(collector::keep_collecting(team, pace));
    stop.await;
    // What it has not removed, another one will.
    working.abort();
    store.close().await;
    say("Stopped.\n");
    Ok(Code::Well)
}
