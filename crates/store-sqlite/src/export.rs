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
/// itself, and each database records its own schema and incarnation.
const APART: &[(&str, &[&str])] = &[
    ("orders", &["details"]),
    ("order_events", &["sequence"]),
    ("feed_state", &[]),
    ("schema_versions", &[]),
    ("refinery_schema_history", &[]),
];

const COLUMNS: &str = "\
    SELECT tables.name, columns.name FROM sqlite_schema AS tables, pragma_table_info(tables.name) AS columns \
    WHERE tables.type = 'table' AND tables.name NOT LIKE 'sqlite_%'";

const ORIGIN: &str = "\
    SELECT (SELECT hex(id) FROM accounts ORDER BY id LIMIT 1), \
        (SELECT hex(id) FROM restaurants ORDER BY id LIMIT 1), (SELECT hex(id) FROM orders ORDER BY id LIMIT 1)";

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
                Ok(check_layout(&found, APART)?)
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
