//! The transaction that writes a plan if all conditions of the plan hold.

use std::collections::HashMap;

use dabba_domain::{
    ids::Id,
    order::{Order, PaymentReference},
};
use deadpool_postgres::ClientWrapper;
use futures::FutureExt as _;
use tokio_postgres::{Row, Statement, types::ToSql};
use uuid::Uuid;

use dabba_store::encoding::{EncodedChange, EncodedCommit};

use super::{
    marks::{EXTEND_MARKS, LOCK_RESTAURANTS, extend_marks, lock_restaurants},
    plan::{MAX_REMAINING, Plan},
    view::{FIND_REVISIONS, FIND_STOCK, FIND_VERSIONS, revision_of},
};
use crate::{
    codec::{read, read_id, read_number},
    failure::Failure,
    pool::{BEGIN_SERIALIZABLE, Connection, Step},
    shard::{FIND_BUCKETS, only_buckets},
};

/// If another transaction claims the same key, waits for it, and fails with 40001 once that transaction has
/// committed: a snapshot cannot include a later commit.
pub(crate) const INSERT_CLAIMS: &str = "\
    INSERT INTO idempotency_keys \
        (account_id, restaurant_id, key, fingerprint, order_id, version, claimed_at_ns) \
    SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::bytea[], $5::uuid[], $6::bigint[], $7::bigint[]) \
    ON CONFLICT (account_id, restaurant_id, key) DO NOTHING";

pub(crate) const DELETE_LEASED: &str = "\
    DELETE FROM tasks USING unnest($1::uuid[], $2::bigint[]) AS lease (id, token) \
    WHERE tasks.id = lease.id AND tasks.attempts = lease.token AND tasks.leased_until_ns IS NOT NULL";

/// Inserts orders from arrays of their columns, in the order of [`OrderColumns`].
macro_rules! proposed_orders {
    () => {
        "INSERT INTO orders (id, restaurant_id, customer_id, courier_id, version, total, captured, refunded, \
            acceptance_deadline_ns, ready_by_ns, placed_at_ns, updated_at_ns, is_terminal, status, \
            payment_status, currency, closure, payment_reference, refunds) \
         SELECT id, restaurant_id, customer_id, courier_id, version, total, captured, refunded, \
            acceptance_deadline_ns, ready_by_ns, placed_at_ns, updated_at_ns, is_terminal, status, \
            payment_status, currency, closure::json, payment_reference, refunds::json \
         FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::bigint[], $6::bigint[], $7::bigint[], \
            $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::boolean[], $14::text[], \
            $15::text[], $16::text[], $17::text[], $18::text[], $19::text[]) \
         AS proposed (id, restaurant_id, customer_id, courier_id, version, total, captured, refunded, \
            acceptance_deadline_ns, ready_by_ns, placed_at_ns, updated_at_ns, is_terminal, status, \
            payment_status, currency, closure, payment_reference, refunds) "
    };
}

/// Fails if an order exists already, which never happens in normal operation. A check by `ON CONFLICT` would cost a
/// second index search and a lock for every row.
pub(crate) const INSERT_ORDERS: &str = proposed_orders!();

/// Updates orders by an insert. `UPDATE ... WHERE id = ...` would search the index as a reader. In a SERIALIZABLE
/// transaction, a reader of an index page conflicts with every transaction that inserts into the same page: two
/// servers that change different orders of the same minute would conflict. `ON CONFLICT` searches the index
/// as a writer.
///
/// The proposed row has an empty currency, and the update leaves the currency of an existing row unchanged. If the
/// returned currency is empty, the order did not exist.
pub(crate) const UPDATE_ORDERS: &str = concat!(
    proposed_orders!(),
    "ON CONFLICT (id) DO UPDATE SET \
        courier_id = excluded.courier_id, version = excluded.version, captured = excluded.captured, \
        refunded = excluded.refunded, acceptance_deadline_ns = excluded.acceptance_deadline_ns, \
        ready_by_ns = excluded.ready_by_ns, updated_at_ns = excluded.updated_at_ns, \
        is_terminal = excluded.is_terminal, status = excluded.status, \
        payment_status = excluded.payment_status, closure = excluded.closure, \
        payment_reference = excluded.payment_reference, refunds = excluded.refunds \
     WHERE orders.version = ($20::bigint[])[array_position($1::uuid[], orders.id)] \
     RETURNING currency <> ''"
);

