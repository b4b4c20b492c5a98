//! Where a store is: a directory, or a database and a place for blobs, each on its own.
//!
//! Says what the words mean and makes connections; knows nothing of what is kept there.

use std::path::{Path, PathBuf};
#[cfg(feature = "s3")]
use std::time::Duration;

use crate::blobs::Shelf;
use crate::store::OpenError;

/// How long an object store may be away before that is an error, how often it is asked, and how long a connection and an
/// answer may take.
#[cfg(feature = "s3")]
const PATIENCE: Duration = Duration::from_secs(10);
#[cfg(feature = "s3")]
const RETRIES: usize = 5;
#[cfg(feature = "s3")]
const CONNECTS: Duration = Duration::from_secs(5);
#[cfg(feature = "s3")]
const ANSWERS: Duration = Duration::from_secs(60);

/// Where a store is. Anything that is no address is a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// `postgres://USER:PASSWORD@HOST:PORT/DATABASE`, or a directory, in which SQLite keeps `invar.sqlite`.
    pub database: String,
    /// `s3://KEY:SECRET@BUCKET/PREFIX?endpoint=URL&region=NAME`, or a directory. `None`: the directory of the database.
    ///
    /// What is left out of an address comes from the environment: `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`,
    /// `AWS_REGION`, and others of that kind.
    pub blobs: Option<String>,
}

/// A text that means the one or the other.
pub(crate) enum Place {
    Directory(PathBuf),
    Address(url::Url),
}

impl Location {
    /// Everything in this directory.
    pub fn directory(path: &Path) -> Location {
        Location { database: path.to_string_lossy().into_owned(), blobs: None }
    }

    /// What may be shown: no passwords, no keys.
    pub fn shown(&self) -> String {
        let shown = |text: &str| match place(text) {
            Ok(Place::Address(mut url)) => {
                // An address without a host has no password either.
                let _ = url.set_password(None);
                url.set_query(None);
                url.to_string()
            }
            _ => text.to_string(),
        };
        match &self.blobs {
            Some(blobs) => format!("{} and {}", shown(&self.database), shown(blobs)),
            None => shown(&self.database),
        }
    }
}

/// What a text means.
pub(crate) fn place(text: &str) -> Result<Place, OpenError> {
    if !text.contains("://") {
        return Ok(Place::Directory(PathBuf::from(text)));
    }
    text.parse().map(Place::Address).map_err(|error: url::ParseError| {
        // Not the text: there may be a password in it.
        let scheme = text.split("://").next().unwrap_or_default();
        OpenError::Location { place: format!("{scheme}://..."), why: error.to_string() }
    })
}

/// The place for blobs at this address.
#[cfg(feature = "s3")]
pub(crate) fn bucket(url: &url::Url) -> Result<Shelf, OpenError> {
    use std::sync::Arc;

    use object_store::aws::AmazonS3Builder;
    use object_store::path::Path as Name;
    use object_store::{ClientOptions, RetryConfig};

    let wrong = |why: String| {
        let mut shown = url.clone();
        shown.set_query(None);
        // An address without a host has no password either.
        let _ = shown.set_password(None);
        OpenError::Location { place: shown.to_string(), why }
    };
    if url.scheme() != "s3" {
        return Err(wrong(format!(
            "`{}` is no place for blobs: write s3://BUCKET or a directory",
            url.scheme()
        )));
    }
    let bucket = url.host_str().filter(|bucket| !bucket.is_empty());
    let bucket = bucket.ok_or_else(|| wrong("it names no bucket".to_string()))?;
    let prefix = Name::from_url_path(url.path()).map_err(|error| wrong(error.to_string()))?;
    // Another crate may have chosen a provider before; then that one is used.
    let _ = rustls::crypto::ring::default_provider().install_default();
    // One that is away is said to be while somebody still waits for the answer; who sent a run tries again.
    let retry = RetryConfig { max_retries: RETRIES, retry_timeout: PATIENCE, ..RetryConfig::default() };
    let client = ClientOptions::new().with_connect_timeout(CONNECTS).with_timeout(ANSWERS);
    let mut builder =
        AmazonS3Builder::from_env().with_bucket_name(bucket).with_retry(retry).with_client_options(client);
    if let Some(secret) = url.password() {
        let plain = |text| percent_encoding::percent_decode_str(text).decode_utf8().map(String::from);
        let (key, secret) = (plain(url.username()), plain(secret));
        let (Ok(key), Ok(secret)) = (key, secret) else {
            return Err(wrong("its key is no text".to_string()));
        };
        builder = builder.with_access_key_id(key).with_secret_access_key(secret);
    }
    for (name, value) in url.query_pairs() {
        builder = match &*name {
            "endpoint" => builder.with_allow_http(value.starts_with("http://")).with_endpoint(value),
            "region" => builder.with_region(value),
            other => {
                return Err(wrong(format!(
                    "`{other}` is no setting of it: there are `endpoint` and `region`"
                )));
            }
        };
    }
    let objects = builder.build().map_err(|error| wrong(error.to_string()))?;
    Ok(Shelf { objects: Arc::new(objects), place: format!("s3://{bucket}/"), prefix })
}

/// The place for blobs at this address: this build knows of none.
#[cfg(not(feature = "s3"))]
pub(crate) fn bucket(url: &url::Url) -> Result<Shelf, OpenError> {
    Err(OpenError::Location {
        place: format!("{}://...", url.scheme()),
        why: "this build keeps blobs in directories only: build it with the feature `s3`".to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_is_shown_without_its_secrets() {
        let location = Location {
            database: "postgres://invar:secret@db.example:5432/invar?sslmode=require".into(),
            blobs: Some("s3://bucket/invar?endpoint=http://127.0.0.1:9000".into()),
        };
        assert_eq!(location.shown(), "postgres://invar@db.example:5432/invar and s3://bucket/invar");
        assert_eq!(Location::directory(Path::new("/data")).shown(), "/data");
    }

    #[cfg(feature = "s3")]
    #[test]
    fn an_address_of_blobs_that_means_nothing_is_said() {
        let check = |address: &str, expected: &str| {
            let error = bucket(&address.parse().unwrap()).unwrap_err();
            assert_eq!(error.to_string(), expected);
        };
        check(
            "ftp://a/b",
            "cannot use ftp://a/b: `ftp` is no place for blobs: write s3://BUCKET or a directory",
        );
        check("s3:///b", "cannot use s3:///b: it names no bucket");
        check(
            "s3://b?color=red",
            "cannot use s3://b: `color` is no setting of it: there are `endpoint` and `region`",
        );
    }
}
