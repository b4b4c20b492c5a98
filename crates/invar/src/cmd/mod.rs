//! What the command does, a file for each verb.

mod admin;
mod compare;
mod completions;
mod doctor;
mod export;
mod flame;
mod import;
mod list;
mod login;
mod pull;
mod push;
mod report;
mod run;
mod serve;
mod show;
mod sign_in;
mod verify;
mod work;

use crate::args::{Arguments, Command};
use crate::exit::{Code, Failure};

/// Does what was asked for, and says how to end.
pub async fn act(Arguments { command, common }: Arguments) -> Result<Code, Failure> {
    match command {
        Command::Run(arguments) => run::run(arguments, &common).await,
        Command::Verify(arguments) => verify::verify(arguments, &common).await,
        Command::Compare(arguments) => compare::compare(arguments, &common).await,
        Command::Report(arguments) => report::report(arguments, &common).await,
        Command::List(arguments) => list::list(arguments, &common).await,
        Command::Show(arguments) => show::show(arguments, &common).await,
        Command::Flame(arguments) => flame::flame(arguments, &common).await,
        Command::Export(arguments) => export::export(arguments, &common).await,
        Command::Import(arguments) => import::import(arguments, &common).await,
        Command::Login(arguments) => login::login(arguments, &common).await,
        Command::Push(arguments) => push::push(arguments, &common).await,
        Command::Pull(arguments) => pull::pull(arguments, &common).await,
        Command::Admin(arguments) => admin::admin(arguments, &common).await,
        Command::Doctor(arguments) => doctor::doctor(arguments, &common),
        Command::Serve(arguments) => serve::serve(*arguments, &common).await,
        Command::Work(arguments) => work::work(arguments, &common).await,
        Command::Completions(arguments) => completions::completions(arguments),
    }
}
