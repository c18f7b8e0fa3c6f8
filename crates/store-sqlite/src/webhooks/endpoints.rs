//! Webhook endpoints.

use std::ops::ControlFlow;

use dabba_domain::{Timestamp, WebhookEndpointId};
use dabba_store::{
    PageSize, WebhookChange, WebhookCreation, WebhookEndpoint, WebhookHealth, WebhookOwner, WebhookRevision,
    WebhookUpdate, WebhookUpdated,
    encoding::{WEBHOOK_FORMAT, clamped_nanoseconds, exact_nanoseconds, stored_version},
    least_revision,
};
use dabba_store_sql::{
    claims::Written,
    webhook_endpoint_columns,
    webhooks::{EncodedEndpoint, apply_update, change_of, creation_of, endpoint_of, update_of},
};
use rusqlite::{Connection, Transaction, params};

use crate::{
    claims::scope_bytes,
    codec::{BELOW_EVERY_ID, collect, first, id_bytes},
    failure::Failure,
};

/// Parameter: the minimum revision ([`least_revision`]).
const NEXT_REVISION: &str = "\
    INSERT INTO webhook_counter (id, revision) VALUES (1, ?1) \
    ON CONFLICT (id) DO UPDATE SET revision = max(webhook_counter.revision + 1, excluded.revision) \
    RETURNING revision";

const INSERT: &str = "\
    INSERT INTO webhook_endpoints \
        (id, owner_id, settings, format, version, revision, positioned, created_at_ns, created_by) \
    VALUES (?1, ?2, ?3, ?4, 1, ?5, ?5, ?6, ?7)";

/// Finds a row if the owner has this number of endpoints.
pub(crate) const HAS_MAXIMUM: &str = "\
    SELECT 1 FROM webhook_endpoints WHERE owner_id = ?1 AND deleted_at_ns IS NULL ORDER BY id LIMIT 1 OFFSET ?2";

pub(crate) const FIND: &str =
    concat!("SELECT ", webhook_endpoint_columns!("settings"), " FROM webhook_endpoints WHERE id = ?1");

pub(crate) const LIST: &str = concat!(
    "SELECT ",
    webhook_endpoint_columns!("settings"),
    " FROM webhook_endpoints WHERE id > ?1 AND deleted_at_ns IS NULL ORDER BY id LIMIT ?2"
);

pub(crate) const LIST_OF_OWNER: &str = concat!(
    "SELECT ",
    webhook_endpoint_columns!("settings"),
    " FROM webhook_endpoints WHERE owner_id = ?1 AND id > ?2 AND deleted_at_ns IS NULL ORDER BY id LIMIT ?3"
);

pub(crate) const CHANGES: &str = concat!(
    "SELECT ",
    webhook_endpoint_columns!("settings"),
    " FROM webhook_endpoints WHERE revision > ?1 ORDER BY revision LIMIT ?2"
);

pub(crate) const UPDATE: &str = "\
    UPDATE webhook_endpoints SET settings = ?2, format = max(format, ?3), version = ?4, revision = ?5, positioned = ?6, \
        deleted_at_ns = ?7 \
    WHERE id = ?1";

/// Parameters: revision, time of the deletion, limit.
pub(crate) const PURGE: &str = "\
    DELETE FROM webhook_endpoints WHERE id IN ( \
        SELECT id FROM webhook_endpoints WHERE revision <= ?1 AND deleted_at_ns <= ?2 ORDER BY revision LIMIT ?3)";

/// Keeps the later of two times.
pub(crate) const REPORT_SUCCESS: &str = "\
    UPDATE webhook_endpoints SET last_success_at_ns = ?2 \
    WHERE id = ?1 AND (last_success_at_ns IS NULL OR last_success_at_ns < ?2)";

pub(crate) const REPORT_FAILURE: &str = "\
    UPDATE webhook_endpoints SET last_failure_at_ns = ?2, last_status = ?3, last_error = ?4 \
    WHERE id = ?1 AND (last_failure_at_ns IS NULL OR last_failure_at_ns < ?2)";

