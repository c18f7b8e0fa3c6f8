//! Lists of orders: one statement per index range.

use dabba_domain::{
    OrderId, RestaurantId,
    order::{Order, OrderStatus},
};
use dabba_store::{BucketRange, CodeMatches, CodeQuery, OrderPage, OrderQuery};
use dabba_store_sql::{
    ABOVE_EVERY_ID, StoredRow as _,
    lists::{IndexRange, ListPlan, RangeRead},
    orders::order_of,
};
use futures::FutureExt as _;
use tokio_postgres::types::ToSql;

use super::read::select_orders;
use crate::{
    codec::collect,
    failure::Failure,
    pool::{BEGIN_SNAPSHOT, Connection},
    shard,
};

/// Returns the SQL condition of a range. `$1` is the owner's id.
const fn condition(range: IndexRange) -> &'static str {
    match range {
        IndexRange::Customer => "customer_id = $1",
        IndexRange::RestaurantOpen => "restaurant_id = $1 AND NOT is_terminal",
        IndexRange::RestaurantTerminal => "restaurant_id = $1 AND is_terminal",
        IndexRange::CourierOpen => "courier_id = $1 AND NOT is_terminal",
        IndexRange::CourierTerminal => "courier_id = $1 AND is_terminal",
        // The range has no owner, but the statement needs the parameter.
        IndexRange::AllOpen => "$1::uuid IS NOT NULL AND NOT is_terminal",
        IndexRange::All => "$1::uuid IS NOT NULL",
    }
}

/// Returns the statement that reads `$3` orders of a range with ids below `$2`, newest first, with the statuses `$4`
/// unless NULL, in the buckets from `$5` to `$6`.
pub(crate) fn sql(range: IndexRange) -> String {
    format!(
        concat!(
            select_orders!(),
            "WHERE {} AND orders.id < $2 AND ($4::text[] IS NULL OR status = ANY ($4::text[])) \
             AND bucket_of(orders.id) BETWEEN $5 AND $6 ORDER BY orders.id DESC LIMIT $3"
        ),
        condition(range)
    )
}

pub(super) async fn list_orders(
    connection: &Connection,
    query: &OrderQuery,
    buckets: BucketRange,
) -> Result<OrderPage, Failure> {
    let plan = ListPlan::new(query);
    let orders = read_ranges(connection, &plan, &query.statuses, buckets).await?;
    Ok(plan.page(orders))
}

/// Reads the newest open orders of a restaurant in these statuses, placed before an order if there is one.
pub(super) async fn open_orders(
    connection: &Connection,
    restaurant_id: RestaurantId,
    statuses: &[OrderStatus],
    before: Option<OrderId>,
    limit: u32,
    buckets: BucketRange,
) -> Result<Vec<Order>, Failure> {
    let (low, high) = shard::numbers(buckets);
    let statuses: Vec<&str> = statuses.iter().map(|status| status.as_str()).collect();
    let before = before.map_or(ABOVE_EVERY_ID, OrderId::uuid);
    let parameters: [&(dyn ToSql + Sync); 6] =
        [&restaurant_id.uuid(), &before, &i64::from(limit), &Some(statuses), &low, &high];
    collect(&connection.query(&sql(IndexRange::RestaurantOpen), &parameters).await?, order_of)
}

/// Finds, among the newest `$1` orders, those with a display code, in the buckets from `$4` to `$5`: the last three
/// bytes of the id are `$2`, and the bit before them is `$3`. Returns the last of the newest orders as well if there
/// are `$1`, so that the caller learns how far the search went.
///
/// The window function numbers the rows while PostgreSQL walks the index of ids, without a sort.
pub(crate) const ORDERS_WITH_CODE: &str = "\
    SELECT id, place FROM ( \
        SELECT id, row_number() OVER (ORDER BY id DESC) AS place FROM orders ORDER BY id DESC LIMIT $1 \
    ) AS newest \
    WHERE place = $1 OR (substring(uuid_send(id) FROM 14) = $2 AND get_byte(uuid_send(id), 12) & 1 = $3 \
        AND bucket_of(id) BETWEEN $4 AND $5) \
    ORDER BY place";

/// Finds the orders with a display code in these buckets.
pub(super) async fn orders_with_code(
    connection: &Connection,
    query: &CodeQuery,
    buckets: BucketRange,
) -> Result<CodeMatches, Failure> {
    let (low, high) = shard::numbers(buckets);
    let [bit, end @ ..] = query.code.bits().to_be_bytes();
    let parameters: [&(dyn ToSql + Sync); 5] =
        [&i64::from(query.max_read), &end.as_slice(), &i32::from(bit), &low, &high];
    let rows = connection.query(ORDERS_WITH_CODE, &parameters).await?;
    let found: Vec<(OrderId, i64)> = collect(&rows, |row| Ok((row.id(0)?, row.integer(1)?)))?;
    let is_match = |id: &OrderId| id.display_code() == query.code && buckets.contains(id.bucket());
    let last = found.iter().find(|(_, place)| *place == i64::from(query.max_read));
    let matches = CodeMatches {
        ids: found.iter().map(|(id, _)| *id).filter(is_match).collect(),
        searched_since: last.map(|(id, _)| id.created_at()),
        incomplete: false,
    };
    Ok(CodeMatches::merge([matches], query.limit))
}

async fn read_ranges(
    connection: &Connection,
    plan: &ListPlan,
    statuses: &[OrderStatus],
    buckets: BucketRange,
) -> Result<Vec<Order>, Failure> {
    let (low, high) = shard::numbers(buckets);
    let statuses: Option<Vec<&str>> =
        (!statuses.is_empty()).then(|| statuses.iter().map(|status| status.as_str()).collect());
    let wanted = i64::try_from(plan.wanted).unwrap_or(i64::MAX);
    let rows = match &plan.reads[..] {
        [RangeRead { range, owner, before }] => {
            connection.query(&sql(*range), &[owner, before, &wanted, &statuses, &low, &high]).await?
        }
        [first, second] => {
            // One snapshot, so that both ranges show the same moment.
            let prepared = connection.prepare([&*sql(first.range), &*sql(second.range)]).await?;
            let (statuses, wanted, low, high) = (&statuses, &wanted, &low, &high);
            let answers = connection
                .begin_with(BEGIN_SNAPSHOT, |client| {
                    let question = |(read, statement): (&'_ RangeRead, _)| {
                        let (owner, before) = (read.owner, read.before);
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
    collect(&rows, order_of)
}
