//! Uploads in parts, by tus 1.0 with its extensions creation, expiration and termination: begun, gone on with, looked at, given up.
//!
//! What has arrived is kept outside of what readers see, in the store, so any replica goes on with it. A part is kept whole or not at
//! all. It becomes a run when runs are sent it by its name ([`super::api::put_run`]), which verifies the whole as it does an upload
//! of one request. Somebody who begins with the same digest and length finds what is there of an upload that broke off.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use invar_core::run::Timestamp;
use invar_store::{NewUpload, PartError, PutPart, Store, Upload};

use super::Team;
use super::access::now;
use super::api::{ApiAnswer, Parts, arrived, entered, gone, project_of};
use super::memory::Share;
use super::problem::ApiProblem;
use super::token::Scope;

/// The protocol's version.
const VERSION: &str = "1.0.0";
/// The type of a part.
const PART: &str = "application/offset+octet-stream";
/// For how long an upload that has become a run is still there, for whoever was not told.
const ECHO: Duration = Duration::from_secs(120);

const RESUMABLE: HeaderName = HeaderName::from_static("tus-resumable");
const SUPPORTED: HeaderName = HeaderName::from_static("tus-version");
const OFFSET: HeaderName = HeaderName::from_static("upload-offset");
const LENGTH: HeaderName = HeaderName::from_static("upload-length");
const EXPIRES: HeaderName = HeaderName::from_static("upload-expires");

const NO_UPLOAD: &str = "There is no such upload, or its time is over: begin it anew.";

/// Begins an upload, or finds it.
pub async fn begin(
    State(team): State<Team>,
    Path(parts): Parts,
    headers: HeaderMap,
    body: Body,
) -> ApiAnswer {
    let store = entered(&team, &parts, &headers, Scope::Upload).await?;
    spoken(&headers, answer_to_begin(&team, &store, &parts, &headers, body)).await
}

async fn answer_to_begin(
    team: &Team,
    store: &Store,
    parts: &BTreeMap<String, String>,
    headers: &HeaderMap,
    body: Body,
) -> ApiAnswer {
    arrived(headers, body, 0, team, &mut team.memory().share()).await?;
    let limits = team.limits();
    let bytes = number(headers, &LENGTH)?;
    if bytes > limits.body_bytes as u64 {
        return Err(ApiProblem::TooLarge(limits.body_bytes));
    }
    let digest = match headers.get("invar-sha256").map(|digest| digest.to_str().unwrap_or_default()) {
        None => String::new(),
        Some(digest) if digest.len() == 64 && digest.bytes().all(|digit| digit.is_ascii_hexdigit()) => {
            digest.to_ascii_lowercase()
        }
        Some(_) => return Err(ApiProblem::Unusable("Invar-Sha256 is 64 hexadecimal digits.".to_string())),
    };
    let mut drawn = [0_u8; 16];
    getrandom::fill(&mut drawn)
        .map_err(|_| ApiProblem::Inside("the system has no randomness to give".to_string()))?;
    let id: String = drawn.iter().map(|byte| format!("{byte:02x}")).collect();
    let expires = after(limits.upload_lasts);
    let new = NewUpload { id: &id, digest: &digest, bytes, expires, most: limits.uploads };
    let Some(upload) = store.begin_upload(new, now()).await? else {
        return Err(ApiProblem::Uploads(limits.uploads));
    };
    let address = format!("/api/v1/projects/{}/uploads/{}", project_of(parts), upload.id);
    Ok((StatusCode::CREATED, [(header::LOCATION, address)], state(&upload)).into_response())
}

/// How far an upload is.
pub async fn look(State(team): State<Team>, Path(parts): Parts, headers: HeaderMap) -> ApiAnswer {
    let store = entered(&team, &parts, &headers, Scope::Upload).await?;
    let answer = async {
        let upload = store.upload(&parts["upload"], now()).await?;
        let upload = upload.ok_or_else(|| ApiProblem::NotFound(NO_UPLOAD.to_string()))?;
        Ok((StatusCode::OK, state(&upload)).into_response())
    };
    spoken(&headers, answer).await
}

/// Takes the next part.
pub async fn go_on(
    State(team): State<Team>,
    Path(parts): Parts,
    headers: HeaderMap,
    body: Body,
) -> ApiAnswer {
    let store = entered(&team, &parts, &headers, Scope::Upload).await?;
    spoken(&headers, answer_to_part(&team, &store, &parts["upload"], &headers, body)).await
}

