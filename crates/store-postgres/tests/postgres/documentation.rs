//! The documentation's questions to PostgreSQL, asked, and the rights that it grants.

use std::fmt::Write as _;

use dabba_store_postgres::NEEDED_RIGHTS;

use crate::common::{fresh_database, session};

/// Every question of the page for operators can be asked of a server as it is installed.
#[tokio::test]
async fn the_questions_to_alert_on_can_be_asked() {
    let page = include_str!("../../../../docs/operations/high-availability.md");
    let (_, section) = page.split_once("### What to alert on").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let questions: Vec<&str> = section.split('`').filter(|text| text.starts_with("SELECT ")).collect();
    assert!(questions.len() >= 8, "{questions:?}");
    let client = session(&fresh_database()).await;
    for question in questions {
        client.query(question, &[]).await.unwrap_or_else(|error| panic!("{question}: {error:?}"));
    }
}

/// The statements that grant a user all rights, or those to read, in the order of the tables.
fn grants(user: &str, reads_only: bool) -> String {
    let mut grants = String::new();
    for privilege in ["SELECT", "INSERT", "UPDATE", "DELETE"].iter().take(if reads_only { 1 } else { 4 }) {
        let tables = NEEDED_RIGHTS.iter().filter(|(_, needed)| needed == privilege);
        let tables: Vec<_> = tables.map(|(table, _)| *table).collect();
        writeln!(grants, "GRANT {privilege} ON\n    {}\n    TO {user};", tables.join(", ")).unwrap();
    }
    grants
}

/// The page of production grants each user exactly the rights that the store needs and verifies.
#[test]
fn the_page_of_production_grants_what_is_needed() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/operations/production.md");
    let page = std::fs::read_to_string(path).unwrap();
    let (before, rest) = page.split_once("<!-- grants -->\n").unwrap();
    let (found, behind) = rest.split_once("<!-- end of grants -->").unwrap();
    let statements = format!("{}{}", grants("dabba_server", false), grants("dabba_audit", true));
    let expected = format!("<!-- run: roles -->\n```sql\n{statements}```\n\n");
    if std::env::var_os("DABBA_WRITE_DOCS").is_some() {
        let page = format!("{before}<!-- grants -->\n{expected}<!-- end of grants -->{behind}");
        std::fs::write(path, page).unwrap();
        return;
    }
    assert_eq!(
        found, expected,
        "run: DABBA_WRITE_DOCS=1 cargo test -p dabba-store-postgres --test postgres the_page_of_production"
    );
}
