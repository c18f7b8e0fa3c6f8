//! The rows that a plan inserts, as one array for each column.
//!
//! A statement takes all rows at once: its parameters are arrays, which `unnest` turns back into rows. `column_table!`
//! declares the columns of such a statement once, and derives from the declaration the arrays, the parameters and the
//! statement. To add a column, add its line to the table.

use std::sync::LazyLock;

use dabba_domain::{
    ids::Id,
    order::{Order, PaymentReference, RecordedEvent},
};
use dabba_store::{
    Claim, NewTask,
    encoding::{
        EncodedChange, EncodedCommit, EncodedEvent, EncodedTask, FINGERPRINT_VERSION, stored_version,
    },
};
use tokio_postgres::types::ToSql;
use uuid::Uuid;

/// A column of a table of arrays.
#[derive(Clone, Copy)]
struct Column {
    name: &'static str,
    /// SQL type of an element of the array.
    element: &'static str,
    /// Type to which the element is cast, if the column has another type. JSON is sent as text.
    cast: Option<&'static str>,
}

/// Declares a table of arrays. A line is `column: element of the array, "SQL type of the element" = value of a row`, or
/// with `"SQL type" as "type of the column"`. The values refer to the arguments in the head.
macro_rules! column_table {
    (
        $(#[$attribute:meta])*
        $table:ident<'b>($($argument:ident: $type:ty),+) {
            $($column:ident: $element:ty, $sql:literal $(as $cast:literal)? = $value:expr;)+
        }
    ) => {
        $(#[$attribute])*
        #[derive(Default)]
        pub(super) struct $table<'b> {
            /// Number of rows.
            pub(super) rows: usize,
            $($column: Vec<$element>,)+
        }

        impl<'b> $table<'b> {
            const COLUMNS: &'static [Column] = &[$(Column {
                name: stringify!($column),
                element: $sql,
                cast: [$(Some($cast),)? None][0],
            },)+];

            /// Adds a row.
            pub(super) fn push(&mut self, $($argument: $type),+) {
                self.rows += 1;
                $(self.$column.push($value);)+
            }

            /// Returns the arrays, in the order of the statement's parameters.
            pub(super) fn parameters(&self) -> [&(dyn ToSql + Sync); [$(stringify!($column)),+].len()] {
                [$(&self.$column,)+]
            }
        }
    };
}

column_table! {
    /// Claims of keys. A commit without a change was answered with the order at its expected version.
    ClaimColumns<'b>(claim: &'b Claim, encoded: &'b EncodedCommit) {
        account_id: Uuid, "uuid" = claim.account_id.uuid();
        restaurant_id: Uuid, "uuid" = encoded.commit.restaurant_id.uuid();
        key: &'b str, "text" = claim.key.as_str();
        fingerprint: &'b [u8], "bytea" = &claim.fingerprint.0;
        fingerprint_version: i32, "integer" = stored_version(FINGERPRINT_VERSION);
        order_id: Uuid, "uuid" = encoded.commit.order_id.uuid();
        version: i64, "bigint" = {
            let commit = &encoded.commit;
            commit.change.as_ref().map_or(commit.expected_version, |change| change.order.version).into()
        };
        claimed_at_ns: i64, "bigint" = encoded.at_ns;
    }
}

