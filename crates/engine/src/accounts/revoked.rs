//! Cache of revoked tokens: an authenticated request reads no database.
//!
//! Every server follows the directory's revocations by their revision. A revocation takes effect at once on the server
//! that made it, and on every other server within [`crate::EngineConfig::revocation_poll_interval`] plus the response
//! time of the directory. A server that has not read the directory for
//! [`crate::EngineConfig::membership_max_stale_age`] does not know whether a token is revoked, and refuses all tokens
//! as unavailable. So every revocation takes effect within that time.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use dabba_domain::{AccountId, Timestamp};
use dabba_store::{CredentialId, Need, Revocation, RevocationRevision, Store, StoreError, Subject};
use tokio::{
    sync::Mutex,
    time::{Instant, MissedTickBehavior, interval},
};

use super::Accounts;
use crate::{
    EngineConfig, Error, Principal,
    condition::{Condition, Transition},
};

/// Maximum number of subjects whose revocation is cached: about 25 MB. Beyond it, the oldest revocation is evicted, and
/// every token issued at or before that revocation counts as revoked.
const MAX_REVOCATIONS: usize = 200_000;

/// Maximum number of sessions whose revocation is cached: about 25 MB. They are apart from the others, because people log out
/// often, and evicted revocations of sessions must not make tokens void. If the oldest are evicted, sessions that were read
/// before are read again.
const MAX_SESSION_REVOCATIONS: usize = 200_000;

/// Maximum number of revocations per read.
const PAGE: u32 = 1_000;

/// Minimum interval at which revocations are polled.
const MIN_POLL_INTERVAL: Duration = Duration::from_millis(1);

/// Minimum time between a failed read of revocations and the next read for a request.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(1);

impl Accounts {
    /// Refuses a caller whose credential is revoked. `issued_at` is the time of issue that a token states, or the time at
    /// which an API key was read.
    pub async fn admit(&self, principal: &Principal, issued_at: Timestamp) -> Result<(), Error> {
        let verdict = match self.revocations.verdict(principal, issued_at) {
            Verdict::Unknown => {
                self.revocations.catch_up_for_request(&*self.store).await?;
                self.revocations.verdict(principal, issued_at)
            }
            verdict => verdict,
        };
        match verdict {
            Verdict::Valid => Ok(()),
            Verdict::Revoked => Err(Error::TokenRevoked),
            Verdict::Unknown => Err(Error::Unavailable),
        }
    }

    /// Refuses a caller whose token is revoked, like [`Accounts::admit`], from memory alone: if this server has not read the
    /// revocations for too long, the caller is refused as unavailable.
    ///
    /// Also refuses a session that has expired as far as this server knows: uses extend a session, so its caller does not know
    /// the expiry in advance.
    pub fn is_still_admitted(&self, principal: &Principal, issued_at: Timestamp) -> Result<(), Error> {
        if let Some(CredentialId::Session(id)) = principal.kept
            && self.sessions.has_expired(id, self.clock.now())
        {
            return Err(Error::TokenRevoked);
        }
        match self.revocations.verdict(principal, issued_at) {
            Verdict::Valid => Ok(()),
            Verdict::Revoked => Err(Error::TokenRevoked),
            Verdict::Unknown => Err(Error::Unavailable),
        }
    }

    /// Follows revocations by other servers. Runs until the future is dropped.
    pub async fn watch_revocations(self: Arc<Self>) {
        let part = self.supervisor.part("revocation_follower", Need::Helpful);
        self.supervisor.run(&part, || self.poll_revocations()).await;
    }

    async fn poll_revocations(&self) -> Result<(), String> {
        let mut interval = interval(self.revocations.poll_interval.max(MIN_POLL_INTERVAL));
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut condition = Condition::default();
        loop {
            interval.tick().await;
            let caught_up = self.revocations.catch_up(&*self.store).await;
            if let Ok(accounts) = &caught_up {
                for account_id in accounts {
                    // The account's memberships may have ended too.
                    self.memberships.evict(*account_id);
                }
            }
            match condition.record(caught_up.map(drop)) {
                Some(Transition::Failed(error)) => tracing::warn!(
                    %error,
                    "revocations by other servers are not seen until the database that keeps the accounts answers"
                ),
                Some(Transition::Recovered) => tracing::info!("revocations by other servers are seen again"),
                None => {}
            }
        }
    }
}

