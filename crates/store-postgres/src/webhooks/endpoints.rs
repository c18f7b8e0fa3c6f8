//! Webhook endpoints, in the directory.

use std::ops::ControlFlow;

use dabba_domain::{Timestamp, WebhookEndpointId, ids::Id};
use dabba_store::{
    PageSize, WebhookChange, WebhookCreation, WebhookEndpoint, WebhookFault, WebhookHealth, WebhookOwner,
    WebhookRevision, WebhookUpdate, WebhookUpdated,
    encoding::{WEBHOOK_FORMAT, clamped_nanoseconds, exact_nanoseconds, stored_version},
    least_revision,
};
use dabba_store_sql::{
    BELOW_EVERY_ID,
    claims::{Written, scope_uuid},
    webhook_endpoint_columns,
    webhooks::{EncodedEndpoint, apply_update, change_of, creation_of, endpoint_of, update_of},
};
use tokio_postgres::types::ToSql;

use crate::{
    codec::{collect, first},
    failure::Failure,
    pool::Connection,
};

/// Draws the next revision. Locks the counter until the end of the transaction, so that revisions are committed in
/// their order. Parameter: the lowest allowed revision ([`least_revision`]).
const NEXT_REVISION: &str = "\
    INSERT INTO webhook_counter (id, revision) VALUES (1, $1) \
    ON CONFLICT (id) DO UPDATE SET revision = greatest(webhook_counter.revision + 1, excluded.revision) \
    RETURNING revision";

const INSERT: &str = "\
    INSERT INTO webhook_endpoints \
        (id, owner_id, settings, format, version, revision, positioned, created_at_ns, created_by) \
    VALUES ($1, $2, $3::text::json, $4, 1, $5, $5, $6, $7)";

/// Finds a row if the owner has more endpoints than this number.
const HAS_MORE: &str = "\
    SELECT 1 FROM webhook_endpoints WHERE owner_id = $1 AND deleted_at_ns IS NULL ORDER BY id LIMIT 1 OFFSET $2";

const FIND: &str =
    concat!("SELECT ", webhook_endpoint_columns!("settings::text"), " FROM webhook_endpoints WHERE id = $1");

const LIST: &str = concat!(
    "SELECT ",
    webhook_endpoint_columns!("settings::text"),
    " FROM webhook_endpoints WHERE id > $1 AND deleted_at_ns IS NULL ORDER BY id LIMIT $2"
);

const LIST_OF_OWNER: &str = concat!(
    "SELECT ",
    webhook_endpoint_columns!("settings::text"),
    " FROM webhook_endpoints WHERE owner_id = $1 AND id > $2 AND deleted_at_ns IS NULL ORDER BY id LIMIT $3"
);

const CHANGES: &str = concat!(
    "SELECT ",
    webhook_endpoint_columns!("settings::text"),
    " FROM webhook_endpoints WHERE revision > $1 ORDER BY revision LIMIT $2"
);

const UPDATE: &str = "\
    UPDATE webhook_endpoints SET settings = $2::text::json, format = greatest(format, $3), version = $4, revision = $5, \
        positioned = $6, deleted_at_ns = $7 \
    WHERE id = $1";

/// Skips rows that another process purges now. Parameters: revision, time of the deletion, limit.
const PURGE: &str = "\
    DELETE FROM webhook_endpoints WHERE id = ANY (ARRAY( \
        SELECT id FROM webhook_endpoints WHERE revision <= $1 AND deleted_at_ns <= $2 ORDER BY revision LIMIT $3 \
        FOR UPDATE SKIP LOCKED))";

/// Locks endpoints in the order of their ids, so that reports of several senders about the same endpoints do not
/// deadlock.
const LOCK: &str =
    "SELECT id FROM webhook_endpoints WHERE id = ANY ($1::uuid[]) ORDER BY id FOR NO KEY UPDATE";

/// Keeps the later of two times. Takes the reports as arrays; a report may lack either part.
const REPORT: &str = "\
    UPDATE webhook_endpoints SET last_success_at_ns = greatest(last_success_at_ns, succeeded), \
        last_failure_at_ns = greatest(last_failure_at_ns, failed), \
        last_status = CASE WHEN failed > coalesce(last_failure_at_ns, failed - 1) THEN given.status ELSE last_status END, \
        last_error = CASE WHEN failed > coalesce(last_failure_at_ns, failed - 1) THEN given.error ELSE last_error END \
    FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[], $5::text[]) \
        AS given (id, succeeded, failed, status, error) \
    WHERE webhook_endpoints.id = given.id";

/// Every statement of this module that searches for rows, for the test of query plans.
#[cfg(test)]
pub(crate) const STATEMENTS: &[(&str, &str)] = &[
    ("has_more_endpoints", HAS_MORE),
    ("find_endpoint", FIND),
    ("all_endpoints", LIST),
    ("all_endpoints_of_owner", LIST_OF_OWNER),
    ("all_endpoint_changes", CHANGES),
    ("update_endpoint", UPDATE),
    ("purge_endpoints", PURGE),
    ("lock_endpoints", LOCK),
    ("report_health", REPORT),
];

