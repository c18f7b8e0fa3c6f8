//! Lists of orders.
//!
//! A list is read from one or two ranges of an index, each newest first: terminal orders, open orders, or all
//! orders. A restaurant's list is one range after the other; a courier's list merges both. A filter by status
//! skips the range in which no order can match, so that the most frequent list, of open orders, never reads
//! terminal orders.

use dabba_domain::order::{Order, OrderStatus};
use dabba_store::{OrderCursor, OrderPage, OrderQuery, OrderScope};
use rusqlite::{Connection, ToSql};

use super::read::{order_columns, order_of};
use crate::{
    codec::{ABOVE_EVERY_ID, IdBytes, id_bytes},
    failure::Failure,
};

/// A range of an index that holds orders newest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IndexRange {
    Customer,
    RestaurantOpen,
    RestaurantTerminal,
    CourierOpen,
    CourierTerminal,
    AllOpen,
    All,
}

impl IndexRange {
    #[cfg(test)]
    pub(crate) const EVERY: [Self; 7] = [
        Self::Customer,
        Self::RestaurantOpen,
        Self::RestaurantTerminal,
        Self::CourierOpen,
        Self::CourierTerminal,
        Self::AllOpen,
        Self::All,
    ];

    /// Returns the condition for the range's orders. `?1` is the owner. Whether an order is terminal is a
    /// literal and not a parameter, because `SQLite` must see the value to use the index of open orders.
    const fn condition(self) -> &'static str {
        match self {
            Self::Customer => "customer_id = ?1",
            Self::RestaurantOpen => "restaurant_id = ?1 AND is_terminal = 0",
            Self::RestaurantTerminal => "restaurant_id = ?1 AND is_terminal = 1",
            Self::CourierOpen => "courier_id = ?1 AND is_terminal = 0",
            Self::CourierTerminal => "courier_id = ?1 AND is_terminal = 1",
            Self::AllOpen => "is_terminal = 0",
            Self::All => "TRUE",
        }
    }

    /// Returns the statement that reads the range after the order `?2`. With a filter, the statuses are the
    /// parameters from `?4` on, as many as there are statuses.
    pub(crate) fn sql(self, is_filtered: bool) -> String {
        let mut sql = format!(
            concat!("SELECT ", order_columns!(), " FROM orders WHERE {} AND id < ?2"),
            self.condition()
        );
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
}

/// Statuses to include.
struct Filter {
    /// Each status at most once; empty if all orders match.
    statuses: Vec<OrderStatus>,
}

impl Filter {
    fn new(statuses: &[OrderStatus]) -> Self {
        Self {
            statuses: OrderStatus::ALL.iter().copied().filter(|status| statuses.contains(status)).collect(),
        }
    }

    /// Returns whether any terminal order, or any open order, can match.
    fn can_match(&self, terminal: bool) -> bool {
        self.statuses.is_empty() || self.statuses.iter().any(|status| status.is_terminal() == terminal)
    }
}

pub(super) fn list_orders(connection: &mut Connection, query: &OrderQuery) -> Result<OrderPage, Failure> {
    let filter = Filter::new(&query.statuses);
    let limit = query.limit.get() as usize;
    // One order more than the page holds shows whether another page follows.
    let wanted = limit + 1;
    let before = query.after.map_or(ABOVE_EVERY_ID, |cursor| id_bytes(cursor.order_id));
    // Both ranges must show the same moment; otherwise an order that ends meanwhile appears in both.
    let transaction = connection.transaction()?;
    let read = |range: IndexRange, owner: IdBytes, before: IdBytes, wanted: usize| {
        read_range(&transaction, range, owner, before, &filter, wanted)
    };
    let mut orders = match query.scope {
        OrderScope::Customer(id) => read(IndexRange::Customer, id_bytes(id), before, wanted)?,
        OrderScope::All if filter.can_match(true) => read(IndexRange::All, ABOVE_EVERY_ID, before, wanted)?,
        OrderScope::All => read(IndexRange::AllOpen, ABOVE_EVERY_ID, before, wanted)?,
        OrderScope::Courier(id) => {
            let mut orders = Vec::new();
            for (terminal, range) in [(false, IndexRange::CourierOpen), (true, IndexRange::CourierTerminal)] {
                if filter.can_match(terminal) {
                    orders.extend(read(range, id_bytes(id), before, wanted)?);
                }
            }
            orders.sort_unstable_by_key(|order| std::cmp::Reverse(order.id));
            orders
        }
        OrderScope::Restaurant(id) => {
            let is_after_open_orders = query.after.is_some_and(|cursor| cursor.terminal);
            let mut orders = Vec::new();
            if !is_after_open_orders && filter.can_match(false) {
                orders = read(IndexRange::RestaurantOpen, id_bytes(id), before, wanted)?;
            }
            if orders.len() < wanted && filter.can_match(true) {
                let before = if is_after_open_orders { before } else { ABOVE_EVERY_ID };
                let missing = wanted - orders.len();
                orders.extend(read(IndexRange::RestaurantTerminal, id_bytes(id), before, missing)?);
            }
            orders
        }
    };
    let is_more = orders.len() > limit;
    orders.truncate(limit);
    let next = if is_more { orders.last().map(OrderCursor::behind) } else { None };
    Ok(OrderPage { orders, next, incomplete: false })
}

fn read_range(
    connection: &Connection,
    range: IndexRange,
    owner: IdBytes,
    before: IdBytes,
    filter: &Filter,
    wanted: usize,
) -> Result<Vec<Order>, Failure> {
    let is_filtered = !filter.statuses.is_empty();
    let limit = i64::try_from(wanted).unwrap_or(i64::MAX);
    let mut parameters: Vec<&dyn ToSql> = vec![&owner, &before, &limit];
    let names: Vec<&str> = filter.statuses.iter().map(|status| status.as_str()).collect();
    if is_filtered {
        // The last status is repeated, so that one statement serves every number of statuses.
        let repeated = names.iter().chain(std::iter::repeat(&names[names.len() - 1]));
        parameters.extend(repeated.take(OrderStatus::ALL.len()).map(|name| name as &dyn ToSql));
    }
    let mut statement = connection.prepare_cached(&range.sql(is_filtered))?;
    let mut rows = statement.query(&*parameters)?;
    let mut orders = Vec::new();
    while let Some(row) = rows.next()? {
        orders.push(order_of(row)?);
    }
    Ok(orders)
}
