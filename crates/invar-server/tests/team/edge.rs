//! The server's edge, over real connections: who is turned away, who is cut off, and that others are answered meanwhile.

use std::sync::Mutex;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use invar_server::edge::host::Hosts;
use invar_server::edge::watch::{self, Watched};
use invar_server::edge::{Access, Edge, Settings};
use invar_server::team::upload::Limits;
use invar_server::team::{Team, router};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::fixture::{Asking, PRIVATE, runs, sent};

fn settings() -> Settings {
    Settings::new(Hosts::of_this_machine(), |_| ())
}

/// A server on a port of its own.
struct Serving {
    address: String,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<std::io::Result<()>>,
}

impl Serving {
    async fn start(edge: &Edge, router: Router) -> Serving {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (stop, told) = oneshot::channel();
        let edge = edge.clone();
        let ended =
            tokio::spawn(async move { edge.serve(listener, router, async { drop(told.await) }).await });
        Serving { address, stop, ended }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(&self.address).await.unwrap()
    }

    /// Asks by a connection of its own; everything that comes back.
    async fn ask(&self, head: &str) -> String {
        let mut stream = self.connect().await;
        stream.write_all(format!("{head}\r\nConnection: close\r\n\r\n").as_bytes()).await.unwrap();
        answer(&mut stream).await
    }

    async fn get(&self, path: &str) -> String {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: localhost")).await
    }
}

async fn answer(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(60), stream.read_to_end(&mut answer)).await;
    read.expect("it ends").unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

#[track_caller]
fn is(answer: &str, status: u16) {
    assert!(
        answer.get(8..).is_some_and(|rest| rest.starts_with(&format!(" {status} "))),
        "{status}: {answer}"
    );
}

