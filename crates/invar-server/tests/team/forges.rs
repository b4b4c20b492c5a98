//! Signing in by a forge, and everything that is not that.

use axum::http::StatusCode;
use invar_server::team::forges::{Admits, Forge, Forges};
use invar_server::team::publish::Forge as Kind;
use invar_server::team::upload::Limits;
use invar_server::team::{Team, router};
use invar_store::Role;

use crate::browser::{Browser, csrf};
use crate::fixture::{Asking, PRIVATE, Said};
use crate::forge::{CLIENT, Forging, Mood, Somebody, query};

/// A server that is known to a forge.
struct Known {
    asking: Asking,
    forging: Forging,
    kind: Kind,
}

fn ada() -> Somebody {
    Somebody { number: 7, name: "ada-l", organisations: Vec::new() }
}

impl Known {
    async fn start(kind: Kind, admits: Admits) -> Known {
        let forging = Forging::start().await;
        let mut asking = Asking::new().await;
        asking.account("root", true, None).await;
        asking.router = Known::router(&asking, &forging, kind, admits);
        Known { asking, forging, kind }
    }

    fn router(asking: &Asking, forging: &Forging, kind: Kind, admits: Admits) -> axum::Router {
        let forge = Forge {
            kind,
            url: forging.url.clone(),
            client_id: CLIENT.0.to_string(),
            client_secret: CLIENT.1.to_string(),
            admits,
        };
        let forges = Forges::new(vec![forge], "https://invar.test".to_string());
        router(Team::new(asking.store.clone(), Limits::default(), |_| ()).known_by(forges))
    }

    fn begin(&self) -> String {
        format!("/sign-in/{}", self.kind.name())
    }

    /// Where the forge's consent is asked for.
    async fn goes(&self, browser: &mut Browser) -> String {
        let said = browser.send(&self.asking, "/sign-in", &self.begin(), &[("back", "/account")]).await;
        assert_eq!(said.status, StatusCode::SEE_OTHER, "{}", said.text());
        said.location
    }

    /// Somebody signs in by the forge.
    async fn signs_in(&self, browser: &mut Browser, of: &Somebody) -> Said {
        let consent = self.goes(browser).await;
        browser.get(&self.asking, &self.forging.consents(&consent, of)).await
    }

    /// An account, linked.
    async fn linked(&self, name: &str, of: &Somebody) -> Browser {
        self.asking.account(name, false, Some((PRIVATE, Role::Reader))).await;
        let mut browser = Browser::signed_in(&self.asking, name).await;
        assert_eq!(self.links(&mut browser, of).await.status, StatusCode::SEE_OTHER);
        browser
    }

    async fn links(&self, browser: &mut Browser, of: &Somebody) -> Said {
        let fields = [("act", "link"), ("forge", self.kind.name())];
        let gone = browser.send(&self.asking, "/account", "/account/forges", &fields).await;
        browser.get(&self.asking, &self.forging.consents(&gone.location, of)).await
    }

    /// Who a browser is.
    async fn name(&self, browser: &Browser) -> Option<String> {
        let said = browser.clone().get(&self.asking, "/account").await;
        let page = said.text();
        page.split("<h1>").nth(1).map(|rest| rest.split('<').next().unwrap().to_string())
    }
}

#[tokio::test]
async fn who_has_linked_an_account_signs_in_by_the_forge() {
    for kind in Kind::ALL {
        let known = Known::start(kind, Admits::Linked).await;
        known.linked("ada", &ada()).await;
        let mut elsewhere = Browser::default();
        // Another name, which the forge may give to others; the number stays.
        let renamed = Somebody { name: "lovelace", ..ada() };
        let said = known.signs_in(&mut elsewhere, &renamed).await;
        assert_eq!((said.status, said.location.as_str()), (StatusCode::SEE_OTHER, "/account"));
        assert_eq!(known.name(&elsewhere).await.as_deref(), Some("ada"));
        let page = elsewhere.get(&known.asking, "/account").await.text();
        assert!(page.contains("lovelace") && page.contains(&known.forging.url), "{page}");
        // Whoever has the old name now is somebody else.
        let mut eve = Browser::default();
        let said = known.signs_in(&mut eve, &Somebody { number: 8, ..ada() }).await;
        assert_eq!((said.status, known.name(&eve).await), (StatusCode::FORBIDDEN, None), "{}", said.text());
    }
}

