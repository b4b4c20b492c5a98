//! Trusted publishers: a job of a forge's CI shows the forge's word for what it is, and gets a token for a short time.
//!
//! What a job shows is an OpenID Connect identity token: signed by the forge ([`signature`], with the keys that [`issuers`]
//! fetches), for this server alone, and not old. Only issuers that whoever runs the server trusts are asked for keys, and
//! only after that it is looked up whether a project trusts the job; whoever is refused learns nothing about projects.

pub mod issuers;
mod signature;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use invar_core::config::Pattern;
use invar_core::run::Timestamp;
use invar_store::{By, Counted, NewPublisher, NewToken, Publisher};
use serde_json::{Value, json};

use super::Team;
use super::access::now;
use super::api::{ApiAnswer, Parts, json_answer, project_of, small};
use super::password::WINDOW;
use super::problem::ApiProblem;
use super::token::{Scope, Secret};
use super::upload::sha256;

/// How long a token is worth something that a job gets.
const LASTS_S: i64 = 30 * 60;
/// How often an identity token may be shown.
const SHOWN_MOST: u32 = 20;
/// For how long one is still good when it has ended, by other clocks than ours.
const LEEWAY_S: i64 = 60;
/// What it permits: to send runs, and to fetch what they are compared with.
const SCOPES: [Scope; 2] = [Scope::Read, Scope::Upload];
/// The longest name of a repository, a pattern of branches or an environment, in bytes.
const NAME_BYTES: usize = 255;

/// A kind of forge: what the identity tokens of its jobs call things.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forge {
    /// GitHub Actions.
    GitHub,
    /// GitLab CI.
    GitLab,
}

impl Forge {
    /// Every kind.
    pub const ALL: [Forge; 2] = [Forge::GitHub, Forge::GitLab];

    /// The stable name.
    pub const fn name(self) -> &'static str {
        match self {
            Forge::GitHub => "github",
            Forge::GitLab => "gitlab",
        }
    }

    /// As people read it.
    pub const fn title(self) -> &'static str {
        match self {
            Forge::GitHub => "GitHub Actions",
            Forge::GitLab => "GitLab CI",
        }
    }

    /// As people call the forge itself.
    pub const fn site(self) -> &'static str {
        match self {
            Forge::GitHub => "GitHub",
            Forge::GitLab => "GitLab",
        }
    }

    /// The kind called `name`.
    pub fn from_name(name: &str) -> Option<Forge> {
        Forge::ALL.into_iter().find(|forge| forge.name() == name)
    }

    /// Who signs for the forge that everybody knows of this kind.
    pub const fn issuer(self) -> &'static str {
        match self {
            Forge::GitHub => "https://token.actions.githubusercontent.com",
            Forge::GitLab => "https://gitlab.com",
        }
    }
}

/// What a forge says of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Who says it.
    pub issuer: String,
    /// The repository.
    pub repository: String,
    /// What the forge numbers it by.
    pub repository_id: String,
    /// The branch, tag or pull request, in full: `refs/heads/main`.
    pub reference: String,
    /// The environment; empty: none.
    pub environment: String,
}

impl Identity {
    /// Reads what a forge of this kind says.
    fn read(forge: Forge, issuer: &str, claims: &Value) -> Option<Identity> {
        // GitLab writes some numbers as texts, and has not always done so.
        let text = |name: &str| match &claims[name] {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        };
        let [repository, id, reference] = match forge {
            Forge::GitHub => ["repository", "repository_id", "ref"],
            Forge::GitLab => ["project_path", "project_id", "ref_path"],
        };
        let read = |name| text(name).filter(|text| !text.is_empty());
        Some(Identity {
            issuer: issuer.to_string(),
            repository: read(repository)?,
            repository_id: read(id)?,
            reference: read(reference)?,
            environment: text("environment").unwrap_or_default(),
        })
    }

    /// For people: `acme/fib at refs/heads/main`.
    pub fn shown(&self) -> String {
        let environment = match self.environment.as_str() {
            "" => String::new(),
            environment => format!(" in {environment}"),
        };
        format!("{} at {}{environment}", self.repository, self.reference)
    }

    /// Is the job one of this publisher's?
    fn is_of(&self, publisher: &Publisher) -> bool {
        let reference = publisher.reference.is_empty()
            // What cannot be read matches nothing.
            || Pattern::parse(&publisher.reference).is_ok_and(|pattern| pattern.matches(&self.reference));
        let known = publisher.repository_id.as_ref().is_none_or(|id| *id == self.repository_id);
        publisher.issuer == self.issuer
            // No forge tells two repositories apart by how their names are capitalised.
            && publisher.repository.eq_ignore_ascii_case(&self.repository)
            && known
            && reference
            && (publisher.environment.is_empty() || publisher.environment == self.environment)
    }
}

/// What is wrong with a publisher that is to be, a sentence.
pub fn refusal(new: NewPublisher<'_>) -> Option<String> {
    let long = [new.repository, new.reference, new.environment].iter().any(|text| text.len() > NAME_BYTES);
    let is_bad = |text: &str| text.chars().any(|letter| letter.is_control() || letter == ' ');
    if long || [new.repository, new.reference].into_iter().any(is_bad) || is_bad(new.issuer) {
        return Some(format!("Names have {NAME_BYTES} bytes at most, and no spaces."));
    }
    if new.environment.chars().any(char::is_control) {
        return Some("An environment has no control characters in its name.".to_string());
    }
    let parts = new.repository.split('/');
    if parts.clone().count() < 2 || parts.clone().any(|part| part.is_empty() || part.contains(['*', '?'])) {
        return Some("A repository is written as its forge does: owner/name.".to_string());
    }
    let pattern = Pattern::parse(new.reference).err();
    pattern.map(|error| format!("“{}” is no pattern of branches and tags: {error}.", new.reference))
}

