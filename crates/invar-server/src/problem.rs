//! Why there is no answer. Said as a page to people and as problem details (RFC 9457) to scripts.

use axum::http::StatusCode;
use invar_core::compare::CompareError;
use invar_store::{DatabaseError, GetError, GetProfileError, NotReadyError};

/// Why a request has no other answer.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// Nothing is there.
    #[error("{0}")]
    NotFound(String),
    /// What was asked cannot be understood.
    #[error("{0}")]
    Unusable(String),
    /// A token that is worth nothing.
    #[error("This token is not valid: it was revoked, has expired, or never was one.")]
    Token,
    /// Who asks may not do that.
    #[error("{0}")]
    Forbidden(String),
    /// Somebody tries too often.
    #[error("That was tried too often. Wait a quarter of an hour.")]
    TooOften,
    /// The system failed in a way that has no name.
    #[error("Something is wrong on this side. What the system said is in the server's log.")]
    Inside(String),
    /// A forge that is to say who somebody is does not.
    #[error(
        "{name} does not answer as it should, so nobody was signed in. What it said is in the server's log."
    )]
    Forge {
        /// As people call it.
        name: &'static str,
        /// What is wrong, for the log.
        why: String,
    },
    /// Two runs that cannot be compared.
    #[error(transparent)]
    Unlike(#[from] CompareError),
    /// The address is there, but not for this method.
    #[error("This address can be read, and nothing else can be done with it.")]
    Method,
    /// The store could not be read.
    #[error("The store could not be read. What the system said is in the server's log.")]
    Store(#[from] DatabaseError),
    /// A run that is listed could not be read.
    #[error("The results of this run could not be read. What the system said is in the server's log.")]
    Run(#[source] GetError),
    /// A profile that is listed could not be read.
    #[error("This profile could not be read. What the system said is in the server's log.")]
    Profile(#[source] GetProfileError),
    /// What the store is kept in does not answer.
    #[error("The store cannot be reached now. What the system said is in the server's log.")]
    NotReady(#[from] NotReadyError),
    /// A page could not be written.
    #[error("This page could not be written. What went wrong is in the server's log.")]
    Page(#[from] askama::Error),
}

impl Problem {
    /// The status of the answer.
    pub const fn status(&self) -> StatusCode {
        match self {
            Problem::NotFound(_) => StatusCode::NOT_FOUND,
            Problem::Unusable(_) => StatusCode::BAD_REQUEST,
            Problem::Token => StatusCode::UNAUTHORIZED,
            Problem::Forbidden(_) => StatusCode::FORBIDDEN,
            Problem::TooOften => StatusCode::TOO_MANY_REQUESTS,
            Problem::Unlike(_) => StatusCode::CONFLICT,
            Problem::Method => StatusCode::METHOD_NOT_ALLOWED,
            Problem::Store(DatabaseError::Unreachable { .. })
            | Problem::NotReady(_)
            | Problem::Forge { .. } => StatusCode::SERVICE_UNAVAILABLE,
            Problem::Store(_)
            | Problem::Run(_)
            | Problem::Profile(_)
            | Problem::Page(_)
            | Problem::Inside(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// What kind of problem, in a few words.
    pub const fn title(&self) -> &'static str {
        match self {
            Problem::NotFound(_) => "Nothing here",
            Problem::Unusable(_) => "That cannot be understood",
            Problem::Token => "A token that is worth nothing",
            Problem::Forbidden(_) => "Not allowed",
            Problem::TooOften => "Too often",
            Problem::Unlike(_) => "These runs cannot be compared",
            Problem::Method => "Not that way",
            Problem::Forge { .. } => "Nobody was signed in",
            Problem::Store(_)
            | Problem::NotReady(_)
            | Problem::Run(_)
            | Problem::Profile(_)
            | Problem::Page(_)
            | Problem::Inside(_) => "Something is wrong on this side",
        }
    }

    /// What only the log may say: it names files of the server.
    pub fn for_the_log(&self) -> Option<String> {
        let mut source = match self {
            Problem::Store(error) => error as &dyn std::error::Error,
            Problem::Run(error) => error,
            Problem::Profile(error) => error,
            Problem::NotReady(error) => error,
            Problem::Page(error) => error,
            Problem::Inside(text) => return Some(text.clone()),
            Problem::Forge { why, .. } => return Some(why.clone()),
            Problem::NotFound(_)
            | Problem::Unusable(_)
            | Problem::Token
            | Problem::Forbidden(_)
            | Problem::TooOften
            | Problem::Unlike(_)
            | Problem::Method => return None,
        };
        let mut text = source.to_string();
        while let Some(cause) = source.source() {
            text.push_str(&format!(": {cause}"));
            source = cause;
        }
        Some(text)
    }
}

impl From<GetError> for Problem {
    fn from(error: GetError) -> Problem {
        match error {
            GetError::Unknown { .. } => Problem::NotFound(format!("{error}.")),
            GetError::Database(error) => Problem::Store(error),
            other => Problem::Run(other),
        }
    }
}

impl From<GetProfileError> for Problem {
    fn from(error: GetProfileError) -> Problem {
        match error {
            GetProfileError::Database(error) => Problem::Store(error),
            other => Problem::Profile(other),
        }
    }
}