#[tokio::test]
async fn what_is_asked_of_the_forge_is_who_somebody_is_and_no_more() {
    for (kind, admits, scope) in [
        (Kind::GitHub, Admits::Linked, ""),
        (Kind::GitHub, Admits::Anybody, ""),
        (Kind::GitHub, Admits::Members("acme".to_string()), "read:org"),
        (Kind::GitLab, Admits::Linked, "openid profile"),
    ] {
        let known = Known::start(kind, admits).await;
        let asked = query(&known.goes(&mut Browser::default()).await);
        assert_eq!(asked["scope"], scope);
        assert_eq!(asked["redirect_uri"], format!("https://invar.test/sign-in/{}/callback", kind.name()));
        assert!(!asked.values().any(|value| value.contains(CLIENT.1)), "the secret is not for browsers");
    }
}

#[tokio::test]
async fn a_session_that_somebody_else_has_put_there_is_worth_nothing_after_the_forge_either() {
    let known = Known::start(Kind::GitHub, Admits::Linked).await;
    known.linked("ada", &ada()).await;
    let mut victim = Browser::default();
    victim.get(&known.asking, "/sign-in").await;
    let planted = victim.clone();
    assert_eq!(known.signs_in(&mut victim, &ada()).await.status, StatusCode::SEE_OTHER);
    assert!(planted.cookie.is_some() && planted.cookie != victim.cookie);
    assert_eq!(known.name(&planted).await, None);
    assert_eq!(known.name(&victim).await.as_deref(), Some("ada"));
}

#[tokio::test]
async fn a_state_is_worth_something_once() {
    let known = Known::start(Kind::GitHub, Admits::Linked).await;
    known.linked("ada", &ada()).await;
    let mut browser = Browser::default();
    let consent = known.goes(&mut browser).await;
    let back = known.forging.consents(&consent, &ada());
    let fresh = known.forging.consents(&consent, &ada());
    // The cookie as it was before: what somebody has seen on the way.
    let before = browser.clone();
    assert_eq!(browser.get(&known.asking, &back).await.status, StatusCode::SEE_OTHER);
    for address in [&back, &fresh] {
        for mut again in [before.clone(), browser.clone()] {
            let said = again.get(&known.asking, address).await;
            assert_eq!(said.status, StatusCode::FORBIDDEN, "{}", said.text());
        }
    }
}

#[tokio::test]
async fn a_state_of_another_browser_is_refused_and_stays_the_others() {
    let known = Known::start(Kind::GitHub, Admits::Linked).await;
    known.linked("ada", &ada()).await;
    let mut browser = Browser::default();
    let consent = known.goes(&mut browser).await;
    let back = known.forging.consents(&consent, &ada());
    // Without a cookie, with one of its own, and signed in as somebody.
    let mut seen = Browser::default();
    seen.get(&known.asking, "/sign-in").await;
    for mut other in [Browser::default(), seen, Browser::signed_in(&known.asking, "root").await] {
        let who = known.name(&other).await;
        assert_eq!(other.get(&known.asking, &back).await.status, StatusCode::FORBIDDEN);
        assert_eq!(known.name(&other).await, who);
    }
    assert_eq!(browser.get(&known.asking, &back).await.status, StatusCode::SEE_OTHER);
    // What is no state at all.
    let code = query(&back)["code"].clone();
    for state in ["", "x", &"0".repeat(64)] {
        let said = browser
            .get(&known.asking, &format!("{}/callback?code={code}&state={state}", known.begin()))
            .await;
        assert_eq!(said.status, StatusCode::FORBIDDEN, "{state}");
    }
}

#[tokio::test]
async fn a_code_of_another_client_or_of_another_browser_lets_nobody_in() {
    let known = Known::start(Kind::GitHub, Admits::Anybody).await;
    let refused = async |code: &dyn Fn(&str) -> String| {
        let mut browser = Browser::default();
        let consent = known.goes(&mut browser).await;
        let (asked, code) = (query(&consent), code(&consent));
        let back = format!("{}/callback?code={code}&state={}", known.begin(), asked["state"]);
        let said = browser.get(&known.asking, &back).await;
        assert_eq!(
            (said.status, known.name(&browser).await),
            (StatusCode::FORBIDDEN, None),
            "{}",
            said.text()
        );
    };
    refused(&|consent| {
        let asked = query(consent);
        known.forging.code("another-client", &asked["redirect_uri"], &asked["code_challenge"], &ada())
    })
    .await;
    // One that was given for what another browser has proved: somebody's own, put under another's nose.
    let mut other = Browser::default();
    let others = known.goes(&mut other).await;
    refused(&|_| query(&known.forging.consents(&others, &ada()))["code"].clone()).await;
    refused(&|_| "made-up".to_string()).await;
    assert_eq!(known.asking.store.accounts().await.unwrap().len(), 1, "nobody came in");
}

