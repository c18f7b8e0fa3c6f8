//! The write of a batch. For each commit, the store first checks the conditions, and then writes.
//!
//! Nothing else writes between the check and the write, so the conditions still hold, and a failed commit has
//! changed nothing.

use std::collections::HashMap;

use dabba_domain::{
    RestaurantId,
    order::{PaymentReference, Version},
};
use dabba_store::encoding::{EncodedChange, EncodedCommit, FINGERPRINT_VERSION, stored_version};
use dabba_store::{CatalogueGuard, Change, Claim, CommitOutcome, StockChange, StockShortage, TaskLease};
use dabba_store_sql::{catalogue::guard_of, claims::deleted_keys};
use rusqlite::{Connection, OptionalExtension as _, Transaction, params};

use crate::{
    catalogue::marks::extend_marks,
    claims,
    codec::{first, id_bytes},
    failure::Failure,
};

pub(crate) const FIND_CLAIM: &str = "\
    SELECT fingerprint, order_id, version, resource, fingerprint_version FROM idempotency_keys \
    WHERE account_id = ?1 AND restaurant_id = ?2 AND key = ?3";

/// An expired lease is still valid if no other worker has taken over the task, because its work is done.
pub(crate) const FIND_LEASE: &str = "\
    SELECT 1 FROM tasks WHERE id = ?1 AND attempts = ?2 AND leased_until_ns IS NOT NULL";

pub(crate) const FIND_VERSION: &str = "SELECT version FROM orders WHERE id = ?1";

pub(crate) const FIND_REVISIONS: &str =
    "SELECT revision, menu_revision, availability_revision FROM restaurants WHERE id = ?1";

pub(crate) const FIND_STOCK: &str = "SELECT remaining FROM stock WHERE restaurant_id = ?1 AND item = ?2";

/// Oldest keys first, so that each limited deletion makes progress.
pub(crate) const DELETE_EXPIRED_KEYS: &str = "\
    DELETE FROM idempotency_keys WHERE (account_id, restaurant_id, key) IN ( \
        SELECT account_id, restaurant_id, key FROM idempotency_keys \
        WHERE claimed_at_ns < ?1 ORDER BY claimed_at_ns LIMIT ?2)";

const INSERT_CLAIM: &str = "\
    INSERT INTO idempotency_keys \
        (account_id, restaurant_id, key, fingerprint, order_id, version, claimed_at_ns, fingerprint_version) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";

pub(crate) const DELETE_TASK: &str = "DELETE FROM tasks WHERE id = ?1";

/// The column `subject_kind` has its default: a commit writes only tasks of its order.
const INSERT_TASK: &str = "\
    INSERT INTO tasks (id, order_id, queue, kind, payload, run_at_ns, parked_at_ns) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";

/// The condition cannot fail after the check. The number of affected rows verifies that.
pub(crate) const TAKE_STOCK: &str = "\
    UPDATE stock SET remaining = remaining - ?3 \
    WHERE restaurant_id = ?1 AND item = ?2 AND remaining >= ?3";

/// Limits the result to the maximum number that an answer can hold.
pub(crate) const RETURN_STOCK: &str = "\
    UPDATE stock SET remaining = min(remaining + ?3, 4294967295) WHERE restaurant_id = ?1 AND item = ?2";

const INSERT_ORDER: &str = "\
    INSERT INTO orders (id, restaurant_id, customer_id, courier_id, status, is_terminal, payment_status, \
        version, currency, total, captured, refunded, acceptance_deadline_ns, ready_by_ns, closure, \
        placed_at_ns, updated_at_ns, details, payment_reference, refunds, format) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21)";

/// Never lowers the format: the order also contains the events that a newer version wrote.
pub(crate) const UPDATE_ORDER: &str = "\
    UPDATE orders SET courier_id = ?3, status = ?4, is_terminal = ?5, payment_status = ?6, version = ?7, \
        captured = ?8, refunded = ?9, acceptance_deadline_ns = ?10, ready_by_ns = ?11, closure = ?12, \
        updated_at_ns = ?13, payment_reference = ?14, refunds = ?15, format = max(format, ?16) \
    WHERE id = ?1 AND version = ?2";

const INSERT_EVENT: &str = "\
    INSERT INTO order_events (order_id, version, type, data, actor, at_ns) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";

/// Applies the commits in order; each sees the commits before it.
pub(super) fn commit_batch(
    transaction: &Transaction<'_>,
    batch: &[EncodedCommit],
) -> Result<Vec<CommitOutcome>, Failure> {
    batch
        .iter()
        .map(|encoded| match failed_condition(transaction, encoded)? {
            Some(outcome) => Ok(outcome),
            None => write(transaction, encoded).map(|()| CommitOutcome::Committed),
        })
        .collect()
}

