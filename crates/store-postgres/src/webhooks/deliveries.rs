//! The state of deliveries: failures, and the log of attempts.
//!
//! A failure belongs to the shard of its order. A split copies all rows, so reads skip the rows of orders that are in
//! another shard, until a purge deletes them.

use std::collections::{BTreeSet, HashMap};

use dabba_domain::{OrderId, WebhookEndpointId, ids::Id, order::Version};
use dabba_store::{
    Checkpoint, ConsumerName, DueFailures, FailingEndpoint, FeedLease, FeedPosition, PageSize, Revival,
    RevivalCause, Revived, StoreError, WebhookAttempt, WebhookFailure, encoding::clamped_nanoseconds,
};
use dabba_store_sql::{
    BELOW_EVERY_ID, StoredRow as _,
    feed::stored_sequence,
    webhook_attempt_columns, webhook_failure_columns,
    webhooks::{EncodedAttempt, EncodedFailure, LOG_LIMITS, attempt_of, failure_of, newest_first},
};
use tokio_postgres::types::ToSql;

use crate::{
    codec::collect,
    consumers::{DELETE_POSITION, moment},
    failure::Failure,
    pool::Connection,
};

/// Condition on a row of an order in this shard.
macro_rules! is_here {
    () => {
        "bucket_of(order_id) BETWEEN (SELECT first_bucket FROM shard WHERE is_the_only_row) \
            AND (SELECT last_bucket FROM shard WHERE is_the_only_row)"
    };
}

/// Takes the rows as arrays, one per column.
const SAVE_FAILURES: &str = concat!(
    "INSERT INTO webhook_failures (",
    webhook_failure_columns!(),
    ") SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], \
         $8::bigint[], $9::text[], $10::bigint[]) \
     ON CONFLICT (order_id, endpoint_id) DO UPDATE SET next_version = excluded.next_version, attempts = excluded.attempts, \
         next_attempt_at_ns = excluded.next_attempt_at_ns, first_failed_at_ns = excluded.first_failed_at_ns, \
         failed_at_ns = excluded.failed_at_ns, status = excluded.status, error = excluded.error, \
         dead_at_ns = excluded.dead_at_ns"
);

const DELETE_RESOLVED: &str = "\
    DELETE FROM webhook_failures USING unnest($1::uuid[], $2::uuid[]) AS resolved (endpoint, order_number) \
    WHERE order_id = resolved.order_number AND endpoint_id = resolved.endpoint";

const FIND_FAILURES: &str = concat!(
    "SELECT ",
    webhook_failure_columns!(),
    " FROM unnest($1::uuid[], $2::uuid[]) AS wanted (endpoint, order_number) \
     JOIN webhook_failures ON order_id = wanted.order_number AND endpoint_id = wanted.endpoint \
     WHERE ",
    is_here!()
);

/// Finds the due failures. Parameters: endpoints, time up to which failures are due, limit of each endpoint, limit of
/// all. Each search of an endpoint reads in the order of its index, so the sort has at most the sum of the limits.
const FIND_DUE: &str = concat!(
    "SELECT ",
    webhook_failure_columns!(),
    " FROM unnest($1::uuid[], $3::bigint[]) AS wanted (endpoint, most) CROSS JOIN LATERAL ( \
         SELECT * FROM webhook_failures \
         WHERE endpoint_id = wanted.endpoint AND dead_at_ns IS NULL AND next_attempt_at_ns <= $2 AND ",
    is_here!(),
    " ORDER BY next_attempt_at_ns, order_id LIMIT wanted.most) AS due \
     ORDER BY next_attempt_at_ns, order_id, endpoint_id LIMIT $4"
);

/// Finds a row if the lease is held. Parameters: group, token, time.
const IS_HELD: &str =
    concat!("SELECT 1 FROM feed_leases WHERE group_name = $1 AND token = $2 AND until_ns > ", moment!("$3"));

/// Finds each endpoint with one search of the index, whatever the number of its failures. The rows of other shards
/// count too, until they are purged: the endpoint is then listed without need.
const FIND_FAILING: &str = "\
    WITH RECURSIVE failing AS ( \
        (SELECT endpoint_id FROM webhook_failures WHERE endpoint_id > $1 ORDER BY endpoint_id LIMIT 1) \
        UNION ALL \
        SELECT (SELECT endpoint_id FROM webhook_failures WHERE endpoint_id > failing.endpoint_id \
            ORDER BY endpoint_id LIMIT 1) \
        FROM failing WHERE failing.endpoint_id IS NOT NULL) \
    SELECT failing.endpoint_id, (SELECT next_attempt_at_ns FROM webhook_failures \
        WHERE webhook_failures.endpoint_id = failing.endpoint_id AND dead_at_ns IS NULL \
        ORDER BY next_attempt_at_ns LIMIT 1), \
        (SELECT count(*) FROM (SELECT 1 FROM webhook_failures \
            WHERE webhook_failures.endpoint_id = failing.endpoint_id LIMIT $3) AS counted) \
    FROM failing WHERE failing.endpoint_id IS NOT NULL LIMIT $2";

