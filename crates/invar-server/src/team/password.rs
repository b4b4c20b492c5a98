//! Passwords: what they are checked by, and how often somebody may try.
//!
//! Argon2id with the parameters that its crate recommends (19 MiB, two passes). A check takes the same time whether there
//! is such an account or not, and few are made at once: each takes memory and a processor for a while.

use std::collections::BTreeMap;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use tokio::sync::Semaphore;

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
const WINDOW: Duration = Duration::from_secs(15 * 60);
/// How often somebody may fail: for one name from one address, from one address, for one name from anywhere. The last is
/// high, since whoever fails on purpose would lock others out.
const FAILURES: [u32; 3] = [10, 50, 200];
/// How many names and addresses are remembered.
const REMEMBERED: usize = 20_000;

/// Who has failed how often lately. Each process counts for itself.
#[derive(Debug, Default)]
pub struct Attempts(Mutex<BTreeMap<String, (u32, Instant)>>);

impl Attempts {
    fn keys(name: &str, address: &str) -> [String; 3] {
        let name: String = name.to_ascii_lowercase().chars().take(100).collect();
        [format!("both {address} {name}"), format!("from {address}"), format!("name {name}")]
    }

    /// May they try? What they try counts as a failure until [`Attempts::forget`] is called: of many at once no more get
    /// through.
    pub fn may_try(&self, name: &str, address: &str, now: Instant) -> bool {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let keys = Attempts::keys(name, address);
        let failed = |all: &BTreeMap<String, (u32, Instant)>, key: &String| match all.get(key) {
            Some((count, since)) if now.duration_since(*since) < WINDOW => *count,
            _ => 0,
        };
        if keys.iter().zip(FAILURES).any(|(key, most)| failed(&all, key) >= most) {
            return false;
        }
        if all.len() >= REMEMBERED {
            all.retain(|_, (_, since)| now.duration_since(*since) < WINDOW);
            // Whoever fills it up from many addresses meets the limits of the addresses.
            while all.len() >= REMEMBERED {
                all.pop_first();
            }
        }
        for key in keys {
            let entry = all.entry(key).or_insert((0, now));
            if now.duration_since(entry.1) >= WINDOW {
                *entry = (0, now);
            }
            entry.0 += 1;
        }
        true
    }

    /// They were right: what they failed before counts no more, for this name from this address.
    pub fn forget(&self, name: &str, address: &str) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let [both, address, name] = Attempts::keys(name, address);
        all.remove(&both);
        for key in [address, name] {
            if let Some((count, _)) = all.get_mut(&key) {
                *count = count.saturating_sub(1);
            }
        }
    }
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
    fn who_fails_often_has_to_wait() {
        let (attempts, now) = (Attempts::default(), Instant::now());
        for _ in 0..10 {
            assert!(attempts.may_try("ada", "1.2.3.4", now));
        }
        assert!(!attempts.may_try("ADA", "1.2.3.4", now));
        // Not from elsewhere, not somebody else, and not for ever.
        assert!(attempts.may_try("ada", "5.6.7.8", now));
        assert!(attempts.may_try("bob", "1.2.3.4", now));
        assert!(attempts.may_try("ada", "1.2.3.4", now + WINDOW));
    }

    #[test]
    fn who_was_right_may_go_on() {
        let (attempts, now) = (Attempts::default(), Instant::now());
        for _ in 0..1000 {
            assert!(attempts.may_try("ada", "1.2.3.4", now));
            attempts.forget("ada", "1.2.3.4");
        }
    }

    #[test]
    fn an_address_that_tries_many_names_has_to_wait() {
        let (attempts, now) = (Attempts::default(), Instant::now());
        let tried = (0..100).filter(|number| attempts.may_try(&format!("a{number}"), "1.2.3.4", now)).count();
        assert_eq!(tried, 50);
    }
}
