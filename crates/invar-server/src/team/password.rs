//! Passwords: what they are checked by, and how often somebody may try.
//!
//! Argon2id with the parameters that its crate recommends (19 MiB, two passes). A check takes the same time whether there
//! is such an account or not, and few are made at once: each takes memory and a processor for a while.

use std::sync::LazyLock;
use std::time::Duration;

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use invar_store::Counted;
use tokio::sync::Semaphore;

use super::upload::sha256;

/// The fewest characters of a password, and the most bytes.
pub const FEWEST: usize = 10;
const MOST_BYTES: usize = 1000;

/// How many are checked at the same time.
static AT_ONCE: Semaphore = Semaphore::const_new(2);

/// What the password of an account that is not there is checked by.
static OF_NOBODY: LazyLock<String> = LazyLock::new(|| hash("nobody's").unwrap_or_default());

/// What a password is checked by; `None` if the system has no randomness to give.
pub fn hash(password: &str) -> Option<String> {
    let mut salt = [0; 16];
    getrandom::fill(&mut salt).ok()?;
    let hash: PasswordHash = Argon2::default().hash_password_with_salt(password.as_bytes(), &salt).ok()?;
    Some(hash.to_string())
}

/// The same, where nobody else has to wait for it.
pub async fn hash_apart(password: String) -> Option<String> {
    let _permit = AT_ONCE.acquire().await.ok()?;
    tokio::task::spawn_blocking(move || hash(&password)).await.ok()?
}

/// Is this the password that is checked by `kept`? With `None` it takes as long, and is not.
pub async fn is_right(password: String, kept: Option<String>) -> bool {
    let Ok(_permit) = AT_ONCE.acquire().await else { return false };
    let check = move || {
        let there = kept.as_ref().is_some_and(|kept| !kept.is_empty());
        let kept = kept.filter(|kept| !kept.is_empty()).unwrap_or_else(|| OF_NOBODY.clone());
        let hash = PasswordHash::new(&kept);
        let matches =
            hash.is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok());
        there && matches
    };
    tokio::task::spawn_blocking(check).await.unwrap_or(false)
}

/// What is wrong with a password that somebody wants, a sentence.
pub fn refusal(password: &str, name: &str) -> Option<String> {
    if password.chars().count() < FEWEST {
        return Some(format!("A password has {FEWEST} characters at least."));
    }
    if password.len() > MOST_BYTES {
        return Some(format!("A password has {MOST_BYTES} bytes at most."));
    }
    password.eq_ignore_ascii_case(name).then(|| "A password is not the name of its account.".to_string())
}

/// For how long attempts are counted.
pub const WINDOW: Duration = Duration::from_secs(15 * 60);
/// How often somebody may fail: for one name from one address, from one address, for one name from anywhere. The last is
/// high, since whoever fails on purpose would lock others out.
const FAILURES: [u32; 3] = [10, 50, 200];

/// What an attempt is counted by: the first is of this name from this address.
pub fn counted(name: &str, address: &str) -> [Counted; 3] {
    let name: String = name.to_ascii_lowercase().chars().take(100).collect();
    let what = [format!("both {address} {name}"), format!("from {address}"), format!("name {name}")];
    let mut most = FAILURES.into_iter();
    what.map(|what| Counted { digest: sha256(what.as_bytes()), most: most.next().unwrap_or(0) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_is_known_by_what_is_kept_of_it() {
        let kept = hash_apart("correct horse".to_string()).await.unwrap();
        assert!(kept.starts_with("$argon2id$") && !kept.contains("horse"), "{kept}");
        assert_ne!(hash("correct horse").unwrap(), kept);
        assert!(is_right("correct horse".to_string(), Some(kept.clone())).await);
        for (password, kept) in [("wrong", Some(kept)), ("nobody's", None), ("", Some(String::new()))] {
            assert!(!is_right(password.to_string(), kept).await, "{password}");
        }
    }

    #[test]
    fn a_password_is_long_and_not_a_name() {
        assert_eq!(refusal("correct horse", "ada"), None);
        for password in ["short", "ada@example.org", &"x".repeat(1001)] {
            assert!(refusal(password, "Ada@example.org").is_some(), "{password}");
        }
    }

    #[test]
    fn an_attempt_is_counted_by_name_and_address_and_tells_neither() {
        let one = counted("ADA", "1.2.3.4");
        assert_eq!(one, counted("ada", "1.2.3.4"));
        assert_eq!(one[1], counted("bob", "1.2.3.4")[1]);
        assert_eq!(one[2], counted("ada", "5.6.7.8")[2]);
        assert!(one[0] != counted("ada", "5.6.7.8")[0] && one[0] != counted("bob", "1.2.3.4")[0]);
        assert!(one.iter().all(|one| one.digest.len() == 64 && !one.digest.contains("ada")));
        assert_eq!(one.map(|one| one.most), FAILURES);
    }
}
