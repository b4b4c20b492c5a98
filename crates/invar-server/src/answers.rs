//! Data as it was written for whoever asked last, for the next one who asks the same.
//!
//! An answer is good for one [`Revision`] of its project, which is read before the answer is made and again each time that it is
//! given: what is stored, renamed, archived, acknowledged or removed shows at once. Who has it already is told so by its
//! tag, the digest of its bytes, which every replica gives to the same bytes.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use axum::body::Bytes;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use invar_store::Revision;
use sha2::{Digest, Sha256};

/// How much is kept of a project, in bytes: a dozen histories of 2,000 points.
const KEPT_BYTES: usize = 16 << 20;

/// The answers of a project.
#[derive(Default)]
pub struct Answers(Mutex<BTreeMap<String, (Revision, Kept)>>);

/// Data, and what it is called.
#[derive(Clone)]
pub struct Kept {
    content_type: &'static str,
    bytes: Bytes,
    tag: String,
}

impl Answers {
    /// What was answered at this address, if that is still so.
    pub fn find(&self, address: &str, revision: Revision) -> Option<Kept> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(address).filter(|(of, _)| *of == revision).map(|(_, answer)| answer.clone())
    }

    /// Keeps an answer that is of this revision, or of a later one.
    pub fn keep(&self, address: String, revision: Revision, answer: Kept) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|_, (of, _)| *of == revision);
        if held(&kept) + answer.bytes.len() > KEPT_BYTES {
            kept.clear();
        }
        kept.insert(address, (revision, answer));
    }

    /// How many bytes they are.
    pub fn held(&self) -> usize {
        held(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn held(kept: &BTreeMap<String, (Revision, Kept)>) -> usize {
    kept.iter().map(|(address, (_, answer))| address.len() + answer.bytes.len()).sum()
}

impl Kept {
    /// An answer of this type.
    pub fn new(content_type: &'static str, text: String) -> Kept {
        let digest = Sha256::digest(&text);
        let tag: String = digest[..16].iter().map(|byte| format!("{byte:02x}")).collect();
        Kept { content_type, bytes: text.into(), tag: format!("\"{tag}\"") }
    }

    /// What is sent to somebody who says by `If-None-Match` what they have.
    pub fn to(&self, has: Option<&str>) -> Response {
        let tag = HeaderValue::from_str(&self.tag).expect("digits in quotation marks");
        let headers = [(ETAG, tag), (CACHE_CONTROL, HeaderValue::from_static("no-cache"))];
        let same = |one: &str| one == "*" || one.strip_prefix("W/").unwrap_or(one) == self.tag;
        if has.is_some_and(|has| has.split(',').map(str::trim).any(same)) {
            return (StatusCode::NOT_MODIFIED, headers).into_response();
        }
        (headers, [(CONTENT_TYPE, self.content_type)], self.bytes.clone()).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn revision(runs: i64) -> Revision {
        Revision { runs, verified: 0, acknowledged: 0, named: 0, ignored: 0 }
    }

    #[test]
    fn an_answer_is_given_for_the_revision_that_it_is_of_and_for_no_other() {
        let answers = Answers::default();
        answers.keep("/a".to_string(), revision(1), Kept::new("text/csv", "x".to_string()));
        assert!(answers.find("/a", revision(1)).is_some());
        assert!(answers.find("/a", revision(2)).is_none());
        assert!(answers.find("/b", revision(1)).is_none());
    }

    #[test]
    fn no_more_is_kept_than_may_be() {
        let answers = Answers::default();
        for number in 0..20 {
            let text = "x".repeat(1 << 20);
            answers.keep(format!("/{number}"), revision(1), Kept::new("text/csv", text));
            let kept = answers.0.lock().unwrap();
            assert!(kept.values().map(|(_, answer)| answer.bytes.len()).sum::<usize>() <= KEPT_BYTES);
            assert!(kept.contains_key(&format!("/{number}")));
        }
    }

    #[test]
    fn who_has_it_is_told_so() {
        let kept = Kept::new("application/json", "{}".to_string());
        let status = |has: Option<&str>| kept.to(has).status().as_u16();
        let weak = format!("\"other\", W/{}", kept.tag);
        assert_eq!(
            [status(None), status(Some("\"other\"")), status(Some(&weak)), status(Some("*"))],
            [200, 200, 304, 304]
        );
    }
}
