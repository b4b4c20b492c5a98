//! Runs that go to a server of many projects and come back: `invar admin`, `login`, `push`, `pull`, `run --upload`.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use serde_json::Value;

use crate::sandbox::{SUITE, Said, Sandbox};
use crate::serve::Server;

/// A server of one project, and a token for it.
struct Team {
    sandbox: Sandbox,
    server: Server,
    token: String,
}

impl Team {
    fn start() -> Team {
        let sandbox = Sandbox::empty();
        assert_eq!(sandbox.invar(&["admin", "--data", "data", "project", "acme/fib"]).status, 0);
        let token = sandbox.invar(&["admin", "--data", "data", "token", "acme/fib"]).stdout;
        let server = Server::start(&sandbox, &["--team", "--data", "data"]);
        Team { sandbox, server, token: token.trim().to_string() }
    }

    /// A checkout whose runs go there.
    fn checkout(&self) -> Sandbox {
        let sandbox = Sandbox::repository();
        let url = format!("[server]\nurl = \"http://{}\"\nproject = \"acme/fib\"\n", self.server.address);
        sandbox.write("invar.toml", &url);
        sandbox.commit("first");
        sandbox
    }

    fn login(&self, sandbox: &Sandbox, token: &str) -> Said {
        let mut command = sandbox.command(env!("CARGO_BIN_EXE_invar"));
        command.arg("login").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(token.as_bytes()).unwrap();
        Said::of(sandbox, child.wait_with_output().unwrap())
    }
}

#[test]
fn a_run_that_was_uploaded_is_fetched_in_another_checkout() {
    let team = Team::start();
    let here = team.checkout();
    let said = team.login(&here, &team.token);
    assert_eq!(said.status, 0, "{}", said.whole());
    let said = here.run(&["--upload"], &SUITE);
    assert!(said.stderr.contains("Sent run [RUN] (main@") && said.status == 0, "{}", said.whole());
    let said = here.invar(&["push"]);
    assert!(said.stdout.contains("has run [RUN] (main@") && said.status == 0, "{}", said.whole());

    let there = team.checkout();
    let said = there.invar(&["pull"]);
    assert!(said.status == 4 && said.stderr.contains("invar login"), "a private project: {}", said.whole());
    assert_eq!(team.login(&there, &team.token).status, 0);
    let said = there.invar(&["pull"]);
    assert_eq!(said.status, 0, "{}", said.whole());
    assert_eq!(there.invar(&["list", "--json"]).stdout, here.invar(&["list", "--json"]).stdout);
    drop(team.sandbox);
}

#[test]
fn a_run_here_is_compared_with_a_commit_of_the_server() {
    let team = Team::start();
    let here = team.checkout();
    assert_eq!(team.login(&here, &team.token).status, 0);
    assert_eq!(here.run(&["--upload"], &SUITE).status, 0);

    let there = team.checkout();
    assert_eq!(team.login(&there, &team.token).status, 0);
    let said = there.invar(&["compare", "server:main"]);
    assert!(said.status == 2 && said.stderr.contains("no runs are stored"), "{}", said.whole());
    assert_eq!(there.run(&[], &SUITE).status, 0);
    for name in ["server:", "server:main", "server:HEAD"] {
        let said = there.invar(&["compare", name, "--json"]);
        let report: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
        assert_ne!(report["base"]["run"], report["head"]["run"], "{name}: {}", said.whole());
    }
    let said = there.invar(&["compare", "server:nowhere"]);
    assert!(said.status == 2 && said.stderr.contains("has no run of branch `nowhere`"), "{}", said.whole());
    drop(team.sandbox);
}

#[test]
fn shards_of_a_suite_become_one_run_on_the_server() {
    let team = Team::start();
    let base = team.checkout();
    assert_eq!(team.login(&base, &team.token).status, 0);
    assert_eq!(base.run(&["--upload"], &SUITE).status, 0);
    // Two jobs, each with a checkout of its own.
    let shards = [("1/2", &SUITE[..2]), ("2/2", &SUITE[2..])];
    for (number, (shard, suite)) in shards.into_iter().enumerate() {
        let job = team.checkout();
        assert_eq!(team.login(&job, &team.token).status, 0);
        assert_eq!(job.invar(&["pull"]).status, 0);
        let said = job.run(&["--shard", shard, "--shard-key", "17", "--upload"], suite);
        assert_eq!(said.status, 0, "{}", said.whole());
        let there = format!("shard {} of 2, of which {} are there.", number + 1, number + 1);
        assert!(said.stderr.contains(&there), "{}", said.whole());
        // What the other one measures is not dropped.
        let compared = job.invar(&["compare"]);
        assert!(compared.status == 0 && !compared.stdout.contains("dropped"), "{}", compared.whole());
        assert_eq!(job.invar(&["push"]).status, 0, "what is there may be sent again");
    }
    let there = team.checkout();
    assert_eq!(team.login(&there, &team.token).status, 0);
    assert_eq!(there.invar(&["pull"]).status, 0);
    let shown = there.invar(&["show", "--json"]).stdout;
    for (benchmark, _) in SUITE {
        assert!(shown.contains(benchmark), "{shown}");
    }
    let said = there.run(&["--shard", "3/2"], &SUITE);
    assert!(said.status == 2 && said.stderr.contains("--shard `3/2` is no shard"), "{}", said.whole());
    let said = there.run(&["--shard", "1/2"], &SUITE);
    assert!(said.status == 2 && said.stderr.contains("INVAR_SHARD_KEY"), "{}", said.whole());
}