const LIST: &str = concat!(
    "SELECT ",
    webhook_failure_columns!(),
    " FROM webhook_failures WHERE endpoint_id = $1 AND order_id > $2 AND ",
    is_here!(),
    " ORDER BY order_id LIMIT $3"
);

const LIST_DEAD: &str = concat!(
    "SELECT ",
    webhook_failure_columns!(),
    " FROM webhook_failures WHERE endpoint_id = $1 AND order_id > $2 AND dead_at_ns IS NOT NULL AND ",
    is_here!(),
    " ORDER BY order_id LIMIT $3"
);

/// Finds the first event of an order after a position, for each of the orders. Parameters: orders, the position.
const FIND_FIRST_AFTER: &str = "\
    SELECT wanted.order_number, first.version FROM unnest($1::uuid[]) AS wanted (order_number) CROSS JOIN LATERAL ( \
        SELECT version FROM order_events WHERE order_id = wanted.order_number \
            AND (transaction_id, sequence) > ($2::text::xid8, $3) ORDER BY version LIMIT 1) AS first";

const DELETE_FAILURES: &str = "\
    DELETE FROM webhook_failures WHERE endpoint_id = $1 AND order_id = ANY (ARRAY( \
        SELECT order_id FROM webhook_failures WHERE endpoint_id = $1 ORDER BY order_id LIMIT $2))";

/// Takes the rows as arrays, one per column. A repeated checkpoint contains the same attempts again.
const SAVE_ATTEMPTS: &str = "\
    INSERT INTO webhook_attempts (endpoint_id, is_failed, at_ns, order_id, version, duration_ms, status, error, events) \
    SELECT * FROM unnest($1::uuid[], $2::boolean[], $3::bigint[], $4::uuid[], $5::bigint[], $6::bigint[], $7::bigint[], \
        $8::text[], $9::bigint[]) \
    ON CONFLICT (endpoint_id, is_failed, at_ns, order_id, version) DO NOTHING";

/// Deletes the attempts before the newest ones. Parameters: endpoints, kind, number of attempts to keep, less one.
const TRIM_ATTEMPTS: &str = "\
    DELETE FROM webhook_attempts USING unnest($1::uuid[]) AS log (endpoint) CROSS JOIN LATERAL ( \
        SELECT at_ns, order_id, version FROM webhook_attempts AS kept \
        WHERE kept.endpoint_id = log.endpoint AND kept.is_failed = $2 \
        ORDER BY at_ns DESC, order_id DESC, version DESC LIMIT 1 OFFSET $3) AS oldest \
    WHERE webhook_attempts.endpoint_id = log.endpoint AND webhook_attempts.is_failed = $2 \
        AND (webhook_attempts.at_ns, webhook_attempts.order_id, webhook_attempts.version) \
            < (oldest.at_ns, oldest.order_id, oldest.version)";

const FIND_ATTEMPTS: &str = concat!(
    "SELECT ",
    webhook_attempt_columns!(),
    " FROM webhook_attempts WHERE endpoint_id = $1 AND is_failed = $2 AND ",
    is_here!(),
    " ORDER BY at_ns DESC, order_id DESC, version DESC LIMIT $3"
);

const DELETE_ATTEMPTS: &str = "DELETE FROM webhook_attempts WHERE endpoint_id = $1";

/// Every statement of this module that searches for rows, for the test of query plans.
#[cfg(test)]
pub(crate) const STATEMENTS: &[(&str, &str)] = &[
    ("delete_resolved", DELETE_RESOLVED),
    ("find_failures", FIND_FAILURES),
    ("due_failures", FIND_DUE),
    ("is_held", IS_HELD),
    ("find_failing", FIND_FAILING),
    ("all_failures", LIST),
    ("all_dead_failures", LIST_DEAD),
    ("find_first_after", FIND_FIRST_AFTER),
    ("delete_failures", DELETE_FAILURES),
    ("trim_attempts", TRIM_ATTEMPTS),
    ("all_attempts", FIND_ATTEMPTS),
    ("delete_attempts", DELETE_ATTEMPTS),
];

