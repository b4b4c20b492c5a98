//! What a forge says of the job that this is, for a server that believes the forge.
//!
//! GitHub Actions answer at an address that a job with the permission `id-token: write` is told; GitLab puts it into a
//! variable of the job, which is called `INVAR_ID_TOKEN`. It is made out to the server, and is shown to nobody else.

use reqwest::{Client, Url};
use serde_json::Value;

use crate::exit::{Code, Failure};

/// The variable in which GitLab, or any other CI, leaves it.
const VARIABLE: &str = "INVAR_ID_TOKEN";

/// What is said of this job to this server; `None`: nothing, or this is no job of CI.
pub async fn find(client: &Client, server: &str) -> Result<Option<String>, Failure> {
    let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    if let Some(token) = set(VARIABLE) {
        return Ok(Some(token));
    }
    let (Some(url), Some(secret)) =
        (set("ACTIONS_ID_TOKEN_REQUEST_URL"), set("ACTIONS_ID_TOKEN_REQUEST_TOKEN"))
    else {
        return Ok(None);
    };
    let failed =
        || Failure::new(Code::Storage, "GitHub does not say what this job is (ACTIONS_ID_TOKEN_REQUEST_URL)");
    let mut url = Url::parse(&url).map_err(|error| failed().because(&error))?;
    url.query_pairs_mut().append_pair("audience", server);
    let response = client.get(url).bearer_auth(secret).send().await;
    let response = response.and_then(|response| response.error_for_status());
    let bytes = match response {
        Ok(response) => response.bytes().await,
        Err(error) => Err(error),
    };
    let bytes = bytes.map_err(|error| failed().because(&error.without_url()))?;
    let said: Value = serde_json::from_slice(&bytes).map_err(|error| failed().because(&error))?;
    let token = said["value"].as_str();
    token.map(|token| Some(token.to_string())).ok_or_else(failed)
}
