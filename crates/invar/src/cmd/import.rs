//! `invar import`.

use std::io::{ErrorKind, Read};
use std::path::Path;

use invar_core::number::plural;
use invar_core::run::{Run, Summary};
use invar_core::wire;
use invar_store::{Profiles, Put, PutError, Store};

use crate::args::{Common, Import};
use crate::exit::{Code, Failure};
use crate::pick::{read_bytes, read_file};
use crate::place::Place;
use crate::render::one_line;
use crate::terminal::print;

/// Keeps runs that were exported elsewhere. All files are read before the first is kept.
pub async fn import(arguments: Import, common: &Common) -> Result<Code, Failure> {
    let place = Place::find(common)?;
    let runs = arguments.files.iter().map(|path| read(path)).collect::<Result<Vec<Run>, Failure>>()?;
    let store = place.store().await?;
    let mut text = String::new();
    for run in &runs {
        let put = keep(run, &Profiles::new(), &place, &store).await?;
        let word = match put {
            Put::Stored => "Kept",
            Put::AlreadyThere => "Already there:",
        };
        let measured = plural(run.measurements.len(), "benchmark");
        text.push_str(&format!("  {word} run {} ({}, {measured})\n", run.short_id(), one_line(&run.title())));
    }
    let summaries: Vec<Summary> = runs.iter().map(Summary::of).collect();
    print(&if arguments.json { wire::list::write(&summaries) } else { text })?;
    Ok(Code::Well)
}

fn read(path: &Path) -> Result<Run, Failure> {
    if path != Path::new("-") {
        return read_file(path);
    }
    let mut bytes = Vec::new();
    match std::io::stdin().lock().read_to_end(&mut bytes) {
        Ok(_) => read_bytes(bytes, "standard input"),
        Err(error) => Err(Failure::new(Code::Storage, "cannot read standard input").because(&error)),
    }
}

/// Puts a run with its profiles into the store.
pub async fn keep(run: &Run, profiles: &Profiles, place: &Place, store: &Store) -> Result<Put, Failure> {
    store.put_with(run, profiles).await.map_err(|error| match &error {
        PutError::Database(error) => place.database(error),
        PutError::Taken { .. } => Failure::of(Code::Usage, &error),
        PutError::Blob(blob) => {
            let full = matches!(
                blob.kind(),
                Some(ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge)
            );
            let help = "keep runs elsewhere with --store DIRECTORY or the variable INVAR_STORE";
            let help = if full { format!("make room, or {help}") } else { help.to_string() };
            Failure::of(Code::Storage, &error).help(help)
        }
        _ => Failure::of(Code::Storage, &error),
    })
}