/// Whether a token is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Valid,
    Revoked,
    /// The directory has not answered for too long.
    Unknown,
}

/// The cached revocations.
pub(crate) struct Revocations {
    known: RwLock<Known>,
    /// Held while the directory is read; contains the time of the last failure.
    reading: Mutex<Option<Instant>>,
    max_stale_age: Duration,
    /// Interval at which revocations by other servers are polled.
    poll_interval: Duration,
    began: Instant,
}

impl fmt::Debug for Revocations {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Revocations").finish_non_exhaustive()
    }
}

struct Known {
    /// The revision up to which all revocations are known.
    cursor: RevocationRevision,
    /// The revocations of accounts and API keys.
    lasting: Latest,
    /// The revocations of sessions.
    of_sessions: Latest,
    /// Time of the last successful read.
    caught_up_at: Option<Instant>,
}

/// The latest revocations of subjects, a bounded number.
struct Latest {
    by_subject: HashMap<Subject, RevocationRevision>,
    by_revision: BTreeMap<RevocationRevision, (Subject, Timestamp)>,
    max_count: usize,
    /// Credentials issued or read at or before this time count as revoked, because revocations were evicted.
    evicted_until: Option<Timestamp>,
}

impl Revocations {
    pub(crate) fn new(config: &EngineConfig) -> Self {
        Self {
            known: RwLock::new(Known::new(MAX_REVOCATIONS, MAX_SESSION_REVOCATIONS)),
            reading: Mutex::default(),
            // With a lower limit, a server that polls on time would refuse tokens between two polls.
            max_stale_age: config.membership_max_stale_age.max(config.revocation_poll_interval * 3),
            poll_interval: config.revocation_poll_interval,
            began: Instant::now(),
        }
    }

    fn verdict(&self, principal: &Principal, issued_at: Timestamp) -> Verdict {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        if known.revokes(principal, issued_at) {
            Verdict::Revoked
        } else if known.caught_up_at.is_some_and(|at| at.elapsed() < self.max_stale_age) {
            Verdict::Valid
        } else {
            Verdict::Unknown
        }
    }

    /// Returns the time since the revocations were last read, or since the process began if they never were.
    pub(crate) fn age(&self) -> Duration {
        let caught_up_at = self.known.read().unwrap_or_else(PoisonError::into_inner).caught_up_at;
        caught_up_at.unwrap_or(self.began).elapsed()
    }

    /// Records a revocation by this server.
    pub(super) fn note(&self, subject: Subject, revision: RevocationRevision, at: Timestamp) {
        self.known.write().unwrap_or_else(PoisonError::into_inner).add(subject, revision, at);
    }

    /// Returns whether revocations of this caller after this time may have been evicted.
    pub(super) fn forgot_since(&self, principal: &Principal, at: Timestamp) -> bool {
        self.known.read().unwrap_or_else(PoisonError::into_inner).forgot_since(principal, at)
    }

    /// Reads new revocations. Returns the revoked accounts.
    async fn catch_up(&self, store: &dyn Store) -> Result<Vec<AccountId>, StoreError> {
        let mut failed_at = self.reading.lock().await;
        let read = self.read(store).await;
        *failed_at = read.is_err().then(Instant::now);
        read
    }

    /// Reads new revocations for a request that needs them. Of concurrent requests, one reads.
    async fn catch_up_for_request(&self, store: &dyn Store) -> Result<(), StoreError> {
        let asked_at = Instant::now();
        let mut failed_at = self.reading.lock().await;
        let caught_up_at = self.known.read().unwrap_or_else(PoisonError::into_inner).caught_up_at;
        if caught_up_at.is_some_and(|at| at >= asked_at) {
            return Ok(());
        }
        if failed_at.is_some_and(|at| at.elapsed() < PAUSE_AFTER_FAILURE) {
            return Err(StoreError::Unavailable("revocations cannot be read".to_owned()));
        }
        let read = self.read(store).await;
        *failed_at = read.is_err().then(Instant::now);
        read.map(drop)
    }

