//! `invar login`.

use std::io::{BufRead, IsTerminal};

use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

use crate::args::{Common, Login};
use crate::exit::{Code, Failure};
use crate::place::Place;
use crate::remote::{Remote, address};
use crate::terminal::{print, say};
use crate::tokens;

/// Keeps a token, once the server has said what it is worth.
pub async fn login(arguments: Login, common: &Common) -> Result<Code, Failure> {
    let url = match arguments.url {
        Some(url) => url.trim_end_matches('/').to_string(),
        None => address(&Place::find(common)?)?,
    };
    let token = read_secret("Token: ")
        .map_err(|error| Failure::new(Code::Usage, "no token can be read").because(&error))?;
    let token = token.trim();
    if token.is_empty() || token.contains(char::is_whitespace) {
        return Err(
            Failure::new(Code::Usage, "that is no token").help("a token is one word that starts with inv_")
        );
    }
    let remote = Remote::new(url, String::new(), Some(token.to_string()))?;
    let (project, scopes) = remote.whoami().await?;
    let path = tokens::keep(&remote.url, &project, token)
        .map_err(|error| Failure::new(Code::Storage, "the token cannot be kept").because(&error))?;
    print(format!("  Kept in {}: a token for {project} that permits {scopes}.\n", path.display()))?;
    Ok(Code::Well)
}

/// A line of standard input; of a terminal without showing it.
pub fn read_secret(prompt: &str) -> std::io::Result<String> {
    let stdin = std::io::stdin();
    let mut line = String::new();
    if !stdin.is_terminal() {
        stdin.lock().read_line(&mut line)?;
        return Ok(line);
    }
    say(prompt);
    let shown = tcgetattr(&stdin)?;
    let mut hidden = shown.clone();
    hidden.local_modes.remove(LocalModes::ECHO);
    tcsetattr(&stdin, OptionalActions::Flush, &hidden)?;
    let read = stdin.lock().read_line(&mut line);
    tcsetattr(&stdin, OptionalActions::Now, &shown)?;
    say("\n");
    read.map(|_| line)
}