/// `needed` is the stock required at the start so that the batch's changes, one after the other, never make the stock
/// negative.
pub(crate) const CHANGE_STOCK: &str = "\
    UPDATE stock SET remaining = least(stock.remaining + effect.delta, $6::bigint) \
    FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::bigint[], $5::boolean[]) \
        AS effect (restaurant_id, item, delta, needed, takes) \
    WHERE stock.restaurant_id = effect.restaurant_id AND stock.item = effect.item \
        AND stock.remaining >= effect.needed \
    RETURNING effect.takes";

/// Inserts in the order of the arrays, so that the feed's sequence numbers follow the order of the commits.
macro_rules! insert_events {
    () => {
        "INSERT INTO order_events (order_id, version, at_ns, type, actor, data) \
         SELECT order_id, version, at_ns, type, actor::json, data::json \
         FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::text[]) \
             AS event (order_id, version, at_ns, type, actor, data) "
    };
}

/// Inserts the events of new orders. Fails like [`INSERT_ORDERS`].
pub(crate) const INSERT_FIRST_EVENTS: &str = insert_events!();

/// Inserts events, and skips existing ones. Existing events mean that another transaction has changed the order in
/// the meantime, which is normal.
pub(crate) const INSERT_EVENTS: &str =
    concat!(insert_events!(), "ON CONFLICT (order_id, version) DO NOTHING");

/// Inserts tasks, whose ids are new. Fails like [`INSERT_ORDERS`].
pub(crate) const INSERT_TASKS: &str = "\
    INSERT INTO tasks (id, order_id, queue, kind, payload, run_at_ns, parked_at_ns) \
    SELECT id, order_id, queue, kind, payload::json, run_at_ns, parked_at_ns \
    FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::bigint[]) \
        AS task (id, order_id, queue, kind, payload, run_at_ns, parked_at_ns)";

/// All statements of a plan, in the order in which [`every_step`] destructures them.
const STATEMENTS: [&str; 14] = [
    INSERT_CLAIMS,
    DELETE_LEASED,
    FIND_VERSIONS,
    FIND_REVISIONS,
    FIND_STOCK,
    INSERT_ORDERS,
    UPDATE_ORDERS,
    CHANGE_STOCK,
    INSERT_FIRST_EVENTS,
    INSERT_EVENTS,
    INSERT_TASKS,
    FIND_BUCKETS,
    LOCK_RESTAURANTS,
    EXTEND_MARKS,
];

/// [`STATEMENTS`], prepared.
type Statements = [Statement; STATEMENTS.len()];

/// Lets the server parse and plan all statements, so that the first batch on a connection does not wait for that.
/// Writes nothing.
pub(super) async fn prepare_statements(connection: &Connection) -> Result<(), Failure> {
    let statements = connection.prepare(STATEMENTS).await?;
    let empty_plan = Plan::default();
    let steps = |client| every_step(client, &statements, &empty_plan).map(|(_, step)| step).into();
    connection.begin_with(BEGIN_SERIALIZABLE, steps).await?;
    connection.rollback().await;
    Ok(())
}