    async fn read(&self, store: &dyn Store) -> Result<Vec<AccountId>, StoreError> {
        let mut accounts = Vec::new();
        loop {
            let asked_at = Instant::now();
            let after = self.known.read().unwrap_or_else(PoisonError::into_inner).cursor;
            let page = store.revocations(after, PAGE).await?;
            let is_last = page.len() < PAGE as usize;
            let subjects = page.iter().filter_map(|revocation| revocation.subject);
            accounts.extend(subjects.filter_map(|subject| match subject {
                Subject::Account(id) => Some(id),
                Subject::ApiKey(_) | Subject::Session(_) => None,
            }));
            let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
            known.follow(&page);
            if is_last {
                known.caught_up_at = Some(asked_at);
                return Ok(accounts);
            }
        }
    }
}

impl Known {
    fn new(max_count: usize, max_sessions: usize) -> Self {
        Self {
            cursor: 0,
            lasting: Latest::new(max_count),
            of_sessions: Latest::new(max_sessions),
            caught_up_at: None,
        }
    }

    const fn latest(&self, subject: Subject) -> &Latest {
        match subject {
            Subject::Account(_) | Subject::ApiKey(_) => &self.lasting,
            Subject::Session(_) => &self.of_sessions,
        }
    }

    fn revokes(&self, principal: &Principal, issued_at: Timestamp) -> bool {
        principal
            .revocation_subjects()
            .filter_map(|subject| self.latest(subject).by_subject.get(&subject))
            .any(|revision| principal.as_of < *revision)
            || self.forgot_since(principal, issued_at)
    }

    fn forgot_since(&self, principal: &Principal, at: Timestamp) -> bool {
        principal
            .revocation_subjects()
            .filter_map(|subject| self.latest(subject).evicted_until)
            .any(|evicted| at <= evicted)
    }

    fn follow(&mut self, page: &[Revocation]) {
        for revocation in page {
            if let Some(subject) = revocation.subject {
                self.add(subject, revocation.revision, revocation.revoked_at);
            }
            self.cursor = self.cursor.max(revocation.revision);
        }
    }

    fn add(&mut self, subject: Subject, revision: RevocationRevision, at: Timestamp) {
        match subject {
            Subject::Account(_) | Subject::ApiKey(_) => self.lasting.add(subject, revision, at),
            Subject::Session(_) => self.of_sessions.add(subject, revision, at),
        }
    }
}

impl Latest {
    fn new(max_count: usize) -> Self {
        Self { by_subject: HashMap::new(), by_revision: BTreeMap::new(), max_count, evicted_until: None }
    }

    fn add(&mut self, subject: Subject, revision: RevocationRevision, at: Timestamp) {
        let known = self.by_subject.get(&subject).copied();
        if known.is_some_and(|known| known >= revision) {
            return;
        }
        if let Some(known) = known {
            self.by_revision.remove(&known);
        }
        self.by_subject.insert(subject, revision);
        self.by_revision.insert(revision, (subject, at));
        while self.by_revision.len() > self.max_count {
            let Some((_, (subject, at))) = self.by_revision.pop_first() else { return };
            self.by_subject.remove(&subject);
            self.evicted_until = self.evicted_until.max(Some(at));
        }
    }
}

#[cfg(test)]
mod tests {
    use dabba_domain::{Bucket, Role, SessionId};

    use super::*;

    fn account(number: u64) -> AccountId {
        AccountId::generate(Timestamp::UNIX_EPOCH, Bucket::from_random(number), number)
    }

