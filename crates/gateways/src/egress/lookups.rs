//! Limits of lookups. A lookup of the operating system cannot be cancelled: it occupies a thread until the name servers
//! answer or the system gives up, which may take half a minute, although its request gives up after seconds. So names
//! that hang must not take the places of names that are answered:
//!
//! - A name has at most one lookup at a time. All connections that wait for the name share it. A lookup that has ended
//!   is not used again: each later connection causes a new one.
//! - A lookup that takes [`SLOW_LOOKUP`] moves from the places of quick lookups to those of hanging lookups.
//! - Names whose latest lookup was slow are suspects, which have places of their own.
//! - A failure is cached for [`FAILURE_MEMORY`].

use std::{
    collections::HashMap,
    io,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::{
    FutureExt as _,
    future::{BoxFuture, Shared},
};
use hashlink::LruCache;
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout},
};

use super::{client::CONNECT_TIMEOUT, resolver::NameResolver};

/// Maximum number of quick lookups at a time.
const MAX_QUICK: usize = 64;
/// Maximum number of hanging lookups at a time. Further ones keep the places of quick lookups.
const MAX_HANGING: usize = 128;
/// Maximum number of quick lookups of suspects at a time.
const MAX_QUICK_SUSPECTS: usize = 16;
/// Maximum number of hanging lookups of suspects at a time.
const MAX_HANGING_SUSPECTS: usize = 48;
/// Maximum number of lookups at a time. Each one occupies a thread, and most occupy an open file.
pub const MAX_LOOKUPS: usize = MAX_QUICK + MAX_HANGING + MAX_QUICK_SUSPECTS + MAX_HANGING_SUSPECTS;
/// Maximum number of names with a lookup that runs or waits for a place.
const MAX_NAMES: usize = 1_024;
/// Maximum time for which a lookup waits for a place. The requests that wait for the lookup give up then, too.
const MAX_WAIT: Duration = CONNECT_TIMEOUT;
/// Duration from which a lookup is slow.
const SLOW_LOOKUP: Duration = Duration::from_secs(1);
/// Time for which a failed lookup is the answer to further requests.
const FAILURE_MEMORY: Duration = Duration::from_secs(2);
/// Time for which a name is a suspect. Longer than the longest pause between two attempts of an endpoint whose breaker
/// is open.
const SUSPECT_MEMORY: Duration = Duration::from_mins(10);
/// Maximum number of names whose failed or slow lookups are recorded. The least recently used name is evicted first.
const MAX_TROUBLES: usize = 16_384;

/// The outcome of a lookup, which its waiting connections share.
pub(super) type Found = Result<Arc<[IpAddr]>, Arc<io::Error>>;

/// The lookups of a client.
#[derive(Clone)]
pub(super) struct Lookups(Arc<Inner>);

struct Inner {
    names: Arc<dyn NameResolver>,
    usual: Lane,
    suspects: Lane,
    state: Mutex<State>,
}

/// Places for lookups.
struct Lane {
    quick: Semaphore,
    hanging: Semaphore,
}

struct State {
    running: HashMap<Arc<str>, Shared<BoxFuture<'static, Found>>>,
    troubles: LruCache<Arc<str>, Trouble>,
}

/// A lookup that failed or was slow, the latest one of its name.
struct Trouble {
    at: Instant,
    error: Option<Arc<io::Error>>,
    is_slow: bool,
}

impl Lookups {
    pub(super) fn new(names: Arc<dyn NameResolver>) -> Self {
        let lane = |quick, hanging| Lane { quick: Semaphore::new(quick), hanging: Semaphore::new(hanging) };
        let state = State { running: HashMap::new(), troubles: LruCache::new(MAX_TROUBLES) };
        Self(Arc::new(Inner {
            names,
            usual: lane(MAX_QUICK, MAX_HANGING),
            suspects: lane(MAX_QUICK_SUSPECTS, MAX_HANGING_SUSPECTS),
            state: Mutex::new(state),
        }))
    }

    /// Returns the addresses of a name. The lookup goes on if the caller gives up.
    pub(super) async fn resolve(&self, name: &str) -> Found {
        let lookup = self.join(name)?;
        lookup.await
    }

