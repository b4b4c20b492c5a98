//! `invar export`.

use invar_core::wire::{csv, v1};

use crate::args::{Common, Export};
use crate::cmd::show::named_or_newest;
use crate::exit::{Code, Failure};
use crate::terminal::write;

/// Writes a run for other programs.
pub async fn export(arguments: Export, common: &Common) -> Result<Code, Failure> {
    let run = named_or_newest(arguments.run.as_deref(), common).await?;
    let text = if arguments.csv { csv::run(&run) } else { v1::write_pretty(&run) };
    write(arguments.output.as_deref(), &text)?;
    Ok(Code::Well)
}
