//! Webhook endpoints, failures and attempts.

use std::{cmp::Reverse, ops::ControlFlow};

use dabba_domain::WebhookEndpointId;
use dabba_store::{
    AttemptOutcome, Resource, StoreError, WebhookAttempt, WebhookChange, WebhookCreation, WebhookEndpoint,
    WebhookFailure, WebhookFault, WebhookHealth, WebhookUpdate, WebhookUpdated,
    encoding::{
        WEBHOOK_FORMAT, decode_webhook_settings, encode_webhook_settings, exact_nanoseconds, written_by_newer,
    },
};

use crate::{
    StoredRow,
    claims::{Written, scope_of},
    corrupt,
};

/// Columns of [`endpoint_of`](crate::webhooks::endpoint_of), in its order. The parameter is the expression of the
/// settings as a text.
#[macro_export]
macro_rules! webhook_endpoint_columns {
    ($settings:literal) => {
        concat!(
            "id, owner_id, ",
            $settings,
            ", format, version, revision, positioned, created_at_ns, created_by, deleted_at_ns, \
             last_success_at_ns, last_failure_at_ns, last_status, last_error"
        )
    };
}

/// Returns the endpoint of a row with the columns of [`webhook_endpoint_columns`]. An
/// error names the endpoint.
pub fn endpoint_of<'row>(row: impl StoredRow<'row>) -> Result<WebhookEndpoint, StoreError> {
    let id: WebhookEndpointId = row.id(0)?;
    let name = || format!("webhook endpoint {id}");
    if row.format(3)? > WEBHOOK_FORMAT {
        return Err(written_by_newer(name()));
    }
    let read = || {
        Ok(WebhookEndpoint {
            id,
            owner: scope_of(row, 1)?.into(),
            settings: decode_webhook_settings(row.text(2)?)?,
            version: row.number(4)?,
            revision: row.integer(5)?,
            positioned: row.integer(6)?,
            created_at: row.timestamp(7)?,
            created_by: row.id(8)?,
            deleted_at: row.optional_timestamp(9)?,
            health: health_of(row)?,
        })
    };
    read().map_err(|error: StoreError| error.in_context(name()))
}

fn health_of<'row>(row: impl StoredRow<'row>) -> Result<WebhookHealth, StoreError> {
    let last_failure = match row.optional_timestamp(11)? {
        Some(at) => Some(WebhookFault {
            at,
            status: status_of(row, 12)?,
            error: row.optional_text(13)?.unwrap_or_default().to_owned(),
        }),
        None => None,
    };
    Ok(WebhookHealth { last_success: row.optional_timestamp(10)?, last_failure })
}

/// Returns the change of a row with the columns of [`endpoint_of`]. An endpoint that cannot be decoded does not affect
/// others.
pub fn change_of<'row>(row: impl StoredRow<'row>) -> Result<WebhookChange, StoreError> {
    Ok(WebhookChange { id: row.id(0)?, revision: row.integer(5)?, endpoint: endpoint_of(row) })
}

/// Columns of an endpoint that need encoding.
#[derive(Clone, Debug)]
pub struct EncodedEndpoint {
    /// Column `settings`.
    pub settings: String,
    /// Column `created_at_ns`.
    pub created_at_ns: i64,
    /// Column `deleted_at_ns`.
    pub deleted_at_ns: Option<i64>,
}

impl EncodedEndpoint {
    /// Encodes an endpoint.
    pub fn new(endpoint: &WebhookEndpoint) -> Result<Self, StoreError> {
        Ok(Self {
            settings: encode_webhook_settings(&endpoint.settings)?,
            created_at_ns: exact_nanoseconds(endpoint.created_at)?,
            deleted_at_ns: endpoint.deleted_at.map(exact_nanoseconds).transpose()?,
        })
    }
}

/// Returns the outcome of the creation of an endpoint that was written.
pub const fn creation_of(id: WebhookEndpointId) -> (WebhookCreation, Written) {
    (WebhookCreation::Created, Some((Resource::WebhookEndpoint(id), 1)))
}

/// Applies a change to an endpoint as read, in the order of conditions of the contract. Returns the endpoint to write,
/// with its old revisions. The caller has checked the credential.
pub fn apply_update(
    update: &WebhookUpdate,
    before: Option<WebhookEndpoint>,
) -> ControlFlow<WebhookUpdated, WebhookEndpoint> {
    let Some(before) = before.filter(|endpoint| endpoint.deleted_at.is_none()) else {
        return ControlFlow::Break(WebhookUpdated::NotFound);
    };
    if before.version != update.expected {
        return ControlFlow::Break(WebhookUpdated::Conflict { current: before.version });
    }
    ControlFlow::Continue(WebhookEndpoint {
        settings: update.endpoint.settings.clone(),
        deleted_at: update.endpoint.deleted_at,
        version: before.version.saturating_add(1),
        ..before
    })
}

/// Returns the outcome of a change that was written.
pub fn update_of(endpoint: WebhookEndpoint) -> (WebhookUpdated, Written) {
    let written = (Resource::WebhookEndpoint(endpoint.id), endpoint.version);
    (WebhookUpdated::Done(Box::new(endpoint)), Some(written))
}

