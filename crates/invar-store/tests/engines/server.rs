//! A server for tests: started once in a process, below a temporary directory, by whoever needs it first, and gone with
//! the process, however that ends.
//!
//! One that is not installed is said once, and the tests that need it are skipped; under CI they fail.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Runs a program until this process ends: the shell's standard input ends with it, too. Signals that end a whole group of
/// processes do not end the shell, which has to remove the folder.
const UNTIL_WE_END: &str = r#"
    signal=$1 folder=$2; shift 2
    trap '' INT TERM HUP
    exec 3<&0
    "$@" > "$folder/log" 2>&1 < /dev/null 3<&- & program=$!
    { cat > /dev/null; kill -"$signal" "$program"; } <&3 &
    wait "$program"
    rm -rf "$folder"
"#;

/// A server that runs.
pub struct Server {
    /// Where it keeps everything.
    pub folder: PathBuf,
    /// Whose standard input keeps it running.
    shell: Child,
}

impl Server {
    /// Starts it; the signal is the one that ends it.
    pub fn start(program: &mut Command, folder: &Path, signal: &str) -> Server {
        let mut shell = Command::new("sh");
        shell.args(["-c", UNTIL_WE_END, "sh", signal]).arg(folder);
        shell.arg(program.get_program()).args(program.get_args());
        let shell = shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        Server { folder: folder.to_path_buf(), shell: shell.expect("there is a shell") }
    }

    /// Waits until it answers; what it said, if it ends before.
    pub fn wait_until(&mut self, answers: impl Fn() -> bool) -> Result<(), String> {
        let log = self.folder.join("log");
        let mut said = String::new();
        while !answers() {
            said = fs::read_to_string(&log).unwrap_or(said);
            if self.shell.try_wait().expect("the shell is ours").is_some() {
                return Err(said);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

/// A directory that the server removes when it ends.
pub fn folder(name: &str) -> PathBuf {
    tempfile::Builder::new().prefix(name).tempdir().expect("there is room").keep()
}

/// A name that no other test has.
pub fn unused(name: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    format!("{name}{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// What an engine is without: said once, by whoever needs it first.
pub fn missing(sentence: &str) {
    assert!(std::env::var_os("CI").is_none(), "{sentence}");
    // Around the harness, which would keep it to itself.
    std::io::stderr().write_all(format!("skipped: {sentence}\n").as_bytes()).expect("stderr can be written");
}