#[test]
fn a_benchmark_that_the_server_has_renamed_is_compared_here() {
    let team = Team::start();
    let here = team.checkout();
    assert_eq!(team.login(&here, &team.token).status, 0);
    assert_eq!(here.run(&["--upload"], &SUITE).status, 0);
    let rename = ["benchmark", "acme/fib", SUITE[0].0, "--rename", "tests/test_fibo.py::large"];
    let said = team.sandbox.invar(&[&["admin", "--data", "data"], &rename[..]].concat());
    assert_eq!(said.status, 0, "{}", said.whole());
    let there = team.checkout();
    assert_eq!(team.login(&there, &team.token).status, 0);
    let said = there.invar(&["pull"]);
    assert!(said.status == 0 && said.stderr.contains("1 benchmark renamed or archived"), "{}", said.whole());
    let renamed = [("tests/test_fibo.py::large", 2 * SUITE[0].1), SUITE[1], SUITE[2]];
    assert_eq!(there.run(&[], &renamed).status, 0);
    let said = there.invar(&["compare"]);
    assert_eq!(said.status, 1, "{}", said.whole());
    let one_regressed = said.stdout.contains("test_fibo.py::large") && !said.stdout.contains("dropped");
    assert!(one_regressed, "{}", said.whole());
}

#[test]
fn a_token_that_is_none_is_not_kept() {
    let team = Team::start();
    let here = team.checkout();
    let said = team.login(&here, "inv_wrong");
    assert_ne!(said.status, 0, "{}", said.whole());
    let said = here.run(&[], &SUITE);
    assert_eq!(said.status, 0, "{}", said.whole());
    assert_eq!(here.invar(&["push"]).status, 4);
}

#[test]
fn an_upload_that_fails_is_no_failure_unless_it_was_required() {
    let here = Sandbox::repository();
    // Nobody listens at port 1.
    here.write("invar.toml", "[server]\nurl = \"http://127.0.0.1:1\"\nproject = \"acme/fib\"\n");
    here.commit("first");
    let said = here.run(&["--upload"], &SUITE);
    assert_eq!(said.status, 0, "{}", said.whole());
    assert!(said.stderr.contains("warning: the run was not uploaded"), "{}", said.whole());
    let said = here.run(&["--upload-required"], &SUITE);
    assert_eq!(said.status, 4, "{}", said.whole());
    assert!(said.stderr.contains("invar push"), "{}", said.whole());
    assert_eq!(here.invar(&["list"]).stdout.lines().count(), 3, "both runs are kept");
}

#[test]
fn accounts_and_members_are_made_where_the_data_is() {
    let team = Team::start();
    let admin = |words: &[&str], password: &str| {
        let mut command = team.sandbox.command(env!("CARGO_BIN_EXE_invar"));
        command.args(["admin", "--data", "data"]).args(words);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(password.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let whole = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(whole).unwrap())
    };
    let made = admin(&["user", "ada", "--admin"], "correct horse battery\n");
    assert_eq!(made, (Some(0), "  Made the account ada.\n".to_string()));
    let (status, said) = admin(&["user", "bob"], "short");
    assert!(status != Some(0) && said.starts_with("error: "), "{said}");
    let made = admin(&["member", "acme/fib", "ada", "writer"], "");
    assert_eq!(made, (Some(0), "  ada is writer of acme/fib.\n".to_string()));
    let (status, said) = admin(&["member", "acme/fib", "nobody", "writer"], "");
    assert!(status != Some(0) && said.starts_with("error: "), "{said}");
    let (status, said) = admin(&["users"], "");
    assert!(status == Some(0) && said.contains("ada") && !said.contains("bob"), "{said}");
}