async fn answer_to_part(team: &Team, store: &Store, id: &str, headers: &HeaderMap, body: Body) -> ApiAnswer {
    if headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes) != Some(PART.as_bytes()) {
        return Err(ApiProblem::Part(PART));
    }
    let start = number(headers, &OFFSET)?;
    // Before the part has come: who goes on at a wrong place should not have to send it.
    let there = store.upload(id, now()).await?;
    let there = there.ok_or_else(|| ApiProblem::NotFound(NO_UPLOAD.to_string()))?;
    if there.arrived != start {
        return Ok(elsewhere(there.arrived));
    }
    let mut share = team.memory().share();
    let content = arrived(headers, body, team.limits().part_bytes, team, &mut share).await?;
    // For its blob.
    share.take(content.len())?;
    match store.put_part(id, start, &content, now()).await? {
        PutPart::Kept(arrived) => {
            let upload = Upload { arrived, ..there };
            Ok((StatusCode::NO_CONTENT, state(&upload)).into_response())
        }
        PutPart::Elsewhere(arrived) => Ok(elsewhere(arrived)),
        PutPart::TooMuch(bytes) => Err(ApiProblem::TooLarge(usize::try_from(bytes).unwrap_or(usize::MAX))),
        PutPart::Unknown => Err(ApiProblem::NotFound(NO_UPLOAD.to_string())),
    }
}

/// Gives an upload up.
pub async fn give_up(State(team): State<Team>, Path(parts): Parts, headers: HeaderMap) -> ApiAnswer {
    let store = entered(&team, &parts, &headers, Scope::Upload).await?;
    let answer = async { gone(store.forget_upload(&parts["upload"], now()).await?, NO_UPLOAD) };
    spoken(&headers, answer).await
}

/// All of an upload, to be read like the body of a request.
pub async fn whole(store: &Store, id: &str, share: &mut Share) -> Result<Vec<u8>, ApiProblem> {
    let upload = store.upload(id, now()).await?;
    let upload = upload.ok_or_else(|| ApiProblem::NotFound(NO_UPLOAD.to_string()))?;
    if upload.arrived != upload.bytes {
        let Upload { arrived, bytes, .. } = upload;
        return Err(ApiProblem::There(format!("Of this upload {arrived} of {bytes} bytes are there.")));
    }
    share.take(usize::try_from(upload.bytes).unwrap_or(usize::MAX))?;
    let bytes = store.parts(id).await?;
    if bytes.len() as u64 != upload.bytes {
        // Its time was over meanwhile.
        return Err(ApiProblem::NotFound(NO_UPLOAD.to_string()));
    }
    Ok(bytes)
}

/// It has become a run. Who was not told may ask once more.
pub async fn is_done(store: &Store, id: &str) -> Result<(), ApiProblem> {
    Ok(store.upload_ends(id, after(ECHO)).await?)
}

/// It can never become a run.
pub async fn is_refused(store: &Store, id: &str) {
    // What fails here goes when its time is over.
    drop(store.forget_upload(id, now()).await);
}

/// The answer in the protocol's words, if it is asked in them; otherwise nothing is done.
async fn spoken(headers: &HeaderMap, answer: impl Future<Output = ApiAnswer>) -> ApiAnswer {
    if headers.get(RESUMABLE).map(HeaderValue::as_bytes) != Some(VERSION.as_bytes()) {
        let mut response = ApiProblem::Protocol(VERSION).into_response();
        response.headers_mut().insert(SUPPORTED, HeaderValue::from_static(VERSION));
        return Ok(response);
    }
    let mut response = answer.await.unwrap_or_else(IntoResponse::into_response);
    response.headers_mut().insert(RESUMABLE, HeaderValue::from_static(VERSION));
    Ok(response)
}

fn state(upload: &Upload) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(OFFSET, upload.arrived.into());
    headers.insert(LENGTH, upload.bytes.into());
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(expires) = HeaderValue::from_str(&http_date(upload.expires)) {
        headers.insert(EXPIRES, expires);
    }
    headers
}

fn elsewhere(arrived: u64) -> Response {
    let what = format!("The next part of this upload begins at byte {arrived}.");
    let mut response = ApiProblem::There(what).into_response();
    response.headers_mut().insert(OFFSET, arrived.into());
    response
}

fn number(headers: &HeaderMap, name: &HeaderName) -> Result<u64, ApiProblem> {
    let number = headers.get(name).and_then(|value| value.to_str().ok()?.parse().ok());
    number.ok_or_else(|| ApiProblem::Unusable(format!("The header {name} is a number of bytes.")))
}

fn after(time: Duration) -> Timestamp {
    Timestamp(now().0.saturating_add(i64::try_from(time.as_micros()).unwrap_or(i64::MAX)))
}

/// As in RFC 9110.
fn http_date(at: Timestamp) -> String {
    let at = jiff::Timestamp::from_microsecond(at.0).unwrap_or(jiff::Timestamp::MAX);
    at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

impl From<PartError> for ApiProblem {
    fn from(error: PartError) -> ApiProblem {
        match error {
            PartError::Database(error) => error.into(),
            PartError::Write(error) => invar_store::PutError::Blob(error).into(),
            PartError::Read(error) if error.is_away() => ApiProblem::Away(error.to_string()),
            // Of a store that was restored from a backup, which has no parts.
            _ => ApiProblem::NotFound(NO_UPLOAD.to_string()),
        }
    }
}
