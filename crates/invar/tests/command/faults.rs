//! What a team's server promises, while things go wrong around it: what it answered with 2xx is there, whole, whatever
//! happened; what it could not keep it said so; and nothing is left over after a collection.
//!
//! Real servers, real PostgreSQL, a real S3 server. What goes wrong between them goes wrong in a [`Wire`].

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use invar_core::benchmark::Benchmark;
use invar_core::diagnostic::Diagnostics;
use invar_core::instrument::Instrument;
use invar_core::machine::Machine;
use invar_core::measurement::Measurement;
use invar_core::profile::Builder;
use invar_core::run::{Run, Timestamp};
use invar_core::wire::parcel;
use invar_store::{Location, Profiles, Store};

use crate::sandbox::Sandbox;
use crate::serve::Server;
use crate::{bucket, postgres, server as engine};

const RUNS: &str = "/api/v1/projects/acme/fib/runs";

/// A server's data, and who may send runs.
struct Team {
    sandbox: Sandbox,
    arguments: Vec<String>,
    token: String,
}

impl Team {
    fn of(arguments: &[&str]) -> Team {
        let sandbox = Sandbox::empty();
        let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        let given: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let said = sandbox.invar(&[&["admin"], &given[..], &["project", "acme/fib"]].concat());
        assert_eq!(said.status, 0, "{}", said.whole());
        let said = sandbox.invar(&[&["admin"], &given[..], &["token", "acme/fib"]].concat());
        Team { token: said.stdout.trim().to_string(), sandbox, arguments }
    }

    fn serve(&self) -> Server {
        let mut arguments = vec!["--team", "--requests-per-minute", "0"];
        arguments.extend(self.arguments.iter().map(String::as_str));
        Server::start(&self.sandbox, &arguments)
    }

    /// A worker, which collects as often and as early as it may.
    fn work(&self) -> Worker {
        let mut worker = self.sandbox.command(env!("CARGO_BIN_EXE_invar"));
        worker.args(["work", "--every-seconds", "1", "--older-than-seconds", "120"]).args(&self.arguments);
        let mut child = worker.stderr(Stdio::piped()).spawn().unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        said.read_line(&mut line).unwrap();
        assert_eq!(line, "Working. Stop with Ctrl-C.\n");
        Worker { child, said }
    }

    /// The status of the answer, if there is one.
    fn send(&self, address: &str, body: &[u8]) -> Option<u16> {
        let head = format!("POST {RUNS} HTTP/1.1\r\nContent-Length: {}\r\n", body.len());
        ask(address, &self.token, &head, body).map(|(status, _)| status)
    }

    /// The run and its profiles, as they come back.
    fn fetch(&self, address: &str, id: &str) -> Option<Vec<u8>> {
        let (status, packed) =
            ask(address, &self.token, &format!("GET {RUNS}/{id}/parcel HTTP/1.1\r\n"), &[])?;
        (status == 200).then(|| zstd::decode_all(&packed[..]).unwrap())
    }
}

/// A worker that ends with the test.
struct Worker {
    child: Child,
    said: BufReader<ChildStderr>,
}

impl Worker {
    /// Kills it, at whatever instruction it is. It has had nothing to complain of.
    fn kill(mut self) {
        self.child.kill().unwrap();
        let mut said = String::new();
        self.said.read_to_string(&mut said).unwrap();
        assert_eq!(said, "");
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Asks, by a connection of its own.
fn ask(address: &str, token: &str, head: &str, body: &[u8]) -> Option<(u16, Vec<u8>)> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(120))).ok()?;
    let rest = format!("Host: localhost\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n");
    stream.write_all(format!("{head}{rest}").as_bytes()).ok()?;
    stream.write_all(body).ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    let body = answer.split_off(end + 4);
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
    // One that was cut is none.
    (length == Some(body.len())).then(|| (head[9..12].parse().unwrap(), body))
}

/// A run of this number as it is sent, of some benchmarks with profiles; every tenth has the same profiles.
fn run(number: usize) -> (String, Vec<u8>) {
    let id = format!("0190f3c2-7b1e-7cc3-9a54-{number:012x}");
    let mut run = Run::started(&id, Timestamp(1_721_908_800_000_000 + number as i64), Machine::reference_1());
    let mut profiles = Profiles::new();
    for benchmark in 0..4 {
        let name = format!("t.py::b{benchmark}[{}]", number % 10);
        let profile = Builder::new(&name).finish();
        run.measurements.push(Measurement {
            benchmark: Benchmark::named(&name),
            instrument: Instrument::Simulation,
            machine: Machine::reference_1(),
            cold: None,
            warm: profile.total(),
            diagnostics: Diagnostics::default(),
        });
        profiles.insert(name, profile);
    }
    (id, parcel::write(&run, &profiles))
}

