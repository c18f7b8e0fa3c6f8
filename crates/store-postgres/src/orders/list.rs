//! Lists of orders.
//!
//! A list is read from one or two ranges of an index, each newest first: the terminal orders, the open orders, or
//! all. A restaurant's list is the open range followed by the terminal range; a courier's list is both, merged. A
//! filter by status skips a range that cannot contain a match. So the most frequent query, for open orders, never
//! scans terminal ones.

use dabba_domain::order::{Order, OrderStatus};
use dabba_store::{BucketRange, OrderCursor, OrderPage, OrderQuery, OrderScope};
use futures::FutureExt as _;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::read::{order_of, select_orders};
use crate::{
    codec::ABOVE_EVERY_ID,
    failure::Failure,
    pool::{BEGIN_SNAPSHOT, Connection},
    shard,
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

    /// Name of the range, for tests.
    #[cfg(test)]
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Customer => "customer",
            Self::RestaurantOpen => "restaurant_open",
            Self::RestaurantTerminal => "restaurant_terminal",
            Self::CourierOpen => "courier_open",
            Self::CourierTerminal => "courier_terminal",
            Self::AllOpen => "all_open",
            Self::All => "all",
        }
    }

    /// Returns the SQL condition of the range. `$1` is the owner's id.
    const fn condition(self) -> &'static str {
        match self {
            Self::Customer => "customer_id = $1",
            Self::RestaurantOpen => "restaurant_id = $1 AND NOT is_terminal",
            Self::RestaurantTerminal => "restaurant_id = $1 AND is_terminal",
            Self::CourierOpen => "courier_id = $1 AND NOT is_terminal",
            Self::CourierTerminal => "courier_id = $1 AND is_terminal",
            // The range has no owner, but the statement needs the parameter.
            Self::AllOpen => "$1::uuid IS NOT NULL AND NOT is_terminal",
            Self::All => "$1::uuid IS NOT NULL",
        }
    }

    /// Returns the statement that reads `$3` orders with ids below `$2`, newest first, with the statuses `$4` unless
    /// NULL, in the buckets from `$5` to `$6`.
    pub(crate) fn sql(self) -> String {
        format!(
            concat!(
                select_orders!(),
                "WHERE {} AND orders.id < $2 AND ($4::text[] IS NULL OR status = ANY ($4::text[])) \
                 AND bucket_of(orders.id) BETWEEN $5 AND $6 ORDER BY orders.id DESC LIMIT $3"
            ),
            self.condition()
        )
    }
}

/// One query of a list.
struct Part {
    index_range: IndexRange,
    owner: Uuid,
    before: Uuid,
}

/// Returns whether a terminal order, or an open one, can match a filter.
fn may_match(statuses: &[OrderStatus], terminal: bool) -> bool {
    statuses.is_empty() || statuses.iter().any(|status| status.is_terminal() == terminal)
}

/// Returns the queries of a list, in the list's order.
fn parts_of(query: &OrderQuery) -> Vec<Part> {
    let before = query.after.map_or(ABOVE_EVERY_ID, |cursor| cursor.order_id.uuid());
    let open = may_match(&query.statuses, false);
    let terminal = may_match(&query.statuses, true);
    let part = |index_range, owner, before| Part { index_range, owner, before };
    match query.scope {
        OrderScope::Customer(id) => vec![part(IndexRange::Customer, id.uuid(), before)],
        OrderScope::All if terminal => vec![part(IndexRange::All, ABOVE_EVERY_ID, before)],
        OrderScope::All => vec![part(IndexRange::AllOpen, ABOVE_EVERY_ID, before)],
        OrderScope::Courier(id) => [(open, IndexRange::CourierOpen), (terminal, IndexRange::CourierTerminal)]
            .into_iter()
            .filter(|(wanted, _)| *wanted)
            .map(|(_, index_range)| part(index_range, id.uuid(), before))
            .collect(),
        OrderScope::Restaurant(id) => {
            let is_behind_the_open = query.after.is_some_and(|cursor| cursor.terminal);
            let open = open && !is_behind_the_open;
            let before_terminal = if is_behind_the_open { before } else { ABOVE_EVERY_ID };
            [
                (open, IndexRange::RestaurantOpen, before),
                (terminal, IndexRange::RestaurantTerminal, before_terminal),
            ]
            .into_iter()
            .filter(|(wanted, ..)| *wanted)
            .map(|(_, index_range, before)| part(index_range, id.uuid(), before))
            .collect()
        }
    }
}

pub(super) async fn list_orders(
    connection: &Connection,
    query: &OrderQuery,
    buckets: BucketRange,
) -> Result<OrderPage, Failure> {
    let limit = query.limit.get() as usize;
    // One order more than the page holds shows whether there is another page.
    let mut orders = read_parts(connection, &parts_of(query), &query.statuses, limit + 1, buckets).await?;
    if matches!(query.scope, OrderScope::Courier(_)) {
        orders.sort_unstable_by_key(|order| std::cmp::Reverse(order.id));
    }
    let is_more = orders.len() > limit;
    orders.truncate(limit);
    let next = if is_more { orders.last().map(OrderCursor::behind) } else { None };
    Ok(OrderPage { orders, next, ..OrderPage::default() })
}

async fn read_parts(
    connection: &Connection,
    parts: &[Part],
    statuses: &[OrderStatus],
    wanted: usize,
    buckets: BucketRange,
) -> Result<Vec<Order>, Failure> {
    let (low, high) = shard::numbers(buckets);
    let statuses: Option<Vec<&str>> =
        (!statuses.is_empty()).then(|| statuses.iter().map(|status| status.as_str()).collect());
    let wanted = i64::try_from(wanted).unwrap_or(i64::MAX);
    let rows = match parts {
        [Part { index_range, owner, before }] => {
            connection.query(&index_range.sql(), &[owner, before, &wanted, &statuses, &low, &high]).await?
        }
        [first, second] => {
            // Both ranges must be read in one snapshot; otherwise an order that ends in between would appear in both.
            let prepared = connection.prepare([&first.index_range.sql(), &second.index_range.sql()]).await?;
            let (statuses, wanted, low, high) = (&statuses, &wanted, &low, &high);
            let answers = connection
                .begin_with(BEGIN_SNAPSHOT, |client| {
                    let question = |(part, statement): (&'_ Part, _)| {
                        let (owner, before) = (part.owner, part.before);
                        let work = async move {
                            let parameters: [&(dyn ToSql + Sync); 6] =
                                [&owner, &before, wanted, statuses, low, high];
                            Ok(client.query(statement, &parameters).await?)
                        };
                        work.boxed()
                    };
                    [first, second].into_iter().zip(&prepared).map(question).collect()
                })
                .await?;
            connection.rollback().await;
            answers.into_iter().flatten().collect()
        }
        _ => Vec::new(),
    };
    rows.iter().map(order_of).collect()
}
