//! Tests that every statement uses an index, by the query plans of `SQLite`.

use std::collections::BTreeSet;

use dabba_store_sql::lists::IndexRange;
use rusqlite::Connection;

use crate::{
    accounts, audit, boards,
    catalogue::{self, marks},
    consumers, feed, migrate,
    orders::{
        commit, list,
        read::{FIND_EVENTS, FIND_ORDER},
    },
    statistics, stock, tasks, tracking,
    webhooks::{deliveries, endpoints},
};

/// All statements that search for rows, except the lists of orders.
const STATEMENTS: &[&str] = &[
    accounts::DELETE_MEMBERSHIP,
    accounts::DELETE_MEMBERSHIPS,
    accounts::FIND_ACCOUNT,
    accounts::FIND_ACCOUNTS,
    accounts::FIND_ACCOUNTS_OF_ROLE,
    accounts::FIND_ACCOUNT_BY_EMAIL,
    accounts::FIND_PERSONS,
    accounts::FIND_PERSONS_OF_ROLE,
    accounts::FIND_SERVICES,
    accounts::FIND_SERVICES_OF_ROLE,
    accounts::COUNT_ACTIVE_KEYS,
    accounts::FIND_KEY,
    accounts::FIND_KEY_BY_HASH,
    accounts::FIND_KEYS,
    accounts::IS_USABLE,
    accounts::RECORD_USE,
    accounts::REVOKE_KEY,
    accounts::REVOKE_KEYS_OF_ACCOUNT,
    accounts::FIND_MEMBERS,
    accounts::FIND_MEMBERSHIPS,
    accounts::FIND_OTHER_ADMIN,
    accounts::FIND_REVOCATION,
    accounts::FIND_REVOCATIONS,
    accounts::IS_VOID,
    accounts::UPDATE_ACCOUNT,
    accounts::CONSUME_LINK,
    accounts::DELETE_EXCESS_LINKS,
    accounts::DELETE_EXPIRED_LINKS,
    accounts::DELETE_EXPIRED_SESSIONS,
    accounts::DELETE_REVOCATION,
    accounts::FIND_ACTIVE_SESSIONS,
    accounts::FIND_LINK,
    accounts::FIND_SESSION,
    accounts::FIND_SESSION_BY_HASH,
    accounts::FIND_SESSIONS,
    accounts::IS_SESSION_USABLE,
    accounts::RECORD_SESSION_USE,
    accounts::REVOKE_SESSION,
    accounts::REVOKE_SESSIONS_OF_ACCOUNT,
    audit::ALL_CLAIMS,
    audit::ALL_STOCK,
    audit::ALL_TASKS,
    boards::CHECK,
    boards::DELETE,
    boards::DISCONNECT,
    boards::FIND,
    boards::FIND_ATTENDANCE,
    boards::FIND_DUE,
    boards::HANDLE,
    boards::IS_PAUSED,
    boards::POSTPONE,
    catalogue::FIND_EXTERNAL_ID,
    catalogue::FIND_MENU,
    catalogue::FIND_MENU_REVISIONS,
    catalogue::FIND_RESTAURANT,
    catalogue::FIND_REVISION,
    catalogue::FIND_STOCK_LEVELS,
    marks::FIND_UNAVAILABLE,
    catalogue::DELETE_OLD_MENUS,
    catalogue::LIST_RESTAURANTS,
    marks::MARK_AVAILABLE,
    marks::RAISE_AVAILABILITY_REVISION,
    catalogue::UPDATE_MENU_REVISION,
    catalogue::UPDATE_RESTAURANT,
    commit::DELETE_TASK,
    commit::FIND_CLAIM,
    commit::FIND_LEASE,
    commit::FIND_REVISIONS,
    commit::FIND_STOCK,
    commit::FIND_VERSION,
    commit::DELETE_EXPIRED_KEYS,
    commit::RETURN_STOCK,
    commit::TAKE_STOCK,
    commit::UPDATE_ORDER,
    consumers::DELETE_POSITION,
    consumers::EXTEND,
    consumers::FIND_HOLDER,
    consumers::FIND_OWN_POSITIONS,
    consumers::FIND_POSITION,
    consumers::IS_HELD,
    consumers::JOIN,
    consumers::RELEASE,
    deliveries::COUNT,
    deliveries::DELETE_ATTEMPTS,
    deliveries::DELETE_FAILURE,
    deliveries::DELETE_FAILURES,
    deliveries::FIND_ATTEMPTS,
    deliveries::FIND_DUE,
    deliveries::FIND_FAILURE,
    deliveries::FIND_NEXT_ATTEMPT,
    deliveries::FIND_NEXT_ENDPOINT,
    deliveries::LIST,
    deliveries::LIST_DEAD,
    deliveries::FIND_FIRST_AFTER,
    deliveries::TRIM_ATTEMPTS,
    endpoints::CHANGES,
    endpoints::FIND,
    endpoints::HAS_MAXIMUM,
    endpoints::LIST,
    endpoints::LIST_OF_OWNER,
    endpoints::PURGE,
    endpoints::REPORT_FAILURE,
    endpoints::REPORT_SUCCESS,
    endpoints::UPDATE,
    statistics::DELETE_OLD,
    statistics::FIND_PROGRESS,
    statistics::FIND_STORED,
    statistics::LIST,
    stock::DELETE_LEVEL,
    stock::FIND_COUNTERS,
    stock::FIND_LEVEL,
    stock::UPDATE_COUNTERS,
    stock::UPDATE_LEVEL,
    tracking::COUNT,
    tracking::DELETE,
    tracking::FIND,
    tracking::FIND_DUE,
    tracking::HAS_ORDER,
    tracking::POSTPONE,
    tasks::CLAIM_DUE,
    tasks::COMPLETE,
    tasks::POSTPONE,
    tasks::FAIL,
    tasks::PARKED,
    tasks::COUNT_PARKED,
    tasks::FIND_DUE,
    tasks::OLDEST_OVERDUE,
    tasks::RETRY,
    tasks::RESOLVE,
    FIND_EVENTS,
    FIND_ORDER,
    list::FIND_NEWEST_IDS,
    feed::FIND_INCARNATION,
    feed::FIND_LAST,
    feed::READ_FEED,
];

