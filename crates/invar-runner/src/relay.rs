//! The command's output, line by line, for a caller who draws on the same terminal.
//!
//! Nothing waits here: the pipe is emptied whenever somebody asks, so no thread outlives the command.

use std::io::{self, ErrorKind, PipeReader, Read};
use std::process::Stdio;

use rustix::fs::{OFlags, fcntl_setfl};

/// Longer lines are passed on in pieces.
const LONGEST_LINE: usize = 64 << 10;

/// The reading end of a command's output and error output.
pub(crate) struct Relay {
    pipe: PipeReader,
    /// The line that has not ended yet.
    begun: Vec<u8>,
}

impl Relay {
    /// A relay, and both outputs of the command that it listens to.
    pub fn new() -> io::Result<(Relay, [Stdio; 2])> {
        let (reader, writer) = io::pipe()?;
        fcntl_setfl(&reader, OFlags::NONBLOCK)?;
        let outputs = [writer.try_clone()?.into(), writer.into()];
        Ok((Relay { pipe: reader, begun: Vec::new() }, outputs))
    }

    /// Says the lines that have ended since.
    pub fn follow(&mut self, on_line: &mut dyn FnMut(String)) {
        let mut bytes = [0; 16 << 10];
        loop {
            match self.pipe.read(&mut bytes) {
                Ok(0) => return,
                Ok(count) => self.take(&bytes[..count], on_line),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // There is nothing now; anything else would come again, and is the command's business.
                Err(_) => return,
            }
        }
    }

    /// Says what is left when the command has ended.
    pub fn end(mut self, on_line: &mut dyn FnMut(String)) {
        self.follow(on_line);
        if !self.begun.is_empty() {
            on_line(text(&self.begun));
        }
    }

    fn take(&mut self, bytes: &[u8], on_line: &mut dyn FnMut(String)) {
        for part in bytes.split_inclusive(|&byte| byte == b'\n') {
            self.begun.extend_from_slice(part);
            if part.ends_with(b"\n") || self.begun.len() >= LONGEST_LINE {
                on_line(text(&self.begun));
                self.begun.clear();
            }
        }
    }
}

/// The line without its end.
fn text(line: &[u8]) -> String {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line)).into_owned()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[track_caller]
    fn check(script: &str, expected: &[&str]) {
        let (mut relay, [output, error]) = Relay::new().unwrap();
        let mut command = Command::new("sh");
        let mut child = command.args(["-c", script]).stdout(output).stderr(error).spawn().unwrap();
        drop(command);
        let mut lines = Vec::new();
        while child.try_wait().unwrap().is_none() {
            relay.follow(&mut |line| lines.push(line));
        }
        relay.end(&mut |line| lines.push(line));
        assert_eq!(lines, expected);
    }

    #[test]
    fn both_outputs_are_told_in_order_and_to_the_end() {
        check("echo a; echo b >&2; printf 'c\\r\\nd'", &["a", "b", "c", "d"]);
        check("true", &[]);
    }

    #[test]
    fn an_output_larger_than_a_pipe_does_not_stop_the_command() {
        let line = "x".repeat(99);
        check(
            &format!("i=0; while [ $i -lt 3000 ]; do echo {line}; i=$((i+1)); done"),
            &vec![line.as_str(); 3000],
        );
    }
}
