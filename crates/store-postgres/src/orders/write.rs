//! The transaction that writes a plan if all conditions of the plan hold.

use std::collections::HashMap;

use dabba_store::{
    Change,
    encoding::{EncodedChange, EncodedCommit},
};
use dabba_store_sql::StoredRow as _;
use deadpool_postgres::ClientWrapper;
use futures::FutureExt as _;
use tokio_postgres::{Row, Statement};
use uuid::Uuid;

use super::{
    columns::{
        ClaimColumns, EventColumns, INSERT_CLAIMS, INSERT_EVENTS, INSERT_FIRST_EVENTS, INSERT_ORDERS,
        INSERT_TASKS, OrderColumns, TaskColumns, UPDATE_ORDERS,
    },
    marks::{EXTEND_MARKS, LOCK_RESTAURANTS, extend_marks, lock_restaurants},
    plan::{MAX_REMAINING, Plan},
    view::{FIND_REVISIONS, FIND_STOCK, FIND_VERSIONS, revisions_of},
};
use crate::{
    codec::{collect, read},
    failure::Failure,
    pool::{BEGIN_SERIALIZABLE, Connection, Step},
    shard::{FIND_BUCKETS, only_buckets},
};

pub(crate) const DELETE_LEASED: &str = "\
    DELETE FROM tasks USING unnest($1::uuid[], $2::bigint[]) AS lease (id, token) \
    WHERE tasks.id = lease.id AND tasks.attempts = lease.token AND tasks.leased_until_ns IS NOT NULL";

/// `needed` is the stock required at the start so that the batch's changes, one after the other, never make the stock
/// negative.
pub(crate) const CHANGE_STOCK: &str = "\
    UPDATE stock SET remaining = least(stock.remaining + effect.delta, $6::bigint) \
    FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::bigint[], $5::boolean[]) \
        AS effect (restaurant_id, item, delta, needed, takes) \
    WHERE stock.restaurant_id = effect.restaurant_id AND stock.item = effect.item \
        AND stock.remaining >= effect.needed \
    RETURNING effect.takes";

/// Number of statements of a plan.
const STATEMENTS: usize = 14;

/// Returns all statements of a plan, in the order in which [`every_step`] destructures them.
fn statements() -> [&'static str; STATEMENTS] {
    [
        &INSERT_CLAIMS,
        DELETE_LEASED,
        FIND_VERSIONS,
        FIND_REVISIONS,
        FIND_STOCK,
        &INSERT_ORDERS,
        &UPDATE_ORDERS,
        CHANGE_STOCK,
        &INSERT_FIRST_EVENTS,
        &INSERT_EVENTS,
        &INSERT_TASKS,
        FIND_BUCKETS,
        LOCK_RESTAURANTS,
        EXTEND_MARKS,
    ]
}

/// The statements of a plan, prepared.
type Statements = [Statement; STATEMENTS];

/// Lets the server parse and plan all statements, so that the first batch on a connection does not wait for that.
/// Writes nothing.
pub(super) async fn prepare_statements(connection: &Connection) -> Result<(), Failure> {
    let statements = connection.prepare(statements()).await?;
    let empty_plan = Plan::default();
    let steps = |client| every_step(client, &statements, &empty_plan).map(|(_, step)| step).into();
    connection.begin_with(BEGIN_SERIALIZABLE, steps).await?;
    connection.rollback().await;
    Ok(())
}

/// Writes a plan. Returns `false`, and writes nothing, if a condition of the plan does not hold.
pub(super) async fn write(connection: &Connection, plan: &Plan<'_>) -> Result<bool, Failure> {
    let statements = connection.prepare(statements()).await?;
    let steps = |client| steps(client, &statements, plan);
    let answers = match connection.begin_with(BEGIN_SERIALIZABLE, steps).await {
        Err(Failure::Duplicate(_)) => return Ok(false),
        answers => answers?,
    };
    if answers.iter().all(|holds| *holds) {
        connection.commit().await?;
        Ok(true)
    } else {
        connection.rollback().await;
        Ok(false)
    }
}

/// Returns the statements for a plan. Each step returns whether its condition of the plan holds. The number of
/// statements does not depend on the size of the batch, and a statement without work is left out.
///
/// Reads come before writes of the same table. Statements lock rows in the order of this list, and each statement in
/// sorted order. A plan that is wrong for an ordinary reason must not cause an error, because the server would log
/// it: hence `ON CONFLICT DO NOTHING`.
fn steps<'a>(
    client: &'a ClientWrapper,
    statements: &'a Statements,
    plan: &'a Plan<'_>,
) -> Vec<Step<'a, bool>> {
    let steps = every_step(client, statements, plan).into_iter();
    steps.filter_map(|(is_needed, step)| is_needed.then_some(step)).collect()
}