    /// Returns the running lookup of a name, or starts one.
    fn join(&self, name: &str) -> Result<Shared<BoxFuture<'static, Found>>, Arc<io::Error>> {
        let mut state = self.0.lock();
        if let Some(lookup) = state.running.get(name) {
            return Ok(lookup.clone());
        }
        let trouble = state.troubles.get(name);
        if let Some(Trouble { at, error: Some(error), .. }) = trouble
            && at.elapsed() < FAILURE_MEMORY
        {
            return Err(Arc::clone(error));
        }
        let is_suspect =
            trouble.is_some_and(|trouble| trouble.is_slow && trouble.at.elapsed() < SUSPECT_MEMORY);
        if state.running.len() >= MAX_NAMES {
            return Err(too_many());
        }
        let name: Arc<str> = name.into();
        let lookup = tokio::spawn(Arc::clone(&self.0).run(Arc::clone(&name), is_suspect));
        let stopped = || Err(Arc::new(io::Error::other("the lookup stopped")));
        let lookup = lookup.map(move |ended| ended.unwrap_or_else(|_| stopped())).boxed().shared();
        state.running.insert(name, lookup.clone());
        Ok(lookup)
    }
}

impl Inner {
    async fn run(self: Arc<Self>, name: Arc<str>, is_suspect: bool) -> Found {
        let _running = Running { lookups: &self, name: &name };
        let lane = if is_suspect { &self.suspects } else { &self.usual };
        let Ok(Ok(place)) = timeout(MAX_WAIT, lane.quick.acquire()).await else { return Err(too_many()) };
        let start = Instant::now();
        let mut lookup = self.names.resolve(&name);
        let found = if let Ok(found) = timeout(SLOW_LOOKUP, &mut lookup).await {
            found
        } else {
            tokio::select! {
                biased;
                found = &mut lookup => found,
                hanging = lane.hanging.acquire() => {
                    drop(place);
                    let found = lookup.await;
                    drop(hanging);
                    found
                }
            }
        };
        let found = found.map(Into::into).map_err(Arc::new);
        self.remember(&name, &found, start.elapsed() >= SLOW_LOOKUP);
        found
    }

    fn remember(&self, name: &Arc<str>, found: &Found, is_slow: bool) {
        let error = found.as_ref().err().cloned();
        let mut state = self.lock();
        if error.is_some() || is_slow {
            state.troubles.insert(Arc::clone(name), Trouble { at: Instant::now(), error, is_slow });
        } else {
            state.troubles.remove(name);
        }
    }

    /// The lock must not be held across an `await`.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Removes a lookup from those that run, also if the resolver panics.
struct Running<'a> {
    lookups: &'a Inner,
    name: &'a str,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.lookups.lock().running.remove(self.name);
    }
}

