//! How often passwords may be tried.
//!
//! Only failed attempts count. An attempt takes from its buckets before the password is verified, so that attempts at the
//! same time share them, and gets back what it took unless the password is wrong. The buckets are those of
//!
//! - the e-mail address and the network of the client together. A success fills them;
//! - the network, for all e-mail addresses;
//! - the e-mail address, for all networks. There are two: the first [`FIRST_FAILURES`] failures of a network take from a bucket
//!   that holds those of [`NEW_NETWORKS`] networks, all later ones from one that is [`MANY`] times as large as that of one network.
//!
//! So an attacker with fewer sites than [`NEW_NETWORKS`] uses up the bucket of later failures, and the owner still signs in from
//! any network that has not failed, on any server, also after a restart. All networks of a botnet together have the sum of the two.
//! A network from which somebody has signed in to the account lately takes from neither, so the owner at home is not concerned
//! even by a botnet, for as long as this server runs.
//!
//! Each attempt costs much time and memory, right or wrong. So a network has only [`MAX_AT_ONCE`] at a time, a site [`MAX_OF_SITE_AT_ONCE`], and neither can keep others from
//! signing in by many right passwords.
//!
//! A network is an IPv4 address or the first 64 bits of an IPv6 address. Many networks belong to one site, the first 48 bits of an
//! IPv6 address: an attacker with one network of a site may have all of them. A site has as many failures for an e-mail address as a
//! network, and [`MANY`] times as many for all e-mail addresses.

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, RandomState},
    num::NonZeroU32,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use governor::clock::Clock;
use moka::{policy::EvictionPolicy, sync::Cache};

use super::{ClientAddress, Refusal, buckets::Buckets};
use crate::{Rate, RateLimits};

/// How many times as many failures as from one network an e-mail address may have from all, in as many times the time; and a site
/// for all e-mail addresses.
const MANY: NonZeroU32 = NonZeroU32::new(10).unwrap();

/// Number of failures that a network may have for an e-mail address whatever other networks did.
const FIRST_FAILURES: NonZeroU32 = NonZeroU32::new(3).unwrap();

/// Number of networks that may have their first failures for an e-mail address, in [`MANY`] times the time of the limit.
const NEW_NETWORKS: NonZeroU32 = NonZeroU32::new(32).unwrap();

/// Maximum number of networks from which somebody has signed in that are remembered, by account.
const MAX_KNOWN_NETWORKS: u64 = 65_536;

/// For how long a network is remembered after somebody has signed in from it.
const KNOWN_FOR: Duration = Duration::from_hours(90 * 24);

/// Maximum number of attempts of a network that are being verified or wait for that.
const MAX_AT_ONCE: usize = 8;

/// Maximum number of attempts of a site that are being verified or wait for that. More than of one network, since a provider may
/// give the networks of a site to many customers.
const MAX_OF_SITE_AT_ONCE: usize = 3 * MAX_AT_ONCE;

/// Time after which a network or a site with so many attempts may try again.
const RETRY_WHEN_BUSY: Duration = Duration::from_secs(1);

/// The names of the limits, as the `RateLimit` headers show them.
const HERE: &str = "wrong-passwords-of-email-and-network";
const NETWORK: &str = "wrong-passwords-of-network";
const EVERYWHERE: &str = "wrong-passwords-of-email";

/// The limits of attempts to sign in.
pub(crate) struct Logins<C: Clock> {
    here: Buckets<C>,
    site_here: Buckets<C>,
    network: Buckets<C>,
    site: Buckets<C>,
    first: Buckets<C>,
    newcomers: Buckets<C>,
    everywhere: Buckets<C>,
    known: Cache<u64, ()>,
    running: Arc<Running>,
    running_of_sites: Arc<Running>,
    /// With keys of its own, so that nobody can choose addresses that share a bucket.
    hashes: RandomState,
}

/// The keys of an attempt, hashed.
#[derive(Clone, Copy, Debug)]
struct Keys {
    here: u64,
    site_here: u64,
    network: u64,
    site: u64,
    email: u64,
}

/// Which buckets an attempt takes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Taken {
    Here,
    SiteHere,
    Network,
    Site,
    First,
    Newcomers,
    Everywhere,
}

/// An attempt that may be made. It counts as failed unless it is said how it ended.
#[must_use]
#[derive(Debug)]
pub(crate) struct Attempt {
    _place: RunningPlace,
    _place_of_site: Option<RunningPlace>,
    keys: Keys,
    taken: Vec<Taken>,
}

/// The attempts that are being verified, by network or by site.
#[derive(Debug, Default)]
struct Running(Mutex<HashMap<u64, usize>>);

