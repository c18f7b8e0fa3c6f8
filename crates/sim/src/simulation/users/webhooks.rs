//! Changes of webhook endpoints, by an admin.

use std::time::Duration;

use dabba_domain::{Timestamp, WebhookEndpointId};
use dabba_engine::{Conditional, Error, ReplayFrom, WebhookPatch};
use dabba_store::FeedCursor;
use tokio::time::sleep;

use super::{MAX_ATTEMPTS, User, is_retryable};
use crate::simulation::{coverage::Mark, world::MAX_BATCH};

/// Time after which the senders have noticed a change of an endpoint. Longer than their interval.
const FOLLOWING: Duration = Duration::from_secs(5);

/// A time before every event, a day before the start: the clock of a server may be before the start.
const BEFORE_ALL: Timestamp = Timestamp::constant(1_780_228_800, 0); // 31 May 2026, 12:00 UTC.

/// Index of the endpoint that is never replayed: a replay must not hide that an event was never delivered.
const NEVER_REPLAYED: usize = 0;

/// Maximum number of cursors that are kept for replays.
const MAX_CURSORS: usize = 50;

/// Minimum time before the present at which a replay begins: a clock that is turned back never makes it a time in the future.
const MIN_AGO_SECONDS: u64 = 60;

/// Range of the times before the present at which a replay begins.
const AGO_SECONDS: usize = 600;

/// Where a replay begins.
#[derive(Clone, Copy, Debug)]
enum Origin {
    Beginning,
    /// So many seconds before the present.
    Ago(u64),
    /// At the cursor with this index.
    Cursor(usize),
}

/// A change of an endpoint.
#[derive(Clone, Copy, Debug)]
enum Change {
    Disable,
    Enable,
    /// Maximum number of concurrent deliveries, and of events in a delivery.
    Resize(u32, u32),
    Replay(Origin),
}

impl User {
    /// Changes a random endpoint. Most often enables it, because a sender may have disabled it.
    pub(in crate::simulation) async fn change_webhook(&mut self) {
        self.keep_cursor().await;
        let place = self.below(self.world.hooks.len());
        let id = self.world.hooks[place].id;
        let change = match self.below(40) {
            0..10 => Change::Disable,
            10..13 => Change::Resize(1 + self.below_u32(8), 1 + self.below_u32(MAX_BATCH as usize)),
            13..18 if place != NEVER_REPLAYED => Change::Replay(self.origin()),
            _ => Change::Enable,
        };
        if let Err(error) = self.try_to_change(id, change).await
            && !is_retryable(&error)
        {
            self.world.report_problem(format!("cannot change webhook endpoint {id}: {error}"));
        }
    }

    /// Keeps the cursor after the present last event.
    async fn keep_cursor(&self) {
        let store = &self.world.store;
        let mut ends = Vec::new();
        for shard in 0..store.shard_count() {
            ends.push(store.feed_end(shard).await.ok());
        }
        let Some(cursor) = FeedCursor::at_end(&store.feed_sources(), &ends) else {
            return self.world.report_problem("the end of the feed cannot be read".to_owned());
        };
        let mut state = self.world.state();
        if state.cursors.len() == MAX_CURSORS {
            state.cursors.remove(0);
        }
        state.cursors.push(cursor.to_string());
    }

    /// Returns where a replay begins. Most replays begin at a moment at which the endpoint may not have received all earlier events.
    fn origin(&mut self) -> Origin {
        let cursors = self.world.state().cursors.len();
        match self.below(5) {
            0 => Origin::Beginning,
            1 => Origin::Ago(MIN_AGO_SECONDS + self.below(AGO_SECONDS) as u64),
            2 => Origin::Cursor(self.below(cursors)),
            // Of the latest cursors, so that the endpoint is often before it.
            _ => Origin::Cursor(cursors.saturating_sub(1)),
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
            Change::Replay(origin) => {
                let (since, after) = match origin {
                    Origin::Beginning => (Some(BEFORE_ALL), None),
                    Origin::Ago(seconds) => {
                        let now = server.engine.now();
                        (Some(now.checked_sub(Duration::from_secs(seconds)).unwrap_or(BEFORE_ALL)), None)
                    }
                    Origin::Cursor(place) => (None, self.world.state().cursors.get(place).cloned()),
                };
                let from = ReplayFrom { since, after };
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
