//! How often passwords may be tried.
//!
//! Only failed attempts count. An attempt takes from its buckets before the password is verified, so that attempts at the
//! same time share them, and gets back what it took unless the password is wrong. The buckets are those of
//!
//! - the address and the network of the client together. A success fills it;
//! - the network, for all addresses;
//! - the address, for all networks. It is ten times as large, and holds up only networks from which nobody has signed in to
//!   the account lately. So somebody who tries passwords from many networks slows down each other, and not the owner at home.
//!
//! Each attempt costs much time and memory, right or wrong. So a network has only [`MAX_AT_ONCE`] at a time, and cannot keep others from
//! signing in by many right passwords.
//!
//! A network is an IPv4 address or the first 64 bits of an IPv6 address.

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, RandomState},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use governor::clock::Clock;
use moka::{policy::EvictionPolicy, sync::Cache};

use super::{ClientAddress, buckets::Buckets};
use crate::{Rate, RateLimits};

/// How many times as many failures an address may have from all networks as from one.
const ALL_NETWORKS: u32 = 10;

/// Maximum number of networks from which somebody has signed in that are remembered, by account.
const MAX_KNOWN_NETWORKS: u64 = 65_536;

/// For how long a network is remembered after somebody has signed in from it.
const KNOWN_FOR: Duration = Duration::from_hours(90 * 24);

/// Maximum number of attempts of a network that are being verified or wait for that.
const MAX_AT_ONCE: usize = 8;

/// Time after which a network with so many attempts may try again.
const RETRY_WHEN_BUSY: Duration = Duration::from_secs(1);

/// The limits of attempts to sign in.
pub(crate) struct Logins<C: Clock> {
    here: Buckets<C>,
    network: Buckets<C>,
    everywhere: Buckets<C>,
    known: Cache<u64, ()>,
    running: Arc<Running>,
    /// With keys of its own, so that nobody can choose addresses that share a bucket.
    hashes: RandomState,
}

/// An attempt that may be made. It counts as failed unless it is said how it ended.
#[must_use]
#[derive(Debug)]
pub(crate) struct Attempt {
    _place: RunningPlace,
    here: u64,
    network: u64,
    everywhere: u64,
    is_known: bool,
}

/// The attempts that are being verified, by network.
#[derive(Debug, Default)]
struct Running(Mutex<HashMap<u64, usize>>);

impl Running {
    fn lock(&self) -> MutexGuard<'_, HashMap<u64, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(self: &Arc<Self>, network: u64) -> Result<RunningPlace, Duration> {
        let mut running = self.lock();
        let count = running.entry(network).or_default();
        if *count >= MAX_AT_ONCE {
            return Err(RETRY_WHEN_BUSY);
        }
        *count += 1;
        drop(running);
        Ok(RunningPlace { running: Arc::clone(self), network })
    }
}

/// The place of an attempt among those of its network. Free again when this is dropped.
#[derive(Debug)]
struct RunningPlace {
    running: Arc<Running>,
    network: u64,
}

impl Drop for RunningPlace {
    fn drop(&mut self) {
        let mut running = self.running.lock();
        if let Some(count) = running.get_mut(&self.network) {
            *count -= 1;
            if *count == 0 {
                running.remove(&self.network);
            }
        }
    }
}

impl<C: Clock + Clone> Logins<C> {
    pub(super) fn new(limits: &RateLimits, clock: &C) -> Self {
        let Rate { requests, per } = limits.tokens_per_email;
        let everywhere = Rate {
            requests: requests.saturating_mul(std::num::NonZeroU32::MIN.saturating_add(ALL_NETWORKS - 1)),
            per: per.saturating_mul(ALL_NETWORKS),
        };
        Self {
            here: Buckets::new(limits.tokens_per_email, clock.clone()),
            network: Buckets::new(limits.tokens_per_address, clock.clone()),
            everywhere: Buckets::new(everywhere, clock.clone()),
            known: Cache::builder()
                .max_capacity(MAX_KNOWN_NETWORKS)
                .eviction_policy(EvictionPolicy::lru())
                .time_to_idle(KNOWN_FOR)
                .build(),
            running: Arc::default(),
            hashes: RandomState::new(),
        }
    }

