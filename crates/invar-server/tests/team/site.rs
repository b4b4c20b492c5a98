//! Who sees and does what on the site: a row for each address, a column for each who asks. An address without a row fails.

use axum::http::StatusCode;
use invar_server::page_addresses;
use invar_server::team::site_addresses;
use invar_store::Role;

use crate::browser::Browser;
use crate::fixture::{Asking, PRIVATE, PUBLIC, run};

/// What each who asks is answered: nobody in particular, a token of another project, a token that reads, somebody who is a
/// member of another project, a reader, a writer, an admin of the project, an administrator of the server.
type Row = (&'static str, &'static str, [u16; 8]);

/// Addresses of the server, which name no project.
fn rows_of_server() -> Vec<Row> {
    vec![
        ("GET", "/", [200; 8]),
        ("GET", "/sign-in", [200, 200, 200, 303, 303, 303, 303, 303]),
        ("POST", "/sign-in", [422, 403, 403, 422, 422, 422, 422, 422]),
        ("POST", "/sign-in/{forge}", [404, 403, 403, 404, 404, 404, 404, 404]),
        ("GET", "/sign-in/{forge}/callback", [404; 8]),
        ("POST", "/sign-out", [303, 403, 403, 303, 303, 303, 303, 303]),
        ("GET", "/setup", [404; 8]),
        ("POST", "/setup", [404, 403, 403, 404, 404, 404, 404, 404]),
        ("GET", "/account", [303, 303, 303, 200, 200, 200, 200, 200]),
        ("POST", "/account", [403, 403, 403, 422, 422, 422, 422, 422]),
        ("POST", "/account/forges", [403, 403, 403, 400, 400, 400, 400, 400]),
        ("GET", "/admin", [404, 404, 404, 404, 404, 404, 404, 200]),
        ("GET", "/admin/server", [404, 404, 404, 404, 404, 404, 404, 200]),
        ("GET", "/admin/server.json", [404, 404, 404, 404, 404, 404, 404, 200]),
        ("POST", "/admin/server", [404, 403, 403, 404, 404, 404, 404, 400]),
        ("POST", "/admin", [404, 403, 403, 404, 404, 404, 404, 303]),
    ]
}

/// Addresses of a private project.
fn rows_of_private() -> Vec<Row> {
    let reads = [404, 404, 200, 404, 200, 200, 200, 200];
    vec![
        ("GET", "/settings", [404, 404, 303, 404, 403, 403, 200, 200]),
        ("GET", "/settings/{section}", [404, 404, 303, 404, 403, 403, 200, 200]),
        ("POST", "/settings/{section}", [404, 403, 403, 404, 403, 403, 303, 303]),
        ("POST", "/acknowledge", [404, 403, 403, 404, 403, 303, 303, 303]),
        ("GET", "", reads),
        ("GET", "/{*rest}", reads),
    ]
}

/// The same of a public one: everybody reads.
fn rows_of_public() -> Vec<Row> {
    let mut rows = rows_of_private();
    for (method, path, expected) in &mut rows {
        let settings = path.starts_with("/settings");
        for (at, expected) in expected.iter_mut().enumerate().take(4) {
            *expected = match (*method, settings) {
                ("GET", false) => 200,
                // Who has not signed in may do so; who has, knows.
                ("GET", true) if at < 3 => 303,
                _ => 403,
            };
        }
    }
    rows
}

/// Everybody who asks: a token, or a browser that has signed in.
async fn askers(asking: &Asking, project: &str) -> Vec<(Option<String>, Browser)> {
    let other = if project == PRIVATE { PUBLIC } else { PRIVATE };
    asking.account("foreign", false, Some((other, Role::Admin))).await;
    asking.account("reader", false, Some((project, Role::Reader))).await;
    asking.account("writer", false, Some((project, Role::Writer))).await;
    asking.account("admin", false, Some((project, Role::Admin))).await;
    asking.account("root", true, None).await;
    let mut askers = vec![
        (None, Browser::default()),
        (Some(asking.token(other, "read upload admin", None).await), Browser::default()),
        (Some(asking.token(project, "read upload admin", None).await), Browser::default()),
    ];
    for name in ["foreign", "reader", "writer", "admin", "root"] {
        askers.push((None, Browser::signed_in(asking, name).await));
    }
    askers
}

/// What a form of this address sends, so that it is well.
fn fields_of(address: &str) -> Vec<(&'static str, String)> {
    let fields: &[(&str, &str)] = match address {
        _ if address.ends_with("/acknowledge") => &[("undo", "7"), ("back", "/")],
        "/admin" => &[("act", "admin"), ("name", "admin")],
        _ if address.ends_with("/settings/general") => &[("visibility", "same")],
        _ => &[],
    };
    fields.iter().map(|(name, value)| (*name, value.to_string())).collect()
}

