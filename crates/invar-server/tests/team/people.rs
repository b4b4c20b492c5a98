//! Signing in and out, links that work once, and what no other site can do.

use axum::http::StatusCode;
use invar_server::team::upload::Limits;
use invar_server::team::{Team, first_link, router};
use invar_store::Role;

use crate::browser::{Browser, PASSWORD, csrf};
use crate::fixture::{Asking, PRIVATE};

#[tokio::test]
async fn who_signs_in_is_known_until_they_sign_out() {
    let asking = Asking::new().await;
    asking.account("ada", false, Some((PRIVATE, Role::Reader))).await;
    let mut ada = Browser::signed_in(&asking, "ada").await;
    let page = ada.get(&asking, "/").await.text();
    assert!(page.contains(">ada</a>") && page.contains(PRIVATE), "{page}");
    let before = ada.clone();
    let out = ada.send(&asking, "/", "/sign-out", &[]).await;
    assert_eq!((out.status, out.location.as_str()), (StatusCode::SEE_OTHER, "/"));
    // The cookie is worth nothing either, wherever it still is.
    for mut browser in [ada, before] {
        let page = browser.get(&asking, "/").await.text();
        assert!(!page.contains(">ada</a>") && !page.contains(PRIVATE), "{page}");
    }
}

#[tokio::test]
async fn a_wrong_password_tells_nothing_of_the_account() {
    let asking = Asking::new().await;
    asking.account("zzada", false, None).await;
    let mut pages = Vec::new();
    for name in ["zzada", "zzeve"] {
        let fields = [("name", name), ("password", "something else")];
        let said = Browser::default().send(&asking, "/sign-in", "/sign-in", &fields).await;
        assert_eq!(said.status, StatusCode::UNPROCESSABLE_ENTITY);
        let page = said.text();
        pages.push(page.replace(name, "").replace(&csrf(&page), ""));
    }
    assert_eq!(pages[0], pages[1]);
}

#[tokio::test]
async fn a_session_that_somebody_else_has_put_there_is_worth_nothing() {
    let asking = Asking::new().await;
    asking.account("ada", false, None).await;
    let mut ada = Browser::default();
    ada.get(&asking, "/sign-in").await;
    let planted = ada.clone();
    let fields = [("name", "ada"), ("password", PASSWORD)];
    assert_eq!(ada.send(&asking, "/sign-in", "/sign-in", &fields).await.status, StatusCode::SEE_OTHER);
    assert!(planted.cookie.is_some() && planted.cookie != ada.cookie);
    assert!(!planted.clone().get(&asking, "/").await.text().contains(">ada</a>"));
    // Who signs in again leaves the session before worth nothing.
    let before = ada.clone();
    let again =
        [("name", "ada"), ("password", PASSWORD), ("csrf", &csrf(&ada.get(&asking, "/").await.text()))];
    assert_eq!(ada.post(&asking, "/sign-in", &again).await.status, StatusCode::SEE_OTHER);
    assert!(!before.clone().get(&asking, "/").await.text().contains(">ada</a>"));
    assert!(ada.get(&asking, "/").await.text().contains(">ada</a>"));
}

