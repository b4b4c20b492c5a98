//! Jobs that are let in by a forge's word, and everything that is not such a word.

use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::http::StatusCode;
use invar_server::team::publish::Forge;
use invar_server::team::publish::issuers::{Issuer, Issuers};
use invar_server::team::upload::Limits;
use invar_server::team::{Team, router};
use invar_store::{NewPublisher, Role};
use serde_json::{Value, json};

use crate::browser::Browser;
use crate::fixture::{Asking, BY, PRIVATE, PUBLIC, Said, runs, sent};
use crate::issuer::{AUDIENCE, Issuing, Key, base64};

/// A server that trusts an issuer, and a private project that trusts `acme/fib`, on branches.
struct Trusting {
    asking: Asking,
    issuing: Issuing,
    key: Key,
}

impl Trusting {
    async fn start() -> Trusting {
        Trusting::asking_again_after(Duration::ZERO).await
    }

    async fn asking_again_after(again: Duration) -> Trusting {
        let key = Key::new("k1");
        let issuing = Issuing::start(&key).await;
        let mut asking = Asking::new().await;
        let issuer = Issuer { forge: Forge::GitHub, url: issuing.url.clone() };
        let issuers = Issuers::new(vec![issuer], vec![AUDIENCE.to_string()]).asking_again_after(again);
        let team = Team::new(asking.store.clone(), Limits::default(), |_| ()).trusting(issuers);
        asking.router = router(team);
        let trusting = Trusting { asking, issuing, key };
        trusting.trust("refs/heads/*", "").await;
        trusting
    }

    async fn trust(&self, reference: &str, environment: &str) {
        let issuer = &self.issuing.url;
        let new = NewPublisher { forge: "github", issuer, repository: "acme/fib", reference, environment };
        let project = self.asking.store.project(PRIVATE).await.unwrap().unwrap();
        project.create_publisher(new, BY).await.unwrap().unwrap();
    }

    /// What is answered to whoever shows this.
    async fn shows(&self, project: &str, token: &str) -> Said {
        let address = format!("/api/v1/projects/{project}/tokens/exchange");
        self.asking.with("POST", &address, None, json!({"id_token": token}).to_string().into_bytes()).await
    }

    /// The claims with one of them changed.
    fn claims_with(&self, name: &str, value: impl Into<Value>) -> Value {
        let mut claims = self.issuing.claims();
        claims[name] = value.into();
        claims
    }

    #[track_caller]
    fn is_refused(said: &Said, status: u16, why: &str) {
        assert_eq!(said.status.as_u16(), status, "{}", said.text());
        let detail = said.json()["detail"].as_str().unwrap().to_string();
        assert!(detail.contains(why), "{detail}");
    }
}

#[tokio::test]
async fn a_job_of_a_trusted_publisher_uploads_without_a_secret() {
    let trusting = Trusting::start().await;
    let said = trusting.shows(PRIVATE, &trusting.key.sign(&trusting.issuing.claims())).await;
    assert_eq!(said.status, StatusCode::OK, "{}", said.text());
    let made = said.json();
    assert_eq!((&made["project"], &made["name"]), (&json!(PRIVATE), &json!("acme/fib at refs/heads/main")));
    let lasts = made["expires_us"].as_i64().unwrap() - jiff::Timestamp::now().as_microsecond();
    assert!((1_790_000_000..=1_800_000_000).contains(&lasts), "{lasts}");
    let token = made["token"].as_str().unwrap();
    let asking = &trusting.asking;
    assert_eq!(asking.with("POST", &runs(PRIVATE), Some(token), sent(1)).await.status, StatusCode::CREATED);
    assert_eq!(asking.with("GET", &runs(PRIVATE), Some(token), Vec::new()).await.status, StatusCode::OK);
    // It is no key to anything else.
    let tokens = format!("/api/v1/projects/{PRIVATE}/tokens");
    assert_eq!(asking.with("GET", &tokens, Some(token), Vec::new()).await.status, StatusCode::FORBIDDEN);
    assert_eq!(asking.with("POST", &runs(PUBLIC), Some(token), sent(2)).await.status, StatusCode::FORBIDDEN);
    let project = asking.store.project(PRIVATE).await.unwrap().unwrap();
    let entry = project.audit(1).await.unwrap().pop().unwrap();
    assert_eq!(
        (entry.who.as_str(), entry.what.contains("acme/fib at refs/heads/main")),
        ("GitHub Actions", true)
    );
    // Until nobody trusts it any more.
    let number = project.publishers().await.unwrap()[0].number;
    project.remove_publisher(number, BY).await.unwrap();
    assert_eq!(
        asking.with("GET", &runs(PRIVATE), Some(token), Vec::new()).await.status,
        StatusCode::UNAUTHORIZED
    );
}