    /// Begins an attempt, or returns after which time one may begin.
    pub(crate) fn begin(&self, client: ClientAddress, email: &str) -> Result<Attempt, Duration> {
        // As accounts are told apart. An address with other than ASCII letters has no account.
        let email = email.trim().to_ascii_lowercase();
        let here = self.hashes.hash_one((client, &email));
        let network = self.hashes.hash_one(client);
        let attempt = Attempt {
            _place: self.running.enter(network)?,
            here,
            network,
            everywhere: self.hashes.hash_one(&email),
            is_known: self.known.contains_key(&here),
        };
        self.network.take(attempt.network)?;
        self.here.take(attempt.here).inspect_err(|_| self.network.give_back(attempt.network))?;
        if !attempt.is_known {
            self.everywhere.take(attempt.everywhere).inspect_err(|_| {
                self.network.give_back(attempt.network);
                self.here.give_back(attempt.here);
            })?;
        }
        Ok(attempt)
    }

    /// The password was right.
    pub(crate) fn succeeded(&self, attempt: &Attempt) {
        self.withdraw(attempt);
        self.here.fill(attempt.here);
        self.known.insert(attempt.here, ());
    }

    /// Nothing was learnt about the password.
    pub(crate) fn withdraw(&self, attempt: &Attempt) {
        self.network.give_back(attempt.network);
        self.here.give_back(attempt.here);
        if !attempt.is_known {
            self.everywhere.give_back(attempt.everywhere);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{net::IpAddr, num::NonZeroU32};

    use governor::clock::FakeRelativeClock;

    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);

    fn rate(requests: u32) -> Rate {
        Rate { requests: NonZeroU32::new(requests).unwrap(), per: MINUTE }
    }

    /// Three failures for an address from a network, 20 from a network, 30 for an address from all.
    fn logins(clock: &FakeRelativeClock) -> Logins<FakeRelativeClock> {
        let limits =
            RateLimits { tokens_per_email: rate(3), tokens_per_address: rate(20), ..RateLimits::default() };
        Logins::new(&limits, clock)
    }

    fn from(address: &str) -> ClientAddress {
        ClientAddress::new(address.parse::<IpAddr>().unwrap())
    }

    fn failures(logins: &Logins<FakeRelativeClock>, address: &str, email: &str, attempts: u32) -> u32 {
        let begun = (0..attempts).filter(|_| logins.begin(from(address), email).is_ok());
        u32::try_from(begun.count()).unwrap()
    }

    /// Proves that failures are limited by address and network, also of attempts that are made at the same time, and that the
    /// time to wait is enough and not too long.
    #[test]
    fn failures_are_limited() {
        let clock = FakeRelativeClock::default();
        let logins = logins(&clock);
        assert_eq!(failures(&logins, "192.0.2.1", "ada@example.org", 9), 3);
        // The same address, written otherwise, from the same client, written otherwise.
        for email in [" ADA@Example.org ", "ada@EXAMPLE.ORG"] {
            assert_eq!(failures(&logins, "::ffff:192.0.2.1", email, 1), 0, "{email}");
        }
        assert_eq!(failures(&logins, "192.0.2.1", "bob@example.org", 1), 1);
        assert_eq!(failures(&logins, "192.0.2.2", "ada@example.org", 1), 1);
        let wait = logins.begin(from("192.0.2.1"), "ada@example.org").unwrap_err();
        assert_eq!(wait, MINUTE / 3);
        clock.advance(wait.saturating_sub(Duration::from_nanos(1)));
        assert_eq!(failures(&logins, "192.0.2.1", "ada@example.org", 1), 0);
        clock.advance(Duration::from_nanos(1));
        assert_eq!(failures(&logins, "192.0.2.1", "ada@example.org", 2), 1);
    }

    /// Proves that right passwords and attempts that failed for other reasons take nothing, however many there are, and that
    /// a right one forgives the failures before it.
    #[test]
    fn only_wrong_passwords_count() {
        let logins = logins(&FakeRelativeClock::default());
        let (client, email) = (from("192.0.2.1"), "ada@example.org");
        for _ in 0..9 {
            assert_eq!(failures(&logins, "192.0.2.1", email, 2), 2);
            let attempt = logins.begin(client, email).unwrap();
            logins.succeeded(&attempt);
        }
        for _ in 0..1_000 {
            let attempt = logins.begin(client, email).unwrap();
            logins.succeeded(&attempt);
            let attempt = logins.begin(client, email).unwrap();
            logins.withdraw(&attempt);
        }
        // Of the 20 failures that the network has, 18 were made.
        assert_eq!(failures(&logins, "192.0.2.1", "bob@example.org", 3), 2);
    }

    /// Proves that a network has a few attempts at a time, also with right passwords, and that others go on.
    #[test]
    fn a_network_does_not_keep_others_waiting() {
        let logins = logins(&FakeRelativeClock::default());
        let begin = |address, number| logins.begin(from(address), &format!("a{number}@example.org"));
        let mut running: Vec<Attempt> =
            (0..MAX_AT_ONCE).map(|number| begin("192.0.2.1", number).unwrap()).collect();
        assert_eq!(begin("192.0.2.1", 100).unwrap_err(), RETRY_WHEN_BUSY);
        assert!(begin("192.0.2.2", 100).is_ok());
        logins.succeeded(&running.remove(0));
        assert!(begin("192.0.2.1", 101).is_ok());
        drop(running);
        assert!(logins.running.lock().is_empty());
    }

    /// Proves that one network tries a few addresses only, of IPv6 all that is one network, and that others go on.
    #[test]
    fn a_network_is_limited_for_all_addresses() {
        let logins = logins(&FakeRelativeClock::default());
        let begun = (0..40)
            .filter(|number| {
                let address = from(&format!("2001:db8::{number:x}"));
                logins.begin(address, &format!("a{number}@example.org")).is_ok()
            })
            .count();
        assert_eq!(begun, 20);
        assert_eq!(failures(&logins, "2001:db8:0:1::1", "ada@example.org", 1), 1);
        // A refused attempt takes nothing.
        assert_eq!(failures(&logins, "2001:db8::9", "ada@example.org", 1), 0);
        assert_eq!(failures(&logins, "2001:db8:0:1::1", "ada@example.org", 5), 2);
    }

    /// Proves that somebody who tries an address from many networks is slowed down, and not its owner, who has signed in from
    /// home before; and that the network of home gives nobody there more attempts than one network has.
    #[test]
    fn an_attack_from_everywhere_leaves_the_owner_alone() {
        let logins = logins(&FakeRelativeClock::default());
        let (home, email) = (from("198.51.100.7"), "ada@example.org");
        let attempt = logins.begin(home, email).unwrap();
        logins.succeeded(&attempt);
        let begun: u32 =
            (0..200).map(|number| failures(&logins, &format!("203.0.113.{number}"), email, 2)).sum();
        assert_eq!(begun, 30);
        logins.begin(from("192.0.2.1"), email).unwrap_err();
        for _ in 0..50 {
            let attempt = logins.begin(home, email).unwrap();
            logins.succeeded(&attempt);
        }
        assert_eq!(failures(&logins, "198.51.100.7", email, 5), 3);
        // Other accounts are not concerned.
        assert_eq!(failures(&logins, "192.0.2.1", "bob@example.org", 1), 1);
    }

    /// Proves that memory does not grow with what is sent, and that a new key has a bucket of its own when all are taken.
    #[test]
    fn memory_is_bounded() {
        let logins = logins(&FakeRelativeClock::default());
        let long = "x".repeat(60_000);
        for number in 0..70_000_u32 {
            let [a, b, c, _] = number.to_le_bytes();
            let client = ClientAddress::new(IpAddr::from([10, c, b, a]));
            let email = if number % 1_000 == 0 { &long } else { "ada@example.org" };
            let _ = logins.begin(client, email);
        }
        for buckets in [&logins.here, &logins.network, &logins.everywhere] {
            assert!(buckets.count() <= 65_536, "{}", buckets.count());
        }
        assert_eq!(failures(&logins, "192.0.2.1", "new@example.org", 5), 3);
        assert_eq!(failures(&logins, "192.0.2.2", "new@example.org", 5), 3);
    }
}