#[tokio::test]
async fn who_does_not_consent_is_told_so_and_not_signed_in() {
    let known = Known::start(Kind::GitLab, Admits::Anybody).await;
    for (error, words) in
        [("access_denied", "was not allowed to say who you are"), ("server_error", "has not said")]
    {
        let mut browser = Browser::default();
        let state = query(&known.goes(&mut browser).await)["state"].clone();
        let back = format!("{}/callback?error={error}&state={state}", known.begin());
        let said = browser.get(&known.asking, &back).await;
        assert_eq!(said.status, StatusCode::FORBIDDEN);
        assert!(said.text().contains(words), "{}", said.text());
        let again = format!("{}/callback?code=x&state={state}", known.begin());
        assert_eq!(browser.get(&known.asking, &again).await.status, StatusCode::FORBIDDEN, "it is over");
    }
}

#[tokio::test]
async fn a_forge_that_does_not_answer_as_it_should_lets_nobody_in() {
    let known = Known::start(Kind::GitHub, Admits::Anybody).await;
    for mood in [Mood::Down, Mood::Talkative, Mood::Confused, Mood::Elsewhere] {
        known.forging.is(Mood::Well);
        let mut browser = Browser::default();
        let consent = known.goes(&mut browser).await;
        let back = known.forging.consents(&consent, &ada());
        known.forging.is(mood);
        let said = browser.get(&known.asking, &back).await;
        assert_eq!(said.status, StatusCode::SERVICE_UNAVAILABLE, "{mood:?}: {}", said.text());
        assert!(said.text().contains("GitHub does not answer as it should"), "{}", said.text());
        assert!(!said.text().contains(&known.forging.url), "that is for the log");
    }
    // One that is not there at all.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gone = Forging {
        url: format!("http://{}", listener.local_addr().unwrap()),
        inner: known.forging.inner.clone(),
    };
    drop(listener);
    gone.is(Mood::Well);
    let mut known = known;
    known.asking.router = Known::router(&known.asking, &gone, Kind::GitHub, Admits::Anybody);
    known.forging = gone;
    let said = known.signs_in(&mut Browser::default(), &ada()).await;
    assert_eq!(said.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(known.asking.store.accounts().await.unwrap().len(), 1);
}