fn migrated() -> (tempfile::TempDir, Connection) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("plans.db");
    migrate::migrate(&path).unwrap();
    let connection = Connection::open(&path).unwrap();
    (directory, connection)
}

/// Returns the steps of the plan of `SQLite`.
fn plan(connection: &Connection, sql: &str) -> Vec<String> {
    let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
    // The plan does not depend on the values of the parameters.
    let parameters = vec![rusqlite::types::Null; statement.parameter_count()];
    let steps = statement.query_map(rusqlite::params_from_iter(parameters), |row| row.get("detail")).unwrap();
    steps.collect::<Result<_, _>>().unwrap()
}

fn is_bad(step: &str) -> bool {
    step.starts_with("SCAN") || step.contains("TEMP B-TREE") || step.contains("AUTOMATIC")
}

#[test]
fn the_test_detects_a_scan_and_a_sort() {
    let (_directory, connection) = migrated();
    for sql in [
        "SELECT * FROM orders WHERE status = ?1",
        "SELECT * FROM orders WHERE customer_id = ?1 ORDER BY updated_at_ns",
        "DELETE FROM tasks WHERE kind = ?1",
    ] {
        assert!(plan(&connection, sql).iter().any(|step| is_bad(step)), "{sql}");
    }
}

#[test]
fn no_statement_scans_or_sorts() {
    let (_directory, connection) = migrated();
    for sql in STATEMENTS {
        let plan = plan(&connection, sql);
        assert!(!plan.is_empty() && !plan.iter().any(|step| is_bad(step)), "{sql}\n{plan:#?}");
    }
}

#[test]
fn each_list_walks_its_index() {
    let (_directory, connection) = migrated();
    for range in IndexRange::EVERY {
        let search = match range {
            IndexRange::Customer => "INDEX orders_of_customer (customer_id=? AND id<?)",
            IndexRange::RestaurantOpen | IndexRange::RestaurantTerminal => {
                "INDEX orders_of_restaurant (restaurant_id=? AND is_terminal=? AND id<?)"
            }
            IndexRange::CourierOpen | IndexRange::CourierTerminal => {
                "INDEX orders_of_courier (courier_id=? AND is_terminal=? AND id<?)"
            }
            IndexRange::AllOpen => "INDEX orders_open (id<?)",
            IndexRange::All => "INDEX sqlite_autoindex_orders_1 (id<?)",
        };
        for is_filtered in [false, true] {
            let steps = plan(&connection, &list::sql(range, is_filtered));
            assert_eq!(steps, [format!("SEARCH orders USING {search}")], "{range:?} {is_filtered}");
        }
    }
}

/// The search by code reads only the index of ids, and no orders.
#[test]
fn the_search_by_code_reads_ids_only() {
    let (_directory, connection) = migrated();
    let steps = plan(&connection, list::FIND_NEWEST_IDS);
    assert_eq!(steps, ["SEARCH orders USING COVERING INDEX sqlite_autoindex_orders_1 (id<?)"]);
}

#[test]
fn the_lines_of_orders_can_be_read_with_sql() {
    let (_directory, connection) = migrated();
    let statement = connection.prepare("SELECT * FROM order_items").unwrap();
    let columns: BTreeSet<&str> = statement.column_names().into_iter().collect();
    assert!(
        columns.is_superset(&BTreeSet::from(["order_id", "line", "item", "quantity", "total", "options"]))
    );
}
