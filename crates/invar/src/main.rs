//! The command `invar`.
//!
//! `args` says what may be asked for, `cmd` does it with one function for each verb, `render` makes text of what came
//! out, `exit` numbers the ways to end. Printing happens here and in `terminal`.

mod args;
mod baseline;
mod cmd;
mod exit;
mod interpreter;
mod pick;
mod place;
mod progress;
mod render;
mod terminal;

use std::process::ExitCode;

use clap::Parser;

use args::Arguments;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let color = arguments.common.color;
    match cmd::act(arguments).await {
        Ok(code) => code.into(),
        Err(failure) => {
            terminal::say(&failure.text(terminal::stderr(color)));
            failure.code.into()
        }
    }
}