/// Makes a token of an identity token: `{"id_token": "eyJ..."}`.
pub async fn exchange(
    State(team): State<Team>,
    Path(parts): Parts,
    headers: HeaderMap,
    body: Body,
) -> ApiAnswer {
    let body = small(&team, &headers, body).await?;
    let shown = body["id_token"].as_str().unwrap_or_default();
    if shown.is_empty() {
        return Err(ApiProblem::Unusable("Show what the forge says of the job, as `id_token`.".to_string()));
    }
    let (issuer, claims) = team.issuers().claims(shown).await?;
    let identity = Identity::read(issuer.forge, &issuer.url, &claims).ok_or_else(|| {
        let forge = issuer.forge.title();
        ApiProblem::Identity(format!("it does not say what {forge} says of a job"))
    })?;
    let stranger = || ApiProblem::Stranger(identity.shown());
    let Some(project) = team.store().project(&project_of(&parts)).await? else { return Err(stranger()) };
    let publishers = project.publishers().await?;
    let Some(publisher) = publishers.into_iter().find(|publisher| identity.is_of(publisher)) else {
        return Err(stranger());
    };
    // The commands of a job may show it each, and whoever has found it in a log no longer than that.
    let named =
        claims["jti"].as_str().map_or_else(|| claims.to_string(), |id| format!("{} {id}", issuer.url));
    let counted = Counted { digest: sha256(format!("identity {named}").as_bytes()), most: SHOWN_MOST };
    // It has an end, which need not be whole seconds. The number is far from where floats end.
    let end = claims["exp"].as_f64().unwrap_or_default() as i64;
    let until = Timestamp(end.saturating_add(LEEWAY_S).saturating_mul(1_000_000));
    if !team.store().may_still(&counted, until, WINDOW).await? {
        return Err(ApiProblem::Identity(format!(
            "it has been shown {SHOWN_MOST} times, which is as often as it may be"
        )));
    }
    let Some(secret) = Secret::draw() else {
        return Err(ApiProblem::Inside("the system has no randomness to give".to_string()));
    };
    let at = now();
    let expires = Timestamp(at.0 + LASTS_S * 1_000_000);
    let (name, scopes) = (identity.shown(), Scope::text(&SCOPES));
    let token = NewToken { name: &name, digest: &secret.digest(), scopes: &scopes, expires: Some(expires) };
    let by = By { who: issuer.forge.title(), at };
    let made = project.create_token_of(&publisher, &identity.repository_id, &token, by).await?;
    if made.is_none() {
        return Err(stranger());
    }
    Ok(json_answer(&json!({
        "token": secret.text(), "project": project.about().await?.name, "name": name,
        "scopes": SCOPES.map(Scope::name), "expires_us": expires.0,
    })))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn publisher() -> Publisher {
        Publisher {
            number: 1,
            forge: "github".to_string(),
            issuer: "https://i.example".to_string(),
            repository: "Acme/fib".to_string(),
            repository_id: None,
            reference: String::new(),
            environment: String::new(),
            created: Timestamp(0),
            used: None,
        }
    }

    fn identity() -> Identity {
        let claims = json!({"repository": "acme/fib", "repository_id": "7", "ref": "refs/heads/main"});
        Identity::read(Forge::GitHub, "https://i.example", &claims).unwrap()
    }

    #[test]
    fn a_job_is_its_publishers_if_everything_that_was_agreed_on_is_so() {
        let of = |publisher: &Publisher| identity().is_of(publisher);
        assert!(of(&publisher()));
        for (reference, expected) in [
            ("refs/heads/*", true),
            ("refs/heads/main", true),
            ("refs/tags/*", false),
            ("main", false),
            ("[", false),
        ] {
            assert_eq!(
                of(&Publisher { reference: reference.to_string(), ..publisher() }),
                expected,
                "{reference}"
            );
        }
        assert!(!of(&Publisher { repository: "acme/fib2".to_string(), ..publisher() }));
        assert!(!of(&Publisher { issuer: "https://j.example".to_string(), ..publisher() }));
        assert!(!of(&Publisher { environment: "release".to_string(), ..publisher() }));
        assert!(of(&Publisher { repository_id: Some("7".to_string()), ..publisher() }));
        assert!(!of(&Publisher { repository_id: Some("8".to_string()), ..publisher() }));
    }

    #[test]
    fn gitlab_says_the_same_in_other_words() {
        let claims = json!({"project_path": "acme/deep/fib", "project_id": 7, "ref": "main", "ref_path": "refs/heads/main",
                            "environment": "release"});
        let found = Identity::read(Forge::GitLab, "https://gitlab.com", &claims).unwrap();
        assert_eq!(found.shown(), "acme/deep/fib at refs/heads/main in release");
        assert_eq!(found.repository_id, "7");
        assert_eq!(Identity::read(Forge::GitHub, "https://gitlab.com", &claims), None);
    }

    #[test]
    fn a_repository_is_named_whole() {
        let new = |repository: &str, reference: &str| {
            refusal(NewPublisher { forge: "github", issuer: "i", repository, reference, environment: "" })
        };
        assert_eq!(new("acme/fib", "refs/heads/*"), None);
        assert_eq!(new("acme/deep/fib", ""), None);
        for repository in ["", "fib", "acme/", "acme/*", "acme/fib x", &"a/".repeat(200)] {
            assert!(new(repository, "").is_some(), "{repository}");
        }
        assert!(new("acme/fib", "[").is_some_and(|sentence| sentence.contains("no pattern")));
    }
}