column_table! {
    /// Orders. `currency` is empty for an order that is updated.
    OrderColumns<'b>(order: &'b Order, encoded: &'b EncodedChange, currency: &'b str) {
        id: Uuid, "uuid" = order.id.uuid();
        restaurant_id: Uuid, "uuid" = order.details.restaurant_id.uuid();
        customer_id: Uuid, "uuid" = order.details.customer_id.uuid();
        courier_id: Option<Uuid>, "uuid" = order.courier_id.map(Id::uuid);
        version: i64, "bigint" = order.version.into();
        total: i64, "bigint" = order.details.amounts.total.minor();
        captured: i64, "bigint" = order.captured.minor();
        refunded: i64, "bigint" = order.refunded.minor();
        acceptance_deadline_ns: Option<i64>, "bigint" = encoded.acceptance_deadline_ns;
        ready_by_ns: Option<i64>, "bigint" = encoded.ready_by_ns;
        placed_at_ns: i64, "bigint" = encoded.placed_at_ns;
        updated_at_ns: i64, "bigint" = encoded.updated_at_ns;
        is_terminal: bool, "boolean" = order.status.is_terminal();
        status: &'static str, "text" = order.status.as_str();
        payment_status: &'static str, "text" = order.payment_status.as_str();
        currency: &'b str, "text" = currency;
        closure: Option<&'b str>, "text" as "json" = encoded.closure.as_deref();
        payment_reference: Option<&'b str>, "text" =
            order.payment_reference.as_ref().map(PaymentReference::as_str);
        refunds: Option<&'b str>, "text" as "json" = encoded.refunds.as_deref();
        format: i32, "integer" = encoded.format;
    }
}

column_table! {
    /// Events of orders.
    EventColumns<'b>(recorded: &'b RecordedEvent, event: &'b EncodedEvent, data_of_event: Option<&'b str>) {
        order_id: Uuid, "uuid" = recorded.order_id.uuid();
        version: i64, "bigint" = recorded.version.into();
        at_ns: i64, "bigint" = event.at_ns;
        r#type: &'static str, "text" = event.name;
        actor: &'b str, "text" as "json" = event.actor.as_str();
        data: Option<&'b str>, "text" as "json" = data_of_event;
    }
}

column_table! {
    /// Tasks of orders, the default of the column `subject_kind`. A task for admins is parked from the start.
    TaskColumns<'b>(task: &'b NewTask, encoded: &'b EncodedTask, at_ns: i64) {
        id: Uuid, "uuid" = task.id.uuid();
        order_id: Uuid, "uuid" = task.subject.uuid();
        queue: &'static str, "text" = task.task.kind().queue().as_str();
        kind: &'static str, "text" = task.task.kind().as_str();
        payload: Option<&'b str>, "text" as "json" = encoded.payload.as_deref();
        run_at_ns: i64, "bigint" = encoded.run_at_ns;
        parked_at_ns: Option<i64>, "bigint" = task.task.kind().needs_admin().then_some(at_ns);
    }
}

/// Returns a statement that inserts the rows of arrays into a table, in the order of the arrays.
fn insert(table: &str, columns: &[Column]) -> String {
    let join = |format: &dyn Fn(usize, &Column) -> String| {
        let texts = columns.iter().zip(1..).map(|(column, number)| format(number, column));
        texts.collect::<Vec<_>>().join(", ")
    };
    // A name that is a keyword of Rust is declared as `r#name`.
    let name = |column: &Column| column.name.trim_start_matches("r#").to_owned();
    let names = join(&|_, column| name(column));
    let values = join(&|_, column| match column.cast {
        Some(cast) => format!("{}::{cast}", name(column)),
        None => name(column),
    });
    let arrays = join(&|number, column| format!("${number}::{}[]", column.element));
    format!("INSERT INTO {table} ({names}) SELECT {values} FROM unnest({arrays}) AS proposed ({names})")
}

/// Inserts claims. If another transaction claims the same key, waits for it, and fails with 40001 once that transaction
/// has committed: a snapshot cannot include a later commit.
pub(crate) static INSERT_CLAIMS: LazyLock<String> = LazyLock::new(|| {
    insert("idempotency_keys", ClaimColumns::COLUMNS)
        + " ON CONFLICT (account_id, restaurant_id, key) DO NOTHING"
});

/// Inserts orders. Fails if an order exists already, which never happens in normal operation. A check by `ON CONFLICT`
/// would cost a second index search and a lock for every row.
pub(crate) static INSERT_ORDERS: LazyLock<String> = LazyLock::new(|| insert("orders", OrderColumns::COLUMNS));