/// Returns all steps, each with whether the plan needs it.
fn every_step<'a>(
    client: &'a ClientWrapper,
    statements: &'a Statements,
    plan: &'a Plan<'_>,
) -> [(bool, Step<'a, bool>); STATEMENTS] {
    let [
        claims,
        leases,
        versions,
        revisions,
        stock,
        insert,
        update,
        change_stock,
        first_events,
        events,
        tasks,
        buckets,
        lock,
        marks,
    ] = statements;
    let has_events = plan.committed.iter().any(|encoded| encoded.change.is_some());
    let has_tasks = plan.committed.iter().any(|encoded| !encoded.commit.tasks.is_empty());
    let all_are_new = plan.updated.is_empty();
    [
        (true, are_buckets_held(client, buckets, plan).boxed()),
        (!plan.claims.is_empty(), insert_claims(client, claims, plan).boxed()),
        (!plan.unchanged.is_empty(), are_unchanged(client, versions, plan).boxed()),
        (!plan.guards.is_empty(), are_guards_met(client, revisions, plan).boxed()),
        (!plan.refused_stock.is_empty(), is_stock_refused(client, stock, plan).boxed()),
        (!plan.marks.is_empty(), lock_restaurants(client, lock, plan).boxed()),
        (!plan.marks.is_empty(), extend_marks(client, marks, plan).boxed()),
        (!plan.leases.is_empty(), delete_leased(client, leases, plan).boxed()),
        (!plan.stock.is_empty(), apply_stock(client, change_stock, plan).boxed()),
        (!all_are_new, update_orders(client, update, plan).boxed()),
        (!plan.created.is_empty(), insert_orders(client, insert, plan).boxed()),
        (has_events && all_are_new, insert_events(client, first_events, plan).boxed()),
        (has_events && !all_are_new, insert_events(client, events, plan).boxed()),
        (has_tasks, insert_tasks(client, tasks, plan).boxed()),
    ]
}

/// Returns whether a statement affected as many rows as it was given.
fn is_all(touched: u64, given: usize) -> bool {
    usize::try_from(touched) == Ok(given)
}

async fn insert_claims(client: &ClientWrapper, sql: &Statement, plan: &Plan<'_>) -> Result<bool, Failure> {
    let mut columns = ClaimColumns::default();
    for (claim, encoded) in plan.claims.values() {
        columns.push(claim, encoded);
    }
    Ok(is_all(client.execute(sql, &columns.parameters()).await?, columns.rows))
}

async fn are_buckets_held(client: &ClientWrapper, sql: &Statement, plan: &Plan<'_>) -> Result<bool, Failure> {
    let held = only_buckets(&client.query(sql, &[]).await?)?;
    Ok(plan.buckets.is_none_or(|(lowest, highest)| held.contains(lowest) && held.contains(highest)))
}

async fn are_unchanged(client: &ClientWrapper, sql: &Statement, plan: &Plan<'_>) -> Result<bool, Failure> {
    let orders: Vec<Uuid> = plan.unchanged.keys().map(|id| id.uuid()).collect();
    let rows = client.query(sql, &[&orders]).await?;
    let found: HashMap<_, _> = collect(&rows, |row| Ok((row.id(0)?, row.number(1)?)))?;
    Ok(plan.unchanged.iter().all(|(id, version)| found.get(id).copied().unwrap_or(0) == *version))
}

async fn are_guards_met(client: &ClientWrapper, sql: &Statement, plan: &Plan<'_>) -> Result<bool, Failure> {
    let restaurants: Vec<Uuid> = plan.guards.keys().map(|id| id.uuid()).collect();
    let rows = client.query(sql, &[&restaurants]).await?;
    let found: HashMap<_, _> = revisions_of(&rows)?;
    Ok(plan.guards.iter().all(|(id, guard)| found.get(id) == Some(guard)))
}

async fn is_stock_refused(client: &ClientWrapper, sql: &Statement, plan: &Plan<'_>) -> Result<bool, Failure> {
    let (restaurants, items): (Vec<Uuid>, Vec<&str>) =
        plan.refused_stock.keys().map(|(restaurant, item)| (restaurant.uuid(), item.as_str())).unzip();
    let rows = client.query(sql, &[&restaurants, &items]).await?;
    let found: HashMap<_, _> = collect(&rows, |row| Ok(((row.id(0)?, row.text(1)?), row.number(2)?)))?;
    Ok(plan.refused_stock.iter().all(|((restaurant, item), remaining)| {
        found.get(&(*restaurant, item.as_str())).copied() == *remaining
    }))
}

async fn delete_leased(client: &ClientWrapper, sql: &Statement, plan: &Plan<'_>) -> Result<bool, Failure> {
    let (tasks, tokens): (Vec<Uuid>, Vec<i64>) =
        plan.leases.values().map(|lease| (lease.task_id.uuid(), i64::from(lease.token))).unzip();
    Ok(is_all(client.execute(sql, &[&tasks, &tokens]).await?, tasks.len()))
}

async fn apply_stock(client: &ClientWrapper, sql: &Statement, plan: &Plan<'_>) -> Result<bool, Failure> {
    let (mut restaurants, mut items) = (Vec::new(), Vec::new());
    let (mut deltas, mut needed, mut takes) = (Vec::new(), Vec::new(), Vec::new());
    for ((restaurant, item), effect) in &plan.stock {
        restaurants.push(restaurant.uuid());
        items.push(item.as_str());
        deltas.push(effect.delta);
        needed.push(effect.needed);
        takes.push(effect.takes);
    }
    let rows = client.query(sql, &[&restaurants, &items, &deltas, &needed, &takes, &MAX_REMAINING]).await?;
    let mut taken = 0;
    for row in &rows {
        taken += usize::from(read::<bool>(row, 0)?);
    }
    // Returned stock has no row if the item's stock is not limited any more. That is no error.
    Ok(taken == takes.iter().filter(|takes| **takes).count())
}

async fn insert_orders(client: &ClientWrapper, sql: &Statement, plan: &Plan<'_>) -> Result<bool, Failure> {
    let mut columns = OrderColumns::default();
    for (change, encoded) in plan.created.values().filter_map(|encoded| change_of(encoded)) {
        columns.push(&change.order, encoded, change.order.details.currency.code());
    }
    Ok(is_all(client.execute(sql, &columns.parameters()).await?, columns.rows))
}

async fn update_orders(client: &ClientWrapper, sql: &Statement, plan: &Plan<'_>) -> Result<bool, Failure> {
    let mut columns = OrderColumns::default();
    let mut expected = Vec::with_capacity(plan.updated.len());
    for (version, encoded) in plan.updated.values() {
        let Some((change, encoded)) = change_of(encoded) else { continue };
        columns.push(&change.order, encoded, "");
        expected.push(i64::from(*version));
    }
    let mut parameters = columns.parameters().to_vec();
    parameters.push(&expected);
    let rows = client.query(sql, &parameters).await?;
    let existed = |row: &Row| read::<bool>(row, 0);
    Ok(rows.len() == expected.len()
        && rows.iter().map(existed).collect::<Result<Vec<_>, _>>()?.iter().all(|it| *it))
}

/// Returns the change of a commit and its encoded columns, if the commit changes its order.
fn change_of(encoded: &EncodedCommit) -> Option<(&Change, &EncodedChange)> {
    encoded.commit.change.as_ref().zip(encoded.change.as_ref())
}

async fn insert_events(client: &ClientWrapper, sql: &Statement, plan: &Plan<'_>) -> Result<bool, Failure> {
    let mut columns = EventColumns::default();
    for (change, encoded) in plan.committed.iter().filter_map(|encoded| change_of(encoded)) {
        for (recorded, event) in change.events.iter().zip(&encoded.events) {
            columns.push(recorded, event, encoded.data_of(event));
        }
    }
    Ok(is_all(client.execute(sql, &columns.parameters()).await?, columns.rows))
}

async fn insert_tasks(client: &ClientWrapper, sql: &Statement, plan: &Plan<'_>) -> Result<bool, Failure> {
    let mut columns = TaskColumns::default();
    for EncodedCommit { commit, tasks, at_ns, .. } in &plan.committed {
        for (task, encoded) in commit.tasks.iter().zip(tasks) {
            columns.push(task, encoded, *at_ns);
        }
    }
    Ok(is_all(client.execute(sql, &columns.parameters()).await?, columns.rows))
}
