//! Webhooks for events: the sender, its client and its keys.

use std::{sync::Arc, time::Duration};

use dabba_api::{WebhookEndpoints, WebhookOrders};
use dabba_domain::Timestamp;
use dabba_engine::{Clock, Egress, Engine, ServerClock, SystemClock, SystemRandom, sealing::SecretKeys};
use dabba_gateways::egress::{EgressClient, EgressOptions, EgressPolicy, SystemResolver};
use dabba_outbound::webhooks::{WebhookPorts, WebhookSender, limits, secret_place};
use dabba_store::{Need, PageSize, Part, SealedSecret, Store, StoreError};
use futures::FutureExt as _;
use prometheus_client::registry::Registry;
use tokio::{sync::watch, task::JoinSet, time::sleep};

use crate::{output::counted, secrets_key, settings::Settings};

/// Minimum time between two notifications of the sender, so that frequent commits share a read of the feed.
const MIN_SIGNAL_INTERVAL: Duration = Duration::from_millis(5);

/// Number of endpoints that are read at once.
const PAGE: PageSize = PageSize::DEFAULT;

/// Interval at which the keys are checked while they open every stored secret.
const CHECK_INTERVAL: Duration = Duration::from_mins(1);

/// Interval at which the keys are checked while they do not open every stored secret, or the store does not answer.
const RECHECK_INTERVAL: Duration = Duration::from_secs(10);

/// The client and the keys, before the engine exists.
pub(crate) struct WebhookAccess {
    egress: Arc<dyn Egress>,
    keys: Arc<SecretKeys>,
}

impl WebhookAccess {
    /// Returns the client with the rules of the settings. With a demo, endpoints may be on this machine. If the client
    /// cannot be created, logs a warning and returns `None`: orders do not depend on webhooks.
    pub(crate) fn new(settings: &Settings, keys: SecretKeys, with_demo: bool) -> Option<Self> {
        let policy = EgressPolicy {
            allowed_hosts: settings.events.webhook_allowed_hosts.to_vec(),
            allow_loopback: with_demo,
        };
        match EgressClient::new(policy, &EgressOptions::default(), Arc::new(SystemResolver)) {
            Ok(client) => Some(Self { egress: Arc::new(client), keys: Arc::new(keys) }),
            Err(error) => {
                tracing::warn!(%error, "this process offers and sends no webhooks");
                None
            }
        }
    }

    /// Returns the sender, which [`crate::background::Background`] runs.
    pub(crate) fn sender(
        &self,
        engine: &Arc<Engine>,
        clock: &Arc<ServerClock>,
        is_sandbox: bool,
        metrics: &mut Registry,
    ) -> Webhooks {
        // Receivers compare the times of signatures with their own clocks, which a sandbox does not advance.
        let clock: Arc<dyn Clock> = if is_sandbox { Arc::new(SystemClock) } else { Arc::clone(clock) as _ };
        let sender = WebhookSender::new(WebhookPorts {
            store: Arc::clone(engine.store()),
            clock,
            random: Arc::new(SystemRandom),
            egress: Arc::clone(&self.egress),
            keys: Arc::clone(&self.keys),
            orders: WebhookOrders::new(engine),
            supervisor: Arc::clone(engine.supervisor()),
            poll_interval: limits::POLL_INTERVAL,
        });
        sender.metrics().register(metrics);
        Webhooks {
            engine: Arc::clone(engine),
            egress: Arc::clone(&self.egress),
            keys: Arc::clone(&self.keys),
            sender,
        }
    }
}

/// The sender, with what notifies it of events.
#[derive(Clone)]
pub(crate) struct Webhooks {
    engine: Arc<Engine>,
    egress: Arc<dyn Egress>,
    keys: Arc<SecretKeys>,
    sender: Arc<WebhookSender>,
}

impl Webhooks {
    /// Returns what the operations of the API need.
    pub(crate) fn endpoints(&self) -> WebhookEndpoints {
        let (egress, keys) = (Arc::clone(&self.egress), Arc::clone(&self.keys));
        WebhookEndpoints {
            manager: dabba_engine::Webhooks::new(&self.engine, egress, keys),
            sender: Arc::clone(&self.sender),
        }
    }

