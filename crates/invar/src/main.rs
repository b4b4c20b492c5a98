//! The command `invar`.
//!
//! `args` says what may be asked for, `cmd` does it with one function for each verb, `render` makes text of what came
//! out, `exit` numbers the ways to end. Printing happens here and in `terminal`.

mod args;
mod baseline;
mod cmd;
mod configuration;
mod exit;
mod identity;
mod imported;
mod interpreter;
mod pick;
mod place;
mod profiles;
mod progress;
mod remote;
mod render;
mod shard;
mod sources;
mod terminal;
mod tokens;

use std::process::ExitCode;

use args::Command;

fn main() -> ExitCode {
    let arguments = match configuration::arguments() {
        Ok(arguments) => arguments,
        Err(failure) => {
            terminal::say(&failure.text(terminal::stderr(args::Color::Auto)));
            return failure.code.into();
        }
    };
    let color = arguments.common.color;
    // Reading a large run takes a moment, and other pages should not wait for it; everything else does one thing at a time.
    let mut runtime = match arguments.command {
        Command::Serve(_) | Command::Work(_) => tokio::runtime::Builder::new_multi_thread(),
        _ => tokio::runtime::Builder::new_current_thread(),
    };
    let runtime = runtime.enable_all().build().expect("the system starts a thread and a timer");
    match runtime.block_on(cmd::act(arguments)) {
        Ok(code) => code.into(),
        Err(failure) => {
            terminal::say(&failure.text(terminal::stderr(color)));
            failure.code.into()
        }
    }
}
