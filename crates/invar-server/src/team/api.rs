//! What programs ask: projects, runs up and down, profiles, tokens.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use http_body_util::BodyExt;
use invar_core::run::Timestamp;
use invar_core::wire::{list, parcel, profile, v1};
use invar_store::{By, Listing, NameError, NewPublisher, NewToken, Project, Put, Store, Visibility, Wanted};
use serde_json::{Value, json};

use super::Team;
use super::access::{Asker, by_header, now};
use super::memory::Share;
use super::parts;
use super::people::sentence;
use super::problem::ApiProblem;
use super::publish;
use super::token::{Scope, Secret};
use super::upload::{self, Packing};
use crate::answer::{self, typed};
use crate::pages::runs::{cursor, cursor_text};

/// The largest body that is no upload.
const SMALL_BYTES: usize = 16 << 10;
/// How many runs a list has where nobody says, and at most.
const RUNS: u32 = 50;
const RUNS_MOST: u32 = 500;
/// The longest name of a token, in bytes.
const TOKEN_NAME_BYTES: usize = 200;

/// What becomes of a request.
pub type ApiAnswer = Result<Response, ApiProblem>;

/// `owner` and `name` of a path, and what else is in it.
pub(super) type Parts = Path<BTreeMap<String, String>>;

pub(super) fn project_of(parts: &BTreeMap<String, String>) -> String {
    let part = |name| parts.get(name).map(String::as_str).unwrap_or_default();
    format!("{}/{}", part("owner"), part("name"))
}

/// The project of an address, entered by who asks, to do what this scope permits.
pub(super) async fn entered(
    team: &Team,
    parts: &BTreeMap<String, String>,
    headers: &HeaderMap,
    scope: Scope,
) -> Result<Store, ApiProblem> {
    by_header(headers, team.store()).await?.enter(&project_of(parts), scope, team.store()).await
}

/// The same for those who may change what holds for it, and who that is.
pub(super) async fn administered(
    team: &Team,
    parts: &BTreeMap<String, String>,
    headers: &HeaderMap,
) -> Result<(Store, Asker), ApiProblem> {
    let asker = by_header(headers, team.store()).await?;
    let store = asker.enter(&project_of(parts), Scope::Admin, team.store()).await?;
    Ok((store, asker))
}

/// What was to be taken away is gone, or was not there.
pub(super) fn gone(is_gone: bool, otherwise: &str) -> ApiAnswer {
    match is_gone {
        true => Ok(StatusCode::NO_CONTENT.into_response()),
        false => Err(ApiProblem::NotFound(otherwise.to_string())),
    }
}

pub(super) fn json_answer(value: &Value) -> Response {
    typed("application/json", format!("{value}\n"))
}

pub(super) fn query_of(query: Option<String>) -> BTreeMap<String, String> {
    form_urlencoded::parse(query.unwrap_or_default().as_bytes())
        .into_owned()
        .filter(|(_, value)| !value.is_empty())
        .collect()
}

fn described(project: &Project) -> Value {
    let visibility = if project.visibility == Visibility::Public { "public" } else { "private" };
    json!({"name": project.name, "visibility": visibility, "created_us": project.created.0})
}

/// The projects that may be seen.
pub async fn projects(State(team): State<Team>, headers: HeaderMap) -> ApiAnswer {
    let asker = by_header(&headers, team.store()).await?;
    let projects = visible(&team, &asker).await?;
    Ok(json_answer(&json!({"projects": projects.iter().map(described).collect::<Vec<_>>()})))
}

/// The projects that somebody may see, by name.
pub async fn visible(team: &Team, asker: &Asker) -> Result<Vec<Project>, ApiProblem> {
    let mut projects = team.store().projects().await?;
    projects.retain(|project| !project.name.is_empty() && asker.sees(&project.name, project.visibility));
    Ok(projects)
}

/// A project.
pub async fn project(State(team): State<Team>, Path(parts): Parts, headers: HeaderMap) -> ApiAnswer {
    let store = entered(&team, &parts, &headers, Scope::Read).await?;
    Ok(json_answer(&described(&store.about().await?)))
}

/// What a token is.
pub async fn whoami(State(team): State<Team>, headers: HeaderMap) -> ApiAnswer {
    let Asker::Holder(holder) = by_header(&headers, team.store()).await? else {
        return Err(ApiProblem::Token);
    };
    let scopes: Vec<&str> = holder.scopes.iter().map(|scope| scope.name()).collect();
    let expires = holder.expires.map(|expires| expires.0);
    Ok(json_answer(
        &json!({"project": holder.project, "name": holder.name, "scopes": scopes, "expires_us": expires}),
    ))
}

