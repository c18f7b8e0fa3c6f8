//! Test of query plans: every statement finds its rows through an index.

use std::fmt::Write as _;

use dabba_pg_cluster::Cluster;

use crate::{
    Ownership, PostgresOptions, PostgresStore, accounts, audit, boards, catalogue, consumers, feed, orders,
    pool::Connections,
    shard, statistics, stock, tasks,
    tls::ConnectionTarget,
    tracking,
    webhooks::{deliveries, endpoints},
};

/// Fills the tables: 100,000 orders of 1,000 customers and 100 restaurants, with the rows that belong to them.
const FILL: &str = "\
    CREATE FUNCTION id_of(kind int, number bigint) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$ \
        SELECT (lpad(to_hex(kind), 8, '0') || '-0000-7000-8000-' || lpad(to_hex(number), 12, '0'))::uuid $$; \
    INSERT INTO restaurants SELECT id_of(1, n), 1, 1, 0, 'Tiffin', '{}' FROM generate_series(1, 1000) n; \
    INSERT INTO menus SELECT id_of(1, n), r, '{}' FROM generate_series(1, 1000) n, generate_series(1, 3) r; \
    INSERT INTO stock SELECT id_of(1, n), 10, 'item-' || i FROM generate_series(1, 1000) n, generate_series(1, 5) i; \
    INSERT INTO unavailable_items SELECT id_of(1, n), 'item-' || i FROM generate_series(1, 1000) n, generate_series(1, 5) i; \
    INSERT INTO accounts SELECT id_of(2, n), 0, n || '@example.org', 'A', 'customer', '' FROM generate_series(1, 10000) n; \
    INSERT INTO accounts SELECT id_of(5, n), 0, 'service:' || n, 'A', 'restaurant', '', 1, NULL, NULL, 'service' \
        FROM generate_series(1, 100) n; \
    INSERT INTO api_keys (id, account_id, hash, name, as_of, created_at_ns, created_by) \
        SELECT id_of(6, n), id_of(5, n % 100 + 1), decode(lpad(to_hex(n), 64, '0'), 'hex'), 'K', 0, 0, id_of(2, 1) \
        FROM generate_series(1, 10000) n; \
    INSERT INTO sessions (id, account_id, hash, as_of, created_at_ns, expires_at_ns) \
        SELECT id_of(7, n), id_of(2, n % 1000 + 1), decode(lpad(to_hex(n), 64, '0'), 'hex'), 0, 0, n \
        FROM generate_series(1, 10000) n; \
    INSERT INTO login_links SELECT decode(lpad(to_hex(n), 64, '0'), 'hex'), id_of(2, n % 100 + 1), 0, n, id_of(2, 1), n \
        FROM generate_series(1, 10000) n; \
    INSERT INTO revocations SELECT 'session', id_of(7, n), n, 0 FROM generate_series(1, 10000) n; \
    INSERT INTO memberships SELECT id_of(1, n % 100 + 1), id_of(2, n) FROM generate_series(1, 10000) n; \
    INSERT INTO orders SELECT id_of(3, n), id_of(1, n % 100), id_of(2, n % 1000), \
        CASE WHEN n % 3 = 0 THEN id_of(2, n % 50) END, 2, 1000, 0, 0, NULL, NULL, n, n, n % 100 <> 0, \
        CASE WHEN n % 100 <> 0 THEN 'delivered' ELSE 'confirmed' END, 'pending', 'EUR', NULL \
        FROM generate_series(1, 100000) n; \
    INSERT INTO order_events (order_id, version, at_ns, type, actor, data) \
        SELECT id_of(3, n), v, n, 'placed', '{}', '{}' FROM generate_series(1, 100000) n, generate_series(1, 2) v; \
    INSERT INTO idempotency_keys SELECT id_of(2, n % 1000), id_of(1, n % 100), id_of(3, n), 2, n, 'key-' || n, \
        decode(repeat('00', 32), 'hex') FROM generate_series(1, 100000) n; \
    INSERT INTO tasks (id, order_id, run_at_ns, queue, kind) \
        SELECT id_of(4, n), id_of(3, n), n, CASE WHEN n % 2 = 0 THEN 'payments' ELSE 'deadlines' END, \
        CASE WHEN n % 2 = 0 THEN 'capture_payment' ELSE 'warn_unaccepted' END FROM generate_series(1, 100000) n; \
    INSERT INTO webhook_endpoints SELECT id_of(5, n), id_of(1, n % 100), 1, n, n, 0, id_of(2, 1), NULL, NULL, NULL, NULL, NULL, \
        1, '{}' FROM generate_series(1, 10000) n; \
    INSERT INTO webhook_counter VALUES (1, 10000); \
    INSERT INTO feed_leases SELECT 'group-' || n, 'holder', 1, 1 FROM generate_series(1, 100) n; \
    INSERT INTO feed_consumers SELECT 'webhooks', id_of(5, n)::text, '0', 1, n, 0, 0 FROM generate_series(1, 10000) n; \
    INSERT INTO webhook_failures SELECT id_of(3, n), id_of(5, n % 100), 2, 1, n, n, n, 500, 'failed', \
        CASE WHEN n % 10 = 0 THEN n END FROM generate_series(1, 100000) n; \
    INSERT INTO tracking_links SELECT decode(lpad(to_hex(n), 64, '0'), 'hex'), id_of(3, n), n, n FROM generate_series(1, 100000) n; \
    INSERT INTO boards SELECT id_of(1, n % 1000 + 1), id_of(8, n), NULL, id_of(2, 1), n, n, n, n, n % 2 = 0, false \
        FROM generate_series(1, 100000) n; \
    INSERT INTO webhook_attempts SELECT id_of(5, n % 100), n % 2 = 0, n, id_of(3, n), 2, 10, 500, 'failed', 1 \
        FROM generate_series(1, 10000) n; \
    INSERT INTO statistics SELECT n, 'orders_placed', '', s, 'main', 1, 0, 0, '' \
        FROM generate_series(1, 20000) n, unnest(ARRAY['', 'a']) s; \
    INSERT INTO statistics_progress VALUES (true, 1, 1, 1); \
    ANALYZE";

