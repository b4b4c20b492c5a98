//! Why a program gets no other answer: problem details as in RFC 9457.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use invar_store::{DatabaseError, GetError, GetProfileError, NotReadyError, PutError, PutShardError};
use serde_json::json;
use std::io::ErrorKind;

use super::ForTheLog;
use super::memory::NoneLeft;
use super::token::Scope;
use super::upload::RefusedUpload;

/// Why.
#[derive(Debug, thiserror::Error)]
pub enum ApiProblem {
    /// No token, or one that is worth nothing.
    #[error("This needs a token that is valid: Authorization: Bearer inv_...")]
    Token,
    /// An identity token that proves nothing.
    #[error("What a forge says of a job was refused: {0}.")]
    Identity(String),
    /// A job that the project does not trust, or a project that is not there.
    #[error("{0} is no publisher that this project trusts, or there is no such project.")]
    Stranger(String),
    /// Who should know does not answer.
    #[error("Nobody can say now whether that is true: {issuer} does not answer. Try again.")]
    Issuer {
        /// Who.
        issuer: String,
        /// Why not.
        why: String,
    },
    /// A token of another project.
    #[error("This token is for another project.")]
    Foreign,
    /// A token that does not permit it.
    #[error("This token does not permit it: the scope `{}` is needed.", .0.name())]
    Scope(Scope),
    /// Not there, or not to be seen.
    #[error("There is no such project, or it is not for you to see.")]
    NoProject,
    /// Nothing there.
    #[error("{0}")]
    NotFound(String),
    /// What was asked cannot be understood.
    #[error("{0}")]
    Unusable(String),
    /// The address is there, but not for this method.
    #[error("This address does not take that method.")]
    Method,
    /// More than is taken.
    #[error("The body is larger than {0} bytes, which is the most that is taken.")]
    TooLarge(usize),
    /// A body that does not arrive.
    #[error("The body was cut off, or did not arrive in time. Nothing was kept.")]
    CutOff,
    /// A body that is packed in an unknown way.
    #[error("The Content-Encoding of a body is `zstd`, or there is none.")]
    Encoding,
    /// A part of an upload that is called something else.
    #[error("The Content-Type of a part is {0}.")]
    Part(&'static str),
    /// Another protocol than that of parts.
    #[error("Uploads in parts are spoken of in tus {0}: say so by Tus-Resumable.")]
    Protocol(&'static str),
    /// Too many uploads that have not come to their end.
    #[error("Of this project {0} uploads in parts are under way, which is the most that may be. Try again.")]
    Uploads(u32),
    /// What was uploaded cannot be kept.
    #[error("The run was not kept: {0}.")]
    Refused(RefusedUpload),
    /// That is so already.
    #[error("{0}")]
    There(String),
    /// A shard that is of another run than those of its key.
    #[error("The shard was not kept: {0}.")]
    Shard(String),
    /// Another run has its id.
    #[error("Another run with this id is stored already.")]
    Taken,
    /// No room.
    #[error("The store is full. Nothing was kept; try again when there is room.")]
    Full,
    /// Somebody else writes.
    #[error("The server is busy. Nothing was kept; try again.")]
    Busy,
    /// The database or the object store.
    #[error("What this server keeps runs in does not answer now. Nothing was kept; try again.")]
    Away(String),
    /// Something on this side.
    #[error("Something is wrong on this side. What it is, is in the server's log.")]
    Inside(String),
}

impl ApiProblem {
    /// The status of the answer.
    pub const fn status(&self) -> StatusCode {
        match self {
            ApiProblem::Token | ApiProblem::Identity(_) => StatusCode::UNAUTHORIZED,
            ApiProblem::Foreign | ApiProblem::Scope(_) | ApiProblem::Stranger(_) => StatusCode::FORBIDDEN,
            ApiProblem::NoProject | ApiProblem::NotFound(_) => StatusCode::NOT_FOUND,
            ApiProblem::Unusable(_) => StatusCode::BAD_REQUEST,
            ApiProblem::Method => StatusCode::METHOD_NOT_ALLOWED,
            ApiProblem::TooLarge(_) | ApiProblem::Refused(RefusedUpload::Large { .. }) => {
                StatusCode::PAYLOAD_TOO_LARGE
            }
            ApiProblem::CutOff => StatusCode::REQUEST_TIMEOUT,
            ApiProblem::Encoding | ApiProblem::Part(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            ApiProblem::Protocol(_) => StatusCode::PRECONDITION_FAILED,
            ApiProblem::Uploads(_) => StatusCode::TOO_MANY_REQUESTS,
            ApiProblem::Refused(_) => StatusCode::UNPROCESSABLE_ENTITY,
            ApiProblem::Taken | ApiProblem::There(_) | ApiProblem::Shard(_) => StatusCode::CONFLICT,
            ApiProblem::Full => StatusCode::INSUFFICIENT_STORAGE,
            ApiProblem::Busy | ApiProblem::Away(_) | ApiProblem::Issuer { .. } => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            ApiProblem::Inside(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn inside(error: &dyn std::error::Error) -> ApiProblem {
        ApiProblem::Inside(ApiProblem::words(error))
    }

    fn away(error: &dyn std::error::Error) -> ApiProblem {
        ApiProblem::Away(ApiProblem::words(error))
    }

    fn words(error: &dyn std::error::Error) -> String {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            text.push_str(&format!(": {cause}"));
            source = cause.source();
        }
        text
    }
}

impl IntoResponse for ApiProblem {
    fn into_response(self) -> Response {
        let status = self.status();
        let title = status.canonical_reason().unwrap_or("Problem");
        let details = json!({
            "type": "about:blank", "title": title, "status": status.as_u16(), "detail": self.to_string(),
        });
        let mut response =
            (status, [(header::CONTENT_TYPE, "application/problem+json")], format!("{details}\n"))
                .into_response();
        if let ApiProblem::Issuer { issuer, why } = &self {
            response.extensions_mut().insert(ForTheLog(format!("{issuer} does not answer: {why}")));
        }
        if let ApiProblem::Inside(what) | ApiProblem::Away(what) = &self {
            response.extensions_mut().insert(ForTheLog(what.clone()));
        }
        let headers = response.headers_mut();
        match self {
            ApiProblem::Token | ApiProblem::Identity(_) => {
                drop(headers.insert(header::WWW_AUTHENTICATE, "Bearer".parse().expect("plain")))
            }
            ApiProblem::Busy | ApiProblem::Away(_) | ApiProblem::Issuer { .. } | ApiProblem::Uploads(_) => {
                drop(headers.insert(header::RETRY_AFTER, 5.into()))
            }
            _ => {}
        }
        response
    }
}

impl From<DatabaseError> for ApiProblem {
    fn from(error: DatabaseError) -> ApiProblem {
        match error {
            DatabaseError::Full { .. } => ApiProblem::Full,
            DatabaseError::Busy { .. } => ApiProblem::Busy,
            error @ DatabaseError::Unreachable { .. } => ApiProblem::away(&error),
            error => ApiProblem::inside(&error),
        }
    }
}

impl From<NoneLeft> for ApiProblem {
    fn from(_: NoneLeft) -> ApiProblem {
        ApiProblem::Busy
    }
}

impl From<RefusedUpload> for ApiProblem {
    fn from(refused: RefusedUpload) -> ApiProblem {
        match refused {
            RefusedUpload::NoneLeft(_) => ApiProblem::Busy,
            refused => ApiProblem::Refused(refused),
        }
    }
}

impl From<NotReadyError> for ApiProblem {
    fn from(error: NotReadyError) -> ApiProblem {
        ApiProblem::away(&error)
    }
}

impl From<PutError> for ApiProblem {
    fn from(error: PutError) -> ApiProblem {
        match error {
            PutError::Taken { .. } => ApiProblem::Taken,
            PutError::Database(error) => error.into(),
            PutError::Blob(error) if error.is_away() => ApiProblem::away(&error),
            PutError::Blob(error)
                if matches!(
                    error.kind(),
                    Some(ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge)
                ) =>
            {
                ApiProblem::Full
            }
            error => ApiProblem::inside(&error),
        }
    }
}

impl From<PutShardError> for ApiProblem {
    fn from(error: PutShardError) -> ApiProblem {
        match error {
            PutShardError::Put(error) => error.into(),
            PutShardError::Before { source: GetError::Blob { source, .. }, .. } if source.is_away() => {
                ApiProblem::away(&source)
            }
            error @ PutShardError::Before { .. } => ApiProblem::inside(&error),
            error => ApiProblem::Shard(error.to_string()),
        }
    }
}

impl From<GetError> for ApiProblem {
    fn from(error: GetError) -> ApiProblem {
        match error {
            GetError::Unknown { .. } => ApiProblem::NotFound("There is no such run.".to_string()),
            GetError::Database(error) => error.into(),
            GetError::Blob { source, .. } if source.is_away() => ApiProblem::away(&source),
            error => ApiProblem::inside(&error),
        }
    }
}

impl From<GetProfileError> for ApiProblem {
    fn from(error: GetProfileError) -> ApiProblem {
        match error {
            GetProfileError::Database(error) => error.into(),
            GetProfileError::Blob { source, .. } if source.is_away() => ApiProblem::away(&source),
            error => ApiProblem::inside(&error),
        }
    }
}
