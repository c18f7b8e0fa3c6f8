//! Look-ups of secrets that may not exist: API keys, sessions, login links and tracking links.
//!
//! A look-up takes a token from its budget before it reads a database, so that concurrent look-ups share the budget. If the
//! secret exists, or if the look-up fails, it returns the token. A look-up runs in a task that a client cannot end: a client
//! that abandons each request before the response would otherwise avoid the budget.
//!
//! Look-ups in flight may still return their tokens. Therefore a budget that is empty refuses a client only if no look-up of
//! the client's site is in flight; until then the client waits. So many valid callers in one network, as after a restart of
//! the server, do not refuse each other.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use dabba_engine::Error;
use tokio::{
    sync::Notify,
    time::{Instant, timeout_at},
};
use tracing::Instrument as _;

use super::{Limits, Refusal};
use crate::{ClientAddress, problem::Problem};

/// Maximum time for which a client waits for look-ups in flight.
const MAX_WAIT: Duration = Duration::from_secs(10);

/// A kind of secrets, with a budget for those that do not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secrets {
    /// API keys, sessions and login links. They share the budget of wrong passwords.
    Credentials,
    /// Tracking links. Pages of others can cause such requests, so they do not share the budget of logins.
    TrackingLinks,
}

/// The look-ups in flight that share a budget.
#[derive(Debug)]
pub(super) struct InFlight {
    /// The budget's name.
    policy: &'static str,
    sites: Mutex<HashMap<ClientAddress, OfSite>>,
}

/// The look-ups in flight of a site.
#[derive(Debug, Default)]
struct OfSite {
    count: usize,
    /// Notified when one of them ends.
    ended: Arc<Notify>,
}

impl InFlight {
    pub(super) fn new(policy: &'static str) -> Self {
        Self { policy, sites: Mutex::default() }
    }

    /// Takes a token. While an empty budget refuses it, waits for the look-ups of the client's site. `begins` states whether
    /// the token is for a look-up.
    pub(super) async fn take<T>(
        &self,
        client: ClientAddress,
        begins: bool,
        take: impl Fn() -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let until = Instant::now() + MAX_WAIT;
        loop {
            let (refusal, ended) = {
                // Under the lock, so that no look-up ends between the refusal and the wait.
                let mut sites = self.lock();
                match take() {
                    Ok(taken) => {
                        if begins {
                            sites.entry(client.site()).or_default().count += 1;
                        }
                        return Ok(taken);
                    }
                    Err(refusal) => {
                        let is_empty = refusal.policy.is_some_and(|(policy, _)| policy == self.policy);
                        let of_site = sites.get(&client.site()).filter(|_| is_empty);
                        let ended = of_site.map(|site| Arc::clone(&site.ended).notified_owned());
                        (refusal, ended)
                    }
                }
            };
            let Some(ended) = ended else { return Err(refusal) };
            timeout_at(until, ended).await.map_err(|_| refusal)?;
        }
    }

    /// Ends a look-up. `restore` returns its token, if it does.
    fn end(&self, client: ClientAddress, restore: impl FnOnce()) {
        let mut sites = self.lock();
        restore();
        if let Some(site) = sites.get_mut(&client.site()) {
            site.count -= 1;
            site.ended.notify_waiters();
            if site.count == 0 {
                sites.remove(&client.site());
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ClientAddress, OfSite>> {
        self.sites.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A look-up in flight. Dropping it ends it.
struct Lookup {
    limits: Arc<Limits>,
    secrets: Secrets,
    client: ClientAddress,
    /// Whether the look-up says nothing against the client.
    returns_token: bool,
}

impl Drop for Lookup {
    fn drop(&mut self) {
        let Self { limits, secrets, client, returns_token } = self;
        limits.in_flight(*secrets).end(*client, || {
            if *returns_token {
                limits.restore_unknown(*secrets, *client);
            }
        });
    }
}

impl Limits {
    /// Looks up a secret, or refuses the client if it has sent too many secrets that do not exist. `is_unknown` states whether
    /// the result of `read` means that the secret does not exist. Secrets that a cache knows need no look-up.
    pub async fn look_up<T: Send + 'static>(
        self: &Arc<Self>,
        secrets: Secrets,
        client: ClientAddress,
        read: impl Future<Output = Result<T, Error>> + Send + 'static,
        is_unknown: fn(&Result<T, Error>) -> bool,
    ) -> Result<Result<T, Error>, Problem> {
        let taken = self.in_flight(secrets).take(client, true, || self.take_unknown(secrets, client));
        taken.await?;
        let lookup = Lookup { limits: Arc::clone(self), secrets, client, returns_token: false };
        let looking = async move {
            // The whole look-up moves into the task.
            let mut lookup = lookup;
            let found = read.await;
            lookup.returns_token = !is_unknown(&found);
            found
        };
        let found = tokio::spawn(looking.in_current_span()).await;
        found.map_err(|error| Problem::internal(error.to_string()))
    }

    const fn in_flight(&self, secrets: Secrets) -> &InFlight {
        match secrets {
            Secrets::Credentials => &self.credentials_in_flight,
            Secrets::TrackingLinks => &self.links_in_flight,
        }
    }

    fn take_unknown(&self, secrets: Secrets, client: ClientAddress) -> Result<(), Refusal> {
        match secrets {
            Secrets::Credentials => self.logins.take_failure(client),
            Secrets::TrackingLinks => self.unknown_links.check(client),
        }
    }

    fn restore_unknown(&self, secrets: Secrets, client: ClientAddress) {
        match secrets {
            Secrets::Credentials => self.logins.restore_failure(client),
            Secrets::TrackingLinks => self.unknown_links.restore(client),
        }
    }
}
