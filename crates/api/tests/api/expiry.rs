//! Orders that nobody accepts, and parked tasks.

use std::time::Duration;

use dabba_domain::{
    AccountId, Bucket, RestaurantId, TaskId, Timestamp,
    order::ReviewReason,
    task::{Task, TaskQueue, TaskSubject},
};
use dabba_store::{NewTask, TaskFailure};
use dabba_testkit::{TestServer, eventually};
use jiff::SignedDuration;
use reqwest::Method;
use serde_json::{Value, json};

use crate::allowed;

/// Starts a server that polls for tasks often.
async fn start() -> TestServer {
    let often = Duration::from_millis(5);
    crate::builder().engine(|engine| engine.tasks.poll_interval = often).start().await
}

async fn read(server: &TestServer, order: &Value) -> Value {
    let path = format!("/v1/orders/{}", order["id"].as_str().unwrap());
    server.get(&path, Some(&server.admin)).await.expect(200)
}

/// Waits until this number of tasks is completed.
async fn completed(server: &TestServer, count: u64) {
    eventually(&format!("{count} tasks are completed"), async || {
        let metrics = server.get("/metrics", None).await;
        let lines = metrics.text.lines().filter_map(|line| line.split_once(' '));
        let of_tasks = lines.filter(|(name, _)| {
            name.starts_with("dabba_tasks_total{") && name.contains("outcome=\"completed\"")
        });
        let completed = of_tasks.map(|(_, value)| value.parse::<u64>().unwrap()).sum::<u64>();
        if completed < count { Err(completed) } else { Ok(()) }
    })
    .await;
}

/// Proves that an order that the restaurant does not accept within its 8 minutes is cancelled with the reason, returns
/// its stock, and can no longer be accepted; and that an accepted order goes on.
#[tokio::test]
async fn an_order_that_nobody_accepts_is_cancelled() {
    let server = start().await;
    let stock = server.restaurant_path("/menu/items/naan/stock");
    server.put(&stock, Some(&server.staff), &json!({"remaining": 10})).send().await.expect(200);
    let waiting = server.place("waiting", &TestServer::collection()).await;
    let accepted = server.place("accepted", &TestServer::collection()).await;
    let minutes = json!({"preparation_minutes": 20});
    let accepted = server.command(&accepted, "accept", &server.staff, &minutes).send().await.expect(200);
    assert_eq!(waiting["acceptance_deadline"], "2026-06-01T12:08:00Z");

    server.advance(SignedDuration::from_mins(8) - SignedDuration::from_secs(1));
    assert_eq!(read(&server, &waiting).await["status"], "confirmed");
    // The restaurant has now been warned about the order that it has not accepted.
    completed(&server, 2).await;
    server.advance(SignedDuration::from_secs(1));
    completed(&server, 3).await;

    let expired = read(&server, &waiting).await;
    assert_eq!(
        (&expired["status"], &expired["closure"]),
        (&json!("cancelled"), &json!({"how": "expired", "waited_for": "restaurant"}))
    );
    assert_eq!(expired["payment"]["status"], "voided");
    assert_eq!(expired["updated_at"], "2026-06-01T12:08:00Z");
    assert_eq!(allowed(&expired), [""; 0], "nothing was captured, so a refund is not allowed either");
    let refused = server.command(&waiting, "accept", &server.staff, &minutes).send().await;
    assert_eq!(refused.problem(409, "illegal_move")["order_status"], "cancelled");
    assert_eq!(read(&server, &accepted).await["version"], accepted["version"]);

    let path = format!("/v1/orders/{}/events", waiting["id"].as_str().unwrap());
    let events = server.get(&path, Some(&server.customer)).await.expect(200);
    let (last, before) = events["events"].as_array().unwrap().split_last().unwrap();
    assert_eq!(before.last().unwrap()["type"], "acceptance_due");
    assert_eq!((&last["type"], &last["actor"]["role"]), (&json!("expired"), &json!("system")), "{last}");
    let left = server.get(&server.restaurant_path("/stock"), Some(&server.staff)).await.expect(200);
    assert_eq!(
        left.to_string().matches("\"remaining\":9").count(),
        1,
        "the stock of the expired order must be returned: {left}"
    );
}

/// Proves that an order whose deadline passes while no server runs is cancelled when a server runs again.
#[tokio::test]
async fn an_order_expires_after_a_restart() {
    let mut server = start().await;
    let order = server.place("1", &TestServer::order()).await;
    server.stop().await;
    server.advance(SignedDuration::from_hours(1));
    server.restart().await;
    completed(&server, 1).await;
    assert_eq!(read(&server, &order).await["status"], "cancelled");
}

