//! Copy of all data from one store to another, row by row.
//!
//! Rows are copied unchanged and not replayed through the engine: ids, times, histories and idempotency keys stay the
//! same. A [`Source`] returns the rows of each table ([`TABLES`]) in pages. A [`Target`] writes each page together with
//! the copy's [`CopyProgress`] in one transaction, so an interrupted copy resumes after its last page. [`normalize`]
//! makes the only changes: it sorts the members of some JSON, and replaces U+0000 in messages, which PostgreSQL cannot
//! store.
//!
//! The source is never written. [`copy`] reads the whole source before it writes, and the target keeps the digests
//! ([`Contents`]), so [`copy`] detects a source that changed between two runs. At the end, the target's own digests
//! prove that all rows arrived, and that the events have the order of the source's feed.

mod digest;
mod tables;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use dabba_domain::Timestamp;
use serde::{Deserialize, Serialize, de::IgnoredAny};

pub use self::{
    digest::{Digest, DigestBuilder},
    tables::TABLES,
};
use crate::StoreError;

/// A table that both stores have.
#[derive(Debug)]
pub struct Table {
    /// Name of the table.
    pub name: &'static str,
    /// Key columns for reading the source in pages. The sequence of a feed has its own values in each store.
    pub key: &'static [&'static str],
    /// Whether the order of the rows is part of the content.
    pub is_feed: bool,
    /// Columns that are copied.
    pub columns: &'static [Column],
}

/// A column that both stores have. Every column may hold [`Value::Null`].
#[derive(Debug)]
pub struct Column {
    /// Name of the column.
    pub name: &'static str,
    /// Type of the column.
    pub kind: Kind,
}

/// Type of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An id, as 16 bytes.
    Id,
    /// A 64-bit integer.
    Number,
    /// A 32-bit integer.
    SmallNumber,
    /// 0 or 1.
    Flag,
    /// A text.
    Text,
    /// A text for people. Characters that not every store can hold are replaced.
    Message,
    /// JSON, copied as exactly the same text.
    Json,
    /// JSON of which only the content is copied; the order of members may change.
    SortedJson,
    /// Bytes.
    Bytes,
}

/// The value of a column in a row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Value {
    /// No value.
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
pub struct RowPage {
    /// The rows.
    pub rows: Vec<Row>,
    /// Key of the last row; `None` if there are no rows.
    pub last: Option<Vec<Value>>,
}

/// Maximum size of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageLimit {
    /// Maximum number of rows.
    pub rows: u32,
    /// Size in bytes from which on no further row is added.
    pub bytes: usize,
}

impl PageLimit {
    /// Default limits: 1,000 rows, 8 MiB.
    pub const DEFAULT: Self = Self { rows: 1_000, bytes: 8 * 1_024 * 1_024 };
}

/// Identity of a source: the first ids that it ever generated. The ids contain random bits, and rows of these tables
/// are never deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// Id of the first account, in hexadecimal digits.
    pub account: Option<String>,
    /// Id of the first restaurant.
    pub restaurant: Option<String>,
    /// Id of the first order.
    pub order: Option<String>,
}

impl Origin {
    /// Returns whether the source is empty.
    pub const fn is_empty(&self) -> bool {
        self.account.is_none() && self.restaurant.is_none() && self.order.is_none()
    }
}

/// Content of a source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contents {
    /// Identity of the source.
    pub origin: Origin,
    /// Digest of each table, by name.
    pub tables: BTreeMap<String, Digest>,
}

impl Contents {
    /// Returns the number of rows of a table.
    pub fn rows(&self, table: &Table) -> u64 {
        self.tables.get(table.name).map_or(0, |digest| digest.rows)
    }
}

/// Progress of a copy. All tables before the current one are complete.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyProgress {
    /// Index of the current table in [`TABLES`].
    pub table: usize,
    /// Key of the last copied row of the current table.
    pub after: Option<Vec<Value>>,
    /// Number of copied rows of the current table.
    pub rows: u64,
}

impl CopyProgress {
    /// Returns the progress at the beginning of a table.
    pub const fn at(table: usize) -> Self {
        Self { table, after: None, rows: 0 }
    }
}

/// State of a copy, as the target records it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CopyState {
    /// No copy was started.
    Absent,
    /// A copy of this content was started and has reached this progress.
    Unfinished(Contents, CopyProgress),
    /// A copy of this content was finished at this time.
    Finished(Contents, Timestamp),
}

/// A store from which rows are copied. Nothing may change it during the copy.
#[async_trait]
pub trait Source: Send + Sync {
    /// Checks that the schema has exactly the tables and columns of [`TABLES`].
    async fn check_schema(&self) -> Result<(), StoreError>;

    /// Returns the identity of this source.
    async fn origin(&self) -> Result<Origin, StoreError>;

    /// Returns rows of a table after a key, in key order. Returns at least one row unless no row follows.
    async fn page(
        &self,
        table: &'static Table,
        after: Option<Vec<Value>>,
        limit: PageLimit,
    ) -> Result<RowPage, StoreError>;
}

