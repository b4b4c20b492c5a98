//! Who may say what a job is, and the keys that they sign by.
//!
//! Issuers are named by whoever runs the server, and nobody else is ever asked for anything. Their keys are found by OpenID
//! Connect Discovery and kept for an hour. A key that is not among them is looked for anew, since issuers change their keys;
//! not more often than every ten seconds, whatever is shown. An issuer that does not answer is believed for a day by the
//! keys that it had.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{DecodingKey, Validation, decode, decode_header};
use reqwest::Url;
use serde_json::Value;
use tokio::sync::Mutex;

use super::Forge;
use super::signature::{algorithm, install};
use crate::team::outside::{Outside, is_here, server};
use crate::team::problem::ApiProblem;

/// How long keys are good without asking anew, and how long if the issuer does not answer.
const FRESH: Duration = Duration::from_secs(3600);
const STALE: Duration = Duration::from_secs(24 * 3600);
/// How long an issuer is not asked again.
const AGAIN: Duration = Duration::from_secs(10);
/// The longest identity token, in bytes. Those of forges have two thousand.
const TOKEN_BYTES: usize = 12 << 10;

/// Who may say what a job is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issuer {
    /// In whose words.
    pub forge: Forge,
    /// As it calls itself.
    pub url: String,
}

impl Issuer {
    /// An issuer as it is written on a command line: `gitlab=https://gitlab.example.org`. Connections are made by TLS, but
    /// within this machine.
    pub fn read(text: &str) -> Option<Issuer> {
        let (forge, url) = text.split_once('=')?;
        let forge = Forge::from_name(forge)?;
        Some(Issuer { forge, url: server(url)? })
    }
}

/// The keys of an issuer.
#[derive(Default)]
struct Keys {
    keys: Vec<Jwk>,
    /// When they were fetched; `None`: never.
    fetched: Option<Instant>,
    /// When it was last tried.
    tried: Option<Instant>,
}

impl Keys {
    fn find(&self, name: &str) -> Option<Jwk> {
        self.keys.iter().find(|key| key.common.key_id.as_deref() == Some(name)).cloned()
    }

    fn younger_than(&self, age: Duration) -> bool {
        self.fetched.is_some_and(|fetched| fetched.elapsed() < age)
    }
}

/// The issuers that a server trusts, and what it is called by those who show tokens.
pub struct Issuers {
    issuers: Vec<Issuer>,
    audiences: Vec<String>,
    again: Duration,
    keys: BTreeMap<String, Mutex<Keys>>,
    outside: Outside,
}

impl Issuers {
    /// These issuers, whose tokens are for a server that is called so.
    pub fn new(issuers: Vec<Issuer>, audiences: Vec<String>) -> Issuers {
        install();
        let keys = issuers.iter().map(|issuer| (issuer.url.clone(), Mutex::default())).collect();
        Issuers { issuers, audiences, again: AGAIN, keys, outside: Outside::new() }
    }

    /// The same, which ask an issuer again after this time.
    #[must_use]
    pub fn asking_again_after(self, again: Duration) -> Issuers {
        Issuers { again, ..self }
    }

    /// The issuers.
    pub fn all(&self) -> &[Issuer] {
        &self.issuers
    }

    /// What is to stand in tokens as whom they are for; `None`: this server does not know what it is called.
    pub fn audience(&self) -> Option<&str> {
        self.audiences.first().map(String::as_str)
    }

    /// What an identity token says, once it was verified, and who says so.
    pub async fn claims(&self, token: &str) -> Result<(Issuer, Value), ApiProblem> {
        let refused = |why: &str| ApiProblem::Identity(why.to_string());
        if token.len() > TOKEN_BYTES {
            return Err(refused("it is longer than any that forges make"));
        }
        // No algorithm but two is known here by name, `none` least of all.
        let header =
            decode_header(token).map_err(|_| refused("it is none, or is signed in an unknown way"))?;
        // Only to know whom to ask for keys; believed is what the signature is of.
        let said: Value = jsonwebtoken::dangerous::insecure_decode_claims(token)
            .map_err(|_| refused("it does not say anything"))?;
        let said = said["iss"].as_str().unwrap_or_default().trim_end_matches('/');
        let Some(issuer) = self.issuers.iter().find(|issuer| issuer.url == said) else {
            return Err(refused("it comes from nobody whom this server trusts"));
        };
        let name =
            header.kid.as_deref().ok_or_else(|| refused("it does not say by which key it is signed"))?;
        let key = self.key(issuer, name).await?;
        let key = key.ok_or_else(|| refused("it is signed by a key that its issuer does not have"))?;
        let algorithm = algorithm(&key).ok_or_else(|| refused("its key is of no kind that is taken"))?;
        let mut validation = Validation::new(algorithm);
        validation.set_issuer(&[issuer.url.as_str(), &format!("{}/", issuer.url)]);
        validation.set_audience(&self.audiences);
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        validation.validate_nbf = true;
        let key = DecodingKey::from_jwk(&key).map_err(|_| refused("its key cannot be used"))?;
        match decode::<Value>(token, &key, &validation) {
            Ok(token) => Ok((issuer.clone(), token.claims)),
            Err(error) => Err(ApiProblem::Identity(self.sentence(error.kind()))),
        }
    }