/// Writes the deliveries of a checkpoint. The caller has locked the lease.
pub(crate) async fn write(connection: &Connection, checkpoint: &Checkpoint) -> Result<(), Failure> {
    if !checkpoint.failures.is_empty() {
        save_failures(connection, &checkpoint.failures).await?;
    }
    if !checkpoint.resolved.is_empty() {
        let (endpoints, orders) = columns_of(&checkpoint.resolved);
        connection.execute(DELETE_RESOLVED, &[&endpoints, &orders]).await?;
    }
    if !checkpoint.attempts.is_empty() {
        save_attempts(connection, &checkpoint.attempts).await?;
    }
    Ok(())
}

fn columns_of(keys: &[(WebhookEndpointId, OrderId)]) -> (Vec<uuid::Uuid>, Vec<uuid::Uuid>) {
    keys.iter().map(|(endpoint, order)| (endpoint.uuid(), order.uuid())).unzip()
}

async fn save_failures(connection: &Connection, failures: &[WebhookFailure]) -> Result<(), Failure> {
    let keys: Vec<_> = failures.iter().map(WebhookFailure::key).collect();
    let (endpoints, orders) = columns_of(&keys);
    let encoded = failures.iter().map(EncodedFailure::new).collect::<Result<Vec<_>, StoreError>>()?;
    let versions: Vec<i64> = failures.iter().map(|failure| failure.next_version.into()).collect();
    let attempts: Vec<i64> = failures.iter().map(|failure| failure.attempts.into()).collect();
    let next: Vec<i64> = encoded.iter().map(|encoded| encoded.next_attempt_at_ns).collect();
    let first: Vec<i64> = encoded.iter().map(|encoded| encoded.first_failed_at_ns).collect();
    let failed: Vec<i64> = encoded.iter().map(|encoded| encoded.failed_at_ns).collect();
    let statuses: Vec<Option<i64>> = encoded.iter().map(|encoded| encoded.status).collect();
    let errors: Vec<&str> = encoded.iter().map(|encoded| encoded.error.as_str()).collect();
    let dead: Vec<Option<i64>> = encoded.iter().map(|encoded| encoded.dead_at_ns).collect();
    let parameters: [&(dyn ToSql + Sync); 10] =
        [&endpoints, &orders, &versions, &attempts, &next, &first, &failed, &statuses, &errors, &dead];
    connection.execute(SAVE_FAILURES, &parameters).await?;
    Ok(())
}

async fn save_attempts(connection: &Connection, attempts: &[WebhookAttempt]) -> Result<(), Failure> {
    let encoded = attempts.iter().map(EncodedAttempt::new).collect::<Result<Vec<_>, StoreError>>()?;
    let endpoints: Vec<_> = attempts.iter().map(|attempt| attempt.endpoint.uuid()).collect();
    let kinds: Vec<bool> = attempts.iter().map(WebhookAttempt::is_failed).collect();
    let times: Vec<i64> = encoded.iter().map(|encoded| encoded.at_ns).collect();
    let orders: Vec<_> = attempts.iter().map(|attempt| attempt.order.uuid()).collect();
    let versions: Vec<i64> = attempts.iter().map(|attempt| attempt.version.into()).collect();
    let durations: Vec<i64> = attempts.iter().map(|attempt| attempt.duration_ms.into()).collect();
    let statuses: Vec<Option<i64>> = encoded.iter().map(|encoded| encoded.status).collect();
    let errors: Vec<Option<&str>> = encoded.iter().map(|encoded| encoded.error.as_deref()).collect();
    let events: Vec<i64> = encoded.iter().map(|encoded| encoded.events).collect();
    let parameters: [&(dyn ToSql + Sync); 9] =
        [&endpoints, &kinds, &times, &orders, &versions, &durations, &statuses, &errors, &events];
    connection.execute(SAVE_ATTEMPTS, &parameters).await?;
    let logs: Vec<_> = endpoints.into_iter().collect::<BTreeSet<_>>().into_iter().collect();
    for (is_failed, limit) in LOG_LIMITS {
        connection.execute(TRIM_ATTEMPTS, &[&logs, &is_failed, &i64::from(limit - 1)]).await?;
    }
    Ok(())
}

pub(super) async fn find(
    connection: &Connection,
    keys: &[(WebhookEndpointId, OrderId)],
) -> Result<Vec<WebhookFailure>, Failure> {
    let (endpoints, orders) = columns_of(keys);
    collect(&connection.query(FIND_FAILURES, &[&endpoints, &orders]).await?, failure_of)
}

/// Returns whether a lease is held. `moment` is the time with which it is compared; `None` for the database's clock.
pub(super) async fn is_held(
    connection: &Connection,
    lease: &FeedLease,
    moment: Option<i64>,
) -> Result<bool, Failure> {
    let parameters: [&(dyn ToSql + Sync); 3] = [&lease.group.as_str(), &lease.token, &moment];
    Ok(!connection.query(IS_HELD, &parameters).await?.is_empty())
}

