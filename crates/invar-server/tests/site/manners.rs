//! How the site behaves, whatever is asked: errors, headers, the theme, a store that is damaged.

use std::sync::Mutex;

use axum::body::Body;
use axum::http::{Request, StatusCode};

use crate::fixture::{Asking, history, run};

#[tokio::test]
async fn what_is_not_there_is_said_to_people_and_to_scripts() {
    let asking = Asking::of(&history()).await;
    for page in ["/nope", "/runs/nope", "/b/nope", "/compare/main...nope", "/commits/x", "/pulls/nope"] {
        let html = asking.get(page).await;
        assert_eq!(
            (html.status, html.header("content-type")),
            (StatusCode::NOT_FOUND, "text/html; charset=utf-8"),
            "{page}"
        );
        assert!(html.body.contains("<h1>Nothing here</h1>"), "{page}");
        let json = asking.get(&format!("{page}.json")).await;
        assert_eq!(
            (json.status, json.header("content-type")),
            (StatusCode::NOT_FOUND, "application/problem+json"),
            "{page}"
        );
        let json: serde_json::Value = serde_json::from_str(&json.body).unwrap();
        assert_eq!((&json["status"], &json["title"]), (&404.into(), &"Nothing here".into()), "{page}");
    }
}

#[tokio::test]
async fn what_cannot_be_understood_is_said_to_be() {
    let asking = Asking::of(&history()).await;
    for page in ["/compare/main", "/runs?after=nothing", "/commits?after=x-y"] {
        assert_eq!(asking.get(page).await.status, StatusCode::BAD_REQUEST, "{page}");
    }
    // All runs of the fixture start like this.
    let ambiguous = asking.get("/runs/0190f3c2.json").await;
    assert_eq!(ambiguous.status, StatusCode::BAD_REQUEST);
    assert!(ambiguous.body.contains("`0190f3c2` could be any of 4 runs"), "{}", ambiguous.body);
    // What is no number is as if it were not there.
    asking.page("/b/tests/test_fibo.py::big?points=many&metric=seconds").await;
    asking.page("/compare/main...faster?page=99999999999999999999&verdict=x").await;
    asking.page("/compare/main...faster?page=18446744073709551615").await;
}

#[tokio::test]
async fn every_answer_keeps_strangers_out() {
    let asking = Asking::of(&history()).await;
    let page = asking.page("/").await;
    let asset = |start: &str| {
        page.split('"').find(|text| text.starts_with("/assets/") && text.ends_with(start)).unwrap()
    };
    for address in ["/", "/nope", "/runs.json", "/badge.svg", "/healthz", asset(".css"), asset(".svg")] {
        let said = asking.get(address).await;
        let policy = said.header("content-security-policy");
        assert!(
            policy.starts_with("default-src 'none'; script-src 'self';") && !policy.contains("unsafe"),
            "{address}: {policy}"
        );
        assert_eq!(said.header("x-content-type-options"), "nosniff", "{address}");
        assert_eq!(said.header("x-frame-options"), "DENY", "{address}");
    }
    // The policy forbids them, so nothing may need them.
    for forbidden in ["<script>", " style=", "http://", "onclick"] {
        assert!(!page.contains(forbidden), "{forbidden}");
    }
    assert!(asking.get(asset(".css")).await.header("cache-control").contains("immutable"));
}

#[tokio::test]
async fn nothing_can_be_changed_but_the_theme() {
    let asking = Asking::of(&history()).await;
    for method in ["POST", "PUT", "DELETE", "PATCH"] {
        let request = Request::builder().method(method).uri("/runs").body(Body::empty()).unwrap();
        assert_eq!(asking.ask(request).await.status, StatusCode::METHOD_NOT_ALLOWED, "{method}");
    }
    let head = Request::builder().method("HEAD").uri("/runs").body(Body::empty()).unwrap();
    let head = asking.ask(head).await;
    assert_eq!((head.status, head.body.as_str()), (StatusCode::OK, ""));
}

#[tokio::test]
async fn a_theme_is_remembered_and_leads_back() {
    let asking = Asking::of(&history()).await;
    let choose = async |body: &str| {
        asking.ask(Request::post("/theme").body(Body::from(body.to_string())).unwrap()).await
    };
    let dark = choose("theme=dark&back=%2Fruns%3Fbranch%3Dmain").await;
    assert_eq!((dark.status, dark.header("location")), (StatusCode::SEE_OTHER, "/runs?branch=main"));
    let cookie = dark.header("set-cookie");
    assert!(cookie.starts_with("invar_theme=dark; Path=/;") && cookie.contains("SameSite=Lax"), "{cookie}");
    let request = Request::get("/runs").header("cookie", "invar_theme=dark").body(Body::empty()).unwrap();
    assert!(asking.ask(request).await.body.contains("data-theme=\"dark\""));
    assert!(asking.page("/runs").await.contains("data-theme=\"auto\""));
    assert_eq!(choose("theme=dark&back=%2F%2Fevil.example").await.header("location"), "/");
    assert_eq!(choose("theme=dark&back=%2Fa%0d%0aset-cookie: x").await.header("location"), "/");
    assert_eq!(choose("theme=pink").await.status, StatusCode::BAD_REQUEST);
    assert_eq!(choose(&"x".repeat(5000)).await.status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn a_lost_result_is_said_and_the_rest_is_shown() {
    static TOLD: Mutex<Vec<String>> = Mutex::new(Vec::new());
    let asking = Asking::telling(&history(), |line| TOLD.lock().unwrap().push(line.to_string())).await;
    std::fs::remove_dir_all(asking.folder().join("blobs")).unwrap();
    let lost = asking.get(&format!("/runs/{}.json", run(2, "main", &[]).id)).await;
    assert_eq!(lost.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(lost.body.contains("The results of this run could not be read."), "{}", lost.body);
    let folder = asking.folder().display().to_string();
    assert!(!lost.body.contains(&folder), "{}", lost.body);
    let told = TOLD.lock().unwrap().join("\n");
    assert!(told.contains("are lost: cannot read") && told.contains(&folder), "{told}");
    for page in
        ["/", "/commits", "/runs", "/benchmarks", "/b/tests/test_fibo.py::big", "/changes.atom", "/badge.svg"]
    {
        asking.page(page).await;
    }
}

#[tokio::test]
async fn a_store_that_cannot_be_read_is_not_ready() {
    let asking = Asking::of(&history()).await;
    asking.page("/readyz").await;
    asking.store.clone().close().await;
    assert_eq!(asking.page("/healthz").await, "ok\n");
    let not_ready = asking.get("/readyz").await;
    assert_eq!(not_ready.status, StatusCode::SERVICE_UNAVAILABLE, "{}", not_ready.body);
    for page in ["/", "/runs.json"] {
        let said = asking.get(page).await;
        assert_eq!(said.status, StatusCode::INTERNAL_SERVER_ERROR, "{page}");
        assert!(said.body.contains("The store could not be read."), "{page}: {}", said.body);
    }
}
