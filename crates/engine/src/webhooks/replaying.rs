//! Replay: an endpoint begins again at an earlier position.

use std::time::Duration;

use dabba_domain::{Problems, Timestamp, WebhookEndpointId};
use dabba_store::{
    ConsumerName, DisabledReason, FeedCursor, FeedEnd, FeedPosition, Store, StoreError, WebhookEndpoint,
    WebhookState,
};
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
    /// Sends the events since a position again, and makes dead letters due. Never skips an event that was not
    /// delivered: see [`replay_start`]. For the staff of its restaurant and admins.
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
        let (cursor, ends) = match (from.after, from.since) {
            (Some(after), None) => {
                let cursor = FeedCursor::parse(&after);
                let text = "must be a next_cursor of the feed or an id of its stream";
                (cursor.map_err(|_| invalid("/after", text))?, self.feed_ends().await?)
            }
            (None, Some(since)) if since > self.clock.now() => {
                return Err(invalid("/since", "must not be in the future"));
            }
            (None, Some(since)) => {
                let ends = self.feed_ends().await?;
                (self.cursor_since(since, &ends).await?, ends)
            }
            _ => return Err(invalid("", "must contain either after or since")),
        };
        let start = replay_start(&*self.store, change.endpoint(), cursor, &ends).await?.to_string();
        let apply = |endpoint: &mut WebhookEndpoint, _| endpoint.settings.start.clone_from(&start);
        self.write_change(principal, change, true, apply).await
    }

    /// Returns the cursor before the first event at or after a time, in every shard.
    async fn cursor_since(&self, since: Timestamp, ends: &[FeedEnd]) -> Result<FeedCursor, Error> {
        let target = since.checked_sub(SINCE_MARGIN).unwrap_or(Timestamp::MIN);
        let searches = ends.iter().enumerate().map(|(shard, end)| self.position_since(shard, *end, target));
        let positions = join_all(searches).await.into_iter().collect::<Result<Vec<_>, _>>()?;
        let mut cursor = FeedCursor::default();
        for ((source, end), position) in self.store.feed_sources().iter().zip(ends).zip(positions) {
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

/// Returns where a replay of an endpoint begins: at the cursor, but in no shard after the endpoint's position, because
/// the events in between were not delivered. `ends` are the ends of all shards. Fails if the cursor is void.
///
/// The position is the stored one, at which another sender would continue after a crash. So it is never after an event
/// that was not delivered, whatever the present sender has not stored yet.
///
/// An endpoint that lost its position has none that states what was delivered: it begins at the cursor.
pub async fn replay_start(
    store: &dyn Store,
    endpoint: &WebhookEndpoint,
    mut cursor: FeedCursor,
    ends: &[FeedEnd],
) -> Result<FeedCursor, Error> {
    let (sources, answers) = (store.feed_sources(), ends.iter().copied().map(Some).collect::<Vec<_>>());
    let asked = cursor.resolve(&sources, &answers).map_err(Conflict::CursorExpired)?;
    let lost = DisabledReason::PositionLost;
    if matches!(endpoint.settings.state, WebhookState::Disabled { reason, .. } if reason == lost) {
        return Ok(cursor);
    }
    let start = FeedCursor::parse(&endpoint.settings.start).ok();
    let start = start.and_then(|mut start| start.resolve(&sources, &answers).ok()).unwrap_or_default();
    let stored = (0..sources.len()).map(|shard| stored_position(store, shard, endpoint));
    let stored = join_all(stored).await.into_iter().collect::<Result<Vec<_>, _>>()?;
    for (shard, (source, end)) in sources.iter().zip(ends).enumerate() {
        let present = stored[shard].or(start.get(shard).copied().flatten());
        let asked = asked.get(shard).copied().flatten();
        if let Some(present) = present.filter(|present| asked.is_some_and(|asked| *present < asked)) {
            cursor.set(&source.name, end.incarnation, present);
        }
    }
    Ok(cursor)
}

/// Returns the stored position of an endpoint in a shard; `None` if it has not begun at its start yet.
async fn stored_position(
    store: &dyn Store,
    shard: usize,
    endpoint: &WebhookEndpoint,
) -> Result<Option<FeedPosition>, StoreError> {
    let group = ConsumerName::webhooks();
    // The position of the group is read first: an endpoint that joins the group meanwhile is not before it.
    let shared = store.feed_position(shard, &group, None).await?;
    let Some(shared) = shared.filter(|shared| shared.known >= endpoint.positioned) else { return Ok(None) };
    let own = store.feed_position(shard, &group, Some(&ConsumerName::from(endpoint.id))).await?;
    Ok(Some(own.map_or(shared.place, |own| own.place).position))
}
