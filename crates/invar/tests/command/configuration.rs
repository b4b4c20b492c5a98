//! The configuration file of a server, variables and options, in this order; and by which forges people sign in.

use std::net::TcpListener;
use std::process::Command;

use crate::sandbox::{Said, Sandbox};
use crate::serve::Server;

/// A server that is asked for by nothing but a file and these variables and options.
fn serve(sandbox: &Sandbox, variables: &[(&str, &str)], options: &[&str]) -> Command {
    let mut command = sandbox.command(env!("CARGO_BIN_EXE_invar"));
    command.arg("serve").args(options).env("INVAR_CONFIG", "serve.toml").envs(variables.iter().copied());
    command
}

/// What one says that cannot start.
fn refused(sandbox: &Sandbox, variables: &[(&str, &str)], options: &[&str]) -> Said {
    let said = Said::of(sandbox, serve(sandbox, variables, options).output().unwrap());
    assert_eq!(said.status, 2, "{}", said.whole());
    said
}

/// Ends a server, and says what it showed.
fn shown(server: Server, sandbox: &Sandbox) -> String {
    server.signal("TERM");
    let said = server.end(sandbox);
    assert_eq!(said.status, 0, "{}", said.whole());
    said.stderr
}

#[test]
fn a_server_does_what_its_file_says() {
    let sandbox = Sandbox::empty();
    sandbox.write(
        "serve.toml",
        "listen = \"127.0.0.1:0\"\nteam = true\ndata = \"from-file\"\naccess-log = true\npublic-url = [\"https://a.example\", \"https://b.example\"]\n",
    );
    let server = Server::of(serve(&sandbox, &[], &[]));
    let (_, page) = server.get("/sign-in");
    assert!(page.contains("__Host-invar_session="), "it is a team's, called by TLS: {page}");
    let said = shown(server, &sandbox);
    assert!(said.contains("Showing from-file."), "{said}");
    assert!(said.contains("the first account, within a day: https://a.example/setup"), "{said}");
    assert!(said.contains("\"path\":\"/sign-in\""), "{said}");
}

#[test]
fn a_variable_goes_before_the_file_and_an_option_before_both() {
    let sandbox = Sandbox::empty();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let elsewhere = taken.local_addr().unwrap().to_string();
    sandbox.write("serve.toml", &format!("listen = \"{elsewhere}\"\ndata = \"from-file\"\nteam = true\n"));
    let said = refused(&sandbox, &[], &[]);
    assert!(said.stderr.starts_with(&format!("error: cannot listen on {elsewhere}")), "{}", said.whole());
    let free = ("INVAR_LISTEN", "127.0.0.1:0");
    let server = Server::of(serve(&sandbox, &[free], &[]));
    assert!(shown(server, &sandbox).contains("Showing from-file."));
    let server = Server::of(serve(&sandbox, &[free, ("INVAR_DATA", "from-variable")], &[]));
    assert!(shown(server, &sandbox).contains("Showing from-variable."));
    let options = ["--data", "from-option", "--team=false"];
    let server = Server::of(serve(&sandbox, &[free, ("INVAR_DATA", "from-variable")], &options));
    let (status, _) = server.get("/sign-in");
    assert_eq!(status, "HTTP/1.1 404 Not Found", "it is no team's");
    assert!(shown(server, &sandbox).contains("Showing from-option."));
    // An option takes the place of a variable also where one is given and wrong.
    let said = refused(&sandbox, &[("INVAR_LISTEN", "nowhere")], &[]);
    assert!(said.stderr.contains("invalid value 'nowhere'"), "{}", said.whole());
}

#[test]
fn of_two_stores_the_one_counts_that_is_said_later_in_the_order() {
    let sandbox = Sandbox::empty();
    sandbox.write(
        "serve.toml",
        "listen = \"127.0.0.1:0\"\ndatabase = \"from-file\"\nblobs = \"from-file/blobs\"\n",
    );
    let server = Server::of(serve(&sandbox, &[], &["--data", "from-option"]));
    assert!(shown(server, &sandbox).contains("Showing from-option."));
    let server =
        Server::of(serve(&sandbox, &[("INVAR_DATA", "from-variable")], &["--database", "of-option"]));
    assert!(shown(server, &sandbox).contains("Showing of-option and from-file/blobs."));
    for options in [["--data", "a", "--database", "b"], ["--data", "a", "--blobs", "b"]] {
        let said = refused(&sandbox, &[], &options);
        assert!(said.stderr.starts_with("error: the store is said to be in two places"), "{}", said.whole());
    }
    let said = Said::of(
        &sandbox,
        sandbox.command(env!("CARGO_BIN_EXE_invar")).args(["serve", "--blobs", "b"]).output().unwrap(),
    );
    assert!(
        said.stderr.starts_with("error: where blobs are is said, and not where the database is"),
        "{}",
        said.whole()
    );
}

