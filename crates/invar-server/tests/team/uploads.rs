//! What becomes of uploads: kept once, or refused with nothing kept.

use axum::body::{Body, Bytes};
use axum::http::{Request, StatusCode};
use invar_core::benchmark::Benchmark;
use invar_core::run::Run;
use invar_core::shard::Shard;
use invar_core::source::Source;
use invar_core::wire::{parcel, v1};
use invar_server::team::upload::sha256;
use serde_json::Value;

use crate::fixture::{Asking, PRIVATE, PUBLIC, Said, run, runs, sent};

async fn upload(asking: &Asking, token: &str, body: impl Into<Body>, headers: &[(&str, &str)]) -> Said {
    let mut request = Request::post(runs(PRIVATE)).header("authorization", format!("Bearer {token}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    asking.ask(request.body(body.into()).unwrap()).await
}

/// Refused with this status, with a problem that says this, and nothing is kept.
#[track_caller]
fn refused(said: &Said, status: u16, expected: &str) {
    assert_eq!(said.status.as_u16(), status, "{}", said.text());
    assert_eq!(said.content_type, "application/problem+json");
    let detail = said.json()["detail"].as_str().unwrap().to_string();
    assert!(detail.contains(expected), "{detail}");
}

#[tokio::test]
async fn a_run_is_kept_once_with_its_profiles() {
    let asking = Asking::new().await;
    let token = asking.token(PRIVATE, "read upload", None).await;
    let first = upload(&asking, &token, sent(1), &[]).await;
    assert_eq!(first.status, StatusCode::CREATED, "{}", first.text());
    assert_eq!(first.location, format!("{}/{}", runs(PRIVATE), run(1).id));
    let packed = zstd::encode_all(&sent(1)[..], 1).unwrap();
    let headers = [("content-encoding", "zstd"), ("invar-sha256", &sha256(&packed))];
    assert_eq!(upload(&asking, &token, packed, &headers).await.status, StatusCode::OK);
    assert_eq!(asking.kept(PRIVATE).await, 1);
    let back = asking.with("GET", &format!("{}/parcel", first.location), Some(&token), Vec::new()).await;
    assert_eq!(zstd::decode_all(&back.body[..]).unwrap(), sent(1));
    let listed = asking.with("GET", &runs(PRIVATE), Some(&token), Vec::new()).await;
    assert_eq!(listed.json()["runs"][0]["id"], run(1).id);
}

#[tokio::test]
async fn a_run_file_as_it_is_exported_can_be_uploaded() {
    let asking = Asking::new().await;
    let token = asking.token(PRIVATE, "read upload", None).await;
    let said =
        upload(&asking, &token, v1::write_pretty(&run(1)), &[("content-type", "application/json")]).await;
    assert_eq!((said.status, &said.json()["profiles"]), (StatusCode::CREATED, &0.into()));
}

#[tokio::test]
async fn another_run_under_the_same_id_is_refused_in_every_project() {
    let asking = Asking::new().await;
    let token = asking.token(PRIVATE, "upload", None).await;
    upload(&asking, &token, sent(1), &[]).await;
    let other = Run { warnings: vec!["other".to_string()], ..run(1) };
    refused(&upload(&asking, &token, v1::write(&other), &[]).await, 409, "Another run with this id");
    let token = asking.token(PUBLIC, "upload", None).await;
    let said = asking.with("POST", &runs(PUBLIC), Some(&token), sent(1)).await;
    refused(&said, 409, "Another run with this id");
    assert_eq!((asking.kept(PRIVATE).await, asking.kept(PUBLIC).await), (1, 0));
}

#[tokio::test]
async fn what_is_damaged_or_too_much_is_refused_and_nothing_is_kept() {
    let asking = Asking::new().await;
    let token = asking.token(PRIVATE, "upload", None).await;
    let zstd_of = |bytes: &[u8]| zstd::encode_all(bytes, 19).unwrap();
    let zstd = [("content-encoding", "zstd")];
    let whole = sent(1);
    let packed = zstd_of(&whole);
    refused(&upload(&asking, &token, whole[..whole.len() / 2].to_vec(), &[]).await, 422, "cut short");
    refused(&upload(&asking, &token, packed[..packed.len() - 3].to_vec(), &zstd).await, 422, "cut short");
    refused(&upload(&asking, &token, whole.clone(), &zstd).await, 422, "not zstd");
    refused(
        &upload(&asking, &token, whole.clone(), &[("invar-sha256", &sha256(b"x"))]).await,
        422,
        "SHA-256",
    );
    refused(&upload(&asking, &token, whole.clone(), &[("content-encoding", "gzip")]).await, 415, "`zstd`");
    refused(&upload(&asking, &token, "GIF89a", &[]).await, 422, "neither a run file nor");
    refused(&upload(&asking, &token, "", &[]).await, 422, "it is empty");
    refused(&upload(&asking, &token, r#"{"invar": 99}"#, &[]).await, 422, "is newer than 1");
    refused(&upload(&asking, &token, vec![b' '; 65 << 10], &[]).await, 413, "larger than 65536 bytes");
    // Megabytes of spaces, in a few kilobytes.
    let bomb = zstd_of(&vec![b' '; 64 << 20]);
    assert!(bomb.len() < 16 << 10);
    refused(&upload(&asking, &token, bomb, &zstd).await, 413, "when it is unpacked");
    let deep = format!(r#"{{"invar": 1, "id": {}1{}"#, "[".repeat(30_000), "]".repeat(30_000));
    refused(&upload(&asking, &token, deep, &[]).await, 422, "The run was not kept");
    let extra = format!(r#""extra_info": {{"a": {}{}}}, "#, "[".repeat(20_000), "]".repeat(20_000));
    let deep = v1::write(&run(1)).replacen("\"benchmark\":{", &format!("\"benchmark\":{{{extra}"), 1);
    refused(&upload(&asking, &token, deep, &[]).await, 422, "recursion limit");
    let mut many = run(1);
    let one = many.measurements[0].clone();
    many.measurements = (0..101)
        .map(|number| {
            let mut one = one.clone();
            one.benchmark.id = format!("t.py::a{number}");
            one
        })
        .collect();
    refused(
        &upload(&asking, &token, zstd_of(v1::write(&many).as_bytes()), &zstd).await,
        422,
        "101 benchmarks",
    );
    assert_eq!(asking.kept(PRIVATE).await, 0);
}

#[tokio::test]
async fn a_body_that_breaks_off_is_refused() {
    let asking = Asking::new().await;
    let token = asking.token(PRIVATE, "upload", None).await;
    let pieces: [Result<Bytes, std::io::Error>; 2] =
        [Ok(Bytes::from(sent(1)[..20].to_vec())), Err(std::io::Error::other("the connection broke"))];
    let body = Body::from_stream(futures_util::stream::iter(pieces));
    refused(&upload(&asking, &token, body, &[]).await, 408, "cut off");
    assert_eq!(asking.kept(PRIVATE).await, 0);
    // Without a length the limit holds as well.
    let pieces = (0..100).map(|_| Ok::<_, std::io::Error>(Bytes::from_static(&[b' '; 1024])));
    let body = Body::from_stream(futures_util::stream::iter(pieces));
    refused(&upload(&asking, &token, body, &[]).await, 413, "larger than 65536 bytes");
}

#[tokio::test]
async fn hostile_names_are_refused_or_harmless() {
    let asking = Asking::new().await;
    let token = asking.token(PRIVATE, "read upload", None).await;
    for (name, expected) in [
        (String::new(), "is empty"),
        ("a\nb".to_string(), "control characters"),
        ("a\0b".to_string(), "control characters"),
        ("\u{1b}[31m".to_string(), "control characters"),
        ("x".repeat(10 << 10), "longer than 2000 bytes"),
    ] {
        let mut run = run(1);
        run.measurements[0].benchmark.id = name.clone();
        refused(&upload(&asking, &token, v1::write(&run), &[]).await, 422, expected);
        let source = Source { branch: Some(name.clone()), ..Source::default() };
        let run = Run { source: Some(source), ..crate::fixture::run(1) };
        refused(&upload(&asking, &token, v1::write(&run), &[]).await, 422, expected);
    }
    for id in ["", "../../etc/passwd", "0190F3C2-7B1E-7CC3-9A54-000000000001", "'; DROP TABLE run; --"] {
        let run = Run { id: id.to_string(), ..run(1) };
        refused(&upload(&asking, &token, v1::write(&run), &[]).await, 422, "is no UUID");
    }
    let source = Source { commit: Some("<script>".to_string()), ..Source::default() };
    let named = Run { source: Some(source), ..run(1) };
    refused(&upload(&asking, &token, v1::write(&named), &[]).await, 422, "hexadecimal digits");
    assert_eq!(asking.kept(PRIVATE).await, 0);
    let name = "../../etc/passwd::<script>alert(1)</script>'; DROP TABLE run; --";
    let mut harmless = run(1);
    harmless.measurements[0].benchmark.id = name.to_string();
    let sent = parcel::write(&harmless, &Default::default());
    assert_eq!(upload(&asking, &token, sent, &[]).await.status, StatusCode::CREATED);
    let back =
        asking.with("GET", &format!("{}/{}", runs(PRIVATE), run(1).id), Some(&token), Vec::new()).await;
    assert_eq!(v1::read(&back.body).unwrap().measurements[0].benchmark.id, name);
}

#[tokio::test]
async fn a_store_that_cannot_be_written_says_so_and_keeps_nothing() {
    let asking = Asking::new().await;
    let token = asking.token(PRIVATE, "upload", None).await;
    // Once before: the use of the token is noted then, and not again within a minute.
    refused(&upload(&asking, &token, "", &[]).await, 422, "empty");
    std::fs::write(asking.folder.path().join("blobs"), "in the way").unwrap();
    let said = upload(&asking, &token, sent(1), &[]).await;
    refused(&said, 500, "Something is wrong on this side");
    assert!(!said.text().contains(&asking.folder.path().display().to_string()), "{}", said.text());
    assert_eq!(asking.kept(PRIVATE).await, 0);
    std::fs::remove_file(asking.folder.path().join("blobs")).unwrap();
    assert_eq!(upload(&asking, &token, sent(1), &[]).await.status, StatusCode::CREATED);
}

/// A shard of two of a run, with a benchmark of its own.
fn shard(number: u32) -> Run {
    let mut run = run(number);
    run.source = self::run(1).source;
    run.measurements[0].benchmark = Benchmark::named(&format!("t.py::{number}"));
    run.shard = Some(Shard { key: "k".to_string(), number, of: 2 });
    run
}

#[tokio::test]
async fn shards_become_one_run_that_pages_show() {
    let asking = Asking::new().await;
    let token = asking.token(PRIVATE, "read upload", None).await;
    let first = upload(&asking, &token, v1::write(&shard(2)), &[]).await;
    assert_eq!(
        (first.status, &first.json()["shard"]["there"]),
        (StatusCode::CREATED, &serde_json::json!([2]))
    );
    let page = |address: &str| format!("/{PRIVATE}{address}");
    let before = first.json()["shard"]["run"].as_str().unwrap().to_string();
    let said = asking.with("GET", &page(&format!("/runs/{before}")), Some(&token), Vec::new()).await.text();
    assert!(said.contains("shard 1 of 2 has not come"), "{said}");
    let last = upload(&asking, &token, v1::write(&shard(1)), &[]).await;
    assert_eq!(upload(&asking, &token, v1::write(&shard(2)), &[]).await.status, StatusCode::OK);
    let run = asking.with("GET", &last.location, Some(&token), Vec::new()).await.json();
    assert_eq!((run["measurements"].as_array().map(Vec::len), &run["incomplete"]), (Some(2), &Value::Null));
    assert_eq!(asking.kept(PRIVATE).await, 1);
    // The address that the first one gave still leads there.
    let said = asking.with("GET", &page(&format!("/runs/{before}")), Some(&token), Vec::new()).await;
    assert_eq!(said.location, page(&format!("/runs/{}", run["id"].as_str().unwrap())), "{}", said.text());
}

#[tokio::test]
async fn a_shard_that_does_not_belong_to_the_others_is_refused() {
    let asking = Asking::new().await;
    let token = asking.token(PRIVATE, "upload", None).await;
    upload(&asking, &token, v1::write(&shard(1)), &[]).await;
    let other = Run { source: run(2).source, ..shard(2) };
    refused(&upload(&asking, &token, v1::write(&other), &[]).await, 409, "shard 2 has the commit");
    let mut three = shard(2);
    three.shard.as_mut().unwrap().of = 3;
    refused(
        &upload(&asking, &token, v1::write(&three), &[]).await,
        409,
        "one of 3, and others with its key are of 2",
    );
    for (number, of) in [(0, 2), (3, 2), (1, 1001)] {
        let mut none = shard(2);
        none.shard = Some(Shard { key: "k".to_string(), number, of });
        refused(&upload(&asking, &token, v1::write(&none), &[]).await, 422, "the shard's number");
    }
}
