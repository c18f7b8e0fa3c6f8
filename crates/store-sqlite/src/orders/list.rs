//! Lists of orders.
//!
//! A list is read from one or two stretches of an index, each newest first: the orders that are at
//! an end, those that are not, or all. A restaurant's list is the one behind the other; a courier's is
//! both merged. A filter by status leaves out the stretch in which nothing can pass, so that the
//! question asked most, for open orders, never wades through the finished ones.

use dabba_domain::order::{Order, OrderStatus};
use dabba_store::{OrderCursor, OrderPage, OrderQuery, OrderScope};
use rusqlite::{Connection, ToSql};

use super::read::{order_columns, order_of};
use crate::{
    codec::{ABOVE_EVERY_ID, IdBytes, id_bytes},
    failure::Failure,
};

/// A part of an index that holds orders newest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stretch {
    Customer,
    RestaurantOpen,
    RestaurantTerminal,
    CourierOpen,
    CourierTerminal,
    AllOpen,
    All,
}

impl Stretch {
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

    /// What is true of its orders. `?1` is whose they are. Whether an order is at an end stands here
    /// as a number, not as a parameter, since `SQLite` has to see it to use the index of open orders.
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

    /// The statement that reads it from behind the order `?2` on. With a filter, the statuses are the
    /// parameters from `?4` on, as many as there are statuses at all.
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

/// Which statuses pass.
struct Filter {
    /// Each at most once; none when all pass.
    statuses: Vec<OrderStatus>,
}

impl Filter {
    fn new(statuses: &[OrderStatus]) -> Self {
        Self {
            statuses: OrderStatus::ALL.iter().copied().filter(|status| statuses.contains(status)).collect(),
        }
    }

    /// Whether any order that is at an end, or that is not, can pass.
    fn lets_through(&self, terminal: bool) -> bool {
        self.statuses.is_empty() || self.statuses.iter().any(|status| status.is_terminal() == terminal)
    }
}

pub(super) fn list_orders(connection: &mut Connection, query: &OrderQuery) -> Result<OrderPage, Failure> {
    let filter = Filter::new(&query.statuses);
    let limit = query.limit.get() as usize;
    // One more than the page holds tells whether there is another page.
    let wanted = limit + 1;
    let before = query.after.map_or(ABOVE_EVERY_ID, |cursor| id_bytes(cursor.order_id));
    // Two stretches have to show the same moment, or an order that ends meanwhile is in both.
    let transaction = connection.transaction()?;
    let read = |stretch: Stretch, owner: IdBytes, before: IdBytes, wanted: usize| {
        read_stretch(&transaction, stretch, owner, before, &filter, wanted)
    };
    let mut orders = match query.scope {
        OrderScope::Customer(id) => read(Stretch::Customer, id_bytes(id), before, wanted)?,
        OrderScope::All if filter.lets_through(true) => read(Stretch::All, ABOVE_EVERY_ID, before, wanted)?,
        OrderScope::All => read(Stretch::AllOpen, ABOVE_EVERY_ID, before, wanted)?,
        OrderScope::Courier(id) => {
            let mut orders = Vec::new();
            for (terminal, stretch) in [(false, Stretch::CourierOpen), (true, Stretch::CourierTerminal)] {
                if filter.lets_through(terminal) {
                    orders.extend(read(stretch, id_bytes(id), before, wanted)?);
                }
            }
            orders.sort_unstable_by_key(|order| std::cmp::Reverse(order.id));
            orders
        }
        OrderScope::Restaurant(id) => {
            let is_behind_the_open = query.after.is_some_and(|cursor| cursor.terminal);
            let mut orders = Vec::new();
            if !is_behind_the_open && filter.lets_through(false) {
                orders = read(Stretch::RestaurantOpen, id_bytes(id), before, wanted)?;
            }
            if orders.len() < wanted && filter.lets_through(true) {
                let before = if is_behind_the_open { before } else { ABOVE_EVERY_ID };
                let missing = wanted - orders.len();
                orders.extend(read(Stretch::RestaurantTerminal, id_bytes(id), before, missing)?);
            }
            orders
        }
    };
    let is_more = orders.len() > limit;
    orders.truncate(limit);
    let next = if is_more { orders.last().map(OrderCursor::behind) } else { None };
    Ok(OrderPage { orders, next, incomplete: false })
}

fn read_stretch(
    connection: &Connection,
    stretch: Stretch,
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
        // The last one is repeated, so that one statement serves every number of statuses.
        let repeated = names.iter().chain(std::iter::repeat(&names[names.len() - 1]));
        parameters.extend(repeated.take(OrderStatus::ALL.len()).map(|name| name as &dyn ToSql));
    }
    let mut statement = connection.prepare_cached(&stretch.sql(is_filtered))?;
    let mut rows = statement.query(&*parameters)?;
    let mut orders = Vec::new();
    while let Some(row) = rows.next()? {
        orders.push(order_of(row)?);
    }
    Ok(orders)
}