/// With 100,000 orders, the plan of every statement uses indexes only, and neither the lists of orders nor the feed
/// are sorted.
#[tokio::test]
async fn every_read_uses_an_index() {
    let cluster = Cluster::shared().unwrap();
    let database = cluster.create_database().unwrap();
    let url = cluster.url(&database);
    PostgresStore::migrate(&url, &Ownership::sole()).await.unwrap();
    cluster.execute(&database, FILL).unwrap();
    let target = ConnectionTarget::parse(&url).unwrap();
    let connections = Connections::new(target, &PostgresOptions::default(), None).unwrap();
    let connection = connections.get().await.unwrap();
    let client = connection.client().unwrap();

    let purges = crate::admin::statements();
    let others = [
        accounts::STATEMENTS,
        audit::STATEMENTS,
        boards::STATEMENTS,
        catalogue::STATEMENTS,
        feed::STATEMENTS,
        consumers::STATEMENTS,
        deliveries::STATEMENTS,
        endpoints::STATEMENTS,
        tasks::STATEMENTS,
        shard::STATEMENTS,
        statistics::STATEMENTS,
        stock::STATEMENTS,
        tracking::STATEMENTS,
    ]
    .concat();
    let others = others.into_iter().map(|(name, sql)| (name, sql.to_owned()));
    let (mut checked, mut failures) = (0, String::new());
    for (name, sql) in orders::statements().into_iter().chain(others).chain(purges) {
        let parameters = vec!["NULL"; client.prepare(&sql).await.unwrap().params().len()].join(", ");
        let parameters = if parameters.is_empty() { parameters } else { format!("({parameters})") };
        client.batch_execute(&format!("PREPARE \"{name}\" AS {sql}")).await.unwrap();
        let rows = client.query(&format!("EXPLAIN EXECUTE \"{name}\" {parameters}"), &[]).await.unwrap();
        let plan = rows.iter().map(|row| row.get::<_, &str>(0)).collect::<Vec<_>>().join("\n");
        let is_insert = sql.starts_with("INSERT");
        let is_list = orders::is_list(name) || name.starts_with("all_") || name.starts_with("feed_");
        let finds_by_index = plan.contains("Index") || plan.contains("Tid Scan");
        if plan.contains("Seq Scan")
            || plan.contains("Hash Join")
            || plan.contains("Merge Join")
            || !(finds_by_index || is_insert)
            || (is_list && plan.contains("Sort"))
        {
            writeln!(failures, "{name}:\n{plan}\n").unwrap();
        }
        checked += 1;
    }
    assert!(failures.is_empty(), "{failures}");
    the_search_by_code_reads_ids_in_order(client).await;
    assert!(checked > 35, "only {checked} statements were checked");
    a_page_of_the_feed_costs_its_own_events_only(client).await;
}

