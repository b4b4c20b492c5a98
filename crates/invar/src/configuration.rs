//! The configuration file of a server: what the options of `invar serve` say, by the same names, in TOML. Of it `invar work` and
//! `invar admin` take which store is meant.
//!
//! What is in the file goes before what is so anyway, a variable before the file, and the command line before both. Every
//! value is read as it would be on the command line, and what the file says that means nothing there is an error.

use std::path::Path;

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command, CommandFactory, FromArgMatches};
use invar_core::nearest::nearest;
use toml::{Table, Value};

use crate::args::{Arguments, Command as Verb, OfServer};
use crate::exit::{Code, Failure};
use crate::render::one_line;

/// The command whose options can be in the file.
const SERVE: &str = "serve";
/// What cannot be in it: where it is.
const CONFIG: &str = "config";

/// An option with what the file says of it.
type Said = (String, Vec<String>);

/// What was asked for, with what the configuration file says. Ends the process where the command line cannot be read, or where
/// help was asked for.
pub fn arguments() -> Result<Arguments, Failure> {
    of(Arguments::command(), &std::env::args_os().collect::<Vec<_>>())
}

fn of(command: Command, words: &[std::ffi::OsString]) -> Result<Arguments, Failure> {
    let (mut matches, mut arguments) = parsed(command.clone(), words);
    if let Some((verb, server)) = of_server(&mut arguments)
        && let Some(path) = &server.config
    {
        let said = read(path, &command)?;
        (matches, arguments) = parsed(with(command, verb, said), words);
    }
    if let Some((verb, server)) = of_server(&mut arguments)
        && let Some(matches) = matches.subcommand_matches(verb)
    {
        one_store(server, matches)?;
    }
    Ok(arguments)
}

/// The command, where it is one that has to do with a server, and what it says of that.
fn of_server(arguments: &mut Arguments) -> Option<(&'static str, &mut OfServer)> {
    match &mut arguments.command {
        Verb::Serve(serve) => Some((SERVE, &mut serve.of)),
        Verb::Work(work) => Some(("work", &mut work.of)),
        Verb::Admin(admin) => Some(("admin", &mut admin.of)),
        _ => None,
    }
}

fn parsed(command: Command, words: &[std::ffi::OsString]) -> (ArgMatches, Arguments) {
    let matches = command.get_matches_from(words);
    match Arguments::from_arg_matches(&matches) {
        Ok(arguments) => (matches, arguments),
        Err(error) => error.exit(),
    }
}

