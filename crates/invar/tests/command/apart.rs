//! A store that is not in one directory: PostgreSQL and S3, filled from a checkout's store and shown.

use crate::sandbox::{SUITE, Said, Sandbox};
use crate::serve::Server;
use crate::{bucket, postgres};

#[test]
fn a_checkouts_store_moves_to_postgresql_and_s3_and_is_shown_from_there() {
    let (Some(database), Some(blobs)) = (postgres::part(), bucket::part()) else { return };
    let sandbox = Sandbox::repository();
    sandbox.commit("first");
    sandbox.run(&[], &SUITE);
    let apart = ["--database", &database, "--blobs", &blobs];
    let said = sandbox.invar(&[&["import", ".invar"], &apart[..]].concat());
    assert_eq!(
        said.whole(),
        "  Kept everything of .invar: 1 new run, 0 runs already there, 0 new projects\nexit status 0\n"
    );
    let said = sandbox.invar(&[&["import", ".invar"], &apart[..]].concat());
    assert!(said.stdout.contains("0 new runs, 1 run already there"), "{}", said.whole());

    let server = Server::start(&sandbox, &apart);
    let (status, overview) = server.get("/");
    assert_eq!(status, "HTTP/1.1 200 OK");
    assert!(overview.contains("3 benchmarks measured, nothing to compare with yet"), "{overview}");
    server.signal("TERM");
    let said = server.end(&sandbox);
    assert_eq!(said.status, 0);
    assert!(
        said.stderr.starts_with("Showing postgres://invar@localhost/postgres and s3://"),
        "{}",
        said.stderr
    );
    assert!(!said.stderr.contains("secret"), "{}", said.stderr);
}

#[test]
fn runs_move_by_export_and_import_too() {
    let (Some(database), Some(blobs)) = (postgres::part(), bucket::part()) else { return };
    let sandbox = Sandbox::repository();
    sandbox.commit("first");
    sandbox.run(&[], &SUITE);
    sandbox.write("run.json", &sandbox.invar(&["export"]).raw_stdout);
    let said = sandbox.invar(&["import", "run.json", "--database", &database, "--blobs", &blobs]);
    assert!(said.stdout.contains("Kept run "), "{}", said.whole());
}

#[test]
fn a_team_is_served_from_postgresql_and_s3() {
    let (Some(database), Some(blobs)) = (postgres::part(), bucket::part()) else { return };
    let sandbox = Sandbox::repository();
    let apart = ["--database", &database, "--blobs", &blobs];
    let said = sandbox.invar(&[&["admin"], &apart[..], &["project", "acme/fib"]].concat());
    assert_eq!(said.whole(), "  Made acme/fib, which is private.\nexit status 0\n");
    let said = sandbox.invar(&[&["admin"], &apart[..], &["token", "acme/fib"]].concat());
    let token = said.stdout.trim().to_string();
    let server = Server::start(&sandbox, &[&["--team"], &apart[..]].concat());
    assert_eq!(server.get("/readyz").0, "HTTP/1.1 200 OK");
    sandbox.commit("first");
    sandbox.run(&[], &SUITE);
    let url = format!("[server]\nurl = \"http://{}\"\nproject = \"acme/fib\"\n", server.address);
    sandbox.write("invar.toml", &url);
    let mut push = sandbox.command(env!("CARGO_BIN_EXE_invar"));
    let said = Said::of(&sandbox, push.args(["push"]).env("INVAR_TOKEN", token).output().unwrap());
    assert!(said.stdout.contains("Sent run [RUN]") && said.status == 0, "{}", said.whole());
    server.signal("TERM");
    assert_eq!(server.end(&sandbox).status, 0);
}

#[test]
fn what_a_server_keeps_runs_in_is_asked_before_anybody_is_answered() {
    let sandbox = Sandbox::empty();
    let said = sandbox.invar(&["serve", "--team"]);
    assert!(
        said.status == 2 && said.stderr.contains("whose projects to serve is not said"),
        "{}",
        said.whole()
    );
    let nowhere = "s3://key:secret@bucket/part?endpoint=http://127.0.0.1:1&region=here";
    let said = sandbox.invar(&["serve", "--team", "--database", "rows", "--blobs", nowhere]);
    assert_eq!(said.status, 4, "{}", said.whole());
    assert!(said.stderr.contains("runs and profiles cannot be kept in s3://bucket/part"), "{}", said.stderr);
    assert!(!said.stderr.contains("secret"), "{}", said.stderr);
    let Some(blobs) = bucket::part() else { return };
    let wrong = blobs.replace("invar:secret@", "invar:other@");
    let said = sandbox.invar(&["admin", "--database", "rows", "--blobs", &wrong, "projects"]);
    assert_eq!(said.status, 4, "{}", said.whole());
    assert!(said.stderr.contains("runs and profiles cannot be kept in s3://invar/"), "{}", said.whole());
}

#[test]
fn an_address_that_is_no_store_is_said_to_be() {
    let sandbox = Sandbox::empty();
    let said = sandbox.invar(&["serve", "--database", "mysql://root:secret@db/x", "--blobs", "blobs"]);
    assert_eq!(said.status, 2, "{}", said.whole());
    assert!(said.stderr.contains("cannot use mysql://...: it is no database"), "{}", said.stderr);
    let said = sandbox.invar(&["serve", "--database", "postgres://invar:secret@db/x"]);
    assert_eq!(said.status, 2, "{}", said.whole());
    assert!(said.stderr.contains("cannot use postgres://invar@db/x: it keeps no blobs"), "{}", said.stderr);
    let nowhere = "postgres://invar:secret@127.0.0.1:1/x";
    let said = sandbox.invar(&["import", "-", "--database", nowhere, "--blobs", "blobs"]);
    assert!(!said.stderr.contains("secret"), "{}", said.stderr);
    let said = sandbox.invar(&["serve", "--database", nowhere, "--blobs", "blobs"]);
    assert!(said.stderr.contains("postgres://invar@127.0.0.1:1/x cannot be reached"), "{}", said.stderr);
    assert!(!said.stderr.contains("secret"), "{}", said.stderr);
    let said = sandbox.invar(&["import", "."]);
    assert!(said.stderr.contains("there is no store in ."), "{}", said.stderr);
}
