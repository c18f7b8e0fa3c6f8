//! Replay: an endpoint begins again at an earlier position.

use std::time::Duration;

use dabba_domain::{Problems, Timestamp, WebhookEndpointId};
use dabba_store::{
    ConsumerName, FeedCursor, FeedEnd, FeedPosition, FeedSource, Store, StoreError, WebhookEndpoint,
};
use futures::future::join_all;
use serde::Serialize;

use super::{WebhookAnswer, Webhooks, changing::Begun};
use crate::{Conditional, Conflict, Error, Principal, feed_search::position_since};

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
                (self.cursor_since(change.endpoint(), since, &ends).await?, ends)
            }
            _ => return Err(invalid("", "must contain either after or since")),
        };
        let start = replay_start(&*self.store, change.endpoint(), cursor, &ends).await?.to_string();
        let apply = |endpoint: &mut WebhookEndpoint, _| endpoint.settings.start.clone_from(&start);
        self.write_change(principal, change, true, apply).await
    }

    /// Returns the cursor before the first event at or after a time, in every shard with events of an endpoint.
    async fn cursor_since(
        &self,
        endpoint: &WebhookEndpoint,
        since: Timestamp,
        ends: &[FeedEnd],
    ) -> Result<FeedCursor, Error> {
        let target = since.checked_sub(SINCE_MARGIN).unwrap_or(Timestamp::MIN);
        let searches = ends.iter().enumerate().map(async |(shard, end)| {
            if has_events_of(&*self.store, shard, endpoint) {
                position_since(&*self.store, shard, *end, target).await
            } else {
                Ok(end.position)
            }
        });
        let positions = join_all(searches).await.into_iter().collect::<Result<Vec<_>, _>>()?;
        let mut cursor = FeedCursor::default();
        for ((source, end), position) in self.store.feed_sources().iter().zip(ends).zip(positions) {
            cursor.set(&source.name, end.incarnation, position);
        }
        Ok(cursor)
    }
}

/// Returns where a replay of an endpoint begins: at the cursor, but in no shard after the endpoint's position, because
/// the events in between were not delivered. `ends` are the ends of all shards. Fails if the cursor is void in a shard
/// with events of the endpoint.
///
/// In a shard without events of the endpoint, the replay begins at the end, whatever the cursor states: a cursor that was
/// read with `restaurant` states the start there, and the sender would read the whole feed and find nothing.
///
/// The position is the stored one, at which another sender would continue after a crash. So it is never after an event
/// that was not delivered, whatever the present sender has not stored yet. If the endpoint has lost its position in a
/// shard, the position is the one at which it would continue if it were only enabled: nothing states which earlier events
/// were delivered, and no later event was.
pub async fn replay_start(
    store: &dyn Store,
    endpoint: &WebhookEndpoint,
    mut cursor: FeedCursor,
    ends: &[FeedEnd],
) -> Result<FeedCursor, Error> {
    let sources = store.feed_sources();
    let answer = |(shard, end): (usize, &FeedEnd)| has_events_of(store, shard, endpoint).then_some(*end);
    let answers: Vec<_> = ends.iter().enumerate().map(answer).collect();
    let asked = cursor.resolve(&sources, &answers).map_err(Conflict::CursorExpired)?;
    let present = answers.iter().enumerate().map(async |(shard, end)| match end {
        Some(end) => present_position(store, &sources, shard, *end, endpoint).await,
        None => Ok(None),
    });
    let present = join_all(present).await.into_iter().collect::<Result<Vec<_>, _>>()?;
    for (((source, end), asked), present) in sources.iter().zip(ends).zip(asked).zip(present) {
        let position = match asked {
            None => Some(end.position),
            Some(asked) => present.filter(|present| *present < asked),
        };
        if let Some(position) = position {
            cursor.set(&source.name, end.incarnation, position);
        }
    }
    Ok(cursor)
}

/// Returns whether a shard may have events of an endpoint. All orders of a restaurant have its bucket. A shard that is
/// split off later continues at the position of its parent.
fn has_events_of(store: &dyn Store, shard: usize, endpoint: &WebhookEndpoint) -> bool {
    let restaurant = endpoint.owner.restaurant();
    restaurant.is_none_or(|restaurant| store.shard_of(restaurant.bucket()) == shard)
}

/// Returns the position of an endpoint in a shard, whose end is given: every event after it is yet to be delivered.
/// `None` if no event was ever delivered from this shard, and the endpoint's start does not apply.
async fn present_position(
    store: &dyn Store,
    sources: &[FeedSource],
    shard: usize,
    end: FeedEnd,
    endpoint: &WebhookEndpoint,
) -> Result<Option<FeedPosition>, StoreError> {
    let group = ConsumerName::webhooks();
    // The position of the group is read first: an endpoint that joins the group meanwhile is not before it.
    let shared = store.feed_position(shard, &group, None).await?;
    if let Some(shared) = shared.filter(|shared| shared.known >= endpoint.positioned) {
        let own = store.feed_position(shard, &group, Some(&ConsumerName::from(endpoint.id))).await?;
        return Ok(Some(own.map_or(shared.place, |own| own.place).position));
    }
    // The endpoint has not begun at its start yet.
    let mut only = vec![None; sources.len()];
    if let Some(own) = only.get_mut(shard) {
        *own = Some(end);
    }
    let start = FeedCursor::parse(&endpoint.settings.start).ok();
    let start = start.and_then(|mut start| start.resolve(sources, &only).ok());
    let start = start.and_then(|positions| positions.get(shard).copied().flatten());
    Ok(start.or(shared.map(|shared| shared.place.position)))
}
