//! Limits of the sender.

use std::time::Duration;

use dabba_store::WebhookSettings;

/// Time for which a lease of a shard lasts without an extension.
pub const LEASE: Duration = Duration::from_secs(15);

/// Interval of checkpoints. Each one extends the lease.
pub const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(1);

/// Time after the last extension after which a session without a change extends its lease.
pub const EXTEND_AFTER: Duration = Duration::from_secs(5);

/// Time after the last extension at which a session ends on its own, before its lease expires.
pub const GIVE_UP_AFTER: Duration = Duration::from_secs(10);

/// Maximum time of one call of the store. A session waits for the call, so it must be shorter than the rest of the lease
/// after [`GIVE_UP_AFTER`].
pub const STORE_TIMEOUT: Duration = Duration::from_secs(4);

/// Default interval at which the feed is polled. A commit in the same process ends the pause early.
pub const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// Minimum time from a read of the feed to the next one that a commit causes. One read serves the commits of this time.
pub const READ_GAP: Duration = Duration::from_millis(10);

/// Interval at which due failures are read, and pause between two visits of the directory, which read changes of
/// endpoints.
pub const FOLLOW_INTERVAL: Duration = Duration::from_secs(1);

/// Maximum number of changes of endpoints in one read.
pub const CHANGES_PER_READ: u32 = 1_000;

/// Maximum number of endpoints that one visit of the directory disables, and whose age it reads.
pub const DIRECTORY_CALLS: usize = 16;

/// Maximum number of endpoints whose health one call writes.
pub const HEALTH_PER_WRITE: usize = 1_000;

/// Interval at which a sender without the lease requests it.
pub const LEASE_INTERVAL: Duration = Duration::from_secs(2);

/// Maximum number of events in one read of the feed.
pub const PAGE: u32 = 500;

/// Maximum number of events with undecided deliveries behind the shared position. If it is reached, the endpoint with
/// the oldest delivery is detached.
pub const WINDOW: usize = 4_096;

/// Maximum number of events with undecided deliveries behind the own position of an endpoint.
pub const OWN_WINDOW: usize = 128;

/// Maximum number of queued deliveries of an enrolled endpoint. An endpoint with more is detached.
pub const MAX_BACKLOG: usize = 1_024;

/// Maximum number of queued deliveries of all endpoints of a shard that are behind.
pub const MAX_CATCH_UP_BACKLOG: usize = 65_536;

/// Maximum number of endpoints with failures that share a page. Each event of theirs is looked up among the failures.
pub const MAX_FAILING_READERS: usize = 16;

/// Maximum number of requests in flight in one process. The shards share them equally.
pub const MAX_IN_FLIGHT: usize = 256;

/// Minimum number of requests in flight of a shard, however many shards there are.
pub const MIN_IN_FLIGHT: usize = 8;

/// Duration of a request from which its endpoint is slow. Slow endpoints, and endpoints without a success so far, share
/// half of the requests in flight. While three quarters of the requests are in flight, an endpoint with a request in flight
/// begins no further one, because an endpoint that begins to hang is not known as slow before this time.
pub const SLOW_AFTER: Duration = Duration::from_secs(1);

/// Maximum duration of a request. The client ends requests itself; this limit holds whatever the client does.
pub const DELIVERY_TIMEOUT: Duration = Duration::from_secs(15);

/// Maximum time for which a delivery reads and represents the orders that it contains.
pub const ORDERS_TIMEOUT: Duration = Duration::from_secs(10);

/// Maximum number of states of orders that a session keeps, for deliveries that contain orders.
pub const MAX_ORDER_STATES: usize = 1_024;

/// Maximum number of histories of orders that the deliveries of a session read at the same time.
pub const MAX_HISTORY_READS: usize = 4;

/// Maximum number of events read from an order's history at once.
pub const HISTORY_PAGE: u32 = 100;

/// Maximum number of entries in one read of positions and of failing endpoints.
pub const ROWS_PER_READ: u32 = 1_000;

/// Maximum number of endpoints in one read that compares which endpoints have failures.
pub const RECOUNT_PER_READ: u32 = 100;

/// Maximum number of histories of failing orders that are read at the same time.
pub const MAX_REFILLS: usize = 4;

/// Maximum number of failures that a turn of the loop begins to retry. While as many histories wait to be read, no turn
/// begins to retry further ones.
pub const RETRIES_PER_TURN: usize = 32;

