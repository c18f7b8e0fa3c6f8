//! The state of the database on which a batch is planned.

use std::collections::{HashMap, HashSet};

use dabba_domain::{AccountId, OrderId, RestaurantId, TaskId, Timestamp, order::Version, text::Slug};
use dabba_store::{
    BucketRange, CatalogueGuard, ClaimRecord, IdempotencyKey, StockChange, encoding::EncodedCommit,
};
use dabba_store_sql::{StoredRow as _, catalogue::guard_of, claims::claim_record_of};
use futures::FutureExt as _;
use tokio_postgres::Row;
use uuid::Uuid;

use super::marks::{FIND_MARKS, marks_of};
use crate::{
    codec::collect,
    failure::Failure,
    pool::{BEGIN_SNAPSHOT, Connection},
    shard::{FIND_BUCKETS, only_buckets},
};

/// Finds the existing claims of keys.
pub(crate) const FIND_CLAIMS: &str = "\
    SELECT account_id, restaurant_id, key, fingerprint, order_id, version, resource::text, fingerprint_version \
    FROM unnest($1::uuid[], $2::uuid[], $3::text[]) AS asked (account_id, restaurant_id, key) \
    JOIN idempotency_keys USING (account_id, restaurant_id, key)";

/// Finds leases that hold. An expired lease still holds until another worker takes the task over.
pub(crate) const FIND_LEASES: &str = "\
    SELECT id, attempts FROM unnest($1::uuid[], $2::bigint[]) AS asked (id, attempts) \
    JOIN tasks USING (id, attempts) WHERE leased_until_ns IS NOT NULL";

pub(crate) const FIND_VERSIONS: &str =
    "SELECT id, version FROM unnest($1::uuid[]) AS asked (id) JOIN orders USING (id)";

pub(crate) const FIND_REVISIONS: &str = "\
    SELECT id, revision, menu_revision, availability_revision \
    FROM unnest($1::uuid[]) AS asked (id) JOIN restaurants USING (id)";

pub(crate) const FIND_STOCK: &str = "\
    SELECT restaurant_id, item, remaining \
    FROM unnest($1::uuid[], $2::text[]) AS asked (restaurant_id, item) \
    JOIN stock USING (restaurant_id, item)";

/// Key by which a claim is found.
pub(super) type ClaimKey<'b> = (AccountId, RestaurantId, &'b IdempotencyKey);

/// Key by which a stock is found.
pub(super) type StockKey<'b> = (RestaurantId, &'b Slug);

/// Everything that the outcomes of one batch depend on, read in one snapshot.
#[derive(Debug, Default)]
pub(super) struct View<'b> {
    pub(super) claims: HashMap<ClaimKey<'b>, ClaimRecord>,
    /// Leases that hold, with their tokens.
    pub(super) leases: HashSet<(TaskId, u32)>,
    /// Versions of orders. An absent order does not exist.
    pub(super) versions: HashMap<OrderId, Version>,
    pub(super) revisions: HashMap<RestaurantId, CatalogueGuard>,
    /// Remaining stock. The stock of an absent item is not limited.
    pub(super) stock: HashMap<StockKey<'b>, u32>,
    /// Ends of marks. An absent item is not marked. Read only if a commit marks items.
    pub(super) marks: HashMap<StockKey<'b>, Option<Timestamp>>,
    /// Buckets that the database holds; all buckets, if absent.
    pub(super) held: Option<BucketRange>,
}

impl<'b> View<'b> {
    /// Reads the state that a batch depends on, in one round trip.
    pub(super) async fn read(connection: &Connection, batch: &'b [EncodedCommit]) -> Result<Self, Failure> {
        let statements = connection
            .prepare([
                FIND_CLAIMS,
                FIND_LEASES,
                FIND_VERSIONS,
                FIND_REVISIONS,
                FIND_STOCK,
                FIND_BUCKETS,
                FIND_MARKS,
            ])
            .await?;
        let parameters = Parameters::new(batch);
        let mut answers = connection
            .begin_with(BEGIN_SNAPSHOT, |client| {
                let [claims, leases, versions, revisions, stock, buckets, marks] = &statements;
                let parameters = &parameters;
                let mut queries = vec![
                    async move {
                        client
                            .query(claims, &[&parameters.accounts, &parameters.scopes, &parameters.keys])
                            .await
                    }
                    .map(|rows| rows.map_err(Failure::from))
                    .boxed(),
                    async move { Ok(client.query(leases, &[&parameters.tasks, &parameters.tokens]).await?) }
                        .boxed(),
                    async move { Ok(client.query(versions, &[&parameters.orders]).await?) }.boxed(),
                    async move { Ok(client.query(revisions, &[&parameters.guarded]).await?) }.boxed(),
                    async move { Ok(client.query(stock, &[&parameters.stocked, &parameters.items]).await?) }
                        .boxed(),
                    async move { Ok(client.query(buckets, &[]).await?) }.boxed(),
                ];
                if !parameters.marked.is_empty() {
                    queries.push(
                        async move {
                            Ok(client.query(marks, &[&parameters.marked, &parameters.marked_items]).await?)
                        }
                        .boxed(),
                    );
                }
                queries
            })
            .await?;
        // The transaction has only read.
        connection.rollback().await;
        let marks = if parameters.marked.is_empty() { None } else { answers.pop() };
        let [claims, leases, versions, revisions, stock, buckets] = <[Vec<Row>; 6]>::try_from(answers)
            .map_err(|_| Failure::corrupt("the database returned too few results"))?;
        Ok(Self {
            claims: claims_of(&claims, batch)?,
            leases: collect(&leases, |row| Ok((row.id(0)?, row.number(1)?)))?,
            versions: collect(&versions, |row| Ok((row.id(0)?, row.number(1)?)))?,
            revisions: revisions_of(&revisions)?,
            stock: stock_of(&stock, batch)?,
            marks: marks_of(&marks.unwrap_or_default(), batch)?,
            held: Some(only_buckets(&buckets)?),
        })
    }
}

