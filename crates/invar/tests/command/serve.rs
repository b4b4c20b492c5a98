//! `invar serve`, as a process that is asked over the network and told to stop.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, ChildStdout, Command, Stdio};

use crate::sandbox::{SUITE, Said, Sandbox};

/// A server that ends with the test.
pub struct Server {
    /// Gone when its end has been waited for.
    child: Option<Child>,
    stdout: BufReader<ChildStdout>,
    /// Where it listens.
    pub address: String,
}

impl Server {
    /// Starts one, and reads where it listens.
    pub fn start(sandbox: &Sandbox, arguments: &[&str]) -> Server {
        let mut command = sandbox.command(env!("CARGO_BIN_EXE_invar"));
        command.arg("serve").args(["--listen", "127.0.0.1:0"]).args(arguments);
        Server::of(command)
    }

    /// One that is started like this.
    pub fn of(mut command: Command) -> Server {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("http://").and_then(|line| line.strip_suffix('/'));
        let address = address.unwrap_or_else(|| panic!("it says where it listens: {line:?}")).to_string();
        Server { child: Some(child), stdout, address }
    }

    /// Asks for an address: the first line of the answer, and all of it.
    pub fn get(&self, path: &str) -> (String, String) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.address);
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        (answer.lines().next().unwrap_or_default().to_string(), answer)
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// Kills it, at whatever instruction it is.
    pub fn kill(self) {
        drop(self);
    }

    /// Sends a signal.
    pub fn signal(&self, name: &str) {
        let status =
            Command::new("kill").args([&format!("-{name}"), &self.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// Waits for its end.
    pub fn end(mut self, sandbox: &Sandbox) -> Said {
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "");
        Said::of(sandbox, self.child.take().unwrap().wait_with_output().unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself.
            drop(child.kill());
            drop(child.wait());
        }
    }
}

#[test]
fn a_checkout_shows_its_history_while_it_is_measured_and_stops_when_told() {
    let sandbox = Sandbox::repository();
    sandbox.commit("first");
    sandbox.run(&[], &SUITE);
    let server = Server::start(&sandbox, &[]);
    let (status, overview) = server.get("/");
    assert_eq!(status, "HTTP/1.1 200 OK");
    assert!(overview.contains("3 benchmarks measured, nothing to compare with yet"), "{overview}");
    assert!(overview.contains("content-security-policy: default-src 'none'"), "{overview}");

    sandbox.commit("second");
    sandbox.run(&[], &[("tests/test_fibo.py::big", 2_400_000), SUITE[1], SUITE[2]]);
    let (_, overview) = server.get("/");
    assert!(
        overview.contains("degrades performance by 100.0 %")
            || overview.contains("degrade performance by 100.0 %"),
        "{overview}"
    );
    let (status, history) = server.get("/b/tests/test_fibo.py::big.json");
    assert_eq!(status, "HTTP/1.1 200 OK");
    assert!(history.contains("\"verdict\":\"regressed\""), "{history}");

    server.signal("TERM");
    let said = server.end(&sandbox);
    assert_eq!((said.stderr.as_str(), said.status), ("Showing .invar. Stop with Ctrl-C.\nStopped.\n", 0));
}

#[test]
fn a_server_stops_at_ctrl_c_though_a_connection_is_open() {
    let sandbox = Sandbox::empty();
    let server = Server::start(&sandbox, &["--data", "somewhere"]);
    let idle = TcpStream::connect(&server.address).unwrap();
    let (status, overview) = server.get("/");
    assert_eq!(status, "HTTP/1.1 200 OK");
    assert!(overview.contains("No runs yet"), "{overview}");
    server.signal("INT");
    assert_eq!(server.end(&sandbox).status, 0);
    drop(idle);
}

#[test]
fn an_address_that_is_taken_is_said_to_be() {
    let sandbox = Sandbox::empty();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let said = sandbox.invar(&["serve", "--listen", &address]);
    assert_eq!(said.status, 2, "{}", said.whole());
    assert!(said.stderr.starts_with(&format!("error: cannot listen on {address}\n")), "{}", said.stderr);
    assert_eq!(sandbox.invar(&["serve", "--listen", "nowhere"]).status, 2);
}