    /// What is wrong with a token, to go on from "it was refused:".
    fn sentence(&self, error: &jsonwebtoken::errors::ErrorKind) -> String {
        use jsonwebtoken::errors::ErrorKind;
        match error {
            ErrorKind::ExpiredSignature => "it has expired".to_string(),
            ErrorKind::ImmatureSignature => "it is not valid yet: clocks differ".to_string(),
            ErrorKind::InvalidAudience => match self.audience() {
                Some(audience) => format!("it is for another audience than {audience}"),
                None => "this server does not know what it is called: --public-url".to_string(),
            },
            ErrorKind::InvalidAlgorithm => "it is signed in another way than its key is for".to_string(),
            ErrorKind::MissingRequiredClaim(claim) => format!("it does not say `{claim}`"),
            _ => "its signature is not valid".to_string(),
        }
    }

    /// The key of an issuer that is called so. Who comes while it is fetched waits for it.
    async fn key(&self, issuer: &Issuer, name: &str) -> Result<Option<Jwk>, ApiProblem> {
        let Some(keys) = self.keys.get(&issuer.url) else { return Ok(None) };
        let mut keys = keys.lock().await;
        if let Some(key) = keys.find(name).filter(|_| keys.younger_than(FRESH)) {
            return Ok(Some(key));
        }
        let mut failed = None;
        if keys.tried.is_none_or(|tried| tried.elapsed() >= self.again) {
            keys.tried = Some(Instant::now());
            match self.fetch(issuer).await {
                Ok(found) => (keys.keys, keys.fetched) = (found, Some(Instant::now())),
                Err(why) => failed = Some(why),
            }
        }
        let found = keys.find(name).filter(|_| keys.younger_than(STALE));
        match (found, keys.younger_than(FRESH)) {
            (None, false) => Err(ApiProblem::Issuer {
                issuer: issuer.url.clone(),
                why: failed.unwrap_or_else(|| "it was asked just now, and did not answer".to_string()),
            }),
            (found, _) => Ok(found),
        }
    }

    async fn fetch(&self, issuer: &Issuer) -> Result<Vec<Jwk>, String> {
        let about = self.json(&format!("{}/.well-known/openid-configuration", issuer.url)).await?;
        let said = about["issuer"].as_str().unwrap_or_default();
        if said.trim_end_matches('/') != issuer.url {
            return Err(format!("it calls itself {said:?}"));
        }
        let keys = about["jwks_uri"].as_str().and_then(|url| Url::parse(url).ok());
        let keys = keys.filter(|url| url.scheme() == "https" || is_here(url));
        let found = self.json(keys.ok_or("it does not say where its keys are")?.as_str()).await?;
        let found = found["keys"].as_array().ok_or("what it says are no keys")?;
        // One that is of no kind that is known here leaves the others what they are.
        Ok(found.iter().filter_map(|key| serde_json::from_value(key.clone()).ok()).collect())
    }

    async fn json(&self, url: &str) -> Result<Value, String> {
        let (status, bytes) = self.outside.ask(url, |client| client.get(url)).await?;
        if !status.is_success() {
            return Err(format!("{url}: {status}"));
        }
        serde_json::from_slice(&bytes).map_err(|error| format!("{url}: {error}"))
    }
}

impl Default for Issuers {
    fn default() -> Issuers {
        let issuers = Forge::ALL.map(|forge| Issuer { forge, url: forge.issuer().to_string() });
        Issuers::new(issuers.to_vec(), Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issuer_is_reached_by_tls_or_is_on_this_machine() {
        for text in [
            "gitlab=https://gitlab.example.org",
            "github=http://127.0.0.1:7",
            "gitlab=https://g.example/sub/",
        ] {
            assert!(Issuer::read(text).is_some_and(|issuer| !issuer.url.ends_with('/')), "{text}");
        }
        for text in [
            "https://gitlab.example.org",
            "gitea=https://g.example",
            "gitlab=http://gitlab.example.org",
            "gitlab=file:///etc/passwd",
            "gitlab=https://g.example/?q",
            "gitlab=https://user@g.example",
        ] {
            assert_eq!(Issuer::read(text), None, "{text}");
        }
    }
}
