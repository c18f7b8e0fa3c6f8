//! The rights that a server needs on the tables of its database.

use dabba_store::StoreError;
use tokio_postgres::Client;

use crate::failure::Failure;

/// Every privilege that a server needs, on its table.
pub const NEEDED_RIGHTS: &[(&str, &str)] = &[
    ("refinery_schema_history", "SELECT"),
    ("schema_versions", "SELECT"),
    ("shard", "SELECT"),
    ("copies", "SELECT"),
    ("accounts", "SELECT"),
    ("accounts", "INSERT"),
    ("accounts", "UPDATE"),
    ("revocations", "SELECT"),
    ("revocations", "INSERT"),
    ("revocations", "UPDATE"),
    ("revocation_counter", "SELECT"),
    ("revocation_counter", "INSERT"),
    ("revocation_counter", "UPDATE"),
    ("memberships", "SELECT"),
    ("memberships", "INSERT"),
    ("memberships", "DELETE"),
    ("restaurants", "SELECT"),
    ("restaurants", "INSERT"),
    ("restaurants", "UPDATE"),
    ("menus", "SELECT"),
    ("menus", "INSERT"),
    ("menus", "DELETE"),
    ("stock", "SELECT"),
    ("stock", "INSERT"),
    ("stock", "UPDATE"),
    ("stock", "DELETE"),
    ("unavailable_items", "SELECT"),
    ("unavailable_items", "INSERT"),
    ("unavailable_items", "UPDATE"),
    ("unavailable_items", "DELETE"),
    ("orders", "SELECT"),
    ("orders", "INSERT"),
    ("orders", "UPDATE"),
    ("order_events", "SELECT"),
    ("order_events", "INSERT"),
    ("idempotency_keys", "SELECT"),
    ("idempotency_keys", "INSERT"),
    ("idempotency_keys", "UPDATE"),
    ("idempotency_keys", "DELETE"),
    ("tasks", "SELECT"),
    ("tasks", "INSERT"),
    ("tasks", "UPDATE"),
    ("tasks", "DELETE"),
];

/// The privilege that reading needs.
const SELECT: &str = "SELECT";

/// The privileges that the user of the session does not have. A table that an earlier schema lacks is left out.
const FIND_MISSING: &str = "\
    SELECT string_agg(privilege || ' on ' || name, ', ' ORDER BY place) \
    FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS needed (name, privilege, place) \
    WHERE NOT has_table_privilege(to_regclass(name), privilege)";

/// Refuses a database on whose tables the user lacks rights: a server would fail at the first request that needs one, and
/// would look ready until then.
pub(crate) async fn check(client: &Client, reads_only: bool) -> Result<(), Failure> {
    let needed = NEEDED_RIGHTS.iter().filter(|(_, privilege)| !reads_only || *privilege == SELECT);
    let (names, privileges): (Vec<&str>, Vec<&str>) = needed.copied().unzip();
    let row = client.query_one(FIND_MISSING, &[&names, &privileges]).await?;
    let missing: Option<String> = row.try_get(0)?;
    missing.map_or(Ok(()), |missing| {
        Err(Failure::Store(StoreError::Unfit(format!(
            "the user of the database's URL lacks rights: GRANT {missing}, or use the user who owns the tables"
        ))))
    })
}