pub(super) async fn due(connection: &Connection, due: &DueFailures) -> Result<Vec<WebhookFailure>, Failure> {
    let (endpoints, limits): (Vec<_>, Vec<_>) =
        due.endpoints.iter().map(|(endpoint, limit)| (endpoint.uuid(), i64::from(*limit))).unzip();
    let (due_at, limit) = (clamped_nanoseconds(due.due_at), i64::from(due.limit));
    collect(&connection.query(FIND_DUE, &[&endpoints, &due_at, &limits, &limit]).await?, failure_of)
}

pub(super) async fn failing(
    connection: &Connection,
    after: Option<WebhookEndpointId>,
    limit: u32,
) -> Result<Vec<FailingEndpoint>, Failure> {
    let after = after.map_or(BELOW_EVERY_ID, Id::uuid);
    let most = i64::from(FailingEndpoint::MAX_COUNTED);
    let rows = connection.query(FIND_FAILING, &[&after, &i64::from(limit), &most]).await?;
    collect(&rows, |row| {
        let (endpoint, next_attempt_at) = (row.id(0)?, row.optional_timestamp(1)?);
        Ok(FailingEndpoint { endpoint, next_attempt_at, failures: row.number(2)? })
    })
}

pub(super) async fn revive(connection: &Connection, revival: Revival) -> Result<Revived, Failure> {
    let after = revival.after.map_or(BELOW_EVERY_ID, Id::uuid);
    let parameters: [&(dyn ToSql + Sync); 3] = [&revival.endpoint.uuid(), &after, &i64::from(revival.limit)];
    let failures: Vec<WebhookFailure> = collect(&connection.query(LIST, &parameters).await?, failure_of)?;
    let firsts = match revival.cause {
        RevivalCause::Replayed(position) => first_after(connection, &failures, position).await?,
        RevivalCause::Enabled | RevivalCause::Recovered => HashMap::new(),
    };
    let apply = |(index, failure): (usize, &WebhookFailure)| {
        revival.apply(failure, firsts.get(&failure.order).copied(), index)
    };
    let changed: Vec<_> = failures.iter().enumerate().filter_map(apply).collect();
    if !changed.is_empty() {
        save_failures(connection, &changed).await?;
    }
    Ok(revival.reached(&failures))
}

/// Returns the version of the first event after a position of each failing order.
async fn first_after(
    connection: &Connection,
    failures: &[WebhookFailure],
    position: FeedPosition,
) -> Result<HashMap<OrderId, Version>, Failure> {
    let orders: Vec<_> = failures.iter().map(|failure| failure.order.uuid()).collect();
    let (transaction, sequence) = (position.transaction.to_string(), stored_sequence(position.sequence));
    let rows = connection.query(FIND_FIRST_AFTER, &[&orders, &transaction, &sequence]).await?;
    collect(&rows, |row| Ok((row.id(0)?, row.number(1)?)))
}

pub(super) async fn forget(
    connection: &Connection,
    group: &ConsumerName,
    endpoint: WebhookEndpointId,
    limit: u32,
) -> Result<u32, Failure> {
    let deleted = connection.execute(DELETE_FAILURES, &[&endpoint.uuid(), &i64::from(limit)]).await?;
    let deleted = u32::try_from(deleted).unwrap_or(limit);
    if deleted < limit {
        connection.execute(DELETE_ATTEMPTS, &[&endpoint.uuid()]).await?;
        let consumer = ConsumerName::from(endpoint);
        connection.execute(DELETE_POSITION, &[&group.as_str(), &consumer.as_str()]).await?;
    }
    Ok(deleted)
}

pub(super) async fn list(
    connection: &Connection,
    endpoint: WebhookEndpointId,
    only_dead: bool,
    after: Option<OrderId>,
    limit: PageSize,
) -> Result<Vec<WebhookFailure>, Failure> {
    let after = after.map_or(BELOW_EVERY_ID, Id::uuid);
    let sql = if only_dead { LIST_DEAD } else { LIST };
    collect(&connection.query(sql, &[&endpoint.uuid(), &after, &i64::from(limit.get())]).await?, failure_of)
}

pub(super) async fn attempts(
    connection: &Connection,
    endpoint: WebhookEndpointId,
) -> Result<Vec<WebhookAttempt>, Failure> {
    let mut attempts: Vec<WebhookAttempt> = Vec::new();
    for (is_failed, limit) in LOG_LIMITS {
        let parameters: [&(dyn ToSql + Sync); 3] = [&endpoint.uuid(), &is_failed, &i64::from(limit)];
        let rows = connection.query(FIND_ATTEMPTS, &parameters).await?;
        attempts.extend(collect::<_, Vec<_>>(&rows, attempt_of)?);
    }
    Ok(newest_first(attempts))
}