async fn check(project: &str, rows: Vec<Row>, below: bool) {
    let asking = Asking::new().await;
    let within = asking.store.project(project).await.unwrap().unwrap();
    within.put(&run(1)).await.unwrap();
    let askers = askers(&asking, project).await;
    let visibility = within.about().await.unwrap().visibility.name();
    for (method, address, expected) in rows {
        let pages: Vec<String> = match address {
            "/{*rest}" => page_addresses().iter().map(|path| real(path)).collect(),
            _ => vec![address.replace("{section}", "general").replace("{forge}", "github")],
        };
        for page in pages {
            let uri = if below { format!("/{project}{}", page.trim_end_matches('/')) } else { page };
            for (at, (token, browser)) in askers.iter().enumerate() {
                // Each row as if it were the first: who signs out does so in a browser of their own.
                let mut browser = match (&browser.cookie, address) {
                    (Some(_), "/sign-out") => {
                        Browser::signed_in(&asking, ["foreign", "reader", "writer", "admin", "root"][at - 3])
                            .await
                    }
                    _ => browser.clone(),
                };
                let bearer = token.as_ref().map(|token| format!("Bearer {token}"));
                let headers: Vec<(&str, &str)> =
                    bearer.iter().map(|bearer| ("authorization", bearer.as_str())).collect();
                let mut fields = Vec::new();
                if method == "POST" && token.is_none() {
                    let page = if browser.cookie.is_some() { "/account" } else { "/sign-in" };
                    fields.push(("csrf", crate::browser::csrf(&browser.get(&asking, page).await.text())));
                    fields.extend(fields_of(&uri));
                }
                let fields: Vec<(&str, &str)> = fields
                    .iter()
                    .map(|(name, value)| (*name, if value == "same" { visibility } else { value.as_str() }))
                    .collect();
                let said = browser.ask(&asking, method, &uri, &fields, &headers).await;
                let found = said.status.as_u16();
                // A page that leads to another one is read, too.
                let found = if expected[at] == 200 && found == 303 { 200 } else { found };
                assert_eq!(found, expected[at], "{method} {uri} by {at}: {}", said.text());
            }
        }
    }
}

/// An address of a page that is there.
fn real(path: &str) -> String {
    let commit = run(1).source.unwrap().commit.unwrap();
    path.replace("{*commit}", &commit)
        .replace("{*branch}", "main")
        .replace("{*id}", &run(1).id)
        .replace("{*sides}", &format!("{0}...{0}", run(1).id))
        .replace("{*name}", "t.py::a")
}

#[test]
fn every_address_of_the_site_has_a_row() {
    let below = |(method, path, _): Row| (method, format!("/{{owner}}/{{name}}{path}"));
    let mut rows: Vec<(&str, String)> =
        rows_of_server().into_iter().map(|(method, path, _)| (method, path.to_string())).collect();
    rows.extend(rows_of_private().into_iter().map(below));
    let known: Vec<(&str, String)> =
        site_addresses().into_iter().map(|(method, path)| (method, path.to_string())).collect();
    assert_eq!(rows, known);
}

#[tokio::test]
async fn addresses_of_the_server_answer_each_as_they_should() {
    check(PRIVATE, rows_of_server(), false).await;
}

#[tokio::test]
async fn pages_of_a_private_project_are_its_members() {
    check(PRIVATE, rows_of_private(), true).await;
}

#[tokio::test]
async fn pages_of_a_public_project_are_read_by_everybody() {
    check(PUBLIC, rows_of_public(), true).await;
}

#[tokio::test]
async fn a_private_project_looks_as_if_it_were_not_there() {
    let asking = Asking::new().await;
    asking.store.project(PRIVATE).await.unwrap().unwrap().put(&run(1)).await.unwrap();
    asking.account("ada", false, Some((PUBLIC, Role::Admin))).await;
    for mut browser in [Browser::default(), Browser::signed_in(&asking, "ada").await] {
        let list = browser.get(&asking, "/").await.text();
        assert!(list.contains(PUBLIC) && !list.contains("secret"), "{list}");
        for end in [
            "",
            "/",
            "/settings",
            "/settings/tokens",
            "/runs.json",
            "/badge.svg",
            "/changes.atom",
            "/nothing",
        ] {
            let hidden = browser.get(&asking, &format!("/acme/secret{end}")).await;
            let missing = browser.get(&asking, &format!("/acme/nobody{end}")).await;
            assert_eq!(hidden.status, StatusCode::NOT_FOUND, "{end}");
            assert_eq!(hidden.text().replace("secret", "nobody"), missing.text(), "{end}");
        }
    }
}

