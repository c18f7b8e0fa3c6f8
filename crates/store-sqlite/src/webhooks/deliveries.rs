//! The state of deliveries: failures, and the log of attempts.

use std::collections::BTreeSet;

use dabba_domain::{OrderId, WebhookEndpointId, order::Version};
use dabba_store::{
    Checkpoint, ConsumerName, DueFailures, FailingEndpoint, FeedPosition, PageSize, Revival, RevivalCause,
    Revived, WebhookAttempt, WebhookFailure, encoding::clamped_nanoseconds,
};
use dabba_store_sql::{
    StoredRow as _, webhook_attempt_columns, webhook_failure_columns,
    webhooks::{EncodedAttempt, EncodedFailure, LOG_LIMITS, attempt_of, failure_of, newest_first},
};
use rusqlite::{Connection, Transaction, params};

use crate::{
    codec::{BELOW_EVERY_ID, collect, first, id_bytes},
    consumers::DELETE_POSITION,
    failure::Failure,
    feed::position_of,
};

const SAVE_FAILURE: &str = concat!(
    "INSERT OR REPLACE INTO webhook_failures (",
    webhook_failure_columns!(),
    ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)"
);

pub(crate) const DELETE_FAILURE: &str =
    "DELETE FROM webhook_failures WHERE order_id = ?1 AND endpoint_id = ?2";

pub(crate) const FIND_FAILURE: &str = concat!(
    "SELECT ",
    webhook_failure_columns!(),
    " FROM webhook_failures WHERE order_id = ?1 AND endpoint_id = ?2"
);

pub(crate) const FIND_DUE: &str = concat!(
    "SELECT ",
    webhook_failure_columns!(),
    " FROM webhook_failures WHERE endpoint_id = ?1 AND dead_at_ns IS NULL AND next_attempt_at_ns <= ?2 \
     ORDER BY next_attempt_at_ns, order_id LIMIT ?3"
);

pub(crate) const FIND_NEXT_ENDPOINT: &str =
    "SELECT endpoint_id FROM webhook_failures WHERE endpoint_id > ?1 ORDER BY endpoint_id LIMIT 1";

pub(crate) const FIND_NEXT_ATTEMPT: &str = "\
    SELECT next_attempt_at_ns FROM webhook_failures WHERE endpoint_id = ?1 AND dead_at_ns IS NULL \
    ORDER BY next_attempt_at_ns LIMIT 1";

/// Returns a row for each failure of an endpoint, at most a number of them.
pub(crate) const COUNT: &str = "SELECT 1 FROM webhook_failures WHERE endpoint_id = ?1 LIMIT ?2";

pub(crate) const LIST: &str = concat!(
    "SELECT ",
    webhook_failure_columns!(),
    " FROM webhook_failures WHERE endpoint_id = ?1 AND order_id > ?2 ORDER BY order_id LIMIT ?3"
);

pub(crate) const LIST_DEAD: &str = concat!(
    "SELECT ",
    webhook_failure_columns!(),
    " FROM webhook_failures WHERE endpoint_id = ?1 AND order_id > ?2 AND dead_at_ns IS NOT NULL \
     ORDER BY order_id LIMIT ?3"
);

/// Finds the first event of an order after a position.
pub(crate) const FIND_FIRST_AFTER: &str =
    "SELECT version FROM order_events WHERE order_id = ?1 AND sequence > ?2 ORDER BY version LIMIT 1";

pub(crate) const DELETE_FAILURES: &str = "\
    DELETE FROM webhook_failures WHERE endpoint_id = ?1 AND order_id IN ( \
        SELECT order_id FROM webhook_failures WHERE endpoint_id = ?1 ORDER BY order_id LIMIT ?2)";

/// A repeated checkpoint contains the same attempts again.
const SAVE_ATTEMPT: &str = "\
    INSERT OR IGNORE INTO webhook_attempts \
        (endpoint_id, is_failed, at_ns, order_id, version, duration_ms, status, error, events) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";

/// Deletes the attempts before the newest ones. Parameters: endpoint, kind, number of attempts to keep, less one.
pub(crate) const TRIM_ATTEMPTS: &str = "\
    DELETE FROM webhook_attempts WHERE endpoint_id = ?1 AND is_failed = ?2 AND (at_ns, order_id, version) < ( \
        SELECT at_ns, order_id, version FROM webhook_attempts WHERE endpoint_id = ?1 AND is_failed = ?2 \
        ORDER BY at_ns DESC, order_id DESC, version DESC LIMIT 1 OFFSET ?3)";

