//! Signing in by a forge: GitHub or GitLab says who somebody is (OAuth 2.0, authorisation code with PKCE).
//!
//! A browser goes to the forge with a state, and comes back with it and a code. The state is worth something once, for ten
//! minutes, and in the browser that began; the code is changed for a token with the server's secret and with what only that
//! browser has; and with the token the forge is asked who it is, by the number that it never gives to anybody else. The token
//! is forgotten then. Only forges that whoever runs the server has named are asked.

use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::header::ACCEPT;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use invar_core::run::Timestamp;
use invar_store::{Account, By, CreateAccountError, Identity, NewHandshake};
use reqwest::Url;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::Team;
use super::access::now;
use super::outside::{Outside, server};
use super::people::{account_with, let_in, sentence, unwell};
use super::publish::Forge as Kind;
use super::session::Secret;
use super::visit::{Fields, NOWHERE, Visit, field, no_randomness};
use crate::answer::{Answer, elsewhere};
use crate::problem::Problem;

/// How long somebody may stay at the forge.
const HANDSHAKE_US: i64 = 10 * 60 * 1_000_000;
/// The longest code, number and name that a forge may give, in bytes.
const CODE_BYTES: usize = 2000;
const SUBJECT_BYTES: usize = 100;

/// A forge by which people sign in. Not shown by [`std::fmt::Debug`]: it has a secret.
pub struct Forge {
    /// Whose words it uses.
    pub kind: Kind,
    /// Where it is, without a slash at the end.
    pub url: String,
    /// What it calls this server.
    pub client_id: String,
    /// What it knows this server by.
    pub client_secret: String,
    /// Who may make an account by it.
    pub admits: Admits,
}

/// Who may make an account by signing in. Whoever has one links it, and then signs in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admits {
    /// Nobody: administrators make accounts.
    Linked,
    /// Members of this organisation or group, for as long as they are.
    Members(String),
    /// Whoever has an account at the forge.
    Anybody,
}

impl Admits {
    /// As it is written on a command line: `linked`, `anybody`, `members:acme`.
    pub fn read(text: &str) -> Option<Admits> {
        match text.split_once(':') {
            None if text == "linked" => Some(Admits::Linked),
            None if text == "anybody" => Some(Admits::Anybody),
            Some(("members", name)) if !name.is_empty() && !name.contains(char::is_whitespace) => {
                Some(Admits::Members(name.to_string()))
            }
            _ => None,
        }
    }
}

impl Forge {
    /// The address of a forge, as it is written on a command line; `None`: it is none, or not safe.
    pub fn address(text: &str) -> Option<String> {
        server(text)
    }

    /// Where the forge of this kind is that everybody knows.
    pub const fn known(kind: Kind) -> &'static str {
        match kind {
            Kind::GitHub => "https://github.com",
            Kind::GitLab => "https://gitlab.com",
        }
    }

    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    /// Where its interface for programs is.
    fn api(&self, path: &str) -> String {
        match self.kind {
            Kind::GitHub if self.url == Forge::known(Kind::GitHub) => format!("https://api.github.com{path}"),
            Kind::GitHub => self.at(&format!("/api/v3{path}")),
            Kind::GitLab => self.at(path),
        }
    }

    /// What this server is to be let see: who it is, and of which organisations where that matters.
    fn scope(&self) -> &'static str {
        match (self.kind, &self.admits) {
            (Kind::GitHub, Admits::Members(_)) => "read:org",
            (Kind::GitHub, _) => "",
            (Kind::GitLab, _) => "openid profile",
        }
    }

    fn trouble(&self, why: String) -> Problem {
        Problem::Forge { name: self.kind.site(), why: format!("{}: {why}", self.url) }
    }
}

/// Somebody, as a forge has just said who they are.
struct Person {
    identity: Identity,
    /// What it is asked further with.
    token: String,
    /// The groups that GitLab has said at once.
    groups: Vec<String>,
}

/// The forges by which people sign in to a server, at most one of each kind.
pub struct Forges {
    forges: Vec<Forge>,
    /// This server's own address.
    own: String,
    outside: Outside,
}

impl Default for Forges {
    fn default() -> Forges {
        Forges::new(Vec::new(), String::new())
    }
}

