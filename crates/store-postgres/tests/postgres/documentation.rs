//! The queries and the grants of the documentation.

use std::fmt::Write as _;

use dabba_store_postgres::{REQUIRED_PRIVILEGES, reading_privileges};

use crate::common::{fresh_database, session};

/// PostgreSQL accepts every query of the operators' page on alerts.
#[tokio::test]
async fn the_queries_for_alerts_are_valid() {
    let page = include_str!("../../../../docs/guides/operator/high-availability.md");
    let (_, section) = page.split_once("### What to alert on").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let queries: Vec<&str> = section.split('`').filter(|text| text.starts_with("SELECT ")).collect();
    assert!(queries.len() >= 8, "{queries:?}");
    let client = session(&fresh_database()).await;
    for query in queries {
        client.query(query, &[]).await.unwrap_or_else(|error| panic!("{query}: {error:?}"));
    }
}

/// Returns the statements that grant a user these privileges, in the order of the tables.
fn grants(user: &str, privileges: &[(&str, &str)]) -> String {
    let mut grants = String::new();
    for privilege in ["SELECT", "INSERT", "UPDATE", "DELETE"] {
        let tables = privileges.iter().filter(|(_, needed)| *needed == privilege);
        let tables: Vec<_> = tables.map(|(table, _)| *table).collect();
        if tables.is_empty() {
            continue;
        }
        writeln!(grants, "GRANT {privilege} ON\n    {}\n    TO {user};", tables.join(", ")).unwrap();
    }
    grants
}

/// The page on production grants each user exactly the privileges that the store requires and checks.
#[test]
fn the_page_of_production_grants_what_is_needed() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/guides/operator/production.md");
    let page = std::fs::read_to_string(path).unwrap();
    let (before, rest) = page.split_once("<!-- grants -->\n").unwrap();
    let (found, behind) = rest.split_once("<!-- end of grants -->").unwrap();
    let server = grants("dabba_server", REQUIRED_PRIVILEGES);
    let statements = format!("{server}{}", grants("dabba_audit", &reading_privileges()));
    let expected = format!("<!-- run: roles -->\n```sql\n{statements}```\n\n");
    if std::env::var_os("DABBA_WRITE_DOCS").is_some() {
        let page = format!("{before}<!-- grants -->\n{expected}<!-- end of grants -->{behind}");
        std::fs::write(path, page).unwrap();
        return;
    }
    assert_eq!(
        found, expected,
        "run: DABBA_WRITE_DOCS=1 cargo test --workspace --test postgres the_page_of_production"
    );
}