    /// Sends webhooks until `stop` is ready, while the keys open the secrets of at least half of the endpoints: a
    /// process with the keys of another installation must not hold the leases, which processes with the right keys need.
    pub(crate) async fn run(self, stop: impl Future<Output = ()> + Send) {
        let stop = stop.shared();
        // Ends with this future.
        let mut others = JoinSet::new();
        let (found, mut usable) = watch::channel(false);
        others.spawn({
            let webhooks = self.clone();
            let supervisor = Arc::clone(self.engine.supervisor());
            async move {
                let part = supervisor.part("webhook_keys", Need::Helpful);
                let check = || async {
                    webhooks.check_keys(&part, &found).await;
                    Ok(())
                };
                supervisor.run(&part, check).await;
            }
        });
        for shard in 0..self.engine.store().shard_count() {
            let commits = self.engine.commit_signals().listen(shard);
            let sender = Arc::clone(&self.sender);
            others.spawn(async move {
                loop {
                    commits.wait().await;
                    sender.committed(shard);
                    sleep(MIN_SIGNAL_INTERVAL).await;
                }
            });
        }
        loop {
            tokio::select! {
                biased;
                () = stop.clone() => return,
                _ = usable.wait_for(|usable| *usable) => {}
            }
            let (stop, mut until) = (stop.clone(), usable.clone());
            let ended = async move {
                tokio::select! {
                    () = stop => {}
                    _ = until.wait_for(|usable| !*usable) => {}
                }
            };
            Arc::clone(&self.sender).run(ended).await;
        }
    }

    /// Verifies at an interval that the keys open stored secrets, and reports in `usable` whether the sender may work.
    /// Never returns.
    async fn check_keys(&self, part: &Part, usable: &watch::Sender<bool>) {
        let (mut logged, mut warned) = (None, None);
        loop {
            let checked = unopened(&**self.engine.store(), &self.keys, self.engine.now()).await;
            // A process that cannot check the keys for good, for example because of a newer version's endpoint, sends.
            let may_send = match &checked {
                Ok(found) => found.may_send(),
                Err(_) => true,
            };
            if !matches!(checked, Err(StoreError::Unavailable(_))) {
                usable.send_replace(may_send);
            }
            let warning = checked.as_ref().ok().and_then(Opened::warning);
            if let Some(text) = warning.as_ref().filter(|_| warned != warning) {
                tracing::warn!("{text}");
            }
            warned = warning;
            let wrong = match checked {
                Ok(found) => found.text(),
                Err(error) => Some(format!("the secrets of webhook endpoints cannot be verified: {error}")),
            };
            let pause = match &wrong {
                None => {
                    part.succeeded();
                    CHECK_INTERVAL
                }
                Some(text) => {
                    part.refused(text);
                    RECHECK_INTERVAL
                }
            };
            if let Some(text) = wrong.as_ref().filter(|_| logged != wrong) {
                tracing::error!("{text}");
            }
            logged = wrong;
            sleep(pause).await;
        }
    }
}

/// Logs a warning if a database whose secrets key was just created has endpoints: the key of their secrets is missing.
pub(crate) async fn warn_of_new_key(store: &dyn Store, settings: &Settings) {
    // If the store does not answer, the check of the keys reports the missing key later.
    let Ok(found) = store.webhook_endpoints(None, None, PAGE).await else { return };
    if !found.is_empty() {
        tracing::warn!(
            path = %secrets_key::path(settings).display(),
            "this server created a new secrets key, but the database already has webhook endpoints: their secrets were \
             sealed with another key, and this server cannot sign webhooks to them. Replace the file with the key of the \
             other servers or with your copy of the key, and restart. If the key is lost, replace the secret of each \
             endpoint: dabba webhooks rotate-secret ENDPOINT --overlap-seconds 0"
        );
    }
}

/// How many secrets of endpoints the keys open.
#[derive(Debug, Default)]
struct Opened {
    /// Number of endpoints whose newest secret opens: deliveries need no other.
    usable: u64,
    /// Number of endpoints whose newest secret no key opens.
    unopened: u64,
    /// Why the first of these does not open.
    first: Option<String>,
    /// Number of usable endpoints with an earlier secret that still signs and that no key opens.
    partial: u64,
    /// Why the first of these does not open.
    first_partial: Option<String>,
}