/// Returns the outcome of the first condition that fails, in the order of the contract.
fn failed_condition(
    transaction: &Transaction<'_>,
    encoded: &EncodedCommit,
) -> Result<Option<CommitOutcome>, Failure> {
    let commit = &encoded.commit;
    if let Some(claim) = &commit.claim
        && let Some(record) =
            claims::find_in(transaction, claim.account_id, Some(commit.restaurant_id), &claim.key)?
    {
        return Ok(Some(record.outcome(claim.fingerprint)));
    }
    if let Some(lease) = &commit.completes
        && !holds_lease(transaction, *lease)?
    {
        return Ok(Some(CommitOutcome::LeaseLost));
    }
    let current = transaction
        .prepare_cached(FIND_VERSION)?
        .query_row([id_bytes(commit.order_id)], |row| row.get::<_, Version>(0))
        .optional()?
        .unwrap_or(0);
    if current != commit.expected_version {
        return Ok(Some(CommitOutcome::VersionConflict { current }));
    }
    if let Some(guard) = commit.catalogue
        && find_revisions(transaction, commit.restaurant_id)? != Some(guard)
    {
        return Ok(Some(CommitOutcome::CatalogueChanged));
    }
    let shortages = find_shortages(transaction, commit.restaurant_id, &commit.stock)?;
    Ok(if shortages.is_empty() { None } else { Some(CommitOutcome::OutOfStock(shortages)) })
}

fn holds_lease(transaction: &Transaction<'_>, lease: TaskLease) -> Result<bool, Failure> {
    let mut statement = transaction.prepare_cached(FIND_LEASE)?;
    Ok(statement.exists(params![id_bytes(lease.task_id), lease.token])?)
}

/// Returns a restaurant's revisions, if the restaurant exists.
pub(crate) fn find_revisions(
    connection: &Connection,
    restaurant_id: RestaurantId,
) -> Result<Option<CatalogueGuard>, Failure> {
    let mut statement = connection.prepare_cached(FIND_REVISIONS)?;
    first(statement.query([id_bytes(restaurant_id)])?, |row| guard_of(row, 0))
}

/// Returns the items whose stock would fall below zero if the changes were made in order. Each item appears
/// once, with its stock before the changes.
fn find_shortages(
    transaction: &Transaction<'_>,
    restaurant_id: RestaurantId,
    changes: &[StockChange],
) -> Result<Vec<StockShortage>, Failure> {
    /// Stock of an item before and after the changes.
    struct Level {
        available: u32,
        /// `None` if the item's stock is unlimited.
        left: Option<i64>,
    }
    let mut shortages: Vec<StockShortage> = Vec::new();
    if changes.is_empty() {
        return Ok(shortages);
    }
    let mut levels: HashMap<&str, Level> = HashMap::with_capacity(changes.len());
    let mut statement = transaction.prepare_cached(FIND_STOCK)?;
    for change in changes {
        let (StockChange::Take(draw) | StockChange::Return(draw)) = change;
        let item = draw.item.as_str();
        if !levels.contains_key(item) {
            let remaining: Option<u32> =
                statement.query_row(params![id_bytes(restaurant_id), item], |row| row.get(0)).optional()?;
            let level = Level { available: remaining.unwrap_or(0), left: remaining.map(i64::from) };
            levels.insert(item, level);
        }
        let Some(level) = levels.get_mut(item) else { continue };
        match change {
            StockChange::Return(_) => level.left = level.left.map(|left| left + i64::from(draw.quantity)),
            StockChange::Take(_) => {
                level.left = level.left.map(|left| left - i64::from(draw.quantity));
                let is_short = level.left.is_none_or(|left| left < 0);
                if is_short && !shortages.iter().any(|shortage| shortage.item == draw.item) {
                    shortages.push(StockShortage { item: draw.item.clone(), available: level.available });
                }
            }
        }
    }
    Ok(shortages)
}

/// Writes a commit whose conditions hold.
fn write(transaction: &Transaction<'_>, encoded: &EncodedCommit) -> Result<(), Failure> {
    let commit = &encoded.commit;
    if let (Some(change), Some(columns)) = (&commit.change, &encoded.change) {
        if commit.expected_version == 0 {
            insert_order(transaction, change, columns)?;
        } else {
            update_order(transaction, change, columns, commit.expected_version)?;
        }
        insert_events(transaction, change, columns)?;
    }
    if let Some(claim) = &commit.claim {
        insert_claim(transaction, encoded, claim)?;
    }
    change_stock(transaction, commit.restaurant_id, &commit.stock)?;
    extend_marks(transaction, commit.restaurant_id, &commit.unavailable)?;
    if let Some(lease) = &commit.completes {
        let deleted = transaction.prepare_cached(DELETE_TASK)?.execute([id_bytes(lease.task_id)])?;
        expect_one(deleted, "the completed task")?;
    }
    for (task, columns) in commit.tasks.iter().zip(&encoded.tasks) {
        let kind = task.task.kind();
        transaction.prepare_cached(INSERT_TASK)?.execute(params![
            id_bytes(task.id),
            id_bytes(commit.order_id),
            kind.queue().as_str(),
            kind.as_str(),
            columns.payload,
            columns.run_at_ns,
            kind.needs_admin().then_some(encoded.at_ns),
        ])?;
    }
    Ok(())
}

