//! Export of all rows, for a copy into another store.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use async_trait::async_trait;
use dabba_store::{
    StoreError,
    transfer::{Origin, PageLimit, RowPage, Source, Table, Value, check_layout, normalize},
};
use rusqlite::{Connection, OpenFlags, Row, params_from_iter, types};
use uuid::Uuid;

use crate::{SqliteStore, failure::Failure};

/// Columns and tables that are not copied: the order's details are in its first event, each store numbers its feed
/// itself, and each database records its own schema and incarnation. Webhooks are not copied, and [`refuse_webhooks`] ensures
/// that none are lost: a position names an event by the number that this database gave it.
const APART: &[(&str, &[&str])] = &[
    ("orders", &["details"]),
    ("order_events", &["sequence"]),
    ("feed_state", &[]),
    ("schema_versions", &[]),
    ("refinery_schema_history", &[]),
    // A login link lasts some minutes only.
    ("login_links", &[]),
    ("webhook_endpoints", &[]),
    ("webhook_counter", &[]),
    ("feed_leases", &[]),
    ("feed_consumers", &[]),
    ("webhook_failures", &[]),
    ("webhook_attempts", &[]),
    // The target counts the events of the last day anew.
    ("statistics", &[]),
    ("statistics_progress", &[]),
];

const COLUMNS: &str = "\
    SELECT tables.name, columns.name FROM sqlite_schema AS tables, pragma_table_info(tables.name) AS columns \
    WHERE tables.type = 'table' AND tables.name NOT LIKE 'sqlite_%'";

const ORIGIN: &str = "\
    SELECT (SELECT hex(id) FROM accounts ORDER BY id LIMIT 1), \
        (SELECT hex(id) FROM restaurants ORDER BY id LIMIT 1), (SELECT hex(id) FROM orders ORDER BY id LIMIT 1)";

/// Finds a row if there is an endpoint that is not deleted.
pub(crate) const HAS_WEBHOOKS: &str = "SELECT 1 FROM webhook_endpoints WHERE deleted_at_ns IS NULL LIMIT 1";

impl SqliteStore {
    /// Returns the identity of the database at `path` as a source. Does not lock the database, so another process may
    /// serve it.
    pub fn origin_at(path: &Path) -> Result<Origin, StoreError> {
        let read = || -> Result<Origin, Failure> {
            origin(&Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?)
        };
        read().map_err(StoreError::from)
    }
}

#[async_trait]
impl Source for SqliteStore {
    async fn check_schema(&self) -> Result<(), StoreError> {
        self.readers
            .read(|connection| {
                let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
                let mut statement = connection.prepare(COLUMNS)?;
                let mut rows = statement.query([])?;
                while let Some(row) = rows.next()? {
                    found.entry(row.get(0)?).or_default().insert(row.get(1)?);
                }
                check_layout(&found, APART)?;
                refuse_webhooks(connection)
            })
            .await
    }

    async fn origin(&self) -> Result<Origin, StoreError> {
        self.readers.read(|connection| origin(connection)).await
    }

    async fn page(
        &self,
        table: &'static Table,
        after: Option<Vec<Value>>,
        limit: PageLimit,
    ) -> Result<RowPage, StoreError> {
        self.readers.read(move |connection| page(connection, table, after, limit)).await
    }
}

/// Refuses a copy while webhook endpoints exist: the copy would number the events of the feed anew, so that an endpoint would
/// miss events or receive all of them again.
fn refuse_webhooks(connection: &Connection) -> Result<(), Failure> {
    if !connection.prepare_cached(HAS_WEBHOOKS)?.exists([])? {
        return Ok(());
    }
    let text = "the embedded database has webhook endpoints, which a copy cannot transfer: delete them \
                (DELETE /v1/webhook-endpoints/{id}), copy, and create them again in the target";
    Err(StoreError::Unfit(text.to_owned()).into())
}

fn origin(connection: &Connection) -> Result<Origin, Failure> {
    let origin =
        |row: &Row<'_>| Ok(Origin { account: row.get(0)?, restaurant: row.get(1)?, order: row.get(2)? });
    Ok(connection.query_row(ORIGIN, [], origin)?)
}

