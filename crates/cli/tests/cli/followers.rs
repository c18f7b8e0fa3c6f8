//! Consumers of events across a split of a shard.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use dabba_sim::{Client, ClientError, MessageParser};
use dabba_testkit::eventually;
use serde_json::{Value, json};
use tokio::{task::JoinSet, time::sleep};

use super::{
    placing::Placing,
    postgres::order,
    receiver::Receiver,
    split::{Unsplit, aside, orders_by_shard},
    support::{Server, stdout},
};

/// Number of customers of each restaurant.
const CUSTOMERS: usize = 2;
/// Number of orders between two steps.
const ORDERS: u64 = 15;
/// Pause of a consumer before a retry.
const RETRY_PAUSE: Duration = Duration::from_millis(20);

/// Ids of events, in the order of their arrival.
#[derive(Clone, Default)]
struct Arrivals(Arc<Mutex<Vec<String>>>);

impl Arrivals {
    fn add(&self, event: &Value) {
        self.0.lock().unwrap().push(event["id"].as_str().unwrap().to_owned());
    }

    fn ids(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

/// Waits before a retry. Panics on a refusal for another reason than an unavailable server.
async fn pause(error: &ClientError) {
    let is_passing = error.problem().is_none_or(|problem| problem.status == 503);
    assert!(is_passing, "{error}");
    sleep(RETRY_PAUSE).await;
}

/// Reads the feed by long polls from a cursor on.
async fn poll(client: Client, mut cursor: String, arrivals: Arrivals) {
    loop {
        match client.get(&format!("/v1/events?after={cursor}&wait=2&limit=50")).send().await {
            Ok(page) => {
                page.body["events"].as_array().unwrap().iter().for_each(|event| arrivals.add(event));
                page.body["next_cursor"].as_str().unwrap().clone_into(&mut cursor);
            }
            Err(error) => pause(&error).await,
        }
    }
}

/// Reads the stream from a cursor on, and resumes it whenever it ends.
async fn stream(client: Client, mut cursor: String, arrivals: Arrivals) {
    loop {
        let mut open = match client.get(&format!("/v1/events/stream?after={cursor}")).open().await {
            Ok(open) => open,
            Err(error) => {
                pause(&error).await;
                continue;
            }
        };
        let mut parser = MessageParser::default();
        while let Ok(Some(bytes)) = open.next().await {
            for message in parser.take(&bytes).unwrap() {
                if !["heartbeat", "bye"].contains(&message.event.as_str()) {
                    arrivals.add(&serde_json::from_str(&message.data).unwrap());
                }
                if !message.id.is_empty() {
                    cursor = message.id;
                }
            }
        }
    }
}

/// Checks I10: the first arrivals of each order are its events, in their order. `versions` are the versions of all
/// orders.
fn check(arrivals: &[String], versions: &BTreeMap<String, u64>) -> Result<(), String> {
    let mut first: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for id in arrivals {
        let (order, version) = id.rsplit_once('-').unwrap();
        let (known, version) = (first.entry(order).or_default(), version.parse().unwrap());
        if !known.contains(&version) {
            known.push(version);
        }
    }
    for (order, version) in versions {
        let found = first.remove(order.as_str()).unwrap_or_default();
        if found != (1..=*version).collect::<Vec<_>>() {
            return Err(format!(
                "order {order} is at version {version}, and these events arrived: {found:?}"
            ));
        }
    }
    if first.is_empty() { Ok(()) } else { Err(format!("these orders do not exist: {first:?}")) }
}

/// Proves I10 across a split under load: a consumer with long polls, a consumer of the stream and a webhook endpoint
/// receive every event of every order of both shards, in the order of its history. The cursors of the time before the
/// split continue to apply.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn consumers_miss_nothing_across_a_split() {
    let unsplit = Unsplit::start().await;
    let data = unsplit.directory.path();
    let admin = unsplit.server.client("admin");

    let receiver = Receiver::start();
    admin.post("/v1/webhook-endpoints").json(&json!({"url": receiver.url()})).send().await.unwrap();
    let now = admin.get("/v1/events?limit=1").send().await.unwrap().body;
    let cursor = now["next_cursor"].as_str().unwrap();
    let (polled, streamed) = (Arrivals::default(), Arrivals::default());
    let mut consumers = JoinSet::new();
    consumers.spawn(poll(admin.clone(), cursor.to_owned(), polled.clone()));
    consumers.spawn(stream(admin.clone(), cursor.to_owned(), streamed.clone()));

    let customer = unsplit.server.client("customer");
    let placing = Placing::start("order", CUSTOMERS, &customer, &unsplit.restaurants, &order());
    placing.wait_for(ORDERS).await;
    let (_standby, urls) = unsplit.start_standby();
    placing.wait_for(ORDERS).await;
    let file = data.join("new.toml");
    let file = file.to_str().unwrap();
    let split = ["shards", "split", "--database", &urls[0], "--shard", "main", "--at", "2048"];
    let to = ["--new-name", "south", "--new-url", &urls[1], "--apply", "--write", file];
    aside(|| stdout(data, &[&split[..], &to].concat()));
    let new = aside(|| {
        unsplit.server.stop();
        Server::start_at(&unsplit.address, data, &["--shards", file])
    });
    placing.wait_for(ORDERS).await;
    let acknowledged = placing.finish().await;

    let mut versions = BTreeMap::new();
    for id in orders_by_shard(&urls).await.into_iter().flatten() {
        let stored = admin.get(&format!("/v1/orders/{id}")).send().await.unwrap().body;
        versions.insert(id, stored["version"].as_u64().unwrap());
    }
    assert!(acknowledged.values().all(|id| versions.contains_key(id)));
    let received = || receiver.bodies().iter().map(|body| body["id"].as_str().unwrap().to_owned()).collect();
    eventually("the consumer with long polls has every event", async || check(&polled.ids(), &versions))
        .await;
    eventually("the consumer of the stream has every event", async || check(&streamed.ids(), &versions))
        .await;
    eventually("the webhook endpoint has every event", async || {
        let ids: Vec<String> = received();
        check(&ids, &versions)
    })
    .await;
    assert!(consumers.try_join_next().is_none(), "a consumer has failed");
    aside(|| new.stop());
}
