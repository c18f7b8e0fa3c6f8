//! Limit of the connections that the client keeps for further requests. The pool of the HTTP client limits unused
//! connections per host only, and the number of hosts is that of the endpoints. So the client counts the connections
//! that the pool may contain, and asks a server to close the connection after a request (`connection: close`) if the
//! limit is reached and the host has no unused connection. Hosts with frequent requests keep their connections.
//!
//! The pool does not state when it closes a connection. So the count is an upper limit: a place is free if no request
//! used it for the longest time for which the pool keeps an unused connection. The pool uses the connection that was
//! used last, and this count the place that was used last.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{task_local, time::Instant};

use super::client::{IDLE_TIMEOUT, MAX_IDLE_PER_HOST};

/// Time after which a place without a request is free. The pool looks for expired connections at intervals of
/// [`IDLE_TIMEOUT`].
const FREE_AFTER: Duration = IDLE_TIMEOUT.saturating_mul(2);

task_local! {
    /// The lease of the request that the task sends.
    static LEASE: Arc<Lease>;
}

/// The connections that the client may keep.
#[derive(Debug)]
pub(super) struct Kept {
    limit: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Number of places that are leased or in `unused`.
    total: usize,
    /// For each host, when its places without a request were last used, in ascending order.
    unused: HashMap<Host, Vec<Instant>>,
}

/// Scheme, name and port of a server. Allowed hosts have connections of their own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Host {
    pub(super) origin: String,
    pub(super) is_allowed: bool,
}

/// The places of a request: none, if its connection must not be kept. They become unused when the last clone of the
/// lease is dropped.
#[derive(Debug)]
pub(super) struct Lease {
    kept: Arc<Kept>,
    host: Host,
    pub(super) may_keep: bool,
    /// Whether the first place is one for a connection that is not opened yet.
    is_new: AtomicBool,
    places: AtomicUsize,
}

impl Kept {
    pub(super) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, state: Mutex::default() })
    }

    /// Leases a place for a request: one of an unused connection of the host, or a new one within the limit.
    pub(super) fn lease(self: &Arc<Self>, host: Host) -> Arc<Lease> {
        let now = Instant::now();
        let mut state = self.lock();
        let is_known = state.take_unused(&host, now);
        if !is_known && state.total >= self.limit {
            state.free_expired(now);
        }
        let is_new = !is_known && state.total < self.limit;
        state.total += usize::from(is_new);
        let may_keep = is_known || is_new;
        let (is_new, places) = (AtomicBool::new(is_new), AtomicUsize::new(usize::from(may_keep)));
        Arc::new(Lease { kept: Arc::clone(self), host, may_keep, is_new, places })
    }

    /// The lock must not be held across an `await`.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Takes the place of a host that was used last, and returns whether there was one.
    fn take_unused(&mut self, host: &Host, now: Instant) -> bool {
        let Some(places) = self.unused.get_mut(host) else { return false };
        let found = places.pop_if(|last| now.duration_since(*last) < FREE_AFTER).is_some();
        if !found {
            // The last one has expired, so all have.
            self.total = self.total.saturating_sub(places.len());
            places.clear();
        }
        if places.is_empty() {
            self.unused.remove(host);
        }
        found
    }

    fn free_expired(&mut self, now: Instant) {
        let total = &mut self.total;
        self.unused.retain(|_, places| {
            let before = places.len();
            places.retain(|last| now.duration_since(*last) < FREE_AFTER);
            *total = total.saturating_sub(before - places.len());
            !places.is_empty()
        });
    }
}

impl Lease {
    /// Sends the request of this lease. A connection that the client opens for it counts.
    pub(super) async fn scope<F: Future>(self: &Arc<Self>, sending: F) -> F::Output {
        LEASE.scope(Arc::clone(self), sending).await
    }

    /// Counts a connection that the client begins to open. If an unused connection was expected, its place remains: the
    /// client may open a connection although another one becomes unused at the same time.
    fn opening(&self) {
        if self.may_keep && !self.is_new.swap(false, Ordering::AcqRel) {
            self.places.fetch_add(1, Ordering::AcqRel);
            self.kept.lock().total += 1;
        }
    }

    /// Frees a place, because a connection was closed or not made.
    pub(super) fn closed(&self) {
        let less =
            self.places.fetch_update(Ordering::AcqRel, Ordering::Acquire, |places| places.checked_sub(1));
        if less.is_ok() {
            let mut state = self.kept.lock();
            state.total = state.total.saturating_sub(1);
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let places = *self.places.get_mut();
        if places == 0 {
            return;
        }
        let now = Instant::now();
        let mut state = self.kept.lock();
        let unused = state.unused.entry(self.host.clone()).or_default();
        // The pool closes further connections.
        let room = places.min(MAX_IDLE_PER_HOST.saturating_sub(unused.len()));
        unused.extend(std::iter::repeat_n(now, room));
        state.total = state.total.saturating_sub(places - room);
    }
}

/// Counts a connection while the client opens it. The client may use another connection that becomes unused meanwhile;
/// then it opens this one after the request, for later requests.
pub(super) fn counted<F, T, E>(opening: F) -> impl Future<Output = Result<T, E>> + Send + 'static
where
    F: Future<Output = Result<T, E>> + Send + 'static,
{
    let lease = LEASE.try_with(Arc::clone).ok();
    if let Some(lease) = &lease {
        lease.opening();
    }
    async move {
        let opened = opening.await;
        if let Some(lease) = lease.filter(|_| opened.is_err()) {
            lease.closed();
        }
        opened
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(kept: &Arc<Kept>, name: &str) -> Arc<Lease> {
        kept.lease(Host { origin: name.to_owned(), is_allowed: false })
    }

    /// Proves that the places of all hosts have one limit, that a host keeps its places, and that places without a
    /// request become free when the pool has closed their connections.
    #[tokio::test(start_paused = true)]
    async fn hosts_share_the_places() {
        let kept = Kept::new(2);
        let busy = lease(&kept, "busy");
        drop(lease(&kept, "rare"));
        assert!(!lease(&kept, "third").may_keep);
        assert!(lease(&kept, "rare").may_keep);
        tokio::time::advance(FREE_AFTER / 2).await;
        drop(busy);
        tokio::time::advance(FREE_AFTER / 2).await;
        assert!(lease(&kept, "third").may_keep, "the place of `rare` is free");
        assert!(!lease(&kept, "rare").may_keep);
        assert!(lease(&kept, "busy").may_keep);
        tokio::time::advance(FREE_AFTER).await;
        assert!(lease(&kept, "busy").may_keep);
        drop(lease(&kept, "rare"));
        assert_eq!(kept.lock().total, 2);
    }

    /// Proves that a host has no more places than the pool keeps connections, and that connections that are closed or
    /// not made free their places.
    #[tokio::test(start_paused = true)]
    async fn closed_connections_free_their_places() {
        let kept = Kept::new(MAX_IDLE_PER_HOST * 2);
        let leases: Vec<_> = (0..=MAX_IDLE_PER_HOST).map(|_| lease(&kept, "busy")).collect();
        assert_eq!(kept.lock().total, MAX_IDLE_PER_HOST + 1);
        drop(leases);
        assert_eq!(kept.lock().total, MAX_IDLE_PER_HOST);

        let refused = lease(&kept, "refused");
        let opened = refused.scope(async { counted(async { Err::<(), ()>(()) }).await }).await;
        assert!(opened.is_err());
        refused.closed();
        drop(refused);
        assert_eq!(kept.lock().total, MAX_IDLE_PER_HOST);
        assert_eq!(kept.lock().unused.len(), 1);
    }
}
