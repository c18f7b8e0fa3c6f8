//! Copying everything from one store to another, row by row.
//!
//! Rows are copied as they are, and not replayed through the engine: ids, times, histories and idempotency keys stay what
//! they were. A [`Source`] returns the rows of each table ([`TABLES`]) in pages; a [`Target`] writes a page together
//! with the copy's [`Progress`] in one transaction. So a copy that ends at any moment goes on from its last page.
//!
//! The source is never written to. [`copy`] reads it whole before it begins, and the target keeps the digests
//! ([`Contents`]): a source that changes between two runs is noticed, and at the end the target's own digests prove that
//! all rows arrived, the events in the order of the source's feed.

mod digest;
mod tables;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use dabba_domain::Timestamp;
use serde::{Deserialize, Serialize};

pub use self::{
    digest::{Digest, DigestBuilder},
    tables::TABLES,
};
use crate::StoreError;

/// A table that both stores have.
#[derive(Debug)]
pub struct Table {
    /// Its name.
    pub name: &'static str,
    /// The columns by which the source is paged. A feed's sequence is its source's own.
    pub key: &'static [&'static str],
    /// Whether the order of the rows is part of what the table says.
    pub is_feed: bool,
    /// The columns that are copied.
    pub columns: &'static [Column],
}

/// A column that both stores have. Each may hold [`Value::Null`].
#[derive(Debug)]
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
}

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An id, as 16 bytes.
    Id,
    /// A whole number of 64 bits.
    Number,
    /// A whole number of 32 bits.
    SmallNumber,
    /// 0 or 1.
    Flag,
    /// A text.
    Text,
    /// A text for people, in which a character that not every store keeps is replaced.
    Message,
    /// JSON, kept as the text that it is.
    Json,
    /// JSON of which only the content is kept.
    SortedJson,
    /// Bytes.
    Bytes,
}

/// The value of a column in a row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Value {
    /// None.
    Null,
    /// A number, or a flag.
    Number(i64),
    /// A text, or JSON.
    Text(String),
    /// Bytes, or an id.
    Bytes(Vec<u8>),
}

/// A row's values, in the order of the table's columns.
pub type Row = Vec<Value>;

/// Some rows of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The rows.
    pub rows: Vec<Row>,
    /// The key of the last of them; `None` when there is none.
    pub last: Option<Vec<Value>>,
}

/// How large a page may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageLimit {
    /// Maximum number of rows.
    pub rows: u32,
    /// Number of bytes from which on no further row is added.
    pub bytes: usize,
}

impl PageLimit {
    /// What suits most: 1,000 rows, 8 MiB.
    pub const DEFAULT: Self = Self { rows: 1_000, bytes: 8 * 1_024 * 1_024 };
}

/// Tells sources apart: the first ids that each has ever given out. They contain random bits, and no row of these tables
/// is ever deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The first account, in hexadecimal digits.
    pub account: Option<String>,
    /// The first restaurant.
    pub restaurant: Option<String>,
    /// The first order.
    pub order: Option<String>,
}

impl Origin {
    /// Whether there is nothing in the source.
    pub const fn is_empty(&self) -> bool {
        self.account.is_none() && self.restaurant.is_none() && self.order.is_none()
    }
}

/// All that a source holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contents {
    /// Which source it is.
    pub origin: Origin,
    /// What each table holds, by name.
    pub tables: BTreeMap<String, Digest>,
}

impl Contents {
    /// The number of rows of a table.
    pub fn rows(&self, table: &Table) -> u64 {
        self.tables.get(table.name).map_or(0, |digest| digest.rows)
    }
}

/// How far a copy has come. The tables before this one are whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The number of the table in [`TABLES`].
    pub table: usize,
    /// The key of the last row of this table that was copied.
    pub after: Option<Vec<Value>>,
    /// Rows of this table that were copied.
    pub rows: u64,
}

impl Progress {
    /// The beginning of a table.
    pub const fn at(table: usize) -> Self {
        Self { table, after: None, rows: 0 }
    }
}

/// What a target says of a copy into it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CopyState {
    /// No copy was begun.
    Absent,
    /// A copy of this was begun, and has come so far.
    Unfinished(Contents, Progress),
    /// A copy of this was finished at this time.
    Finished(Contents, Timestamp),
}