impl Forges {
    /// These, which know this server by its address.
    pub fn new(forges: Vec<Forge>, own: String) -> Forges {
        Forges { forges, own, outside: Outside::new() }
    }

    /// What they are called in addresses, and by people.
    pub(super) fn names(&self) -> Vec<(&'static str, &'static str)> {
        self.forges.iter().map(|forge| (forge.kind.name(), forge.kind.site())).collect()
    }

    /// Where they are.
    pub(super) fn servers(&self) -> Vec<&str> {
        self.forges.iter().map(|forge| forge.url.as_str()).collect()
    }

    fn named(&self, name: &str) -> Result<&Forge, Problem> {
        let found = self.forges.iter().find(|forge| forge.kind.name() == name);
        found.ok_or_else(|| Problem::NotFound(NOWHERE.to_string()))
    }

    /// Where the forge sends browsers back to; it knows that it is to send them nowhere else.
    fn callback(&self, forge: &Forge) -> String {
        format!("{}/sign-in/{}/callback", self.own, forge.kind.name())
    }

    /// Where a browser is asked whether this server may know who it is.
    fn consent(&self, forge: &Forge, state: &Secret, verifier: &str) -> Result<String, Problem> {
        let path = match forge.kind {
            Kind::GitHub => "/login/oauth/authorize",
            Kind::GitLab => "/oauth/authorize",
        };
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes()));
        let parameters = [
            ("client_id", forge.client_id.as_str()),
            ("redirect_uri", &self.callback(forge)),
            ("response_type", "code"),
            ("scope", forge.scope()),
            ("state", state.text()),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ];
        let url = Url::parse_with_params(&forge.at(path), parameters);
        url.map(String::from).map_err(|error| forge.trouble(error.to_string()))
    }

    /// Changes a code for who it is of. The inner error is a sentence: the forge does not know the code.
    async fn person(&self, forge: &Forge, code: &str, verifier: &str) -> Result<Person, Problem> {
        let url = match forge.kind {
            Kind::GitHub => forge.at("/login/oauth/access_token"),
            Kind::GitLab => forge.at("/oauth/token"),
        };
        let callback = self.callback(forge);
        let form = form_urlencoded::Serializer::new(String::new())
            .extend_pairs([
                ("grant_type", "authorization_code"),
                ("client_id", &forge.client_id),
                ("client_secret", &forge.client_secret),
                ("code", code),
                ("redirect_uri", &callback),
                ("code_verifier", verifier),
            ])
            .finish();
        let asked = self.outside.ask(&url, |client| {
            let request = client.post(&url).header(ACCEPT, "application/json");
            request.header("content-type", "application/x-www-form-urlencoded").body(form)
        });
        let (status, body) = asked.await.map_err(|why| forge.trouble(why))?;
        let said: Value = serde_json::from_slice(&body).unwrap_or_default();
        let Some(token) = said["access_token"].as_str() else {
            // GitHub says so with 200.
            return Err(match said["error"].as_str() {
                Some("bad_verification_code" | "invalid_grant") => Problem::Forbidden(format!(
                    "{} does not know the code that this browser came back with. Sign in again.",
                    forge.kind.site()
                )),
                Some(error) => forge.trouble(format!("{url}: {status}: {error}")),
                None => forge.trouble(format!("{url}: {status}, and no token")),
            });
        };
        self.known_as(forge, token).await
    }

    /// Who a token is of.
    async fn known_as(&self, forge: &Forge, token: &str) -> Result<Person, Problem> {
        let (url, number, name) = match forge.kind {
            Kind::GitHub => (forge.api("/user"), "id", "login"),
            Kind::GitLab => (forge.api("/oauth/userinfo"), "sub", "nickname"),
        };
        let (status, said) = self.said(forge, &url, token).await?;
        let subject = match &said[number] {
            Value::Number(number) => number.as_u64().map(|number| number.to_string()),
            Value::String(text) if !text.is_empty() && text.len() <= SUBJECT_BYTES => Some(text.clone()),
            _ => None,
        };
        let name = said[name].as_str().filter(|name| !name.is_empty() && name.len() <= SUBJECT_BYTES);
        let (true, Some(subject), Some(name)) = (status.is_success(), subject, name) else {
            return Err(forge.trouble(format!("{url}: {status}, and nobody")));
        };
        let groups = said["groups"].as_array().map(Vec::as_slice).unwrap_or_default();
        Ok(Person {
            identity: Identity {
                forge: forge.url.clone(),
                subject,
                name: name.to_string(),
                organisation: String::new(),
            },
            token: token.to_string(),
            groups: groups.iter().filter_map(Value::as_str).map(str::to_string).collect(),
        })
    }

    /// Is somebody a member of this organisation, as the forge says now?
    async fn is_member(&self, forge: &Forge, person: &Person, organisation: &str) -> Result<bool, Problem> {
        if forge.kind == Kind::GitLab {
            return Ok(person.groups.iter().any(|group| group.eq_ignore_ascii_case(organisation)));
        }
        let encoded = percent_encoding::utf8_percent_encode(organisation, percent_encoding::NON_ALPHANUMERIC);
        let url = forge.api(&format!("/user/memberships/orgs/{encoded}"));
        let (status, said) = self.said(forge, &url, &person.token).await?;
        match status {
            // Whoever was invited is none yet.
            StatusCode::OK => Ok(said["state"] == "active"),
            StatusCode::NOT_FOUND | StatusCode::FORBIDDEN => Ok(false),
            _ => Err(forge.trouble(format!("{url}: {status}"))),
        }
    }

    async fn said(&self, forge: &Forge, url: &str, token: &str) -> Result<(StatusCode, Value), Problem> {
        let asked = self
            .outside
            .ask(url, |client| client.get(url).bearer_auth(token).header(ACCEPT, "application/json"));
        let (status, body) = asked.await.map_err(|why| forge.trouble(why))?;
        Ok((status, serde_json::from_slice(&body).unwrap_or_default()))
    }
}

