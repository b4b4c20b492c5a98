//! Who may do what: a row for each address, a column for each who asks. An address without a row fails.

use axum::http::StatusCode;
use invar_core::run::Timestamp;
use invar_server::team::addresses;
use invar_store::{NewAccount, NewPublisher, NewUpload, Role};

use crate::fixture::{Asking, BY, PRIVATE, PUBLIC, run, sent};

/// What each who asks is answered: nobody in particular, a token of another project, one that reads, one that uploads, one
/// that administers and reads.
type Row = (&'static str, &'static str, [u16; 5]);

/// What is said with uploads in parts.
const PARTS: [(&str, &str); 4] = [
    ("tus-resumable", "1.0.0"),
    ("upload-length", "9"),
    ("upload-offset", "0"),
    ("content-type", "application/offset+octet-stream"),
];

const P: &str = "/api/v1/projects/{owner}/{name}";

/// Of a private project. What does not name a project is the same for both.
fn rows_of_private() -> Vec<Row> {
    vec![
        ("GET", "/api/v1/openapi.json", [200, 200, 200, 200, 200]),
        ("GET", "/api/v1/token", [401, 200, 200, 200, 200]),
        ("GET", "/api/v1/projects", [200, 200, 200, 200, 200]),
        ("GET", "", [404, 404, 200, 403, 200]),
        ("GET", "/runs", [404, 404, 200, 403, 200]),
        ("POST", "/runs", [404, 404, 403, 201, 403]),
        ("POST", "/uploads", [404, 404, 403, 201, 403]),
        ("HEAD", "/uploads/{upload}", [404, 404, 403, 200, 403]),
        ("PATCH", "/uploads/{upload}", [404, 404, 403, 204, 403]),
        ("DELETE", "/uploads/{upload}", [404, 404, 403, 204, 403]),
        ("GET", "/runs/{run}", [404, 404, 200, 403, 200]),
        ("GET", "/runs/{run}/parcel", [404, 404, 200, 403, 200]),
        ("GET", "/runs/{run}/profile", [404, 404, 200, 403, 200]),
        ("GET", "/overview", [404, 404, 200, 403, 200]),
        ("GET", "/commits", [404, 404, 200, 403, 200]),
        ("GET", "/benchmarks", [404, 404, 200, 403, 200]),
        ("GET", "/series", [404, 404, 200, 403, 200]),
        ("GET", "/comparison", [404, 404, 200, 403, 200]),
        ("GET", "/settings", [404, 404, 403, 403, 200]),
        ("PUT", "/settings", [404, 404, 403, 403, 200]),
        ("GET", "/retention", [404, 404, 403, 403, 200]),
        ("PUT", "/retention", [404, 404, 403, 403, 200]),
        ("GET", "/members", [404, 404, 403, 403, 200]),
        ("PUT", "/members/{account}", [404, 404, 403, 403, 200]),
        ("DELETE", "/members/{account}", [404, 404, 403, 403, 204]),
        ("GET", "/tokens", [404, 404, 403, 403, 200]),
        ("POST", "/tokens", [404, 404, 403, 403, 201]),
        ("POST", "/tokens/exchange", [401; 5]),
        ("DELETE", "/tokens/{number}", [404, 404, 403, 403, 204]),
        ("GET", "/names", [404, 404, 200, 403, 200]),
        ("POST", "/names", [404, 404, 403, 403, 201]),
        ("DELETE", "/names/{number}", [404, 404, 403, 403, 204]),
        ("GET", "/ignored", [404, 404, 200, 403, 200]),
        ("POST", "/ignored", [404, 404, 403, 403, 201]),
        ("DELETE", "/ignored/{number}", [404, 404, 403, 403, 204]),
        ("GET", "/publishers", [404, 404, 403, 403, 200]),
        ("POST", "/publishers", [404, 404, 403, 403, 201]),
        ("DELETE", "/publishers/{number}", [404, 404, 403, 403, 204]),
    ]
}

/// The same of a public one: everybody reads, and nobody else does anything.
fn rows_of_public() -> Vec<Row> {
    let mut rows = rows_of_private();
    for (method, address, expected) in &mut rows {
        if address.starts_with("/api") {
            continue;
        }
        // Who shows what a forge says needs no token.
        if *address == "/tokens/exchange" {
            continue;
        }
        let of_admins = ["/tokens", "/publishers", "/settings", "/retention", "/members"];
        if *method == "GET" && !of_admins.contains(address) {
            *expected = [200; 5];
        } else {
            (expected[0], expected[1]) = (401, 403);
        }
    }
    rows
}

