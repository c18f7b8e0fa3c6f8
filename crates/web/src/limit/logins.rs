//! Rate limits of attempts to log in.
//!
//! Only failed attempts count. An attempt takes a token from each of its buckets before the password is verified, so that
//! concurrent attempts share the buckets. If the password is not wrong, the attempt returns its tokens. The buckets are:
//!
//! - one for the e-mail address together with the client's network. A successful login fills it;
//! - one for the network, for all e-mail addresses;
//! - two for the e-mail address, for all networks. The first [`FIRST_FAILURES`] failures of each network take from a bucket that
//!   holds the first failures of [`NEW_NETWORKS`] networks. All later failures take from a bucket that is [`MANY`] times as large
//!   as the bucket of one network.
//!
//! An attacker with fewer sites than [`NEW_NETWORKS`] empties only the bucket of later failures. The owner can still log in from
//! any network that has not failed, on any server, also after a restart. All networks of a botnet together have as many attempts
//! as the two buckets hold. A network from which the owner has recently logged in to the account takes from neither bucket, so
//! even a botnet does not affect an owner at home while this server runs.
//!
//! Each attempt costs much time and memory, whether its password is right or wrong. Therefore a network has at most
//! [`MAX_AT_ONCE`] concurrent attempts, a site at most [`MAX_OF_SITE_AT_ONCE`]. Neither can block the logins of others with many
//! right passwords.
//!
//! A network is an IPv4 address or the first 64 bits of an IPv6 address. Many networks belong to one site, the first 48 bits of
//! an IPv6 address, and an attacker with one network of a site may have all of them. For one e-mail address, a site may fail as
//! often as a network; for all e-mail addresses, [`MANY`] times as often.

mod keys;

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, RandomState},
    num::NonZeroU32,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use governor::clock::Clock;
use moka::{policy::EvictionPolicy, sync::Cache};

use super::{Refusal, buckets::Buckets};
use crate::{
    ClientAddress,
    quota::{Rate, RateLimits},
};

/// Factor of two limits over the limit of one network: failures for an e-mail address from all networks, in as many times the
/// time; and failures of a site for all e-mail addresses.
const MANY: NonZeroU32 = NonZeroU32::new(10).unwrap();

/// Number of failures that a network may have for an e-mail address, independent of other networks.
const FIRST_FAILURES: NonZeroU32 = NonZeroU32::new(3).unwrap();

/// Number of networks that may have their first failures for an e-mail address, in [`MANY`] times the time of the limit.
const NEW_NETWORKS: NonZeroU32 = NonZeroU32::new(32).unwrap();

/// Maximum number of known networks: networks from which the owner has logged in, per account.
const MAX_KNOWN_NETWORKS: u64 = 65_536;

/// Time for which a network stays known after a login from it.
const KNOWN_FOR: Duration = Duration::from_hours(90 * 24);

/// Maximum number of attempts of a network that are being verified or wait for verification.
const MAX_AT_ONCE: usize = 8;

/// Maximum number of attempts of a site that are being verified or wait for verification. The limit is higher than that of a
/// network, because a provider may assign the networks of a site to many customers.
const MAX_OF_SITE_AT_ONCE: usize = 3 * MAX_AT_ONCE;

/// Time after which a network or site with the maximum of concurrent attempts may retry.
const RETRY_WHEN_BUSY: Duration = Duration::from_secs(1);

/// Names of the limits in the `RateLimit` headers.
const EMAIL_AND_NETWORK: &str = "wrong-passwords-of-email-and-network";
pub(super) const NETWORK: &str = "wrong-passwords-of-network";
const EMAIL: &str = "wrong-passwords-of-email";

/// Rate limits of attempts to log in.
pub(super) struct Logins<C: Clock> {
    email_and_network: Buckets<C>,
    email_and_site: Buckets<C>,
    network: Buckets<C>,
    site: Buckets<C>,
    first_failures: Buckets<C>,
    new_networks: Buckets<C>,
    later_failures: Buckets<C>,
    known_networks: Cache<u64, ()>,
    running: Arc<Running>,
    running_of_sites: Arc<Running>,
    /// A random hash function, so that nobody can choose addresses that share a bucket.
    hashes: RandomState,
}