#[tokio::test]
async fn whoever_may_make_an_account_gets_one_that_administers_nothing() {
    let known = Known::start(Kind::GitHub, Admits::Anybody).await;
    // A name that is somebody's here is not theirs.
    known.asking.account("ada-l", false, Some((PRIVATE, Role::Admin))).await;
    let mut browser = Browser::default();
    assert_eq!(known.signs_in(&mut browser, &ada()).await.status, StatusCode::SEE_OTHER);
    assert_eq!(known.name(&browser).await.as_deref(), Some("ada-l-2"));
    assert_eq!(browser.get(&known.asking, "/admin").await.status, StatusCode::NOT_FOUND);
    assert_eq!(browser.get(&known.asking, &format!("/{PRIVATE}")).await.status, StatusCode::NOT_FOUND);
    // The next time it is the same one.
    let mut again = Browser::default();
    known.signs_in(&mut again, &ada()).await;
    assert_eq!(known.name(&again).await.as_deref(), Some("ada-l-2"));
    // Nobody could sign in to it without its link, and no password opens it.
    let subject = [("act", "unlink"), ("forge", known.forging.url.as_str()), ("subject", "7")];
    let said = browser.send(&known.asking, "/account", "/account/forges", &subject).await;
    assert_eq!(said.status, StatusCode::UNPROCESSABLE_ENTITY);
    let guess = [("name", "ada-l-2"), ("password", "")];
    let said = Browser::default().send(&known.asking, "/sign-in", "/sign-in", &guess).await;
    assert_eq!(said.status, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn members_of_an_organisation_come_in_for_as_long_as_they_are() {
    for kind in Kind::ALL {
        let known = Known::start(kind, Admits::Members("acme".to_string())).await;
        let member = Somebody { organisations: vec!["acme"], ..ada() };
        for organisations in [vec![], vec!["acme/core"], vec!["invited"]] {
            let said = known.signs_in(&mut Browser::default(), &Somebody { organisations, ..ada() }).await;
            assert_eq!(said.status, StatusCode::FORBIDDEN);
        }
        let mut browser = Browser::default();
        assert_eq!(known.signs_in(&mut browser, &member).await.status, StatusCode::SEE_OTHER);
        assert_eq!(known.name(&browser).await.as_deref(), Some("ada-l"));
        let left = known.signs_in(&mut Browser::default(), &ada()).await;
        assert_eq!(left.status, StatusCode::FORBIDDEN);
        assert!(left.text().contains("is a member of acme"), "{}", left.text());
    }
}

#[tokio::test]
async fn nobody_makes_the_first_account_by_a_forge() {
    let forging = Forging::start().await;
    let mut asking = Asking::new().await;
    asking.router = Known::router(&asking, &forging, Kind::GitHub, Admits::Anybody);
    let known = Known { asking, forging, kind: Kind::GitHub };
    let said = known.signs_in(&mut Browser::default(), &ada()).await;
    assert_eq!(said.status, StatusCode::FORBIDDEN);
    assert!(known.asking.store.accounts().await.unwrap().is_empty());
}

#[tokio::test]
async fn an_account_is_linked_from_its_own_page_only() {
    let known = Known::start(Kind::GitHub, Admits::Linked).await;
    let mut ada_here = known.linked("ada", &ada()).await;
    known.asking.account("bob", false, None).await;
    let mut bob = Browser::signed_in(&known.asking, "bob").await;
    // Somebody else's link.
    let said = known.links(&mut bob, &ada()).await;
    assert_eq!(said.status, StatusCode::FORBIDDEN);
    assert!(said.text().contains("linked to another account"), "{}", said.text());
    // A form that was made elsewhere, or for nobody.
    let fields = [("act", "link"), ("forge", "github"), ("csrf", "x")];
    assert_eq!(bob.post(&known.asking, "/account/forges", &fields).await.status, StatusCode::FORBIDDEN);
    let mut nobody = Browser::default();
    let own = csrf(&nobody.get(&known.asking, "/sign-in").await.text());
    let fields = [("act", "link"), ("forge", "github"), ("csrf", own.as_str())];
    assert_eq!(nobody.post(&known.asking, "/account/forges", &fields).await.status, StatusCode::FORBIDDEN);
    // Who has signed in as somebody else meanwhile links nothing.
    let gone =
        bob.send(&known.asking, "/account", "/account/forges", &[("act", "link"), ("forge", "github")]).await;
    let back = known.forging.consents(&gone.location, &Somebody { number: 9, ..ada() });
    assert_eq!(ada_here.get(&known.asking, &back).await.status, StatusCode::FORBIDDEN);
    let fields = [("act", "link"), ("forge", "gitlab")];
    let said = bob.send(&known.asking, "/account", "/account/forges", &fields).await;
    assert_eq!(said.status, StatusCode::NOT_FOUND, "that forge was not named");
    // What was linked is unlinked, by its owner alone.
    let subject = [("act", "unlink"), ("forge", known.forging.url.as_str()), ("subject", "7")];
    let said = bob.send(&known.asking, "/account", "/account/forges", &subject).await;
    assert_eq!(said.status, StatusCode::UNPROCESSABLE_ENTITY);
    let said = ada_here.send(&known.asking, "/account", "/account/forges", &subject).await;
    assert_eq!(said.status, StatusCode::SEE_OTHER);
    let said = known.signs_in(&mut Browser::default(), &ada()).await;
    assert_eq!(said.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn pages_without_a_forge_lead_to_none_and_those_with_one_to_no_other() {
    let known = Known::start(Kind::GitHub, Admits::Linked).await;
    let policy = async |asking: &Asking| {
        let request = axum::http::Request::get("/sign-in").header("host", "invar.test");
        let response = tower::ServiceExt::oneshot(
            asking.router.clone(),
            request.body(axum::body::Body::empty()).unwrap(),
        );
        response.await.unwrap().headers()["content-security-policy"].to_str().unwrap().to_string()
    };
    let with = policy(&known.asking).await;
    assert!(with.contains(&format!("form-action 'self' {};", known.forging.url)), "{with}");
    let without = policy(&Asking::new().await).await;
    assert!(without.contains("form-action 'self';"), "{without}");
    assert_eq!(with.replace(&format!(" {}", known.forging.url), ""), without);
    let said = Browser::default().send(&Asking::new().await, "/sign-in", "/sign-in/github", &[]).await;
    assert_eq!(said.status, StatusCode::NOT_FOUND, "no forge was named");
}
