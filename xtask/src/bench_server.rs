//! `cargo xtask bench server`: what a server costs with millions of measurements, on SQLite and on PostgreSQL.
//!
//! A benchmark and no test: nothing fails, however slow; what the design wants is printed beside what was found. The store
//! is filled by `crates/invar-store/examples/fill.rs`, the newest runs by the store's own code and older ones by SQL, which the
//! table says, and asked by clients that keep their connections. PostgreSQL writes through to the disk, as SQLite does.
//!
//! Beside what clients waited for stands the processor time that the server used for a request, by Linux' own account. It
//! moves little where other programs run, and waiting moves a lot. PostgreSQL's processes are not in it.

use std::collections::BTreeMap;
use std::ffi::OsStr;
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

/// Who looks at the administrators' pages.
const ADMINISTRATOR: &str = "ada";
const PASSWORD: &str = "correct-horse-battery";

/// What is asked of the site, with what the design wants at the 95th percentile, in milliseconds.
const PAGES: [(&str, &str, Option<f64>); 16] = [
    ("overview", "/", Some(1000.0)),
    ("commits", "/commits", None),
    ("a commit", "/commits/{newest}", None),
    ("pull requests", "/pulls", None),
    ("a pull request", "/pulls/wide", None),
    ("benchmarks", "/benchmarks", Some(1000.0)),
    ("benchmarks, data", "/benchmarks.json", None),
    ("a history of 2,000 points", "/b/benchmarks/test_module_0.py::test_case[0]?points=2000", None),
    ("the same, data", "/b/benchmarks/test_module_0.py::test_case[0].json?points=2000", Some(50.0)),
    ("data, each of another benchmark", "/b/{other}.json?points=2000", Some(50.0)),
    ("runs", "/runs", None),
    ("a run", "/runs/{newest}", None),
    ("comparison of 5,000 benchmarks", "/compare/{wide}", Some(300.0)),
    ("the same, data", "/compare/{wide}.json", None),
    ("search", "/search?q=test_case%5B77", None),
    ("badge", "/badge.svg", None),
];

/// How many ticks of Linux' account of a process are a second, on every machine that we know.
const TICKS: f64 = 100.0;

/// Prints tables, or the same as JSON.
pub fn server(sizes: &[u64], invar: Option<&Path>, json: bool) -> Result<()> {
    ensure!(
        sizes.iter().all(|size| *size >= 1000),
        "a run of the branch that is filled has a thousand measurements"
    );
    eprintln!("building for release ...");
    let invar = match invar {
        // It is started elsewhere.
        Some(invar) => std::path::absolute(invar)?,
        None => {
            prepare::run(prepare::cargo().args([
                "build",
                "--release",
                "--quiet",
                "-p",
                "invar",
                "--bin",
                "invar",
            ]))?;
            prepare::root().join("target/release/invar")
        }
    };
    let fill = ["build", "--release", "--quiet", "-p", "invar-store", "--example", "fill"];
    prepare::run(prepare::cargo().args(fill))?;
    // A server's database writes through to the disk.
    postgres::IS_DURABLE.store(true, Ordering::Relaxed);
    // By database, and in the order of the sizes.
    let mut all = BTreeMap::<&str, Vec<Value>>::new();
    for &size in sizes {
        let scratch = prepare::scratch()?.join(format!("bench-server-{size}"));
        let sqlite = scratch.join("sqlite");
        let found =
            Bench { invar: &invar, blobs: &sqlite, database: &sqlite.display().to_string() }.run(size)?;
        all.entry("sqlite").or_default().push(found);
        match postgres::part() {
            Some(address) => {
                let blobs = scratch.join("postgres-blobs");
                // The rows of another time are gone with their database.
                drop(std::fs::remove_dir_all(&blobs));
                let found = Bench { invar: &invar, blobs: &blobs, database: &address }.run(size)?;
                all.entry("postgresql").or_default().push(found);
            }
            None => eprintln!("without PostgreSQL"),
        }
    }
    if json {
        println!("{}", serde_json::to_string_pretty(&json!({"clients": CLIENTS, "databases": all}))?);
        return Ok(());
    }
    for (name, sizes) in &all {
        for found in sizes {
            table(name, found);
        }
        if let [first, .., last] = &sizes[..] {
            growth(name, first, last);
        }
    }
    Ok(())
}

