//! Names, messages and facts that would like to be markup.

use axum::http::StatusCode;
use invar_core::event::Event;
use invar_core::run::Run;

use crate::fixture::{Asking, profile, run};

const NAME: &str = "t.py::a[<script>alert(1)</script>\"' onload=\"x]";
const MARKUP: &str =
    "</title></p><script>alert(2)</script>\"'><img src=x onerror=alert(3)>&amp;\u{1}\u{1b}[31m";

fn hostile() -> Vec<Run> {
    let runs = (1..=2).map(|number| {
        let mut run =
            run(number, MARKUP, &[(NAME, 1000 * u64::from(number)), ("a/../../b.json", 5), ("..", 5)]);
        let source = run.source.as_mut().unwrap();
        source.message = Some(MARKUP.to_string());
        source.author = Some(MARKUP.to_string());
        source.default_branch = Some(MARKUP.to_string());
        run.command = vec![MARKUP.to_string()];
        run.warnings = vec![MARKUP.to_string()];
        run.incomplete = Some(MARKUP.to_string());
        run.failed.insert(MARKUP.to_string(), MARKUP.to_string());
        run.environment.set(MARKUP, MARKUP, format!("{MARKUP}{number}"));
        run
    });
    runs.collect()
}

#[tokio::test]
async fn nothing_that_a_run_says_becomes_markup() {
    let runs = hostile();
    let profiles = |run: &Run| {
        run.measurements
            .iter()
            .map(|measurement| {
                let id = &measurement.benchmark.id;
                (id.clone(), profile(id, measurement.warm.get(Event::Instructions)))
            })
            .collect()
    };
    let with: Vec<_> = runs.iter().map(|run| (run.clone(), profiles(run))).collect();
    let asking = Asking::with_profiles(&with, |_| ()).await;
    let all = asking.page("/search").await;
    let pull = all.split("href=\"").find(|rest| rest.starts_with("/pulls/")).unwrap();
    let pull = pull.split('"').next().unwrap().to_string();
    let benchmark = asking.page("/benchmarks").await;
    let address = benchmark.split("href=\"").find(|rest| rest.starts_with("/b/t.py")).unwrap();
    let address = address.split('"').next().unwrap().to_string();
    let flamed = address.strip_prefix("/b/").unwrap().to_string();
    let pages = [
        "/".to_string(),
        "/commits".to_string(),
        "/runs".to_string(),
        "/benchmarks?q=%22%3E%3Cscript%3Ealert(1)%3C/script%3E".to_string(),
        "/benchmarks?sort=change".to_string(),
        "/compare".to_string(),
        format!("/compare/{}...{}?verdict=all&q=%22%3E%3Cimg%20src=x", runs[0].id, runs[1].id),
        format!("/runs/{}", runs[1].id),
        format!("/commits/{}", runs[1].source.as_ref().unwrap().commit.as_ref().unwrap()),
        format!("{}?head={}", pull, runs[1].source.as_ref().unwrap().commit.as_ref().unwrap()),
        "/pulls?show=all".to_string(),
        "/search?q=%3Cscript%3Ealert(1)".to_string(),
        "/search".to_string(),
        format!("/runs/{}/b/{flamed}/flame", runs[1].id),
        format!("/compare/{}...{}/b/{flamed}", runs[0].id, runs[1].id),
        format!("/runs/{}?%22%3E%3Cscript%3Ealert(1)", runs[1].id),
        address,
        "/changes.atom".to_string(),
        "/badge.svg".to_string(),
    ];
    for page in &pages {
        let body = asking.page(page).await;
        check(page, &body);
    }
    for nothing in [
        "/%3Cscript%3Ealert(1)",
        "/runs/%3Cscript%3Ealert(1)",
        "/b/%3Cimg%20src=x",
        "/compare/%3Cscript%3E...x",
    ] {
        let said = asking.get(nothing).await;
        assert!(said.status.is_client_error(), "{nothing}: {}", said.status);
        check(nothing, &said.body);
    }
}

#[track_caller]
fn check(page: &str, body: &str) {
    // Scripts of the site's own have an address of the site.
    let body = body.replace("<script type=\"module\" src=\"/assets/", "");
    for markup in ["<script", "<img", "onload=\"x", "' onload", "</title></p>"] {
        assert!(!body.contains(markup), "{page} has {markup}: {body}");
    }
}

#[tokio::test]
async fn a_feed_is_xml_whatever_stands_in_it() {
    let feed = Asking::of(&hostile()).await.page("/changes.atom").await;
    assert!(feed.contains("<entry>"), "{feed}");
    assert!(!feed.contains(['\u{1}', '\u{1b}']), "{feed}");
    assert!(feed.contains("&#38;amp;") || feed.contains("&amp;amp;"), "{feed}");
}

#[tokio::test]
async fn every_name_has_an_address_that_leads_back_to_it() {
    let asking = Asking::of(&hostile()).await;
    let page = asking.page("/benchmarks").await;
    let addresses = page.split("href=\"").filter(|rest| rest.starts_with("/b/"));
    let addresses: Vec<&str> = addresses.map(|rest| rest.split('"').next().unwrap()).collect();
    assert_eq!(addresses.len(), 3, "{page}");
    for address in addresses {
        let json: serde_json::Value =
            serde_json::from_str(&asking.page(&format!("{address}.json")).await).unwrap();
        assert_eq!(json["series"][0]["points"].as_array().unwrap().len(), 2, "{address}");
    }
}

#[tokio::test]
async fn an_address_of_ten_kilobytes_is_nothing_special() {
    let name = format!("t.py::{}", "é".repeat(3000));
    let asking = Asking::of(&[run(1, "main", &[(&name, 1000)])]).await;
    let page = asking.page("/benchmarks").await;
    let address =
        page.split("href=\"").find(|rest| rest.starts_with("/b/")).unwrap().split('"').next().unwrap();
    asking.page(address).await;
    let missing = asking.get(&format!("/b/{}", "x".repeat(10_000))).await;
    assert_eq!(missing.status, StatusCode::NOT_FOUND);
}
