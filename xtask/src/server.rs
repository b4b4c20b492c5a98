//! `cargo xtask server`: longer looks at a team's server than the tests take. `soak` kills one of two replicas again and
//! again; `api` lets schemathesis ask for whatever the description of the interface permits, and more.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use invar_core::benchmark::Benchmark;
use invar_core::diagnostic::Diagnostics;
use invar_core::event::Events;
use invar_core::instrument::Instrument;
use invar_core::machine::Machine;
use invar_core::measurement::Measurement;
use invar_core::run::{Run, Timestamp};
use invar_core::source::Source;
use invar_core::wire::v1;

use crate::prepare;

/// What schemathesis has to find wrong: answers of 5xx, and statuses, types and bodies that are not described.
const CHECKS: &str =
    "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance";
/// The run that is there when it asks, and its benchmark.
const RUN: &str = "0190f3c2-7b1e-7cc3-9a54-000000000001";
const BENCHMARK: &str = "t.py::a";
/// How schemathesis writes the body of a part of an upload, whose type it does not know.
const HOOKS: &str = r#"
import schemathesis

schemathesis.serializer.alias("application/offset+octet-stream", "application/octet-stream")
"#;

/// Two replicas and two workers on PostgreSQL and S3, of which one of each is killed in each round, while a hundred runs are sent to
/// both replicas.
pub fn soak(rounds: usize) -> Result<()> {
    prepare::engines_of_the_store()?;
    let mut cargo = prepare::cargo();
    cargo.args(["test", "--quiet", "--package", "invar", "--test", "command", "--"]);
    cargo.args([
        "--exact",
        "faults::a_server_that_is_killed_loses_nothing_that_it_said_it_kept",
        "--nocapture",
    ]);
    // A machine without the engines shall say so, and not pass.
    prepare::run(cargo.env("INVAR_SOAK_ROUNDS", rounds.to_string()).env("CI", "1"))
}

/// The interface for programs against its own description.
pub fn api(examples: usize) -> Result<()> {
    let invar = prepare::invar()?;
    let python = prepare::environment(&prepare::default_python()?, "schemathesis", &["schemathesis>=4,<5"])?;
    let folder = prepare::scratch()?.join("server-api");
    drop(std::fs::remove_dir_all(&folder));
    std::fs::create_dir_all(&folder)?;
    let admin = |arguments: &[&str]| {
        let mut admin = Command::new(&invar);
        prepare::output(admin.args(["admin", "--data", "data"]).args(arguments).current_dir(&folder))
    };
    admin(&["project", "acme/fib"])?;
    // The first token may be revoked, and the second one is shown.
    admin(&["token", "acme/fib", "--scopes", "read"])?;
    let token = admin(&["token", "acme/fib", "--scopes", "read,upload,admin"])?.trim().to_string();
    let mut user = Command::new(&invar);
    user.args(["admin", "--data", "data", "user", "ada"]).current_dir(&folder).stdin(Stdio::piped());
    let mut user = user.stdout(Stdio::null()).spawn()?;
    user.stdin.take().context("it has an input")?.write_all(b"correct horse battery\n")?;
    ensure!(user.wait()?.success(), "no account was made");
    let mut serve = Command::new(&invar);
    serve.args([
        "serve",
        "--team",
        "--data",
        "data",
        "--listen",
        "127.0.0.1:0",
        "--requests-per-minute",
        "0",
    ]);
    let mut server = serve.current_dir(&folder).stdout(Stdio::piped()).spawn()?;
    let mut line = String::new();
    BufReader::new(server.stdout.take().context("it has an output")?).read_line(&mut line)?;
    let url = line.trim().trim_end_matches('/').to_string();

    let mut run = Run::started(RUN, Timestamp(1), Machine::reference_1());
    run.source = Some(Source { branch: Some("main".to_string()), ..Source::default() });
    run.measurements.push(Measurement {
        benchmark: Benchmark::named(BENCHMARK),
        instrument: Instrument::Simulation,
        machine: Machine::reference_1(),
        cold: None,
        warm: Events::default(),
        diagnostics: Diagnostics::default(),
    });
    std::fs::write(folder.join("run.json"), v1::write(&run))?;
    let mut push = Command::new(&invar);
    push.args(["import", "run.json"]).current_dir(&folder).env("INVAR_STORE", "local");
    prepare::run(push.stdout(Stdio::null()))?;
    std::fs::write(
        folder.join("invar.toml"),
        format!("[server]\nurl = \"{url}\"\nproject = \"acme/fib\"\n"),
    )?;
    let mut push = Command::new(&invar);
    push.args(["push", RUN]).current_dir(&folder).env("INVAR_STORE", "local").env("INVAR_TOKEN", &token);
    prepare::run(push.stdout(Stdio::null()))?;

    let upload = begun(url.trim_start_matches("http://"), &token)?;
    // What is there it would not guess: first it is told all names, then that of the project, then none.
    let project = "[parameters]\n\"path.owner\" = \"acme\"\n\"path.name\" = \"fib\"\n";
    let known = format!(
        "{project}\"path.run\" = \"{RUN}\"\n\"path.number\" = 1\n\"path.account\" = \"ada\"\n\
         \"path.upload\" = \"{upload}\"\n\"query.benchmark\" = \"{BENCHMARK}\"\n\"query.base\" = \"{RUN}\"\n\"query.head\" = \"main\"\n"
    );
    std::fs::write(folder.join("known.toml"), known)?;
    std::fs::write(folder.join("hooks.py"), HOOKS)?;
    std::fs::write(folder.join("project.toml"), project)?;
    std::fs::write(folder.join("any.toml"), "")?;
    let mut found = Ok(());
    for config in ["known.toml", "project.toml", "any.toml"] {
        let mut schemathesis = Command::new(python.with_file_name("schemathesis"));
        schemathesis.args(["--config-file", config, "run"]).arg(format!("{url}/api/v1/openapi.json"));
        schemathesis.args(["--checks", CHECKS, "--max-examples", &examples.to_string()]);
        schemathesis.args(["--header", &format!("Authorization: Bearer {token}")]);
        if config == "project.toml" {
            // It would guess the number of the token that it shows.
            schemathesis.args(["--exclude-operation-id", "revoke_token"]);
        }
        // It may make the server busy, but not wait for ever.
        schemathesis.args(["--request-timeout", "60", "--no-color"]).current_dir(&folder);
        schemathesis.env("SCHEMATHESIS_HOOKS", "hooks").env("PYTHONPATH", ".");
        let status = schemathesis.status().context("cannot start schemathesis")?;
        if !status.success() {
            found = Err(anyhow::anyhow!("schemathesis found what it should not, with {config}"));
        }
    }
    ensure!(server.try_wait()?.is_none(), "the server has ended");
    server.kill()?;
    server.wait()?;
    found
}

/// An upload in parts that has begun, by its name.
fn begun(address: &str, token: &str) -> Result<String> {
    let mut stream = TcpStream::connect(address)?;
    let request = format!(
        "POST /api/v1/projects/acme/fib/uploads HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\
         Tus-Resumable: 1.0.0\r\nUpload-Length: 1000\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let location = answer.lines().find_map(|line| line.strip_prefix("location: "));
    let id = location.and_then(|location| location.rsplit('/').next());
    id.map(str::to_string).with_context(|| format!("no upload has begun: {answer}"))
}