/// What a file says, in its order.
fn read(path: &Path, command: &Command) -> Result<Vec<Said>, Failure> {
    let cannot = |code| Failure::new(code, format!("cannot use {}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| cannot(Code::Storage).because(&error))?;
    entries(&text, command).map_err(|why| cannot(Code::Usage).since(why))
}

/// The entries of a text. The error goes on from "cannot use FILE: ".
fn entries(text: &str, command: &Command) -> Result<Vec<Said>, String> {
    let table: Table = text.parse().map_err(|error: toml::de::Error| {
        let line = error.span().map(|span| text[..span.start].lines().count().max(1));
        let line = line.map(|line| format!(" (line {line})")).unwrap_or_default();
        format!("it is not TOML: {}{line}", one_line(error.message()))
    })?;
    let serve = command.find_subcommand(SERVE).map(|serve| serve.get_arguments().collect());
    let serve: Vec<&Arg> = serve.unwrap_or_default();
    let options = || serve.iter().filter_map(|arg| Some((arg.get_long()?, *arg)));
    let known: Vec<&str> = options().map(|(name, _)| name).filter(|name| *name != CONFIG).collect();
    let mut said = Vec::new();
    for (key, value) in &table {
        let option = options().find(|(name, _)| *name == key && *name != CONFIG);
        let Some((_, arg)) = option else {
            // As it would be written in a program.
            let meant = nearest(&key.replace('_', "-"), &known);
            let meant = meant.map(|meant| format!("; did you mean `{meant}`?")).unwrap_or_default();
            return Err(format!("it has no setting `{}`{meant}", one_line(key)));
        };
        let values = values(value, matches!(arg.get_action(), ArgAction::Append));
        let values = values.map_err(|why| format!("`{key}` {why}"))?;
        for value in &values {
            is_understood(key, value, arg)?;
        }
        said.push((arg.get_id().to_string(), values));
    }
    Ok(said)
}

/// The words that a value stands for.
fn values(value: &Value, several: bool) -> Result<Vec<String>, String> {
    let one = |value: &Value| match value {
        Value::String(text) => Ok(text.clone()),
        Value::Integer(number) => Ok(number.to_string()),
        Value::Boolean(truth) => Ok(truth.to_string()),
        _ => Err("is neither a text, nor a number, nor true or false".to_string()),
    };
    match value {
        Value::Array(values) if several => values.iter().map(one).collect(),
        Value::Array(_) => Err("is one value, and no list".to_string()),
        value => Ok(vec![one(value)?]),
    }
}

/// Would the command line take this value?
fn is_understood(key: &str, value: &str, arg: &Arg) -> Result<(), String> {
    let alone = Command::new(SERVE).arg(arg.clone());
    let tried = alone.try_get_matches_from([SERVE.to_string(), format!("--{key}={value}")]);
    tried.map(drop).map_err(|error| {
        let text = error.to_string();
        let line = text.lines().next().unwrap_or_default();
        format!("`{key}`: {}", line.strip_prefix("error: ").unwrap_or(line))
    })
}

/// The command, of which `verb` has it by default what a file says; as far as it has such options.
fn with(command: Command, verb: &str, said: Vec<Said>) -> Command {
    command.mut_subcommand(verb, |verb| {
        said.into_iter().fold(verb, |verb, (id, values)| {
            if verb.get_arguments().all(|arg| arg.get_id() != &*id) {
                return verb;
            }
            // They are there until the process ends.
            let values: Vec<&'static str> = values.into_iter().map(|value| &*value.leak()).collect();
            verb.mut_arg(id, |arg| arg.default_values(values))
        })
    })
}

/// Of two ways to say which store the one that goes before the other.
fn one_store(server: &mut OfServer, matches: &ArgMatches) -> Result<(), Failure> {
    let rank = |id: &str| match matches.value_source(id) {
        Some(ValueSource::CommandLine) => 3,
        Some(ValueSource::EnvVariable) => 2,
        Some(_) => 1,
        None => 0,
    };
    let (data, database, blobs) = (rank("data"), rank("database"), rank("blobs"));
    if data == 0 {
        return Ok(());
    }
    if data == database || (data > database && data == blobs) {
        return Err(Failure::new(Code::Usage, "the store is said to be in two places")
            .help("say either --data, for one in a directory, or --database and --blobs"));
    }
    if data > database {
        (server.apart.database, server.apart.blobs) = (None, None);
    } else {
        server.data = None;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries_of(text: &str) -> Result<Vec<Said>, String> {
        entries(text, &Arguments::command())
    }

    #[test]
    fn a_file_says_what_options_say() {
        let text = "listen = \"0.0.0.0:8700\"\nteam = true\nrequests-per-minute = 600\npublic-url = [\"https://a.example\", \"https://b.example\"]\n";
        let mut said = entries_of(text).unwrap();
        said.sort();
        let one = |id: &str, values: &[&str]| {
            (id.to_string(), values.iter().map(|value| value.to_string()).collect())
        };
        assert_eq!(
            said,
            [
                one("listen", &["0.0.0.0:8700"]),
                one("public_url", &["https://a.example", "https://b.example"]),
                one("requests_per_minute", &["600"]),
                one("team", &["true"]),
            ]
        );
    }

    #[test]
    fn every_option_can_be_in_the_file_but_where_it_is() {
        let command = Arguments::command();
        let serve = command.find_subcommand(SERVE).unwrap();
        for name in serve.get_arguments().filter_map(Arg::get_long) {
            let understood = entries_of(&format!("{name} = {{}}")).unwrap_err();
            if name == CONFIG {
                assert!(understood.starts_with("it has no setting `config`"), "{understood}");
            } else {
                assert_eq!(
                    understood,
                    format!("`{name}` is neither a text, nor a number, nor true or false")
                );
            }
        }
    }

    #[test]
    fn the_file_that_is_delivered_is_understood_with_what_it_leaves_out() {
        let delivered = include_str!("../../../deploy/serve.toml");
        assert!(entries_of(delivered).unwrap().len() >= 5);
        let whole: Vec<&str> = delivered.lines().skip(1).map(|line| line.trim_start_matches("# ")).collect();
        assert!(entries_of(&whole.join("\n")).unwrap().len() >= 11);
    }

    #[test]
    fn what_means_nothing_is_said_with_what_was_meant() {
        let check = |text: &str, expected: &str| assert_eq!(entries_of(text).unwrap_err(), expected);
        check("lisen = 1", "it has no setting `lisen`; did you mean `listen`?");
        check("public_url = 1", "it has no setting `public_url`; did you mean `public-url`?");
        check("[server]\nurl = 1", "it has no setting `server`");
        check("color = \"never\"", "it has no setting `color`");
        check("listen = [\"127.0.0.1:1\"]", "`listen` is one value, and no list");
        check(
            "\nlisten = \"nowhere\"",
            "`listen`: invalid value 'nowhere' for '--listen <ADDRESS:PORT>': invalid socket address syntax",
        );
        check(
            "team = \"maybe\"",
            "`team`: invalid value 'maybe' for '--team[=<BOOL>]': value was not a boolean",
        );
        check(
            "requests-per-minute = -1",
            "`requests-per-minute`: invalid value '-1' for '--requests-per-minute <NUMBER>': -1 is not in 0..=4294967295",
        );
        check("a = 1\nlisten", "it is not TOML: key with no value, expected `=` (line 2)");
    }
}
