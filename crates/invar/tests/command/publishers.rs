//! A job of CI uploads without a secret: what GitHub and GitLab give a job, as a server that believes them sees it.
//!
//! The forge is a thread that answers as GitHub does, and signs by RSA, with openssl.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::sandbox::{SUITE, Said, Sandbox};
use crate::serve::Server;

/// What a job shows to be told what it is.
const RUNNER: &str = "of the runner";

/// A forge with a key.
struct Forge {
    /// Its address, which it calls itself by.
    url: String,
    key: PathBuf,
}

fn openssl(arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let mut command = Command::new("openssl");
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("openssl is there");
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "openssl {arguments:?}: {output:?}");
    output.stdout
}

fn base64(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

impl Forge {
    fn start(sandbox: &Sandbox) -> Forge {
        let key = sandbox.path().join("key.pem");
        openssl(&["genrsa", "-out", key.to_str().unwrap(), "2048"], b"");
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let forge = Forge { url: url.clone(), key: key.clone() };
        let answering = Forge { url, key };
        // It ends with the process of the tests.
        std::thread::spawn(move || listener.incoming().flatten().for_each(|stream| answering.answer(stream)));
        forge
    }

    fn answer(&self, mut stream: TcpStream) {
        let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
        let first = lines.next().unwrap_or_default();
        let head: Vec<String> = lines.by_ref().take_while(|line| !line.is_empty()).collect();
        let path = first.split(' ').nth(1).unwrap_or_default();
        let is_runner =
            head.iter().any(|line| line.eq_ignore_ascii_case(&format!("authorization: Bearer {RUNNER}")));
        let body = match path.split_once("audience=") {
            Some((_, audience)) if is_runner => {
                let audience = audience.replace("%3A", ":").replace("%2F", "/");
                serde_json::json!({"count": 1, "value": self.sign(&audience, "refs/heads/main")})
            }
            Some(_) => serde_json::json!({"message": "who are you"}),
            None if path == "/keys" => {
                let key = self.key.to_str().unwrap();
                let modulus = openssl(&["rsa", "-in", key, "-noout", "-modulus"], b"");
                let modulus = String::from_utf8(modulus).unwrap();
                let digits = modulus.trim().strip_prefix("Modulus=").unwrap().as_bytes();
                let byte = |two: &[u8]| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap();
                let n: Vec<u8> = digits.chunks(2).map(byte).collect();
                let key = serde_json::json!({"kty": "RSA", "alg": "RS256", "use": "sig", "kid": "k", "n": base64(&n), "e": "AQAB"});
                serde_json::json!({"keys": [key]})
            }
            None => serde_json::json!({"issuer": self.url, "jwks_uri": format!("{}/keys", self.url)}),
        };
        let body = body.to_string();
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
        // Who has gone away misses nothing.
        drop(stream.write_all(format!("{head}{body}").as_bytes()));
    }

    /// What it says of a job of `acme/fib`.
    fn sign(&self, audience: &str, reference: &str) -> String {
        let now = jiff::Timestamp::now().as_second();
        let claims = serde_json::json!({
            "iss": self.url, "aud": audience, "iat": now, "exp": now + 300, "repository": "acme/fib",
            "repository_id": "77", "ref": reference,
        });
        let head = serde_json::json!({"typ": "JWT", "alg": "RS256", "kid": "k"});
        let message =
            format!("{}.{}", base64(head.to_string().as_bytes()), base64(claims.to_string().as_bytes()));
        let key = self.key.to_str().unwrap();
        format!("{message}.{}", base64(&openssl(&["dgst", "-sha256", "-sign", key], message.as_bytes())))
    }
}

fn measures(sandbox: &Sandbox, variables: &[(&str, &str)]) -> Said {
    let script = sandbox.suite(&SUITE, &Default::default());
    let mut command = sandbox.command(env!("CARGO_BIN_EXE_invar"));
    command.args(["run", "--upload-required", "--", "sh"]).arg(script).envs(variables.iter().copied());
    Said::of(sandbox, command.output().unwrap())
}

#[test]
fn a_job_of_ci_uploads_by_the_word_of_its_forge() {
    let data = Sandbox::empty();
    let forge = Forge::start(&data);
    assert_eq!(data.invar(&["admin", "--data", "data", "project", "acme/fib"]).status, 0);
    let issuer = format!("github={}", forge.url);
    let server = Server::start(&data, &["--team", "--data", "data", "--trusted-issuer", &issuer]);
    let here = Sandbox::repository();
    let url = format!("http://{}", server.address);
    here.write("invar.toml", &format!("[server]\nurl = \"{url}\"\nproject = \"acme/fib\"\n"));
    here.commit("first");
    let asked = format!("{}/token?api-version=2.0", forge.url);
    let job = [("ACTIONS_ID_TOKEN_REQUEST_URL", asked.as_str()), ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", RUNNER)];
    let said = measures(&here, &job);
    assert_eq!(said.status, 4, "nobody trusts it yet: {}", said.whole());
    assert!(said.stderr.contains("acme/fib at refs/heads/main is no publisher"), "{}", said.whole());
    let trust = ["admin", "--data", "data", "publisher", "acme/fib", "acme/fib", "--issuer", &forge.url];
    let said = data.invar(&[&trust[..], &["--ref", "refs/heads/*"]].concat());
    let shown = format!("acme/fib at refs/heads/* ({})", forge.url);
    assert_eq!(said.stdout, format!("  acme/fib trusts {shown}.\n"), "{}", said.whole());
    assert_eq!(
        data.invar(&["admin", "--data", "data", "publishers", "acme/fib"]).stdout,
        format!("  {shown}\n")
    );
    let said = measures(&here, &job);
    assert!(said.status == 0 && said.stderr.contains("Sent run [RUN]"), "{}", said.whole());
    // As GitLab does: it is in a variable.
    let pushed = |reference: &str| {
        let mut push = here.command(env!("CARGO_BIN_EXE_invar"));
        push.arg("push").env("INVAR_ID_TOKEN", forge.sign(&url, reference));
        Said::of(&here, push.output().unwrap())
    };
    assert!(pushed("refs/heads/x").stdout.contains("has run [RUN]"));
    assert_eq!(pushed("refs/tags/v1").status, 4);
    let said = data.invar(&[&trust[..], &["--ref", "refs/heads/*", "--remove"]].concat());
    assert_eq!(said.stdout, format!("  acme/fib trusts {shown} no more.\n"), "{}", said.whole());
    assert_eq!(pushed("refs/heads/x").status, 4);
}
