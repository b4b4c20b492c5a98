//! A server, as commands ask it: runs up and down.
//!
//! What may pass by itself is tried again a few times: a connection that fails, a server that is busy. Uploads can be
//! repeated, since the server keeps a run once.

use std::time::Duration;

use invar_core::run::Run;
use invar_core::wire::parcel::{self, Parcel};
use invar_store::Profiles;
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, Url};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::sync::OnceCell;

use crate::exit::{Code, Failure};
use crate::identity;
use crate::place::Place;
use crate::render::one_line;
use crate::tokens;

/// How long to wait before each further attempt.
const AGAIN_AFTER: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(3)];
/// How long a connection may take, and how long an answer may be silent.
const CONNECTS: Duration = Duration::from_secs(15);
const SILENT: Duration = Duration::from_secs(300);
/// How hard to pack an upload.
const LEVEL: i32 = 3;
/// The largest run that is taken from a server, unpacked.
const RUN_BYTES: u64 = 1 << 30;

/// A server, and a project there.
pub struct Remote {
    client: Client,
    /// The server's address.
    pub url: String,
    /// The project.
    pub project: String,
    token: Option<String>,
    /// The token of a job of CI that has shown what it is, once it was asked for.
    of_job: OnceCell<Option<String>>,
}

/// What became of an upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sent {
    /// Did the server have it before?
    pub was_there: bool,
    /// How many shards of its run are there, if it is one.
    pub shards_there: Option<usize>,
}

/// A run in the server's list.
pub struct Listed {
    /// Its id.
    pub id: String,
    /// Its commit.
    pub commit: Option<String>,
    /// Were there changes that are not committed?
    pub dirty: bool,
}

/// The server that is meant: that of the environment, else of `invar.toml`.
pub fn address(place: &Place) -> Result<String, Failure> {
    let environment = std::env::var("INVAR_SERVER").ok().filter(|url| !url.is_empty());
    let url = environment.or_else(|| place.config.server.url.clone());
    url.map(|url| url.trim_end_matches('/').to_string()).ok_or_else(|| {
        Failure::new(Code::Usage, "no server is named").help(
            "in invar.toml: [server] url = \"https://invar.example.org\", or in the variable INVAR_SERVER",
        )
    })
}

impl Remote {
    /// The server and the project of this place.
    pub fn find(place: &Place) -> Result<Remote, Failure> {
        let url = address(place)?;
        let project = place.config.server.project.clone().ok_or_else(|| {
            Failure::new(Code::Usage, "no project is named")
                .help("in invar.toml: [server] project = \"owner/name\"")
        })?;
        let token = match std::env::var("INVAR_TOKEN").ok().filter(|token| !token.is_empty()) {
            Some(token) => Some(token),
            None => tokens::find(&url, &project).map_err(|error| {
                Failure::new(Code::Storage, "cannot read the tokens that are kept").because(&error)
            })?,
        };
        Remote::new(url, project, token)
    }