    fn second(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn revocation(number: u64, revision: RevocationRevision) -> Revocation {
        Revocation {
            revision,
            subject: Some(Subject::Account(account(number))),
            revoked_at: second(revision),
        }
    }

    fn is_revoked(known: &Known, number: u64, as_of: RevocationRevision, issued_at: i64) -> bool {
        let principal = Principal { as_of, ..Principal::new(account(number), Role::Customer) };
        known.revokes(&principal, second(issued_at))
    }

    /// Proves that a token is revoked by a later revision of its account, in whatever order revocations arrive, and
    /// that a token issued after the revocation is valid.
    #[test]
    fn a_token_is_revoked_by_a_later_revision() {
        let mut known = Known::new(10, 10);
        assert!(!is_revoked(&known, 1, 0, 0));
        known.follow(&[revocation(1, 5), revocation(2, 6)]);
        for (as_of, revoked) in [(0, true), (4, true), (5, false), (6, false)] {
            assert_eq!(is_revoked(&known, 1, as_of, 0), revoked, "{as_of}");
        }
        assert!(!is_revoked(&known, 3, 0, 0));
        // This server's own revocation arrives before older ones of other servers.
        known.add(Subject::Account(account(1)), 9, second(9));
        known.follow(&[revocation(3, 7), revocation(1, 8)]);
        assert!(is_revoked(&known, 1, 8, 0) && is_revoked(&known, 3, 0, 0));
        assert_eq!(
            (known.cursor, known.lasting.by_subject.len(), known.lasting.by_revision.len()),
            (8, 3, 3)
        );
    }

    /// Proves that the age is the time since the last successful read.
    #[tokio::test(start_paused = true)]
    async fn the_age_is_the_time_since_the_last_read() {
        let revocations = Revocations::new(&EngineConfig::default());
        for already_read in [false, true] {
            if already_read {
                revocations.known.write().unwrap().caught_up_at = Some(Instant::now());
            }
            let before = revocations.age();
            tokio::time::advance(Duration::from_secs(5)).await;
            assert_eq!(revocations.age(), before + Duration::from_secs(5));
        }
        assert_eq!(revocations.age(), Duration::from_secs(5));
    }

    /// Proves that a subject of a kind added by a newer version is ignored.
    #[test]
    fn a_newer_kind_of_subject_is_ignored() {
        let mut known = Known::new(10, 10);
        known.follow(&[Revocation { subject: None, ..revocation(1, 3) }, revocation(2, 4)]);
        assert_eq!((known.cursor, known.lasting.by_subject.len()), (4, 1));
    }

    /// Proves that the cache is bounded, and that a token whose revocation may have been evicted is refused.
    #[test]
    fn an_evicted_revocation_revokes_every_token_of_its_time() {
        let mut known = Known::new(3, 3);
        known.follow(&(1..=5).map(|number| revocation(number, number.cast_signed())).collect::<Vec<_>>());
        assert_eq!((known.lasting.by_subject.len(), known.lasting.by_revision.len()), (3, 3));
        // The revocations of accounts 1 and 2 are evicted.
        for (issued_at, revoked) in [(1, true), (2, true), (3, false)] {
            assert_eq!(is_revoked(&known, 9, 0, issued_at), revoked, "{issued_at}");
        }
        assert!(is_revoked(&known, 3, 0, 9));
    }

    /// Proves that evicted revocations of sessions void sessions of their time, and no tokens, and that those of accounts void
    /// both.
    #[test]
    fn evicted_revocations_of_sessions_void_only_sessions() {
        let session = |number: u64| SessionId::generate(Timestamp::UNIX_EPOCH, Bucket::FIRST, number << 2);
        let by_session = Principal {
            kept: Some(CredentialId::Session(session(9))),
            ..Principal::new(account(1), Role::Customer)
        };
        let by_token = Principal::new(account(1), Role::Customer);
        let mut known = Known::new(2, 3);
        for (number, revision) in (1_u64..=5).zip(1_i64..) {
            known.add(Subject::Session(session(number)), revision, second(revision));
        }
        for (read_at, revoked) in [(1, true), (2, true), (3, false)] {
            assert_eq!(known.revokes(&by_session, second(read_at)), revoked, "{read_at}");
            assert!(!known.revokes(&by_token, second(read_at)), "{read_at}");
        }
        let ended = Principal { kept: Some(CredentialId::Session(session(5))), ..by_session };
        assert!(known.revokes(&ended, second(9)));
        known.follow(&[revocation(6, 6), revocation(7, 7), revocation(8, 8)]);
        assert!(known.revokes(&by_session, second(6)) && known.revokes(&by_token, second(6)));
        assert!(!known.revokes(&by_session, second(7)) && !known.revokes(&by_token, second(7)));
    }
}
