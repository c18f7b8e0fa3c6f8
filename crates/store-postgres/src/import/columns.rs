//! Statements and values of a copied table.

use dabba_store::transfer::{Column, Kind, Row, Table, Value};
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::{codec::read, failure::Failure};

/// Joins the columns of a table, each formatted by `write`, with commas.
fn names(table: &Table, write: impl Fn(&Column) -> String) -> String {
    table.columns.iter().map(write).collect::<Vec<_>>().join(", ")
}

/// Returns the statement that inserts rows, whose columns are arrays. It inserts in the order of the arrays, which
/// becomes the order in the feed.
pub(super) fn insert(table: &Table) -> String {
    let plain = names(table, |column| format!("\"{}\"", column.name));
    let cast = names(table, |column| match column.kind {
        Kind::Json => format!("\"{}\"::json", column.name),
        Kind::SortedJson => format!("\"{}\"::jsonb", column.name),
        _ => format!("\"{}\"", column.name),
    });
    let arrays: Vec<String> = table
        .columns
        .iter()
        .enumerate()
        .map(|(index, column)| format!("${}::{}[]", index + 1, sent_type(column.kind)))
        .collect();
    format!(
        "INSERT INTO {} ({plain}) SELECT {cast} FROM unnest({}) WITH ORDINALITY AS given ({plain}, \"place in page\") \
         ORDER BY \"place in page\"",
        table.name,
        arrays.join(", ")
    )
}

const fn sent_type(kind: Kind) -> &'static str {
    match kind {
        Kind::Id => "uuid",
        Kind::Number => "bigint",
        Kind::SmallNumber => "integer",
        Kind::Flag => "boolean",
        Kind::Text | Kind::Message | Kind::Json | Kind::SortedJson => "text",
        Kind::Bytes => "bytea",
    }
}

/// Returns the statement that reads a table, in the order of the feed if the table is the feed.
pub(super) fn select(table: &Table) -> String {
    let columns = names(table, |column| match column.kind {
        Kind::Json | Kind::SortedJson => format!("\"{}\"::text", column.name),
        _ => format!("\"{}\"", column.name),
    });
    // ORDER BY names the table, because an output column could have the same name.
    let order = if table.is_feed {
        format!(" ORDER BY {0}.transaction_id, {0}.sequence", table.name)
    } else {
        String::new()
    };
    format!("SELECT {columns} FROM {}{order}", table.name)
}

/// One column of several rows, as an array.
pub(super) type Array = Box<dyn ToSql + Send + Sync>;

/// Converts rows to columns, each as the array that [`insert`] expects.
pub(super) fn columns_of(table: &Table, rows: Vec<Row>) -> Result<Vec<Array>, Failure> {
    let mut columns: Vec<Vec<Value>> = table.columns.iter().map(|_| Vec::with_capacity(rows.len())).collect();
    for row in rows {
        for (column, value) in columns.iter_mut().zip(row) {
            column.push(value);
        }
    }
    table.columns.iter().zip(columns).map(|(column, values)| array_of(table, column, values)).collect()
}

fn array_of(table: &Table, column: &Column, values: Vec<Value>) -> Result<Array, Failure> {
    let number = |value| if let Value::Number(number) = value { Some(number) } else { None };
    let bytes = |value| if let Value::Bytes(bytes) = value { Some(bytes) } else { None };
    let array = match column.kind {
        Kind::Id => array(values, |value| bytes(value).and_then(|bytes| Uuid::from_slice(&bytes).ok())),
        Kind::Number => array(values, number),
        Kind::SmallNumber => {
            array(values, |value| number(value).and_then(|number| i32::try_from(number).ok()))
        }
        Kind::Flag => array(values, |value| number(value).map(|number| number != 0)),
        Kind::Bytes => array(values, bytes),
        Kind::Text | Kind::Message | Kind::Json | Kind::SortedJson => {
            array(values, |value| if let Value::Text(text) = value { Some(text) } else { None })
        }
    };
    array.ok_or_else(|| {
        Failure::corrupt(format!(
            "a row of the table {} has an invalid value in the column {}",
            table.name, column.name
        ))
    })
}

/// Returns the array; `None` if a value has the wrong type.
fn array<T>(values: Vec<Value>, of: impl Fn(Value) -> Option<T>) -> Option<Array>
where
    Vec<Option<T>>: ToSql + Send + Sync + 'static,
{
    let values = values.into_iter().map(|value| match value {
        Value::Null => Some(None),
        value => of(value).map(Some),
    });
    Some(Box::new(values.collect::<Option<Vec<Option<T>>>>()?))
}

/// Returns the value in a column of a row.
pub(super) fn value_of(row: &tokio_postgres::Row, column: usize, kind: Kind) -> Result<Value, Failure> {
    let value = match kind {
        Kind::Id => read::<Option<Uuid>>(row, column)?.map(|id| Value::Bytes(id.as_bytes().to_vec())),
        Kind::Number => read::<Option<i64>>(row, column)?.map(Value::Number),
        Kind::SmallNumber => read::<Option<i32>>(row, column)?.map(|number| Value::Number(number.into())),
        Kind::Flag => read::<Option<bool>>(row, column)?.map(|flag| Value::Number(flag.into())),
        Kind::Text | Kind::Message | Kind::Json | Kind::SortedJson => {
            read::<Option<String>>(row, column)?.map(Value::Text)
        }
        Kind::Bytes => read::<Option<Vec<u8>>>(row, column)?.map(Value::Bytes),
    };
    Ok(value.unwrap_or(Value::Null))
}