    /// A server that is named in full.
    pub fn new(url: String, project: String, token: Option<String>) -> Result<Remote, Failure> {
        // It is there already if something else has connected by TLS.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .connect_timeout(CONNECTS)
            .read_timeout(SILENT)
            // A token shall not follow to wherever a server points.
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("invar/", env!("CARGO_PKG_VERSION")))
            .build();
        let client = client
            .map_err(|error| Failure::new(Code::Storage, "connections cannot be made").because(&error))?;
        Ok(Remote { client, url, project, token, of_job: OnceCell::new() })
    }

    /// The project that the token is for, and what it permits.
    pub async fn whoami(&self) -> Result<(String, String), Failure> {
        let url = self.at("/api/v1/token", &[])?;
        let answer = self.json(Method::GET, url).await?;
        let scopes = answer["scopes"].as_array().map(Vec::as_slice).unwrap_or_default();
        let scopes: Vec<&str> = scopes.iter().filter_map(Value::as_str).collect();
        match answer["project"].as_str() {
            Some(project) => Ok((project.to_string(), scopes.join(", "))),
            None => Err(self.strange()),
        }
    }

    /// Sends a run.
    pub async fn push(&self, run: &Run, profiles: &Profiles) -> Result<Sent, Failure> {
        let url = self.at(&format!("/api/v1/projects/{}/runs", self.project), &[])?;
        let packed = zstd::encode_all(&parcel::write(run, profiles)[..], LEVEL);
        let packed = packed
            .map_err(|error| Failure::new(Code::Storage, "the run cannot be packed").because(&error))?;
        let digest: String = Sha256::digest(&packed).iter().map(|byte| format!("{byte:02x}")).collect();
        let request = |builder: RequestBuilder| {
            builder
                .header("content-type", "application/vnd.invar.parcel")
                .header("content-encoding", "zstd")
                .header("invar-sha256", &digest)
                .body(packed.clone())
        };
        let response = self.ask(Method::POST, url, request).await?;
        let was_there = response.status() != StatusCode::CREATED;
        let bytes = response.bytes().await.map_err(|error| self.failed(&error))?;
        let said: Value = serde_json::from_slice(&bytes).map_err(|error| self.strange().because(&error))?;
        let shards_there = said["shard"]["there"].as_array().map(Vec::len);
        if run.shard.is_some() && shards_there.is_none() {
            let failure = Failure::new(Code::Storage, format!("{} does not know of shards", self.url));
            return Err(failure.help("it keeps each shard as a run of its own: bring it up to date"));
        }
        Ok(Sent { was_there, shards_there })
    }

    /// Runs of the project, as asked for.
    pub async fn runs(&self, query: &[(&str, &str)]) -> Result<Vec<Listed>, Failure> {
        let url = self.at(&format!("/api/v1/projects/{}/runs", self.project), query)?;
        let answer = self.json(Method::GET, url).await?;
        let runs = answer["runs"].as_array().ok_or_else(|| self.strange())?;
        let listed = runs.iter().map(|run| {
            Some(Listed {
                id: run["id"].as_str()?.to_string(),
                commit: run["commit"].as_str().map(str::to_string),
                dirty: run["dirty"].as_bool().unwrap_or(false),
            })
        });
        listed.collect::<Option<Vec<Listed>>>().ok_or_else(|| self.strange())
    }

    /// What the project has decided about the names of benchmarks, the oldest first: what becomes what; nothing is archived.
    pub async fn names(&self) -> Result<Vec<(String, Option<String>)>, Failure> {
        let url = self.at(&format!("/api/v1/projects/{}/names", self.project), &[])?;
        let answer = self.json(Method::GET, url).await?;
        let decided = answer["names"].as_array().ok_or_else(|| self.strange())?.iter();
        let decided = decided.map(|one| {
            Some((one["benchmark"].as_str()?.to_string(), one["becomes"].as_str().map(str::to_string)))
        });
        decided.collect::<Option<Vec<_>>>().ok_or_else(|| self.strange())
    }

    /// Fetches a run.
    pub async fn pull(&self, id: &str) -> Result<Parcel, Failure> {
        let url = self.at(&format!("/api/v1/projects/{}/runs/{id}/parcel", self.project), &[])?;
        let response = self.ask(Method::GET, url, |builder| builder).await?;
        let packed = response.bytes().await.map_err(|error| self.failed(&error))?;
        let damaged = |error: &dyn std::error::Error| {
            Failure::new(Code::Storage, format!("what {} sent is damaged", self.url)).because(error)
        };
        let mut bytes = Vec::new();
        let unpacked = zstd::Decoder::new(&packed[..]).and_then(|decoder| {
            std::io::Read::read_to_end(&mut std::io::Read::take(decoder, RUN_BYTES), &mut bytes)
        });
        unpacked.map_err(|error| damaged(&error))?;
        parcel::read(&bytes).map_err(|error| damaged(&error))
    }

    fn at(&self, path: &str, query: &[(&str, &str)]) -> Result<Url, Failure> {
        let text = format!("{}{path}", self.url);
        let url = if query.is_empty() { Url::parse(&text) } else { Url::parse_with_params(&text, query) };
        let bad =
            || Failure::new(Code::Usage, format!("`{}` is no address of a server", one_line(&self.url)));
        match url {
            Ok(url) if matches!(url.scheme(), "http" | "https") => Ok(url),
            Ok(_) => Err(bad()),
            Err(error) => Err(bad().because(&error)),
        }
    }

    async fn json(&self, method: Method, url: Url) -> Result<Value, Failure> {
        let response = self.ask(method, url, |builder| builder).await?;
        let bytes = response.bytes().await.map_err(|error| self.failed(&error))?;
        serde_json::from_slice(&bytes).map_err(|error| self.strange().because(&error))
    }

    /// An answer of 2xx, or why there is none.
    async fn ask(
        &self,
        method: Method,
        url: Url,
        request: impl Fn(RequestBuilder) -> RequestBuilder,
    ) -> Result<Response, Failure> {
        let token = self.token().await?;
        self.ask_with(token, method, url, request).await
    }

    /// The token that is shown: the one that is kept, or what a job of CI is given for the word of its forge.
    async fn token(&self) -> Result<Option<&str>, Failure> {
        if self.token.is_some() || self.project.is_empty() {
            return Ok(self.token.as_deref());
        }
        let made = self.of_job.get_or_try_init(|| async {
            let Some(identity) = identity::find(&self.client, &self.url).await? else { return Ok(None) };
            let url = self.at(&format!("/api/v1/projects/{}/tokens/exchange", self.project), &[])?;
            let body = serde_json::json!({"id_token": identity}).to_string();
            let request = |builder: RequestBuilder| {
                builder.header("content-type", "application/json").body(body.clone())
            };
            let response = self.ask_with(None, Method::POST, url, request).await?;
            let bytes = response.bytes().await.map_err(|error| self.failed(&error))?;
            let said: Value =
                serde_json::from_slice(&bytes).map_err(|error| self.strange().because(&error))?;
            match said["token"].as_str() {
                Some(token) => Ok(Some(token.to_string())),
                None => Err(self.strange()),
            }
        });
        Ok(made.await?.as_deref())
    }

    async fn ask_with(
        &self,
        token: Option<&str>,
        method: Method,
        url: Url,
        request: impl Fn(RequestBuilder) -> RequestBuilder,
    ) -> Result<Response, Failure> {
        let mut waits = AGAIN_AFTER.into_iter();
        loop {
            let builder = request(self.client.request(method.clone(), url.clone()));
            let builder = match token {
                Some(token) => builder.bearer_auth(token),
                None => builder,
            };
            let failure = match builder.send().await {
                Ok(response) if response.status().is_success() => return Ok(response),
                Ok(response) => {
                    let status = response.status();
                    let failure = self.refused(status, response.bytes().await.ok().as_deref());
                    if !matches!(status.as_u16(), 408 | 429 | 502 | 503 | 504) {
                        return Err(failure);
                    }
                    failure
                }
                Err(error) => self.failed(&error),
            };
            match waits.next() {
                Some(wait) => tokio::time::sleep(wait).await,
                None => return Err(failure),
            }
        }
    }

    fn failed(&self, error: &reqwest::Error) -> Failure {
        Failure::new(Code::Storage, format!("{} cannot be reached", self.url)).because(error)
    }

    fn strange(&self) -> Failure {
        Failure::new(Code::Storage, format!("what answers at {} is no Invar server", self.url))
    }

    fn refused(&self, status: StatusCode, body: Option<&[u8]>) -> Failure {
        let problem: Option<Value> = body.and_then(|body| serde_json::from_slice(body).ok());
        let detail = problem.as_ref().and_then(|problem| problem["detail"].as_str());
        let said = detail
            .map_or_else(|| status.to_string(), |detail| one_line(detail).trim_end_matches('.').to_string());
        let failure = Failure::new(Code::Storage, format!("{} refused", self.url)).since(said);
        match status {
            StatusCode::FORBIDDEN if self.token.is_none() => {
                failure.help("trust this repository there: Settings, Publishers; or invar admin publisher")
            }
            StatusCode::UNAUTHORIZED => failure.help(format!("invar login {}", self.url)),
            StatusCode::NOT_FOUND if self.token.is_none() => failure.help(format!(
                "no token is kept for {}: invar login {}",
                one_line(&self.project),
                self.url
            )),
            _ => failure,
        }
    }
}