/// A store that is copied from. Nobody changes it meanwhile.
#[async_trait]
pub trait Source: Send + Sync {
    /// Makes sure that the schema holds what [`TABLES`] says, and nothing else.
    async fn check_schema(&self) -> Result<(), StoreError>;

    /// Returns which source this is.
    async fn origin(&self) -> Result<Origin, StoreError>;

    /// Returns rows of a table in the order of its key, from behind a key on. At least one, unless there is none.
    async fn page(
        &self,
        table: &'static Table,
        after: Option<Vec<Value>>,
        limit: PageLimit,
    ) -> Result<Page, StoreError>;
}

/// A store that is copied into.
#[async_trait]
pub trait Target: Send + Sync {
    /// Makes sure that the schema holds what [`TABLES`] says, and nothing else.
    async fn check_schema(&self) -> Result<(), StoreError>;

    /// Returns what is known of a copy.
    async fn state(&self) -> Result<CopyState, StoreError>;

    /// Begins a copy. Refused when there are rows.
    async fn begin(&self, contents: &Contents) -> Result<(), StoreError>;

    /// Writes a page and the progress that it means, in one transaction. Refused when the copy is not where `from` says.
    async fn write(
        &self,
        table: &'static Table,
        rows: Vec<Row>,
        from: &Progress,
        to: &Progress,
    ) -> Result<(), StoreError>;

    /// Returns what a table holds.
    async fn digest(&self, table: &'static Table) -> Result<Digest, StoreError>;

    /// Marks the copy as finished.
    async fn finish(&self) -> Result<(), StoreError>;
}

/// What a copy is doing with a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Reading it in the source.
    Read,
    /// Copying its rows.
    Copy,
    /// Comparing what arrived.
    Verify,
}