/// The search by code walks the index of ids backwards, without a sort, and stops at its limit.
async fn the_search_by_code_reads_ids_in_order(client: &tokio_postgres::Client) {
    let parameters = "(100, '\\x000000', 0, 0, 4095)";
    let (plan, buffers) = explain(client, orders::ORDERS_WITH_CODE, parameters).await;
    assert!(plan.contains("Index Only Scan Backward using orders_pkey"), "{plan}");
    // Rows are read only to learn whether they are visible; after a VACUUM, none are.
    assert!(buffers <= 100 + 20, "{buffers}: {plan}");
}

/// Maximum number of buffers that a page of the feed reads for each event: its index entry and row, the search for its
/// order in an index of three levels, and the order's row.
const BUFFERS_PER_EVENT: i64 = 6;

/// A page of the feed is a range of its index, limited before the orders are searched. It reads as many buffers at the
/// start as at the end of a large table, and the end of the feed is one search.
async fn a_page_of_the_feed_costs_its_own_events_only(client: &tokio_postgres::Client) {
    let positions = "SELECT transaction_id::text, sequence FROM order_events ORDER BY transaction_id, sequence LIMIT 1 OFFSET $1";
    for (offset, limit) in [(0_i64, 10_i64), (0, 100), (100_000, 100), (199_990, 100)] {
        let row = client.query_one(positions, &[&offset]).await.unwrap();
        let (transaction, sequence): (&str, i64) = (row.get(0), row.get(1));
        let parameters = format!("('{transaction}', {sequence}, {limit}, 0, 4095)");
        let (plan, buffers) = explain(client, "feed_page", &parameters).await;
        let scan = plan.find("Index Scan using order_events_feed").unwrap();
        assert!(plan.contains("Index Cond: ((ROW(transaction_id, sequence) > ROW("), "{plan}");
        assert!(plan.find("Limit").unwrap() < scan && plan.find("orders_pkey").unwrap() > scan, "{plan}");
        assert!(buffers <= limit * BUFFERS_PER_EVENT + 20, "{buffers} at {offset}: {plan}");
    }
    let (plan, buffers) = explain(client, "feed_end", "").await;
    assert!(
        plan.contains("Index Only Scan Backward using order_events_feed") && buffers <= 20,
        "{buffers}: {plan}"
    );
}

/// Executes a prepared statement. Returns its plan and the number of buffers that it read.
async fn explain(client: &tokio_postgres::Client, name: &str, parameters: &str) -> (String, i64) {
    let sql = format!("EXPLAIN (ANALYZE, BUFFERS, COSTS OFF) EXECUTE \"{name}\" {parameters}");
    let rows = client.query(&sql, &[]).await.unwrap();
    let lines: Vec<&str> = rows.iter().map(|row| row.get(0)).collect();
    // The first line about buffers is that of the whole statement.
    let buffers = lines.iter().find(|line| line.contains("Buffers: ")).unwrap();
    let count =
        |part: &str| part.split_once('=').and_then(|(_, number)| number.parse::<i64>().ok()).unwrap_or(0);
    let read =
        buffers.split_whitespace().filter(|part| part.starts_with("hit=") || part.starts_with("read="));
    (lines.join("\n"), read.map(count).sum())
}
