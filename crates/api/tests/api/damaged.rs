//! Parked tasks that the server can read only in part.

use std::sync::Arc;

use async_trait::async_trait;
use dabba_domain::{
    AccountId, Bucket, TaskId,
    order::ReviewReason,
    task::{Task, TaskSubject},
};
use dabba_store::{NewTask, PageSize, Store, StoreError, TaskPage, layer::StoreLayer};
use dabba_testkit::{TestServer, sqlite_in};
use futures::FutureExt as _;
use serde_json::json;

/// A store that cannot decode the second and third task of each page.
struct DamagedStore(Arc<dyn Store>);

#[async_trait]
impl StoreLayer for DamagedStore {
    fn inner(&self) -> &dyn Store {
        &*self.0
    }
    async fn parked_tasks(&self, after: Option<TaskId>, limit: PageSize) -> Result<TaskPage, StoreError> {
        let mut page = self.0.parked_tasks(after, limit).await?;
        let injected = || "injected by the test".to_owned();
        let errors = [StoreError::WrittenByNewer(injected()), StoreError::Corrupt(injected())];
        for (parked, error) in page.tasks.iter_mut().skip(1).zip(errors) {
            parked.task.content = Err(error);
        }
        Ok(page)
    }
}

/// Proves that reviews that the server cannot decode are listed beside the others, without their reason; that their
/// `detail` states why, without the store's own text; and that an admin resolves them.
#[tokio::test]
async fn a_review_that_cannot_be_decoded_is_listed() {
    let directory = tempfile::tempdir().unwrap();
    let inner = sqlite_in(directory.path());
    let server = TestServer::builder().store(Arc::new(move || {
        let store = inner();
        async move { Arc::new(DamagedStore(store.await)) as Arc<dyn Store> }.boxed()
    }));
    let server = server.start().await;
    let (now, bucket) = (server.now(), Bucket::FIRST);
    for random in 1..=3 {
        let subject = TaskSubject::Account(AccountId::generate(now, bucket, random << 2));
        let id = TaskId::generate(now, bucket, random << 2);
        let task = Task::Review { reason: ReviewReason::PaymentVoided };
        assert!(server.store().enqueue_task(&NewTask { id, subject, task, run_at: now }).await.unwrap());
    }
    let list = async || server.get("/v1/tasks", Some(&server.admin)).await.expect(200);
    let page = list().await;
    let tasks = page["tasks"].as_array().unwrap();
    assert_eq!(tasks.len(), 3);
    for (task, text) in tasks.iter().zip(["voided", "newer version", "damaged"]) {
        let detail = task["detail"].as_str().unwrap();
        assert!(detail.contains(text) && !detail.contains("injected"), "{detail}");
        assert_eq!(task.get("reason").is_some(), text == "voided", "{task}");
        assert_eq!((&task["kind"], &task["failures"]), (&json!("review"), &json!([])));
        assert!(task["account_id"].is_string(), "{task}");
    }
    for task in tasks {
        let resolve = format!("/v1/tasks/{}/resolve", task["id"].as_str().unwrap());
        let reason = json!({"reason": "they rang us up"});
        server.post(&resolve, Some(&server.admin), &reason).send().await.expect(204);
    }
    assert_eq!(list().await, json!({"tasks": []}));
}