fn page(
    connection: &Connection,
    table: &'static Table,
    after: Option<Vec<Value>>,
    limit: PageLimit,
) -> Result<RowPage, Failure> {
    let mut statement = connection.prepare_cached(&select(table, after.is_some()))?;
    let parameters = after.into_iter().flatten().map(parameter).chain([types::Value::from(limit.rows)]);
    let mut rows = statement.query(params_from_iter(parameters))?;
    let (mut page, mut bytes) = (RowPage::default(), 0);
    while let Some(row) = rows.next()? {
        let key = 0..table.key.len();
        let key = key.map(|index| value(row, table.columns.len() + index)).collect::<Result<Vec<_>, _>>()?;
        let mut values = Vec::with_capacity(table.columns.len());
        for (index, column) in table.columns.iter().enumerate() {
            let value = normalize(table, column, value(row, index)?)
                .map_err(|error| error.in_context(name_of(table, &key)))?;
            bytes += size(&value);
            values.push(value);
        }
        page.rows.push(values);
        page.last = Some(key);
        if bytes >= limit.bytes {
            break;
        }
    }
    Ok(page)
}

/// Returns the name of a row in messages: its table, and the ids and numbers of its key. A text of the key may be an
/// idempotency key, which must not appear in a message.
fn name_of(table: &Table, key: &[Value]) -> String {
    let parts = key.iter().filter_map(|value| match value {
        Value::Null | Value::Text(_) => None,
        Value::Number(number) => Some(number.to_string()),
        Value::Bytes(bytes) => Uuid::from_slice(bytes).ok().map(|id| id.to_string()),
    });
    format!("the row {} of the table {}", parts.collect::<Vec<_>>().join(", "), table.name)
}

/// Returns the statement that selects the copied columns, followed by the key.
fn select(table: &Table, has_begun: bool) -> String {
    let list = |names: Vec<&str>| {
        let quoted: Vec<_> = names.into_iter().map(|name| format!("\"{name}\"")).collect();
        quoted.join(", ")
    };
    let columns = table.columns.iter().map(|column| column.name).chain(table.key.iter().copied());
    let (columns, key) = (list(columns.collect()), list(table.key.to_vec()));
    let after = if has_begun {
        let parameters = vec!["?"; table.key.len()].join(", ");
        format!("WHERE ({key}) > ({parameters}) ")
    } else {
        String::new()
    };
    format!("SELECT {columns} FROM {} {after}ORDER BY {key} LIMIT ?", table.name)
}

fn parameter(value: Value) -> types::Value {
    match value {
        Value::Null => types::Value::Null,
        Value::Number(number) => types::Value::Integer(number),
        Value::Text(text) => types::Value::Text(text),
        Value::Bytes(bytes) => types::Value::Blob(bytes),
    }
}

fn value(row: &Row<'_>, column: usize) -> Result<Value, Failure> {
    match row.get(column)? {
        types::Value::Null => Ok(Value::Null),
        types::Value::Integer(number) => Ok(Value::Number(number)),
        types::Value::Text(text) => Ok(Value::Text(text)),
        types::Value::Blob(bytes) => Ok(Value::Bytes(bytes)),
        // The tables are strict, and no column has this type.
        types::Value::Real(_) => {
            Err(Failure::corrupt("the database contains a fractional number; all its numbers must be whole"))
        }
    }
}

fn size(value: &Value) -> usize {
    match value {
        Value::Null | Value::Number(_) => size_of::<i64>(),
        Value::Text(text) => text.len(),
        Value::Bytes(bytes) => bytes.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SqliteOptions;

    /// Proves that a database with webhook endpoints is not copied, and that deleted endpoints do not prevent a copy.
    #[tokio::test]
    async fn a_database_with_webhook_endpoints_is_not_copied() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("source.db");
        SqliteStore::migrate(&path).unwrap();
        let write = |sql: &str| Connection::open(&path).unwrap().execute_batch(sql).unwrap();
        let check = async || {
            let store = SqliteStore::open(&path, &SqliteOptions::default()).unwrap();
            let checked = store.check_schema().await;
            dabba_store::Store::close(&store).await;
            checked
        };
        assert_eq!(check().await, Ok(()));
        write(
            "INSERT INTO webhook_endpoints \
                 (id, owner_id, version, revision, positioned, created_at_ns, created_by, format, settings) \
             VALUES (zeroblob(16), zeroblob(16), 1, 1, 1, 1, zeroblob(16), 1, '{}')",
        );
        let refused = check().await;
        assert!(matches!(&refused, Err(StoreError::Unfit(text)) if text.contains("webhook")), "{refused:?}");
        write("UPDATE webhook_endpoints SET deleted_at_ns = 2");
        assert_eq!(check().await, Ok(()));
    }
}
