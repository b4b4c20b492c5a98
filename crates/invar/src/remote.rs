//! A server, as commands ask it: runs up and down.
//!
//! What may pass by itself is tried again a few times: a connection that fails, a server that is busy. Uploads can be
//! repeated, since the server keeps a run once. A large one goes in parts: when a connection breaks, or a command does, the next
//! attempt goes on where the server has got to.

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
/// An upload that is larger goes in parts, of so many bytes each.
const WHOLE_BYTES: usize = 16 << 20;
const PART_BYTES: usize = 4 << 20;
/// How often it is asked how far an upload is, without that it had got any further, before it is given up.
const LOOKS: u32 = 3;
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

/// Why there is no answer of 2xx.
struct Unsent {
    /// What it was refused with; `None`: nobody answered.
    status: Option<StatusCode>,
    failure: Failure,
}

/// What is said with uploads in parts.
const TUS: (&str, &str) = ("tus-resumable", "1.0.0");

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
        let mut upload = self.in_parts(&packed, &digest).await?;
        let request = |upload: Option<&str>, builder: RequestBuilder| {
            let builder = builder.header("content-encoding", "zstd").header("invar-sha256", &digest);
            match upload {
                Some(upload) => builder.header("invar-upload", upload),
                None => builder.header("content-type", "application/vnd.invar.parcel").body(packed.clone()),
            }
        };
        let token = self.token().await?;
        let mut sent = self.send(token, Method::POST, &url, |it| request(upload.as_deref(), it)).await;
        if upload.is_some() && matches!(&sent, Err(Unsent { status: Some(StatusCode::NOT_FOUND), .. })) {
            // It was made a run of, and we were not told; or it has gone with its time. What is there already is stored once.
            upload = self.in_parts(&packed, &digest).await?;
            sent = self.send(token, Method::POST, &url, |it| request(upload.as_deref(), it)).await;
        }
        let response = sent.map_err(|unsent| unsent.failure)?;
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

    /// Sends what is large in parts, and says what the server calls them; `None`: it goes in one request. It goes on where
    /// the server has got to, whoever has begun.
    async fn in_parts(&self, packed: &[u8], digest: &str) -> Result<Option<String>, Failure> {
        if packed.len() <= WHOLE_BYTES {
            return Ok(None);
        }
        let token = self.token().await?;
        let begins = self.at(&format!("/api/v1/projects/{}/uploads", self.project), &[])?;
        let length = packed.len();
        let begin = |builder: RequestBuilder| {
            builder.header(TUS.0, TUS.1).header("upload-length", length).header("invar-sha256", digest)
        };
        let begun = match self.send(token, Method::POST, &begins, begin).await {
            Ok(begun) => begun,
            // One that knows of no parts.
            Err(Unsent { status: Some(StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED), .. }) => {
                return Ok(None);
            }
            Err(unsent) => return Err(unsent.failure),
        };
        let location = begun.headers().get("location").and_then(|value| value.to_str().ok());
        let id = location.and_then(|location| location.rsplit('/').next()).ok_or_else(|| self.strange())?;
        let id = id.to_string();
        let at = self.at(&format!("/api/v1/projects/{}/uploads/{}", self.project, id), &[])?;
        let mut offset = self.offset(&begun, length)?;
        let mut looks = 0;
        while offset < length {
            let part = &packed[offset..length.min(offset + PART_BYTES)];
            let end = offset + part.len();
            let part = |builder: RequestBuilder| {
                let builder = builder.header(TUS.0, TUS.1).header("upload-offset", offset);
                builder.header("content-type", "application/offset+octet-stream").body(part.to_vec())
            };
            let unsent = match self.send(token, Method::PATCH, &at, part).await {
                Ok(_) => {
                    (offset, looks) = (end, 0);
                    continue;
                }
                Err(unsent) if matches!(unsent.status, None | Some(StatusCode::CONFLICT)) => unsent,
                Err(unsent) => return Err(unsent.failure),
            };
            // It may have come though we were not told, or another one sends the same.
            let look = |builder: RequestBuilder| builder.header(TUS.0, TUS.1);
            let looked = self.send(token, Method::HEAD, &at, look).await.map_err(|unsent| unsent.failure)?;
            let found = self.offset(&looked, length)?;
            looks = if found > offset { 0 } else { looks + 1 };
            if looks == LOOKS {
                return Err(unsent.failure);
            }
            offset = found;
        }
        Ok(Some(id))
    }

    /// How much of an upload is there.
    fn offset(&self, response: &Response, length: usize) -> Result<usize, Failure> {
        let offset = response.headers().get("upload-offset").and_then(|value| value.to_str().ok());
        let offset = offset.and_then(|offset| offset.parse().ok()).filter(|offset| *offset <= length);
        offset.ok_or_else(|| self.strange())
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
        self.send(token, method, &url, request).await.map_err(|unsent| unsent.failure)
    }

    /// The same, and with which status it was refused.
    async fn send(
        &self,
        token: Option<&str>,
        method: Method,
        url: &Url,
        request: impl Fn(RequestBuilder) -> RequestBuilder,
    ) -> Result<Response, Unsent> {
        let mut waits = AGAIN_AFTER.into_iter();
        loop {
            let builder = request(self.client.request(method.clone(), url.clone()));
            let builder = match token {
                Some(token) => builder.bearer_auth(token),
                None => builder,
            };
            let unsent = match builder.send().await {
                Ok(response) if response.status().is_success() => return Ok(response),
                Ok(response) => {
                    let status = response.status();
                    let failure = self.refused(status, response.bytes().await.ok().as_deref());
                    let unsent = Unsent { status: Some(status), failure };
                    if !matches!(status.as_u16(), 408 | 429 | 502 | 503 | 504) {
                        return Err(unsent);
                    }
                    unsent
                }
                Err(error) => Unsent { status: None, failure: self.failed(&error) },
            };
            match waits.next() {
                Some(wait) => tokio::time::sleep(wait).await,
                None => return Err(unsent),
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
