//! `invar export`.

use invar_core::wire::{csv, v1};

use crate::args::{Common, Export};
use crate::exit::{Code, Failure};
use crate::pick::named_or_newest;
use crate::place::Place;
use crate::terminal::write;

/// Writes a run for other programs.
pub async fn export(arguments: Export, common: &Common) -> Result<Code, Failure> {
    let place = Place::find(common)?;
    let store = place.existing_store().await?;
    let run = named_or_newest(arguments.run.as_deref(), &place, store.as_ref()).await?;
    let text = if arguments.csv { csv::run(&run) } else { v1::write_pretty(&run) };
    write(arguments.output.as_deref(), &text)?;
    Ok(Code::Well)
}