/// Receives progress reports of a copy: phase, table, rows done, rows in all where that is known.
pub type Watch<'a> = &'a mut (dyn FnMut(Phase, &'static Table, u64, Option<u64>) + Send);

/// Copies all rows, or goes on with that, and proves that all of them arrived. The copy is not marked as finished.
/// Returns what was copied, and when the copy was finished if that was before.
pub async fn copy(
    source: &dyn Source,
    target: &dyn Target,
    limit: PageLimit,
    watch: Watch<'_>,
) -> Result<(Contents, Option<Timestamp>), StoreError> {
    source.check_schema().await?;
    target.check_schema().await?;
    let contents = read_all(source, limit, watch).await?;
    if contents.origin.is_empty() {
        return Err(unfit("the embedded database holds nothing that could be copied".to_owned()));
    }
    let mut written = match target.state().await? {
        CopyState::Absent => {
            target.begin(&contents).await?;
            Progress::at(0)
        }
        CopyState::Unfinished(begun, progress) => {
            require_same(&begun, &contents, "a copy that was begun")?;
            progress
        }
        CopyState::Finished(finished, at) => {
            require_same(&finished, &contents, &format!("the copy of {at}"))?;
            return Ok((contents, Some(at)));
        }
    };
    let mut progress = written.clone();
    while let Some(table) = TABLES.get(progress.table) {
        let page = source.page(table, progress.after.clone(), limit).await?;
        let Some(last) = page.last else {
            // Written with the first page of a later table.
            progress = Progress::at(progress.table + 1);
            continue;
        };
        let rows = progress.rows + page.rows.len() as u64;
        progress = Progress { table: progress.table, after: Some(last), rows };
        target.write(table, page.rows, &written, &progress).await?;
        watch(Phase::Copy, table, rows, Some(contents.rows(table)));
        written = progress.clone();
    }
    for table in TABLES {
        let (expected, found) = (contents.tables.get(table.name), target.digest(table).await?);
        watch(Phase::Verify, table, found.rows, Some(contents.rows(table)));
        if expected != Some(&found) {
            return Err(unfit(format!(
                "the table {} of the target is not that of the source ({} rows, {} in the source): something else \
                 writes to the target; copy into a new, empty database",
                table.name,
                found.rows,
                contents.rows(table),
            )));
        }
    }
    Ok((contents, None))
}

async fn read_all(source: &dyn Source, limit: PageLimit, watch: Watch<'_>) -> Result<Contents, StoreError> {
    let mut tables = BTreeMap::new();
    for table in TABLES {
        let (mut digest, mut after) = (DigestBuilder::new(table), None);
        loop {
            let page = source.page(table, after, limit).await?;
            let Some(last) = page.last else { break };
            for row in &page.rows {
                digest.add(row);
            }
            watch(Phase::Read, table, digest.rows(), None);
            after = Some(last);
        }
        tables.insert(table.name.to_owned(), digest.finish());
    }
    Ok(Contents { origin: source.origin().await?, tables })
}

/// Refuses to go on with a copy of something else.
fn require_same(begun: &Contents, contents: &Contents, what: &str) -> Result<(), StoreError> {
    if begun.origin != contents.origin {
        return Err(unfit(format!(
            "the target holds {what} of another embedded database: copy into a new, empty database"
        )));
    }
    let changes: Vec<String> = TABLES
        .iter()
        .filter(|table| begun.tables.get(table.name) != contents.tables.get(table.name))
        .map(|table| format!("{} ({} rows, now {})", table.name, begun.rows(table), contents.rows(table)))
        .collect();
    if changes.is_empty() {
        return Ok(());
    }
    Err(unfit(format!(
        "the embedded database has changed since {what}: {}. Nothing was copied. Copy into a new, empty database, and \
         let no server use the embedded one meanwhile",
        changes.join(", ")
    )))
}

/// Compares the tables and columns of a schema with [`TABLES`]. `apart` names the columns that are not copied; a table
/// without any is not copied at all.
pub fn check_layout(
    found: &BTreeMap<String, BTreeSet<String>>,
    apart: &[(&str, &[&str])],
) -> Result<(), StoreError> {
    let mut expected: BTreeMap<String, BTreeSet<String>> = TABLES
        .iter()
        .map(|table| {
            let columns = table.columns.iter().map(|column| column.name.to_owned());
            (table.name.to_owned(), columns.collect())
        })
        .collect();
    let mut found = found.clone();
    for (table, columns) in apart {
        if columns.is_empty() {
            found.remove(*table);
        } else {
            let all = expected.entry((*table).to_owned()).or_default();
            all.extend(columns.iter().map(|column| (*column).to_owned()));
        }
    }
    let names = |tables: &BTreeMap<String, BTreeSet<String>>| -> BTreeSet<String> {
        let columns = |(table, columns): (&String, &BTreeSet<String>)| {
            columns.iter().map(|column| format!("{table}.{column}")).collect::<Vec<_>>()
        };
        tables.iter().flat_map(columns).collect()
    };
    let (expected, found) = (names(&expected), names(&found));
    if expected == found {
        return Ok(());
    }
    let list: Vec<&str> = expected.symmetric_difference(&found).map(String::as_str).collect();
    Err(unfit(format!(
        "this program does not copy exactly the columns of the schema ({}): use the version of Dabba that migrated the \
         database",
        list.join(", ")
    )))
}

/// Gives a value the form in which every store keeps it. The error names the column.
pub fn normalize(table: &Table, column: &Column, value: Value) -> Result<Value, StoreError> {
    let at = || format!("{}.{}", table.name, column.name);
    let Value::Text(text) = value else { return Ok(value) };
    match column.kind {
        Kind::SortedJson => {
            let json = serde_json::from_str(&text)
                .map_err(|error| StoreError::Corrupt(format!("{} is not JSON: {error}", at())))?;
            Ok(Value::Text(sorted(json).to_string()))
        }
        Kind::Message => Ok(Value::Text(storable(&text))),
        _ if text.contains('\0') => Err(StoreError::Corrupt(format!(
            "a row of {} contains the character U+0000, which PostgreSQL cannot keep",
            at()
        ))),
        _ => Ok(Value::Text(text)),
    }
}

fn storable(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// The same JSON with the members of each object by name, and with texts that every store keeps.
fn sorted(value: serde_json::Value) -> serde_json::Value {
    use serde_json::Value as Json;
    match value {
        Json::String(text) => Json::String(storable(&text)),
        Json::Array(values) => values.into_iter().map(sorted).collect(),
        Json::Object(members) => {
            let members: BTreeMap<String, Json> = members.into_iter().collect();
            members.into_iter().map(|(name, value)| (name, sorted(value))).collect()
        }
        other => other,
    }
}

fn unfit(text: String) -> StoreError {
    StoreError::Unfit(text)
}