#[tokio::test]
async fn what_a_forge_said_is_shown_so_often_and_no_more() {
    let trusting = Trusting::start().await;
    let said = trusting.key.sign(&trusting.claims_with("jti", "one"));
    for time in 1..=20 {
        assert_eq!(trusting.shows(PRIVATE, &said).await.status, StatusCode::OK, "{time}");
    }
    Trusting::is_refused(&trusting.shows(PRIVATE, &said).await, 401, "shown 20 times");
    // Signed anew it is the same word.
    let again = trusting.key.sign(&trusting.claims_with("jti", "one"));
    Trusting::is_refused(&trusting.shows(PRIVATE, &again).await, 401, "shown 20 times");
    let other = trusting.key.sign(&trusting.claims_with("jti", "two"));
    assert_eq!(trusting.shows(PRIVATE, &other).await.status, StatusCode::OK);
}

#[tokio::test]
async fn what_is_forged_expired_or_for_somebody_else_lets_nobody_in() {
    let trusting = Trusting::start().await;
    let (key, claims) = (&trusting.key, trusting.issuing.claims());
    let refused = async |token: String, why: &str| {
        Trusting::is_refused(&trusting.shows(PRIVATE, &token).await, 401, why);
    };
    refused(Key::new("k1").sign(&claims), "its signature is not valid").await;
    let good = key.sign(&claims);
    let (head, rest) = good.split_once('.').unwrap();
    let signature = rest.split_once('.').unwrap().1;
    let other = base64(trusting.claims_with("repository", "acme/other").to_string().as_bytes());
    refused(format!("{head}.{other}.{signature}"), "its signature is not valid").await;
    let now = jiff::Timestamp::now().as_second();
    refused(key.sign(&trusting.claims_with("exp", now - 120)), "it has expired").await;
    refused(key.sign(&trusting.claims_with("nbf", now + 120)), "not valid yet").await;
    refused(key.sign(&trusting.claims_with("aud", "https://github.com/acme")), "for another audience").await;
    refused(key.sign(&trusting.claims_with("aud", json!([]))), "for another audience").await;
    for needed in ["exp", "aud"] {
        let mut claims = claims.clone();
        claims.as_object_mut().unwrap().remove(needed);
        refused(key.sign(&claims), needed).await;
    }
    refused(key.sign(&trusting.claims_with("iss", "https://evil.example")), "nobody whom this server trusts")
        .await;
    refused(key.sign(&trusting.claims_with("iss", json!(7))), "nobody whom this server trusts").await;
    refused(key.sign(&trusting.claims_with("repository", json!(null))), "does not say what GitHub").await;
    for nonsense in ["x", "a.b.c", "..", &"x".repeat(13 << 10)] {
        refused(nonsense.to_string(), "What a forge says of a job was refused").await;
    }
    assert_eq!(
        trusting
            .asking
            .with("POST", &format!("/api/v1/projects/{PRIVATE}/tokens/exchange"), None, b"{}".to_vec())
            .await
            .status,
        StatusCode::BAD_REQUEST
    );
}

#[tokio::test]
async fn another_algorithm_than_the_keys_lets_nobody_in() {
    let trusting = Trusting::start().await;
    let claims = trusting.issuing.claims();
    let body = base64(claims.to_string().as_bytes());
    let head = |algorithm: &str| base64(json!({"alg": algorithm, "kid": "k1"}).to_string().as_bytes());
    // Not signed at all.
    for none in ["none", "None", "NONE"] {
        let said = trusting.shows(PRIVATE, &format!("{}.{body}.", head(none))).await;
        Trusting::is_refused(&said, 401, "signed in an unknown way");
    }
    // Signed by what everybody knows: the public key, taken for a shared secret.
    let public = trusting.key.public();
    for secret in [public.to_string(), public["x"].as_str().unwrap().to_string()] {
        let message = format!("{}.{body}", head("HS256"));
        let secret = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret.as_bytes());
        let signed = format!("{message}.{}", base64(ring::hmac::sign(&secret, message.as_bytes()).as_ref()));
        Trusting::is_refused(
            &trusting.shows(PRIVATE, &signed).await,
            401,
            "in another way than its key is for",
        );
    }
    let head = json!({"alg": "RS256", "kid": "k1"});
    let said = trusting.shows(PRIVATE, &trusting.key.sign_as(&head, &claims)).await;
    Trusting::is_refused(&said, 401, "in another way than its key is for");
    let head = json!({"alg": "ES256"});
    let said = trusting.shows(PRIVATE, &trusting.key.sign_as(&head, &claims)).await;
    Trusting::is_refused(&said, 401, "by which key");
}

