//! The tables and columns that a copy transfers, in an order in which every referenced row is copied first.
//!
//! When you add a table or a column to the stores, add it here too. Both stores compare this list with their schema
//! before a copy starts, and refuse the copy if the two differ.

use super::{Column, Kind, Table};

const fn column(name: &'static str, kind: Kind) -> Column {
    Column { name, kind }
}

/// All tables of a copy.
pub const TABLES: &[Table] = &[
    Table {
        name: "accounts",
        key: &["id"],
        is_feed: false,
        columns: &[
            column("id", Kind::Id),
            column("email", Kind::Text),
            column("name", Kind::Text),
            column("role", Kind::Text),
            column("password_hash", Kind::Text),
            column("created_at_ns", Kind::Number),
            column("version", Kind::Number),
            column("disabled_at_ns", Kind::Number),
            column("deleted_at_ns", Kind::Number),
        ],
    },
    Table {
        name: "restaurants",
        key: &["id"],
        is_feed: false,
        columns: &[
            column("id", Kind::Id),
            column("revision", Kind::Number),
            column("menu_revision", Kind::Number),
            column("availability_revision", Kind::Number),
            column("stock_revision_floor", Kind::Number),
            column("created_at_ns", Kind::Number),
            column("external_id", Kind::Text),
            column("name", Kind::Text),
            column("settings", Kind::Json),
            column("pause", Kind::Json),
            column("closed", Kind::Json),
            column("format", Kind::SmallNumber),
        ],
    },
    Table {
        name: "memberships",
        key: &["restaurant_id", "account_id"],
        is_feed: false,
        columns: &[column("restaurant_id", Kind::Id), column("account_id", Kind::Id)],
    },
    Table {
        name: "revocations",
        key: &["subject_kind", "subject_id"],
        is_feed: false,
        columns: &[
            column("subject_kind", Kind::Text),
            column("subject_id", Kind::Id),
            column("revision", Kind::Number),
            column("revoked_at_ns", Kind::Number),
        ],
    },
    Table {
        name: "revocation_counter",
        key: &["id"],
        is_feed: false,
        columns: &[column("id", Kind::SmallNumber), column("revision", Kind::Number)],
    },
    Table {
        name: "menus",
        key: &["restaurant_id", "revision"],
        is_feed: false,
        columns: &[
            column("restaurant_id", Kind::Id),
            column("revision", Kind::Number),
            column("menu", Kind::Json),
        ],
    },
    Table {
        name: "stock",
        key: &["restaurant_id", "item"],
        is_feed: false,
        columns: &[
            column("restaurant_id", Kind::Id),
            column("item", Kind::Text),
            column("remaining", Kind::Number),
            column("revision", Kind::Number),
        ],
    },
    Table {
        name: "unavailable_items",
        key: &["restaurant_id", "item"],
        is_feed: false,
        columns: &[
            column("restaurant_id", Kind::Id),
            column("item", Kind::Text),
            column("until", Kind::Text),
        ],
    },
    Table {
        name: "order_events",
        key: &["sequence"],
        is_feed: true,
        columns: &[
            column("order_id", Kind::Id),
            column("version", Kind::Number),
            column("at_ns", Kind::Number),
            column("type", Kind::Text),
            column("actor", Kind::Json),
            column("data", Kind::Json),
        ],
    },
    Table {
        name: "orders",
        key: &["id"],
        is_feed: false,
        columns: &[
            column("id", Kind::Id),
            column("restaurant_id", Kind::Id),
            column("customer_id", Kind::Id),
            column("courier_id", Kind::Id),
            column("version", Kind::Number),
            column("total", Kind::Number),
            column("captured", Kind::Number),
            column("refunded", Kind::Number),
            column("acceptance_deadline_ns", Kind::Number),
            column("ready_by_ns", Kind::Number),
            column("placed_at_ns", Kind::Number),
            column("updated_at_ns", Kind::Number),
            column("is_terminal", Kind::Flag),
            column("status", Kind::Text),
            column("payment_status", Kind::Text),
            column("currency", Kind::Text),
            column("closure", Kind::Json),
            column("payment_reference", Kind::Text),
            column("refunds", Kind::Json),
            column("format", Kind::SmallNumber),
        ],
    },
    Table {
        name: "idempotency_keys",
        key: &["account_id", "restaurant_id", "key"],
        is_feed: false,
        columns: &[
            column("account_id", Kind::Id),
            column("restaurant_id", Kind::Id),
            column("key", Kind::Text),
            column("fingerprint", Kind::Bytes),
            column("fingerprint_version", Kind::SmallNumber),
            column("order_id", Kind::Id),
            column("version", Kind::Number),
            column("resource", Kind::Json),
            column("claimed_at_ns", Kind::Number),
        ],
    },
    Table {
        name: "tasks",
        key: &["id"],
        is_feed: false,
        columns: &[
            column("id", Kind::Id),
            column("order_id", Kind::Id),
            column("subject_kind", Kind::Text),
            column("queue", Kind::Text),
            column("kind", Kind::Text),
            column("payload", Kind::Json),
            column("run_at_ns", Kind::Number),
            column("leased_until_ns", Kind::Number),
            column("attempts", Kind::Number),
            column("last_error", Kind::Message),
            column("failures", Kind::SortedJson),
            column("parked_at_ns", Kind::Number),
            column("resolved_at_ns", Kind::Number),
            column("resolved_by", Kind::Id),
            column("resolution", Kind::Message),
        ],
    },
];
