//! Privileges that a server needs on the tables of its database.

use dabba_store::StoreError;
use tokio_postgres::Client;

use crate::failure::Failure;

/// Every required privilege, with its table.
pub const REQUIRED_PRIVILEGES: &[(&str, &str)] = &[
    ("refinery_schema_history", "SELECT"),
    ("schema_versions", "SELECT"),
    ("shard", "SELECT"),
    ("copies", "SELECT"),
    ("feed_state", "SELECT"),
    ("accounts", "SELECT"),
    ("accounts", "INSERT"),
    ("accounts", "UPDATE"),
    ("api_keys", "SELECT"),
    ("api_keys", "INSERT"),
    ("api_keys", "UPDATE"),
    ("sessions", "SELECT"),
    ("sessions", "INSERT"),
    ("sessions", "UPDATE"),
    ("sessions", "DELETE"),
    ("login_links", "SELECT"),
    ("login_links", "INSERT"),
    ("login_links", "DELETE"),
    ("revocations", "SELECT"),
    ("revocations", "INSERT"),
    ("revocations", "UPDATE"),
    ("revocations", "DELETE"),
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
    ("tracking_links", "SELECT"),
    ("tracking_links", "INSERT"),
    ("tracking_links", "UPDATE"),
    ("tracking_links", "DELETE"),
    ("boards", "SELECT"),
    ("boards", "INSERT"),
    ("boards", "UPDATE"),
    ("boards", "DELETE"),
    ("webhook_endpoints", "SELECT"),
    ("webhook_endpoints", "INSERT"),
    ("webhook_endpoints", "UPDATE"),
    ("webhook_endpoints", "DELETE"),
    ("webhook_counter", "SELECT"),
    ("webhook_counter", "INSERT"),
    ("webhook_counter", "UPDATE"),
    ("feed_leases", "SELECT"),
    ("feed_leases", "INSERT"),
    ("feed_leases", "UPDATE"),
    ("feed_consumers", "SELECT"),
    ("feed_consumers", "INSERT"),
    ("feed_consumers", "UPDATE"),
    ("feed_consumers", "DELETE"),
    ("webhook_failures", "SELECT"),
    ("webhook_failures", "INSERT"),
    ("webhook_failures", "UPDATE"),
    ("webhook_failures", "DELETE"),
    ("webhook_attempts", "SELECT"),
    ("webhook_attempts", "INSERT"),
    ("webhook_attempts", "DELETE"),
    ("statistics", "SELECT"),
    ("statistics", "INSERT"),
    ("statistics", "UPDATE"),
    ("statistics", "DELETE"),
    ("statistics_progress", "SELECT"),
    ("statistics_progress", "INSERT"),
    ("statistics_progress", "UPDATE"),
];

/// Privilege for reading.
const SELECT: &str = "SELECT";

/// Tables that the programs of a user who only reads do not read, because they contain secrets: the sealed secrets of
/// webhook endpoints, and their URLs, which may contain a password.
const SECRET_TABLES: &[&str] = &["webhook_endpoints"];

/// Returns the privileges that a user needs who only reads, such as the auditor.
pub fn reading_privileges() -> Vec<(&'static str, &'static str)> {
    let reads = |(table, privilege): &&(&str, &str)| *privilege == SELECT && !SECRET_TABLES.contains(table);
    REQUIRED_PRIVILEGES.iter().filter(reads).copied().collect()
}

/// Lists the missing privileges of the session's user. Skips tables that do not exist in an older schema.
const FIND_MISSING: &str = "\
    SELECT string_agg(privilege || ' on ' || name, ', ' ORDER BY place) \
    FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS needed (name, privilege, place) \
    WHERE NOT has_table_privilege(to_regclass(name), privilege)";

/// Refuses a database in which the user lacks privileges. Without this check, a server would look ready and fail at
/// the first request that needs the privilege.
pub(crate) async fn check(client: &Client, reads_only: bool) -> Result<(), Failure> {
    let needed = if reads_only { reading_privileges() } else { REQUIRED_PRIVILEGES.to_vec() };
    let (names, privileges): (Vec<&str>, Vec<&str>) = needed.into_iter().unzip();
    let row = client.query_one(FIND_MISSING, &[&names, &privileges]).await?;
    let missing: Option<String> = row.try_get(0)?;
    missing.map_or(Ok(()), |missing| {
        Err(Failure::Store(StoreError::Unfit(format!(
            "the user of the database's URL lacks privileges: GRANT {missing}, or connect as the owner of the tables"
        ))))
    })
}