fn whole(address: &str) -> String {
    if address.starts_with("/api") { address.to_string() } else { format!("{P}{address}") }
}

async fn check(project: &str, rows: Vec<Row>) {
    let other = if project == PRIVATE { PUBLIC } else { PRIVATE };
    let (owner, name) = project.split_once('/').unwrap();
    for (method, address, expected) in rows {
        // A server of its own for each: what one row changes is no other row's.
        let asking = Asking::new().await;
        let within = asking.store.project(project).await.unwrap().unwrap();
        let profile = invar_core::profile::Builder::new("t.py::a").finish();
        let profiles = [("t.py::a".to_string(), profile)].into_iter().collect();
        within.put_with(&run(1), &profiles).await.unwrap();
        let askers = [
            None,
            Some(asking.token(other, "read upload admin", None).await),
            Some(asking.token(project, "read", None).await),
            Some(asking.token(project, "upload", None).await),
            Some(asking.token(project, "read admin", None).await),
        ];
        asking.token(project, "read", None).await;
        let number = within.tokens().await.unwrap()[0].number;
        let publisher = NewPublisher {
            forge: "gitlab",
            issuer: "https://gitlab.com",
            repository: "acme/fib",
            reference: "",
            environment: "",
        };
        let publisher = within.create_publisher(publisher, BY).await.unwrap().unwrap();
        let account = NewAccount { name: "ada", password: "", admin: false };
        asking.store.create_account(account, BY).await.unwrap();
        let (account, _) = asking.store.account("ada").await.unwrap().unwrap();
        within.set_member(&account, Role::Reader, BY).await.unwrap();
        let naming = within.archive_benchmark("t.py::old", BY).await.unwrap();
        let ignored = within.ignore_benchmark("t.py::old", "flaky", BY).await.unwrap();
        let number = match address {
            _ if address.starts_with("/publishers") => publisher,
            _ if address.starts_with("/names") => naming,
            _ if address.starts_with("/ignored") => ignored,
            _ => number,
        };
        let mut uri = whole(address).replace("{owner}", owner).replace("{name}", name);
        uri = uri.replace("{run}", &run(1).id).replace("{number}", &number.to_string());
        uri = uri.replace("{account}", "ada").replace("{upload}", "u");
        let later = Timestamp(i64::MAX);
        let upload = NewUpload { id: "u", digest: "", bytes: 9, expires: later, most: 1 };
        // Beside it another one may begin.
        within.begin_upload(upload, Timestamp(1)).await.unwrap();
        let headers: &[(&str, &str)] = if address.starts_with("/uploads") { &PARTS } else { &[] };
        match address {
            _ if address.ends_with("/profile") => uri.push_str("?benchmark=t.py::a"),
            "/series" => uri.push_str("?benchmark=t.py::a"),
            "/comparison" => uri.push_str(&format!("?base={0}&head={0}", run(1).id)),
            _ => {}
        }
        let body = match (method, address) {
            ("POST", "/runs") => sent(2),
            ("POST", "/tokens") => br#"{"name": "ci", "scopes": ["upload"]}"#.to_vec(),
            ("POST", "/tokens/exchange") => br#"{"id_token": "a.b.c"}"#.to_vec(),
            ("PUT", "/settings") => br#"{"text": "default_branch = 'main'", "visibility": null}"#.to_vec(),
            ("PUT", "/retention") => br#"{"runs_days": 90}"#.to_vec(),
            ("PUT", "/members/{account}") => br#"{"role": "writer"}"#.to_vec(),
            ("POST", "/names") => br#"{"benchmark": "t.py::a", "becomes": "t.py::b"}"#.to_vec(),
            ("POST", "/ignored") => br#"{"benchmark": "t.py::a", "reason": "flaky"}"#.to_vec(),
            ("POST", "/publishers") => {
                br#"{"issuer": "https://gitlab.com", "repository": "acme/other"}"#.to_vec()
            }
            ("PATCH", "/uploads/{upload}") => b"abc".to_vec(),
            _ => Vec::new(),
        };
        for (at, (token, expected)) in askers.iter().zip(expected).enumerate() {
            let said = asking.saying(method, &uri, token.as_deref(), headers, body.clone()).await;
            assert_eq!(said.status.as_u16(), expected, "{method} {uri} by {at}: {}", said.text());
            if !said.status.is_success() {
                assert_eq!(said.content_type, "application/problem+json", "{method} {uri} by {at}");
            }
        }
        for bad in
            ["nonsense", "inv_0", &asking.token(project, "read upload admin", Some(Timestamp(2))).await]
        {
            let said = asking.saying(method, &uri, Some(bad), headers, body.clone()).await;
            let expected = if address.ends_with("openapi.json") { 200 } else { 401 };
            assert_eq!(said.status.as_u16(), expected, "{method} {uri} by {bad}");
        }
    }
}

