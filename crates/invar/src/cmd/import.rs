//! `invar import`.

use std::io::{ErrorKind, Read};
use std::path::Path;

use invar_core::number::plural;
use invar_core::run::{Run, Summary};
use invar_core::wire;
use invar_store::{CopyError, Profiles, Put, PutError, Store};

use crate::args::{Common, Import};
use crate::exit::{Code, Failure};
use crate::pick::{read_bytes, read_file};
use crate::place::Place;
use crate::render::one_line;
use crate::terminal::print;

/// Keeps runs that were exported elsewhere, and everything of other stores. All files are read before the first is kept.
pub async fn import(arguments: Import, common: &Common) -> Result<Code, Failure> {
    let place = Place::find(common)?;
    let (directories, files): (Vec<_>, Vec<_>) = arguments.files.iter().partition(|path| path.is_dir());
    if let (Some(directory), true) = (directories.first(), arguments.json) {
        let sentence = format!("{} is a directory, and --json lists the runs of files", directory.display());
        return Err(Failure::new(Code::Usage, sentence));
    }
    let runs = files.into_iter().map(|path| read(path)).collect::<Result<Vec<Run>, Failure>>()?;
    let mut stores = Vec::new();
    for directory in directories {
        stores.push((directory, other(directory).await?));
    }
    let store = place.store_apart(&arguments.apart).await?;
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
    let mut lost = Vec::new();
    for (directory, from) in stores {
        let copied = store.copy_from(&from).await;
        let copied = copied.map_err(|error| not_copied(&error, &place))?;
        text.push_str(&format!(
            "  Kept everything of {}: {}, {} already there, {}\n",
            directory.display(),
            plural(copied.stored, "new run"),
            plural(copied.already_there, "run"),
            plural(copied.projects, "new project")
        ));
        lost.extend(copied.lost.into_values());
        from.close().await;
    }
    store.close().await;
    let summaries: Vec<Summary> = runs.iter().map(Summary::of).collect();
    print(&if arguments.json { wire::list::write(&summaries) } else { text })?;
    if lost.is_empty() {
        return Ok(Code::Well);
    }
    let failure =
        Failure::new(Code::Storage, format!("of {} not everything could be read", plural(lost.len(), "run")));
    Err(lost.into_iter().take(5).fold(failure, Failure::help))
}

/// The store in a directory that is not this one's.
async fn other(directory: &Path) -> Result<Store, Failure> {
    let cannot = |error: &dyn std::error::Error| Failure::of(Code::Storage, error);
    let store = Store::open_existing(directory).await.map_err(|error| cannot(&error))?;
    store.ok_or_else(|| Failure::new(Code::Usage, format!("there is no store in {}", directory.display())))
}

fn not_copied(error: &CopyError, place: &Place) -> Failure {
    match error {
        CopyError::Put(error) => not_kept(error, place),
        CopyError::Database(error) => place.database(error),
        _ => Failure::of(Code::Storage, error),
    }
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
    store.put_with(run, profiles).await.map_err(|error| not_kept(&error, place))
}

fn not_kept(error: &PutError, place: &Place) -> Failure {
    match error {
        PutError::Database(error) => place.database(error),
        PutError::Taken { .. } => Failure::of(Code::Usage, error),
        PutError::Blob(blob) => {
            let full = matches!(
                blob.kind(),
                Some(ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge)
            );
            let help = "keep runs elsewhere with --store DIRECTORY or the variable INVAR_STORE";
            let help = if full { format!("make room, or {help}") } else { help.to_string() };
            Failure::of(Code::Storage, error).help(help)
        }
        _ => Failure::of(Code::Storage, error),
    }
}