pub(crate) const FIND_ATTEMPTS: &str = concat!(
    "SELECT ",
    webhook_attempt_columns!(),
    " FROM webhook_attempts WHERE endpoint_id = ?1 AND is_failed = ?2 \
     ORDER BY at_ns DESC, order_id DESC, version DESC LIMIT ?3"
);

pub(crate) const DELETE_ATTEMPTS: &str = "DELETE FROM webhook_attempts WHERE endpoint_id = ?1";

/// Writes the deliveries of a checkpoint. The caller has checked the lease.
pub(crate) fn write(transaction: &Transaction<'_>, checkpoint: &Checkpoint) -> Result<(), Failure> {
    for failure in &checkpoint.failures {
        write_failure(transaction, failure)?;
    }
    for (endpoint, order) in &checkpoint.resolved {
        transaction
            .prepare_cached(DELETE_FAILURE)?
            .execute(params![id_bytes(*order), id_bytes(*endpoint)])?;
    }
    write_attempts(transaction, &checkpoint.attempts)
}

fn write_failure(transaction: &Transaction<'_>, failure: &WebhookFailure) -> Result<(), Failure> {
    let encoded = EncodedFailure::new(failure)?;
    transaction.prepare_cached(SAVE_FAILURE)?.execute(params![
        id_bytes(failure.endpoint),
        id_bytes(failure.order),
        failure.next_version,
        failure.attempts,
        encoded.next_attempt_at_ns,
        encoded.first_failed_at_ns,
        encoded.failed_at_ns,
        encoded.status,
        encoded.error,
        encoded.dead_at_ns,
    ])?;
    Ok(())
}

fn write_attempts(transaction: &Transaction<'_>, attempts: &[WebhookAttempt]) -> Result<(), Failure> {
    let mut logs = BTreeSet::new();
    for attempt in attempts {
        let EncodedAttempt { at_ns, status, error, events } = EncodedAttempt::new(attempt)?;
        transaction.prepare_cached(SAVE_ATTEMPT)?.execute(params![
            id_bytes(attempt.endpoint),
            attempt.is_failed(),
            at_ns,
            id_bytes(attempt.order),
            attempt.version,
            attempt.duration_ms,
            status,
            error,
            events,
        ])?;
        logs.insert(attempt.endpoint);
    }
    for endpoint in logs {
        for (is_failed, limit) in LOG_LIMITS {
            let parameters = params![id_bytes(endpoint), is_failed, limit - 1];
            transaction.prepare_cached(TRIM_ATTEMPTS)?.execute(parameters)?;
        }
    }
    Ok(())
}

pub(super) fn find(
    connection: &Connection,
    keys: &[(WebhookEndpointId, OrderId)],
) -> Result<Vec<WebhookFailure>, Failure> {
    let mut found = Vec::new();
    for (endpoint, order) in keys {
        let mut statement = connection.prepare_cached(FIND_FAILURE)?;
        let rows = statement.query(params![id_bytes(*order), id_bytes(*endpoint)])?;
        found.extend(first(rows, |row| failure_of(row))?);
    }
    Ok(found)
}

pub(super) fn due(connection: &Connection, due: &DueFailures) -> Result<Vec<WebhookFailure>, Failure> {
    let (mut failures, mut due_at): (Vec<WebhookFailure>, _) = (Vec::new(), due.due_at);
    for (endpoint, limit) in &due.endpoints {
        let mut statement = connection.prepare_cached(FIND_DUE)?;
        let parameters = params![id_bytes(*endpoint), clamped_nanoseconds(due_at), limit.min(&due.limit)];
        failures.extend(collect(statement.query(parameters)?, |row| failure_of(row))?);
        if failures.len() >= due.limit as usize {
            failures
                .sort_unstable_by_key(|failure| (failure.next_attempt_at, failure.order, failure.endpoint));
            failures.truncate(due.limit as usize);
            // Later failures of the other endpoints would be dropped.
            due_at = failures.last().map_or(due_at, |last| last.next_attempt_at);
        }
    }
    failures.sort_unstable_by_key(|failure| (failure.next_attempt_at, failure.order, failure.endpoint));
    Ok(failures)
}