/// What was found with one number of measurements.
fn table(name: &str, found: &Value) {
    println!("\n{name}, {} measurements, {CLIENTS} clients", found["measurements"]);
    println!("{:<36}{:>8}{:>12}{:>12}{:>12}{:>12}", "", "bytes", "p50", "p95", "wanted", "processor");
    for row in rows(found) {
        let wanted = row["wanted_ms"].as_f64().map(|wanted| format!("{wanted:.0} ms")).unwrap_or_default();
        println!(
            "{:<36}{:>8}{:>9.1} ms{:>9.1} ms{wanted:>12}{:>9.1} ms",
            row["name"].as_str().unwrap_or_default(),
            row["bytes"].to_string(),
            number(&row["p50_ms"]),
            number(&row["p95_ms"]),
            number(&row["processor_ms"]),
        );
    }
    let megabytes = |value: &Value| number(value) / 1e6;
    println!(
        "memory: {:.0} MB serving pages, {:.0} MB with uploads; the rows take {:.0} MB; filled: {}; load {}",
        megabytes(&found["memory"]["site_bytes"]),
        megabytes(&found["memory"]["team_bytes"]),
        megabytes(&found["rows_bytes"]),
        found["fill"].as_str().unwrap_or_default(),
        found["load"].as_str().unwrap_or_default(),
    );
}

/// What became of it with more measurements.
fn growth(name: &str, first: &Value, last: &Value) {
    println!("\n{name}, {} measurements and {}", first["measurements"], last["measurements"]);
    println!("{:<36}{:>12}{:>12}{:>12}{:>12}", "", "p95", "p95", "p95", "processor");
    for (row, then) in rows(first).iter().zip(rows(last)) {
        let ratio = |member: &str| number(&then[member]) / number(&row[member]);
        println!(
            "{:<36}{:>9.1} ms{:>9.1} ms{:>11.2}x{:>11.2}x",
            row["name"].as_str().unwrap_or_default(),
            number(&row["p95_ms"]),
            number(&then["p95_ms"]),
            ratio("p95_ms"),
            ratio("processor_ms"),
        );
    }
    for (what, member) in [("serving pages", "site_bytes"), ("with uploads", "team_bytes")] {
        let [one, other] = [first, last].map(|found| number(&found["memory"][member]));
        println!("memory {what}: {:.0} MB and {:.0} MB, {:.2}x", one / 1e6, other / 1e6, other / one);
    }
}

fn rows(found: &Value) -> &[Value] {
    found["pages"].as_array().map_or(&[], Vec::as_slice)
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or(f64::NAN)
}

/// A program and the store that it is to serve.
struct Bench<'a> {
    invar: &'a Path,
    database: &'a str,
    blobs: &'a Path,
}