/// Hashed keys of an attempt.
#[derive(Clone, Copy, Debug)]
struct Keys {
    email_and_network: u64,
    email_and_site: u64,
    network: u64,
    site: u64,
    email: u64,
}

/// Bucket from which an attempt has taken a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Taken {
    EmailAndNetwork,
    EmailAndSite,
    Network,
    Site,
    FirstFailures,
    NewNetworks,
    LaterFailures,
}

/// An attempt that is allowed. It counts as failed unless `succeeded` or `withdraw` is called.
#[must_use]
#[derive(Debug)]
pub struct Attempt {
    _slot: RunningSlot,
    _slot_of_site: Option<RunningSlot>,
    keys: Keys,
    taken: Vec<Taken>,
}

/// Number of attempts that are being verified, by network or by site.
#[derive(Debug, Default)]
struct Running(Mutex<HashMap<u64, usize>>);

impl Running {
    fn lock(&self) -> MutexGuard<'_, HashMap<u64, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(self: &Arc<Self>, key: u64, maximum: usize) -> Result<RunningSlot, Refusal> {
        let mut running = self.lock();
        let count = running.entry(key).or_default();
        if *count >= maximum {
            return Err(Refusal::busy(RETRY_WHEN_BUSY));
        }
        *count += 1;
        drop(running);
        Ok(RunningSlot { running: Arc::clone(self), key })
    }
}

/// Slot of an attempt among those of its network or site. Dropping it frees the slot.
#[derive(Debug)]
struct RunningSlot {
    running: Arc<Running>,
    key: u64,
}

impl Drop for RunningSlot {
    fn drop(&mut self) {
        let mut running = self.running.lock();
        if let Some(count) = running.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                running.remove(&self.key);
            }
        }
    }
}

/// Multiplies the requests and the time of a rate by a factor.
fn times(rate: Rate, factor: NonZeroU32) -> Rate {
    Rate { requests: rate.requests.saturating_mul(factor), per: rate.per.saturating_mul(factor.get()) }
}

impl<C: Clock + Clone> Logins<C> {
    pub(super) fn new(limits: &RateLimits, clock: &C) -> Self {
        let RateLimits { tokens_per_email, tokens_per_address, .. } = *limits;
        let buckets = |name, rate| Buckets::new(name, rate, clock.clone());
        let later_failures = times(tokens_per_email, MANY);
        let first_failures = Rate { requests: FIRST_FAILURES, per: later_failures.per };
        let new_networks = Rate { requests: FIRST_FAILURES.saturating_mul(NEW_NETWORKS), ..first_failures };
        let site = Rate { requests: tokens_per_address.requests.saturating_mul(MANY), ..tokens_per_address };
        Self {
            email_and_network: buckets(EMAIL_AND_NETWORK, tokens_per_email),
            email_and_site: buckets(EMAIL_AND_NETWORK, tokens_per_email),
            network: buckets(NETWORK, tokens_per_address),
            site: buckets(NETWORK, site),
            first_failures: buckets(EMAIL, first_failures),
            new_networks: buckets(EMAIL, new_networks),
            later_failures: buckets(EMAIL, later_failures),
            known_networks: Cache::builder()
                .max_capacity(MAX_KNOWN_NETWORKS)
                .eviction_policy(EvictionPolicy::lru())
                .time_to_idle(KNOWN_FOR)
                .build(),
            running: Arc::default(),
            running_of_sites: Arc::default(),
            hashes: RandomState::new(),
        }
    }