fn too_many() -> Arc<io::Error> {
    Arc::new(io::Error::new(io::ErrorKind::TimedOut, "too many lookups of names wait for an answer"))
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use futures::future::join_all;
    use tokio::sync::watch;

    use super::*;

    /// A resolver whose lookups wait until the gate is open. It fails for names that begin with `no`, and panics for
    /// `panic`.
    struct Gated {
        is_open: watch::Sender<bool>,
        names: watch::Sender<Vec<String>>,
    }

    impl Gated {
        fn start(is_open: bool) -> (Arc<Self>, Lookups) {
            let gated =
                Arc::new(Self { is_open: watch::Sender::new(is_open), names: watch::Sender::default() });
            let lookups = Lookups::new(Arc::clone(&gated) as _);
            (gated, lookups)
        }

        /// Returns the number of lookups so far.
        fn count(&self) -> usize {
            self.names.borrow().len()
        }

        async fn wait_for_count(&self, count: usize) {
            self.names.subscribe().wait_for(|names| names.len() == count).await.unwrap();
        }
    }

    #[async_trait]
    impl NameResolver for Gated {
        async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
            self.names.send_modify(|names| names.push(name.to_owned()));
            assert_ne!(name, "panic", "a planned panic");
            if name != "healthy" {
                self.is_open.subscribe().wait_for(|is_open| *is_open).await.unwrap();
            }
            if name.starts_with("no") {
                return Err(io::Error::other("no such name"));
            }
            Ok(vec!["192.0.2.1".parse().unwrap()])
        }
    }

    /// Starts the lookups of names that differ in their numbers.
    fn spawn_all(lookups: &Lookups, prefix: &str, count: usize) -> Vec<tokio::task::JoinHandle<Found>> {
        let spawn = |number| {
            let (lookups, name) = (lookups.clone(), format!("{prefix}{number}"));
            tokio::spawn(async move { lookups.resolve(&name).await })
        };
        (0..count).map(spawn).collect()
    }

    /// Proves that connections share a running lookup, that the lookup goes on without them, and that its addresses are
    /// not used for later connections.
    #[tokio::test(start_paused = true)]
    async fn a_name_has_one_lookup_at_a_time() {
        let (gated, lookups) = Gated::start(false);
        assert!(timeout(SLOW_LOOKUP * 3, lookups.resolve("hooks")).await.is_err());
        let waiting = join_all((0..100).map(|_| lookups.resolve("hooks")));
        let opened = async { gated.is_open.send_replace(true) };
        let (found, _) = tokio::join!(waiting, opened);
        assert!(found.iter().all(Result::is_ok) && found.len() == 100);
        assert_eq!(gated.count(), 1);
        lookups.resolve("hooks").await.unwrap();
        assert_eq!(gated.count(), 2);
    }

    /// Proves that a failure is the answer for a short time only.
    #[tokio::test(start_paused = true)]
    async fn a_failure_is_cached_for_a_short_time() {
        let (gated, lookups) = Gated::start(true);
        for _ in 0..10 {
            assert_eq!(lookups.resolve("nowhere").await.unwrap_err().to_string(), "no such name");
        }
        assert_eq!(gated.count(), 1);
        tokio::time::advance(FAILURE_MEMORY).await;
        lookups.resolve("nowhere").await.unwrap_err();
        assert_eq!(gated.count(), 2);
    }

    /// Proves that hanging lookups delay other names only until they are slow. Here, two rounds of hanging lookups come
    /// before the name.
    #[tokio::test(start_paused = true)]
    async fn hanging_lookups_free_their_places() {
        let (gated, lookups) = Gated::start(false);
        let hanging = spawn_all(&lookups, "hangs", MAX_HANGING);
        gated.wait_for_count(MAX_QUICK).await;
        let start = Instant::now();
        lookups.resolve("healthy").await.unwrap();
        assert!(start.elapsed() < SLOW_LOOKUP * 3, "{:?}", start.elapsed());
        assert_eq!(gated.count(), MAX_HANGING + 1);
        gated.is_open.send_replace(true);
        join_all(hanging).await;
    }

    /// Proves that names whose lookups were slow leave the places of other names free, however many there are, and that
    /// a name that is answered quickly is no longer a suspect.
    #[tokio::test(start_paused = true)]
    async fn suspects_have_places_of_their_own() {
        let (gated, lookups) = Gated::start(false);
        let count = MAX_HANGING;
        let first = spawn_all(&lookups, "hangs", count);
        gated.wait_for_count(count).await;
        tokio::time::advance(SLOW_LOOKUP).await;
        gated.is_open.send_replace(true);
        join_all(first).await;
        gated.is_open.send_replace(false);

        let suspects = MAX_QUICK_SUSPECTS + MAX_HANGING_SUSPECTS;
        let second = spawn_all(&lookups, "hangs", count);
        gated.wait_for_count(count + suspects).await;
        let start = Instant::now();
        lookups.resolve("healthy").await.unwrap();
        assert_eq!(start.elapsed(), Duration::ZERO);
        let refused = join_all(second.into_iter().skip(suspects)).await;
        assert!(refused.iter().all(|found| found.as_ref().unwrap().is_err()));
        assert_eq!(gated.count(), count + suspects + 1);

        gated.is_open.send_replace(true);
        for _ in 0..2 {
            lookups.resolve("hangs0").await.unwrap();
        }
        assert!(!lookups.0.lock().troubles.contains_key("hangs0"));
    }

    /// Proves the limit of the names that wait.
    #[tokio::test(start_paused = true)]
    async fn the_number_of_names_is_limited() {
        let (gated, lookups) = Gated::start(false);
        let waiting = spawn_all(&lookups, "hangs", MAX_NAMES);
        gated.wait_for_count(MAX_QUICK).await;
        let start = Instant::now();
        lookups.resolve("healthy").await.unwrap_err();
        assert_eq!(start.elapsed(), Duration::ZERO);
        gated.is_open.send_replace(true);
        join_all(waiting).await;
        lookups.resolve("healthy").await.unwrap();
        assert!(lookups.0.lock().running.is_empty());
    }

    /// Proves that a panic of the resolver is a failure and blocks neither the name nor a place.
    #[tokio::test]
    async fn a_panic_of_the_resolver_is_a_failure() {
        let (gated, lookups) = Gated::start(true);
        for count in 1..=3 {
            lookups.resolve("panic").await.unwrap_err();
            assert_eq!(gated.count(), count);
        }
        assert_eq!(lookups.0.usual.quick.available_permits(), MAX_QUICK);
    }
}