#[tokio::test]
async fn links_of_a_project_lead_to_its_own_pages() {
    let asking = Asking::new().await;
    asking.store.project(PUBLIC).await.unwrap().unwrap().put(&run(1)).await.unwrap();
    for path in page_addresses().iter().map(|path| real(path)) {
        let address = format!("/{PUBLIC}{}", path.trim_end_matches('/'));
        let page = Browser::default().get(&asking, &address).await.text();
        for attribute in ["href=\"/", "action=\"/"] {
            for link in page.split(attribute).skip(1).map(|rest| rest.split('"').next().unwrap()) {
                let own =
                    ["acme/open", "assets/", "theme", "sign-in"].iter().any(|start| link.starts_with(start));
                assert!(own || link.is_empty(), "{address}: /{link}");
            }
        }
    }
    let moved = Browser::default().get(&asking, "/ACME/open/runs?branch=x").await;
    assert_eq!((moved.status.as_u16(), moved.location.as_str()), (308, "/acme/open/runs?branch=x"));
}

#[tokio::test]
async fn a_token_is_made_on_the_page_and_shown_once() {
    let asking = Asking::new().await;
    asking.account("ada", false, Some((PRIVATE, Role::Admin))).await;
    let mut ada = Browser::signed_in(&asking, "ada").await;
    let page = format!("/{PRIVATE}/settings/tokens");
    let made =
        ada.send(&asking, &page, &page, &[("name", "ci"), ("read", "on"), ("days", "30")]).await.text();
    let token = made.split("data-copy>").nth(1).unwrap().split('<').next().unwrap().to_string();
    assert!(token.starts_with("inv_"), "{made}");
    assert!(!ada.get(&asking, &page).await.text().contains(&token));
    let project = format!("/api/v1/projects/{PRIVATE}");
    assert_eq!(asking.with("GET", &project, Some(&token), Vec::new()).await.status, StatusCode::OK);
    let twin = format!("/{PRIVATE}/runs.json");
    assert_eq!(asking.with("GET", &twin, Some(&token), Vec::new()).await.status, StatusCode::OK);
    assert_eq!(asking.with("GET", &twin, Some("inv_0"), Vec::new()).await.status, StatusCode::UNAUTHORIZED);
    let number = asking.store.project(PRIVATE).await.unwrap().unwrap().tokens().await.unwrap()[0].number;
    ada.send(&asking, &page, &page, &[("revoke", &number.to_string())]).await;
    assert_eq!(asking.with("GET", &project, Some(&token), Vec::new()).await.status, StatusCode::UNAUTHORIZED);
    let log = ada.get(&asking, &format!("/{PRIVATE}/settings/log")).await.text();
    assert!(log.contains("made the token ci") && log.contains("revoked the token ci"), "{log}");
}

