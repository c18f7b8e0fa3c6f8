//! Lists of orders: one statement per index range.

use dabba_domain::{
    OrderId, RestaurantId,
    order::{Order, OrderStatus},
};
use dabba_store::{CodeMatches, CodeQuery, OrderPage, OrderQuery};
use dabba_store_sql::{
    ABOVE_EVERY_ID, StoredRow as _,
    lists::{IndexRange, ListPlan, RangeRead},
    orders::order_of,
};
use rusqlite::{Connection, ToSql};

use super::read::order_columns;
use crate::{
    codec::{IdBytes, SqliteRow},
    failure::Failure,
};

/// Returns the condition for a range's orders. `?1` is the owner. Whether an order is terminal is a literal and not a
/// parameter, because `SQLite` must see the value to use the index of open orders.
const fn condition(range: IndexRange) -> &'static str {
    match range {
        IndexRange::Customer => "customer_id = ?1",
        IndexRange::RestaurantOpen => "restaurant_id = ?1 AND is_terminal = 0",
        IndexRange::RestaurantTerminal => "restaurant_id = ?1 AND is_terminal = 1",
        IndexRange::CourierOpen => "courier_id = ?1 AND is_terminal = 0",
        IndexRange::CourierTerminal => "courier_id = ?1 AND is_terminal = 1",
        IndexRange::AllOpen => "is_terminal = 0",
        IndexRange::All => "TRUE",
    }
}

/// Returns the statement that reads a range before the order `?2`. With a filter, the statuses are the parameters from
/// `?4` on, as many as there are statuses.
pub(crate) fn sql(range: IndexRange, is_filtered: bool) -> String {
    let mut sql =
        format!(concat!("SELECT ", order_columns!(), " FROM orders WHERE {} AND id < ?2"), condition(range));
    if is_filtered {
        let last = 3 + OrderStatus::ALL.len();
        let places = (4..=last).map(|number| format!("?{number}")).collect::<Vec<_>>().join(", ");
        sql.push_str(" AND status IN (");
        sql.push_str(&places);
        sql.push(')');
    }
    sql.push_str(" ORDER BY id DESC LIMIT ?3");
    sql
}

pub(super) fn list_orders(connection: &mut Connection, query: &OrderQuery) -> Result<OrderPage, Failure> {
    let plan = ListPlan::new(query);
    let statuses = names(&query.statuses);
    // One transaction, so that both ranges show the same moment.
    let transaction = connection.transaction()?;
    let mut orders = Vec::new();
    for read in &plan.reads {
        let limit = plan.missing(orders.len());
        if limit == 0 {
            break;
        }
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        read_range(&transaction, read, &statuses, limit, &mut orders)?;
    }
    Ok(plan.page(orders))
}

/// Reads the newest open orders of a restaurant in these statuses, placed before an order if there is one.
pub(super) fn open_orders(
    connection: &Connection,
    restaurant_id: RestaurantId,
    statuses: &[OrderStatus],
    before: Option<OrderId>,
    limit: u32,
) -> Result<Vec<Order>, Failure> {
    let (range, owner) = (IndexRange::RestaurantOpen, restaurant_id.uuid());
    let before = before.map_or(ABOVE_EVERY_ID, OrderId::uuid);
    let mut orders = Vec::new();
    if statuses.is_empty() {
        // Without a filter, the range would contain orders in every status.
        return Ok(orders);
    }
    read_range(connection, &RangeRead { range, owner, before }, &names(statuses), limit.into(), &mut orders)?;
    Ok(orders)
}

/// Reads the newest ids. The condition holds for every id; without it, `SQLite` calls the walk a scan.
pub(crate) const FIND_NEWEST_IDS: &str = "SELECT id FROM orders WHERE id < ?1 ORDER BY id DESC LIMIT ?2";

/// Finds the orders with a display code. Compares the code of each id, because no index contains the codes.
pub(super) fn orders_with_code(connection: &Connection, query: &CodeQuery) -> Result<CodeMatches, Failure> {
    let before: IdBytes = ABOVE_EVERY_ID.into_bytes();
    let mut statement = connection.prepare_cached(FIND_NEWEST_IDS)?;
    let mut rows = statement.query((before, query.max_read))?;
    let ids = std::iter::from_fn(|| match rows.next() {
        Ok(row) => row.map(|row| Ok(SqliteRow(row).id(0)?)),
        Err(error) => Some(Err(Failure::from(error))),
    });
    CodeMatches::among(query, ids)
}

/// Returns the names of these statuses, each at most once. The last one is repeated, so that one statement serves every
/// number of statuses.
fn names(statuses: &[OrderStatus]) -> Vec<&'static str> {
    let mut names: Vec<&'static str> = OrderStatus::ALL
        .iter()
        .filter(|status| statuses.contains(status))
        .map(|status| status.as_str())
        .collect();
    if let Some(last) = names.last().copied() {
        names.resize(OrderStatus::ALL.len(), last);
    }
    names
}

/// Reads at most `limit` orders of a range, in one of these statuses unless there are none.
fn read_range(
    connection: &Connection,
    read: &RangeRead,
    statuses: &[&'static str],
    limit: i64,
    orders: &mut Vec<Order>,
) -> Result<(), Failure> {
    let (owner, before): (IdBytes, IdBytes) = (read.owner.into_bytes(), read.before.into_bytes());
    let mut parameters: Vec<&dyn ToSql> = vec![&owner, &before, &limit];
    parameters.extend(statuses.iter().map(|status| status as &dyn ToSql));
    let mut statement = connection.prepare_cached(&sql(read.range, !statuses.is_empty()))?;
    let mut rows = statement.query(&*parameters)?;
    while let Some(row) = rows.next()? {
        orders.push(order_of(SqliteRow(row))?);
    }
    Ok(())
}