/// Parameters of the queries.
#[derive(Default)]
struct Parameters<'b> {
    accounts: Vec<Uuid>,
    scopes: Vec<Uuid>,
    keys: Vec<&'b str>,
    tasks: Vec<Uuid>,
    tokens: Vec<i64>,
    orders: Vec<Uuid>,
    guarded: Vec<Uuid>,
    stocked: Vec<Uuid>,
    items: Vec<&'b str>,
    marked: Vec<Uuid>,
    marked_items: Vec<&'b str>,
}

impl<'b> Parameters<'b> {
    fn new(batch: &'b [EncodedCommit]) -> Self {
        let mut parameters = Self::default();
        for EncodedCommit { commit, .. } in batch {
            parameters.orders.push(commit.order_id.uuid());
            if let Some(claim) = &commit.claim {
                parameters.accounts.push(claim.account_id.uuid());
                parameters.scopes.push(commit.restaurant_id.uuid());
                parameters.keys.push(claim.key.as_str());
            }
            if let Some(lease) = &commit.completes {
                parameters.tasks.push(lease.task_id.uuid());
                parameters.tokens.push(i64::from(lease.token));
            }
            if commit.catalogue.is_some() {
                parameters.guarded.push(commit.restaurant_id.uuid());
            }
            for change in &commit.stock {
                let (StockChange::Take(draw) | StockChange::Return(draw)) = change;
                parameters.stocked.push(commit.restaurant_id.uuid());
                parameters.items.push(draw.item.as_str());
            }
            for unavailable in &commit.unavailable {
                parameters.marked.push(commit.restaurant_id.uuid());
                parameters.marked_items.push(unavailable.item.as_str());
            }
        }
        parameters
    }
}

fn claims_of<'b>(
    rows: &[Row],
    batch: &'b [EncodedCommit],
) -> Result<HashMap<ClaimKey<'b>, ClaimRecord>, Failure> {
    let records: HashMap<(AccountId, RestaurantId, &str), ClaimRecord> =
        collect(rows, |row| Ok(((row.id(0)?, row.id(1)?, row.text(2)?), claim_record_of(row, 3)?)))?;
    let keys = batch.iter().filter_map(|EncodedCommit { commit, .. }| {
        let claim = commit.claim.as_ref()?;
        let record = records.get(&(claim.account_id, commit.restaurant_id, claim.key.as_str()))?;
        Some(((claim.account_id, commit.restaurant_id, &claim.key), record.clone()))
    });
    Ok(keys.collect())
}

/// Returns the revisions in the rows of [`FIND_REVISIONS`].
pub(crate) fn revisions_of<C: FromIterator<(RestaurantId, CatalogueGuard)>>(
    rows: &[Row],
) -> Result<C, Failure> {
    collect(rows, |row| Ok((row.id(0)?, guard_of(row, 1)?)))
}

fn stock_of<'b>(rows: &[Row], batch: &'b [EncodedCommit]) -> Result<HashMap<StockKey<'b>, u32>, Failure> {
    let levels: HashMap<(RestaurantId, &str), u32> =
        collect(rows, |row| Ok(((row.id(0)?, row.text(1)?), row.number(2)?)))?;
    let items = batch.iter().flat_map(|EncodedCommit { commit, .. }| {
        commit.stock.iter().map(|change| {
            let (StockChange::Take(draw) | StockChange::Return(draw)) = change;
            (commit.restaurant_id, &draw.item)
        })
    });
    Ok(items
        .filter_map(|key @ (restaurant_id, item)| Some((key, *levels.get(&(restaurant_id, item.as_str()))?)))
        .collect())
}