/// Sends a browser to a forge.
async fn begin(team: &Team, visit: &Visit, forge: &Forge, account: Option<&Account>, back: &str) -> Answer {
    let state = Secret::draw().ok_or_else(no_randomness)?;
    let consent = team.forges().consent(forge, &state, &visit.secret.verifier(&state))?;
    let at = now();
    let new = NewHandshake {
        state: &state.digest(),
        browser: &visit.secret.digest(),
        forge: &forge.url,
        account,
        back,
        expires: Timestamp(at.0 + HANDSHAKE_US),
    };
    team.store().begin_handshake(new, at).await?;
    elsewhere(StatusCode::SEE_OTHER, &consent)
}

/// Somebody wants to sign in by a forge.
pub(super) async fn begins(team: Team, visit: Visit, fields: Fields) -> Answer {
    let forge = team.forges().named(&visit.asked.after("/sign-in/"))?;
    begin(&team, &visit, forge, None, field(&fields, "back")).await
}

/// Links one's own account to a forge, or takes a link away.
pub(super) async fn changes(team: Team, visit: Visit, fields: Fields) -> Answer {
    let account = visit.person()?;
    let forge = field(&fields, "forge");
    match field(&fields, "act") {
        "link" => begin(&team, &visit, team.forges().named(forge)?, Some(account), "/account").await,
        "unlink" => {
            let subject = field(&fields, "subject");
            if team.store().unlink_identity(account, forge, subject, visit.by()).await? {
                return elsewhere(StatusCode::SEE_OTHER, "/account");
            }
            let why = "This account has no such link, or no password and no other link: nobody could sign in to it.";
            unwell(account_with(&team, &visit, why).await)
        }
        _ => Err(Problem::Unusable("The form does not say what to do.".to_string())),
    }
}

