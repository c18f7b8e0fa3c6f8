//! Changes of webhook endpoints, by an admin.

use std::time::Duration;

use dabba_domain::{Timestamp, WebhookEndpointId};
use dabba_engine::{Conditional, Error, ReplayFrom, WebhookPatch};
use tokio::time::sleep;

use super::{MAX_ATTEMPTS, User, is_retryable};
use crate::simulation::{coverage::Mark, world::MAX_BATCH};

/// Time after which the senders have noticed a change of an endpoint. Longer than their interval.
const FOLLOWING: Duration = Duration::from_secs(5);

/// A time before every event, a day before the start: the clock of a server may be before the start.
const BEFORE_ALL: Timestamp = Timestamp::constant(1_780_228_800, 0); // 31 May 2026, 12:00 UTC.

/// A change of an endpoint.
#[derive(Clone, Copy, Debug)]
enum Change {
    Disable,
    Enable,
    /// Maximum number of concurrent deliveries, and of events in a delivery.
    Resize(u32, u32),
    /// The endpoint begins anew with the first event.
    Replay,
}

impl User {
    /// Changes a random endpoint. Most often enables it, because a sender may have disabled it.
    pub(in crate::simulation) async fn change_webhook(&mut self) {
        let place = self.below(self.world.hooks.len());
        let id = self.world.hooks[place].id;
        let change = match self.below(40) {
            0..10 => Change::Disable,
            10..14 => Change::Resize(1 + self.below_u32(8), 1 + self.below_u32(MAX_BATCH as usize)),
            14 => Change::Replay,
            _ => Change::Enable,
        };
        if let Err(error) = self.try_to_change(id, change).await
            && !is_retryable(&error)
        {
            self.world.report_problem(format!("cannot change webhook endpoint {id}: {error}"));
        }
    }

    /// Disables all endpoints, and then enables them: all failed deliveries are retried at once.
    pub(in crate::simulation) async fn enable_webhooks_again(&mut self) {
        let ids: Vec<_> = self.world.hooks.iter().map(|hook| hook.id).collect();
        for change in [Change::Disable, Change::Enable] {
            for id in &ids {
                self.change_until_done(*id, change).await;
            }
            // Otherwise the senders would find the enabled endpoint only, as if it had never been disabled.
            sleep(FOLLOWING).await;
        }
    }

    async fn change_until_done(&mut self, id: WebhookEndpointId, change: Change) {
        for attempt in 0..MAX_ATTEMPTS {
            match self.try_to_change(id, change).await {
                Ok(()) => return,
                Err(error) if is_retryable(&error) => {}
                Err(error) => {
                    let problem = format!("{change:?} of webhook endpoint {id} failed: {error}");
                    return self.world.report_problem(problem);
                }
            }
            self.pause(attempt).await;
        }
        self.world.report_problem(format!("{change:?} of webhook endpoint {id} got no response"));
    }

    async fn try_to_change(&mut self, id: WebhookEndpointId, change: Change) -> Result<(), Error> {
        let (admin, server) = (self.world.admin, self.server());
        let webhooks = &server.webhooks;
        let unconditional = Conditional { expected: None, key: None };
        let patch = match change {
            Change::Enable => {
                let before = self.ask(&server, webhooks.endpoint(&admin, id)).await?;
                self.ask(&server, webhooks.enable(&admin, id, unconditional)).await?;
                if !before.settings.is_enabled() {
                    self.world.chaos.coverage.pass(Mark::WebhookEnabledAgain);
                }
                return Ok(());
            }
            Change::Replay => {
                let from = ReplayFrom { since: Some(BEFORE_ALL), after: None };
                self.ask(&server, webhooks.replay(&admin, id, from, unconditional)).await?;
                self.world.chaos.coverage.pass(Mark::WebhookReplayed);
                return Ok(());
            }
            Change::Disable => WebhookPatch { enabled: Some(false), ..WebhookPatch::default() },
            Change::Resize(concurrency, batch) => {
                WebhookPatch { concurrency: Some(concurrency), batch: Some(batch), ..WebhookPatch::default() }
            }
        };
        self.ask(&server, webhooks.change(&admin, id, patch, unconditional)).await.map(drop)
    }
}