/// A store, asked without a server.
fn within<T>(arguments: &[String], act: impl AsyncFnOnce(Store) -> T) -> T {
    let after = |name: &str| {
        arguments.iter().position(|argument| argument == name).map(|index| arguments[index + 1].clone())
    };
    let database = after("--database").or_else(|| after("--data")).unwrap();
    let location = Location { database, blobs: after("--blobs") };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { act(Store::connect(&location).await.unwrap()).await })
}

/// A connection between two servers that can be cut: what was open breaks, and what comes is turned away.
struct Wire {
    port: u16,
    is_cut: Arc<AtomicBool>,
    open: Arc<Mutex<Vec<Cut>>>,
}

/// Ends a connection.
type Cut = Box<dyn Fn() + Send>;

/// A connection at the far end of a wire.
trait Far: Read + Write + Send + Sized + 'static {
    fn twin(&self) -> Self;
    fn end(&self);
}

impl Far for TcpStream {
    fn twin(&self) -> TcpStream {
        self.try_clone().unwrap()
    }

    fn end(&self) {
        // It may have ended by itself.
        drop(self.shutdown(Shutdown::Both));
    }
}

impl Far for UnixStream {
    fn twin(&self) -> UnixStream {
        self.try_clone().unwrap()
    }

    fn end(&self) {
        drop(self.shutdown(Shutdown::Both));
    }
}

impl Wire {
    fn to<F: Far>(connect: impl Fn() -> std::io::Result<F> + Send + 'static) -> Wire {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let wire = Wire { port, is_cut: Arc::default(), open: Arc::default() };
        let (is_cut, open) = (Arc::clone(&wire.is_cut), Arc::clone(&wire.open));
        thread::spawn(move || {
            for near in listener.incoming().flatten() {
                if is_cut.load(Ordering::SeqCst) {
                    continue;
                }
                if let Ok(far) = connect() {
                    join(near, far, &open);
                }
            }
        });
        wire
    }

    fn cut(&self) {
        self.is_cut.store(true, Ordering::SeqCst);
        self.open.lock().unwrap().drain(..).for_each(|end| end());
    }

    fn mend(&self) {
        self.is_cut.store(false, Ordering::SeqCst);
    }
}

/// Carries what comes from the one to the other, both ways, until one of them ends.
fn join<F: Far>(near: TcpStream, far: F, open: &Mutex<Vec<Cut>>) {
    let ways = [(near.twin(), far.twin()), (near.twin(), far.twin())];
    let [(mut from_near, mut to_far), (mut to_near, mut from_far)] = ways;
    open.lock().unwrap().push(Box::new(move || {
        near.end();
        far.end();
    }));
    thread::spawn(move || {
        drop(std::io::copy(&mut from_near, &mut to_far));
        to_far.end();
    });
    thread::spawn(move || {
        drop(std::io::copy(&mut from_far, &mut to_near));
        to_near.end();
    });
}

/// The address of a part of a database, over a wire.
fn database_over_a_wire() -> Option<(Wire, String)> {
    let database = postgres::part()?;
    let (start, rest) = database.split_once("host=").unwrap();
    let (folder, options) = rest.split_once('&').unwrap();
    let socket = PathBuf::from(folder.replace("%2F", "/")).join(".s.PGSQL.5432");
    let wire = Wire::to(move || UnixStream::connect(&socket));
    let address = start.replace("@localhost/", &format!("@127.0.0.1:{}/", wire.port));
    Some((wire, format!("{address}{options}")))
}

/// The address of a part of a bucket, over a wire.
fn blobs_over_a_wire() -> Option<(Wire, String)> {
    let blobs = bucket::part()?;
    let (start, rest) = blobs.split_once("http://127.0.0.1:").unwrap();
    let (port, rest) = rest.split_once('&').unwrap();
    let port: u16 = port.parse().unwrap();
    let wire = Wire::to(move || TcpStream::connect(("127.0.0.1", port)));
    let address = format!("{start}http://127.0.0.1:{}&{rest}", wire.port);
    Some((wire, address))
}