/// A browser comes back from a forge.
pub(super) async fn comes_back(team: Team, visit: Visit, _request: Request) -> Answer {
    let path = visit.asked.after("/sign-in/");
    let forge = team.forges().named(path.strip_suffix("/callback").unwrap_or_default())?;
    let stranger = || {
        Problem::Forbidden(
            "This was not begun in this browser, is over, or is older than ten minutes. Sign in again."
                .to_string(),
        )
    };
    let state = visit.asked.value("state").and_then(Secret::read).ok_or_else(stranger)?;
    let (digest, browser) = (state.digest(), visit.secret.digest());
    let handshake = team.store().end_handshake(&digest, &browser, &forge.url, now()).await?;
    let handshake = handshake.ok_or_else(stranger)?;
    let site = forge.kind.site();
    let Some(code) = visit.asked.value("code").filter(|code| code.len() <= CODE_BYTES) else {
        let why = match visit.asked.value("error") {
            Some("access_denied") => {
                format!("{site} was not allowed to say who you are, so nobody was signed in.")
            }
            _ => format!("{site} has not said who you are, so nobody was signed in."),
        };
        return Err(Problem::Forbidden(why));
    };
    let person = team.forges().person(forge, code, &visit.secret.verifier(&state)).await?;
    match handshake.account {
        Some(number) => {
            // Whoever has signed in as somebody else meanwhile wanted something else.
            let account = visit.account().filter(|account| account.number == number).ok_or_else(stranger)?;
            if team.store().link_identity(account, &person.identity, visit.by()).await? {
                return elsewhere(StatusCode::SEE_OTHER, &handshake.back);
            }
            let name = &person.identity.name;
            Err(Problem::Forbidden(format!("{name} of {site} is linked to another account here.")))
        }
        None => {
            let account = admitted(&team, forge, person).await?;
            let_in(&team, &visit, &account, &handshake.back).await
        }
    }
}

/// The account of somebody who signs in by a forge: theirs, or one that they may make.
async fn admitted(team: &Team, forge: &Forge, person: Person) -> Result<Account, Problem> {
    let (site, name) = (forge.kind.site(), person.identity.name.clone());
    let no_member = |organisation: &str| {
        Problem::Forbidden(format!("{site} does not say that {name} is a member of {organisation}."))
    };
    let known = team.store().identified(&forge.url, &person.identity.subject).await?;
    if let Some((account, known)) = known {
        let organisation = &known.organisation;
        if !organisation.is_empty() && !team.forges().is_member(forge, &person, organisation).await? {
            return Err(no_member(organisation));
        }
        team.store().identity_was_used(&person.identity, now()).await?;
        return Ok(account);
    }
    let organisation = match &forge.admits {
        Admits::Linked => {
            return Err(Problem::Forbidden(format!(
                "No account here is linked to {name} of {site}. Sign in with your password and link yours on its page; \
                 accounts are made by the administrators of this server."
            )));
        }
        Admits::Members(organisation) => {
            if !team.forges().is_member(forge, &person, organisation).await? {
                return Err(no_member(organisation));
            }
            organisation.clone()
        }
        Admits::Anybody => String::new(),
    };
    let new = Identity { organisation, ..person.identity };
    let who = format!("{name} of {}", forge.url);
    match team.store().create_account_for(&new, By { who: &who, at: now() }).await {
        Ok(account) => Ok(account),
        Err(CreateAccountError::Database(error)) => Err(error.into()),
        Err(CreateAccountError::Link) => Err(Problem::Forbidden(
            "Nobody administers this server yet: its first account is made by the link that it said at its start."
                .to_string(),
        )),
        Err(error) => Err(Problem::Forbidden(sentence(&error))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_make_an_account_is_said_in_a_word() {
        assert_eq!(Admits::read("linked"), Some(Admits::Linked));
        assert_eq!(Admits::read("anybody"), Some(Admits::Anybody));
        assert_eq!(Admits::read("members:acme/core"), Some(Admits::Members("acme/core".to_string())));
        for text in ["", "members", "members:", "members:a b", "Anybody", "anybody:acme"] {
            assert_eq!(Admits::read(text), None, "{text}");
        }
    }

    #[test]
    fn a_forge_is_asked_where_its_interface_is() {
        let forge = |kind, url: &str| Forge {
            kind,
            url: url.to_string(),
            client_id: String::new(),
            client_secret: String::new(),
            admits: Admits::Linked,
        };
        assert_eq!(forge(Kind::GitHub, "https://github.com").api("/user"), "https://api.github.com/user");
        assert_eq!(
            forge(Kind::GitHub, "https://ghe.example").api("/user"),
            "https://ghe.example/api/v3/user"
        );
        assert_eq!(forge(Kind::GitLab, "https://gl.example").api("/x"), "https://gl.example/x");
    }
}
