//! The documentation's questions to PostgreSQL, asked.

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