#[test]
fn a_backup_is_served_like_the_store_that_it_is_of() {
    let team = Team::start();
    let here = team.checkout();
    assert_eq!(team.login(&here, &team.token).status, 0);
    assert_eq!(here.run(&["--upload"], &SUITE).status, 0);
    let said = team.sandbox.invar(&["admin", "--data", "data", "backup", "copy"]);
    assert_eq!(said.stdout, "  Copied all rows and 1 blob; 0 were there already.\n", "{}", said.whole());
    let said = team.sandbox.invar(&["admin", "--data", "data", "collect"]);
    assert_eq!(said.stdout, "  Removed 0 blobs that nothing named, of 0 bytes.\n", "{}", said.whole());
    let copy = Server::start(&team.sandbox, &["--team", "--data", "copy"]);
    let url = format!("[server]\nurl = \"http://{}\"\nproject = \"acme/fib\"\n", copy.address);
    here.write("invar.toml", &url);
    let mut push = here.command(env!("CARGO_BIN_EXE_invar"));
    let said = Said::of(&here, push.args(["push"]).env("INVAR_TOKEN", &team.token).output().unwrap());
    assert!(said.stdout.contains("has run [RUN]") && said.status == 0, "{}", said.whole());
}

#[test]
fn a_backup_comes_back_into_an_empty_store_and_into_no_other() {
    let team = Team::start();
    let here = team.checkout();
    assert_eq!(team.login(&here, &team.token).status, 0);
    assert_eq!(here.run(&["--upload"], &SUITE).status, 0);
    assert_eq!(team.sandbox.invar(&["admin", "--data", "data", "backup", "copy"]).status, 0);
    let said = team.sandbox.invar(&["admin", "--data", "again", "restore", "copy"]);
    assert!(said.stdout.ends_with("and 1 blob; 0 were there already.\n  Every blob that a row names is there, and is what its name says.\n"), "{}", said.whole());
    let again = Server::start(&team.sandbox, &["--team", "--data", "again"]);
    here.write(
        "invar.toml",
        &format!("[server]\nurl = \"http://{}\"\nproject = \"acme/fib\"\n", again.address),
    );
    let mut push = here.command(env!("CARGO_BIN_EXE_invar"));
    let said = Said::of(&here, push.args(["push"]).env("INVAR_TOKEN", &team.token).output().unwrap());
    assert!(said.stdout.contains("has run [RUN]") && said.status == 0, "{}", said.whole());
    let said = team.sandbox.invar(&["admin", "--data", "again", "restore", "copy"]);
    assert!(
        said.status == 4 && said.stderr.starts_with("error: the store is not empty (projects: 1)"),
        "{}",
        said.whole()
    );
    let said = team.sandbox.invar(&["admin", "--data", "other", "restore", "nowhere"]);
    assert!(
        said.status == 4 && said.stderr.starts_with("error: there is no backup in nowhere"),
        "{}",
        said.whole()
    );
}

#[test]
fn names_and_retention_are_said_where_the_data_is() {
    let team = Team::start();
    let admin = |words: &[&str]| {
        let said = team.sandbox.invar(&[&["admin", "--data", "data"], words].concat());
        (said.status, said.stdout)
    };
    let benchmark = |words: &[&str]| admin(&[&["benchmark", "acme/fib", "t.py::a"], words].concat());
    assert_eq!(benchmark(&["--rename", "t.py::b"]), (0, "  t.py::a is t.py::b.\n".to_string()));
    assert_eq!(benchmark(&["--rename", "t.py::c"]).0, 2, "it is another one already");
    assert_eq!(benchmark(&["--undo"]), (0, "  t.py::a is called so, and is not archived.\n".to_string()));
    assert_eq!(benchmark(&["--undo"]).0, 2);
    assert_eq!(benchmark(&["--archive"]), (0, "  t.py::a is archived.\n".to_string()));
    assert_eq!(benchmark(&[]).0, 2, "it is not said what to do");
    let retention = |words: &[&str]| admin(&[&["retention", "acme/fib"], words].concat()).1;
    let forever = "  acme/fib keeps runs of other branches for ever, profiles for ever.\n";
    assert_eq!(retention(&[]), forever);
    let some = "  acme/fib keeps runs of other branches for 30 days, profiles for ever.\n";
    assert_eq!(retention(&["--runs-days", "30"]), some);
    assert_eq!(retention(&[]), some);
    assert_eq!(retention(&["--forever"]), forever);
    let nothing = "  Nothing would go: nobody says which branch of acme/fib is the default one.\n";
    assert_eq!(retention(&["--profiles-days", "1", "--preview"]), nothing);
    assert_eq!(retention(&[]), forever);
}

