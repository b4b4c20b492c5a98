//! How often somebody may ask: buckets that are filled at a steady rate, one for each address and for each token.
//!
//! Of this process alone: of three servers each counts for itself. Forty lines instead of a library, since the ones that
//! there are bring a dozen crates for what is a map here.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How many are remembered. One that is not has not asked.
const MOST: usize = 20_000;

/// Who is counted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// An address, or a network that is one customer's.
    Address(IpAddr),
    /// A token, by its digest.
    Token(String),
}

impl Key {
    /// Who has this address: in version 6 the first half of it.
    pub fn address(address: IpAddr) -> Key {
        Key::Address(match address.to_canonical() {
            IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
            address => address,
        })
    }
}

/// Everybody's bucket.
#[derive(Debug)]
pub struct Rates {
    per_second: f64,
    /// What fits into a bucket: half a minute's.
    most: f64,
    buckets: Mutex<BTreeMap<Key, Bucket>>,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    left: f64,
    at: Instant,
}

impl Rates {
    /// So many requests in a minute.
    pub fn new(per_minute: u32) -> Rates {
        let per_second = f64::from(per_minute.max(1)) / 60.0;
        Rates { per_second, most: (per_second * 30.0).max(1.0), buckets: Mutex::default() }
    }

    /// Takes so much out of somebody's bucket, or says how long to wait. What is in it may go below nothing if more than
    /// one is taken: that is a fine.
    pub fn take(&self, key: &Key, cost: f64, now: Instant) -> Result<(), Duration> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= MOST && !buckets.contains_key(key) {
            buckets.retain(|_, bucket| self.left(bucket, now) < self.most);
            if buckets.len() >= MOST {
                buckets.clear();
            }
        }
        let bucket = buckets.entry(key.clone()).or_insert(Bucket { left: self.most, at: now });
        let left = self.left(bucket, now);
        if left < 1.0 {
            *bucket = Bucket { left, at: now };
            return Err(Duration::from_secs_f64((1.0 - left) / self.per_second));
        }
        *bucket = Bucket { left: left - cost, at: now };
        Ok(())
    }

    fn left(&self, bucket: &Bucket, now: Instant) -> f64 {
        let passed = now.saturating_duration_since(bucket.at).as_secs_f64();
        (bucket.left + passed * self.per_second).min(self.most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Key {
        Key::address(text.parse().unwrap())
    }

    #[test]
    fn a_bucket_is_emptied_and_filled_again() {
        let rates = Rates::new(120);
        let now = Instant::now();
        let somebody = address("192.0.2.1");
        assert_eq!((0..60).filter(|_| rates.take(&somebody, 1.0, now).is_ok()).count(), 60);
        assert_eq!(rates.take(&somebody, 1.0, now), Err(Duration::from_millis(500)));
        assert_eq!(rates.take(&address("192.0.2.2"), 1.0, now), Ok(()));
        let later = now + Duration::from_secs(1);
        assert_eq!((0..9).filter(|_| rates.take(&somebody, 1.0, later).is_ok()).count(), 2);
    }

    #[test]
    fn a_fine_is_waited_for() {
        let rates = Rates::new(60);
        let now = Instant::now();
        let somebody = address("192.0.2.1");
        for _ in 0..2 {
            rates.take(&somebody, 20.0, now).unwrap();
        }
        assert_eq!(rates.take(&somebody, 1.0, now), Err(Duration::from_secs(11)));
    }

    #[test]
    fn half_an_address_of_version_6_is_somebody() {
        assert_eq!(address("2001:db8::1"), address("2001:db8::ffff:1"));
        assert_ne!(address("2001:db8::1"), address("2001:db8:0:1::1"));
        assert_eq!(address("::ffff:192.0.2.1"), address("192.0.2.1"));
    }

    #[test]
    fn no_flood_of_addresses_fills_the_memory() {
        let rates = Rates::new(60);
        let now = Instant::now();
        for number in 0..MOST as u32 + 10 {
            rates.take(&Key::Address(IpAddr::V4(number.into())), 1.0, now).unwrap();
        }
        assert!(rates.buckets.lock().unwrap().len() <= MOST);
    }
}
