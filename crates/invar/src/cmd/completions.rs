//! `invar completions`.

use clap::CommandFactory;

use crate::args::{Arguments, Completions};
use crate::exit::{Code, Failure};
use crate::terminal::print;

/// Writes completions for a shell.
pub fn completions(arguments: Completions) -> Result<Code, Failure> {
    let mut text = Vec::new();
    clap_complete::generate(arguments.shell, &mut Arguments::command(), "invar", &mut text);
    print(text)?;
    Ok(Code::Well)
}