/// Parks the task of an order, as if it had failed too often. Returns the task's id.
async fn park(server: &TestServer, order: &Value) -> String {
    let deadline: Timestamp = order["acceptance_deadline"].as_str().unwrap().parse().unwrap();
    let minute = SignedDuration::from_mins(1);
    // The server's own workers do not see the task, because it is not due yet.
    let claimed = server
        .store()
        .claim_due_tasks(TaskQueue::Deadlines, deadline, deadline + minute, 1)
        .await
        .unwrap()
        .remove(0);
    assert_eq!(claimed.task.subject.order_id().unwrap().to_string(), order["id"].as_str().unwrap());
    let failure = TaskFailure { at: server.now(), error: "the gateway said no".to_owned() };
    assert!(server.store().park_task(claimed.lease, &failure).await.unwrap());
    claimed.task.id.to_string()
}

/// Proves that an admin can list parked tasks with their failures in pages, retry a task, which is then completed, and
/// resolve another one, which requires a reason.
#[tokio::test]
async fn an_admin_retries_and_resolves_parked_tasks() {
    let server = start().await;
    let first = server.place("1", &TestServer::order()).await;
    let first_task = park(&server, &first).await;
    server.advance(SignedDuration::from_secs(1));
    let second = server.place("2", &TestServer::order()).await;
    let second_task = park(&server, &second).await;

    let admin = Some(&server.admin);
    let page = server.get("/v1/tasks?state=parked&limit=1", admin).await.expect(200);
    let listed = json!({
        "id": first_task, "order_id": first["id"], "kind": "warn_unaccepted", "attempts": 1,
        "parked_at": "2026-06-01T12:00:00Z",
        "failures": [{"attempt": 1, "at": "2026-06-01T12:00:00Z", "error": "the gateway said no"}],
    });
    assert_eq!(page["tasks"], json!([listed]));
    let path = format!("/v1/tasks?limit=1&cursor={}", page["next_cursor"].as_str().unwrap());
    let page = server.get(&path, admin).await.expect(200);
    assert_eq!((&page["tasks"][0]["id"], page.get("next_cursor")), (&json!(second_task), None));
    server.get("/v1/tasks?state=done", admin).await.problem(400, "bad_request");

    server.advance(SignedDuration::from_hours(1));
    let (retry, resolve) =
        (format!("/v1/tasks/{first_task}/retry"), format!("/v1/tasks/{second_task}/resolve"));
    server.request(Method::POST, &retry).by(&server.admin).send().await.expect(204);
    completed(&server, 1).await;
    assert_eq!(read(&server, &first).await["status"], "cancelled");
    server.request(Method::POST, &retry).by(&server.admin).send().await.problem(404, "not_found");

    for body in [json!({}), json!({"reason": " "}), json!({"reason": "x", "because": "y"})] {
        let refused = server.post(&resolve, admin, &body).send().await;
        assert!([400, 422].contains(&refused.status), "{body}: {}", refused.text);
    }
    server.post(&resolve, admin, &json!({"reason": "they rang us up"})).send().await.expect(204);
    let page = server.get("/v1/tasks", admin).await.expect(200);
    assert_eq!(page, json!({"tasks": []}));
    assert_eq!(read(&server, &second).await["status"], "confirmed", "a resolved task must not be retried");
}

/// Proves that a parked task that is not about an order names its restaurant or account instead, and that an admin resolves
/// it.
#[tokio::test]
async fn a_parked_task_names_its_subject() {
    let server = start().await;
    let (now, bucket) = (server.now(), Bucket::FIRST);
    let restaurant = TaskSubject::Restaurant(RestaurantId::generate(now, bucket, 1 << 2));
    let account = TaskSubject::Account(AccountId::generate(now, bucket, 2 << 2));
    for (random, (member, subject)) in (3..).zip([("restaurant_id", restaurant), ("account_id", account)]) {
        let id = TaskId::generate(now, bucket, random << 2);
        let task = Task::Review { reason: ReviewReason::PaymentVoided };
        let review = NewTask { id, subject, task, run_at: now };
        assert!(server.store().enqueue_task(&review).await.unwrap());
        let page = server.get("/v1/tasks", Some(&server.admin)).await.expect(200);
        let task = page["tasks"][0].as_object().unwrap();
        assert_eq!((&task[member], &task["kind"]), (&json!(subject.uuid()), &json!("review")));
        let ids = ["order_id", "restaurant_id", "account_id"].iter().filter(|id| task.contains_key(**id));
        assert_eq!(ids.count(), 1);
        let (retry, resolve) =
            (format!("/v1/tasks/{}/retry", review.id), format!("/v1/tasks/{}/resolve", review.id));
        let refused = server.request(Method::POST, &retry).by(&server.admin).send().await;
        refused.problem(409, "review_not_retryable");
        let reason = json!({"reason": "they rang us up"});
        server.post(&resolve, Some(&server.admin), &reason).send().await.expect(204);
        assert_eq!(server.get("/v1/tasks", Some(&server.admin)).await.expect(200), json!({"tasks": []}));
    }
}
