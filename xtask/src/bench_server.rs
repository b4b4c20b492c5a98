//! `cargo xtask bench server`: what a server costs with millions of measurements, on SQLite and on PostgreSQL.
//!
//! A benchmark and no test: nothing fails, however slow; what the design wants is printed beside what was found. The store
//! is filled by its own code (`crates/invar-store/examples/fill.rs`), and asked by clients that keep their connections.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use invar_core::benchmark::Benchmark;
use invar_core::diagnostic::Diagnostics;
use invar_core::event::{Event, Events};
use invar_core::instrument::Instrument;
use invar_core::machine::Machine;
use invar_core::measurement::Measurement;
use invar_core::run::{Run, Timestamp};
use invar_core::wire::parcel;
use serde_json::{Value, json};

use crate::prepare;

#[path = "../../crates/invar-store/tests/engines/postgres.rs"]
mod postgres;
#[path = "../../crates/invar-store/tests/engines/server.rs"]
mod server;

/// Who asks at the same time.
const CLIENTS: usize = 16;
/// How often each address is asked, for each client.
const TIMES: usize = 5;
/// Benchmarks of a run that is uploaded, and how many such runs.
const UPLOADED: usize = 5000;
const UPLOADS: usize = 12;

/// What is asked of the site, with what the design wants at the 95th percentile, in milliseconds.
const PAGES: [(&str, &str, Option<f64>); 15] = [
    ("overview", "/", Some(1000.0)),
    ("commits", "/commits", None),
    ("a commit", "/commits/{newest}", None),
    ("pull requests", "/pulls", None),
    ("a pull request", "/pulls/wide", None),
    ("benchmarks", "/benchmarks", Some(1000.0)),
    ("benchmarks, data", "/benchmarks.json", None),
    ("a history of 2,000 points", "/b/benchmarks/test_module_0.py::test_case[0]?points=2000", None),
    ("the same, data", "/b/benchmarks/test_module_0.py::test_case[0].json?points=2000", Some(50.0)),
    ("runs", "/runs", None),
    ("a run", "/runs/{newest}", None),
    ("comparison of 5,000 benchmarks", "/compare/{wide}", Some(300.0)),
    ("the same, data", "/compare/{wide}.json", None),
    ("search", "/search?q=test_case%5B77", None),
    ("badge", "/badge.svg", None),
];

/// Prints tables, or the same as JSON.
pub fn server(measurements: u64, json: bool) -> Result<()> {
    ensure!(measurements >= 1000, "a run of the branch that is filled has a thousand measurements");
    eprintln!("building for release ...");
    prepare::run(prepare::cargo().args(["build", "--release", "--quiet", "-p", "invar", "--bin", "invar"]))?;
    let fill = ["build", "--release", "--quiet", "-p", "invar-store", "--example", "fill"];
    prepare::run(prepare::cargo().args(fill))?;
    let scratch = prepare::scratch()?.join(format!("bench-server-{measurements}"));
    let mut all = BTreeMap::new();
    all.insert(
        "sqlite",
        database(&scratch.join("sqlite").display().to_string(), &scratch.join("sqlite"), measurements)?,
    );
    match postgres::part() {
        Some(address) => {
            let blobs = scratch.join("postgres-blobs");
            // The rows of another time are gone with their database.
            drop(std::fs::remove_dir_all(&blobs));
            all.insert("postgresql", database(&address, &blobs, measurements)?);
        }
        None => eprintln!("without PostgreSQL"),
    }
    if json {
        println!(
            "{}",
            serde_json::to_string_pretty(
                &json!({"measurements": measurements, "clients": CLIENTS, "databases": all})
            )?
        );
        return Ok(());
    }
    for (name, found) in &all {
        println!("\n{name}, {measurements} measurements, {CLIENTS} clients");
        println!("{:<34}{:>8}{:>12}{:>12}{:>12}", "", "bytes", "p50", "p95", "wanted");
        for row in found["pages"].as_array().into_iter().flatten() {
            let wanted =
                row["wanted_ms"].as_f64().map(|wanted| format!("{wanted:.0} ms")).unwrap_or_default();
            println!(
                "{:<34}{:>8}{:>9.1} ms{:>9.1} ms{wanted:>12}",
                row["name"].as_str().unwrap_or_default(),
                row["bytes"].to_string(),
                row["p50_ms"].as_f64().unwrap_or(f64::NAN),
                row["p95_ms"].as_f64().unwrap_or(f64::NAN),
            );
        }
        println!("{}", serde_json::to_string(&json!({"fill": found["fill"], "memory": found["memory"]}))?);
    }
    Ok(())
}