/// Updates orders by an insert; the parameter after the columns is the array of expected versions. `UPDATE ... WHERE id
/// = ...` would search the index as a reader. In a SERIALIZABLE transaction, a reader of an index page conflicts with
/// every transaction that inserts into the same page: two servers that change different orders of the same minute would
/// conflict. `ON CONFLICT` searches the index as a writer.
///
/// The proposed row has an empty currency, and the update leaves the currency of an existing row unchanged. If the
/// returned currency is empty, the order did not exist.
///
/// An update never lowers the format: the order also contains the events that a newer server wrote.
pub(crate) static UPDATE_ORDERS: LazyLock<String> = LazyLock::new(|| {
    let names = OrderColumns::COLUMNS.iter().map(|column| column.name);
    let changes = names.filter(|name| !CONSTANT_COLUMNS.contains(name)).map(|name| {
        if name == "format" {
            "format = greatest(orders.format, excluded.format)".to_owned()
        } else {
            format!("{name} = excluded.{name}")
        }
    });
    format!(
        "{} ON CONFLICT (id) DO UPDATE SET {} \
         WHERE orders.version = (${}::bigint[])[array_position($1::uuid[], orders.id)] \
         RETURNING currency <> ''",
        *INSERT_ORDERS,
        changes.collect::<Vec<_>>().join(", "),
        OrderColumns::COLUMNS.len() + 1,
    )
});

/// Columns of an order that an update leaves unchanged.
const CONSTANT_COLUMNS: [&str; 6] =
    ["id", "restaurant_id", "customer_id", "total", "placed_at_ns", "currency"];

/// Inserts the events of new orders, in the order of the arrays, so that the feed's sequence numbers follow the order of
/// the commits. Fails like [`INSERT_ORDERS`].
pub(crate) static INSERT_FIRST_EVENTS: LazyLock<String> =
    LazyLock::new(|| insert("order_events", EventColumns::COLUMNS));

/// Inserts events, and skips existing ones. Existing events mean that another transaction has changed the order in
/// the meantime, which is normal.
pub(crate) static INSERT_EVENTS: LazyLock<String> =
    LazyLock::new(|| format!("{} ON CONFLICT (order_id, version) DO NOTHING", *INSERT_FIRST_EVENTS));

/// Inserts tasks, whose ids are new. Fails like [`INSERT_ORDERS`].
pub(crate) static INSERT_TASKS: LazyLock<String> = LazyLock::new(|| insert("tasks", TaskColumns::COLUMNS));

#[cfg(test)]
mod tests {
    use super::*;

    /// Proves that a statement numbers its parameters in the order of the columns, and casts what is sent as text.
    #[test]
    fn a_statement_follows_its_table() {
        assert_eq!(
            *INSERT_FIRST_EVENTS,
            "INSERT INTO order_events (order_id, version, at_ns, type, actor, data) \
             SELECT order_id, version, at_ns, type, actor::json, data::json \
             FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::text[]) \
             AS proposed (order_id, version, at_ns, type, actor, data)"
        );
    }

    /// Pins the columns that an update changes. An update loses the changes of every other column.
    #[test]
    fn an_update_leaves_only_the_constant_columns() {
        let (_, update) = UPDATE_ORDERS.split_once(" ON CONFLICT ").unwrap();
        assert_eq!(
            update,
            "(id) DO UPDATE SET courier_id = excluded.courier_id, version = excluded.version, \
             captured = excluded.captured, refunded = excluded.refunded, \
             acceptance_deadline_ns = excluded.acceptance_deadline_ns, ready_by_ns = excluded.ready_by_ns, \
             updated_at_ns = excluded.updated_at_ns, is_terminal = excluded.is_terminal, \
             status = excluded.status, payment_status = excluded.payment_status, \
             closure = excluded.closure, payment_reference = excluded.payment_reference, \
             refunds = excluded.refunds, format = greatest(orders.format, excluded.format) \
             WHERE orders.version = ($21::bigint[])[array_position($1::uuid[], orders.id)] \
             RETURNING currency <> ''"
        );
    }
}
