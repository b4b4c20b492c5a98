//! Standard output and standard error: how wide, whether in colour, and that they may be closed.

use std::io::{self, ErrorKind, IsTerminal, Write};
use std::path::Path;

use anstream::{AutoStream, ColorChoice};

use crate::args::Color;
use crate::exit::{Code, Failure};
use crate::render::{Colour, View};

/// Columns where there is no terminal to ask: names in a log are whole, sentences can be read.
const WIDTH_OF_A_LOG: usize = 200;
/// Columns of a terminal that does not say.
const WIDTH_OF_A_TERMINAL: usize = 80;

/// How standard output shows things.
pub fn stdout(color: Color) -> View {
    let stdout = io::stdout();
    View {
        width: width(stdout.is_terminal(), rustix::termios::tcgetwinsize(&stdout).ok()),
        colour: colour(color, &stdout),
    }
}

/// How standard error shows things.
pub fn stderr(color: Color) -> View {
    let stderr = io::stderr();
    View {
        width: width(stderr.is_terminal(), rustix::termios::tcgetwinsize(&stderr).ok()),
        colour: colour(color, &stderr),
    }
}

fn width(is_terminal: bool, size: Option<rustix::termios::Winsize>) -> usize {
    let columns = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    let asked = size.map(|size| usize::from(size.ws_col)).filter(|&columns| columns > 0);
    match (is_terminal, asked) {
        (true, asked) => asked.or(columns).unwrap_or(WIDTH_OF_A_TERMINAL),
        (false, _) => columns.unwrap_or(WIDTH_OF_A_LOG),
    }
}

fn colour(color: Color, stream: &impl anstream::stream::RawStream) -> Colour {
    let wanted = match color {
        Color::Auto => AutoStream::choice(stream) != ColorChoice::Never,
        Color::Always => true,
        Color::Never => false,
    };
    if wanted { Colour::Ansi } else { Colour::Plain }
}

/// Writes to standard output. Who has closed it wants to hear no more, and that is no failure.
pub fn print(text: impl AsRef<[u8]>) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_ref()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::new(Code::Storage, "cannot write to standard output").because(&error))
        }
        _ => Ok(()),
    }
}

/// Writes to standard error, where that is possible.
pub fn say(text: &str) {
    drop(io::stderr().lock().write_all(text.as_bytes()));
}

/// Writes into a file, or to standard output where none is named.
pub fn write(output: Option<&Path>, text: impl AsRef<[u8]>) -> Result<(), Failure> {
    match output {
        None => print(text),
        Some(path) => std::fs::write(path, text).map_err(|error| {
            Failure::new(Code::Storage, format!("cannot write {}", path.display())).because(&error)
        }),
    }
}