impl Bench<'_> {
    /// Fills the store, and asks its site and its interface for programs.
    fn run(&self, measurements: u64) -> Result<Value> {
        eprintln!("filling {} ...", self.database.split('?').next().unwrap_or_default());
        let mut fill = Command::new(prepare::root().join("target/release/examples/fill"));
        fill.arg(self.database).arg(self.blobs).arg(measurements.to_string());
        let filled = prepare::output(&mut fill)?;
        let site = self.serve(&[])?;
        let newest = site.first("/runs.json", "id")?;
        // As the filler numbers them: those of `main` end where the two of `wide` begin.
        let wide = 2 * (measurements / 1000);
        let (last, wide) = (format!("{:040x}", wide - 1), format!("{wide:040x}...{:040x}", wide + 1));
        let mut pages = Vec::new();
        for (name, address, wanted) in PAGES {
            let address =
                address.replace("{newest}", if address.starts_with("/runs") { &newest } else { &last });
            let address = address.replace("{wide}", &wide);
            eprintln!("asking for {address} ...");
            pages.push(site.ask_often(name, &address, wanted)?);
        }
        let mut memory = BTreeMap::from([("site_bytes", site.peak()?)]);
        drop(site);

        self.admin(&["project", "acme/bench"])?;
        let token = self.admin(&["token", "acme/bench", "--scopes", "read,upload"])?.trim().to_string();
        self.administrator()?;
        let mut team = self.serve(&["--team", "--requests-per-minute", "0"])?;
        team.shows = team.signed_in()?;
        eprintln!("asking for /admin/server ...");
        pages.push(team.ask_often("administrators' page of the server", "/admin/server", None)?);
        team.shows = format!("Authorization: Bearer {token}\r\n");
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
        let load = std::fs::read_to_string("/proc/loadavg")?;
        Ok(json!({
            "measurements": measurements,
            "fill": filled.trim(),
            "rows_bytes": self.rows_bytes()?,
            "load": load.split(' ').next(),
            "pages": pages,
            "memory": memory,
        }))
    }

    /// How much room the database takes, what it writes ahead included.
    fn rows_bytes(&self) -> Result<u64> {
        // The tests' PostgreSQL listens where its data is.
        let host = self.database.split_once("host=").and_then(|(_, rest)| rest.split('&').next());
        let folder = host.map_or(self.database.to_string(), |host| host.replace("%2F", "/"));
        let mut du = Command::new("du");
        let said = prepare::output(du.args(["--summarize", "--bytes", "--exclude=blobs"]).arg(folder))?;
        Ok(said.split_whitespace().next().context("du says nothing")?.parse()?)
    }

    fn store(&self) -> [&OsStr; 4] {
        ["--database".as_ref(), self.database.as_ref(), "--blobs".as_ref(), self.blobs.as_ref()]
    }

    fn admin(&self, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new(self.invar);
        prepare::output(command.arg("admin").args(self.store()).args(arguments).stderr(Stdio::null()))
    }

    /// Makes an administrator, or chooses their password anew where another time has left one.
    fn administrator(&self) -> Result<()> {
        let mut command = Command::new(self.invar);
        command.arg("admin").args(self.store()).args(["user", ADMINISTRATOR, "--admin"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        child.stdin.take().context("it has an input")?.write_all(PASSWORD.as_bytes())?;
        ensure!(child.wait()?.success(), "no administrator could be made");
        Ok(())
    }

    fn serve(&self, arguments: &[&str]) -> Result<Served> {
        let mut command = Command::new(self.invar);
        command.args(["serve", "--listen", "127.0.0.1:0"]).args(arguments).args(self.store());
        // Away from the invar.toml of this checkout.
        let mut child = command.current_dir("/").stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("it has an output")?).read_line(&mut line)?;
        let address = line.trim().strip_prefix("http://").and_then(|line| line.strip_suffix('/'));
        let address = address.context("the server does not say where it listens")?.to_string();
        Ok(Served { child, address, shows: String::new() })
    }
}

/// A server that ends when it is dropped.
struct Served {
    child: Child,
    address: String,
    /// The line of a request's head that says who asks; nothing where nobody does.
    shows: String,
}

impl Drop for Served {
    fn drop(&mut self) {
        // It may have ended.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Served {
    /// Signs in as a browser does it, and returns the line that it shows from then on.
    fn signed_in(&self) -> Result<String> {
        let mut browser = self.connect()?;
        let (status, page) = browser.ask("GET", "/sign-in", &[])?;
        ensure!(status == 200, "/sign-in: {status}");
        let page = String::from_utf8(page)?;
        let form = page.split_once("name=\"csrf\" value=\"").and_then(|(_, rest)| rest.split('"').next());
        let form = form.context("a form to sign in by")?;
        let body = format!("csrf={form}&name={ADMINISTRATOR}&password={PASSWORD}");
        let mut browser = Client { shows: browser.cookie(), ..browser };
        let (status, _) = browser.ask("POST", "/sign-in", body.as_bytes())?;
        ensure!(status == 303, "signing in: {status}");
        Ok(browser.cookie())
    }

    /// The most memory that it had so far.
    fn peak(&self) -> Result<u64> {
        let status = std::fs::read_to_string(PathBuf::from(format!("/proc/{}/status", self.child.id())))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
    }

    /// The processor time that it used so far, its own and the system's for it, in milliseconds.
    fn used(&self) -> Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // The name of the program may hold anything; it ends with the last bracket.
        let rest = status.rsplit(')').next().unwrap_or_default();
        let ticks = rest.split_whitespace().skip(11).take(2).map(|ticks| Ok(ticks.parse::<f64>()?));
        Ok(ticks.sum::<Result<f64>>()? * 1000.0 / TICKS)
    }