#[test]
fn who_looks_after_a_server_takes_its_store_from_the_same_file() {
    let sandbox = Sandbox::empty();
    sandbox.write("serve.toml", "listen = \"127.0.0.1:0\"\nteam = true\ndata = \"from-file\"\n");
    shown(Server::of(serve(&sandbox, &[], &[])), &sandbox);
    let asked = |arguments: &[&str]| {
        let mut command = sandbox.command(env!("CARGO_BIN_EXE_invar"));
        Said::of(&sandbox, command.args(arguments).env("INVAR_CONFIG", "serve.toml").output().unwrap())
    };
    assert_eq!(asked(&["admin", "project", "acme/fib"]).status, 0);
    let named = sandbox.invar(&["admin", "projects", "--config", "serve.toml"]);
    assert_eq!((named.status, named.stdout.as_str()), (0, "  private  acme/fib\n"));
    let elsewhere = asked(&["admin", "--data", "of-option", "projects"]);
    assert_eq!((elsewhere.status, elsewhere.stdout.as_str()), (0, ""), "an option goes before the file");
    let mut worker = sandbox.command(env!("CARGO_BIN_EXE_invar"));
    worker.args(["work", "--every-seconds", "0", "--config", "serve.toml"]);
    assert_eq!(Said::of(&sandbox, worker.output().unwrap()).status, 2, "its own options are read as ever");
    sandbox.write("serve.toml", "lisen = 1\n");
    let wrong = asked(&["work"]);
    assert!(wrong.stderr.contains("did you mean `listen`?"), "{}", wrong.whole());
}

#[test]
fn a_file_that_means_nothing_says_what_was_meant() {
    let sandbox = Sandbox::empty();
    for (text, expected) in [
        ("lisen = \"127.0.0.1:0\"", "it has no setting `lisen`; did you mean `listen`?"),
        ("listen = \"nowhere\"", "`listen`: invalid value 'nowhere' for '--listen <ADDRESS:PORT>'"),
        ("team = [true]", "`team` is one value, and no list"),
        ("listen =", "it is not TOML"),
    ] {
        sandbox.write("serve.toml", text);
        let said = refused(&sandbox, &[], &[]);
        assert!(said.stderr.starts_with("error: cannot use serve.toml"), "{}", said.whole());
        assert!(said.stderr.contains(expected), "{}", said.whole());
    }
    let said = sandbox.invar(&["serve", "--config", "missing.toml"]);
    assert_eq!(said.status, 4, "{}", said.whole());
    assert!(said.stderr.contains("missing.toml"), "{}", said.whole());
}

#[test]
fn people_sign_in_by_the_forges_that_a_server_is_known_to() {
    let sandbox = Sandbox::empty();
    sandbox.write(
        "serve.toml",
        "listen = \"127.0.0.1:0\"\nteam = true\ndata = \"data\"\npublic-url = \"https://invar.example\"\ngithub-client-id = \"Iv1.8a61f9b3a7aba766\"\ngithub-client-secret-file = \"secret\"\ngitlab-url = \"https://gitlab.example/\"\n",
    );
    sandbox.write("secret", "what nobody else knows\n");
    let server = Server::of(serve(&sandbox, &[], &[]));
    let (_, page) = server.get("/sign-in");
    assert!(page.contains("Sign in by GitHub") && !page.contains("Sign in by GitLab"), "{page}");
    assert!(page.contains("form-action 'self' https://github.com;"), "{page}");
    let line = std::fs::read_to_string(format!("/proc/{}/cmdline", server.id())).unwrap();
    assert!(!line.contains("nobody else"), "{line}");
    shown(server, &sandbox);
    let gitlab = [("INVAR_GITLAB_CLIENT_ID", "invar"), ("INVAR_GITLAB_CLIENT_SECRET", "another one")];
    let server = Server::of(serve(&sandbox, &gitlab, &[]));
    let (_, page) = server.get("/sign-in");
    assert!(page.contains("form-action 'self' https://github.com https://gitlab.example;"), "{page}");
    shown(server, &sandbox);
    for (options, expected) in [
        (["--gitlab-client-id", "invar"], "error: what GitLab knows this server by is not said"),
        (["--gitlab-client-secret-file", "secret"], "error: what GitLab calls this server is not said"),
        (["--github-accounts", "everybody"], "error: `everybody` does not say who gets an account"),
        (
            ["--github-url", "http://github.example"],
            "error: `http://github.example` is no address of a forge",
        ),
    ] {
        let said = refused(&sandbox, &[], &options);
        assert!(said.stderr.starts_with(expected), "{}", said.whole());
    }
}