/// Takes a run, or a shard of one.
pub async fn put_run(
    State(team): State<Team>,
    Path(parts): Parts,
    headers: HeaderMap,
    body: Body,
) -> ApiAnswer {
    let store = entered(&team, &parts, &headers, Scope::Upload).await?;
    let packing = match headers.get(header::CONTENT_ENCODING).map(|encoding| encoding.as_bytes()) {
        None | Some(b"identity") => Packing::Plain,
        Some(b"zstd") => Packing::Zstd,
        Some(_) => return Err(ApiProblem::Encoding),
    };
    let digest =
        headers.get("invar-sha256").map(|digest| String::from_utf8_lossy(digest.as_bytes()).into_owned());
    let limits = *team.limits();
    let mut share = team.memory().share();
    let upload = headers.get("invar-upload").map(|id| String::from_utf8_lossy(id.as_bytes()).into_owned());
    let body = match &upload {
        None => arrived(&headers, body, limits.body_bytes, &team, &mut share).await?,
        Some(id) => {
            arrived(&headers, body, 0, &team, &mut share).await?;
            parts::whole(&store, id, &mut share).await?
        }
    };
    let reader = team.reader().await;
    // Unpacking and reading take the processor for a while.
    let read = move || {
        let parcel = upload::read(&body, packing, digest.as_deref(), &limits, &mut share);
        drop(reader);
        parcel.map(|parcel| (parcel, share))
    };
    let (parcel, share) = match tokio::task::spawn_blocking(read).await {
        Ok(Ok(read)) => read,
        Ok(Err(refused)) => {
            let problem = ApiProblem::from(refused);
            if let (Some(id), ApiProblem::Refused(_)) = (&upload, &problem) {
                parts::is_refused(&store, id).await;
            }
            return Err(problem);
        }
        Err(error) => return Err(ApiProblem::Inside(format!("the reader of an upload has ended: {error}"))),
    };
    let (run, profiles) = (&parcel.run, &parcel.profiles);
    let mut said = json!({"id": run.id, "measured": run.measurements.len(), "profiles": profiles.len()});
    let (put, id) = match &run.shard {
        None => (store.put_with(run, profiles).await?, run.id.clone()),
        Some(shard) => {
            let gathering = store.put_shard(run, profiles).await?;
            let id = gathering.run.id;
            said["shard"] = json!({"run": id, "there": gathering.there, "of": shard.of});
            (gathering.put, id)
        }
    };
    drop(share);
    if let Some(id) = &upload {
        parts::is_done(&store, id).await?;
    }
    let address = format!("/api/v1/projects/{}/runs/{id}", store.about().await?.name);
    let status = match put {
        Put::Stored => StatusCode::CREATED,
        Put::AlreadyThere => StatusCode::OK,
    };
    Ok((status, [(header::LOCATION, address)], json_answer(&said)).into_response())
}

/// A body, whole, or why not.
pub(super) async fn arrived(
    headers: &HeaderMap,
    body: Body,
    most: usize,
    team: &Team,
    share: &mut Share,
) -> Result<Vec<u8>, ApiProblem> {
    let said =
        headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if said.is_some_and(|said| said > most) {
        return Err(ApiProblem::TooLarge(most));
    }
    tokio::time::timeout(team.limits().arrives, whole(body, most, share))
        .await
        .unwrap_or(Err(ApiProblem::CutOff))
}

async fn whole(mut body: Body, most: usize, share: &mut Share) -> Result<Vec<u8>, ApiProblem> {
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| ApiProblem::CutOff)?;
        // What comes after the last byte says nothing that is asked for here.
        let Some(piece) = frame.data_ref() else { continue };
        if bytes.len() + piece.len() > most {
            return Err(ApiProblem::TooLarge(most));
        }
        share.take(piece.len())?;
        bytes.extend_from_slice(piece);
    }
    Ok(bytes)
}

/// A small body of JSON.
pub(super) async fn small(team: &Team, headers: &HeaderMap, body: Body) -> Result<Value, ApiProblem> {
    json_of(team, headers, body, SMALL_BYTES).await
}