    fn connect(&self) -> Result<Client> {
        let stream = TcpStream::connect(&self.address)?;
        stream.set_nodelay(true)?;
        Ok(Client { stream: BufReader::new(stream), shows: self.shows.clone(), given: String::new() })
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

    /// Asks for an address by many clients at once, after it was asked once. `{other}` in it is another benchmark each time.
    fn ask_often(&self, name: &str, address: &str, wanted: Option<f64>) -> Result<Value> {
        let of = |number: usize| address.replace("{other}", &benchmark(number));
        let (status, body) = self.connect()?.ask("GET", &of(0), &[])?;
        ensure!(status == 200, "{address}: {status} {}", String::from_utf8_lossy(&body));
        let used = self.used()?;
        let times = self.timed(CLIENTS, CLIENTS * TIMES, |client, number| {
            let (status, _) = client.ask("GET", &of(number + 1), &[])?;
            ensure!(status == 200, "{address}: {status}");
            Ok(())
        })?;
        Ok(row(name, body.len(), times, self.used()? - used, wanted))
    }

    /// Uploads runs, some at a time.
    fn upload(&self) -> Result<Value> {
        let bodies: Vec<Vec<u8>> = (0..UPLOADS).map(uploaded).collect();
        let used = self.used()?;
        let times = self.timed(2, UPLOADS, |client, number| {
            let (status, said) = client.ask("POST", "/api/v1/projects/acme/bench/runs", &bodies[number])?;
            ensure!(status < 300, "{status}: {}", String::from_utf8_lossy(&said));
            Ok(())
        })?;
        Ok(row(
            "API: upload of 5,000, by 2 clients",
            bodies[0].len(),
            times,
            self.used()? - used,
            Some(2000.0),
        ))
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

fn row(name: &str, bytes: usize, mut times: Vec<f64>, used: f64, wanted: Option<f64>) -> Value {
    times.sort_by(f64::total_cmp);
    let at = |part: f64| times[((times.len() as f64 * part).ceil() as usize).clamp(1, times.len()) - 1];
    json!({
        "name": name,
        "bytes": bytes,
        "p50_ms": at(0.5),
        "p95_ms": at(0.95),
        "wanted_ms": wanted,
        "processor_ms": used / times.len() as f64,
    })
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

/// The benchmarks of `main`, as the filler names them: with ten million measurements each has more than 2,000 points.
fn benchmark(number: usize) -> String {
    let index = number % 1000;
    format!("benchmarks/test_module_{}.py::test_case[{index}]", index / 50)
}

/// A connection that is kept.
struct Client {
    stream: BufReader<TcpStream>,
    /// As [`Served::shows`].
    shows: String,
    /// The cookie that came with the last answer that had one.
    given: String,
}

impl Client {
    /// The line that shows the cookie which was given.
    fn cookie(&self) -> String {
        format!("Cookie: {}\r\n", self.given)
    }

    fn ask(&mut self, method: &str, address: &str, body: &[u8]) -> Result<(u16, Vec<u8>)> {
        let head = format!(
            "{method} {address} HTTP/1.1\r\nHost: localhost\r\n{}Content-Length: {}\r\n\r\n",
            self.shows,
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
                    if let Some(cookie) = text.strip_prefix("set-cookie: ") {
                        self.given = cookie.split(';').next().unwrap_or_default().to_string();
                    }
                }
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        Ok((status, body))
    }
}