/// A way to a server on which each connection breaks once so many bytes have been sent on it, and no more than that in all come
/// through. Every fourth one keeps what the server answers to itself.
struct Fragile {
    address: String,
    carried: Arc<AtomicUsize>,
}

impl Fragile {
    fn to(server: &str, bytes_each: usize, bytes_in_all: usize) -> Fragile {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let carried = Arc::<AtomicUsize>::default();
        let (server, all) = (server.to_string(), Arc::clone(&carried));
        thread::spawn(move || {
            for (number, near) in listener.incoming().flatten().enumerate() {
                if all.load(Ordering::SeqCst) >= bytes_in_all {
                    continue;
                }
                let far = TcpStream::connect(&server).unwrap();
                let all = Arc::clone(&all);
                thread::spawn(move || carry(near, far, number % 4 == 3, bytes_each, bytes_in_all, &all));
            }
        });
        Fragile { address, carried }
    }
}

fn carry(near: TcpStream, far: TcpStream, is_dumb: bool, each: usize, in_all: usize, all: &AtomicUsize) {
    let (mut to_near, mut from_far) = (near.try_clone().unwrap(), far.try_clone().unwrap());
    let back = thread::spawn(move || {
        if is_dumb {
            // The first answer is not told, and the connection ends.
            drop(from_far.read(&mut [0; 4096]));
        } else {
            drop(std::io::copy(&mut from_far, &mut to_near));
        }
        drop(to_near.shutdown(Shutdown::Both));
        drop(from_far.shutdown(Shutdown::Both));
    });
    let (mut from_near, mut to_far, mut here) = (near, far, 0);
    let mut bytes = [0; 64 << 10];
    while let Ok(read @ 1..) = from_near.read(&mut bytes) {
        here += read;
        if to_far.write_all(&bytes[..read]).is_err()
            || here > each
            || all.fetch_add(read, Ordering::SeqCst) + read > in_all
        {
            break;
        }
    }
    drop(from_near.shutdown(Shutdown::Both));
    drop(to_far.shutdown(Shutdown::Both));
    back.join().unwrap();
}

/// So many characters that cannot be packed to less than six bits each.
fn noise(length: usize) -> String {
    let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(letters[(state >> 32) as usize % 64])
    };
    (0..length).map(|_| next()).collect()
}

#[test]
fn a_large_run_whose_connections_break_goes_on_where_it_was() {
    let team = Team::start();
    let here = team.checkout();
    here.run(&[], &SUITE);
    // As a suite with large profiles would have: more than is sent in one request.
    let mut run: Value = serde_json::from_str(&here.invar(&["export"]).raw_stdout).unwrap();
    run["id"] = "0190f3c2-7b1e-7cc3-9a54-000000000001".into();
    run["measurements"][0]["benchmark"]["extra_info"]["noise"] = noise(23 << 20).into();
    here.write("large.json", &run.to_string());
    assert_eq!(here.invar(&["import", "large.json"]).status, 0);
    let packed = 17_000_000;
    let push = |server: &str| {
        let mut command = here.command(env!("CARGO_BIN_EXE_invar"));
        command.args(["push", "0190f3c2"]).env("INVAR_SERVER", format!("http://{server}"));
        command.env("INVAR_TOKEN", &team.token);
        Said::of(&here, command.output().unwrap())
    };
    // The network goes away for good; another command goes on with what is there.
    let gone = Fragile::to(&team.server.address, 10 << 20, 10 << 20);
    let said = push(&gone.address);
    assert!(said.status == 4 && said.stderr.contains("cannot be reached"), "{}", said.whole());
    let rest = Fragile::to(&team.server.address, 6 << 20, usize::MAX);
    let said = push(&rest.address);
    assert!(said.status == 0 && said.stdout.contains("Sent run"), "{}", said.whole());
    // Each part that broke off came twice, and nothing of what had come before came again.
    let carried = rest.carried.load(Ordering::SeqCst);
    assert!(carried > packed - (10 << 20) && carried < 2 * packed - (8 << 20), "{carried} bytes");
    let said = push(&team.server.address);
    assert!(said.stdout.contains("has run") && said.status == 0, "{}", said.whole());
    let there = team.checkout();
    assert_eq!(team.login(&there, &team.token).status, 0);
    assert_eq!(there.invar(&["pull", "--branch", "main"]).status, 0);
    assert!(
        there.invar(&["export", "0190f3c2"]).raw_stdout == here.invar(&["export", "0190f3c2"]).raw_stdout
    );
}