/// Fills a store, and asks its site and its interface for programs.
fn database(database: &str, blobs: &Path, measurements: u64) -> Result<Value> {
    eprintln!("filling {} ...", database.split('?').next().unwrap_or_default());
    let mut fill = Command::new(prepare::root().join("target/release/examples/fill"));
    let filled = prepare::output(fill.arg(database).arg(blobs).arg(measurements.to_string()))?;
    let store =
        ["--database".to_string(), database.to_string(), "--blobs".to_string(), blobs.display().to_string()];
    let site = Served::start(&store, &[])?;
    let newest = site.first("/runs.json", "id")?;
    // As the filler numbers them: those of `main` end where the two of `wide` begin.
    let wide = 2 * (measurements / 1000);
    let (last, wide) = (format!("{:040x}", wide - 1), format!("{wide:040x}...{:040x}", wide + 1));
    let mut pages = Vec::new();
    for (name, address, wanted) in PAGES {
        let address = address.replace("{newest}", if address.starts_with("/runs") { &newest } else { &last });
        let address = address.replace("{wide}", &wide);
        eprintln!("asking for {address} ...");
        pages.push(site.ask_often(name, &address, wanted)?);
    }
    let mut memory = BTreeMap::from([("site_bytes", site.peak()?)]);
    drop(site);

    let admin = |arguments: &[&str]| {
        let mut command = Command::new(prepare::root().join("target/release/invar"));
        prepare::output(command.arg("admin").args(&store).args(arguments).stderr(Stdio::null()))
    };
    admin(&["project", "acme/bench"])?;
    let token = admin(&["token", "acme/bench", "--scopes", "read,upload"])?.trim().to_string();
    let team = Served::start(&store, &["--team", "--requests-per-minute", "0"])?.with(token);
    eprintln!("uploading {UPLOADS} runs of {UPLOADED} benchmarks ...");
    pages.push(team.upload()?);
    let runs = "/api/v1/projects/acme/bench/runs";
    let newest = team.first(runs, "id")?;
    for (name, address) in [
        ("API: projects", "/api/v1/projects".to_string()),
        ("API: runs", runs.to_string()),
        ("API: a run of 5,000", format!("{runs}/{newest}")),
        ("API: the same, packed", format!("{runs}/{newest}/parcel")),
    ] {
        eprintln!("asking for {address} ...");
        pages.push(team.ask_often(name, &address, None)?);
    }
    memory.insert("team_bytes", team.peak()?);
    Ok(json!({"fill": filled.trim(), "pages": pages, "memory": memory}))
}

/// A server that ends when it is dropped.
struct Served {
    child: Child,
    address: String,
    token: Option<String>,
}

impl Drop for Served {
    fn drop(&mut self) {
        // It may have ended.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Served {
    fn start(store: &[String], arguments: &[&str]) -> Result<Served> {
        let mut command = Command::new(prepare::root().join("target/release/invar"));
        command.args(["serve", "--listen", "127.0.0.1:0"]).args(arguments).args(store);
        // Away from the invar.toml of this checkout.
        let mut child = command.current_dir("/").stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("it has an output")?).read_line(&mut line)?;
        let address = line.trim().strip_prefix("http://").and_then(|line| line.strip_suffix('/'));
        let address = address.context("the server does not say where it listens")?.to_string();
        Ok(Served { child, address, token: None })
    }

    fn with(mut self, token: String) -> Served {
        self.token = Some(token);
        self
    }

    /// The most memory that it had so far.
    fn peak(&self) -> Result<u64> {
        let status = std::fs::read_to_string(PathBuf::from(format!("/proc/{}/status", self.child.id())))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
    }

    fn connect(&self) -> Result<Client> {
        let stream = TcpStream::connect(&self.address)?;
        stream.set_nodelay(true)?;
        Ok(Client { stream: BufReader::new(stream), token: self.token.clone() })
    }

    /// A member of the first run of a list.
    fn first(&self, address: &str, member: &str) -> Result<String> {
        let (status, body) = self.connect()?.ask("GET", address, &[])?;
        ensure!(status == 200, "{address}: {status}");
        let list: Value = serde_json::from_slice(&body)?;
        list["runs"][0][member]
            .as_str()
            .map(str::to_string)
            .with_context(|| format!("{address}: no {member}"))
    }