/// Writes a plan. Returns `false`, and writes nothing, if a condition of the plan does not hold.
pub(super) async fn write(connection: &Connection, plan: &Plan<'_>) -> Result<bool, Failure> {
    let statements = connection.prepare(STATEMENTS).await?;
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
) -> [(bool, Step<'a, bool>); STATEMENTS.len()] {
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
    let claims = plan.claims.values();
    let count = claims.len();
    let (mut accounts, mut restaurants, mut keys) = (Vec::new(), Vec::new(), Vec::new());
    let (mut fingerprints, mut orders, mut versions, mut times) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (claim, EncodedCommit { commit, at_ns, .. }) in claims {
        accounts.push(claim.account_id.uuid());
        restaurants.push(commit.restaurant_id.uuid());
        keys.push(claim.key.as_str());
        fingerprints.push(&claim.fingerprint.0[..]);
        orders.push(commit.order_id.uuid());
        // Without a change, the response was the order at its expected version.
        let version = commit.change.as_ref().map_or(commit.expected_version, |change| change.order.version);
        versions.push(i64::from(version));
        times.push(*at_ns);
    }
    let parameters: [&(dyn ToSql + Sync); 7] =
        [&accounts, &restaurants, &keys, &fingerprints, &orders, &versions, &times];
    Ok(is_all(client.execute(sql, &parameters).await?, count))
}

async fn are_buckets_held(client: &ClientWrapper, sql: &Statement, plan: &Plan<'_>) -> Result<bool, Failure> {
    let held = only_buckets(&client.query(sql, &[]).await?)?;
    Ok(plan.buckets.is_none_or(|(lowest, highest)| held.contains(lowest) && held.contains(highest)))
}

async fn are_unchanged(client: &ClientWrapper, sql: &Statement, plan: &Plan<'_>) -> Result<bool, Failure> {
    let orders: Vec<Uuid> = plan.unchanged.keys().map(|id| id.uuid()).collect();
    let rows = client.query(sql, &[&orders]).await?;
    let found = rows
        .iter()
        .map(|row| Ok((read_id(row, 0)?, read_number(row, 1)?)))
        .collect::<Result<HashMap<_, _>, Failure>>()?;
    Ok(plan.unchanged.iter().all(|(id, version)| found.get(id).copied().unwrap_or(0) == *version))
}

async fn are_guards_met(client: &ClientWrapper, sql: &Statement, plan: &Plan<'_>) -> Result<bool, Failure> {
    let restaurants: Vec<Uuid> = plan.guards.keys().map(|id| id.uuid()).collect();
    let rows = client.query(sql, &[&restaurants]).await?;
    let found = rows.iter().map(revision_of).collect::<Result<HashMap<_, _>, _>>()?;
    Ok(plan.guards.iter().all(|(id, guard)| found.get(id) == Some(guard)))
}

async fn is_stock_refused(client: &ClientWrapper, sql: &Statement, plan: &Plan<'_>) -> Result<bool, Failure> {
    let (restaurants, items): (Vec<Uuid>, Vec<&str>) =
        plan.refused_stock.keys().map(|(restaurant, item)| (restaurant.uuid(), item.as_str())).unzip();
    let rows = client.query(sql, &[&restaurants, &items]).await?;
    let mut found = HashMap::with_capacity(rows.len());
    for row in &rows {
        let key: (_, &str) = (read_id(row, 0)?, read(row, 1)?);
        found.insert(key, read_number(row, 2)?);
    }
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
    for encoded in plan.created.values() {
        columns.push(encoded, |order| order.details.currency.code());
    }
    Ok(is_all(client.execute(sql, &columns.parameters()).await?, columns.ids.len()))
}

async fn update_orders(client: &ClientWrapper, sql: &Statement, plan: &Plan<'_>) -> Result<bool, Failure> {
    let mut columns = OrderColumns::default();
    let mut expected = Vec::with_capacity(plan.updated.len());
    for (version, encoded) in plan.updated.values() {
        columns.push(encoded, |_| "");
        expected.push(i64::from(*version));
    }
    let mut parameters = columns.parameters().to_vec();
    parameters.push(&expected);
    let rows = client.query(sql, &parameters).await?;
    let existed = |row: &Row| read::<bool>(row, 0);
    Ok(rows.len() == expected.len()
        && rows.iter().map(existed).collect::<Result<Vec<_>, _>>()?.iter().all(|it| *it))
}

/// The columns of orders, each as an array.
#[derive(Default)]
struct OrderColumns<'b> {
    ids: Vec<Uuid>,
    restaurants: Vec<Uuid>,
    customers: Vec<Uuid>,
    couriers: Vec<Option<Uuid>>,
    versions: Vec<i64>,
    totals: Vec<i64>,
    captured: Vec<i64>,
    refunded: Vec<i64>,
    acceptance_deadlines: Vec<Option<i64>>,
    ready_by: Vec<Option<i64>>,
    placed_at: Vec<i64>,
    updated_at: Vec<i64>,
    terminal: Vec<bool>,
    statuses: Vec<&'static str>,
    payment_statuses: Vec<&'static str>,
    currencies: Vec<&'b str>,
    closures: Vec<Option<&'b str>>,
    payment_references: Vec<Option<&'b str>>,
    refunds: Vec<Option<&'b str>>,
}