#[tokio::test]
async fn the_cookie_is_sent_by_tls_only_and_no_script_reads_it() {
    let asking = Asking::new().await;
    let said = Browser::default().get(&asking, "/sign-in").await;
    let cookie = &said.cookies[0];
    for part in ["__Host-invar_session=", "Path=/", "HttpOnly", "SameSite=Lax", "Secure"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert!(!cookie.contains("Domain"), "{cookie}");
    // Who only looks gets none.
    assert!(Browser::default().get(&asking, "/").await.cookies.is_empty());
}

#[tokio::test]
async fn a_form_of_another_site_is_refused() {
    let asking = Asking::new().await;
    asking.account("root", true, None).await;
    let mut root = Browser::signed_in(&asking, "root").await;
    let other = csrf(&Browser::default().get(&asking, "/sign-in").await.text());
    let own = csrf(&root.get(&asking, "/admin").await.text());
    let make = [("act", "make-project"), ("name", "acme/new")];
    for forged in ["", "x", &other, &own.to_uppercase()] {
        let said = root.post(&asking, "/admin", &[&make[..], &[("csrf", forged)]].concat()).await;
        assert_eq!(said.status, StatusCode::FORBIDDEN, "{forged}");
    }
    let fields = [&make[..], &[("csrf", own.as_str())]].concat();
    for (site, expected) in [("cross-site", 403), ("same-site", 403), ("same-origin", 303)] {
        let said = root.ask(&asking, "POST", "/admin", &fields, &[("sec-fetch-site", site)]).await;
        assert_eq!(said.status.as_u16(), expected, "{site}");
    }
    assert!(asking.store.project("acme/new").await.unwrap().is_some());
}

#[tokio::test]
async fn the_first_account_is_made_by_a_link_that_works_once() {
    let asking = Asking::new().await;
    let link = first_link(&asking.store).await.unwrap().unwrap();
    let secret = link.split('=').nth(1).unwrap();
    let mut root = Browser::default();
    let short = [("secret", secret), ("name", "root"), ("password", "short")];
    let refused = root.send(&asking, &link, "/setup", &short).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    let good = [("secret", secret), ("name", "root"), ("password", PASSWORD)];
    assert_eq!(root.send(&asking, &link, "/setup", &good).await.status, StatusCode::SEE_OTHER);
    assert_eq!(root.get(&asking, "/admin").await.status, StatusCode::OK);
    assert_eq!(Browser::default().get(&asking, &link).await.status, StatusCode::NOT_FOUND);
    assert_eq!(first_link(&asking.store).await.unwrap(), None);
    // An account that this one makes chooses its own password.
    let made = root.send(&asking, "/admin", "/admin", &[("act", "make-account"), ("name", "bob")]).await;
    let page = made.text();
    let link = page.split("https://invar.test").nth(1).unwrap().split('<').next().unwrap().to_string();
    let mut bob = Browser::default();
    let secret = link.split('=').nth(1).unwrap();
    let fields = [("secret", secret), ("password", PASSWORD)];
    assert_eq!(bob.send(&asking, &link, "/setup", &fields).await.status, StatusCode::SEE_OTHER);
    assert!(bob.get(&asking, "/account").await.text().contains("<h1>bob</h1>"));
    assert_eq!(bob.get(&asking, "/admin").await.status, StatusCode::NOT_FOUND);
    assert_eq!(Browser::default().get(&asking, &link).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_new_password_signs_every_other_browser_out() {
    let asking = Asking::new().await;
    asking.account("ada", false, None).await;
    let mut ada = Browser::signed_in(&asking, "ada").await;
    let mut elsewhere = Browser::signed_in(&asking, "ada").await;
    let wrong = [("current", "not that"), ("password", "another password")];
    let said = ada.send(&asking, "/account", "/account", &wrong).await;
    assert_eq!(said.status, StatusCode::UNPROCESSABLE_ENTITY);
    let right = [("current", PASSWORD), ("password", "another password")];
    assert_eq!(ada.send(&asking, "/account", "/account", &right).await.status, StatusCode::SEE_OTHER);
    assert_eq!(ada.get(&asking, "/account").await.status, StatusCode::OK);
    assert_eq!(elsewhere.get(&asking, "/account").await.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn who_guesses_has_to_wait() {
    let mut asking = Asking::new().await;
    asking.account("ada", false, None).await;
    let mut eve = Browser::default();
    let csrf = csrf(&eve.get(&asking, "/sign-in").await.text());
    let guess = [("csrf", csrf.as_str()), ("name", "ada"), ("password", "a wrong guess")];
    for _ in 0..10 {
        let said = eve.post(&asking, "/sign-in", &guess).await;
        assert_eq!(said.status, StatusCode::UNPROCESSABLE_ENTITY);
    }
    assert_eq!(eve.post(&asking, "/sign-in", &guess).await.status, StatusCode::TOO_MANY_REQUESTS);
    let right = [("csrf", csrf.as_str()), ("name", "ada"), ("password", PASSWORD)];
    assert_eq!(eve.post(&asking, "/sign-in", &right).await.status, StatusCode::TOO_MANY_REQUESTS);
    // Another server of the same store has counted them, too.
    asking.router = router(Team::new(asking.store.clone(), Limits::default(), |_| ()));
    assert_eq!(eve.post(&asking, "/sign-in", &right).await.status, StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test]
async fn the_way_back_stays_on_this_server() {
    let asking = Asking::new().await;
    asking.account("ada", false, None).await;
    for (back, expected) in
        [("/acme/open?q=1", "/acme/open?q=1"), ("//evil.example", "/"), ("https://e.example", "/")]
    {
        let fields = [("name", "ada"), ("password", PASSWORD), ("back", back)];
        let said = Browser::default().send(&asking, "/sign-in", "/sign-in", &fields).await;
        assert_eq!((said.status, said.location.as_str()), (StatusCode::SEE_OTHER, expected));
    }
}