    /// Begins an attempt, or returns the limit that refuses it with the time to wait.
    pub(super) fn begin(&self, client: ClientAddress, email: &str) -> Result<Attempt, Refusal> {
        // Normalized like the addresses of accounts. An address with letters other than ASCII has no account.
        let email = email.trim().to_ascii_lowercase();
        let site = client.site();
        let keys = Keys {
            email_and_network: self.hashes.hash_one((client, &email)),
            email_and_site: self.hashes.hash_one((site, &email)),
            network: self.hashes.hash_one(client),
            site: self.hashes.hash_one(site),
            email: self.hashes.hash_one(&email),
        };
        let slot = self.running.enter(keys.network, MAX_AT_ONCE)?;
        // An IPv4 address is both a network and a site.
        let is_of_site = client.has_many_networks();
        let slot_of_site =
            is_of_site.then(|| self.running_of_sites.enter(keys.site, MAX_OF_SITE_AT_ONCE)).transpose()?;
        let mut attempt =
            Attempt { _slot: slot, _slot_of_site: slot_of_site, keys, taken: Vec::with_capacity(6) };
        match self.take_all(&mut attempt, is_of_site) {
            Ok(()) => Ok(attempt),
            Err(refusal) => {
                self.withdraw(&attempt);
                Err(refusal)
            }
        }
    }

    fn take_all(&self, attempt: &mut Attempt, has_many_networks: bool) -> Result<(), Refusal> {
        self.take(attempt, Taken::Network)?;
        self.take(attempt, Taken::EmailAndNetwork)?;
        if self.known_networks.contains_key(&attempt.keys.email_and_network) {
            return Ok(());
        }
        if has_many_networks {
            self.take(attempt, Taken::Site)?;
            self.take(attempt, Taken::EmailAndSite)?;
        }
        let is_first = self.take(attempt, Taken::FirstFailures).is_ok();
        if is_first && self.take(attempt, Taken::NewNetworks).is_ok() {
            return Ok(());
        }
        self.take(attempt, Taken::LaterFailures)
    }

    fn take(&self, attempt: &mut Attempt, from: Taken) -> Result<(), Refusal> {
        let (buckets, key) = self.bucket(from, &attempt.keys);
        buckets.take(key)?;
        attempt.taken.push(from);
        Ok(())
    }

    fn bucket(&self, taken: Taken, keys: &Keys) -> (&Buckets<C>, u64) {
        match taken {
            Taken::EmailAndNetwork => (&self.email_and_network, keys.email_and_network),
            Taken::EmailAndSite => (&self.email_and_site, keys.email_and_site),
            Taken::Network => (&self.network, keys.network),
            Taken::Site => (&self.site, keys.site),
            Taken::FirstFailures => (&self.first_failures, keys.email_and_site),
            Taken::NewNetworks => (&self.new_networks, keys.email),
            Taken::LaterFailures => (&self.later_failures, keys.email),
        }
    }

    /// Ends an attempt with the right password.
    pub(super) fn succeeded(&self, attempt: &Attempt) {
        self.withdraw(attempt);
        for cleared in [Taken::EmailAndNetwork, Taken::EmailAndSite] {
            let (buckets, key) = self.bucket(cleared, &attempt.keys);
            buckets.fill(key);
        }
        self.known_networks.insert(attempt.keys.email_and_network, ());
    }