/// Columns of [`failure_of`](crate::webhooks::failure_of), in its order.
#[macro_export]
macro_rules! webhook_failure_columns {
    () => {
        "endpoint_id, order_id, next_version, attempts, next_attempt_at_ns, first_failed_at_ns, failed_at_ns, status, \
         error, dead_at_ns"
    };
}

/// Returns the failure of a row with the columns of [`webhook_failure_columns`].
pub fn failure_of<'row>(row: impl StoredRow<'row>) -> Result<WebhookFailure, StoreError> {
    let fault =
        WebhookFault { at: row.timestamp(6)?, status: status_of(row, 7)?, error: row.text(8)?.to_owned() };
    Ok(WebhookFailure {
        endpoint: row.id(0)?,
        order: row.id(1)?,
        next_version: row.number(2)?,
        attempts: row.clamped_number(3)?,
        next_attempt_at: row.timestamp(4)?,
        first_failed_at: row.timestamp(5)?,
        fault,
        dead_at: row.optional_timestamp(9)?,
    })
}

/// Columns of a failure that need encoding.
#[derive(Clone, Debug)]
pub struct EncodedFailure {
    /// Column `next_attempt_at_ns`.
    pub next_attempt_at_ns: i64,
    /// Column `first_failed_at_ns`.
    pub first_failed_at_ns: i64,
    /// Column `failed_at_ns`.
    pub failed_at_ns: i64,
    /// Column `status`.
    pub status: Option<i64>,
    /// Column `error`.
    pub error: String,
    /// Column `dead_at_ns`.
    pub dead_at_ns: Option<i64>,
}

impl EncodedFailure {
    /// Encodes a failure.
    pub fn new(failure: &WebhookFailure) -> Result<Self, StoreError> {
        Ok(Self {
            next_attempt_at_ns: exact_nanoseconds(failure.next_attempt_at)?,
            first_failed_at_ns: exact_nanoseconds(failure.first_failed_at)?,
            failed_at_ns: exact_nanoseconds(failure.fault.at)?,
            status: failure.fault.status.map(i64::from),
            error: failure.fault.stored_error(),
            dead_at_ns: failure.dead_at.map(exact_nanoseconds).transpose()?,
        })
    }
}

/// Maximum number of attempts in a log, for failed attempts (`true`) and for successful ones.
pub const LOG_LIMITS: [(bool, u32); 2] =
    [(true, WebhookAttempt::MAX_FAILED), (false, WebhookAttempt::MAX_DELIVERED)];

/// Columns of [`attempt_of`](crate::webhooks::attempt_of), in its order.
#[macro_export]
macro_rules! webhook_attempt_columns {
    () => {
        "endpoint_id, at_ns, order_id, version, duration_ms, status, error, events"
    };
}

/// Returns the attempt of a row with the columns of [`webhook_attempt_columns`]. An
/// attempt without `error` succeeded.
pub fn attempt_of<'row>(row: impl StoredRow<'row>) -> Result<WebhookAttempt, StoreError> {
    let status = status_of(row, 5)?;
    let outcome = match row.optional_text(6)? {
        Some(error) => AttemptOutcome::Failed { status, error: error.to_owned() },
        None => AttemptOutcome::Delivered {
            status: status.ok_or_else(|| corrupt("a successful attempt has no status"))?,
            events: row.clamped_number(7)?,
        },
    };
    Ok(WebhookAttempt {
        endpoint: row.id(0)?,
        at: row.timestamp(1)?,
        order: row.id(2)?,
        version: row.number(3)?,
        duration_ms: row.clamped_number(4)?,
        outcome,
    })
}

/// Columns of an attempt that need encoding.
#[derive(Clone, Debug)]
pub struct EncodedAttempt {
    /// Column `at_ns`.
    pub at_ns: i64,
    /// Column `status`.
    pub status: Option<i64>,
    /// Column `error`; `None` for a successful attempt.
    pub error: Option<String>,
    /// Column `events`.
    pub events: i64,
}

impl EncodedAttempt {
    /// Encodes an attempt.
    pub fn new(attempt: &WebhookAttempt) -> Result<Self, StoreError> {
        let at_ns = exact_nanoseconds(attempt.at)?;
        Ok(match &attempt.outcome {
            AttemptOutcome::Delivered { status, events } => {
                Self { at_ns, status: Some((*status).into()), error: None, events: (*events).into() }
            }
            AttemptOutcome::Failed { status, error } => {
                let fault = WebhookFault { at: attempt.at, status: *status, error: error.clone() };
                let error = Some(fault.stored_error());
                Self { at_ns, status: status.map(i64::from), error, events: 1 }
            }
        })
    }
}

/// Returns the entries of a log, newest first.
pub fn newest_first(mut attempts: Vec<WebhookAttempt>) -> Vec<WebhookAttempt> {
    attempts.sort_unstable_by_key(|attempt| Reverse((attempt.at, attempt.order, attempt.version)));
    attempts
}

/// Returns the status of a response; `None` if the column is NULL.
fn status_of<'row>(row: impl StoredRow<'row>, column: usize) -> Result<Option<u16>, StoreError> {
    let status = row.optional_integer(column)?;
    status
        .map(|status| u16::try_from(status).map_err(|_| corrupt(format_args!("{status} is not a status"))))
        .transpose()
}