pub(super) fn failing(
    connection: &Connection,
    after: Option<WebhookEndpointId>,
    limit: u32,
) -> Result<Vec<FailingEndpoint>, Failure> {
    let (mut after, mut failing) = (after.map_or(BELOW_EVERY_ID, id_bytes), Vec::new());
    for _ in 0..limit {
        let mut statement = connection.prepare_cached(FIND_NEXT_ENDPOINT)?;
        let Some(endpoint) = first(statement.query([after])?, |row| row.id(0))? else { break };
        after = id_bytes(endpoint);
        let mut statement = connection.prepare_cached(FIND_NEXT_ATTEMPT)?;
        let next_attempt_at = first(statement.query([after])?, |row| row.timestamp(0))?;
        let mut statement = connection.prepare_cached(COUNT)?;
        let counted: Vec<u32> =
            collect(statement.query(params![after, FailingEndpoint::MAX_COUNTED])?, |row| row.number(0))?;
        let failures = counted.iter().sum();
        failing.push(FailingEndpoint { endpoint, next_attempt_at, failures });
    }
    Ok(failing)
}

pub(super) fn revive(transaction: &Transaction<'_>, revival: Revival) -> Result<Revived, Failure> {
    let mut statement = transaction.prepare_cached(LIST)?;
    let after = revival.after.map_or(BELOW_EVERY_ID, id_bytes);
    let parameters = params![id_bytes(revival.endpoint), after, revival.limit];
    let failures: Vec<WebhookFailure> = collect(statement.query(parameters)?, |row| failure_of(row))?;
    for (index, failure) in failures.iter().enumerate() {
        let first = match revival.cause {
            RevivalCause::Replayed(position) => first_after(transaction, failure.order, position)?,
            RevivalCause::Enabled | RevivalCause::Recovered => None,
        };
        if let Some(changed) = revival.apply(failure, first, index) {
            write_failure(transaction, &changed)?;
        }
    }
    Ok(revival.reached(&failures))
}

/// Returns the version of the first event of an order after a position.
fn first_after(
    transaction: &Transaction<'_>,
    order: OrderId,
    position: FeedPosition,
) -> Result<Option<Version>, Failure> {
    let mut statement = transaction.prepare_cached(FIND_FIRST_AFTER)?;
    let parameters = params![id_bytes(order), position_of(position)];
    first(statement.query(parameters)?, |row| row.number(0))
}

pub(super) fn forget(
    transaction: &Transaction<'_>,
    group: &ConsumerName,
    endpoint: WebhookEndpointId,
    limit: u32,
) -> Result<u32, Failure> {
    let parameters = params![id_bytes(endpoint), limit];
    let deleted = transaction.prepare_cached(DELETE_FAILURES)?.execute(parameters)?;
    let deleted = u32::try_from(deleted).unwrap_or(limit);
    if deleted < limit {
        transaction.prepare_cached(DELETE_ATTEMPTS)?.execute([id_bytes(endpoint)])?;
        let consumer = ConsumerName::from(endpoint);
        transaction.prepare_cached(DELETE_POSITION)?.execute([group.as_str(), consumer.as_str()])?;
    }
    Ok(deleted)
}

pub(super) fn list(
    connection: &Connection,
    endpoint: WebhookEndpointId,
    only_dead: bool,
    after: Option<OrderId>,
    limit: PageSize,
) -> Result<Vec<WebhookFailure>, Failure> {
    let mut statement = connection.prepare_cached(if only_dead { LIST_DEAD } else { LIST })?;
    let after = after.map_or(BELOW_EVERY_ID, id_bytes);
    collect(statement.query(params![id_bytes(endpoint), after, limit.get()])?, |row| failure_of(row))
}

pub(super) fn attempts(
    connection: &Connection,
    endpoint: WebhookEndpointId,
) -> Result<Vec<WebhookAttempt>, Failure> {
    let mut attempts = Vec::new();
    for (is_failed, limit) in LOG_LIMITS {
        let mut statement = connection.prepare_cached(FIND_ATTEMPTS)?;
        let rows = statement.query(params![id_bytes(endpoint), is_failed, limit])?;
        attempts.extend(collect(rows, |row| attempt_of(row))?);
    }
    Ok(newest_first(attempts))
}