    /// Ends an attempt that says nothing about the password.
    pub(super) fn withdraw(&self, attempt: &Attempt) {
        for taken in &attempt.taken {
            let (buckets, key) = self.bucket(*taken, &attempt.keys);
            buckets.restore(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use governor::clock::FakeRelativeClock;

    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);

    fn rate(requests: u32) -> Rate {
        Rate { requests: NonZeroU32::new(requests).unwrap(), per: MINUTE }
    }

    /// Limits: 3 failures for an e-mail address from a network, 20 from a network, 30 for an e-mail address from all networks.
    pub(super) fn logins(clock: &FakeRelativeClock) -> Logins<FakeRelativeClock> {
        let limits =
            RateLimits { tokens_per_email: rate(3), tokens_per_address: rate(20), ..RateLimits::default() };
        Logins::new(&limits, clock)
    }

    pub(super) fn from(address: &str) -> ClientAddress {
        ClientAddress::new(address.parse::<IpAddr>().unwrap())
    }

    fn failures(logins: &Logins<FakeRelativeClock>, address: &str, email: &str, attempts: u32) -> u32 {
        let begun = (0..attempts).filter(|_| logins.begin(from(address), email).is_ok());
        u32::try_from(begun.count()).unwrap()
    }

    /// Proves that failures are limited by e-mail address and network, also for concurrent attempts, and that the returned time
    /// to wait is exact.
    #[test]
    fn failures_are_limited() {
        let clock = FakeRelativeClock::default();
        let logins = logins(&clock);
        assert_eq!(failures(&logins, "192.0.2.1", "ada@example.org", 9), 3);
        // The same e-mail address and the same client, each in another spelling.
        for email in [" ADA@Example.org ", "ada@EXAMPLE.ORG"] {
            assert_eq!(failures(&logins, "::ffff:192.0.2.1", email, 1), 0, "{email}");
        }
        assert_eq!(failures(&logins, "192.0.2.1", "bob@example.org", 1), 1);
        assert_eq!(failures(&logins, "192.0.2.2", "ada@example.org", 1), 1);
        let Refusal { wait, policy } = logins.begin(from("192.0.2.1"), "ada@example.org").unwrap_err();
        assert_eq!((wait, policy.unwrap().0), (MINUTE / 3, EMAIL_AND_NETWORK));
        clock.advance(wait.saturating_sub(Duration::from_nanos(1)));
        assert_eq!(failures(&logins, "192.0.2.1", "ada@example.org", 1), 0);
        clock.advance(Duration::from_nanos(1));
        assert_eq!(failures(&logins, "192.0.2.1", "ada@example.org", 2), 1);
    }

    /// Proves that right passwords, and attempts that failed for other reasons, count as nothing, and that a right password
    /// clears the failures before it.
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
        // 18 of the network's 20 failures are used.
        assert_eq!(failures(&logins, "192.0.2.1", "bob@example.org", 3), 2);
    }

    /// Proves that a network has a limited number of concurrent attempts, also with right passwords, and that other networks go
    /// on.
    #[test]
    fn a_network_does_not_block_other_networks() {
        let logins = logins(&FakeRelativeClock::default());
        let begin = |address, number| logins.begin(from(address), &format!("a{number}@example.org"));
        let mut running: Vec<Attempt> =
            (0..MAX_AT_ONCE).map(|number| begin("192.0.2.1", number).unwrap()).collect();
        assert_eq!(begin("192.0.2.1", 100).unwrap_err().wait, RETRY_WHEN_BUSY);
        assert!(begin("192.0.2.2", 100).is_ok());
        logins.succeeded(&running.remove(0));
        assert!(begin("192.0.2.1", 101).is_ok());
        drop(running);
        assert!(logins.running.lock().is_empty());
    }

    /// Proves that one network (for IPv6, all its addresses) can try only a few e-mail addresses and that other networks go on;
    /// and that all networks of a site together can try ten times as many.
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
        // A refused attempt takes no token.
        assert_eq!(failures(&logins, "2001:db8::9", "ada@example.org", 1), 0);
        assert_eq!(failures(&logins, "2001:db8:0:1::1", "ada@example.org", 5), 2);
        let begun: u32 = (0..400)
            .map(|n| {
                failures(&logins, &format!("2001:db8:0:{:x}::1", n + 2), &format!("b{n}@example.org"), 1)
            })
            .sum();
        assert_eq!(20 + 3 + begun, 200);
        assert_eq!(failures(&logins, "2001:db8:1::1", "ada@example.org", 1), 1);
    }

    /// Proves that withdrawn attempts keep no buckets, so that they evict no failures.
    #[test]
    fn withdrawn_attempts_keep_no_buckets() {
        let clock = FakeRelativeClock::default();
        let logins = logins(&clock);
        let failed = failures(&logins, "192.0.2.1", "ada@example.org", 1);
        for number in 0..50 {
            let attempt = logins.begin(from("192.0.2.2"), &format!("a{number}@example.org")).unwrap();
            logins.withdraw(&attempt);
        }
        assert_eq!(
            (
                failed,
                logins.email_and_network.count(),
                logins.first_failures.count(),
                logins.new_networks.count()
            ),
            (1, 1, 1, 1)
        );
    }