impl Running {
    fn lock(&self) -> MutexGuard<'_, HashMap<u64, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(self: &Arc<Self>, place: u64, maximum: usize) -> Result<RunningPlace, Refusal> {
        let mut running = self.lock();
        let count = running.entry(place).or_default();
        if *count >= maximum {
            return Err(Refusal::busy(RETRY_WHEN_BUSY));
        }
        *count += 1;
        drop(running);
        Ok(RunningPlace { running: Arc::clone(self), place })
    }
}

/// The place of an attempt among those of its network or site. Free again when this is dropped.
#[derive(Debug)]
struct RunningPlace {
    running: Arc<Running>,
    place: u64,
}

impl Drop for RunningPlace {
    fn drop(&mut self) {
        let mut running = self.running.lock();
        if let Some(count) = running.get_mut(&self.place) {
            *count -= 1;
            if *count == 0 {
                running.remove(&self.place);
            }
        }
    }
}

/// So many times as many in as many times the time.
fn times(rate: Rate, factor: NonZeroU32) -> Rate {
    Rate { requests: rate.requests.saturating_mul(factor), per: rate.per.saturating_mul(factor.get()) }
}

impl<C: Clock + Clone> Logins<C> {
    pub(super) fn new(limits: &RateLimits, clock: &C) -> Self {
        let RateLimits { tokens_per_email, tokens_per_address, .. } = *limits;
        let buckets = |name, rate| Buckets::new(name, rate, clock.clone());
        let everywhere = times(tokens_per_email, MANY);
        let first = Rate { requests: FIRST_FAILURES, per: everywhere.per };
        let newcomers = Rate { requests: FIRST_FAILURES.saturating_mul(NEW_NETWORKS), ..first };
        let site = Rate { requests: tokens_per_address.requests.saturating_mul(MANY), ..tokens_per_address };
        Self {
            here: buckets(HERE, tokens_per_email),
            site_here: buckets(HERE, tokens_per_email),
            network: buckets(NETWORK, tokens_per_address),
            site: buckets(NETWORK, site),
            first: buckets(EVERYWHERE, first),
            newcomers: buckets(EVERYWHERE, newcomers),
            everywhere: buckets(EVERYWHERE, everywhere),
            known: Cache::builder()
                .max_capacity(MAX_KNOWN_NETWORKS)
                .eviction_policy(EvictionPolicy::lru())
                .time_to_idle(KNOWN_FOR)
                .build(),
            running: Arc::default(),
            running_of_sites: Arc::default(),
            hashes: RandomState::new(),
        }
    }

    /// Begins an attempt, or returns why and after which time one may begin.
    pub(crate) fn begin(&self, client: ClientAddress, email: &str) -> Result<Attempt, Refusal> {
        // As accounts are told apart. An address with other than ASCII letters has no account.
        let email = email.trim().to_ascii_lowercase();
        let site = client.site();
        let keys = Keys {
            here: self.hashes.hash_one((client, &email)),
            site_here: self.hashes.hash_one((site, &email)),
            network: self.hashes.hash_one(client),
            site: self.hashes.hash_one(site),
            email: self.hashes.hash_one(&email),
        };
        let place = self.running.enter(keys.network, MAX_AT_ONCE)?;
        // An IPv4 address is a network and a site.
        let is_of_site = client.has_many_networks();
        let place_of_site =
            is_of_site.then(|| self.running_of_sites.enter(keys.site, MAX_OF_SITE_AT_ONCE)).transpose()?;
        let mut attempt =
            Attempt { _place: place, _place_of_site: place_of_site, keys, taken: Vec::with_capacity(6) };
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
        self.take(attempt, Taken::Here)?;
        if self.known.contains_key(&attempt.keys.here) {
            return Ok(());
        }
        if has_many_networks {
            self.take(attempt, Taken::Site)?;
            self.take(attempt, Taken::SiteHere)?;
        }
        let is_first = self.take(attempt, Taken::First).is_ok();
        if is_first && self.take(attempt, Taken::Newcomers).is_ok() {
            return Ok(());
        }
        self.take(attempt, Taken::Everywhere)
    }

    fn take(&self, attempt: &mut Attempt, from: Taken) -> Result<(), Refusal> {
        let (buckets, key) = self.bucket(from, &attempt.keys);
        buckets.take(key)?;
        attempt.taken.push(from);
        Ok(())
    }

