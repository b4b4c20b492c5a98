//! An issuer of identity tokens, as forges are: a small HTTP server with keys of its own.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Value, json};

/// What the server is called in tests, by those who show it tokens.
pub const AUDIENCE: &str = "https://invar.test";

/// A key with its name.
pub struct Key {
    name: String,
    pair: EcdsaKeyPair,
}

impl Key {
    /// A new one.
    pub fn new(name: &str) -> Key {
        let random = SystemRandom::new();
        let way = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let document = EcdsaKeyPair::generate_pkcs8(way, &random).unwrap();
        Key {
            name: name.to_string(),
            pair: EcdsaKeyPair::from_pkcs8(way, document.as_ref(), &random).unwrap(),
        }
    }

    /// Its public half.
    pub fn public(&self) -> Value {
        // A point that is not compressed: 4, x, y.
        let point = self.pair.public_key().as_ref();
        json!({"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": self.name,
               "x": base64(&point[1..33]), "y": base64(&point[33..])})
    }

    /// A token that says this, signed.
    pub fn sign(&self, claims: &Value) -> String {
        self.sign_as(&json!({"typ": "JWT", "alg": "ES256", "kid": self.name}), claims)
    }

    /// The same with another head.
    pub fn sign_as(&self, head: &Value, claims: &Value) -> String {
        let message =
            format!("{}.{}", base64(head.to_string().as_bytes()), base64(claims.to_string().as_bytes()));
        let signature = self.pair.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
        format!("{message}.{}", base64(signature.as_ref()))
    }
}

/// As parts of tokens are written.
pub fn base64(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// An issuer.
pub struct Issuing {
    /// Its address, which it calls itself by.
    pub url: String,
    /// What it says are its keys; `None`: it is out of order.
    pub keys: Arc<Mutex<Option<Vec<Value>>>>,
    /// How often it was asked for its keys.
    pub asked: Arc<AtomicUsize>,
}

impl Issuing {
    /// Starts one with this key.
    pub async fn start(key: &Key) -> Issuing {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let keys = Arc::new(Mutex::new(Some(vec![key.public()])));
        let asked = Arc::new(AtomicUsize::new(0));
        let about = json!({"issuer": url, "jwks_uri": format!("{url}/keys")}).to_string();
        let (kept, count) = (Arc::clone(&keys), Arc::clone(&asked));
        let answer = move || -> Response {
            count.fetch_add(1, Ordering::Relaxed);
            match &*kept.lock().unwrap() {
                Some(keys) => json!({"keys": keys}).to_string().into_response(),
                None => StatusCode::BAD_GATEWAY.into_response(),
            }
        };
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(async move || about))
            .route("/keys", get(async move || answer()));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Issuing { url, keys, asked }
    }

    /// What GitHub says of a job on the main branch of `acme/fib`.
    pub fn claims(&self) -> Value {
        let now = jiff::Timestamp::now().as_second();
        json!({"iss": self.url, "aud": AUDIENCE, "iat": now, "nbf": now, "exp": now + 300,
               "sub": "repo:acme/fib:ref:refs/heads/main", "repository": "acme/fib", "repository_id": "77",
               "ref": "refs/heads/main", "event_name": "push"})
    }
}
