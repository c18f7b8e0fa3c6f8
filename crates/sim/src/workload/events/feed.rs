//! Reads the feed of events over HTTP.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use dabba_domain::RestaurantId;
use hyper::{Uri, header::HeaderValue};
use serde::Deserialize;

use super::{
    super::connection::{Connection, bearer, get},
    ledger::{EventHead, EventKey},
};

/// Number of events per page: the maximum.
const PAGE: u32 = 1_000;
/// Maximum size of a page.
const MAX_PAGE_BYTES: usize = 64 * 1024 * 1024;

/// An event of the feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedEntry {
    /// Identity of the event.
    pub key: EventKey,
    /// The restaurant.
    pub restaurant: RestaurantId,
    /// Short name of the type, such as `placed`.
    pub name: String,
}

/// Result of reading the feed from its start.
#[derive(Clone, Copy, Debug)]
pub struct CatchUp {
    /// Number of events.
    pub events: u64,
    /// Time from the first request to the last response.
    pub elapsed: Duration,
}

impl CatchUp {
    /// Returns the number of events per second.
    pub fn per_second(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "the count is only displayed")]
        let events = self.events as f64;
        events / self.elapsed.as_secs_f64().max(f64::MIN_POSITIVE)
    }
}

/// A page of the feed.
#[derive(Deserialize)]
struct Page<'a> {
    #[serde(borrow)]
    events: Vec<EventHead<'a>>,
    next_cursor: &'a str,
    at_end: bool,
    #[serde(default)]
    incomplete: bool,
}

/// Reads the feed of a server on one connection.
pub struct FeedReader {
    connection: Connection,
    bearer: HeaderValue,
}

impl FeedReader {
    /// Connects with an admin's token.
    pub async fn connect(address: SocketAddr, token: &str) -> Result<Self, String> {
        let bearer = bearer(token).map_err(|error| error.to_string())?;
        Ok(Self { connection: Connection::open(address).await?, bearer })
    }

    /// Returns the cursor of now.
    pub async fn now(&mut self) -> Result<String, String> {
        self.page("/v1/events?limit=1".to_owned(), |page| page.next_cursor.to_owned()).await
    }

    /// Returns at most `max` events after a cursor, in the order of the feed. Fails if there are more.
    pub async fn read_after(&mut self, cursor: &str, max: usize) -> Result<Vec<FeedEntry>, String> {
        let mut entries = Vec::new();
        let mut after = cursor.to_owned();
        loop {
            let (page, next, at_end) = self
                .page(path_after(&after), |page| {
                    let entries: Option<Vec<FeedEntry>> = page.events.iter().map(entry).collect();
                    (entries, page.next_cursor.to_owned(), page.at_end)
                })
                .await?;
            entries.extend(page.ok_or("an event of the feed has a malformed id")?);
            if entries.len() > max {
                return Err(format!("the feed has more than {max} events since the run began"));
            }
            if at_end {
                return Ok(entries);
            }
            after = next;
        }
    }

    /// Reads the feed from its start to its end, or until this time has passed.
    pub async fn catch_up(&mut self, limit: Duration) -> Result<CatchUp, String> {
        let started = Instant::now();
        let mut after = "start".to_owned();
        let mut events: u64 = 0;
        loop {
            let (count, next, at_end) = self
                .page(path_after(&after), |page| {
                    (page.events.len(), page.next_cursor.to_owned(), page.at_end)
                })
                .await?;
            events += u64::try_from(count).unwrap_or(u64::MAX);
            let elapsed = started.elapsed();
            if at_end || elapsed >= limit {
                return Ok(CatchUp { events, elapsed });
            }
            after = next;
        }
    }

    async fn page<T>(&mut self, path: String, of: impl FnOnce(&Page<'_>) -> T) -> Result<T, String> {
        let uri = Uri::try_from(&path).map_err(|error| error.to_string())?;
        let (head, body) = self.connection.read(get(uri, &self.bearer), MAX_PAGE_BYTES).await?;
        if head.status != 200 {
            return Err(format!("{path}: {}: {}", head.status, String::from_utf8_lossy(&body)));
        }
        let page: Page<'_> = serde_json::from_slice(&body).map_err(|error| format!("{path}: {error}"))?;
        if page.incomplete {
            return Err(format!("{path}: a shard did not answer"));
        }
        Ok(of(&page))
    }
}

fn path_after(cursor: &str) -> String {
    format!("/v1/events?limit={PAGE}&after={cursor}")
}

fn entry(head: &EventHead<'_>) -> Option<FeedEntry> {
    Some(FeedEntry { key: head.key()?, restaurant: head.subject, name: short_name(head.r#type).to_owned() })
}

/// Returns the short name in a type: `placed` for `app.dabba.order.placed.v1`.
fn short_name(of: &str) -> &str {
    of.strip_prefix("app.dabba.order.").and_then(|rest| rest.split('.').next()).unwrap_or(of)
}