pub(super) async fn create(
    connection: &Connection,
    endpoint: &WebhookEndpoint,
    max: u32,
) -> Result<(WebhookCreation, Written), Failure> {
    let owner = scope_uuid(endpoint.owner.restaurant());
    let is_full = match max.checked_sub(1) {
        None => true,
        Some(others) => !connection.query(HAS_MORE, &[&owner, &i64::from(others)]).await?.is_empty(),
    };
    if is_full {
        return Ok((WebhookCreation::TooMany, None));
    }
    let EncodedEndpoint { settings, created_at_ns, .. } = EncodedEndpoint::new(endpoint)?;
    let revision = connection.query_number(NEXT_REVISION, &[&least_revision(endpoint.created_at)]).await?;
    let parameters: [&(dyn ToSql + Sync); 7] = [
        &endpoint.id.uuid(),
        &owner,
        &settings,
        &stored_version(WEBHOOK_FORMAT),
        &revision,
        &created_at_ns,
        &endpoint.created_by.uuid(),
    ];
    connection.execute(INSERT, &parameters).await?;
    Ok(creation_of(endpoint.id))
}

/// Returns the endpoint with this id, deleted or not.
pub(super) async fn find(
    connection: &Connection,
    id: WebhookEndpointId,
) -> Result<Option<WebhookEndpoint>, Failure> {
    first(&connection.query(FIND, &[&id.uuid()]).await?, endpoint_of)
}

pub(super) async fn list(
    connection: &Connection,
    owner: Option<WebhookOwner>,
    after: Option<WebhookEndpointId>,
    limit: PageSize,
) -> Result<Vec<WebhookEndpoint>, Failure> {
    let (after, limit) = (after.map_or(BELOW_EVERY_ID, Id::uuid), i64::from(limit.get()));
    let rows = match owner {
        None => connection.query(LIST, &[&after, &limit]).await?,
        Some(owner) => {
            connection.query(LIST_OF_OWNER, &[&scope_uuid(owner.restaurant()), &after, &limit]).await?
        }
    };
    collect(&rows, endpoint_of)
}

pub(super) async fn update(
    connection: &Connection,
    update: &WebhookUpdate,
) -> Result<(WebhookUpdated, Written), Failure> {
    let mut endpoint = match apply_update(update, find(connection, update.endpoint.id).await?) {
        ControlFlow::Continue(endpoint) => endpoint,
        ControlFlow::Break(outcome) => return Ok((outcome, None)),
    };
    let EncodedEndpoint { settings, deleted_at_ns, .. } = EncodedEndpoint::new(&endpoint)?;
    endpoint.revision = connection.query_number(NEXT_REVISION, &[&least_revision(update.at)]).await?;
    if update.repositions {
        endpoint.positioned = endpoint.revision;
    }
    let parameters: [&(dyn ToSql + Sync); 7] = [
        &endpoint.id.uuid(),
        &settings,
        &stored_version(WEBHOOK_FORMAT),
        &i64::from(endpoint.version),
        &endpoint.revision,
        &endpoint.positioned,
        &deleted_at_ns,
    ];
    connection.execute(UPDATE, &parameters).await?;
    Ok(update_of(endpoint))
}

pub(super) async fn changes(
    connection: &Connection,
    after: WebhookRevision,
    limit: u32,
) -> Result<Vec<WebhookChange>, Failure> {
    collect(&connection.query(CHANGES, &[&after, &i64::from(limit)]).await?, change_of)
}

pub(super) async fn purge(
    connection: &Connection,
    known: WebhookRevision,
    deleted_until: Timestamp,
    limit: u32,
) -> Result<u32, Failure> {
    let parameters: [&(dyn ToSql + Sync); 3] =
        [&known, &clamped_nanoseconds(deleted_until), &i64::from(limit)];
    let purged = connection.execute(PURGE, &parameters).await?;
    Ok(u32::try_from(purged).unwrap_or(limit))
}

pub(super) async fn report(
    connection: &Connection,
    reports: &[(WebhookEndpointId, WebhookHealth)],
) -> Result<(), Failure> {
    let (mut ids, mut succeeded) = (Vec::new(), Vec::new());
    let (mut failed, mut statuses, mut errors) = (Vec::new(), Vec::new(), Vec::new());
    for (id, WebhookHealth { last_success, last_failure }) in reports {
        ids.push(id.uuid());
        succeeded.push(last_success.map(exact_nanoseconds).transpose()?);
        failed.push(last_failure.as_ref().map(|fault| exact_nanoseconds(fault.at)).transpose()?);
        statuses.push(last_failure.as_ref().and_then(|fault| fault.status.map(i64::from)));
        errors.push(last_failure.as_ref().map(WebhookFault::stored_error));
    }
    connection.query(LOCK, &[&ids]).await?;
    connection.execute(REPORT, &[&ids, &succeeded, &failed, &statuses, &errors]).await?;
    Ok(())
}