/// Runs a PostgreSQL again whenever it has ended, but not as long as there is a file `stopped`. Ends by SIGUSR1: SIGTERM is
/// ignored where it is started, and a shell cannot take that back.
const AGAIN: &str = r#"
    folder=$1; shift
    trap 'kill -QUIT $program; wait $program; exit' USR1
    while :; do
        "$@" & program=$!
        wait $program
        while test -e "$folder/stopped"; do sleep 0.05; done
    done
"#;

/// A PostgreSQL that can be stopped, and started again.
struct Stoppable {
    engine: engine::Server,
    programs: PathBuf,
}

impl Stoppable {
    fn start() -> Option<Stoppable> {
        let (programs, folder, postgres) = postgres::cluster()?;
        let mut again = Command::new("sh");
        again.args(["-c", AGAIN, "sh"]).arg(&folder).arg(postgres.get_program()).args(postgres.get_args());
        let mut engine = engine::Server::start(&mut again, &folder, "USR1");
        engine.wait_until(|| postgres::is_ready(&programs, &folder)).unwrap();
        Some(Stoppable { engine, programs })
    }

    fn address(&self) -> String {
        let host = self.engine.folder.display().to_string().replace('/', "%2F");
        format!("postgres://invar@localhost/postgres?host={host}")
    }