/// A store into which rows are copied.
#[async_trait]
pub trait Target: Send + Sync {
    /// Checks that the schema has exactly the tables and columns of [`TABLES`].
    async fn check_schema(&self) -> Result<(), StoreError>;

    /// Returns the recorded state of a copy.
    async fn state(&self) -> Result<CopyState, StoreError>;

    /// Starts a copy. Fails if the target has rows.
    async fn begin(&self, contents: &Contents) -> Result<(), StoreError>;

    /// Writes a page and the new progress in one transaction. Fails if the recorded progress is not `from`.
    async fn write(
        &self,
        table: &'static Table,
        rows: Vec<Row>,
        from: &CopyProgress,
        to: &CopyProgress,
    ) -> Result<(), StoreError>;

    /// Returns the digest of a table.
    async fn digest(&self, table: &'static Table) -> Result<Digest, StoreError>;

    /// Marks the copy as finished.
    async fn finish(&self) -> Result<(), StoreError>;
}

/// Phase of a copy for one table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Reads the table in the source.
    Read,
    /// Copies the table's rows.
    Copy,
    /// Compares the copied rows with the source.
    Verify,
}

/// Callback for the progress of a copy: phase, table, processed rows, and the total number of rows if known.
pub type Watch<'a> = &'a mut (dyn FnMut(Phase, &'static Table, u64, Option<u64>) + Send);

/// Copies all rows or resumes a copy, and verifies that all rows arrived. Does not mark the copy as finished. Returns
/// the copied content, and the time at which an earlier run finished the copy, if one did.
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
        return Err(unfit("the embedded database is empty: there is nothing to copy".to_owned()));
    }
    let mut written = match target.state().await? {
        CopyState::Absent => {
            target.begin(&contents).await?;
            CopyProgress::at(0)
        }
        CopyState::Unfinished(begun, progress) => {
            require_same(&begun, &contents, "an unfinished copy")?;
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
            // The first page of a later table writes this progress.
            progress = CopyProgress::at(progress.table + 1);
            continue;
        };
        let rows = progress.rows + page.rows.len() as u64;
        progress = CopyProgress { table: progress.table, after: Some(last), rows };
        target.write(table, page.rows, &written, &progress).await?;
        watch(Phase::Copy, table, rows, Some(contents.rows(table)));
        written = progress.clone();
    }
    for table in TABLES {
        let (expected, found) = (contents.tables.get(table.name), target.digest(table).await?);
        watch(Phase::Verify, table, found.rows, Some(contents.rows(table)));
        if expected != Some(&found) {
            return Err(unfit(format!(
                "the table {} of the target differs from the source ({} rows, {} in the source): another program \
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

/// Fails if the copy that was started has other content than the source. If a version of Dabba with other [`TABLES`] started the
/// copy, the digests differ although the source is unchanged.
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
        "the embedded database has changed since {what}: {}; or another version of Dabba, which copies other columns, \
         began the copy. Nothing was copied. Copy into a new, empty database, and stop all servers that use the embedded \
         database",
        changes.join(", ")
    )))
}

/// Compares the tables and columns of a schema with [`TABLES`]. `apart` names columns that are not copied; an entry
/// without columns names a table that is not copied.
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
        "the columns of the schema differ from the columns that this version of Dabba copies ({}): use the version that \
         migrated the database",
        list.join(", ")
    )))
}

/// Returns a value in the form that every store can hold. Fails if there is no such form; the error names the column. A
/// source fails in this way before anything is written, because [`copy`] reads the whole source first.
pub fn normalize(table: &Table, column: &Column, value: Value) -> Result<Value, StoreError> {
    let at = || format!("{}.{}", table.name, column.name);
    let Value::Text(text) = value else { return Ok(value) };
    match column.kind {
        Kind::SortedJson => {
            let json = serde_json::from_str(&text).map_err(|error| not_json(&at(), &error))?;
            Ok(Value::Text(sorted(json).to_string()))
        }
        Kind::Json => {
            // Not every store holds other texts: PostgreSQL would refuse the page with this row.
            serde_json::from_str::<IgnoredAny>(&text).map_err(|error| not_json(&at(), &error))?;
            Ok(Value::Text(text))
        }
        Kind::Message => Ok(Value::Text(storable(&text))),
        _ if text.contains('\0') => Err(StoreError::Corrupt(format!(
            "a row of {} contains the character U+0000, which PostgreSQL cannot store",
            at()
        ))),
        _ => Ok(Value::Text(text)),
    }
}

fn not_json(column: &str, error: &serde_json::Error) -> StoreError {
    StoreError::Corrupt(format!(
        "{column} is not JSON ({error}); correct the value in the source, then run the same command again"
    ))
}

fn storable(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// Returns the same JSON with the members of each object sorted by name, and with texts that every store can hold.
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