    /// Asks for an address by many clients at once, after it was asked once.
    fn ask_often(&self, name: &str, address: &str, wanted: Option<f64>) -> Result<Value> {
        let (status, body) = self.connect()?.ask("GET", address, &[])?;
        ensure!(status == 200, "{address}: {status} {}", String::from_utf8_lossy(&body));
        let times = self.timed(CLIENTS, CLIENTS * TIMES, |client, _| {
            let (status, _) = client.ask("GET", address, &[])?;
            ensure!(status == 200, "{address}: {status}");
            Ok(())
        })?;
        Ok(row(name, body.len(), times, wanted))
    }

    /// Uploads runs, some at a time.
    fn upload(&self) -> Result<Value> {
        let bodies: Vec<Vec<u8>> = (0..UPLOADS).map(uploaded).collect();
        let times = self.timed(2, UPLOADS, |client, number| {
            let (status, said) = client.ask("POST", "/api/v1/projects/acme/bench/runs", &bodies[number])?;
            ensure!(status < 300, "{status}: {}", String::from_utf8_lossy(&said));
            Ok(())
        })?;
        Ok(row("API: upload of 5,000, by 2 clients", bodies[0].len(), times, Some(2000.0)))
    }

    /// The milliseconds of each of `count` requests that are made by so many clients at once, each on its connection;
    /// `ask` is given the request's number.
    fn timed(
        &self,
        clients: usize,
        count: usize,
        ask: impl Fn(&mut Client, usize) -> Result<()> + Sync,
    ) -> Result<Vec<f64>> {
        let next = AtomicUsize::new(0);
        let client = || -> Result<Vec<f64>> {
            let (mut client, mut times) = (self.connect()?, Vec::new());
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return Ok(times);
                }
                let started = Instant::now();
                ask(&mut client, number)?;
                times.push(started.elapsed().as_secs_f64() * 1000.0);
            }
        };
        std::thread::scope(|scope| {
            let clients: Vec<_> = (0..clients).map(|_| scope.spawn(client)).collect();
            let times: Result<Vec<_>> =
                clients.into_iter().map(|client| client.join().expect("it does not panic")).collect();
            Ok(times?.concat())
        })
    }
}

fn row(name: &str, bytes: usize, mut times: Vec<f64>, wanted: Option<f64>) -> Value {
    times.sort_by(f64::total_cmp);
    let at = |part: f64| times[((times.len() as f64 * part).ceil() as usize).clamp(1, times.len()) - 1];
    json!({"name": name, "bytes": bytes, "p50_ms": at(0.5), "p95_ms": at(0.95), "wanted_ms": wanted})
}

/// A run as it is uploaded; another one each time that this is called.
fn uploaded(number: usize) -> Vec<u8> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let id = format!(
        "0190f3c2-7b1e-7cc3-8a54-{:012x}",
        (now.as_micros() as u64 & 0xffff_ffff) << 8 | number as u64
    );
    let started = Timestamp(now.as_micros() as i64);
    let mut run = Run::started(&id, started, Machine::reference_1());
    run.measurements = (0..UPLOADED)
        .map(|index| {
            let mut warm = Events::default();
            warm.add(Event::Instructions, (1000 + index * 13 + number) as u64);
            Measurement {
                benchmark: Benchmark::named(&format!("t.py::uploaded[{index}]")),
                instrument: Instrument::Simulation,
                machine: Machine::reference_1(),
                cold: None,
                warm,
                diagnostics: Diagnostics::default(),
            }
        })
        .collect();
    parcel::write(&run, &BTreeMap::new())
}

/// A connection that is kept.
struct Client {
    stream: BufReader<TcpStream>,
    token: Option<String>,
}

impl Client {
    fn ask(&mut self, method: &str, address: &str, body: &[u8]) -> Result<(u16, Vec<u8>)> {
        let token =
            self.token.as_ref().map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
        let head = format!(
            "{method} {address} HTTP/1.1\r\nHost: localhost\r\n{token}Content-Length: {}\r\n\r\n",
            body.len()
        );
        self.stream.get_mut().write_all(head.as_bytes())?;
        self.stream.get_mut().write_all(body)?;
        let (mut status, mut length, mut line) = (0, 0, String::new());
        loop {
            line.clear();
            ensure!(self.stream.read_line(&mut line)? > 0, "{address}: the connection ended");
            match line.trim_end() {
                "" => break,
                text if status == 0 => status = text.get(9..12).context("no status")?.parse()?,
                text => {
                    if let Some(bytes) = text.strip_prefix("content-length: ") {
                        length = bytes.parse()?;
                    }
                }
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        Ok((status, body))
    }
}
