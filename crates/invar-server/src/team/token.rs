//! What a token looks like, and what it permits.
//!
//! `inv_`, then 32 bytes that the system drew, in 43 letters and digits, then six that are a checksum: a token that was
//! mistyped or cut is known without asking anybody, and a search for leaked secrets finds none by accident. Only the SHA-256
//! is kept; it needs no salt and no effort, since 32 random bytes cannot be guessed.

use std::fmt;

use sha2::{Digest, Sha256};

const START: &str = "inv_";
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const SECRET_BYTES: usize = 32;
const SECRET_DIGITS: usize = 43;
const CHECK_DIGITS: usize = 6;

/// What a token permits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// To read the project.
    Read,
    /// To upload runs.
    Upload,
    /// To make and to revoke tokens, and to say who may read the project.
    Admin,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Scope; 3] = [Scope::Read, Scope::Upload, Scope::Admin];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Scope::Read => "read",
            Scope::Upload => "upload",
            Scope::Admin => "admin",
        }
    }

    /// The scopes of a text: names with spaces between them. `None` if one of them is no scope's, or if there are none.
    pub fn read(text: &str) -> Option<Vec<Scope>> {
        let scope = |name: &str| Scope::ALL.into_iter().find(|scope| scope.name() == name);
        let mut scopes = text.split_whitespace().map(scope).collect::<Option<Vec<Scope>>>()?;
        scopes.sort();
        scopes.dedup();
        (!scopes.is_empty()).then_some(scopes)
    }

    /// Scopes as such a text.
    pub fn text(scopes: &[Scope]) -> String {
        scopes.iter().map(|scope| scope.name()).collect::<Vec<_>>().join(" ")
    }
}

/// A token. Shown once, to who made it; [`fmt::Debug`] does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("inv_…")
    }
}

impl Secret {
    /// A new one; `None` if the system has no randomness to give.
    pub fn draw() -> Option<Secret> {
        let mut bytes = [0; SECRET_BYTES];
        getrandom::fill(&mut bytes).ok()?;
        Some(Secret::of(bytes))
    }

    fn of(bytes: [u8; SECRET_BYTES]) -> Secret {
        let secret = digits(&bytes, SECRET_DIGITS);
        let check = check(&secret);
        Secret(format!("{START}{secret}{check}"))
    }

    /// The token that this text is, if it is one.
    pub fn read(text: &str) -> Option<Secret> {
        let rest = text.strip_prefix(START)?;
        let (secret, sum) = rest.split_at_checked(SECRET_DIGITS)?;
        (rest.is_ascii() && sum == check(secret)).then(|| Secret(text.to_string()))
    }

    /// To be shown, once.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// To be kept.
    pub fn digest(&self) -> String {
        Sha256::digest(self.0.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

fn check(secret: &str) -> String {
    digits(&crc32fast::hash(secret.as_bytes()).to_be_bytes(), CHECK_DIGITS)
}

/// A number of many bytes, the high ones first, in so many digits to the base of 62. Takes the same time for all.
fn digits(bytes: &[u8], count: usize) -> String {
    let mut number = bytes.to_vec();
    let mut digits = vec![b'0'; count];
    for digit in digits.iter_mut().rev() {
        let mut rest = 0_usize;
        for byte in &mut number {
            let value = rest * 256 + usize::from(*byte);
            // The rest is below 62, so the quotient is below 256.
            *byte = (value / DIGITS.len()) as u8;
            rest = value % DIGITS.len();
        }
        *digit = DIGITS[rest];
    }
    digits.into_iter().map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_known_by_its_checksum() {
        let secret = Secret::draw().unwrap();
        assert_eq!(secret.text().len(), START.len() + SECRET_DIGITS + CHECK_DIGITS);
        assert_eq!(Secret::read(secret.text()), Some(secret.clone()));
        assert_ne!(Secret::draw(), Some(secret.clone()));
        let other = if secret.text().as_bytes()[9] == b'x' { "y" } else { "x" };
        let mistyped = format!("{}{other}{}", &secret.text()[..9], &secret.text()[10..]);
        for text in ["", "inv_", "inv_é", &secret.text()[..50], &mistyped, &format!("{}0", secret.text())] {
            assert_eq!(Secret::read(text), None, "{text}");
        }
        assert_eq!(format!("{secret:?}"), "inv_…");
    }

    #[test]
    fn every_secret_has_its_digits() {
        let most = Secret::of([0xff; SECRET_BYTES]);
        let least = Secret::of([0; SECRET_BYTES]);
        assert!(least.text().starts_with(&format!("inv_{}", "0".repeat(SECRET_DIGITS))), "{}", least.text());
        // 62^43 is above 2^256, so that nothing is lost in front.
        assert!(!most.text().starts_with("inv_0") && most.text().is_ascii(), "{}", most.text());
        assert_ne!(Secret::of([1; 32]).digest(), Secret::of([2; 32]).digest());
    }

    #[test]
    fn scopes_are_read_and_written() {
        assert_eq!(Scope::read("upload read read"), Some(vec![Scope::Read, Scope::Upload]));
        assert_eq!(Scope::text(&[Scope::Read, Scope::Admin]), "read admin");
        assert_eq!((Scope::read("write"), Scope::read(" ")), (None, None));
    }
}