impl Opened {
    /// Returns whether the process may hold leases: the keys open the newest secrets of at least half of the endpoints.
    const fn may_send(&self) -> bool {
        self.usable >= self.unopened
    }

    /// Returns the message for operators, if a secret does not open.
    fn text(&self) -> Option<String> {
        let first = self.first.as_ref()?;
        let consequence = if self.may_send() {
            "deliveries with these secrets fail"
        } else {
            "this process sends no webhooks until its secrets_key_file contains the key of the other servers"
        };
        Some(format!(
            "the keys in secrets_key_file do not open the secrets of {}, so {consequence}; {first}",
            counted(self.unopened, "webhook endpoint")
        ))
    }

    /// Returns the warning for operators, if an earlier secret does not open.
    fn warning(&self) -> Option<String> {
        let first = self.first_partial.as_ref()?;
        Some(format!(
            "the keys in secrets_key_file do not open the earlier secrets of {}, so deliveries are signed with the newest \
             secret only, and receivers that know only an earlier one refuse them; {first}",
            counted(self.partial, "webhook endpoint")
        ))
    }

    /// Counts an endpoint by its secrets that sign at a time, newest first.
    fn count(
        &mut self,
        secrets: &[SealedSecret],
        now: Timestamp,
        open: impl Fn(&SealedSecret) -> Option<String>,
    ) {
        let mut signing = secrets.iter().filter(|secret| secret.until.is_none_or(|until| until > now));
        if let Some(error) = signing.next().and_then(&open) {
            self.unopened += 1;
            self.first.get_or_insert(error);
            return;
        }
        self.usable += 1;
        if let Some(error) = signing.find_map(open) {
            self.partial += 1;
            self.first_partial.get_or_insert(error);
        }
    }
}

/// Opens the secrets of all endpoints that sign at a time.
async fn unopened(store: &dyn Store, keys: &SecretKeys, now: Timestamp) -> Result<Opened, StoreError> {
    let (mut found, mut after) = (Opened::default(), None);
    loop {
        let page = store.webhook_endpoints(None, after, PAGE).await?;
        for endpoint in &page {
            let row = endpoint.id.to_string();
            let open = |sealed: &SealedSecret| {
                keys.open(secret_place(&row), &sealed.sealed).err().map(|error| error.to_string())
            };
            found.count(&endpoint.settings.secrets, now, open);
        }
        match page.last() {
            Some(last) if page.len() >= PAGE.get() as usize => after = Some(last.id),
            _ => return Ok(found),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Proves that an endpoint is usable if its newest secret opens, and that an earlier one that does not open leads to a
    /// warning while it signs.
    #[test]
    fn the_newest_secret_decides() {
        let (now, second) = (Timestamp::UNIX_EPOCH, Duration::from_secs(1));
        let later = now.saturating_add(second).unwrap();
        let secret = |opens: bool, until| SealedSecret { sealed: Box::new([u8::from(opens)]), until };
        let open = |secret: &SealedSecret| (*secret.sealed == [0]).then(|| "no key".to_owned());
        for (newest, earlier, until, usable, is_warned) in [
            (true, true, later, 1, false),
            (true, false, later, 1, true),
            (true, false, now, 1, false),
            (false, true, later, 0, false),
        ] {
            let mut found = Opened::default();
            found.count(&[secret(newest, None), secret(earlier, Some(until))], now, open);
            assert_eq!((found.usable, found.unopened), (usable, 1 - usable));
            assert_eq!((found.text().is_none(), found.warning().is_some()), (usable == 1, is_warned));
        }
    }

    /// Proves that a process sends only if its keys open the secrets of at least half of the endpoints.
    #[test]
    fn a_process_that_opens_few_secrets_does_not_send() {
        let may_send = |usable, unopened| Opened { usable, unopened, ..Opened::default() }.may_send();
        for (usable, unopened, expected) in
            [(0, 0, true), (3, 0, true), (2, 1, true), (1, 1, true), (1, 2, false), (0, 1, false)]
        {
            assert_eq!(may_send(usable, unopened), expected, "{usable} {unopened}");
        }
    }
}
