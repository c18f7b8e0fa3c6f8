//! Several servers on one database share its tasks.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use dabba_domain::TaskId;
use dabba_domain::task::TaskQueue;
use dabba_store::{
    Commit, CommitOutcome, OrderStore as _, TaskStore as _,
    conformance::builders::{World, order_of},
};
use tokio::{sync::Barrier, task::JoinSet};

use crate::common::{POLL_INTERVAL, fresh_database, in_time, open};

/// Number of concurrent servers.
const SERVERS: usize = 4;
/// Number of tasks; each claim takes only a few.
const TASKS: usize = 400;
/// Maximum number of tasks of a claim.
const CLAIM: u32 = 5;

/// Each task is claimed by exactly one of several servers that poll continuously, and completed by that server.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_task_is_claimed_by_one_of_several_servers() {
    let url = fresh_database();
    let mut world = World::new(1);
    let (restaurant, customer) = (world.restaurant_id(), world.account_id());
    let placed: Vec<_> = (0..TASKS).map(|_| world.place(restaurant, customer)).collect();
    let store = open(&url).await;
    for batch in placed.chunks(50) {
        let outcomes = store.commit(batch.to_vec()).await.unwrap();
        assert_eq!(outcomes, vec![CommitOutcome::Committed; batch.len()]);
    }
    let mut expected: Vec<TaskId> = placed.iter().map(|commit| commit.tasks[0].id).collect();
    expected.sort_unstable();

    // No lease expires during the test.
    let (now, until) = (world.in_seconds(10_000), world.in_seconds(20_000));
    let (handed_out, together) = (Arc::new(AtomicUsize::new(0)), Arc::new(Barrier::new(SERVERS)));
    let mut servers = JoinSet::new();
    for _ in 0..SERVERS {
        let (store, mut world) = (open(&url).await, world.clone());
        let (handed_out, together) = (Arc::clone(&handed_out), Arc::clone(&together));
        let orders: Vec<_> = placed.iter().map(order_of).collect();
        servers.spawn(async move {
            let mut done = Vec::new();
            together.wait().await;
            while handed_out.load(Ordering::SeqCst) < TASKS {
                let claimed = store.claim_due_tasks(TaskQueue::Deadlines, now, until, CLAIM).await.unwrap();
                if claimed.is_empty() {
                    // The other servers may hold locks on the remaining tasks.
                    tokio::time::sleep(POLL_INTERVAL).await;
                    continue;
                }
                handed_out.fetch_add(claimed.len(), Ordering::SeqCst);
                let completing = claimed.iter().map(|claimed| {
                    let order = orders
                        .iter()
                        .find(|order| Some(order.id) == claimed.task.subject.order_id())
                        .unwrap();
                    let nothing = world.repeat(order, customer);
                    Commit { claim: None, completes: Some(claimed.lease), ..nothing }
                });
                let completing: Vec<_> = completing.collect();
                let outcomes = store.commit(completing).await.unwrap();
                assert_eq!(outcomes, vec![CommitOutcome::Committed; claimed.len()]);
                done.extend(claimed.iter().map(|claimed| claimed.task.id));
            }
            done
        });
    }
    let done = in_time("all tasks are claimed", servers.join_all()).await;

    assert!(
        done.iter().filter(|done| !done.is_empty()).count() > 1,
        "only one server claimed tasks, so the test proves nothing"
    );
    let mut done = done.concat();
    done.sort_unstable();
    assert_eq!(done, expected, "each task is completed once");
    let later = until + Duration::from_secs(1);
    assert_eq!(store.claim_due_tasks(TaskQueue::Deadlines, later, later, 10).await.unwrap(), []);
}