    /// Ends it as a crash does: every connection breaks, and nothing is written that was not.
    fn stop(&self) {
        fs::write(self.engine.folder.join("stopped"), "").unwrap();
        let pid = fs::read_to_string(self.engine.folder.join("data/postmaster.pid")).unwrap();
        let kill = Command::new("kill").args(["-QUIT", pid.lines().next().unwrap()]).status();
        assert!(kill.unwrap().success());
        while postgres::is_ready(&self.programs, &self.engine.folder) {
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn start_again(&mut self) {
        let folder = self.engine.folder.clone();
        fs::remove_file(folder.join("stopped")).unwrap();
        self.engine.wait_until(|| postgres::is_ready(&self.programs, &folder)).unwrap();
    }
}

/// Sends a run again and again, as clients do, until it is kept.
fn send_until_kept(team: &Team, address: &str, body: &[u8]) -> u16 {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        match team.send(address, body) {
            Some(status @ (200 | 201)) => return status,
            Some(500 | 503 | 507) | None if Instant::now() < end => thread::sleep(Duration::from_millis(50)),
            other => panic!("{other:?}"),
        }
    }
}

/// Something that a server needs is cut off while runs are sent: each is refused in words that say it may pass, and kept once
/// that is mended.
fn is_away_for_a_while(team: &Team, cut: impl FnOnce(), mend: impl FnOnce()) {
    let server = team.serve();
    assert_eq!(team.send(&server.address, &run(1).1), Some(201));
    assert_eq!(server.get("/readyz").0, "HTTP/1.1 200 OK");
    cut();
    let (id, body) = run(2);
    let said = team.send(&server.address, &body);
    if said != Some(503) {
        server.signal("TERM");
        panic!("{said:?}: {}", server.end(&team.sandbox).stderr);
    }
    assert_eq!(server.get("/readyz").0, "HTTP/1.1 503 Service Unavailable");
    assert_eq!(server.get("/healthz").0, "HTTP/1.1 200 OK");
    mend();
    send_until_kept(team, &server.address, &body);
    for (number, id) in [(1, run(1).0), (2, id)] {
        assert_eq!(team.fetch(&server.address, &id).as_ref(), Some(&run(number).1), "{id}");
    }
    server.kill();
}

#[test]
fn a_database_that_is_away_for_a_while_costs_nothing_that_was_kept() {
    let (Some((wire, database)), Some(blobs)) = (database_over_a_wire(), bucket::part()) else { return };
    let team = Team::of(&["--database", &database, "--blobs", &blobs]);
    is_away_for_a_while(&team, || wire.cut(), || wire.mend());
}

#[test]
fn a_database_that_crashes_and_starts_again_costs_nothing_that_was_kept() {
    let Some(postgres) = Stoppable::start() else { return };
    let team = Team::of(&["--database", &postgres.address(), "--blobs", "blobs"]);
    let postgres = Mutex::new(postgres);
    let stop = || postgres.lock().unwrap().stop();
    is_away_for_a_while(&team, stop, || postgres.lock().unwrap().start_again());
}

#[test]
fn a_run_of_twenty_thousand_benchmarks_is_kept_and_shown() {
    let team = Team::of(&["--data", "data"]);
    let server = team.serve();
    let (id, mut run) = (format!("0190f3c2-7b1e-7cc3-9a54-{:012x}", 0), parcel::read(&run(0).1).unwrap().run);
    let one = run.measurements[0].clone();
    let benchmark = |number| Benchmark::named(&format!("t{:03}.py::b[{number:05}]", number / 100));
    run.measurements =
        (0..20_000).map(|number| Measurement { benchmark: benchmark(number), ..one.clone() }).collect();
    let body = parcel::write(&run, &Profiles::new());
    assert_eq!(team.send(&server.address, &body), Some(201));
    let kept = parcel::read(&team.fetch(&server.address, &id).unwrap()).unwrap().run;
    assert!(kept.measurements == run.measurements, "other measurements came back than were sent");
    for (page, shows) in [
        ("", "20000 benchmarks measured"),
        ("/benchmarks?q=19999", "b[19999]"),
        ("/benchmarks?page=40", "b[19999]"),
        (&format!("/runs/{id}"), "b[19999]"),
        ("/b/t199.py::b[19999]", "b[19999]"),
    ] {
        let head = format!("GET /acme/fib{page} HTTP/1.1\r\n");
        let (status, body) = ask(&server.address, &team.token, &head, &[]).unwrap();
        let text = String::from_utf8(body).unwrap();
        assert_eq!(status, 200, "{page}: {text}");
        assert!(text.contains(shows), "{page}: {text}");
    }
    server.kill();
}

#[test]
fn an_object_store_that_is_away_for_a_while_costs_nothing_that_was_kept() {
    let (Some(database), Some((wire, blobs))) = (postgres::part(), blobs_over_a_wire()) else { return };
    let team = Team::of(&["--database", &database, "--blobs", &blobs]);
    is_away_for_a_while(&team, || wire.cut(), || wire.mend());
}

#[test]
fn a_full_disk_is_said_and_costs_nothing_that_was_kept() {
    let team = Team::of(&["--data", "data"]);
    let server = team.serve();
    assert_eq!(team.send(&server.address, &run(1).1), Some(201));
    server.kill();
    // A small disk of its own, seen by this server only; where that is not permitted, files that cannot grow.
    let script = r#"
        trap '' XFSZ
        if unshare --mount true 2> /dev/null; then
            exec unshare --mount sh -c '
                mount -t tmpfs -o size=16m tmpfs small && cp -a data/. small || exit 1
                exec "$@" --data small' sh "$@"
        fi
        ulimit -S -f 8
        exec "$@" --data data"#;
    fs::create_dir(team.sandbox.path().join("small")).unwrap();
    let mut command = team.sandbox.command("sh");
    command.args([
        "-c",
        script,
        "sh",
        env!("CARGO_BIN_EXE_invar"),
        "serve",
        "--team",
        "--listen",
        "127.0.0.1:0",
    ]);
    let server = Server::of(command);
    // A server that starts on a full disk says so and ends; here it fills up meanwhile.
    let disk = PathBuf::from(format!("/proc/{}/root{}/small", server.id(), team.sandbox.path().display()));
    let filler = disk.join("filler");
    let is_a_disk = disk.join("invar.sqlite").exists();
    if is_a_disk {
        let full = io::copy(&mut io::repeat(0), &mut fs::File::create(&filler).unwrap());
        assert_eq!(full.unwrap_err().kind(), io::ErrorKind::StorageFull);
    }
    let mut refused = None;
    for number in 2..400 {
        match team.send(&server.address, &run(number).1) {
            Some(201) => {}
            other => {
                refused = Some((number, other));
                break;
            }
        }
    }
    let (number, status) = refused.expect("it is full at some time");
    assert!(matches!(status, Some(507 | 500)), "{status:?}");
    assert_eq!(server.get("/healthz").0, "HTTP/1.1 200 OK");
    for kept in 1..number {
        let (id, sent) = run(kept);
        assert_eq!(team.fetch(&server.address, &id), Some(sent), "{id}");
    }
    // Where it is a disk, somebody makes room.
    if is_a_disk {
        fs::remove_file(filler).unwrap();
        assert_eq!(status, Some(507));
        assert_eq!(send_until_kept(&team, &server.address, &run(number).1), 201);
    }
    server.kill();
}

/// Two servers and two workers on one database and one bucket. Runs are sent to both servers at once, each several times, while
/// one of them and one of the workers is killed in the middle, as often as `INVAR_SOAK_ROUNDS` says: once, where nobody does.
#[test]
fn a_server_that_is_killed_loses_nothing_that_it_said_it_kept() {
    const SENDERS: usize = 16;
    let rounds = std::env::var("INVAR_SOAK_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(1);
    let runs = if rounds == 1 { 40 } else { 100 };
    let (Some(database), Some(blobs)) = (postgres::part(), bucket::part()) else { return };
    let team = Team::of(&["--database", &database, "--blobs", &blobs]);
    let mut stays = team.serve();
    let mut workers = [team.work(), team.work()];
    let (mut acknowledged, mut lost_answers) = (BTreeSet::new(), 0);
    for round in 0..rounds {
        let dies = team.serve();
        let addresses = [stays.address.clone(), dies.address.clone()];
        // Each run twice, to the one and to the other; whoever gets no answer turns to the one that stays.
        let next = AtomicUsize::new(0);
        let kept = Mutex::new(BTreeMap::<usize, Vec<u16>>::new());
        let (answered, unanswered) = ([0, 0].map(AtomicUsize::new), AtomicUsize::new(0));
        thread::scope(|scope| {
            for _ in 0..SENDERS {
                scope.spawn(|| {
                    loop {
                        let turn = next.fetch_add(1, Ordering::SeqCst);
                        if turn >= 2 * runs {
                            return;
                        }
                        let number = round * runs + turn / 2;
                        let body = run(number).1;
                        let status = match team.send(&addresses[turn % 2], &body) {
                            Some(status @ (200 | 201)) => {
                                answered[turn % 2].fetch_add(1, Ordering::SeqCst);
                                status
                            }
                            _ => {
                                unanswered.fetch_add(1, Ordering::SeqCst);
                                send_until_kept(&team, &addresses[0], &body)
                            }
                        };
                        kept.lock().unwrap().entry(number).or_default().push(status);
                    }
                });
            }
            // Somewhere in the middle, elsewhere in every round.
            let when = 1 + (round * 37) % (runs / 2);
            while answered[1].load(Ordering::SeqCst) < when {
                thread::yield_now();
            }
            dies.kill();
            let fresh = team.work();
            std::mem::replace(&mut workers[round % 2], fresh).kill();
        });
        lost_answers += unanswered.into_inner();
        let kept = kept.into_inner().unwrap();
        assert_eq!(kept.len(), runs);
        for (number, statuses) in kept {
            // Whoever was told that it is new may have been killed before it said so.
            assert!(statuses.iter().filter(|status| **status == 201).count() <= 1, "{number}: {statuses:?}");
            acknowledged.insert(number);
        }
        if round % 10 == 9 {
            // The other one's turn.
            let fresh = team.serve();
            std::mem::replace(&mut stays, fresh).kill();
        }
    }
    for number in &acknowledged {
        let (id, sent) = run(*number);
        assert_eq!(team.fetch(&stays.address, &id), Some(sent), "{id}");
    }
    stays.kill();
    workers.into_iter().for_each(Worker::kill);
    let (orphans, left, there) = within(&team.arguments, async |store| {
        let orphans = store.collect(Duration::ZERO).await.unwrap().removed;
        let left = store.collect(Duration::ZERO).await.unwrap().removed;
        let project = store.project("acme/fib").await.unwrap().unwrap();
        let mut there = BTreeSet::new();
        for summary in project.list(u32::MAX).await.unwrap() {
            let run = project.get(&summary.id).await.unwrap();
            let profiles = project.profiles(&summary.id).await.unwrap();
            assert_eq!(profiles.len(), run.measurements.len());
            there.insert(run.id);
        }
        store.close().await;
        (orphans, left, there)
    });
    let expected: BTreeSet<String> = acknowledged.iter().map(|number| run(*number).0).collect();
    assert_eq!((left, there), (0, expected));
    // For `cargo xtask soak-server`, which shows it.
    let said = format!(
        "{} runs acknowledged, {lost_answers} requests unanswered, {orphans} blobs collected, nothing lost\n",
        acknowledged.len()
    );
    std::io::stdout().write_all(said.as_bytes()).unwrap();
}
