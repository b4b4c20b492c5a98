//! `invar push`.

use invar_core::run::Run;
use invar_store::Store;

use crate::args::{Common, Push};
use crate::exit::{Code, Failure};
use crate::pick::named_or_newest;
use crate::place::Place;
use crate::remote::{Remote, Sent};
use crate::render::one_line;
use crate::terminal::print;

/// Sends stored runs to the server.
pub async fn push(arguments: Push, common: &Common) -> Result<Code, Failure> {
    let place = Place::find(common)?;
    let remote = Remote::find(&place)?;
    let store = place.existing_store().await?;
    let mut runs = Vec::new();
    if let (true, Some(store)) = (arguments.all, &store) {
        let mut all = store.list(u32::MAX).await.map_err(|error| place.database(&error))?;
        // The oldest first, as they were measured.
        all.reverse();
        for summary in all {
            runs.push(store.get(&summary.id).await.map_err(|error| Failure::of(Code::Storage, &error))?);
        }
    } else if arguments.runs.is_empty() {
        runs.push(named_or_newest(None, &place, store.as_ref()).await?);
    }
    for name in &arguments.runs {
        runs.push(named_or_newest(Some(name), &place, store.as_ref()).await?);
    }
    for run in &runs {
        let sent = send(run, store.as_ref(), &remote).await?;
        print(format!("  {}\n", sentence(run, &sent, &remote)))?;
    }
    Ok(Code::Well)
}

/// Sends a run with the profiles that are stored of it.
pub async fn send(run: &Run, store: Option<&Store>, remote: &Remote) -> Result<Sent, Failure> {
    let profiles = match store {
        Some(store) => store.profiles(&run.id).await.map_err(|error| Failure::of(Code::Storage, &error))?,
        None => Default::default(),
    };
    remote.push(run, &profiles).await
}

/// What became of it.
pub fn sentence(run: &Run, sent: &Sent, remote: &Remote) -> String {
    let shard = run.shard.clone();
    let (run, project) =
        (format!("run {} ({})", run.short_id(), one_line(&run.title())), one_line(&remote.project));
    let part = match (&shard, sent.shards_there) {
        (Some(shard), Some(there)) => format!(": {}, of which {there} are there", shard.shown()),
        _ => String::new(),
    };
    match sent.was_there {
        false => format!("Sent {run} to {project} at {}{part}.", remote.url),
        true => format!("{project} at {} has {run} already{part}.", remote.url),
    }
}