    /// Proves that a network leaves capacity to other networks of its site, and that a site has a limited number of concurrent
    /// attempts however many networks it has.
    #[test]
    fn a_site_does_not_block_other_sites() {
        let logins = logins(&FakeRelativeClock::default());
        let begin = |site: u8, network: usize, number: usize| {
            logins.begin(from(&format!("2001:db8:{site}:{network:x}::1")), &format!("a{number}@example.org"))
        };
        let mut running: Vec<Attempt> = (0..MAX_AT_ONCE).map(|number| begin(1, 0, number).unwrap()).collect();
        begin(1, 0, 100).unwrap_err();
        running.extend((MAX_AT_ONCE..MAX_OF_SITE_AT_ONCE).map(|number| begin(1, number, number).unwrap()));
        begin(1, 100, 100).unwrap_err();
        assert!(begin(2, 100, 100).is_ok());
        drop(running);
        assert!(begin(1, 100, 100).is_ok());
    }

    /// Proves that an attacker with a whole site of IPv6 networks and 16 IPv4 addresses cannot prevent the owner from logging in
    /// from any other network, however long the attack takes, even if the server knows no network of the owner (as after a
    /// restart); and that the attacker has few attempts.
    #[test]
    fn an_attacked_owner_can_log_in_from_a_new_network() {
        let clock = FakeRelativeClock::default();
        let logins = logins(&clock);
        let email = "ada@example.org";
        let mut guesses = 0;
        for round in 0..120_u32 {
            for number in 0..16 {
                guesses += failures(&logins, &format!("203.0.113.{number}"), email, 5);
            }
            for number in 0..64 {
                guesses += failures(&logins, &format!("2001:db8:7:{:x}::1", round * 64 + number), email, 2);
            }
            let owner = from(&format!("198.51.100.{round}"));
            let attempt = logins.begin(owner, email).unwrap();
            // The owner may mistype the password once.
            drop(attempt);
            let attempt = logins.begin(owner, email).unwrap();
            logins.withdraw(&attempt);
            clock.advance(MINUTE);
        }
        // In 120 minutes: the initial tokens of both buckets, and the tokens that they regain.
        let maximum = (30 + 96) + 120 * (30 + 96) / 10;
        assert!(guesses < maximum, "{guesses}");
    }

    /// Proves that all networks of a botnet together have few attempts; that an owner who has logged in from home before can
    /// still log in from there without delay; and that the home network gives nobody there more attempts than one network has.
    #[test]
    fn a_botnet_does_not_affect_an_owner_at_home() {
        let logins = logins(&FakeRelativeClock::default());
        let (home, email) = (from("198.51.100.7"), "ada@example.org");
        let attempt = logins.begin(home, email).unwrap();
        logins.succeeded(&attempt);
        let attacks = |prefix: &str| -> u32 {
            (0..200).map(|number| failures(&logins, &format!("{prefix}.{number}"), email, 3)).sum()
        };
        assert_eq!(attacks("203.0.113") + attacks("203.0.112"), 30 + 96);
        let refusal = logins.begin(from("192.0.2.1"), email).unwrap_err();
        assert_eq!(refusal.policy.unwrap().0, EMAIL);
        for _ in 0..50 {
            let attempt = logins.begin(home, email).unwrap();
            logins.succeeded(&attempt);
        }
        assert_eq!(failures(&logins, "198.51.100.7", email, 5), 3);
        // Other accounts are not affected.
        assert_eq!(failures(&logins, "192.0.2.1", "bob@example.org", 1), 1);
    }

    /// Proves that memory does not grow with the content of requests, and that a new key gets its own bucket when the table is
    /// full.
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
        for buckets in [&logins.email_and_network, &logins.network, &logins.later_failures] {
            assert!(buckets.count() <= 65_536, "{}", buckets.count());
        }
        assert_eq!(failures(&logins, "192.0.2.1", "new@example.org", 5), 3);
        assert_eq!(failures(&logins, "192.0.2.2", "new@example.org", 5), 3);
    }
}
