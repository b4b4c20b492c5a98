//! Starting the command, and waiting for it. What it measures is `progress`'s business.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use invar_core::nearest::nearest;
use invar_core::run::Exit;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::relay::Relay;
use crate::run_directory::{MARK, VARIABLE};
use crate::signals::{self, Watch};
use crate::{Output, RunError};

/// How a command ended.
pub(crate) struct Ended {
    pub exit: Exit,
    /// The last signal that asked the runner to end meanwhile.
    pub interrupted_by: Option<i32>,
}

/// Starts the command, with its output where [`Output`] says, and with these variables beside its own.
pub(crate) fn start(
    command: &[OsString],
    directory: &Path,
    run_directory: &Path,
    output: Output,
    variables: &[(&str, String)],
) -> Result<(Child, Option<Relay>), RunError> {
    let (program, arguments) = command.split_first().ok_or(RunError::EmptyCommand)?;
    let start = |source| RunError::Start { command: lossy(program), source };
    if !directory.is_dir() {
        return Err(RunError::NoDirectory { path: directory.to_path_buf() });
    }
    let (relay, [output, error]) = outputs(output).map_err(start)?;
    let spawned = Command::new(program)
        .args(arguments)
        .current_dir(directory)
        .envs(variables.iter().map(|(name, value)| (*name, value)))
        .env(VARIABLE, run_directory)
        .env_remove(MARK)
        .stdout(output)
        .stderr(error)
        .spawn();
    let child = spawned.map_err(|source| explain(program, directory, source))?;
    Ok((child, relay))
}

fn outputs(output: Output) -> io::Result<(Option<Relay>, [Stdio; 2])> {
    match output {
        Output::ErrorOutput => {
            let ours = io::stderr().as_fd().try_clone_to_owned()?;
            Ok((None, [Stdio::from(ours), Stdio::inherit()]))
        }
        Output::Told => Relay::new().map(|(relay, outputs)| (Some(relay), outputs)),
    }
}

/// Waits for the command, calling `meanwhile` again and again, and passes signals on to it.
pub(crate) fn wait(child: &mut Child, watch: &Watch, mut meanwhile: impl FnMut()) -> io::Result<Ended> {
    // Short at first, so that a short command is not waited for.
    const SHORTEST: Duration = Duration::from_millis(1);
    const LONGEST: Duration = Duration::from_millis(50);
    let (mut pause, mut interrupted_by) = (SHORTEST, None);
    let end = End::of(child);
    loop {
        let status = child.try_wait()?;
        if let Some(signal) = watch.take() {
            // A second Ctrl-C is passed on in any case: who presses it means it.
            let heard = interrupted_by.is_none() && signals::comes_from_the_terminal(signal);
            interrupted_by = Some(signal);
            if status.is_none() && !heard {
                // It may have ended since; then there is nothing to tell it.
                let _ = rustix::process::kill_process(Pid::from_child(child), signals::typed(signal));
            }
        }
        meanwhile();
        if let Some(status) = status {
            return Ok(Ended { exit: exit(status), interrupted_by });
        }
        end.wait_for(pause);
        pause = (pause * 2).min(LONGEST);
    }
}

/// The end of a child, to be waited for.
struct End(Option<OwnedFd>);

impl End {
    fn of(child: &Child) -> End {
        // A kernel before 5.3, and some sandboxes, know of no such descriptor.
        End(pidfd_open(Pid::from_child(child), PidfdFlags::empty()).ok())
    }

    /// Waits no longer than so long, nor longer than until the child ends or a signal comes.
    fn wait_for(&self, longest: Duration) {
        let Some(child) = &self.0 else { return std::thread::sleep(longest) };
        let longest = Timespec { tv_sec: longest.as_secs() as i64, tv_nsec: longest.subsec_nanos().into() };
        // Whatever comes of it, whoever waits looks again.
        let _ = poll(&mut [PollFd::new(child, PollFlags::IN)], Some(&longest));
    }
}

fn exit(status: ExitStatus) -> Exit {
    match (status.code(), status.signal()) {
        (Some(code), _) => Exit::Status(code),
        (None, signal) => Exit::Signal(signal.expect("a process ends by a status or a signal")),
    }
}

/// Why a command could not be started, in words that lead on.
fn explain(program: &OsStr, directory: &Path, source: io::Error) -> RunError {
    let command = lossy(program);
    let found = candidates(program, directory).into_iter().find(|path| path.exists());
    match (source.kind(), found) {
        (io::ErrorKind::NotFound, None) => RunError::NotFound { nearest: nearest_program(&command), command },
        (io::ErrorKind::NotFound, Some(path)) => RunError::NoInterpreter { path },
        (io::ErrorKind::PermissionDenied, Some(path)) => RunError::NotExecutable { path },
        _ => RunError::Start { command, source },
    }
}

/// Where a program of this name may be.
fn candidates(program: &OsStr, directory: &Path) -> Vec<PathBuf> {
    if program.as_encoded_bytes().contains(&b'/') {
        return vec![directory.join(program)];
    }
    search_path().iter().map(|entry| directory.join(entry).join(program)).collect()
}

fn search_path() -> Vec<PathBuf> {
    std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect()).unwrap_or_default()
}

/// The program whose name is nearest, of those that may be executed.
fn nearest_program(command: &str) -> Option<String> {
    if command.contains('/') {
        return None;
    }
    let mut names: Vec<String> = search_path()
        .iter()
        .filter_map(|directory| std::fs::read_dir(directory).ok())
        .flatten()
        .filter_map(|entry| entry.ok())
        .filter(|entry| is_executable(&entry.path()))
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    // Of two that are as near the first is taken.
    names.sort();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    nearest(command, &names).map(str::to_string)
}

fn is_executable(path: &Path) -> bool {
    std::fs::metadata(path)
        .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

fn lossy(text: &OsStr) -> String {
    text.to_string_lossy().into_owned()
}