pub(super) fn create(
    transaction: &Transaction<'_>,
    endpoint: &WebhookEndpoint,
    max: u32,
) -> Result<(WebhookCreation, Written), Failure> {
    let owner = scope_bytes(endpoint.owner.restaurant());
    let is_full = max == 0 || transaction.prepare_cached(HAS_MAXIMUM)?.exists(params![owner, max - 1])?;
    if is_full {
        return Ok((WebhookCreation::TooMany, None));
    }
    let EncodedEndpoint { settings, created_at_ns, .. } = EncodedEndpoint::new(endpoint)?;
    let revision = next_revision(transaction, least_revision(endpoint.created_at))?;
    transaction.prepare_cached(INSERT)?.execute(params![
        id_bytes(endpoint.id),
        owner,
        settings,
        stored_version(WEBHOOK_FORMAT),
        revision,
        created_at_ns,
        id_bytes(endpoint.created_by),
    ])?;
    Ok(creation_of(endpoint.id))
}

fn next_revision(transaction: &Transaction<'_>, least: WebhookRevision) -> Result<WebhookRevision, Failure> {
    Ok(transaction.prepare_cached(NEXT_REVISION)?.query_row([least], |row| row.get(0))?)
}

/// Returns the endpoint with this id, deleted or not.
pub(super) fn find(
    connection: &Connection,
    id: WebhookEndpointId,
) -> Result<Option<WebhookEndpoint>, Failure> {
    let mut statement = connection.prepare_cached(FIND)?;
    first(statement.query([id_bytes(id)])?, |row| endpoint_of(row))
}

pub(super) fn list(
    connection: &Connection,
    owner: Option<WebhookOwner>,
    after: Option<WebhookEndpointId>,
    limit: PageSize,
) -> Result<Vec<WebhookEndpoint>, Failure> {
    let after = after.map_or(BELOW_EVERY_ID, id_bytes);
    match owner {
        None => {
            let mut statement = connection.prepare_cached(LIST)?;
            collect(statement.query(params![after, limit.get()])?, |row| endpoint_of(row))
        }
        Some(owner) => {
            let mut statement = connection.prepare_cached(LIST_OF_OWNER)?;
            let parameters = params![scope_bytes(owner.restaurant()), after, limit.get()];
            collect(statement.query(parameters)?, |row| endpoint_of(row))
        }
    }
}

pub(super) fn update(
    transaction: &Transaction<'_>,
    update: &WebhookUpdate,
) -> Result<(WebhookUpdated, Written), Failure> {
    let mut endpoint = match apply_update(update, find(transaction, update.endpoint.id)?) {
        ControlFlow::Continue(endpoint) => endpoint,
        ControlFlow::Break(outcome) => return Ok((outcome, None)),
    };
    let EncodedEndpoint { settings, deleted_at_ns, .. } = EncodedEndpoint::new(&endpoint)?;
    endpoint.revision = next_revision(transaction, least_revision(update.at))?;
    if update.repositions {
        endpoint.positioned = endpoint.revision;
    }
    transaction.prepare_cached(UPDATE)?.execute(params![
        id_bytes(endpoint.id),
        settings,
        stored_version(WEBHOOK_FORMAT),
        endpoint.version,
        endpoint.revision,
        endpoint.positioned,
        deleted_at_ns,
    ])?;
    Ok(update_of(endpoint))
}

pub(super) fn changes(
    connection: &Connection,
    after: WebhookRevision,
    limit: u32,
) -> Result<Vec<WebhookChange>, Failure> {
    let mut statement = connection.prepare_cached(CHANGES)?;
    collect(statement.query(params![after, limit])?, |row| change_of(row))
}

pub(super) fn purge(
    transaction: &Transaction<'_>,
    known: WebhookRevision,
    deleted_until: Timestamp,
    limit: u32,
) -> Result<u32, Failure> {
    let parameters = params![known, clamped_nanoseconds(deleted_until), limit];
    let purged = transaction.prepare_cached(PURGE)?.execute(parameters)?;
    Ok(u32::try_from(purged).unwrap_or(limit))
}

pub(super) fn report(
    transaction: &Transaction<'_>,
    reports: &[(WebhookEndpointId, WebhookHealth)],
) -> Result<(), Failure> {
    for (id, WebhookHealth { last_success, last_failure }) in reports {
        if let Some(at) = last_success {
            let parameters = params![id_bytes(*id), exact_nanoseconds(*at)?];
            transaction.prepare_cached(REPORT_SUCCESS)?.execute(parameters)?;
        }
        if let Some(fault) = last_failure {
            let (at_ns, error) = (exact_nanoseconds(fault.at)?, fault.stored_error());
            let parameters = params![id_bytes(*id), at_ns, fault.status, error];
            transaction.prepare_cached(REPORT_FAILURE)?.execute(parameters)?;
        }
    }
    Ok(())
}