fn insert_claim(
    transaction: &Transaction<'_>,
    encoded: &EncodedCommit,
    claim: &Claim,
) -> Result<(), Failure> {
    let commit = &encoded.commit;
    // A commit without a change was answered with the order's current version.
    let version = commit.change.as_ref().map_or(commit.expected_version, |change| change.order.version);
    transaction.prepare_cached(INSERT_CLAIM)?.execute(params![
        id_bytes(claim.account_id),
        id_bytes(commit.restaurant_id),
        claim.key.as_str(),
        claim.fingerprint.0,
        id_bytes(commit.order_id),
        version,
        encoded.at_ns,
        stored_version(FINGERPRINT_VERSION),
    ])?;
    Ok(())
}

fn insert_order(
    transaction: &Transaction<'_>,
    change: &Change,
    columns: &EncodedChange,
) -> Result<(), Failure> {
    let order = &change.order;
    transaction.prepare_cached(INSERT_ORDER)?.execute(params![
        id_bytes(order.id),
        id_bytes(order.details.restaurant_id),
        id_bytes(order.details.customer_id),
        order.courier_id.map(id_bytes),
        order.status.as_str(),
        order.status.is_terminal(),
        order.payment_status.as_str(),
        order.version,
        order.details.currency.code(),
        order.details.amounts.total.minor(),
        order.captured.minor(),
        order.refunded.minor(),
        columns.acceptance_deadline_ns,
        columns.ready_by_ns,
        columns.closure,
        columns.placed_at_ns,
        columns.updated_at_ns,
        columns.details,
        order.payment_reference.as_ref().map(PaymentReference::as_str),
        columns.refunds,
        columns.format,
    ])?;
    Ok(())
}

fn update_order(
    transaction: &Transaction<'_>,
    change: &Change,
    columns: &EncodedChange,
    expected_version: Version,
) -> Result<(), Failure> {
    let order = &change.order;
    let updated = transaction.prepare_cached(UPDATE_ORDER)?.execute(params![
        id_bytes(order.id),
        expected_version,
        order.courier_id.map(id_bytes),
        order.status.as_str(),
        order.status.is_terminal(),
        order.payment_status.as_str(),
        order.version,
        order.captured.minor(),
        order.refunded.minor(),
        columns.acceptance_deadline_ns,
        columns.ready_by_ns,
        columns.closure,
        columns.updated_at_ns,
        order.payment_reference.as_ref().map(PaymentReference::as_str),
        columns.refunds,
        columns.format,
    ])?;
    expect_one(updated, "the order")
}

fn insert_events(
    transaction: &Transaction<'_>,
    change: &Change,
    columns: &EncodedChange,
) -> Result<(), Failure> {
    let mut statement = transaction.prepare_cached(INSERT_EVENT)?;
    for (recorded, event) in change.events.iter().zip(&columns.events) {
        statement.execute(params![
            id_bytes(recorded.order_id),
            recorded.version,
            event.name,
            columns.data_of(event),
            event.actor,
            event.at_ns,
        ])?;
    }
    Ok(())
}

fn change_stock(
    transaction: &Transaction<'_>,
    restaurant_id: RestaurantId,
    changes: &[StockChange],
) -> Result<(), Failure> {
    for change in changes {
        let (StockChange::Take(draw) | StockChange::Return(draw)) = change;
        let parameters = params![id_bytes(restaurant_id), draw.item.as_str(), draw.quantity];
        match change {
            StockChange::Take(_) => {
                let updated = transaction.prepare_cached(TAKE_STOCK)?.execute(parameters)?;
                expect_one(updated, "the drawn stock")?;
            }
            // Stock that is no longer limited has no row to update.
            StockChange::Return(_) => {
                transaction.prepare_cached(RETURN_STOCK)?.execute(parameters)?;
            }
        }
    }
    Ok(())
}

/// Deletes the oldest keys claimed before a time.
pub(super) fn delete_expired_keys(
    transaction: &Transaction<'_>,
    claimed_before_ns: i64,
    limit: u32,
) -> Result<u32, Failure> {
    let deleted =
        transaction.prepare_cached(DELETE_EXPIRED_KEYS)?.execute(params![claimed_before_ns, limit])?;
    Ok(deleted_keys(deleted)?)
}

fn expect_one(rows: usize, what: &str) -> Result<(), Failure> {
    if rows == 1 { Ok(()) } else { Err(Failure::corrupt(format!("{what} has {rows} rows instead of one"))) }
}
