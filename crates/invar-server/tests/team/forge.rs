//! A forge by which people sign in: a small HTTP server that holds to what GitHub and GitLab promise.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::issuer::base64;

/// What the forge calls the server, and what it knows it by.
pub const CLIENT: (&str, &str) = ("client-1", "what nobody else knows");

/// Somebody at the forge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Somebody {
    /// The number.
    pub number: u64,
    /// The name.
    pub name: &'static str,
    /// The organisations, or groups.
    pub organisations: Vec<&'static str>,
}

/// A code that was given.
struct Given {
    client: String,
    callback: String,
    challenge: String,
    of: Somebody,
}

/// How the forge is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// As it should be.
    Well,
    /// Out of order.
    Down,
    /// It says more than anybody wants to know.
    Talkative,
    /// It says something else.
    Confused,
    /// It sends whoever asks elsewhere.
    Elsewhere,
}

/// What the forge remembers.
pub struct Inner {
    /// How it is.
    pub mood: Mood,
    codes: BTreeMap<String, Given>,
    tokens: BTreeMap<String, Somebody>,
    count: u32,
}

/// A forge.
#[derive(Clone)]
pub struct Forging {
    /// Where it is.
    pub url: String,
    /// What it remembers.
    pub inner: Arc<Mutex<Inner>>,
}

/// What stands behind the question mark of an address.
pub fn query(address: &str) -> BTreeMap<String, String> {
    let query = address.split_once('?').map_or("", |(_, query)| query);
    form_urlencoded::parse(query.as_bytes()).into_owned().collect()
}

impl Forging {
    /// Starts one.
    pub async fn start() -> Forging {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let inner = Inner { mood: Mood::Well, codes: BTreeMap::new(), tokens: BTreeMap::new(), count: 0 };
        let forging = Forging { url, inner: Arc::new(Mutex::new(inner)) };
        let router = Router::new()
            .route("/login/oauth/access_token", post(token))
            .route("/oauth/token", post(token))
            .route("/api/v3/user", get(user))
            .route("/api/v3/user/memberships/orgs/{name}", get(membership))
            .route("/oauth/userinfo", get(user))
            .with_state(forging.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        forging
    }

    /// Somebody lets a server know who they are, at the address that their browser was sent to: where it goes then.
    pub fn consents(&self, address: &str, of: &Somebody) -> String {
        assert!(address.starts_with(&self.url), "{address}");
        let asked = query(address);
        assert_eq!(
            (asked["response_type"].as_str(), asked["code_challenge_method"].as_str()),
            ("code", "S256")
        );
        let code = self.code(&asked["client_id"], &asked["redirect_uri"], &asked["code_challenge"], of);
        let back = asked["redirect_uri"].strip_prefix("https://invar.test").unwrap();
        format!("{back}?code={code}&state={}", asked["state"])
    }

    /// A code for a client.
    pub fn code(&self, client: &str, callback: &str, challenge: &str, of: &Somebody) -> String {
        let mut inner = self.inner.lock().unwrap();
        inner.count += 1;
        let code = format!("code-{}", inner.count);
        let text = str::to_string;
        let given = Given {
            client: text(client),
            callback: text(callback),
            challenge: text(challenge),
            of: of.clone(),
        };
        inner.codes.insert(code.clone(), given);
        code
    }

    /// How it is from now on.
    pub fn is(&self, mood: Mood) {
        self.inner.lock().unwrap().mood = mood;
    }

    fn moody(&self, well: impl FnOnce(&mut Inner) -> Response) -> Response {
        let mut inner = self.inner.lock().unwrap();
        match inner.mood {
            Mood::Well => well(&mut inner),
            Mood::Down => StatusCode::BAD_GATEWAY.into_response(),
            Mood::Talkative => format!("{{\"access_token\": \"{}\"}}", "x".repeat(300 << 10)).into_response(),
            Mood::Confused => "<!doctype html>".into_response(),
            Mood::Elsewhere => (StatusCode::FOUND, [("location", "http://127.0.0.1:1/")]).into_response(),
        }
    }
}

async fn token(State(forging): State<Forging>, body: Bytes) -> Response {
    let asked: BTreeMap<String, String> = form_urlencoded::parse(&body).into_owned().collect();
    let of_github = |error: &str| json!({"error": error}).to_string().into_response();
    forging.moody(|inner| {
        if (asked["client_id"].as_str(), asked["client_secret"].as_str()) != CLIENT {
            return of_github("incorrect_client_credentials");
        }
        // Once, whatever comes of it.
        let Some(given) = inner.codes.remove(&asked["code"]) else {
            return of_github("bad_verification_code");
        };
        let challenge = base64(&Sha256::digest(asked["code_verifier"].as_bytes()));
        let is_theirs = given.client == asked["client_id"] && given.callback == asked["redirect_uri"];
        if !is_theirs || given.challenge != challenge {
            // As GitLab says it.
            let said = json!({"error": "invalid_grant"}).to_string();
            return (StatusCode::BAD_REQUEST, said).into_response();
        }
        inner.count += 1;
        let token = format!("token-{}", inner.count);
        inner.tokens.insert(token.clone(), given.of);
        json!({"access_token": token, "token_type": "bearer"}).to_string().into_response()
    })
}

fn holder(inner: &Inner, headers: &HeaderMap) -> Option<Somebody> {
    let token = headers.get("authorization")?.to_str().ok()?.strip_prefix("Bearer ")?;
    inner.tokens.get(token).cloned()
}

async fn user(State(forging): State<Forging>, headers: HeaderMap) -> Response {
    forging.moody(|inner| match holder(inner, &headers) {
        Some(of) => {
            let groups: Value = of.organisations.into();
            json!({"id": of.number, "login": of.name, "sub": of.number.to_string(), "nickname": of.name, "groups": groups})
                .to_string()
                .into_response()
        }
        None => StatusCode::UNAUTHORIZED.into_response(),
    })
}

async fn membership(
    State(forging): State<Forging>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Response {
    forging.moody(|inner| match holder(inner, &headers) {
        Some(of) if of.organisations.contains(&name.as_str()) => {
            json!({"state": "active"}).to_string().into_response()
        }
        Some(of) if of.organisations.contains(&"invited") => {
            json!({"state": "pending"}).to_string().into_response()
        }
        _ => StatusCode::NOT_FOUND.into_response(),
    })
}