impl<'b> OrderColumns<'b> {
    fn push(&mut self, encoded: &'b EncodedCommit, currency: impl FnOnce(&'b Order) -> &'b str) {
        let (Some(change), Some(columns)) = (&encoded.commit.change, &encoded.change) else { return };
        let order = &change.order;
        let EncodedChange {
            refunds,
            closure,
            acceptance_deadline_ns,
            ready_by_ns,
            placed_at_ns,
            updated_at_ns,
            ..
        } = columns;
        self.ids.push(order.id.uuid());
        self.restaurants.push(order.details.restaurant_id.uuid());
        self.customers.push(order.details.customer_id.uuid());
        self.couriers.push(order.courier_id.map(Id::uuid));
        self.versions.push(i64::from(order.version));
        self.totals.push(order.details.amounts.total.minor());
        self.captured.push(order.captured.minor());
        self.refunded.push(order.refunded.minor());
        self.acceptance_deadlines.push(*acceptance_deadline_ns);
        self.ready_by.push(*ready_by_ns);
        self.placed_at.push(*placed_at_ns);
        self.updated_at.push(*updated_at_ns);
        self.terminal.push(order.status.is_terminal());
        self.statuses.push(order.status.as_str());
        self.payment_statuses.push(order.payment_status.as_str());
        self.currencies.push(currency(order));
        self.closures.push(closure.as_deref());
        self.payment_references.push(order.payment_reference.as_ref().map(PaymentReference::as_str));
        self.refunds.push(refunds.as_deref());
    }

    fn parameters(&self) -> [&(dyn ToSql + Sync); 19] {
        [
            &self.ids,
            &self.restaurants,
            &self.customers,
            &self.couriers,
            &self.versions,
            &self.totals,
            &self.captured,
            &self.refunded,
            &self.acceptance_deadlines,
            &self.ready_by,
            &self.placed_at,
            &self.updated_at,
            &self.terminal,
            &self.statuses,
            &self.payment_statuses,
            &self.currencies,
            &self.closures,
            &self.payment_references,
            &self.refunds,
        ]
    }
}

async fn insert_events(client: &ClientWrapper, sql: &Statement, plan: &Plan<'_>) -> Result<bool, Failure> {
    let (mut orders, mut versions, mut times) = (Vec::new(), Vec::new(), Vec::new());
    let (mut names, mut actors, mut data) = (Vec::new(), Vec::new(), Vec::new());
    for encoded in &plan.committed {
        let (Some(change), Some(columns)) = (&encoded.commit.change, &encoded.change) else { continue };
        for (recorded, event) in change.events.iter().zip(&columns.events) {
            orders.push(recorded.order_id.uuid());
            versions.push(i64::from(recorded.version));
            times.push(event.at_ns);
            names.push(event.name);
            actors.push(event.actor.as_str());
            data.push(columns.data_of(event));
        }
    }
    let inserted = client.execute(sql, &[&orders, &versions, &times, &names, &actors, &data]).await?;
    Ok(is_all(inserted, orders.len()))
}

async fn insert_tasks(client: &ClientWrapper, sql: &Statement, plan: &Plan<'_>) -> Result<bool, Failure> {
    let (mut ids, mut orders, mut times) = (Vec::new(), Vec::new(), Vec::new());
    let (mut queues, mut kinds, mut payloads) = (Vec::new(), Vec::new(), Vec::new());
    let mut parked = Vec::new();
    for EncodedCommit { commit, tasks, at_ns, .. } in &plan.committed {
        for (task, columns) in commit.tasks.iter().zip(tasks) {
            let kind = task.task.kind();
            ids.push(task.id.uuid());
            orders.push(task.order_id.uuid());
            queues.push(kind.queue().as_str());
            kinds.push(kind.as_str());
            payloads.push(columns.payload.as_deref());
            times.push(columns.run_at_ns);
            parked.push(kind.is_for_people().then_some(*at_ns));
        }
    }
    let parameters: [&(dyn ToSql + Sync); 7] = [&ids, &orders, &queues, &kinds, &payloads, &times, &parked];
    Ok(is_all(client.execute(sql, &parameters).await?, ids.len()))
}