    fn bucket(&self, taken: Taken, keys: &Keys) -> (&Buckets<C>, u64) {
        match taken {
            Taken::Here => (&self.here, keys.here),
            Taken::SiteHere => (&self.site_here, keys.site_here),
            Taken::Network => (&self.network, keys.network),
            Taken::Site => (&self.site, keys.site),
            Taken::First => (&self.first, keys.site_here),
            Taken::Newcomers => (&self.newcomers, keys.email),
            Taken::Everywhere => (&self.everywhere, keys.email),
        }
    }

    /// The password was right.
    pub(crate) fn succeeded(&self, attempt: &Attempt) {
        self.withdraw(attempt);
        for forgiven in [Taken::Here, Taken::SiteHere] {
            let (buckets, key) = self.bucket(forgiven, &attempt.keys);
            buckets.fill(key);
        }
        self.known.insert(attempt.keys.here, ());
    }

    /// Nothing was learnt about the password.
    pub(crate) fn withdraw(&self, attempt: &Attempt) {
        for taken in &attempt.taken {
            let (buckets, key) = self.bucket(*taken, &attempt.keys);
            buckets.give_back(key);
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
        let Refusal { wait, policy } = logins.begin(from("192.0.2.1"), "ada@example.org").unwrap_err();
        assert_eq!((wait, policy.unwrap().0), (MINUTE / 3, HERE));
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
        assert_eq!(begin("192.0.2.1", 100).unwrap_err().wait, RETRY_WHEN_BUSY);
        assert!(begin("192.0.2.2", 100).is_ok());
        logins.succeeded(&running.remove(0));
        assert!(begin("192.0.2.1", 101).is_ok());
        drop(running);
        assert!(logins.running.lock().is_empty());
    }

    /// Proves that one network tries a few addresses only, of IPv6 all that is one network, and that others go on; and that all
    /// networks of a site try as many as ten.
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
        let begun: u32 = (0..400)
            .map(|n| {
                failures(&logins, &format!("2001:db8:0:{:x}::1", n + 2), &format!("b{n}@example.org"), 1)
            })
            .sum();
        assert_eq!(20 + 3 + begun, 200);
        assert_eq!(failures(&logins, "2001:db8:1::1", "ada@example.org", 1), 1);
    }

    /// Proves that withdrawn attempts keep no buckets, so that they displace no failures.
    #[test]
    fn withdrawn_attempts_take_no_room() {
        let clock = FakeRelativeClock::default();
        let logins = logins(&clock);
        let failed = failures(&logins, "192.0.2.1", "ada@example.org", 1);
        for number in 0..50 {
            let attempt = logins.begin(from("192.0.2.2"), &format!("a{number}@example.org")).unwrap();
            logins.withdraw(&attempt);
        }
        assert_eq!(
            (failed, logins.here.count(), logins.first.count(), logins.newcomers.count()),
            (1, 1, 1, 1)
        );
    }

    /// Proves that a network leaves room to others of its site, and that a site has only a few attempts at a time, however many
    /// networks it has.
    #[test]
    fn a_site_does_not_keep_others_waiting() {
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

    /// Proves that an attacker with a whole site of IPv6 networks and 16 IPv4 addresses does not keep the owner from signing in from
    /// anywhere else, also when the server does not know any network of the owner's, as after a restart, and however long
    /// the attack takes; and that the attacker has few attempts.
    #[test]
    fn an_owner_who_is_attacked_signs_in_from_a_new_network() {
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
            // A slip of the finger is forgiven.
            drop(attempt);
            let attempt = logins.begin(owner, email).unwrap();
            logins.withdraw(&attempt);
            clock.advance(MINUTE);
        }
        // In 120 minutes: what both buckets hold at first, and what they regain.
        let most = (30 + 96) + 120 * (30 + 96) / 10;
        assert!(guesses < most, "{guesses}");
    }

    /// Proves that all networks of a botnet together have few attempts, and that an owner who has signed in from home before
    /// is not slowed down even then; and that the network of home gives nobody there more attempts than one network has.
    #[test]
    fn an_attack_from_everywhere_leaves_the_owner_alone() {
        let logins = logins(&FakeRelativeClock::default());
        let (home, email) = (from("198.51.100.7"), "ada@example.org");
        let attempt = logins.begin(home, email).unwrap();
        logins.succeeded(&attempt);
        let attacks = |prefix: &str| -> u32 {
            (0..200).map(|number| failures(&logins, &format!("{prefix}.{number}"), email, 3)).sum()
        };
        assert_eq!(attacks("203.0.113") + attacks("203.0.112"), 30 + 96);
        let refusal = logins.begin(from("192.0.2.1"), email).unwrap_err();
        assert_eq!(refusal.policy.unwrap().0, EVERYWHERE);
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
