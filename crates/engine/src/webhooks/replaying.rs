//! Replay: an endpoint begins again at an earlier position.

use std::time::Duration;

use dabba_domain::{Problems, Timestamp, WebhookEndpointId};
use dabba_store::{FeedCursor, FeedEnd, FeedPosition, WebhookEndpoint};
use futures::future::join_all;
use serde::Serialize;

use super::{WebhookAnswer, Webhooks, changing::Begun, since::Search};
use crate::{Conditional, Conflict, Error, Principal};

/// Time before `since` at which a replay begins. Events are not strictly in the order of their times: servers commit at
/// the same time, and their clocks differ.
pub const SINCE_MARGIN: Duration = Duration::from_mins(1);

/// Where a replay begins. Exactly one of the two is given.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ReplayFrom {
    /// A cursor of the feed: the replay begins with the event after it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// A time: the replay contains every event from this time on, and some before, up to about [`SINCE_MARGIN`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
}

impl Webhooks {
    /// Sends the events since a position again, and makes dead letters due. For the staff of its restaurant and admins.
    pub async fn replay(
        &self,
        principal: &Principal,
        id: WebhookEndpointId,
        from: ReplayFrom,
        conditional: Conditional,
    ) -> Result<WebhookAnswer, Error> {
        let request = ("replay_webhook_endpoint", id, &from);
        let change = match self.begin_change(principal, id, conditional, &request).await? {
            Begun::Replayed(answer) => return Ok(answer),
            Begun::New(change) => change,
        };
        let invalid = |pointer: &str, text: &str| Error::Invalid(Problems::one(pointer, text));
        let cursor = match (from.after, from.since) {
            (Some(after), None) => {
                let cursor = FeedCursor::parse(&after);
                let text = "must be a next_cursor of the feed or an id of its stream";
                self.checked_cursor(cursor.map_err(|_| invalid("/after", text))?).await?
            }
            (None, Some(since)) if since > self.clock.now() => {
                return Err(invalid("/since", "must not be in the future"));
            }
            (None, Some(since)) => self.cursor_since(since).await?,
            _ => return Err(invalid("", "must contain either after or since")),
        };
        let start = cursor.to_string();
        let apply = |endpoint: &mut WebhookEndpoint, _| endpoint.settings.start.clone_from(&start);
        self.write_change(principal, change, true, apply).await
    }

    /// Checks that a cursor is valid in every shard, and gives each shard an entry of its own.
    async fn checked_cursor(&self, mut cursor: FeedCursor) -> Result<FeedCursor, Error> {
        let ends: Vec<_> = self.feed_ends().await?.into_iter().map(Some).collect();
        cursor.resolve(&self.store.feed_sources(), &ends).map_err(Conflict::CursorExpired)?;
        Ok(cursor)
    }

    /// Returns the cursor before the first event at or after a time, in every shard.
    async fn cursor_since(&self, since: Timestamp) -> Result<FeedCursor, Error> {
        let target = since.checked_sub(SINCE_MARGIN).unwrap_or(Timestamp::MIN);
        let ends = self.feed_ends().await?;
        let searches = ends.iter().enumerate().map(|(shard, end)| self.position_since(shard, *end, target));
        let positions = join_all(searches).await.into_iter().collect::<Result<Vec<_>, _>>()?;
        let mut cursor = FeedCursor::default();
        for ((source, end), position) in self.store.feed_sources().iter().zip(&ends).zip(positions) {
            cursor.set(&source.name, end.incarnation, position);
        }
        Ok(cursor)
    }

    async fn position_since(
        &self,
        shard: usize,
        end: FeedEnd,
        target: Timestamp,
    ) -> Result<FeedPosition, Error> {
        let mut search = Search::new(end.position, target);
        while let Some(after) = search.probe() {
            let page = self.store.feed(shard, after, 1).await?;
            if page.incarnation != end.incarnation {
                // The database was replaced meanwhile.
                return Err(Error::Unavailable);
            }
            search.learn(after, page.events.first().map(|event| (event.position, event.at)));
        }
        Ok(search.found())
    }
}