#[tokio::test]
async fn a_handler_that_panics_is_answered_and_the_server_lives() {
    let edge = Edge::new(settings());
    let broken =
        Router::new().route("/api/broken", get(async || -> &'static str { panic!("as it is told") }));
    let serving = Serving::start(&edge, broken.route("/healthz", get(async || "ok"))).await;
    for _ in 0..3 {
        let said = serving.get("/api/broken").await;
        is(&said, 500);
        assert!(said.contains("application/problem+json") && said.contains("nosniff"), "{said}");
        is(&serving.get("/healthz").await, 200);
    }
    assert!(edge.metrics().text().contains("\ninvar_panics_total 3\n"));
}

#[tokio::test]
async fn a_name_that_is_not_the_servers_is_not_answered() {
    let asking = Asking::new().await;
    let hosts = Hosts::of_this_machine().and(["perf.example.org".to_string()]);
    let serving = Serving::start(&Edge::new(Settings { hosts, ..settings() }), asking.router.clone()).await;
    let named = |host: &str| format!("GET /api/v1/projects HTTP/1.1\r\nHost: {host}");
    is(&serving.ask(&named("evil.example")).await, 421);
    is(&serving.ask("GET /api/v1/projects HTTP/1.0").await, 421);
    for name in ["perf.example.org", "PERF.example.org:443", &serving.address] {
        is(&serving.ask(&named(name)).await, 200);
    }
    // Whoever watches asks by whatever name.
    is(&serving.ask("GET /healthz HTTP/1.1\r\nHost: 10-0-0-7.pods.example").await, 200);
}

#[tokio::test]
async fn a_body_that_is_far_too_large_is_refused_before_it_has_come() {
    let asking = Asking::new().await;
    let token = asking.token(PRIVATE, "upload", None).await;
    let serving = Serving::start(&Edge::new(settings()), asking.router.clone()).await;
    let length = 200 << 20;
    let head = format!(
        "POST {} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nContent-Length: {length}\r\n\r\n",
        runs(PRIVATE)
    );
    // Before a byte of it.
    let mut stream = serving.connect().await;
    stream.write_all(head.as_bytes()).await.unwrap();
    is(&answer(&mut stream).await, 413);
    // Who sends all of it first, as many clients do, is told as well.
    let mut stream = serving.connect().await;
    stream.write_all(head.as_bytes()).await.unwrap();
    for _ in 0..200 {
        stream.write_all(&vec![b' '; 1 << 20]).await.unwrap();
    }
    is(&answer(&mut stream).await, 413);
    assert_eq!(asking.kept(PRIVATE).await, 0);
}

#[tokio::test]
async fn a_client_that_is_slow_is_cut_off_and_nothing_is_kept() {
    let asking = Asking::new().await;
    let token = asking.token(PRIVATE, "upload", None).await;
    let edge = Edge::new(Settings { head: Duration::from_millis(300), ..settings() });
    let serving = Serving::start(&edge, asking.router.clone()).await;
    // A head that never ends, a connection that says nothing, and a body that does not come.
    let mut head = serving.connect().await;
    head.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-").await.unwrap();
    let mut silent = serving.connect().await;
    let mut body = serving.connect().await;
    let start = format!(
        "POST {} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nContent-Length: {}\r\n\r\n",
        runs(PRIVATE),
        sent(1).len()
    );
    body.write_all(start.as_bytes()).await.unwrap();
    body.write_all(&sent(1)[..10]).await.unwrap();
    is(&serving.get("/healthz").await, 200);
    assert!(!answer(&mut head).await.contains("200 OK"));
    assert_eq!(answer(&mut silent).await, "");
    is(&answer(&mut body).await, 408);
    assert_eq!(asking.kept(PRIVATE).await, 0);
}

#[tokio::test]
async fn who_asks_too_often_is_told_to_wait_and_nobody_else_is() {
    let asking = Asking::new().await;
    let proxies = vec!["127.0.0.1".parse().unwrap()];
    let edge = Edge::new(Settings { requests_per_minute: Some(120), proxies, ..settings() });
    let serving = Serving::start(&edge, asking.router.clone()).await;
    let from = |who: &str| {
        format!("GET /api/v1/projects HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: 203.0.113.9, {who}")
    };
    let mut said = String::new();
    // Half a minute's, and what comes back meanwhile.
    for _ in 0..200 {
        said = serving.ask(&from("192.0.2.1")).await;
        if !said.starts_with("HTTP/1.1 200") {
            break;
        }
    }
    is(&said, 429);
    assert!(said.contains("\r\nretry-after: 1\r\n"), "{said}");
    is(&serving.ask(&from("192.0.2.2")).await, 200);
    // Whoever guesses tokens is done after a few.
    let guess = format!("{}\r\nAuthorization: Bearer inv_wrong", from("192.0.2.3"));
    for _ in 0..3 {
        is(&serving.ask(&guess).await, 401);
    }
    is(&serving.ask(&guess).await, 429);
}

#[tokio::test]
async fn a_connection_too_many_waits_for_a_place() {
    let asking = Asking::new().await;
    let edge = Edge::new(Settings { connections: 1, ..settings() });
    let serving = Serving::start(&edge, asking.router.clone()).await;
    let mut first = serving.connect().await;
    first.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut byte = [0];
    first.read_exact(&mut byte).await.unwrap();
    let mut second = serving.connect().await;
    second.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let none = tokio::time::timeout(Duration::from_millis(200), second.read_exact(&mut byte)).await;
    assert!(none.is_err(), "the first one still has its place");
    drop(first);
    second.read_exact(&mut byte).await.unwrap();
}

#[tokio::test]
async fn a_server_that_is_told_to_stop_ends_though_a_connection_is_open() {
    let asking = Asking::new().await;
    let serving = Serving::start(&Edge::new(settings()), asking.router.clone()).await;
    let idle = serving.connect().await;
    is(&serving.get("/healthz").await, 200);
    serving.stop.send(()).unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(20), serving.ended).await;
    ended.expect("it ends").unwrap().unwrap();
    drop(idle);
}

#[tokio::test]
async fn uploads_hold_no_more_memory_than_they_may() {
    let asking = Asking::new().await;
    let token = asking.token(PRIVATE, "upload", None).await;
    // Room for one that is unpacked, and for one that arrives, but not for two of these.
    let limits = Limits { body_bytes: 64 << 10, memory_bytes: (2 << 20) + (100 << 10), ..Limits::default() };
    let team = Team::new(asking.store.clone(), limits, |_| ());
    let edge = Edge::new(settings());
    let serving = Serving::start(&edge, router(team.clone())).await;
    let watched = Watched { edge, store: asking.store.clone(), team: Some(team) };
    let watching = Serving::start(&Edge::new(settings()), watch::router(watched)).await;
    let upload = async |length: usize, bytes: &[u8]| {
        let head = format!(
            "POST {} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nContent-Encoding: zstd\r\n\
             Content-Length: {length}\r\nConnection: close\r\n\r\n",
            runs(PRIVATE)
        );
        let mut stream = serving.connect().await;
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        stream
    };
    let holds = async |bytes: usize| {
        while !watching.get("/metrics").await.contains(&format!("\ninvar_uploads_memory_bytes {bytes}\n")) {}
    };
    let half = [0; 60 << 10];
    let held = [upload(64 << 10, &half).await, upload(64 << 10, &half).await];
    holds(120 << 10).await;
    let packed = zstd::encode_all(&sent(1)[..], 1).unwrap();
    let said = answer(&mut upload(packed.len(), &packed).await).await;
    is(&said, 503);
    assert!(said.contains("\r\nretry-after: 5\r\n"), "{said}");
    drop(held);
    holds(0).await;
    is(&answer(&mut upload(packed.len(), &packed).await).await, 201);
    assert_eq!(asking.kept(PRIVATE).await, 1);
}

#[tokio::test]
async fn what_went_by_is_told_and_counted_without_names() {
    static SEEN: Mutex<Vec<(String, u16)>> = Mutex::new(Vec::new());
    let access = |access: &Access| SEEN.lock().unwrap().push((access.path.clone(), access.status.as_u16()));
    let asking = Asking::new().await;
    let edge = Edge::new(Settings { access: Some(access), ..settings() });
    let serving = Serving::start(&edge, asking.router.clone()).await;
    is(&serving.get("/api/v1/projects/acme/open?branch=secret").await, 200);
    is(&serving.get("/nowhere").await, 404);
    let seen = SEEN.lock().unwrap().clone();
    assert_eq!(seen, [("/api/v1/projects/acme/open".to_string(), 200), ("/nowhere".to_string(), 404)]);
    let watched = Watched { edge, store: asking.store.clone(), team: None };
    let watching = Serving::start(&Edge::new(settings()), watch::router(watched)).await;
    let text = watching.get("/metrics").await;
    let counted = "invar_http_requests_total{route=\"/api/v1/projects/{owner}/{name}\",method=\"GET\",status=\"200\"} 1";
    assert!(text.contains(counted) && !text.contains("acme"), "{text}");
    assert!(text.contains("\ninvar_database_connections_max 4\n"), "{text}");
    is(&watching.get("/readyz").await, 200);
}