/// A body of JSON that has so many bytes at most.
pub(super) async fn json_of(
    team: &Team,
    headers: &HeaderMap,
    body: Body,
    most: usize,
) -> Result<Value, ApiProblem> {
    let body = arrived(headers, body, most, team, &mut team.memory().share()).await?;
    serde_json::from_slice(&body)
        .map_err(|error| ApiProblem::Unusable(format!("The body is not JSON: {error}.")))
}

/// Runs, newest first, of a branch or of a commit.
pub async fn runs(
    State(team): State<Team>,
    Path(parts): Parts,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> ApiAnswer {
    let name = project_of(&parts);
    let store = entered(&team, &parts, &headers, Scope::Read).await?;
    let query = query_of(query);
    if let Some(commit) = query.get("commit") {
        let mut runs = Vec::new();
        for commit in store.commits_starting(commit).await? {
            let wanted =
                Wanted { commit: Some(commit), branch: query.get("branch").cloned(), ..Wanted::default() };
            runs.extend(store.latest(&wanted).await?);
        }
        return answer_of(list::write(&runs));
    }
    let limit = match query.get("limit").map(|limit| limit.parse::<u32>()) {
        None => RUNS,
        Some(Ok(limit)) if (1..=RUNS_MOST).contains(&limit) => limit,
        Some(_) => return Err(ApiProblem::Unusable(format!("A limit is from 1 to {RUNS_MOST}."))),
    };
    let after = query.get("after").map(|after| cursor(after)).transpose();
    let after = after.map_err(|problem| ApiProblem::Unusable(problem.to_string()))?;
    let listing =
        Listing { branch: query.get("branch").cloned(), after, limit: limit + 1, ..Listing::default() };
    let mut runs = store.runs(&listing).await?;
    let more = runs.len() > limit as usize;
    runs.truncate(limit as usize);
    let mut response = answer_of(list::write(&runs))?;
    if let Some(last) = runs.last().filter(|_| more) {
        let mut next = form_urlencoded::Serializer::new(String::new());
        next.extend_pairs(query.iter().filter(|(name, _)| *name != "after"));
        next.append_pair("after", &cursor_text(last));
        let link = format!("</api/v1/projects/{name}/runs?{}>; rel=\"next\"", next.finish());
        let link = link.parse().map_err(|_| ApiProblem::Inside("a link cannot be written".to_string()))?;
        response.headers_mut().insert(header::LINK, link);
    }
    Ok(response)
}

fn answer_of(text: String) -> ApiAnswer {
    answer::json_text(text).map_err(|problem| ApiProblem::Inside(problem.to_string()))
}

/// A run, as a run file.
pub async fn run(State(team): State<Team>, Path(parts): Parts, headers: HeaderMap) -> ApiAnswer {
    let store = entered(&team, &parts, &headers, Scope::Read).await?;
    answer_of(v1::write_pretty(&store.get(&parts["run"]).await?))
}

/// A run with its profiles, as it was uploaded.
pub async fn parcel(State(team): State<Team>, Path(parts): Parts, headers: HeaderMap) -> ApiAnswer {
    let store = entered(&team, &parts, &headers, Scope::Read).await?;
    let run = store.get(&parts["run"]).await?;
    let profiles = store.profiles(&run.id).await?;
    let pack = move || zstd::encode_all(&parcel::write(&run, &profiles)[..], 3);
    let packed = match tokio::task::spawn_blocking(pack).await {
        Ok(Ok(packed)) => packed,
        Ok(Err(error)) => return Err(ApiProblem::Inside(format!("a run cannot be packed: {error}"))),
        Err(error) => return Err(ApiProblem::Inside(format!("the packer of a run has ended: {error}"))),
    };
    let digest = upload::sha256(&packed);
    let headers = [
        (header::CONTENT_TYPE.as_str(), "application/vnd.invar.parcel+zstd"),
        (header::CACHE_CONTROL.as_str(), "no-cache"),
        ("invar-sha256", digest.as_str()),
    ];
    Ok((headers, packed).into_response())
}

/// The profile of a benchmark, its bytes.
pub async fn run_profile(
    State(team): State<Team>,
    Path(parts): Parts,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> ApiAnswer {
    let store = entered(&team, &parts, &headers, Scope::Read).await?;
    let query = query_of(query);
    let Some(benchmark) = query.get("benchmark") else {
        return Err(ApiProblem::Unusable("Say which: ?benchmark=FULL-NAME".to_string()));
    };
    let Some(found) = store.profile(&parts["run"], benchmark).await? else {
        return Err(ApiProblem::NotFound(
            "There is no such run, or it has no profile of this benchmark.".to_string(),
        ));
    };
    let headers =
        [(header::CONTENT_TYPE, "application/vnd.invar.profile"), (header::CACHE_CONTROL, "no-cache")];
    Ok((headers, profile::write(&found)).into_response())
}

/// The tokens of a project, without what makes them worth something.
pub async fn tokens(State(team): State<Team>, Path(parts): Parts, headers: HeaderMap) -> ApiAnswer {
    let store = entered(&team, &parts, &headers, Scope::Admin).await?;
    let tokens: Vec<Value> = store
        .tokens()
        .await?
        .into_iter()
        .map(|token| {
            json!({
                "number": token.number, "name": token.name, "created_us": token.created.0,
                "scopes": token.scopes.split_whitespace().collect::<Vec<_>>(),
                "expires_us": token.expires.map(|at| at.0), "used_us": token.used.map(|at| at.0),
            })
        })
        .collect();
    Ok(json_answer(&json!({"tokens": tokens})))
}

/// Makes a token: `{"name": "ci", "scopes": ["upload"], "expires_us": 0}`, of which the last may be missing.
pub async fn make_token(
    State(team): State<Team>,
    Path(parts): Parts,
    headers: HeaderMap,
    body: Body,
) -> ApiAnswer {
    let (store, asker) = administered(&team, &parts, &headers).await?;
    let wanted = small(&team, &headers, body).await?;
    let name = wanted["name"].as_str().map(str::trim).unwrap_or_default();
    if name.is_empty() || name.len() > TOKEN_NAME_BYTES || name.chars().any(char::is_control) {
        return Err(ApiProblem::Unusable(format!(
            "A token has a `name`, of {TOKEN_NAME_BYTES} bytes at most."
        )));
    }
    let scopes = wanted["scopes"]
        .as_array()
        .and_then(|scopes| scopes.iter().map(Value::as_str).collect::<Option<Vec<_>>>());
    let scopes = scopes.and_then(|scopes| Scope::read(&scopes.join(" ")));
    let Some(scopes) = scopes else {
        return Err(ApiProblem::Unusable(
            "A token has `scopes`: some of `read`, `upload` and `admin`.".to_string(),
        ));
    };
    let expires = match &wanted["expires_us"] {
        Value::Null => None,
        at => match at.as_i64().filter(|at| *at > now().0) {
            Some(at) => Some(Timestamp(at)),
            None => {
                return Err(ApiProblem::Unusable(
                    "`expires_us` is microseconds since 1970, and to come.".to_string(),
                ));
            }
        },
    };
    let Some(secret) = Secret::draw() else {
        return Err(ApiProblem::Inside("the system has no randomness to give".to_string()));
    };
    let scopes = Scope::text(&scopes);
    let token = NewToken { name, digest: &secret.digest(), scopes: &scopes, expires };
    let number = store.create_token(&token, By { who: &asker.who(), at: now() }).await?;
    let said = json!({"number": number, "name": name, "token": secret.text()});
    Ok((StatusCode::CREATED, json_answer(&said)).into_response())
}

/// Makes a token worth nothing.
pub async fn revoke_token(State(team): State<Team>, Path(parts): Parts, headers: HeaderMap) -> ApiAnswer {
    let (store, asker) = administered(&team, &parts, &headers).await?;
    let number = parts["number"].parse::<i64>().ok();
    let is_gone = match number {
        Some(number) => store.revoke_token(number, By { who: &asker.who(), at: now() }).await?,
        None => false,
    };
    gone(is_gone, "There is no such token.")
}

/// The publishers that a project trusts.
pub async fn publishers(State(team): State<Team>, Path(parts): Parts, headers: HeaderMap) -> ApiAnswer {
    let store = entered(&team, &parts, &headers, Scope::Admin).await?;
    let publishers: Vec<Value> = store
        .publishers()
        .await?
        .into_iter()
        .map(|one| {
            json!({
                "number": one.number, "forge": one.forge, "issuer": one.issuer, "repository": one.repository,
                "repository_id": one.repository_id, "ref": one.reference, "environment": one.environment,
                "created_us": one.created.0, "used_us": one.used.map(|at| at.0),
            })
        })
        .collect();
    Ok(json_answer(&json!({"publishers": publishers})))
}

/// Trusts a publisher: `{"issuer": "https://gitlab.com", "repository": "acme/fib", "ref": "refs/heads/*", "environment": ""}`,
/// of which the last two may be missing.
pub async fn make_publisher(
    State(team): State<Team>,
    Path(parts): Parts,
    headers: HeaderMap,
    body: Body,
) -> ApiAnswer {
    let (store, asker) = administered(&team, &parts, &headers).await?;
    let wanted = small(&team, &headers, body).await?;
    let text = |name: &str| wanted[name].as_str().map(str::trim).unwrap_or_default();
    let issuer = text("issuer").trim_end_matches('/');
    let Some(issuer) = team.issuers().all().iter().find(|known| known.url == issuer) else {
        let known: Vec<&str> = team.issuers().all().iter().map(|issuer| issuer.url.as_str()).collect();
        return Err(ApiProblem::Unusable(format!("`issuer` is one of {}.", known.join(", "))));
    };
    let new = NewPublisher {
        forge: issuer.forge.name(),
        issuer: &issuer.url,
        repository: text("repository"),
        reference: text("ref"),
        environment: text("environment"),
    };
    if let Some(refusal) = publish::refusal(new) {
        return Err(ApiProblem::Unusable(refusal));
    }
    match store.create_publisher(new, By { who: &asker.who(), at: now() }).await? {
        Some(number) => Ok((StatusCode::CREATED, json_answer(&json!({"number": number}))).into_response()),
        None => Err(ApiProblem::There("This project trusts this publisher already.".to_string())),
    }
}

/// Trusts a publisher no more.
pub async fn remove_publisher(State(team): State<Team>, Path(parts): Parts, headers: HeaderMap) -> ApiAnswer {
    let (store, asker) = administered(&team, &parts, &headers).await?;
    let is_gone = match parts["number"].parse::<i64>() {
        Ok(number) => store.remove_publisher(number, By { who: &asker.who(), at: now() }).await?,
        Err(_) => false,
    };
    gone(is_gone, "There is no such publisher.")
}

/// What has been decided about the names of benchmarks, and holds.
pub async fn names(State(team): State<Team>, Path(parts): Parts, headers: HeaderMap) -> ApiAnswer {
    let store = entered(&team, &parts, &headers, Scope::Read).await?;
    let names: Vec<Value> = store
        .namings()
        .await?
        .into_iter()
        .map(|one| {
            json!({"number": one.number, "benchmark": one.benchmark, "becomes": one.becomes, "at_us": one.at.0})
        })
        .collect();
    Ok(json_answer(&json!({"names": names})))
}

/// Renames a benchmark, `{"benchmark": "t.py::a", "becomes": "t.py::b"}`, or archives it, if it becomes nothing.
pub async fn decide_name(
    State(team): State<Team>,
    Path(parts): Parts,
    headers: HeaderMap,
    body: Body,
) -> ApiAnswer {
    let (store, asker) = administered(&team, &parts, &headers).await?;
    let wanted = small(&team, &headers, body).await?;
    let benchmark = wanted["benchmark"].as_str().unwrap_or_default();
    let becomes = match &wanted["becomes"] {
        Value::Null => None,
        other => Some(other.as_str().unwrap_or_default()),
    };
    for name in std::iter::once(benchmark).chain(becomes) {
        if let Err(refused) = upload::name("the name of a benchmark", name) {
            return Err(ApiProblem::Unusable(sentence(&refused)));
        }
    }
    let who = asker.who();
    let by = By { who: &who, at: now() };
    let decided = match becomes {
        Some(becomes) => store.rename_benchmark(benchmark, becomes, by).await,
        None => store.archive_benchmark(benchmark, by).await,
    };
    match decided {
        Ok(number) => Ok((StatusCode::CREATED, json_answer(&json!({"number": number}))).into_response()),
        Err(NameError::Database(error)) => Err(error.into()),
        Err(error) => Err(ApiProblem::There(sentence(&error))),
    }
}

/// Takes a decision about a name back.
pub async fn undo_name(State(team): State<Team>, Path(parts): Parts, headers: HeaderMap) -> ApiAnswer {
    let (store, asker) = administered(&team, &parts, &headers).await?;
    let undone = match parts["number"].parse::<i64>() {
        Ok(number) => store.undo_naming(number, By { who: &asker.who(), at: now() }).await?,
        Err(_) => false,
    };
    gone(undone, "Nothing that holds has this number.")
}
