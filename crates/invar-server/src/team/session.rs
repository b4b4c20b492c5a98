//! How a browser is known again: a secret in a cookie, and what follows from it.
//!
//! Everybody who is shown a form has a secret, whether they have signed in or not; whoever signs in gets another one, so
//! that one which somebody else has put there is worth nothing. The store knows the digest of those that signed in. Forms
//! show a value that follows from the secret, and that no other site can know.

use axum::http::{HeaderMap, HeaderValue, header};
use sha2::{Digest, Sha256};

/// How a browser keeps the cookie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cookies {
    /// It sends it by TLS only, and to this host only: the name begins with `__Host-`, which browsers hold to that.
    Secure,
    /// Also without TLS, for a server that only its own machine can reach: not every browser takes the other kind there.
    Plain,
}

impl Cookies {
    /// The name of the cookie.
    pub const fn name(self) -> &'static str {
        match self {
            Cookies::Secure => "__Host-invar_session",
            Cookies::Plain => "invar_session",
        }
    }

    /// How the server's address begins.
    pub const fn scheme(self) -> &'static str {
        match self {
            Cookies::Secure => "https",
            Cookies::Plain => "http",
        }
    }

    fn rest(self) -> &'static str {
        match self {
            Cookies::Secure => "; Path=/; HttpOnly; SameSite=Lax; Secure",
            Cookies::Plain => "; Path=/; HttpOnly; SameSite=Lax",
        }
    }

    /// The secret of whoever asks, if they have one.
    pub fn secret(self, headers: &HeaderMap) -> Option<Secret> {
        let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut pairs =
            cookies.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
        pairs.find(|(name, _)| *name == self.name()).and_then(|(_, value)| Secret::read(value))
    }

    /// Tells a browser to keep this secret, until it is closed or for so many seconds.
    pub fn keep(self, secret: &Secret, seconds: Option<i64>) -> HeaderValue {
        let age = seconds.map_or_else(String::new, |seconds| format!("; Max-Age={seconds}"));
        let text = format!("{}={}{}{age}", self.name(), secret.0, self.rest());
        HeaderValue::from_str(&text).expect("digits and what is written here")
    }

    /// Tells a browser to forget its secret.
    pub fn forget(self) -> HeaderValue {
        let text = format!("{}={}; Max-Age=0", self.name(), self.rest());
        HeaderValue::from_str(&text).expect("what is written here")
    }
}

/// 32 bytes that the system drew, as hexadecimal digits. Not shown by [`std::fmt::Debug`].
#[derive(Clone)]
pub struct Secret(String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("…")
    }
}

impl Secret {
    /// A new one; `None` if the system has no randomness to give.
    pub fn draw() -> Option<Secret> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).ok()?;
        Some(Secret(hex(&bytes)))
    }

    /// The secret that this text is, if it is one.
    pub fn read(text: &str) -> Option<Secret> {
        let is_one = text.len() == 64 && text.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
        is_one.then(|| Secret(text.to_string()))
    }

    /// To be shown, once.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// To be kept.
    pub fn digest(&self) -> String {
        self.followed_by("kept")
    }

    /// What forms show.
    pub fn csrf(&self) -> String {
        self.followed_by("form")
    }

    /// Is this what a form of theirs shows?
    pub fn is_csrf(&self, shown: &str) -> bool {
        // Digests are compared, whose beginnings tell nothing about what was shown or should be.
        Sha256::digest(shown.as_bytes()) == Sha256::digest(self.csrf().as_bytes())
    }

    /// What proves to a forge that whoever comes back with this state is the browser that went there (PKCE's verifier): it
    /// follows from what the browser alone has, and so is kept nowhere.
    pub fn verifier(&self, state: &Secret) -> String {
        self.followed_by(&format!("forge {}", state.0))
    }

    fn followed_by(&self, purpose: &str) -> String {
        hex(&Sha256::digest(format!("{purpose} {}", self.0).as_bytes()))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_comes_back_as_it_was_kept() {
        for cookies in [Cookies::Secure, Cookies::Plain] {
            let secret = Secret::draw().unwrap();
            let kept = cookies.keep(&secret, Some(60));
            let kept = kept.to_str().unwrap();
            assert!(kept.contains("HttpOnly") && kept.contains("SameSite=Lax"), "{kept}");
            assert_eq!(kept.contains("Secure"), cookies == Cookies::Secure);
            let mut headers = HeaderMap::new();
            let sent = format!("a=b; {}", kept.split(';').next().unwrap());
            headers.insert(header::COOKIE, sent.parse().unwrap());
            assert_eq!(cookies.secret(&headers).unwrap().digest(), secret.digest());
        }
    }

    #[test]
    fn what_is_kept_and_what_forms_show_tell_nothing_of_each_other() {
        let secret = Secret::draw().unwrap();
        assert_ne!(secret.digest(), secret.csrf());
        assert!(secret.is_csrf(&secret.csrf()) && !secret.is_csrf("") && !secret.is_csrf(&secret.digest()));
        assert!(Secret::read("x").is_none() && Secret::read(&"G".repeat(64)).is_none());
    }
}