#[test]
fn every_address_has_a_row() {
    let rows = rows_of_private().into_iter().map(|(method, address, _)| (method, whole(address)));
    let known: Vec<_> =
        addresses().into_iter().map(|(method, address)| (method, address.to_string())).collect();
    assert_eq!(rows.collect::<Vec<_>>(), known);
}

#[tokio::test]
async fn a_private_project_is_its_members() {
    check(PRIVATE, rows_of_private()).await;
}

#[tokio::test]
async fn a_public_project_is_read_by_everybody() {
    check(PUBLIC, rows_of_public()).await;
}

#[tokio::test]
async fn a_private_project_is_answered_as_if_it_were_not_there() {
    let asking = Asking::new().await;
    let token = asking.token(PUBLIC, "read upload admin", None).await;
    for token in [None, Some(token.as_str())] {
        let hidden = asking.with("GET", "/api/v1/projects/acme/secret", token, Vec::new()).await;
        let missing = asking.with("GET", "/api/v1/projects/acme/nobody", token, Vec::new()).await;
        assert_eq!((hidden.status, &hidden.body), (missing.status, &missing.body));
        let listed = asking.with("GET", "/api/v1/projects", token, Vec::new()).await.text();
        assert!(listed.contains(PUBLIC) && !listed.contains("secret"), "{listed}");
    }
}

#[tokio::test]
async fn a_run_of_another_project_is_not_there() {
    let asking = Asking::new().await;
    asking.store.project(PRIVATE).await.unwrap().unwrap().put(&run(1)).await.unwrap();
    let token = asking.token(PUBLIC, "read", None).await;
    for end in ["", "/parcel", "/profile?benchmark=t.py::a"] {
        let address = format!("/api/v1/projects/{PUBLIC}/runs/{}{end}", run(1).id);
        let said = asking.with("GET", &address, Some(&token), Vec::new()).await;
        assert_eq!(said.status, StatusCode::NOT_FOUND, "{address}");
    }
}

#[tokio::test]
async fn a_token_that_was_made_works_until_it_is_revoked() {
    let asking = Asking::new().await;
    let admin = asking.token(PRIVATE, "admin", None).await;
    let tokens = format!("/api/v1/projects/{PRIVATE}/tokens");
    let body = br#"{"name": "ci", "scopes": ["read"]}"#.to_vec();
    let made = asking.with("POST", &tokens, Some(&admin), body).await.json();
    let (token, number) = (made["token"].as_str().unwrap(), made["number"].as_i64().unwrap());
    let listed = asking.with("GET", &tokens, Some(&admin), Vec::new()).await.text();
    assert!(listed.contains("\"ci\"") && !listed.contains(token), "{listed}");
    let project = format!("/api/v1/projects/{PRIVATE}");
    assert_eq!(asking.with("GET", &project, Some(token), Vec::new()).await.status, StatusCode::OK);
    asking.with("DELETE", &format!("{tokens}/{number}"), Some(&admin), Vec::new()).await;
    assert_eq!(asking.with("GET", &project, Some(token), Vec::new()).await.status, StatusCode::UNAUTHORIZED);
    for bad in [
        "",
        "[]",
        r#"{"name": "x"}"#,
        r#"{"name": "x", "scopes": ["write"]}"#,
        r#"{"name": "x", "scopes": ["read"], "expires_us": 5}"#,
    ] {
        let said = asking.with("POST", &tokens, Some(&admin), bad.as_bytes().to_vec()).await;
        assert_eq!(said.status, StatusCode::BAD_REQUEST, "{bad}: {}", said.text());
    }
    let long = asking.with("POST", &tokens, Some(&admin), vec![b' '; 20 << 10]).await;
    assert_eq!(long.status, StatusCode::PAYLOAD_TOO_LARGE);
}