#[tokio::test]
async fn a_policy_is_what_its_pages_judge_by_and_one_that_cannot_be_read_changes_nothing() {
    let asking = Asking::new().await;
    asking.account("ada", false, Some((PUBLIC, Role::Admin))).await;
    let mut ada = Browser::signed_in(&asking, "ada").await;
    let page = format!("/{PUBLIC}/settings/policy");
    let text = "[threshold]\r\ncycles = \"1.5%\"\r\n";
    assert_eq!(ada.send(&asking, &page, &page, &[("settings", text)]).await.status, StatusCode::SEE_OTHER);
    let shown = ada.get(&asking, &page).await.text();
    assert!(shown.contains("1.5 %"), "{shown}");
    let bad = ada.send(&asking, &page, &page, &[("settings", "[treshold]\n")]).await;
    assert_eq!(bad.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(bad.text().contains("did you mean") && bad.text().contains("[treshold]"), "{}", bad.text());
    let kept = asking.store.project(PUBLIC).await.unwrap().unwrap().about().await.unwrap().settings;
    assert_eq!(kept, "[threshold]\ncycles = \"1.5%\"\n");
}

#[tokio::test]
async fn members_are_made_and_taken_out_on_the_page() {
    let asking = Asking::new().await;
    asking.account("ada", false, Some((PRIVATE, Role::Admin))).await;
    asking.account("bob", false, None).await;
    let (mut ada, mut bob) =
        (Browser::signed_in(&asking, "ada").await, Browser::signed_in(&asking, "bob").await);
    let (page, project) = (format!("/{PRIVATE}/settings/members"), format!("/{PRIVATE}"));
    assert_eq!(bob.get(&asking, &project).await.status, StatusCode::NOT_FOUND);
    ada.send(&asking, &page, &page, &[("name", "bob"), ("role", "reader")]).await;
    assert_eq!(bob.get(&asking, &project).await.status, StatusCode::OK);
    let nobody = ada.send(&asking, &page, &page, &[("name", "eve"), ("role", "reader")]).await;
    assert_eq!(nobody.status, StatusCode::UNPROCESSABLE_ENTITY);
    ada.send(&asking, &page, &page, &[("remove", "bob")]).await;
    assert_eq!(bob.get(&asking, &project).await.status, StatusCode::NOT_FOUND);
}

/// A run of a branch whose one benchmark costs so much.
fn costing(number: u32, branch: &str, instructions: u64) -> invar_core::run::Run {
    let mut run = run(number);
    let source = run.source.as_mut().unwrap();
    source.branch = Some(branch.to_string());
    source.default_branch = Some("main".to_string());
    source.merge_base = Some(format!("{:040x}", 1));
    let mut warm = invar_core::event::Events::default();
    warm.add(invar_core::event::Event::Instructions, instructions);
    run.measurements[0].warm = warm;
    run
}

#[tokio::test]
async fn an_acknowledged_regression_blocks_no_more_until_it_gets_worse_or_is_taken_back() {
    let asking = Asking::new().await;
    let within = asking.store.project(PRIVATE).await.unwrap().unwrap();
    within.set_settings("default_branch = \"main\"\n", crate::fixture::BY).await.unwrap();
    let (base, slower) = (costing(1, "main", 1000), costing(2, "feature/x", 1200));
    within.put(&base).await.unwrap();
    within.put(&slower).await.unwrap();
    asking.account("ada", false, Some((PRIVATE, Role::Writer))).await;
    asking.account("bob", false, Some((PRIVATE, Role::Reader))).await;
    let (mut ada, mut bob) =
        (Browser::signed_in(&asking, "ada").await, Browser::signed_in(&asking, "bob").await);
    let page = format!("/{PRIVATE}/pulls/feature/x");
    let blocks = "1 blocks the merge";
    assert!(ada.get(&asking, &page).await.text().contains(blocks));
    assert!(!bob.get(&asking, &page).await.text().contains("/acknowledge\""));
    let action = format!("/{PRIVATE}/acknowledge");
    let fields = [
        ("base", base.id.as_str()),
        ("run", &slower.id),
        ("benchmark", "t.py::a"),
        ("reason", "it <checks> more"),
        ("back", &page),
    ];
    let without = [fields[0], fields[1], fields[2], ("reason", " "), fields[4]];
    assert_eq!(ada.send(&asking, &page, &action, &without).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(ada.send(&asking, &page, &action, &fields).await.status, StatusCode::SEE_OTHER);
    let shown = bob.get(&asking, &page).await.text();
    assert!(!shown.contains(blocks) && shown.contains("Acknowledged by ada"), "{shown}");
    assert_eq!(shown.matches("it &#60;checks&#62; more").count(), 1, "it is said once: {shown}");
    assert!(!shown.contains("Take it back"), "{shown}");
    // The list of branches and the report as data say the same.
    assert!(!bob.get(&asking, &format!("/{PRIVATE}/pulls")).await.text().contains("blocks"));
    let report = bob.get(&asking, &format!("{page}.json")).await.json();
    assert_eq!(report["blocks"], false);
    assert_eq!(report["benchmarks"][0]["acknowledged"]["who"], "ada");
    // Again: there is nothing left to acknowledge.
    assert_eq!(ada.send(&asking, &page, &action, &fields).await.status, StatusCode::BAD_REQUEST);
    // Neither another branch nor a worse cost is covered.
    within.put(&costing(3, "feature/y", 1200)).await.unwrap();
    assert!(bob.get(&asking, &format!("/{PRIVATE}/pulls/feature/y")).await.text().contains(blocks));
    let mut worse = costing(4, "feature/x", 1300);
    worse.started.0 += 1;
    within.put(&worse).await.unwrap();
    assert!(bob.get(&asking, &page).await.text().contains(blocks));
    let head = format!("{page}?head={:040x}", 2);
    let number = within.acknowledged("feature/x").await.unwrap()[0].number.to_string();
    assert!(ada.get(&asking, &head).await.text().contains("Take it back"));
    ada.send(&asking, &head, &action, &[("undo", &number)]).await;
    assert!(bob.get(&asking, &head).await.text().contains(blocks));
    let log = within.audit(2).await.unwrap();
    assert_eq!(log[1].what, "acknowledged t.py::a on feature/x: it <checks> more");
    assert_eq!((log[0].who.as_str(), log[0].what.contains("took back")), ("ada", true));
}
