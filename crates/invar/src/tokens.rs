//! Tokens of servers, kept for the user: a line for each server and project, in a file that nobody else may read.

use std::fs;
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

/// Where they are kept; `None` where there is no home.
pub fn path() -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let config = set("XDG_CONFIG_HOME").or_else(|| Some(set("HOME")?.join(".config")))?;
    Some(config.join("invar").join("tokens"))
}

/// The token for a project of a server.
pub fn find(url: &str, project: &str) -> io::Result<Option<String>> {
    let text = text()?;
    let found = lines(&text).find(|line| line[0] == url && line[1].eq_ignore_ascii_case(project));
    Ok(found.map(|line| line[2].to_string()))
}

/// Keeps a token instead of the one that was there.
pub fn keep(url: &str, project: &str, token: &str) -> io::Result<PathBuf> {
    let path = path()
        .ok_or_else(|| io::Error::new(ErrorKind::NotFound, "neither HOME nor XDG_CONFIG_HOME is set"))?;
    let old = text()?;
    let others = lines(&old).filter(|line| line[0] != url || !line[1].eq_ignore_ascii_case(project));
    let mut new: String = others.map(|line| format!("{}\n", line.join(" "))).collect();
    new.push_str(&format!("{url} {project} {token}\n"));
    let folder = path.parent().expect("a file is in a folder");
    fs::create_dir_all(folder)?;
    // Beside, and renamed: a full disk shall not take the tokens that are there.
    let beside = folder.join(format!("tokens.{}", std::process::id()));
    let written =
        fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside).and_then(|mut file| {
            file.write_all(new.as_bytes())?;
            file.sync_all()
        });
    let renamed = written.and_then(|()| fs::rename(&beside, &path));
    if renamed.is_err() {
        drop(fs::remove_file(&beside));
    }
    renamed.map(|()| path)
}

fn text() -> io::Result<String> {
    match path().map(fs::read_to_string) {
        None => Ok(String::new()),
        Some(Err(error)) if error.kind() == ErrorKind::NotFound => Ok(String::new()),
        Some(text) => text,
    }
}

fn lines(text: &str) -> impl Iterator<Item = [&str; 3]> {
    text.lines().filter_map(|line| line.split_whitespace().collect::<Vec<_>>().try_into().ok())
}
