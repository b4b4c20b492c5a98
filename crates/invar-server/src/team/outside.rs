//! Asks other servers: those that whoever runs this one has named, and nobody else.
//!
//! They are not trusted to be quick, small or at home: whoever asks waits for a few seconds, reads so much and no more, and
//! follows nobody elsewhere.

use std::time::Duration;

use axum::http::StatusCode;
use reqwest::{Client, RequestBuilder, Url};

/// How long an answer may take, and how much of it is read, in bytes.
const PATIENCE: Duration = Duration::from_secs(5);
const MOST_BYTES: usize = 256 << 10;

/// What asks.
pub(super) struct Outside(Option<Client>);

impl Outside {
    /// Ready to ask.
    pub(super) fn new() -> Outside {
        // It is there already if something else has connected by TLS.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .timeout(PATIENCE)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("invar/", env!("CARGO_PKG_VERSION")))
            .build();
        Outside(client.ok())
    }

    /// The status and the body of an answer, or why there is none. `url` is said where something is wrong.
    pub(super) async fn ask(
        &self,
        url: &str,
        request: impl FnOnce(&Client) -> RequestBuilder,
    ) -> Result<(StatusCode, Vec<u8>), String> {
        let client = self.0.as_ref().ok_or("connections cannot be made")?;
        let mut response = request(client).send().await.map_err(words)?;
        let mut bytes = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(words)? {
            if bytes.len() + piece.len() > MOST_BYTES {
                return Err(format!("{url}: more than {MOST_BYTES} bytes"));
            }
            bytes.extend_from_slice(&piece);
        }
        Ok((response.status(), bytes))
    }
}

/// What went wrong, with its causes.
fn words(error: reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    text
}

/// Is this an address of this machine?
pub(super) fn is_here(url: &Url) -> bool {
    matches!(url.host_str(), Some("127.0.0.1" | "[::1]" | "localhost"))
}

/// The address of a server, without a slash at its end: by TLS, or on this machine.
pub(super) fn server(text: &str) -> Option<String> {
    let url = Url::parse(text).ok()?;
    let is_safe = match url.scheme() {
        "https" => true,
        "http" => is_here(&url),
        _ => false,
    };
    let is_plain = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
    (is_safe && is_plain).then(|| text.trim_end_matches('/').to_string())
}