#[tokio::test]
async fn a_job_that_the_project_does_not_trust_learns_nothing_of_it() {
    let trusting = Trusting::start().await;
    let signed = |name: &str, value: &str| trusting.key.sign(&trusting.claims_with(name, value));
    for token in [
        signed("repository", "acme/other"),
        signed("repository", "evil/fib"),
        signed("ref", "refs/tags/v1"),
        signed("ref", "refs/pull/3/merge"),
    ] {
        let hidden = trusting.shows(PRIVATE, &token).await;
        Trusting::is_refused(
            &hidden,
            403,
            "is no publisher that this project trusts, or there is no such project",
        );
        let missing = trusting.shows("acme/nobody", &token).await;
        assert_eq!((hidden.status, &hidden.body), (missing.status, &missing.body));
    }
    // What one project trusts is nothing to another one.
    let good = trusting.key.sign(&trusting.issuing.claims());
    Trusting::is_refused(&trusting.shows(PUBLIC, &good).await, 403, "no publisher");
    // Another repository that has come by the same name.
    assert_eq!(trusting.shows(PRIVATE, &good).await.status, StatusCode::OK);
    Trusting::is_refused(&trusting.shows(PRIVATE, &signed("repository_id", "78")).await, 403, "no publisher");
    // An environment is asked for where it was agreed on.
    trusting.trust("refs/tags/*", "release").await;
    let mut tagged = trusting.claims_with("ref", "refs/tags/v1");
    Trusting::is_refused(&trusting.shows(PRIVATE, &trusting.key.sign(&tagged)).await, 403, "no publisher");
    tagged["environment"] = "release".into();
    assert_eq!(trusting.shows(PRIVATE, &trusting.key.sign(&tagged)).await.status, StatusCode::OK);
}

#[tokio::test]
async fn keys_are_fetched_once_and_anew_when_the_issuer_changes_them() {
    let trusting = Trusting::start().await;
    let claims = trusting.issuing.claims();
    let status = async |token: &str| trusting.shows(PRIVATE, token).await.status.as_u16();
    for _ in 0..3 {
        assert_eq!(status(&trusting.key.sign(&claims)).await, 200);
    }
    assert_eq!(trusting.issuing.asked.load(Ordering::Relaxed), 1);
    let new = Key::new("k2");
    assert_eq!(status(&new.sign(&claims)).await, 401, "the issuer does not have it");
    *trusting.issuing.keys.lock().unwrap() = Some(vec![json!({"kty": "of the future"}), new.public()]);
    assert_eq!(status(&new.sign(&claims)).await, 200);
    assert_eq!(status(&trusting.key.sign(&claims)).await, 401, "the issuer has it no more");
}

#[tokio::test]
async fn an_issuer_is_not_asked_as_often_as_somebody_likes() {
    let trusting = Trusting::asking_again_after(Duration::from_secs(600)).await;
    assert_eq!(
        trusting.shows(PRIVATE, &trusting.key.sign(&trusting.issuing.claims())).await.status,
        StatusCode::OK
    );
    for number in 0..20 {
        let unknown = Key::new(&format!("x{number}")).sign(&trusting.issuing.claims());
        Trusting::is_refused(
            &trusting.shows(PRIVATE, &unknown).await,
            401,
            "a key that its issuer does not have",
        );
    }
    assert_eq!(trusting.issuing.asked.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn an_issuer_that_is_out_of_order_is_believed_by_the_keys_it_had() {
    let trusting = Trusting::start().await;
    let token = trusting.key.sign(&trusting.issuing.claims());
    let kept = trusting.issuing.keys.lock().unwrap().take();
    let said = trusting.shows(PRIVATE, &token).await;
    Trusting::is_refused(&said, 503, "does not answer");
    *trusting.issuing.keys.lock().unwrap() = kept;
    assert_eq!(trusting.shows(PRIVATE, &token).await.status, StatusCode::OK);
    *trusting.issuing.keys.lock().unwrap() = None;
    assert_eq!(trusting.shows(PRIVATE, &token).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_publisher_is_trusted_on_the_page_and_no_more() {
    let trusting = Trusting::start().await;
    let asking = &trusting.asking;
    asking.account("ada", false, Some((PUBLIC, Role::Admin))).await;
    let mut ada = Browser::signed_in(asking, "ada").await;
    let page = format!("/{PUBLIC}/settings/publishers");
    let issuer = trusting.issuing.url.as_str();
    let fields =
        [("issuer", issuer), ("repository", "acme/fib"), ("ref", "refs/heads/main"), ("environment", "")];
    for (at, bad) in [(0, "https://evil.example"), (1, "fib"), (2, "[")] {
        let mut fields = fields;
        fields[at].1 = bad;
        assert_eq!(
            ada.send(asking, &page, &page, &fields).await.status,
            StatusCode::UNPROCESSABLE_ENTITY,
            "{bad}"
        );
    }
    assert_eq!(ada.send(asking, &page, &page, &fields).await.status, StatusCode::SEE_OTHER);
    let shown = ada.get(asking, &page).await.text();
    assert!(
        shown.contains("acme/fib") && shown.contains("refs/heads/main") && shown.contains("never"),
        "{shown}"
    );
    let twice = ada.send(asking, &page, &page, &fields).await;
    assert_eq!(twice.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(
        trusting.shows(PUBLIC, &trusting.key.sign(&trusting.issuing.claims())).await.status,
        StatusCode::OK
    );
    let project = asking.store.project(PUBLIC).await.unwrap().unwrap();
    let number = project.publishers().await.unwrap()[0].number.to_string();
    assert_eq!(ada.send(asking, &page, &page, &[("remove", &number)]).await.status, StatusCode::SEE_OTHER);
    assert!(project.publishers().await.unwrap().is_empty());
    let log = ada.get(asking, &format!("/{PUBLIC}/settings/log")).await.text();
    assert!(log.contains("GitHub Actions") && log.contains("no more"), "{log}");
}