/// Time after the first failed attempt after which an event is a dead letter.
pub const DEAD_AFTER: Duration = Duration::from_hours(72);

/// Time without a success after which a failing endpoint is disabled.
pub const DISABLE_AFTER: Duration = WebhookSettings::DISABLE_AFTER;

/// Time without a success after which a failing endpoint is logged and counted as about to be disabled.
pub const WARN_AFTER: Duration = Duration::from_hours(4 * 24);

/// Interval at which the age of an endpoint's failures is checked.
pub const AGE_CHECK_INTERVAL: Duration = Duration::from_mins(10);

/// Maximum time by which `Retry-After` delays an attempt.
pub const MAX_RETRY_AFTER: Duration = Duration::from_hours(1);

/// Maximum size of the events of a batch, with their orders. A batch has at least one event, whatever its size.
pub const MAX_BATCH_BYTES: usize = 1 << 20;

/// Assumed size of the envelope of an event, for [`MAX_BATCH_BYTES`].
pub const ENVELOPE_BYTES: usize = 512;

/// Maximum pause of a whole endpoint that its `Retry-After` causes: after a failed batch, whose events are then sent one
/// at a time, and while the breaker is open. `Retry-After` delays the next attempt of each order by up to
/// [`MAX_RETRY_AFTER`].
pub const MAX_PAUSE: Duration = Duration::from_mins(5);

/// Number of failures in a row, over at least [`BREAKER_ORDERS`] orders, that open the breaker of an endpoint. A failure
/// after a connection was made counts once per order.
pub const BREAKER_FAILURES: u32 = 5;

/// See [`BREAKER_FAILURES`].
pub const BREAKER_ORDERS: usize = 2;

/// Maximum number of failed orders that a breaker remembers.
pub const BREAKER_MEMORY: usize = 16;

/// Pause of an open breaker before the first probe. Doubles with each failed probe.
pub const BREAKER_PAUSE: Duration = Duration::from_secs(10);

/// Maximum pause of an open breaker.
pub const MAX_BREAKER_PAUSE: Duration = Duration::from_mins(5);

/// Interval at which the health of endpoints is written, and at which successes are summarized in the log of attempts.
pub const HEALTH_INTERVAL: Duration = Duration::from_mins(1);

/// Maximum number of orders of which the sender remembers up to which version their history was delivered, so that the
/// feed's events up to this version are not delivered again.
pub const MAX_HANDED_OVER: usize = 10_000;

/// Maximum number of deleted endpoints, and of revivals, that make a step in one turn of the loop.
pub const STEPS_PER_TURN: usize = 16;

/// Duration of the steps of one turn after which no further one begins.
pub const STEPS_TIME: Duration = Duration::from_secs(1);

/// Number of failures deleted in one step for a deleted endpoint.
pub const FORGET_STEP: u32 = 500;

/// Time for which a deleted endpoint stays in the directory at least. A shard that is restored from a backup of this
/// time still learns of the deletion.
pub const KEEP_DELETED: Duration = Duration::from_hours(30 * 24);

/// Interval at which each process purges deleted endpoints.
pub const PURGE_INTERVAL: Duration = Duration::from_hours(6);

/// Minimum time from the start of a process to its first purge.
pub const FIRST_PURGE_MIN: Duration = Duration::from_mins(1);

/// Maximum time from the start of a process to its first purge. Far below [`PURGE_INTERVAL`], so that a process that is
/// often restarted purges, too.
pub const FIRST_PURGE_MAX: Duration = Duration::from_mins(5);

/// Pause after a purge that failed.
pub const PURGE_RETRY: Duration = Duration::from_mins(1);

/// Time without success after which a purge is reported as stuck. Longer than [`PURGE_RETRY`], so that a single failure
/// is not reported.
pub const PURGE_PATIENCE: Duration = Duration::from_secs(90);

/// Maximum number of deleted endpoints that one call purges.
pub const PURGE_STEP: u32 = 500;

/// Maximum number of failures that a step of a revival changes. A turn of the loop makes at most one step per endpoint.
pub const REVIVAL_STEP: u32 = 500;

/// Time between two failures that a revival makes due.
pub const REVIVAL_GAP: Duration = Duration::from_millis(10);

/// Maximum time for which a sender that stops waits for requests in flight.
pub const DRAIN: Duration = Duration::from_secs(5);
